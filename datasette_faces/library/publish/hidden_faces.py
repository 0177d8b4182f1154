"""Where a hidden person may be seen beyond the faces that are theirs: what else an export redacts.

A face that nobody placed may be theirs, as its embedding says; and in a photo that was edited somebody
hidden may be where no detector finds them. The choice of faces is in `selection`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from ...shapes import FloatArray, ModelInfo
from ...store import coerce, decisions, embeddings, models, people
from ...store.connection import Connection
from ...store.people import BY_PERSON, NOT_A_FACE
from ...store.schema import has_tables

MARGIN = 0.05
"""So far below its threshold a model's word counts: a face is smaller in a published picture, and its
cosine to the same faces a little higher or lower."""
CHUNK_FACES = 4_096
"""Faces that are compared at once."""


def redact(conn: Connection) -> None:
    """Redact where a hidden person may be seen, of what is chosen.

    After that the temporary table `redacted` holds further faces to blur; `withheld` those that are
    chosen no longer, each with the reason: it resembles a hidden person, or a hidden person is
    unaccounted for.
    """
    lookalikes = find_lookalikes(conn)
    conn.executemany("insert into redacted values (?)", [(it,) for it in sorted(lookalikes)])
    photos = find_unaccounted_photos(conn, lookalikes)
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


def find_lookalikes(conn: Connection) -> set[int]:
    """The faces that nobody placed and that resemble a hidden person, in photos of chosen faces.

    Left alone are faces that somebody placed by hand, those grouped with a named person whom they
    resemble more. Beside the hidden person in the same photo it takes the whole threshold: nobody is
    twice in a photo but in a mirror.
    """
    hidden = {
        face_id: (person_id, photo_id)
        for face_id, person_id, photo_id in conn.execute(
            "select faces.id, people.id, photo_id from faces join people on people.id = person_id "
            "where hidden and key != ?",
            [NOT_A_FACE],
        )
    }
    if not hidden:
        return set()
    rows = conn.execute(
        """
        select faces.id, photo_id from faces left join people on people.id = person_id
        where photo_id in (select photo_id from chosen) and person_source is not ?
            and coalesce(people.hidden, 0) = 0
        """,
        [BY_PERSON],
    )
    photo_of = dict(rows.fetchall())
    there = set(hidden.values())
    return {
        face_id
        for model in models.every(conn)
        for face_id, like, likeness in _resembling(conn, model, list(hidden), list(photo_of))
        if likeness >= model.threshold or (hidden[like][0], photo_of[face_id]) not in there
    }


def _resembling(
    conn: Connection, model: ModelInfo, hidden: list[int], unplaced: list[int]
) -> Iterator[tuple[int, int, float]]:
    """Those of the unplaced faces that resemble hidden ones by a model: which ones, and how much."""
    hidden_ids, theirs = embeddings.of_faces(conn, model.id, hidden)
    for start in range(0, len(unplaced), CHUNK_FACES):
        ids, vectors = embeddings.of_faces(conn, model.id, unplaced[start : start + CHUNK_FACES])
        for first in range(0, len(theirs) if len(ids) else 0, CHUNK_FACES):
            likeness = vectors @ theirs[first : first + CHUNK_FACES].T
            own: dict[int, float] = {}
            for row, column in np.argwhere(likeness >= model.threshold - MARGIN).tolist():
                face_id = int(ids[row])
                if row not in own:
                    own[row] = _likeness_to_own(conn, model, face_id, vectors[row])
                if likeness[row, column] >= own[row]:
                    yield face_id, int(hidden_ids[first + column]), float(likeness[row, column])


def _likeness_to_own(conn: Connection, model: ModelInfo, face_id: int, vector: FloatArray) -> float:
    """How much a face resembles the named person with whom it was grouped; -1 where there is none."""
    others = _ids(
        conn,
        """
        select others.id from faces join people on people.id = faces.person_id
        join faces as others on others.person_id = people.id and others.id != faces.id
        where faces.id = ? and trim(coalesce(people.name, '')) != ''
        """,
        face_id,
    )
    _, theirs = embeddings.of_faces(conn, model.id, others)
    return float((theirs @ vector).max()) if len(theirs) else -1.0


def find_unaccounted_photos(conn: Connection, redacted: set[int]) -> list[int]:
    """Photos of chosen faces that were edited, and in which a hidden person is not found any more.

    redacted: further faces that are blurred: one of these accounts for a hidden person.
    """
    if not has_tables(conn, "former_faces"):
        return []
    hidden = {row[0] for row in conn.execute("select key from people where hidden")} - {NOT_A_FACE}
    went = decisions.merged_away(conn)
    rows = conn.execute(
        "select distinct photo_id, person_key from former_faces where face_id is null "
        "and person_key is not null and photo_id in (select photo_id from chosen) order by photo_id"
    )
    missing = {
        (photo_id, key)
        for photo_id, former in rows
        if (key := people.follow_merges(former, went)[-1]) in hidden
    }
    return sorted(
        {photo for photo, key in missing if not _is_accounted_for(conn, photo, key, redacted)}
    )


def _is_accounted_for(conn: Connection, photo_id: int, key: str, redacted: set[int]) -> bool:
    """Whether a hidden person has a face in a photo, or a face is blurred that may be theirs."""
    rows = conn.execute(
        "select faces.id, key from faces left join people on people.id = person_id "
        "where photo_id = ?",
        [photo_id],
    )
    return any(face_id in redacted or owner == key for face_id, owner in rows)


def _ids(conn: Connection, sql: str, *bound: object) -> list[int]:
    return [row[0] for row in conn.execute(sql, bound)]
