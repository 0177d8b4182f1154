"""What the pages of people read: the wall of all of them, and one person's faces, company and merges."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..algorithms.spelling import compose
from . import catalogue, coerce, decisions, people
from .connection import Connection
from .face_quality import IS_DOUBTFUL
from .file_facts import file_fact
from .gallery import CARD_COLUMNS, Query, Row, as_query, lean, rows
from .schema import has_tables, read_schema
from .select import Select

SHOWN = {
    "all": (0, None),
    "named": (0, 1),
    "unnamed": (0, 0),
    "hidden": (1, None),
}
"""What a wall can show: whether those are hidden, and whether they have a name, if that counts."""
NEEDED = {"people": {"id", "key", "name", "cover_face_id", "hidden", "faces"}, "decisions": {"uid"}}
"""Tables and columns of migration 0003, without which there is no wall."""
# Whom a person placed is not in doubt, however bad the picture
DOUBTFUL = f"(faces.person_source = 'cluster' and {IS_DOUBTFUL})"
# Without a date: at the end, as no day comes after ~
_ORDER = f"{DOUBTFUL}, coalesce(faces.photo_taken_at, '~'), faces.id"
COMPANY_OF = 5_000
"""Whom somebody is seen with is told of so many of their faces: more take longer than a page may."""

TOGETHER = f"""
select people.id as person_id, people.name, count(distinct mine.photo_id) as photos,
    people.faces, people.cover_face_id as face_id
from (select photo_id from faces where person_id = :person_id limit {COMPANY_OF}) as mine
join faces as theirs on theirs.photo_id = mine.photo_id
join people on people.id = theirs.person_id
where people.id != cast(:person_id as integer) and not people.hidden
group by people.id order by photos desc, people.id limit :limit
""".strip()


@dataclass(frozen=True, slots=True)
class After:
    """Whom a page of the wall ended with: whether they had a name, how many faces, their id."""

    named: int
    faces: int
    person_id: int


@file_fact
def has_people(conn: Connection) -> bool:
    """Whether a file has people and decisions as these pages need them; a catalogue has no decisions."""
    schema = read_schema(conn, *NEEDED)
    return all(
        schema.has_columns(table, *columns)
        for table, columns in NEEDED.items()
        if table != "decisions" or not catalogue.is_catalogue(conn)
    )


_WALL_COLUMNS = (
    "people.id as person_id",
    "people.name",
    "people.faces",
    "people.hidden",
    "people.cover_face_id as face_id",
    "faces.crop",
)


def people_query(show: str, *, name: str, after: After | None, limit: int) -> Query:
    """People as a query: those without a name first, then by their number of faces."""
    conditions, params = _conditions(show, name, after)
    # Where all are named, or nobody: not an order that SQLite would see through
    first = "" if name or SHOWN[show][1] is not None else "people.name is not null, "
    # The join brings a picture to those who edit the query; order and limit are the index's
    select = Select(
        _WALL_COLUMNS,
        "people left join faces on faces.id = people.cover_face_id",
        tuple(conditions),
        order_by=f"{first}people.faces desc, people.id",
        limit=":limit",
    )
    lean = replace(select.without("crop"), source="people")
    return as_query(select, {**params, "limit": limit}, lean=lean)


def _conditions(show: str, name: str, after: After | None) -> tuple[list[str], Row]:
    hidden, named = SHOWN[show]
    conditions = [f"people.hidden = {hidden}"]
    params: Row = {}
    if named is not None or name:
        # Nobody is found by a name who has none
        conditions.append(f"(people.name is not null) = {1 if name else named}")
    conditions.append("people.faces > 0")
    if name:
        spelt = _spellings(name)
        liked = [f"people.name like :name{n or ''} escape '\\'" for n in range(len(spelt))]
        conditions.append(f"({' or '.join(liked)})")
        params |= {f"name{n or ''}": f"%{it}%" for n, it in enumerate(spelt)}
    if after is not None:
        params |= {"after_faces": after.faces, "after_id": after.person_id}
        conditions.append(_beyond(after, every=named is None and not name))
    return conditions, params


def _spellings(name: str) -> list[str]:
    """A part of a name as `like` takes it; of é and É SQLite does not know that they are one."""
    escaped = compose(name).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if escaped.isascii():
        return [escaped]
    return list(dict.fromkeys((escaped, escaped.lower(), escaped.title(), escaped.upper())))


def _beyond(after: After, *, every: bool) -> str:
    # Written so that the index begins there, not at the first person of all
    fewer = "people.faces < :after_faces or people.faces = :after_faces and people.id > :after_id"
    if not every:
        return f"people.faces <= :after_faces and ({fewer})"
    later = f"(people.name is not null) > {after.named}"
    return f"(people.name is not null) >= {after.named} and ({later} or {fewer})"


@file_fact
def count_people(conn: Connection) -> dict[str, int]:
    """How many people each of SHOWN has."""
    found = conn.execute(
        "select hidden, name is not null, count(*) from people where faces > 0 group by 1, 2"
    ).fetchall()
    return {
        show: sum(
            n
            for is_hidden, is_named, n in found
            if is_hidden == hidden and named in (None, is_named)
        )
        for show, (hidden, named) in SHOWN.items()
    }


def known_names(conn: Connection, *, limit: int) -> list[str]:
    """Names to choose from, those of most faces first."""
    query = people_query("named", name="", after=None, limit=limit)
    return list(dict.fromkeys(row["name"] for row in rows(conn, lean(query))))


def read_people(conn: Connection, query: Query) -> list[Row]:
    """The people of a wall's query, without the crops."""
    return rows(conn, lean(query))


def next_unnamed(conn: Connection, faces: int, person_id: int) -> int | None:
    """The person without a name whom the queue has after one of so many faces, or its first."""
    for after in (After(0, faces, person_id), None):
        for row in read_people(conn, people_query("unnamed", name="", after=after, limit=2)):
            if row["person_id"] != person_id:
                return int(row["person_id"])
    return None


def people_by_id(conn: Connection, person_ids: Iterable[int | None]) -> dict[int, Row]:
    """Who these people are, by id: their name, cover, number of faces, and whether they are hidden.

    reserved: whether it is the one that all belongs to that is no face.
    """
    wanted = sorted({it for it in person_ids if it is not None})
    found = rows(
        conn,
        Query(
            "select id as person_id, name, faces, hidden, cover_face_id as face_id, "
            "key is :reserved as reserved from people "
            "where id in (select value from json_each(:ids))",
            {"ids": json.dumps(wanted), "reserved": people.NOT_A_FACE},
        ),
    )
    return {row["person_id"]: row for row in found}


def people_of_faces(conn: Connection, face_ids: Iterable[int]) -> dict[int, Row]:
    """The person that each of these faces is of, by the face's id; nothing for a face of nobody."""
    found = conn.execute(
        "select id, person_id from faces where id in (select value from json_each(?))",
        [json.dumps(list(face_ids))],
    ).fetchall()
    person_of = {face_id: coerce.row_id(person_id) for face_id, person_id in found}
    known = people_by_id(conn, person_of.values())
    return {
        face_id: known[person_id]
        for face_id, person_id in person_of.items()
        if person_id is not None and person_id in known
    }


_FACE_COLUMNS = (
    *CARD_COLUMNS,
    "faces.person_id",
    "faces.person_source",
    f"coalesce({DOUBTFUL}, 0) as doubtful",
    "faces.crop",
)


def faces_query(person_id: int, *, after: int | None, limit: int) -> Query:
    """A person's faces as a query, by their photo's date, those in doubt at the end."""
    params = {"person_id": person_id, "limit": limit}
    chosen = Select(("faces.id",), "faces", ("faces.person_id = :person_id",), _ORDER, ":limit")
    if after is not None:
        params["after"] = after
        last = Select((_ORDER,), "faces", ("faces.id = cast(:after as integer)",))
        chosen = chosen.filtered(f"({_ORDER}) > {last.nested}")
    select = Select(
        _FACE_COLUMNS,
        "faces join photos on photos.id = faces.photo_id",
        (f"faces.id in {chosen.nested}",),
        order_by=_ORDER,
    )
    return as_query(select, params)


def seen_together(conn: Connection, person_id: int, *, limit: int) -> list[Row]:
    """Those who are in the most photos with somebody; people who are hidden are left out."""
    return rows(conn, Query(TOGETHER, {"person_id": person_id, "limit": limit}))


def merged_into(conn: Connection, key: str) -> int | None:
    """The id of the person whom somebody was merged into, at the end of the way."""
    if not has_tables(conn, "decisions"):
        return None  # a catalogue
    way = people.follow_merges(key, decisions.merged_away(conn))
    found = people.by_key(conn, way[-1]) if len(way) > 1 else None
    return found.id if found else None
