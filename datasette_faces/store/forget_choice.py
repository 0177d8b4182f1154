"""What a forgetting is about, in temporary tables: it can be chosen on a connection that only reads."""

from __future__ import annotations

from collections.abc import Iterable

from .connection import Connection

CHOSEN = {
    "photos": "id integer primary key",
    "faces": "id integer primary key",
    "lost": "id integer primary key",
    "contents": "sha256 text primary key",
    "paths": "path text primary key",
    "keys": "key text primary key",
    "names": "name text primary key",
    "former": "name text primary key",
    "shown": "id integer primary key",
    "refs": "id integer primary key",
    "decisions": "id integer primary key",
    "drawings": "uid text primary key",
}
"""The temporary tables of a choice, `forget_…`: ids of rows, contents, people's keys and names."""


def begin(conn: Connection) -> None:
    """Make the temporary tables of a choice, empty."""
    for name, column in CHOSEN.items():
        conn.execute(f"drop table if exists temp.forget_{name}")
        conn.execute(f"create temp table forget_{name}({column}) without rowid")


def read(conn: Connection, name: str) -> list[int]:
    """The chosen photos or faces, by id."""
    return [row[0] for row in conn.execute(f"select id from temp.forget_{name} order by 1")]


def fill_in(text: str) -> str:
    """A condition with the temporary tables of the choice in the place of their names."""
    chosen = {
        name: f"(select {column.split()[0]} from temp.forget_{name})"
        for name, column in CHOSEN.items()
    }
    return text.format(**chosen)


def choose(conn: Connection, name: str, sql: str) -> int:
    """Add what a query gives to a temporary table; how many are new."""
    return int(conn.execute(f"insert or ignore into temp.forget_{name} {fill_in(sql)}").rowcount)


def fill(conn: Connection, name: str, values: Iterable[int | str]) -> None:
    conn.executemany(
        f"insert or ignore into temp.forget_{name} values (?)", [(value,) for value in values]
    )
