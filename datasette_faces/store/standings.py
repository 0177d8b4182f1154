"""What the decisions say of each face, as it stands after the last word."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..algorithms import geometry
from ..shapes import Box
from . import coerce, former_faces
from .connection import Connection
from .decisions import ACTIVE, APART, MEMBER


@dataclass(frozen=True, slots=True)
class Standing:
    """What the decisions say of one face: whose it is, if anybody said so, and whose it is not.

    decided_by: the number of the last decision that says something of it.
    """

    placed: str | None = None
    apart: frozenset[str] = frozenset()
    decided_by: int = 0


def read_standings(conn: Connection, face_ids: Iterable[int] | None = None) -> dict[int, Standing]:
    """What decisions say of faces, or of all; faces of which nothing is said are left out."""
    face_ids = None if face_ids is None else set(face_ids)
    photos = _photos_of(conn, face_ids)
    said = _statements_by_photo(conn, photos)
    contents = set().union(*map(contents_of, said.values()))
    faces = former_faces.boxes_by_content(conn, contents)
    found: dict[int, Standing] = {}
    for photo_id, of_photo in said.items():
        there = {
            content: faces.get(content, {}).get(photo_id, {}) for content in contents_of(of_photo)
        }
        found |= match_statements(of_photo, there)
    wanted = found.keys() if face_ids is None else found.keys() & face_ids
    return {face_id: found[face_id] for face_id in wanted}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a decision says of the face that is in a box of a content."""

    decision_id: int
    role: str
    person_key: str | None
    sha256: str
    box: Box


def contents_of(said: Iterable[Statement]) -> set[str]:
    """The contents that statements are about."""
    return {statement.sha256 for statement in said}


Statements = list[Statement]
"""What was said of the faces of one photo, in order."""


def _photos_of(conn: Connection, face_ids: Iterable[int] | None) -> str | None:
    if face_ids is None:
        return None
    rows = conn.execute(
        "select distinct photo_id from faces where id in (select value from json_each(?))",
        [json.dumps(list(face_ids))],
    )
    return json.dumps([row[0] for row in rows if coerce.row_id(row[0]) is not None])


_CONTENTS = """
    select sha256, id as photo_id from photos {}
    union all select sha256, photo_id from photo_contents {}
"""


def _statements_by_photo(conn: Connection, photos: str | None) -> dict[int, Statements]:
    """What holds of faces in photos, or in all, by photo."""
    contents, first, second = _CONTENTS.format("", ""), "decision_faces", "contents"
    if photos is not None:
        among = "where {} in (select value from json_each(:photos))"
        contents = _CONTENTS.format(among.format("id"), among.format("photo_id"))
        first, second = second, first
    rows = conn.execute(
        f"""
        with contents as materialized ({contents})
        select photo_id, decision_id, role, person_key, contents.sha256, x, y, width, height
        from {first} cross join {second} on contents.sha256 = decision_faces.sha256
        cross join decisions on decisions.id = decision_id
        where role in ('{MEMBER}', '{APART}') and {ACTIVE}
        order by decision_id, decision_faces.rowid
        """,
        {} if photos is None else {"photos": photos},
    )
    return _by_first(rows)


def statements_by_content(conn: Connection, contents: Iterable[str]) -> dict[str, Statements]:
    """What holds of faces in photos by their contents, whether the photos are here or not."""
    rows = conn.execute(
        f"""
        select sha256, decision_id, role, person_key, sha256, x, y, width, height
        from json_each(?) cross join decision_faces on sha256 = json_each.value
        cross join decisions on decisions.id = decision_id
        where role in ('{MEMBER}', '{APART}') and {ACTIVE}
        order by decision_id, decision_faces.rowid
        """,
        [json.dumps(sorted(contents))],
    )
    return _by_first(rows)


def _by_first(rows: Iterable[Sequence[Any]]) -> dict[Any, Statements]:
    said: dict[Any, Statements] = defaultdict(list)
    for first, number, role, key, sha256, *box in rows:
        box_in = coerce.box(*box)
        content = coerce.text(sha256) or ""
        said[first].append(Statement(number, role, coerce.text(key), content, box_in))
    return said


def match_statements(
    said: Statements, faces: Mapping[str, Mapping[int, Box]]
) -> dict[int, Standing]:
    """What was said of a photo's faces, as it stands after the last word.

    faces: by content, the box that each has in it.
    """
    found: dict[int, Standing] = {}
    for statement in said:
        number, role, key = statement.decision_id, statement.role, statement.person_key
        face_id = geometry.find_same_face(statement.box, faces.get(statement.sha256, {}))
        if face_id is None or key is None:
            continue
        before = found.get(face_id, Standing())
        if role == MEMBER:
            found[face_id] = Standing(key, before.apart - {key}, number)
        else:
            placed = None if before.placed == key else before.placed
            found[face_id] = Standing(placed, before.apart | {key}, number)
    return found
