"""Faces: what an ingest writes of them and their embeddings, and the facts that lists of faces show."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..algorithms import geometry, vectors
from ..algorithms.box_matching import may_be_same_face
from ..shapes import Box, Face
from . import coerce, forgotten_faces
from .connection import Connection

COLUMNS = (
    "face_id",
    "photo_id",
    "path",
    "x",
    "y",
    "width",
    "height",
    "taken_at",
    "missing_since",
    "sha256",
)
MEASURES = (
    "x",
    "y",
    "width",
    "height",
    "landmarks",
    "detection_score",
    "sharpness",
    "yaw",
    "pitch",
    "roll",
)
"""Where a face is in its photo, and how well it can be seen."""


def save_faces(
    conn: Connection, photo_id: int, model_id: str, faces: tuple[Face, ...]
) -> list[tuple[int, Face]]:
    """Store what a model found in a photo whose picture is as it was; `edited_photos` has the others.

    A face that is there already (by its box) keeps its id and gets this model's embedding; one that was
    forgotten is left out. The faces with their ids.
    """
    known, drawn = _boxes(conn, photo_id), _drawn(conn, photo_id)
    forgotten = forgotten_faces.read_boxes(conn, photo_id)
    saved: list[tuple[int, Face]] = []
    for face in faces:
        face_id = geometry.find_same_face(face.detection.box, known)
        if face_id is None:
            face_id = _drawn_face(face.detection.box, known, drawn)
        if face_id is None:
            if forgotten_faces.is_among(face.detection.box, forgotten):
                continue
            face_id = insert_face(conn, photo_id, face)
        else:
            del known[face_id]
            if face_id in drawn:
                # Found after all: it stays if the drawing is undone
                conn.execute("delete from face_drawings where face_id = ?", [face_id])
        save_embedding(conn, face_id, model_id, vectors.encode(face.embedding))
        saved.append((face_id, face))
    if forgotten:
        forgotten_faces.redact_pictures(conn, photo_id)
    return saved


def _boxes(conn: Connection, photo_id: int) -> dict[int, Box]:
    rows = conn.execute(
        "select id, x, y, width, height from faces where photo_id = ? order by id", [photo_id]
    )
    return {face_id: Box(*box) for face_id, *box in rows}


def _drawn(conn: Connection, photo_id: int) -> set[int]:
    """The faces of a photo that are there because somebody drew them."""
    rows = conn.execute(
        "select face_id from face_drawings "
        "where face_id in (select id from faces where photo_id = ?)",
        [photo_id],
    )
    return {row[0] for row in rows}


def _drawn_face(box: Box, known: dict[int, Box], drawn: set[int]) -> int | None:
    """The drawn face that a detector found now: people draw a head where detectors see a face."""
    return next(
        (it for it in sorted(drawn & known.keys()) if may_be_same_face(known[it], box)),
        None,
    )


def _face_values(face: Face) -> dict[str, object]:
    box, pose = face.detection.box, face.pose
    return {
        "x": round(box.x, 2),
        "y": round(box.y, 2),
        "width": round(box.width, 2),
        "height": round(box.height, 2),
        "landmarks": json.dumps(
            [[round(float(v), 2) for v in p] for p in face.detection.landmarks]
        ),
        "detection_score": round(face.detection.score, 4),
        "sharpness": round(face.sharpness, 1),
        "yaw": round(pose.yaw, 1),
        "pitch": round(pose.pitch, 1),
        "roll": round(pose.roll, 1),
        "crop": face.crop,
    }


def insert_face(conn: Connection, photo_id: int, face: Face, face_id: int | None = None) -> int:
    """Add a face to a photo; its id. face_id: the one that it had once, if no other face got it."""
    there = conn.execute("select 1 from faces where id = ?", [face_id]).fetchone()
    values = {"id": None if there else face_id, "photo_id": photo_id, **_face_values(face)}
    names, bound = ", ".join(values), ", ".join(f":{name}" for name in values)
    cursor = conn.execute(
        f"insert into faces({names}, photo_taken_at) "
        f"values ({bound}, (select taken_at from photos where id = :photo_id))",
        values,
    )
    return int(cursor.lastrowid)


def update_face(conn: Connection, face_id: int, face: Face) -> None:
    """Measure a face anew, in another picture."""
    values = _face_values(face)
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    conn.execute(f"update faces set {assignments} where id = :id", {**values, "id": face_id})
    # Other models' vectors were of the old picture; those models look again when they ingest next
    conn.execute("delete from face_embeddings where face_id = ?", [face_id])


def save_embedding(conn: Connection, face_id: int, model_id: str, embedding: bytes) -> None:
    """Keep a model's embedding of a face, in place of the one before."""
    conn.execute(
        "insert or replace into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
        [face_id, model_id, embedding],
    )


def delete_face(conn: Connection, face_id: int) -> list[str]:
    """Remove a face with all that is made of it; the key of whose it was, if anybody's."""
    owner = conn.execute(
        "select key from faces join people on people.id = person_id where faces.id = ?", [face_id]
    ).fetchone()
    # Written out: a connection of Datasette's may leave foreign keys alone
    conn.execute("update people set cover_face_id = null where cover_face_id = ?", [face_id])
    for table in ("former_faces", "face_drawings"):
        conn.execute(f"update {table} set face_id = null where face_id = ?", [face_id])
    for table in ("face_embeddings", "face_clusters"):
        conn.execute(f"delete from {table} where face_id = ?", [face_id])
    conn.execute("delete from faces where id = ?", [face_id])
    return [owner[0]] if owner else []


def describe_faces(conn: Connection, face_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """COLUMNS of each of these faces that is there, by its id."""
    query = """
        select faces.id, photo_id, path, x, y, faces.width, faces.height, taken_at,
            missing_since, sha256
        from faces join photos on photos.id = photo_id
        where faces.id in (select value from json_each(?))
    """
    rows = conn.execute(query, [json.dumps(list(face_ids))])
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def paths_of_faces(conn: Connection, face_ids: Iterable[int]) -> dict[int, str]:
    """The path of the photo of each of these faces; an id of no face is left out."""
    query = """
        select faces.id, photos.path from faces join photos on photos.id = faces.photo_id
        where faces.id in (select value from json_each(:ids))
    """
    found = conn.execute(query, {"ids": json.dumps(sorted(set(face_ids)))})
    return {face_id: coerce.text(path) or "" for face_id, path in found}
