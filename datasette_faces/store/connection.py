"""A connection to an SQLite file: its extension, its transactions, its errors in words. Knows no table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseNotWritable,
    FacesError,
    NotAFacesDatabase,
    NoVectorExtension,
)
from . import patience
from .file_names import quote_for_shell

Connection: TypeAlias = Any
"""A connection of pysqlite3 or sqlite3, whichever Datasette uses."""

BUSY_SECONDS = 30
"""So long every command waits for another process that uses the file."""
SETTLE_MS = 3000
"""So long a change that is written already waits for readers to let go of its log."""
DAMAGED = (
    "disk image is malformed",
    "malformed database schema",
    "unsupported file format",
    "vec0 constructor error",
    "to UTF-8 column 'sql'",
    "to UTF-8 column 'tbl_name'",
    "to UTF-8 column 'type'",
)
"""What SQLite and sqlite-vec say of a file whose bytes are damaged."""
QUOTING = ("no such ", "near ", "unrecognized token")
"""What SQLite says of SQL, which it quotes: that is damaged where it is no text."""
INTERRUPTED = ("interrupted", "chunks iter error")
"""What SQLite and sqlite-vec say of a query that was stopped."""
NEW_NAME = "choose another file name"
OURS = "name a file that datasette faces ingest made"
"""What to do about a file that is not ours: where one would be made, and where one is looked at."""


def sqlite() -> Any:
    """The SQLite module that Datasette uses: pysqlite3 where it is installed."""
    from datasette.utils.sqlite import sqlite3

    return sqlite3


def was_interrupted(error: Exception) -> bool:
    """Whether an error of SQLite only says that a query ran into a time limit."""
    return any(sign in str(error) for sign in INTERRUPTED)


def is_busy(error: Exception) -> bool:
    """Whether an error of SQLite says that another process uses the file."""
    return patience.is_busy(error)


def load_vector_extension(conn: Connection) -> None:
    """Load sqlite-vec into a connection. Raises NoVectorExtension."""
    import sqlite_vec

    try:
        conn.enable_load_extension(True)
        sqlite_vec.load(conn)
        conn.enable_load_extension(False)
    except (AttributeError, sqlite().OperationalError) as error:
        raise NoVectorExtension(
            "This Python's SQLite cannot load sqlite-vec; mend it with: pip install pysqlite3"
        ) from error


@contextmanager
def transaction(conn: Connection) -> Iterator[Connection]:
    """One write transaction: all of it or nothing."""
    try:
        conn.execute("begin immediate")
        yield conn
        conn.execute("commit")
    except BaseException:
        # A full disk may have rolled it back already
        if conn.in_transaction:
            conn.execute("rollback")
        raise


@contextmanager
def explained(path: str, *, mend: str = NEW_NAME) -> Iterator[None]:
    """Say SQLite's errors about a file in one line that names the mend; mend: of what is no database."""
    try:
        yield
    except FacesError:
        raise
    except sqlite().DatabaseError as error:
        raise _explanation(path, str(error), mend) from error
    except UnicodeDecodeError as error:
        if not is_damaged(error):
            raise
        raise NotAFacesDatabase(explain_damage(path, error)) from error


def _explanation(path: str, error: str, mend: str) -> DatabaseError:
    if "disk is full" in error:
        return DatabaseNotWritable(
            f"The disk that holds {path} is full; free some space and run the same command again: "
            "all that was saved is kept"
        )
    if "disk I/O error" in error:
        return DatabaseNotWritable(
            f"{path} could not be read or written (disk I/O error); look at its disk and the space "
            "left there, and run the same command again: all that was saved is kept"
        )
    if "locked" in error or "busy" in error:
        return DatabaseBusy(f"{path} is in use by another process; try again when it has ended")
    if "readonly" in error or "unable to open" in error:
        return DatabaseNotWritable(
            f"{path} or its folder cannot be written; choose another place or change its permissions"
        )
    if any(sign in error for sign in DAMAGED):
        return NotAFacesDatabase(explain_damage(path, error))
    if "not a database" in error:
        return NotAFacesDatabase(f"{path} is not an SQLite database ({error}); {mend}")
    return DatabaseError(f"{path}: {error}")


def is_damaged(error: Exception) -> bool:
    """Whether an error says that the bytes of a file, or of its schema, are not what SQLite wrote."""
    if isinstance(error, UnicodeDecodeError):
        said = patience.read_message(error)
        return any(sign in said for sign in (*DAMAGED, *QUOTING))
    return isinstance(error, sqlite().DatabaseError) and any(it in str(error) for it in DAMAGED)


def explain_damage(path: str, error: Exception | str) -> str:
    """What to do about a damaged file, in one line."""
    reason = patience.read_message(error) if isinstance(error, UnicodeDecodeError) else str(error)
    file, saved = map(quote_for_shell, (path, f"{os.path.splitext(path)[0]}-recovered.db"))
    return (
        f"{path} is damaged ({reason}). Use a copy of the file if there is one; or save what can be read: "
        f"datasette faces doctor {file} --recover {saved}"
    )


def connect_to_read(path: str) -> Connection:
    """A connection that only reads; the file is there."""
    _roll_back(path)
    address = Path(path).resolve().as_uri() + "?mode=ro"
    return patience.connect(sqlite(), address, path=path, patience_s=BUSY_SECONDS, uri=True)


def connect_to_write(path: str) -> Connection:
    """A connection in autocommit: each `with transaction(conn)` is one transaction."""
    # A path from the root, as :memory: and file: mean something else to SQLite
    return patience.connect(
        sqlite(), os.path.abspath(path), path=path, patience_s=BUSY_SECONDS, isolation_level=None
    )


def _roll_back(path: str) -> None:
    """Undo what a process had begun that was killed within a transaction: no reader may that only reads.

    SQLite does so of itself, as any program would that opens the file to write.
    """
    real = Path(path).resolve()
    if not os.path.exists(f"{real}-journal"):
        return
    # Of one that still writes it is left alone; where nothing may be written, the reader says so
    address = f"{real.as_uri()}?mode=rw"
    with suppress(sqlite().Error), closing(sqlite().connect(address, uri=True, timeout=0)) as conn:
        conn.execute("pragma schema_version").fetchone()


def settle(conn: Connection) -> None:
    """Merge the write-ahead log; who reads for longer than SETTLE_MS keeps it, for the next to merge."""
    conn.patience_s = 0
    try:
        conn.execute(f"pragma busy_timeout = {SETTLE_MS}")
        (busy, *_) = conn.execute("pragma wal_checkpoint(truncate)").fetchone()
        if not busy:
            conn.execute("pragma journal_mode = delete")
    except sqlite().OperationalError as error:
        if "locked" not in str(error):
            raise
