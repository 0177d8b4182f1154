"""The names that go with people: present and former ones, however they are spelled elsewhere."""

from __future__ import annotations

from ..algorithms.spelling import fold
from . import forget_choice
from .connection import Connection

PRESENT, FORMER = "names", "former"
_THEIRS = {
    PRESENT: "select name from people where key in {keys} and name is not null",
    FORMER: "select value from decisions where person_key in {keys} and value is not null",
}


def choose_names(conn: Connection) -> None:
    """Choose the names of the chosen people, in all spellings that are there; not those of who stays."""
    staying = _read(conn, "select name from people where key not in {keys} and name is not null")
    taken = {fold(name) for name in staying}
    said = _read(conn, "select name from said_names union select name from name_proposals")
    for kind, sql in _THEIRS.items():
        theirs = _read(conn, sql)
        folded = {fold(name) for name in theirs} - taken
        conn.execute(f"delete from temp.forget_{kind}")
        names = [name for name in (*theirs, *said) if fold(name) in folded]
        forget_choice.fill(conn, kind, names)


def count_named_paths(conn: Connection) -> int:
    """The photos that stay whose path has a name that goes: a folder may be called so."""
    names = {
        fold(name) for kind in _THEIRS for name in _read(conn, f"select * from temp.forget_{kind}")
    }
    rows = conn.execute(
        forget_choice.fill_in(
            "select photo_id, path from photo_paths where photo_id not in {photos}"
        )
    )
    found: set[int] = set()
    if names:
        found.update(number for number, path in rows if any(name in fold(path) for name in names))
    return len(found)


def _read(conn: Connection, sql: str) -> list[str]:
    return [str(row[0]) for row in conn.execute(forget_choice.fill_in(sql))]
