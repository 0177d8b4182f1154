"""Faces that are not in their photo's present picture: whose they were, and their embeddings.

So a face that an edit took away has its person again when it comes back, and a hidden person is known by
it. Where it was is in `former_faces`; a drawn face's crop in `face_drawings`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..algorithms import geometry, vectors
from ..shapes import Box, FloatArray
from . import coerce
from .connection import Connection
from .schema import has_tables


@dataclass(frozen=True, slots=True)
class LostFace:
    """A face that is not in its photo now: its row here, the number that it had, and its embedding."""

    id: int
    face_id: int
    photo_id: int
    person_key: str | None
    embedding: FloatArray


def keep(conn: Connection, face_id: int) -> None:
    """Keep what is to be known of a face that is not in the present picture; its row may go then."""
    rows = conn.execute(
        "select model_id, embedding from face_embeddings where face_id = ? order by model_id",
        [face_id],
    )
    embeddings = {
        model_id: base64.b64encode(raw).decode() for model_id, raw in rows if isinstance(raw, bytes)
    }
    cursor = conn.execute(
        "insert into lost_faces(photo_id, face_id, person_key, embeddings) "
        "select photo_id, faces.id, key, ? from faces left join people on people.id = person_id "
        "where faces.id = ?",
        [json.dumps(embeddings), face_id],
    )
    conn.execute(
        "update former_faces set face_id = null, lost_id = ? where face_id = ?",
        [cursor.lastrowid, face_id],
    )


def of_photo(conn: Connection, photo_id: int, model_id: str) -> list[LostFace]:
    """The lost faces of a photo that a model knows."""
    return list(_read(conn, model_id, "photo_id = ?", photo_id))


def of_person_keys(conn: Connection, model_id: str, keys: set[str]) -> list[LostFace]:
    """The lost faces of these people that a model knows; none in a file of an earlier version."""
    if not has_tables(conn, "lost_faces"):
        return []
    among = "person_key in (select value from json_each(?))"
    return list(_read(conn, model_id, among, json.dumps(sorted(keys))))


def _read(conn: Connection, model_id: str, where: str, *bound: Any) -> Iterator[LostFace]:
    rows = conn.execute(
        f"select id, face_id, photo_id, person_key, embeddings from lost_faces where {where} "
        "order by id",
        bound,
    )
    for lost_id, face_id, photo_id, key, text in rows:
        raw = json.loads(text).get(model_id)
        if raw:
            vector = vectors.normalise(vectors.decode(base64.b64decode(raw)))
            yield LostFace(lost_id, face_id, photo_id, coerce.text(key), vector)


def find_again(conn: Connection, lost_id: int, face_id: int) -> None:
    """Say which face of the present picture a lost one is."""
    conn.execute(
        "update former_faces set face_id = ?, lost_id = null where lost_id = ?", [face_id, lost_id]
    )
    conn.execute("delete from lost_faces where id = ?", [lost_id])


def find_at(conn: Connection, sha256: str, box: Box, face_id: int) -> None:
    """Say that a face is in the present picture again which was lost in a box of a former content."""
    rows = conn.execute(
        "select lost_id, x, y, width, height from former_faces "
        "where sha256 = ? and lost_id is not null",
        [sha256],
    )
    found = geometry.find_same_face(box, {lost_id: coerce.box(*it) for lost_id, *it in rows})
    if found is not None:
        find_again(conn, found, face_id)


def expect_no_longer(conn: Connection, photo_id: int) -> None:
    """A photo has a picture again that it had before: what came into it later is not expected in it."""
    conn.execute("update lost_faces set expected = 0 where photo_id = ?", [photo_id])


def forget_unplaced(conn: Connection, photo_id: int) -> None:
    """Forget the lost faces of a photo whose former contents all came back: they were looked for anew."""
    conn.execute(
        "delete from lost_faces where photo_id = ? "
        "and id not in (select lost_id from former_faces where lost_id is not null)",
        [photo_id],
    )
