"""Opening a faces database, making one, and leaving it as one whole file. No SQL on its tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from .errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseNotWritable,
    FacesError,
    NewerSchema,
    NotAFacesDatabase,
    NoVectorExtension,
)

Connection: TypeAlias = Any
"""A connection of pysqlite3 or sqlite3, whichever Datasette uses."""

PAGE_BYTES = 8192
"""Vectors of 512 dimensions fit three to a page; on SQLite's 4,096 each would fill one."""
BUSY_SECONDS = 30
SETTLE_MS = 3000
"""So long a change that is written already waits for readers to let go of its log."""
MIGRATION_SET = "datasette-faces"
NEW_NAME = "choose another file name"
OURS = "name a file that datasette faces ingest made"
"""What to do about a file that is not ours: where one would be made, and where one is looked at."""


def sqlite() -> Any:
    """The SQLite module that Datasette uses: pysqlite3 where it is installed."""
    from datasette.utils.sqlite import sqlite3

    return sqlite3


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


def has_vector_tables(conn: Connection) -> bool:
    """Whether a file holds tables that need sqlite-vec."""
    found = conn.execute(
        "select 1 from sqlite_master where type = 'table' and sql like '%using vec0%' limit 1"
    )
    return found.fetchone() is not None


@contextmanager
def writing(path: str, *, mend: str = NEW_NAME) -> Iterator[Connection]:
    """A connection to a faces database that may be written; the file is made where there is none.

    mend: what to do where the file is somebody else's.

    Autocommit: each `with transaction(conn)` is one transaction. On leaving, the file is whole
    again: no -wal beside it, `journal_mode=delete`; unless somebody reads it all the while. Raises
    DatabaseError.
    """
    existed = os.path.exists(path) and os.path.getsize(path) > 0
    with explained(path, mend=mend):
        if existed:
            _check(path, mend)
        conn = sqlite().connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(conn):
            load_vector_extension(conn)
            if not existed:
                conn.execute(f"pragma page_size = {PAGE_BYTES}")
            try:
                conn.execute("pragma journal_mode = wal")
                conn.execute("pragma synchronous = full")
                conn.execute("pragma foreign_keys = on")
                _migrate(conn)
                yield conn
            finally:
                _settle(conn)


@contextmanager
def changing(path: str) -> Iterator[Connection]:
    """As `writing`, of a file that is there. Raises DatabaseError."""
    _must_be_there(path)
    with writing(path, mend=OURS) as conn:
        yield conn


def _must_be_there(path: str) -> None:
    if not os.path.isfile(path):
        raise NotAFacesDatabase(f"There is no file {path}; make it with: datasette faces ingest")


@contextmanager
def reading(path: str) -> Iterator[Connection]:
    """A read-only connection to a faces database, up to date in its schema. Raises DatabaseError."""
    with explained(path, mend=OURS):
        _must_be_there(path)
        if not _check(path, OURS):
            raise NotAFacesDatabase(f"{path} is still empty; fill it with: datasette faces ingest")
        with closing(_connect_to_read(path)) as conn:
            load_vector_extension(conn)
            yield conn


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


def _explanation(path: str, error: str, mend: str) -> DatabaseError:
    if "disk is full" in error:
        return DatabaseNotWritable(
            f"The disk that holds {path} is full; free some space and run the same line again: "
            "all that was saved is kept"
        )
    if "disk I/O error" in error:
        return DatabaseNotWritable(
            f"{path} could not be read or written (disk I/O error); look at its disk and the space "
            "left there, and run the same line again: all that was saved is kept"
        )
    if "locked" in error or "busy" in error:
        return DatabaseBusy(f"{path} is in use by another process; try again when it has ended")
    if "readonly" in error or "unable to open" in error:
        return DatabaseNotWritable(
            f"{path} or its folder cannot be written; choose another place or change its permissions"
        )
    if "not a database" in error or "malformed" in error:
        return NotAFacesDatabase(f"{path} is no SQLite database ({error}); {mend}")
    return DatabaseError(f"{path}: {error}")


def _connect_to_read(path: str) -> Connection:
    _roll_back(path)
    address = Path(path).resolve().as_uri() + "?mode=ro"
    return sqlite().connect(address, uri=True, timeout=BUSY_SECONDS)


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


def _check(path: str, mend: str) -> bool:
    """Refuse what is not ours, or too new for us, before we change a byte of it.

    False where the file is still empty: new, or its first ingest ended before the first row.
    """
    from .migrations import migrations
    from .store.catalogue import is_catalogue

    with closing(_connect_to_read(path)) as conn:
        published = is_catalogue(conn)
        tables = {
            row[0]
            for row in conn.execute(
                "select name from sqlite_master where type != 'index' and name not like 'sqlite~_%' "
                "escape '~'"
            )
        }
        applied = []
        if "_sqlite_migrations" in tables:
            applied = conn.execute("select migration_set, name from _sqlite_migrations").fetchall()
    ours = {name for migration_set, name in applied if migration_set == MIGRATION_SET}
    if not ours and (applied or tables - {"_sqlite_migrations"}):
        raise NotAFacesDatabase(_whose(path, mend, published=published))
    known = {step.name for step in migrations._migrations}
    if newer := ours - known:
        raise NewerSchema(
            f"{path} was written by a newer version of datasette-faces ({sorted(newer)[-1]}): "
            "pip install --upgrade datasette-faces"
        )
    return bool(ours)


def _whose(path: str, mend: str, *, published: bool) -> str:
    """What a database is that is not ours."""
    if published:
        return (
            f"{path} is a published catalogue; look at it with: datasette -i {path}; "
            f"check it with: datasette faces audit {path} --against FACES.db"
        )
    return f"{path} is an SQLite database of something else; {mend}"


def _migrate(conn: Connection) -> None:
    from sqlite_utils import Database

    from .migrations import migrations

    migrations.apply(Database(conn, execute_plugins=False))


def _settle(conn: Connection) -> None:
    """Merge the write-ahead log; who reads for longer than SETTLE_MS keeps it, for the next to merge."""
    try:
        conn.execute(f"pragma busy_timeout = {SETTLE_MS}")
        (busy, *_) = conn.execute("pragma wal_checkpoint(truncate)").fetchone()
        if not busy:
            conn.execute("pragma journal_mode = delete")
    except sqlite().OperationalError as error:
        if "locked" not in str(error):
            raise
