"""Which photos and faces names of other programs are about, and whom this file names in them."""

from __future__ import annotations

import hashlib
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

    read: the content, and a digest of the sidecars, whose names were read, if any were. said: the digest
    of the date and place that they said then. others: further places of the same content.
    """

    id: int
    path: str
    path_bytes: bytes | None
    sha256: str
    width: int
    height: int
    read: tuple[str, str] | None = None
    said: str = ""
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
            source, _, said = (sidecars or "").partition(":")
            read = None if sha256 is None else (sha256, source)
            copies = [it for it in others.get(photo.id, ()) if it[0] != photo.path]
            yield replace(photo, read=read, said=said, others=tuple(copies))
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


@dataclass(frozen=True, slots=True)
class SaidFacts:
    """When and where (latitude, longitude) a photo was taken, as files say; None: not said."""

    taken_at: str | None
    place: tuple[float | None, float | None]

    def digest(self) -> str:
        """What is kept of it, to see by the next import whether a photo's row says the same."""
        return f"{_digest(self.taken_at)}:{_digest(self.place)}"


def save_facts(
    conn: Connection, photo_id: int, said: SaidFacts, *, exif: SaidFacts, before: str
) -> None:
    """Let a photo's row follow what its files say, in a transaction; what its owner wrote there stays.

    exif: what EXIF says alone, as the row was made. before: the digest of what the files said when
    they were read last; empty if that is unknown.
    """
    date, *place = conn.execute(
        "select taken_at, latitude, longitude from photos where id = ?", [photo_id]
    ).fetchone()
    there = SaidFacts(date, (place[0], place[1]))
    dated, placed = before.split(":") if before else ("", "")
    if _follows((there.taken_at, said.taken_at, exif.taken_at), dated):
        conn.execute("update photos set taken_at = ? where id = ?", [said.taken_at, photo_id])
    if _follows((there.place, said.place, exif.place), placed):
        conn.execute(
            "update photos set latitude = ?, longitude = ? where id = ?", [*said.place, photo_id]
        )


def _follows(values: tuple[object, object, object], before: str) -> bool:
    """Whether a value in a row has to become what is said; values: there, said, and what EXIF says."""
    there, said, exif = values
    if there == said:
        return False
    # What is not said anywhere may be filled in, but not what the owner emptied
    is_empty = there in (None, (None, None)) and _digest(said) != before
    return is_empty or (_digest(there) == before if before else there == exif)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:16]


def is_damaged(conn: Connection, photo_id: int) -> bool:
    """Whether pixels of a photo could not be read."""
    [damage] = conn.execute("select damage from photos where id = ?", [photo_id]).fetchone()
    return damage is not None


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
