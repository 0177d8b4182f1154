"""Faces whose box belongs to a former picture of their photo: found by their pixels, and moved.

An earlier version left faces that somebody had placed where they were, when a photo was edited. A face's
own crop shows what was there; the photo's thumbnail shows what is there now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...algorithms import geometry
from ...errors import PictureError
from ...media.crop import CROP_MARGIN_PX, CROP_PX, crop_face, onto_crop
from ...media.decode import Picture, decode_picture
from ...search import index_upkeep
from ...shapes import FloatArray
from ...store import edited_photos, integrity, metadata_faces, people
from ...store.connection import Connection, transaction
from .findings import HealthFinding, report_rows

MIN_SEEN_PX = 8
"""The least width of a face in a thumbnail: of a smaller one nothing can be told."""
MAX_COMPARED_PX = 32
MIN_CORRELATION = 0.8
"""Of a face's crop and its place in the thumbnail. The 106 faces of 90 photographs have 0.99 or more; of
places beside the face, of other faces and of turned ones 99 in 100 have less than this."""


def find_stale_faces(conn: Connection) -> Iterator[HealthFinding]:
    """Faces whose box belongs to former pixels of their photo."""
    yield from report_rows(
        "former pixels",
        "face is where it was before its photo was edited",
        "faces are where they were before their photos were edited",
        (face_id for ids in _list_stale(conn).values() for face_id in ids),
        mend="--fix moves each onto the face that was found in the edited picture",
        done="moved, or kept as faces of the former picture",
        fixable=True,
    )


def move_stale_faces(conn: Connection) -> None:
    """Move them onto the faces that were found in the edited pictures; each photo in its transaction."""
    for photo_id, face_ids in _list_stale(conn).items():
        with transaction(conn):
            touched = edited_photos.move_stale_faces(conn, photo_id, face_ids)
            people.update_faces(conn, list(metadata_faces.boxes(conn, photo_id)))
            people.show(conn, touched)
            index_upkeep.keep_up(conn)


def _list_stale(conn: Connection) -> dict[int, list[int]]:
    """The faces that are not where their boxes say, by photo."""
    found: dict[int, list[int]] = {}
    for face_id, photo_id, text, crop, thumbnail, width, height in integrity.faces_of_edited_photos(
        conn
    ):
        landmarks = geometry.parse_landmarks(text)
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            continue
        try:
            correlation = _correlate(landmarks, crop, thumbnail, width, height)
        except (PictureError, TypeError, ValueError):
            continue  # `pictures` reports what does not decode
        if correlation is not None and correlation < MIN_CORRELATION:
            found.setdefault(photo_id, []).append(face_id)
    return found


def _correlate(
    landmarks: FloatArray, crop: Any, thumbnail: Any, width: int, height: int
) -> float | None:
    """How much a crop is like its place in the thumbnail, -1..1; None where that is too small."""
    picture = decode_picture(thumbnail)
    scale = max(picture.width, picture.height) / max(width, height)
    matrix = onto_crop(landmarks)
    # A pixel of the photo has so many pixels in the crop
    enlarged = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    seen_px = int(CROP_PX / max(enlarged, 1e-6) * scale)
    if seen_px < MIN_SEEN_PX:
        return None
    there = crop_face(_at_full_size(picture, width, height), landmarks)
    side = min(seen_px, MAX_COMPARED_PX)
    one, other = (_standardise(data, side) for data in (crop, there))
    return float((one * other).mean())


def _at_full_size(thumbnail: Picture, width: int, height: int) -> Picture:
    """A thumbnail as a picture of its photo's size that was decoded small."""
    scale = max(thumbnail.width, thumbnail.height) / max(width, height)
    return Picture(thumbnail.image, width, height, scale, thumbnail.format, thumbnail.exif)


def _standardise(data: bytes, side: int) -> FloatArray:
    """The brightness of the middle of a crop, of mean 0 and variance 1: (side, side)."""
    image = decode_picture(data).image.convert("L")
    edge = int(CROP_MARGIN_PX)
    image = image.crop((edge, edge, image.width - edge, image.height - edge))
    values = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32)
    standardised: FloatArray = (values - values.mean()) / max(float(values.std()), 1e-6)
    return standardised
