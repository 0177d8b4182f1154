"""A new file that is filled with the rows saved from a damaged one, at the version which that had."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from typing import Any

from . import integrity
from .connection import Connection, connect_to_write, load_vector_extension, sqlite, transaction
from .database import PAGE_BYTES
from .held_references import HELD
from .migrations import migrations
from .pages import Record
from .salvage import TableShape, shape_of
from .schema import quote_name

BATCH_ROWS = 500
MAX_ROUNDS = 9
"""A row that refers to nothing may go with what refers to it; chains of our tables are shorter."""


def known_versions() -> list[str]:
    """The names of all migrations, in their order."""
    return [step.name for step in migrations._migrations]


def merge_log(path: str) -> None:
    """Have SQLite merge the log that lies beside a file, whatever else is wrong with it."""
    with suppress(sqlite().Error, UnicodeDecodeError), closing(sqlite().connect(path)) as conn:
        conn.execute("pragma writable_schema = on")
        conn.execute("pragma wal_checkpoint(truncate)").fetchall()
        conn.execute("pragma journal_mode = delete").fetchall()


@contextmanager
def filling(path: str, applied: Collection[str]) -> Iterator[tuple[Connection, dict[str, str]]]:
    """A new file with the tables of that version, and on leaving with its triggers too.

    applied: the migrations that the damaged file had; none where that is not known: then it is of
    today. No row that is written changes another one. Yields the names of all that is ours, too, by SQL.
    """
    from sqlite_utils import Database

    versions = known_versions()
    last = max((n for n, name in enumerate(versions) if name in applied), default=len(versions))
    pending = versions[last + 1] if last + 1 < len(versions) else None
    with closing(connect_to_write(path)) as conn:
        load_vector_extension(conn)
        conn.execute(f"pragma page_size = {PAGE_BYTES}")
        # Nobody waits for this file yet: it is on the disk when it is moved into place
        conn.execute("pragma synchronous = off")
        migrations.apply(Database(conn, execute_plugins=False), stop_before=pending)
        made = conn.execute(
            "select type, name, sql from sqlite_master where sql is not null"
        ).fetchall()
        triggers = [(name, sql) for kind, name, sql in made if kind == "trigger"]
        for name, _ in triggers:
            conn.execute(f"drop trigger {quote_name(name)}")
        yield conn, {sql: name for _, name, sql in made}
        for _, sql in triggers:
            conn.execute(sql)


def read_shapes(conn: Connection) -> dict[str, TableShape]:
    """How the rows of all ordinary tables of a file are kept."""
    found = conn.execute(
        "select name, sql from sqlite_master where type = 'table' and name not like 'sqlite~_%' escape '~' "
        "and name != '_sqlite_migrations'"
    ).fetchall()
    return {name: shape_of(conn, name, sql) for name, sql in found}


def add_columns(conn: Connection, shape: TableShape, own: TableShape) -> None:
    """Add the columns that somebody added to a table of ours."""
    for name, kind in zip(own.columns, own.types, strict=True):
        if name not in shape.columns:
            conn.execute(
                f"alter table {quote_name(shape.name)} add column {quote_name(name)} {kind}"
            )


def make(conn: Connection, sql: str) -> bool:
    """Make something that is not ours; False where that cannot be done."""
    try:
        conn.execute(sql)
    except (sqlite().DatabaseError, ValueError):
        return False
    return True


def insert(conn: Connection, shape: TableShape, records: Iterable[Record]) -> int:
    """Add rows; how many could be: not one that is there already, or lacks what it must have."""
    before = conn.total_changes
    with transaction(conn):
        # A row that was written before a column was added has fewer values
        for count, group in groupby(records, key=lambda record: len(record.values)):
            names, bound = list(shape.columns[:count]), ["?"] * count
            if shape.has_rowid and shape.key is None and "rowid" not in shape.columns:
                names, bound = [*names, "rowid"], [*bound, "?"]
            listed = ", ".join(name if name == "rowid" else quote_name(name) for name in names)
            sql = f"insert or ignore into {quote_name(shape.name)}({listed}) values ({', '.join(bound)})"
            conn.executemany(sql, (_bind(shape, record, len(names)) for record in group))
    return int(conn.total_changes - before)


def _bind(shape: TableShape, record: Record, count: int) -> tuple[Any, ...]:
    values = shape.row(record)
    return values if len(values) == count else (*values, record.rowid)


def keep_numbers(conn: Connection, numbers: Iterable[Record]) -> None:
    """Have no number given again that a row had which is gone: what `sqlite_sequence` says."""
    for record in numbers:
        name, last = (*record.values, None, None)[:2]
        if not isinstance(name, str) or not isinstance(last, int):
            continue
        changed = conn.execute(
            "update sqlite_sequence set seq = max(seq, ?) where name = ?", [last, name]
        )
        if not changed.rowcount:
            conn.execute(
                "insert into sqlite_sequence(name, seq) select name, ? from sqlite_master "
                "where type = 'table' and name = ? and sql like '%autoincrement%'",
                [last, name],
            )


def count_rows(conn: Connection, tables: Iterable[str]) -> Mapping[str, int]:
    """How many rows each of these tables has, as far as they are there."""
    there = {row[0] for row in conn.execute("select name from sqlite_master where type = 'table'")}
    return {
        table: conn.execute(f"select count(*) from {quote_name(table)}").fetchone()[0]
        for table in tables
        if table in there
    }


def remove_unowned(conn: Connection) -> None:
    """Remove rows that refer to rows which are lost, where nothing else mends that: of photos, say.

    Another photo may get that number, and would get their faces.
    """
    for _ in range(MAX_ROUNDS):
        broken = set(integrity.count_broken_references(conn)) - set(integrity.MENDS)
        if not broken:
            return
        with transaction(conn):
            for table, parent in sorted(broken):
                _remove_referring(conn, table, parent)


def _remove_referring(conn: Connection, table: str, parent: str) -> None:
    keys: dict[int, list[tuple[str, str]]] = {}
    for row in conn.execute(f"pragma foreign_key_list({quote_name(table)})"):
        if row[2] == parent:
            keys.setdefault(row[0], []).append((row[3], row[4] or "rowid"))
    held = [it for it in HELD if (it.table, it.parent) == (table, parent)]
    found = [*keys.values(), *(list(zip(it.columns, it.key, strict=True)) for it in held)]
    for pairs in found:
        mine = ", ".join(quote_name(own) for own, _ in pairs)
        theirs = ", ".join(quote_name(other) for _, other in pairs)
        conn.execute(
            f"delete from {quote_name(table)} where ({mine}) not in "
            f"(select {theirs} from {quote_name(parent)})"
        )


def unknown_models(conn: Connection) -> dict[str, int]:
    """The models of which embeddings are there and their own row is not, with their dimensions."""
    found = conn.execute(
        "select model_id, max(length(embedding)) / 4 from face_embeddings "
        "where model_id not in (select id from models) group by model_id"
    )
    return {str(model_id): int(dimensions) for model_id, dimensions in found}
