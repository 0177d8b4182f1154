"""A faces database as a file: opened, made, brought up to date, and left as one whole file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ..errors import NewerSchema, NotAFacesDatabase
from .catalogue import is_catalogue
from .connection import (
    NEW_NAME,
    OURS,
    Connection,
    connect_to_read,
    connect_to_write,
    explained,
    load_vector_extension,
    settle,
    transaction,
)
from .file_names import quote_for_shell
from .migrations import migrations

PAGE_BYTES = 8192
"""Vectors of 512 dimensions fit three to a page; on SQLite's 4,096 each would fill one."""
MIGRATION_SET = "datasette-faces"


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
        conn = connect_to_write(path)
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
                settle(conn)


@contextmanager
def changing(path: str) -> Iterator[Connection]:
    """As `writing`, of a file that is there. Raises DatabaseError."""
    _must_be_there(path)
    with writing(path, mend=OURS) as conn:
        yield conn


@contextmanager
def reading(path: str) -> Iterator[Connection]:
    """A read-only connection to a faces database, up to date in its schema. Raises DatabaseError."""
    with explained(path, mend=OURS):
        _must_be_there(path)
        if not _check(path, OURS):
            raise NotAFacesDatabase(f"{path} is still empty; fill it with: datasette faces ingest")
        with closing(connect_to_read(path)) as conn:
            load_vector_extension(conn)
            yield conn


def _must_be_there(path: str) -> None:
    if not os.path.isfile(path):
        raise NotAFacesDatabase(f"There is no file {path}; make it with: datasette faces ingest")


def _check(path: str, mend: str) -> bool:
    """Refuse what is not ours, or too new for us, before we change a byte of it.

    False where the file is still empty: new, or its first ingest ended before the first row.
    """
    with closing(connect_to_read(path)) as conn:
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
        raise NotAFacesDatabase(describe_other(path, mend, published=published))
    known = {step.name for step in migrations._migrations}
    if newer := ours - known:
        raise NewerSchema(
            f"{path} was written by a newer version of datasette-faces ({sorted(newer)[-1]}): "
            "pip install --upgrade datasette-faces"
        )
    return bool(ours)


def describe_other(path: str, mend: str, *, published: bool) -> str:
    """What a database is that is not ours."""
    if published:
        return (
            f"{path} is a published catalogue; look at it with: datasette -i {quote_for_shell(path)}; "
            f"check it with: datasette faces audit {quote_for_shell(path)} --against FACES.db"
        )
    return f"{path} is an SQLite database of something else; {mend}"


def _migrate(conn: Connection) -> None:
    from sqlite_utils import Database

    db = Database(conn, execute_plugins=False)
    if not migrations.pending(db):
        return
    # Another process may be about the same: who comes second finds it done
    with transaction(conn):
        migrations.apply(db)
