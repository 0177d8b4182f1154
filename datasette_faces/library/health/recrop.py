"""Crops and thumbnails that do not decode, cut anew from the photos' files. No HTTP, no click."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import PictureError
from ...media import files
from ...media.crop import is_decodable, is_whole_jpeg
from ...models import pipeline
from ...shapes import Box, Landmarks
from ...store import integrity
from ...store.connection import Connection, transaction
from ..publish.public_rows import PICTURE, landmarks_of

DECODED = 2_000
"""Pictures of each kind that are decoded, evenly drawn; of the others head and end are looked at."""


def broken(conn: Connection, table: str) -> list[int]:
    """The rows of photos or faces whose picture cannot be decoded."""
    count = conn.execute(f"select count(*) from {table}").fetchone()[0]
    step, found, place = max(1, count // DECODED), [], 0
    for piece in integrity.pictures(conn, table, PICTURE[table]):
        for row_id, data in piece:
            whole = is_whole_jpeg(data)
            if not whole or (place % step == 0 and not is_decodable(data)):
                found.append(row_id)
            place += 1
    return found


def original(conn: Connection, photo_id: int) -> bytes | None:
    """A photo's bytes, wherever they lay and lie again; None where no file holds them now."""
    for path, raw, size_bytes, sha256 in integrity.places(conn, photo_id):
        data = files.read_verified(files.as_path(path, raw), size_bytes, sha256)
        if data is not None:
            return data
    return None


def any_original(conn: Connection, photo_ids: Iterable[int]) -> bool:
    """Whether the file of one of these photos is where it was, and unchanged."""
    return any(original(conn, photo_id) is not None for photo_id in photo_ids)


def cut_anew(conn: Connection) -> list[tuple[str, str]]:
    """Make what is broken from the photos that are at hand, as an ingest does; which could not, and why.

    Nothing but these pictures changes. A transaction for each photo: to decode one takes long.
    """
    thumbnails, faces = set(broken(conn, "photos")), broken(conn, "faces")
    faults: list[tuple[str, str]] = []
    for photo_id in sorted(thumbnails.union(integrity.photos_of(conn, faces))):
        data = original(conn, photo_id)
        if data is None:
            continue
        try:
            _cut(conn, photo_id, data, set(faces), thumbnail=photo_id in thumbnails)
        except PictureError as error:
            faults.append((integrity.places(conn, photo_id)[0][0], str(error)))
    return faults


def _cut(
    conn: Connection, photo_id: int, data: bytes, face_ids: set[int], *, thumbnail: bool
) -> None:
    boxes: list[Box] = []
    landmarks: dict[int, Landmarks] = {}
    for face_id, box, text in integrity.measured_faces(conn, photo_id):
        boxes.append(box)
        points = landmarks_of(text)
        if face_id in face_ids and points.shape == (5, 2):
            landmarks[face_id] = points
    small, crops = pipeline.pictures(data, boxes, list(landmarks.values()))
    with transaction(conn):
        if thumbnail:
            integrity.set_thumbnail(conn, photo_id, small)
        for face_id, crop in zip(landmarks, crops, strict=True):
            integrity.set_crop(conn, face_id, crop)
