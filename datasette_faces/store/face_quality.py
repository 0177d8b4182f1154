"""What a clustering asks of the faces beside their vectors: photo, quality, and who they are for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import IdArray
from .connection import Connection

LEAST_PX = 40
"""Faces smaller than this bridge nobody: InsightFace's album server asks for as much."""
MOST_TURNED = 45.0
"""Degrees away from the camera; likewise."""
LEAST_SHARPNESS = 30.0
"""Below, a face is blurred or very small: docs/schema.md."""
LEAST_SCORE = 0.6
"""Of the detector; a face is one from 0.5 on with most."""


@dataclass(frozen=True)
class Measures:
    """Faces in an order that lasts: by their photo's content, then by their place in it.

    ids, photos: (n,); bridging: (n,) whether the quality allows to join others together.
    """

    ids: IdArray
    photos: IdArray
    bridging: npt.NDArray[np.bool_]


def of_faces(conn: Connection, face_ids: Iterable[int] | None = None) -> Measures:
    """The measures of these faces, or of all."""
    among = "" if face_ids is None else "where faces.id in (select value from json_each(?))"
    rows = conn.execute(
        f"""
        select faces.id, photo_id,
            min(faces.width, faces.height) >= {LEAST_PX} and detection_score >= {LEAST_SCORE}
            and sharpness >= {LEAST_SHARPNESS} and max(abs(yaw), abs(pitch)) <= {MOST_TURNED}
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
