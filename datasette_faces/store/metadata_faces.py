"""Which photos and faces names of other programs are about, and whom this file names in them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from ..algorithms import geometry
from ..media.files import as_path
from ..shapes import Area, Box
from . import coerce
from .connection import Connection
from .people import NOT_A_FACE

AT_ONCE = 1000
"""Photos that are read from the database at a time: a library may have a million."""


@dataclass(frozen=True, slots=True)
class PresentPhoto:
    """A photo whose file is there: path and its bytes where it is not UTF-8, upright size in pixels.

    read: the content, and a digest of the sidecars, whose names were read, if any were. others: further
    places of the same content.
    """

    id: int
    path: str
    path_bytes: bytes | None
    sha256: str
    width: int
    height: int
    read: tuple[str, str] | None = None
    others: tuple[tuple[str, bytes | None], ...] = ()

    def files(self) -> list[str]:
        """Where its content lies: this place first, then those of copies."""
        return [as_path(*it) for it in ((self.path, self.path_bytes), *self.others)]


def count(conn: Connection) -> int:
    """How many photos there are."""
    return int(conn.execute("select count(*) from photos").fetchone()[0])


def photos(conn: Connection, only: Collection[int] | None = None) -> Iterator[PresentPhoto]:
    """The photos that are where they were, or those of these ids; writing between is allowed."""
    if only is None:
        yield from _photos(conn, "", [])
        return
    ids = sorted(only)
    for start in range(0, len(ids), AT_ONCE):
        among = json.dumps(ids[start : start + AT_ONCE])
        yield from _photos(conn, "photos.id in (select value from json_each(?)) and", [among])


def _photos(conn: Connection, chosen: str, params: list[str]) -> Iterator[PresentPhoto]:
    last = 0
    while True:
        rows = conn.execute(
            f"""
            select photos.id, min(photo_paths.path), path_bytes, photos.sha256, width, height,
                names_read.sha256, sidecars
            from photos join photo_paths on photo_paths.photo_id = photos.id
            left join names_read on names_read.photo_id = photos.id
            where {chosen} photos.id > ? and photo_paths.missing_since is null
                and photo_paths.sha256 = photos.sha256
            group by photos.id order by photos.id limit ?
            """,
            [*params, last, AT_ONCE],
        ).fetchall()
        others = _copies(conn, [row[0] for row in rows])
        for *facts, sha256, sidecars in rows:
            photo = PresentPhoto(*facts)
            read = None if sha256 is None else (sha256, sidecars)
            copies = [it for it in others.get(photo.id, ()) if it[0] != photo.path]
            yield replace(photo, read=read, others=tuple(copies))
        if len(rows) < AT_ONCE:
            return
        last = rows[-1][0]


def _copies(conn: Connection, photo_ids: list[int]) -> dict[int, list[tuple[str, bytes | None]]]:
    """All places of these photos that have several."""
    rows = conn.execute(
        """
        select photo_paths.photo_id, photo_paths.path, path_bytes
        from photo_paths join photos on photos.id = photo_paths.photo_id
        where photo_id in (select value from json_each(?)) and photo_paths.missing_since is null
            and photo_paths.sha256 = photos.sha256 order by photo_paths.path
        """,
        [json.dumps(photo_ids)],
    )
    found: dict[int, list[tuple[str, bytes | None]]] = {}
    for photo_id, *place in rows:
        found.setdefault(photo_id, []).append((place[0], place[1]))
    return {it: places for it, places in found.items() if len(places) > 1}


def save_facts(
    conn: Connection, photo_id: int, taken_at: str | None, place: tuple[float | None, float | None]
) -> None:
    """Say when and where (latitude, longitude) a photo was taken, in a transaction; None: unknown."""
    conn.execute(
        "update photos set taken_at = ?1, latitude = ?2, longitude = ?3 where id = ?4 "
        "and (taken_at is not ?1 or latitude is not ?2 or longitude is not ?3)",
        [taken_at, *place, photo_id],
    )


def contents(conn: Connection, photo_id: int) -> list[str]:
    """The hashes of what a photo held before it was edited."""
    rows = conn.execute("select sha256 from photo_contents where photo_id = ?", [photo_id])
    return [row[0] for row in rows]


def boxes(conn: Connection, photo_id: int) -> dict[int, Box]:
    """The faces of a photo."""
    rows = conn.execute(
        "select id, x, y, width, height from faces where photo_id = ? order by id", [photo_id]
    )
    return {face_id: coerce.box(*box) for face_id, *box in rows}


def areas(conn: Connection, photo: PresentPhoto) -> dict[int, Area]:
    """The faces of a photo, as fractions of its upright sides."""
    found = boxes(conn, photo.id).items()
    return {face_id: geometry.area_of(box, photo.width, photo.height) for face_id, box in found}


def names_by_face(conn: Connection, photo_id: int) -> dict[int, str]:
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
