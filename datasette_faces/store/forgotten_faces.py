"""Where people were who were forgotten: no face is stored there again, and stored pictures are blurred.

A place is a content and a box, and tells nothing of the face. It follows its photo through edits: in
another picture no face is stored that was not known before, as that may be the forgotten one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..algorithms import geometry
from ..algorithms.box_matching import may_be_same_face
from ..errors import PictureError
from ..media import redact
from ..media.crop import CROP_PX, JPEG_QUALITY, THUMBNAIL_PX
from ..media.redact import JpegSpec
from ..shapes import Box
from . import coerce
from .connection import Connection
from .schema import has_tables

SAME_SHAPE = 0.01
"""Up to such a difference of its sides' ratio a picture counts as resized, and its places as scaled."""


def read_boxes(conn: Connection, photo_id: int) -> list[Box]:
    """The places of forgotten faces in a photo's present picture."""
    if not has_tables(conn, "forgotten_faces"):
        return []  # a file of an earlier version
    rows = conn.execute(
        "select x, y, forgotten_faces.width, forgotten_faces.height from photos "
        "join forgotten_faces using (sha256) where photos.id = ?",
        [photo_id],
    )
    return [coerce.box(*box) for box in rows]


def may_be_anywhere(conn: Connection, photo_id: int) -> bool:
    """Whether a face was forgotten in a former content of a photo: where it is now is not certain."""
    if not has_tables(conn, "forgotten_faces"):
        return False  # a file of an earlier version
    found = conn.execute(
        "select 1 from photo_contents join forgotten_faces using (sha256) where photo_id = ? limit 1",
        [photo_id],
    )
    return found.fetchone() is not None


def is_among(box: Box, boxes: Iterable[Box]) -> bool:
    """Whether a face in a box is one of those that were forgotten."""
    return any(may_be_same_face(box, other) for other in boxes if other.width and other.height)


def mark(conn: Connection, contents: Iterable[str], box: Box) -> None:
    """Keep where a forgotten face was, in each of these contents."""
    conn.executemany(
        "insert into forgotten_faces(sha256, x, y, width, height) values (?, ?, ?, ?, ?)",
        [(sha256, box.x, box.y, box.width, box.height) for sha256 in contents],
    )


def follow_edit(conn: Connection, photo_id: int, width: int, height: int, sha256: str) -> bool:
    """Bring the places of a former picture into the present one, where that has the same shape.

    width, height, sha256: of the former picture. Whether a face was forgotten in this photo.
    """
    now = conn.execute("select width, height, sha256 from photos where id = ?", [photo_id])
    new_width, new_height, new_sha256 = now.fetchone()
    if abs(width * new_height / (height * new_width) - 1) <= SAME_SHAPE and sha256 != new_sha256:
        conn.execute(
            "insert into forgotten_faces(sha256, x, y, width, height) "
            "select ?1, x * ?2, y * ?3, width * ?2, height * ?3 from forgotten_faces "
            "where sha256 = ?4 and not exists (select 1 from forgotten_faces where sha256 = ?1)",
            [new_sha256, new_width / width, new_height / height, sha256],
        )
    found = conn.execute(
        "select 1 from forgotten_faces where sha256 = ?1 or sha256 in "
        "(select sha256 from photo_contents where photo_id = ?2) limit 1",
        [new_sha256, photo_id],
    )
    return found.fetchone() is not None


def mark_present(conn: Connection, photo_id: int, box: Box) -> None:
    """Keep where a forgotten face may be in a photo's present picture."""
    sha256 = conn.execute("select sha256 from photos where id = ?", [photo_id]).fetchone()[0]
    mark(conn, [sha256], box)


def redact_pictures(conn: Connection, photo_id: int) -> None:
    """Blur the forgotten faces of a photo in its thumbnail, and in the crops of other faces.

    A stored picture that is broken shows nobody, and stays as it is.
    """
    boxes = read_boxes(conn, photo_id)
    if not boxes:
        return
    width, height, thumbnail = conn.execute(
        "select width, height, thumbnail from photos where id = ?", [photo_id]
    ).fetchone()
    blurred = [redact.locate_in_photo(box, width, height) for box in boxes]
    with suppress(PictureError):
        small = redact.redact_with_pillow(
            thumbnail, JpegSpec(THUMBNAIL_PX, JPEG_QUALITY), blurred=blurred
        )
        conn.execute("update photos set thumbnail = ? where id = ?", [small, photo_id])
    crops = conn.execute("select id, landmarks, crop from faces where photo_id = ?", [photo_id])
    for face_id, text, crop in crops.fetchall():
        landmarks = geometry.parse_landmarks(text)
        areas = [redact.locate_in_crop(box, landmarks) for box in boxes]
        if shown := [area for area in areas if area is not None]:
            spec = JpegSpec(CROP_PX, JPEG_QUALITY)
            with suppress(PictureError):
                data = redact.redact_with_pillow(crop, spec, blurred=shown)
                conn.execute("update faces set crop = ? where id = ?", [data, face_id])
