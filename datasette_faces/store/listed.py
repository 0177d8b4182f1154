"""What a gallery of any rows asks of the faces that they name."""

from __future__ import annotations

import json
from collections.abc import Iterable

from . import coerce
from .connection import Connection


def paths_of(conn: Connection, face_ids: Iterable[int]) -> dict[int, str]:
    """The path of the photo of each of these faces; an id of no face is left out."""
    query = """
        select faces.id, photos.path from faces join photos on photos.id = faces.photo_id
        where faces.id in (select value from json_each(:ids))
    """
    found = conn.execute(query, {"ids": json.dumps(sorted(set(face_ids)))})
    return {face_id: coerce.text(path) or "" for face_id, path in found}
