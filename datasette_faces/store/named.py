"""Which photos and faces names of other programs are about, and whom this file names in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..connections import Connection
from ..shapes import Box
from .people import NOT_A_FACE

AT_ONCE = 1000
"""Photos that are read from the database at a time: a library may have a million."""


@dataclass(frozen=True, slots=True)
class Pictured:
    """A photo whose file is there: path and its bytes where it is not UTF-8, upright size in pixels.

    read: the content and the sidecars whose names were read, if any were.
    """

    id: int
    path: str
    path_bytes: bytes | None
    sha256: str
    width: int
    height: int
    read: tuple[str, str] | None = None


def count(conn: Connection) -> int:
    """How many photos there are."""
    return int(conn.execute("select count(*) from photos").fetchone()[0])


def photos(conn: Connection) -> Iterator[Pictured]:
    """The photos that are where they were, each at one of its places; writing between is allowed."""
    last = 0
    while True:
        rows = conn.execute(
            """
            select photos.id, min(photo_paths.path), path_bytes, photos.sha256, width, height,
                names_read.sha256, sidecars
            from photos join photo_paths on photo_paths.photo_id = photos.id
            left join names_read on names_read.photo_id = photos.id
            where photos.id > ? and photo_paths.missing_since is null
                and photo_paths.sha256 = photos.sha256
            group by photos.id order by photos.id limit ?
            """,
            [last, AT_ONCE],
        ).fetchall()
        for *facts, sha256, sidecars in rows:
            photo = Pictured(*facts)
            yield photo if sha256 is None else replace(photo, read=(sha256, sidecars))
        if len(rows) < AT_ONCE:
            return
        last = rows[-1][0]


def boxes(conn: Connection, photo_id: int) -> dict[int, Box]:
    """The faces of a photo."""
    rows = conn.execute(
        "select id, x, y, width, height from faces where photo_id = ? order by id", [photo_id]
    )
    return {face_id: Box(*box) for face_id, *box in rows}


def called(conn: Connection, photo_id: int) -> dict[int, str]:
    """The names of the faces of a photo, of those that have one."""
    rows = conn.execute(
        "select faces.id, name from faces join people on people.id = person_id "
        "where photo_id = ? and name is not null",
        [photo_id],
    )
    return dict(rows.fetchall())


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
