"""References that triggers hold in place of foreign keys: those of the tables that Datasette does not list.

Plugins that follow foreign keys look for both ends in Datasette's list, and fail on a table that is not in
it: datasette-graphql 2.2 answers 500. So no unlisted table has a foreign key, and none points to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .connection import Connection
from .schema import has_tables, quote_name

NULL, REMOVE, REFUSE = "null", "remove", "refuse"
"""What becomes of the rows that refer to a row which goes: as `on delete set null`, `cascade`, nothing."""
FAILED = "select raise(abort, 'FOREIGN KEY constraint failed');"
ENFORCED = "(select foreign_keys from pragma_foreign_keys)"
"""Whether this connection enforces foreign keys."""

_TARGET = (
    r"\s*\breferences\s+[\"\[`]?\w+[\"\]`]?(\s*\([^)]*\))?"
    r"(\s+on\s+(delete|update)\s+(set\s+null|set\s+default|cascade|restrict|no\s+action))*"
)
FOREIGN_KEY = re.compile(rf"(,\s*\bforeign\s+key\s*\([^)]*\))?{_TARGET}", re.IGNORECASE)
"""A foreign key within the SQL of a table: of a column, or of several at the end."""


@dataclass(frozen=True, slots=True)
class HeldReference:
    """Columns of a table that refer to the key of another, and what becomes of them when that goes."""

    table: str
    columns: tuple[str, ...]
    parent: str
    key: tuple[str, ...]
    on_delete: str


HELD = (
    HeldReference("face_drawings", ("face_id",), "faces", ("id",), NULL),
    HeldReference("names_read", ("photo_id",), "photos", ("id",), REMOVE),
    HeldReference("face_indexes", ("model_id",), "models", ("id",), REFUSE),
    HeldReference(
        "face_index_parts",
        ("model_id", "index_id"),
        "face_indexes",
        ("model_id", "index_id"),
        REMOVE,
    ),
)
"""All that are held in today's files. A migration names its own: this list may grow."""


def without_foreign_keys(sql: str) -> str:
    """The SQL of a table, as it would be without its foreign keys."""
    return FOREIGN_KEY.sub("", sql)


def triggers(held: HeldReference) -> Iterator[str]:
    """The triggers that hold a reference as a foreign key would; what follows a row that goes, always.

    What a foreign key refuses they refuse where foreign keys are on: a row that refers to nothing,
    another key for a row that is referred to. Whoever turns them off may change rows in any order.
    """
    yield _trigger(held, "inserted", "insert", f"{_dangling(held, 'new')} and {ENFORCED}", FAILED)
    # Refused in any case: it is compiled into each `delete from faces`, also for a program that trusts
    # no schema (the sqlite3 shell), and there the pragma cannot be asked
    changed = f"update of {', '.join(held.columns)}"
    yield _trigger(held, "updated", changed, _dangling(held, "new"), FAILED)
    mine = _equal(held.columns, "old", held.key)
    yield _trigger(held, "deleted", "delete", "", _consequence(held, mine), on=held.parent)
    rekeyed = " or ".join(f"old.{column} is not new.{column}" for column in held.key)
    referred = f"({rekeyed}) and exists (select 1 from {held.table} where {mine}) and {ENFORCED}"
    changed = f"update of {', '.join(held.key)}"
    yield _trigger(held, "rekeyed", changed, referred, FAILED, on=held.parent)
    if held.on_delete != REFUSE:
        # `insert or replace` removes a row without a trigger
        yours = _equal(held.columns, "new", held.key)
        yield _trigger(held, "replaced", "insert", "", _consequence(held, yours), on=held.parent)


def _trigger(
    held: HeldReference, name: str, event: str, when: str, does: str, *, on: str = ""
) -> str:
    condition = f"when {when} " if when else ""
    return (
        f"create trigger {held.table}_{held.parent}_{name} after {event} on {on or held.table} "
        f"{condition}begin {does} end"
    )


def _equal(columns: tuple[str, ...], row: str, others: tuple[str, ...]) -> str:
    pairs = zip(columns, others, strict=True)
    return " and ".join(f"{column} = {row}.{other}" for column, other in pairs)


def _dangling(held: HeldReference, row: str) -> str:
    """True of a row that refers to nothing; not of one that has a null there."""
    known = " and ".join(f"{row}.{column} is not null" for column in held.columns)
    found = _equal(held.key, row, held.columns)
    return f"{known} and not exists (select 1 from {held.parent} where {found})"


def _consequence(held: HeldReference, where: str) -> str:
    if held.on_delete == NULL:
        cleared = ", ".join(f"{column} = null" for column in held.columns)
        return f"update {held.table} set {cleared} where {where};"
    if held.on_delete == REMOVE:
        return f"delete from {held.table} where {where};"
    referred = f"exists (select 1 from {held.table} where {where})"
    return f"{FAILED[:-1]} where {referred} and {ENFORCED};"


def count_dangling(conn: Connection, held: HeldReference) -> int:
    """How many rows refer to what is not there; 0 where one of the tables is not there."""
    if not has_tables(conn, held.table, held.parent):
        return 0
    found = conn.execute(
        f"select count(*) from {held.table} as mine where {_dangling(held, 'mine')}"
    )
    return int(found.fetchone()[0])


def hold(conn: Connection, held: HeldReference) -> None:
    """Take a table's foreign keys away, with every row, index and trigger kept, and hold the reference.

    Nothing where one of the two tables is not there.
    """
    if not has_tables(conn, held.table, held.parent):
        return
    name = quote_name(held.table)
    (made,) = conn.execute(
        "select sql from sqlite_master where type = 'table' and name = ?", [held.table]
    ).fetchone()
    beside = conn.execute(
        "select sql from sqlite_master where type != 'table' and tbl_name = ? and sql is not null "
        "order by rowid",
        [held.table],
    ).fetchall()
    # Not renamed: triggers of other tables would follow it
    conn.execute(f"create temp table held_rows as select * from main.{name}")
    conn.execute(f"drop table main.{name}")
    conn.execute(without_foreign_keys(made))
    conn.execute(f"insert into main.{name} select * from temp.held_rows")
    conn.execute("drop table temp.held_rows")
    for (statement,) in beside:
        conn.execute(statement)
    for statement in triggers(held):
        conn.execute(statement)
