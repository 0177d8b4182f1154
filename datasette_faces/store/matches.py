"""What a list of matches says of each face: its box, its photo, where that lies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .connection import Connection

COLUMNS = ("face_id", "photo_id", "path", "x", "y", "width", "height", "taken_at", "sha256")


def described(conn: Connection, face_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """COLUMNS of each of these faces that is there, by its id."""
    query = """
        select faces.id, photo_id, path, x, y, faces.width, faces.height, taken_at, sha256
        from faces join photos on photos.id = photo_id
        where faces.id in (select value from json_each(?))
    """
    rows = conn.execute(query, [json.dumps(list(face_ids))])
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}
