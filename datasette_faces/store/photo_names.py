"""Names that other programs say of whole photos, what of them was read, and whom they may mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ..algorithms.name_assignment import NamedPhoto, Proposal
from ..algorithms.spelling import fold
from .connection import Connection
from .people import NOT_A_FACE
from .schema import has_tables


def save_names(
    conn: Connection, photo_id: int, names: Iterable[tuple[str, str]], read: tuple[str, str]
) -> None:
    """Keep the names that are said of a photo, and that they were read.

    names: each with what said so. read: the photo's hash, and its sidecars as `naming` tells them.
    """
    conn.execute("delete from said_names where photo_id = ?", [photo_id])
    conn.executemany(
        "insert or ignore into said_names(photo_id, name, source) values (?, ?, ?)",
        [(photo_id, name, source) for name, source in names],
    )
    save_read(conn, photo_id, read)


def save_read(conn: Connection, photo_id: int, read: tuple[str, str]) -> None:
    """Keep what was read of a photo: its hash, and a digest of what was read and its sidecars."""
    conn.execute(
        "insert or replace into names_read(photo_id, sha256, sidecars) values (?, ?, ?)",
        [photo_id, *read],
    )


def named_photos(conn: Connection) -> list[NamedPhoto]:
    """The photos of which names are said, with the keys of the people whose faces are in them."""
    names: dict[int, set[str]] = defaultdict(set)
    for photo_id, name in conn.execute("select photo_id, name from said_names"):
        names[photo_id].add(name)
    rows = conn.execute(
        "select photo_id, key from faces join people on people.id = person_id "
        "where photo_id in (select photo_id from said_names) and key != ?",
        [NOT_A_FACE],
    )
    keys: dict[int, set[str]] = defaultdict(set)
    for photo_id, key in rows:
        keys[photo_id].add(key)
    return [NamedPhoto(frozenset(said), frozenset(keys[it])) for it, said in sorted(names.items())]


def named_people(conn: Connection) -> dict[str, str]:
    """The keys of those who are said to be somewhere by the name that they have here."""
    here = {
        fold(name): key
        for name, key in conn.execute("select name, key from people where name is not null")
    }
    said = (row[0] for row in conn.execute("select distinct name from said_names"))
    return {name: here[fold(name)] for name in said if fold(name) in here}


def save_proposals(conn: Connection, proposals: Iterable[Proposal]) -> None:
    """Keep these proposals and no others."""
    conn.execute("delete from name_proposals")
    conn.executemany(
        "insert or ignore into name_proposals(person_key, name, confidence, together, apart) "
        "values (?, ?, ?, ?, ?)",
        [(it.person_key, it.name, it.confidence, it.together, it.apart) for it in proposals],
    )


def proposal_of_person(conn: Connection, person_id: int) -> Proposal | None:
    """The name that is proposed for somebody who has none. Of an older file: none."""
    sql = f"select said.name, key, confidence, together, apart {_OPEN} and people.id = ?"
    if not has_tables(conn, "name_proposals"):
        return None
    row = conn.execute(sql, [person_id]).fetchone()
    return Proposal(*row) if row else None


def count_proposals(conn: Connection) -> int:
    """How many people have no name, and one is proposed for them."""
    return int(conn.execute(f"select count(*) {_OPEN}").fetchone()[0])


_OPEN = (
    "from name_proposals said join people on people.key = person_key where people.name is null "
    "and people.faces > 0 and not people.hidden and not exists ("
    "select 1 from people taken where taken.name = said.name collate nocase and taken.faces > 0)"
)
