"""Which photos and faces names of other programs are about, and whom this file names in them."""

from __future__ import annotations

from dataclasses import dataclass

from ..connections import Connection
from ..shapes import Box
from .people import NOT_A_FACE


@dataclass(frozen=True, slots=True)
class Pictured:
    """A photo whose file is there: path and its bytes where it is not UTF-8, upright size in pixels."""

    id: int
    path: str
    path_bytes: bytes | None
    sha256: str
    width: int
    height: int


def photos(conn: Connection) -> list[Pictured]:
    """The photos that are where they were, each at one of its places."""
    rows = conn.execute(
        """
        select photos.id, min(photo_paths.path), path_bytes, photos.sha256, width, height
        from photos join photo_paths on photo_paths.photo_id = photos.id
        where photo_paths.missing_since is null and photo_paths.sha256 = photos.sha256
        group by photos.id order by photos.id
        """
    )
    return [Pictured(*row) for row in rows]


def boxes(conn: Connection, photo_id: int) -> dict[int, Box]:
    """The faces of a photo."""
    rows = conn.execute(
        "select id, x, y, width, height from faces where photo_id = ? order by id", [photo_id]
    )
    return {face_id: Box(*box) for face_id, *box in rows}


def names(conn: Connection, photo_id: int) -> list[tuple[str, Box]]:
    """The names in a photo, hidden people left out, from left to right."""
    rows = conn.execute(
        """
        select name, x, y, faces.width, faces.height from faces
        join people on people.id = person_id
        where photo_id = ? and name is not null and not hidden and key != ? order by x, faces.id
        """,
        [photo_id, NOT_A_FACE],
    )
    return [(name, Box(*box)) for name, *box in rows]
