"""Who is hidden, and where: so that what was decided elsewhere shows nobody by the way."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..shapes import Box, FloatArray, ModelInfo
from . import coerce, decisions, embeddings, lost_faces, people, standings
from .connection import Connection
from .people import NOT_A_FACE
from .schema import has_tables

Place = tuple[str, Box]
"""A photo's content, and a box in it."""


@dataclass(frozen=True)
class Hidden:
    """Who is hidden, by key; and whose all that is that they have, by key. What is no face is left out.

    people: by themselves, or merged into somebody who is. faces: those that are here. places: where
    decisions put somebody, whether a face is there or not: it may come with the next ingest.
    """

    people: frozenset[str]
    faces: dict[int, str]
    places: dict[Place, str]
    called: dict[str, str]
    """The name that each has, or the number."""


def now(conn: Connection) -> Hidden:
    """Who is hidden as the table of people stands."""
    keys = _keys(conn) - {NOT_A_FACE}
    faces = conn.execute(
        "select faces.id, key from faces join people on people.id = person_id "
        "where hidden and key != ?",
        [NOT_A_FACE],
    ).fetchall()
    away = merged_into(conn, keys)
    called = {}
    for key in keys | away.keys():
        person = people.by_key(conn, away.get(key, key))
        called[key] = (person and person.name) or f"person {person.id if person else key}"
    places = _placed(conn, _named_by(conn, keys)).items()
    placed = {place: key for place, key in places if key is not None and key in keys}
    return Hidden(frozenset(away), dict(faces), placed, called)


@dataclass(frozen=True)
class HiddenVectors:
    """Embeddings of hidden people's faces by a model: (n, d), with the key of each and its photo.

    Of faces that are in their photos, and of those that an edit took away.
    """

    keys: tuple[str, ...]
    photo_ids: tuple[int, ...]
    vectors: FloatArray


def read_vectors(conn: Connection, model: ModelInfo) -> HiddenVectors:
    """The embeddings by which a model knows hidden people; what is no face is left out."""
    found: list[tuple[str, int, FloatArray]] = []
    rows = conn.execute(
        # A face that was added by its box alone is known by where it is, and by nothing else
        "select faces.id, key, photo_id from faces join people on people.id = person_id "
        "where hidden and key != ? and detection_score > 0",
        [NOT_A_FACE],
    )
    owners = {face_id: (key, photo_id) for face_id, key, photo_id in rows}
    ids, vectors = embeddings.of_faces(conn, model.id, owners)
    found += [(*owners[it], vector) for it, vector in zip(ids.tolist(), vectors, strict=True)]
    away = merged_into(conn, _keys(conn) - {NOT_A_FACE})
    found += [
        (away[lost.person_key], lost.photo_id, lost.embedding)
        for lost in lost_faces.of_person_keys(conn, model.id, set(away))
        if lost.person_key and len(lost.embedding) == model.dimensions
    ]
    stacked = np.stack([it[2] for it in found]) if found else np.empty((0, 0), np.float32)
    return HiddenVectors(tuple(it[0] for it in found), tuple(it[1] for it in found), stacked)


def keys_of_hidden(conn: Connection) -> set[str]:
    """The keys of the people who are hidden and have a face, here or lost by an edit; no merged ones."""
    keys = _keys(conn) - {NOT_A_FACE}
    away = merged_into(conn, keys)
    rows = conn.execute(
        "select distinct key from faces join people on people.id = person_id where hidden"
    )
    there = {row[0] for row in rows}
    if has_tables(conn, "lost_faces"):
        rows = conn.execute(
            "select distinct person_key from lost_faces where person_key is not null"
        )
        there |= {away[row[0]] for row in rows if row[0] in away}
    return keys & there


def shown_since(conn: Connection, before: Hidden) -> list[str]:
    """What those are called who were hidden, and of whom something is not any more."""
    keys, went = _keys(conn), decisions.merged_away(conn)
    shown = {key for key in before.people if people.follow_merges(key, went)[-1] not in keys}
    rows = conn.execute(
        "select faces.id from faces left join people on people.id = person_id "
        "where faces.id in (select value from json_each(?)) and hidden is not 1",
        [json.dumps(list(before.faces))],
    )
    shown |= {before.faces[row[0]] for row in rows}
    placed = _placed(conn, before.places)
    shown |= {key for place, key in before.places.items() if placed.get(place) not in keys}
    return sorted({before.called[key] for key in shown})


def merged_into(conn: Connection, keys: set[str]) -> dict[str, str]:
    """These people and all who were merged into them, each with the key of whom they are by now."""
    went = decisions.merged_away(conn)
    ends = {key: people.follow_merges(key, went)[-1] for key in {*keys, *went}}
    return {key: end for key, end in ends.items() if end in keys}


def _keys(conn: Connection) -> set[str]:
    rows = conn.execute("select key from people where hidden and key is not null")
    return {row[0] for row in rows}


def _named_by(conn: Connection, keys: Iterable[str]) -> list[Place]:
    """Each place that a decision ever put into one of these people."""
    rows = conn.execute(
        "select distinct sha256, x, y, width, height from decisions "
        "join decision_faces on decision_id = decisions.id "
        "where role = ? and person_key in (select value from json_each(?))",
        [decisions.MEMBER, json.dumps(sorted(keys))],
    )
    return [(coerce.text(sha256) or "", coerce.box(*box)) for sha256, *box in rows]


def _placed(conn: Connection, places: Iterable[Place]) -> dict[Place, str | None]:
    """Whom decisions put at each of these places, as it stands after the last word."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    for sha256, box in places:
        boxes[sha256].append(box)
    found: dict[Place, str | None] = {}
    for sha256, said in standings.statements_by_content(conn, boxes).items():
        for box in boxes[sha256]:
            # Each by itself: the boxes of two models are one face, and neither takes the other's words
            standing = standings.match_statements(said, {sha256: {0: box}}).get(0)
            found[sha256, box] = standing.placed if standing else None
    return found
