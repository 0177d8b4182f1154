"""Face quality: the numbers that say small, blurred, turned, doubtful, and what grouping asks of faces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import IdArray
from .connection import Connection

MIN_SIZE_PX = 40
"""A smaller face (its shorter side) is small: InsightFace's album server and Immich ask for as much."""
MAX_TURN_DEGREES = 45.0
"""A face that looks further away from the camera is turned away: InsightFace's album server."""
MIN_SHARPNESS = 30.0
"""Below, a face is blurred or very small: docs/schema.md."""
SHARP = 150.0
"""From this sharpness a face is called sharp."""
MIN_SCORE = 0.6
"""Below, it is in doubt whether it is a face: most detectors report one from a score of 0.5."""

IS_DOUBTFUL = f"""(
    min(faces.width, faces.height) < {MIN_SIZE_PX}
    or faces.detection_score < {MIN_SCORE} or faces.sharpness < {MIN_SHARPNESS}
)"""
"""SQL: whether the picture of a row of `faces` is too poor to be sure. Catalogues have no angles."""
CAN_LINK = f"""(
    min(faces.width, faces.height) >= {MIN_SIZE_PX}
    and faces.detection_score >= {MIN_SCORE} and faces.sharpness >= {MIN_SHARPNESS}
    and max(abs(faces.yaw), abs(faces.pitch)) <= {MAX_TURN_DEGREES}
)"""
"""SQL: whether a row of `faces` is good enough to link other faces to one person."""
PICTURE_RANK = "detection_score * min(min(width, height), 200) * min(sharpness, 300)"
"""SQL: how good the picture of a face is: surely a face, large (up to 200 px), sharp (up to 300)."""
PORTRAIT_RANK = f"{PICTURE_RANK} / (30 + abs(yaw) + abs(pitch))"
"""SQL: likewise, better the more the face looks into the camera."""


@dataclass(frozen=True)
class Measures:
    """Faces in an order that lasts: by their photo's content, then by their place in it.

    ids, photos: (n,); bridging: (n,) whether the quality allows to join others together.
    """

    ids: IdArray
    photos: IdArray
    bridging: npt.NDArray[np.bool_]


def name_faults(
    size_px: float | None, sharpness: float | None, turn_degrees: float | None, score: float | None
) -> tuple[str, ...]:
    """In words, what is wrong with a face; None is not known. turn_degrees: the larger of yaw, pitch."""
    faults = (
        (size_px is not None and size_px < MIN_SIZE_PX, "small"),
        (sharpness is not None and sharpness < MIN_SHARPNESS, "blurred"),
        (turn_degrees is not None and turn_degrees > MAX_TURN_DEGREES, "turned away"),
        (score is not None and score < MIN_SCORE, "barely recognizable as a face"),
    )
    return tuple(word for is_so, word in faults if is_so)


def describe_sharpness(sharpness: float | None) -> str | None:
    """A sharpness in words; None where there is none."""
    if sharpness is None:
        return None
    if sharpness < MIN_SHARPNESS:
        return "blurred or very small"
    return "sharp enough" if sharpness < SHARP else "sharp"


def of_faces(conn: Connection, face_ids: Iterable[int] | None = None) -> Measures:
    """The measures of these faces, or of all."""
    among = "" if face_ids is None else "where faces.id in (select value from json_each(?))"
    rows = conn.execute(
        f"""
        select faces.id, photo_id, {CAN_LINK}
        from faces join photos on photos.id = photo_id {among}
        order by sha256, x, y, faces.width, faces.id
        """,
        [] if face_ids is None else [json.dumps(list(face_ids))],
    )
    table = np.array(rows.fetchall(), np.int64).reshape(-1, 3)
    return Measures(table[:, 0], table[:, 1], table[:, 2].astype(bool))


def keys_of(conn: Connection, face_ids: Iterable[int]) -> dict[int, str]:
    """A key for a new person from one of their faces: the same in every file of these photos."""
    rows = conn.execute(
        """
        select faces.id, sha256, x, y, faces.width, faces.height
        from faces join photos on photos.id = photo_id
        where faces.id in (select value from json_each(?))
        """,
        [json.dumps(list(face_ids))],
    )
    return {
        face_id: hashlib.sha256(json.dumps(known_by).encode()).hexdigest()[:16]
        for face_id, *known_by in rows
    }
