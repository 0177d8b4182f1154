"""The people as they stand: what the machine proposes and what people decided, made into rows.

`face_clusters` and `decisions` are the truth; `people`, `faces.person_id` and `faces.person_source`
follow from them and can be rebuilt at any time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..algorithms.spelling import fold
from . import coerce, decisions
from .connection import Connection
from .decisions import ACTIVE, HIDE, UNHIDE
from .face_quality import PORTRAIT_RANK
from .migrations import make_people
from .schema import has_tables
from .standings import Standing, read_standings

NOT_A_FACE = "not-a-face"
"""The key of whom all that is no face belongs to; hidden, so that nothing finds it."""
BY_PERSON, BY_CLUSTER = "person", "cluster"
"""What `faces.person_source` says: somebody decided, or the machine proposes."""

MANY = 20_000
"""From so many faces on it is quicker to look at all of them."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person: id in this file, key everywhere; name None while nobody has named them."""

    id: int
    key: str
    name: str | None
    cover_face_id: int | None
    hidden: bool
    faces: int


def by_id(conn: Connection, person_id: int) -> Person | None:
    """A person by the number in this file."""
    return _one(conn, "id = ?", person_id)


def by_key(conn: Connection, key: str) -> Person | None:
    """A person by what they are known by everywhere."""
    return _one(conn, "key = ?", key)


_NAMED = "name is not null and (faces > 0 or hidden) and key is not ?"
"""Whom a name can mean: also somebody hidden whose faces are gone; of what is no face it is a label."""


def of_name(conn: Connection, name: str) -> list[Person]:
    """Those of this name who have faces, or are hidden, however it is capitalized or composed."""
    rows = conn.execute(f"select {_COLUMNS} from people where {_NAMED}", [NOT_A_FACE])
    return [it for it in map(_person, rows) if fold(it.name or "") == fold(name)]


def keys_by_name(conn: Connection) -> dict[str, list[str]]:
    """The keys of all who have a name and faces, by the folded name."""
    found: dict[str, list[str]] = {}
    for name, key in conn.execute(
        f"select name, key from people where {_NAMED} order by id", [NOT_A_FACE]
    ):
        found.setdefault(fold(name), []).append(key)
    return found


def of_faces(conn: Connection, face_ids: Sequence[int]) -> list[str]:
    """The keys of the people whom these faces belong to."""
    rows = conn.execute(
        "select distinct key from faces join people on people.id = person_id "
        "where faces.id in (select value from json_each(?)) order by key",
        [json.dumps(list(face_ids))],
    )
    return [row[0] for row in rows]


def faces_of(conn: Connection, person_id: int, *, limit: int = -1) -> list[int]:
    """A person's faces, the best first where a few are asked for."""
    order = "id" if limit < 0 else f"{PORTRAIT_RANK} desc, id"
    rows = conn.execute(
        f"select id from faces where person_id = ? order by {order} limit ?", [person_id, limit]
    )
    return [row[0] for row in rows]


def propose(conn: Connection, clusters: Mapping[int, str | None]) -> None:
    """Keep what the machine proposes for these faces: face id -> person's key, None for nobody."""
    conn.executemany(
        "insert or replace into face_clusters(face_id, person_key) values (?, ?)",
        sorted(clusters.items()),
    )


def proposed(conn: Connection, face_ids: Iterable[int] | None = None) -> dict[int, str | None]:
    """What the machine proposes for these faces, or for all."""
    if face_ids is None:
        return dict(conn.execute("select face_id, person_key from face_clusters").fetchall())
    rows = conn.execute(
        "select face_id, person_key from face_clusters "
        "where face_id in (select value from json_each(?))",
        [json.dumps(list(face_ids))],
    )
    return dict(rows.fetchall())


def proposed_for(conn: Connection, *keys: str) -> list[int]:
    """The faces that the machine proposes for these people, or for those merged into them."""
    went = decisions.merged_away(conn)
    wanted = {*keys, *(it for it in went if not set(keys).isdisjoint(follow_merges(it, went)))}
    rows = conn.execute(
        "select face_id from face_clusters where person_key in (select value from json_each(?))",
        [json.dumps(sorted(wanted))],
    )
    return [row[0] for row in rows]


def assign(conn: Connection, face_ids: Iterable[int] | None = None) -> None:
    """Give these faces, or all, to the people whose they are by now; people are made as needed."""
    face_ids = None if face_ids is None else set(face_ids)
    standings = read_standings(conn, face_ids)
    machine = proposed(conn, face_ids)
    wanted = machine.keys() | standings.keys() if face_ids is None else face_ids
    went = decisions.merged_away(conn)
    owners = {
        face_id: _owner(standings.get(face_id, Standing()), machine.get(face_id), went)
        for face_id in sorted(wanted)
    }
    if face_ids is None:
        _give_away_all_others(conn, owners)
    ids = ensure(conn, {key for key, _ in owners.values() if key})
    conn.executemany(
        "update faces set person_id = ?1, person_source = ?2 where id = ?3 "
        "and (person_id is not ?1 or person_source is not ?2)",
        [
            (ids[key] if key else None, source if key else None, face_id)
            for face_id, (key, source) in owners.items()
        ],
    )


def _owner(
    standing: Standing, machine: str | None, went: dict[str, str]
) -> tuple[str | None, str | None]:
    if standing.placed is not None:
        return standing.placed, BY_PERSON
    if machine is None:
        return None, None
    key = follow_merges(machine, went)[-1]
    # Who was not somebody is not whom these were merged into
    apart = {follow_merges(it, went)[-1] for it in standing.apart}
    return (None, None) if key in apart else (key, BY_CLUSTER)


def follow_merges(key: str, went: dict[str, str]) -> list[str]:
    """A person, and into whom they were merged, one after the other."""
    passed = [key]
    while (after := went.get(passed[-1])) is not None and after not in passed:
        passed.append(after)
    return passed


def _give_away_all_others(conn: Connection, owners: dict[int, Any]) -> None:
    conn.execute(
        "update faces set person_id = null, person_source = null where person_id is not null "
        "and id not in (select value from json_each(?))",
        [json.dumps(list(owners))],
    )


def ensure(conn: Connection, keys: Iterable[str]) -> dict[str, int]:
    """The people of these keys, made where they are not there: key -> id."""
    wanted = json.dumps(sorted(keys))
    conn.execute(
        "insert into people(key) select value from json_each(?) "
        "where value not in (select key from people where key is not null) order by key",
        [wanted],
    )
    rows = conn.execute(
        "select key, id from people where key in (select value from json_each(?))", [wanted]
    )
    return dict(rows.fetchall())


def show(conn: Connection, keys: Iterable[str] | None = None) -> None:
    """Give these people, or all, the names that were decided, and say who is hidden; then covers."""
    keys = None if keys is None else set(keys)
    said = _said_of_people(conn, keys)
    wanted = _keys_of(conn) if keys is None else keys
    ids = ensure(conn, {*wanted, *said})
    conn.executemany(
        "update people set name = ?1, hidden = ?2 where key = ?3 and (name is not ?1 or hidden != ?2)",
        [(*_facts(said.get(key, []), key), key) for key in ids],
    )
    covers = {key: ref for key, rows in said.items() if (ref := _cover(conn, rows)) is not None}
    _choose_covers(conn, ids, covers)


_Fact = tuple[str, str | None, int]
"""Kind, value, the decision's id: what was said of a person."""


def _said_of_people(conn: Connection, keys: Iterable[str] | None) -> dict[str, list[_Fact]]:
    among = "" if keys is None else "person_key in (select value from json_each(?)) and "
    rows = conn.execute(
        f"select person_key, kind, value, id from decisions where {among}{ACTIVE} "
        "and person_key is not null order by id",
        [] if keys is None else [json.dumps(sorted(keys))],
    )
    said: dict[str, list[_Fact]] = defaultdict(list)
    for key, *fact in rows:
        said[key].append(tuple(fact))
    return said


def _facts(said: list[_Fact], key: str) -> tuple[str | None, int]:
    if key == NOT_A_FACE:
        return "Not a face", 1  # whatever a log says of it
    name, hidden = None, False
    for kind, value, _ in said:
        name = value if value is not None else name
        hidden = kind == HIDE if kind in (HIDE, UNHIDE) else hidden
    return name, int(hidden)


def _cover(conn: Connection, said: list[_Fact]) -> int | None:
    chosen = [number for kind, _, number in said if kind == "cover"]
    decision = decisions.by_id(conn, chosen[-1]) if chosen else None
    found = decisions.faces_of(conn, decision, decisions.COVER) if decision else []
    return found[0] if found else None


def _choose_covers(conn: Connection, ids: dict[str, int], covers: dict[str, int]) -> None:
    """The cover that was decided, if that face is still theirs; else the best picture."""
    best = f"""
        select people.id, (
            select id from faces where person_id = people.id order by {PORTRAIT_RANK} desc, id limit 1
        ) from people where people.id in (select value from json_each(?))
    """
    chosen = dict(conn.execute(best, [json.dumps(sorted(ids.values()))]).fetchall())
    for key, face_id in covers.items():
        theirs = conn.execute("select person_id from faces where id = ?", [face_id]).fetchone()
        if theirs and theirs[0] == ids[key]:
            chosen[ids[key]] = face_id
    conn.executemany(
        "update people set cover_face_id = ?1 where id = ?2 and cover_face_id is not ?1",
        [(face_id, person_id) for person_id, face_id in chosen.items()],
    )


def reassign_photos(conn: Connection, photo_ids: Iterable[int]) -> None:
    """Give the faces of photos that were written again to those to whom they were given before."""
    rows = conn.execute(
        "select id from faces where photo_id in (select value from json_each(?))",
        [json.dumps(sorted(photo_ids))],
    )
    said = read_standings(conn, [row[0] for row in rows])
    if said:
        update_faces(conn, sorted(said))


def proposes_nothing_for(conn: Connection, model_id: str) -> list[int]:
    """The faces with an embedding by a model that the machine has not looked at yet."""
    rows = conn.execute(
        "select face_id from face_embeddings where model_id = ? "
        "and face_id not in (select face_id from face_clusters) order by face_id",
        [model_id],
    )
    return [row[0] for row in rows]


def in_photos_of(conn: Connection, face_ids: Iterable[int]) -> set[int]:
    """All faces of the photos that these faces are in."""
    rows = conn.execute(
        "select id from faces where photo_id in (select photo_id from faces "
        "where id in (select value from json_each(?)))",
        [json.dumps(list(face_ids))],
    )
    return {row[0] for row in rows}


def some_of(conn: Connection, keys: Iterable[str], count: int) -> list[int]:
    """Up to so many faces of each of those for whom the machine proposes some."""
    rows = conn.execute(
        "select others.value from json_each(?) as wanted, json_each((select json_group_array(face_id) "
        "from (select face_id from face_clusters where person_key = wanted.value "
        "order by face_id limit ?))) as others",
        [json.dumps(sorted(keys)), count],
    )
    return [row[0] for row in rows]


def update_faces(conn: Connection, face_ids: Sequence[int]) -> None:
    """Give these faces to whom they belong by now, and show those whom that touches."""
    many = len(face_ids) > MANY
    before = [] if many else of_faces(conn, face_ids)
    assign(conn, None if many else face_ids)
    show(conn, None if many else {*before, *of_faces(conn, face_ids)})
    if many:
        forget_empty(conn)


def rebuild(conn: Connection) -> None:
    """Rebuild everybody from the decisions and the machine's proposals, the table itself too."""
    if not has_tables(conn, "people"):
        make_people(conn)
    # Of people who are gone; the same number may be somebody else's soon
    conn.execute(
        "update faces set person_id = null, person_source = null "
        "where person_id not in (select id from people)"
    )
    assign(conn)
    show(conn)
    forget_empty(conn)


def forget_empty(conn: Connection) -> None:
    """Remove people whom nobody and nothing names any more; and count the faces of the others."""
    conn.execute(
        """
        update people set faces = counted.faces from (
            select people.id, count(faces.id) as faces
            from people left join faces on person_id = people.id group by people.id
        ) as counted
        where counted.id = people.id and counted.faces != people.faces
        """
    )
    conn.execute(
        """
        delete from people where faces = 0
            and not exists (select 1 from decisions where person_key = key)
            and not exists (select 1 from decisions where other_key = key)
            and not exists (select 1 from face_clusters where person_key = key)
        """
    )


def _keys_of(conn: Connection) -> list[str]:
    return [row[0] for row in conn.execute("select key from people where key is not null")]


_COLUMNS = "id, key, name, cover_face_id, hidden, faces"


def _one(conn: Connection, where: str, value: object) -> Person | None:
    row = conn.execute(f"select {_COLUMNS} from people where {where}", [value]).fetchone()
    return _person(row) if row else None


def _person(row: Sequence[Any]) -> Person:
    number, key, name, cover, hidden, faces = row
    return Person(
        id=number,
        key=coerce.text(key) or "",
        name=coerce.text(name),
        cover_face_id=coerce.row_id(cover),
        hidden=bool(hidden),
        faces=coerce.count(faces),
    )


def listed(conn: Connection, *, named: bool = False) -> list[Person]:
    """Those who have faces, and a name if that is asked for, most faces first."""
    wanted = f"faces > 0 and key != '{NOT_A_FACE}'"
    wanted += " and name is not null" if named else ""
    rows = conn.execute(f"select {_COLUMNS} from people where {wanted} order by faces desc, id")
    return [_person(row) for row in rows]
