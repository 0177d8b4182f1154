"""Where a hidden person may be seen beyond the faces that are theirs: what else an export redacts.

A face that nobody placed may be theirs, as its embedding says; and in a photo that was edited somebody
hidden may be where no detector finds them. The choice of faces is in `selection`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from ...shapes import FloatArray, ModelInfo
from ...store import coerce, embeddings, hidden_people, models
from ...store.connection import Connection
from ...store.people import BY_CLUSTER
from ...store.schema import has_tables

MARGIN = 0.05
"""So far below its threshold a model's word counts: a face is smaller in a published picture, and its
cosine to the same faces a little higher or lower."""
CHUNK_FACES = 4_096
"""Faces that are compared at once."""


def redact(conn: Connection, *, edited: bool) -> None:
    """Redact where a hidden person may be seen, of what is chosen.

    edited: whether photos are published in which a hidden person is unaccounted for.
    After that the temporary table `redacted` holds further faces to blur; `withheld` those that are
    chosen no longer, each with the reason: it resembles a hidden person, or a hidden person is
    unaccounted for.
    """
    lookalikes = find_lookalikes(conn)
    conn.executemany("insert into redacted values (?)", [(it,) for it in sorted(lookalikes)])
    photos = [] if edited else find_unaccounted_photos(conn, lookalikes)
    withhold = "insert or ignore into withheld select id, photo_id, ? from chosen where"
    conn.execute(f"{withhold} id in (select id from redacted)", ["resembling"])
    conn.execute(
        f"{withhold} photo_id in (select value from json_each(?))",
        ["unaccounted", json.dumps(photos)],
    )
    conn.execute("delete from chosen where id in (select id from withheld)")


def list_unaccounted(conn: Connection) -> list[str]:
    """The paths of the photos that are left out as a hidden person is unaccounted for; after `redact`."""
    rows = conn.execute(
        "select path from photos where id in "
        "(select photo_id from withheld where reason = 'unaccounted') order by path"
    )
    return [coerce.text(row[0]) or "" for row in rows]


Lookalikes = dict[int, set[str]]
"""By a face's id, the keys of the hidden people whom it resembles."""


def find_lookalikes(conn: Connection) -> Lookalikes:
    """The faces that nobody placed and that resemble hidden people, in photos of chosen faces.

    Left alone are faces that somebody placed by hand, and those grouped with a named person whose
    confirmed faces they resemble more. Beside the hidden person in the same photo it takes the whole
    threshold: nobody is twice in a photo but in a mirror.
    """
    if not hidden_people.keys_of_hidden(conn):
        return {}
    rows = conn.execute(
        """
        select faces.id, photo_id from faces left join people on people.id = person_id
        where photo_id in (select photo_id from chosen)
            and (person_id is null or person_source is ?) and coalesce(people.hidden, 0) = 0
        """,
        [BY_CLUSTER],
    )
    photo_of = dict(rows.fetchall())
    if not photo_of:
        return {}
    found: Lookalikes = defaultdict(set)
    for model in models.every(conn):
        hidden = hidden_people.read_vectors(conn, model)
        there = set(zip(hidden.keys, hidden.photo_ids, strict=True))
        for face_id, like, likeness in _resembling(conn, model, hidden.vectors, list(photo_of)):
            key = hidden.keys[like]
            if likeness >= model.threshold or (key, photo_of[face_id]) not in there:
                found[face_id].add(key)
    return found


def _resembling(
    conn: Connection, model: ModelInfo, theirs: FloatArray, unplaced: list[int]
) -> Iterator[tuple[int, int, float]]:
    """Those of the unplaced faces that resemble hidden ones by a model: which ones, and how much."""
    for start in range(0, len(unplaced) if len(theirs) else 0, CHUNK_FACES):
        ids, vectors = embeddings.of_faces(conn, model.id, unplaced[start : start + CHUNK_FACES])
        for first in range(0, len(theirs) if len(ids) else 0, CHUNK_FACES):
            likeness = vectors @ theirs[first : first + CHUNK_FACES].T
            own: dict[int, float] = {}
            for row, column in np.argwhere(likeness >= model.threshold - MARGIN).tolist():
                face_id = int(ids[row])
                if row not in own:
                    own[row] = _likeness_to_own(conn, model, face_id, vectors[row])
                if likeness[row, column] >= own[row]:
                    yield face_id, first + column, float(likeness[row, column])


def _likeness_to_own(conn: Connection, model: ModelInfo, face_id: int, vector: FloatArray) -> float:
    """How much a face resembles the named person with whom it was grouped; -1 where there is none."""
    others = _ids(
        conn,
        """
        select others.id from faces join people on people.id = faces.person_id
        join faces as others on others.person_id = people.id and others.id != faces.id
            and others.person_source is not ?
        where faces.id = ? and trim(coalesce(people.name, '')) != ''
        """,
        BY_CLUSTER,
        face_id,
    )
    _, theirs = embeddings.of_faces(conn, model.id, others)
    return float((theirs @ vector).max()) if len(theirs) else -1.0


def find_unaccounted_photos(conn: Connection, lookalikes: Lookalikes) -> list[int]:
    """Photos of chosen faces that were edited, and in which a hidden person is not found any more.

    lookalikes: faces that are blurred; one that resembles the person accounts for them.
    """
    if not has_tables(conn, "lost_faces"):
        return []
    hidden = hidden_people.keys_of_hidden(conn)
    away = hidden_people.merged_into(conn, hidden)
    rows = conn.execute(
        "select distinct photo_id, person_key from lost_faces where person_key is not null "
        "and expected and photo_id in (select photo_id from chosen) order by photo_id"
    )
    missing = {(photo_id, away[former]) for photo_id, former in rows if former in away}
    return sorted(
        {photo for photo, key in missing if not _is_accounted_for(conn, photo, key, lookalikes)}
    )


def _is_accounted_for(conn: Connection, photo_id: int, key: str, lookalikes: Lookalikes) -> bool:
    """Whether a hidden person has a face in a photo, or a face is blurred that may be theirs."""
    rows = conn.execute(
        "select faces.id, key from faces left join people on people.id = person_id "
        "where photo_id = ?",
        [photo_id],
    )
    return any(owner == key or key in lookalikes.get(face_id, ()) for face_id, owner in rows)


def _ids(conn: Connection, sql: str, *bound: object) -> list[int]:
    return [row[0] for row in conn.execute(sql, bound)]
