"""Photographs by their content, and the paths at which it lies: what an ingest asks and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from ..shapes import Analysis, File
from . import former_faces
from .connection import Connection

Change: TypeAlias = Literal["new", "picture", "caption"]
"""What is new in a photo: all of it, its picture, or only what stands beside the pixels."""

FACTS = ("taken_at", "latitude", "longitude")
"""What an owner may correct by SQL."""


@dataclass(frozen=True, slots=True)
class KnownPath:
    """What the database remembers of a path: unchanged if its photo's content must be there still."""

    photo_id: int
    unchanged: bool
    missing: bool


def now() -> str:
    """This moment, UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def known_path(conn: Connection, file: File) -> KnownPath | None:
    """What is known of a path.

    It is unchanged if size and time of the file are as they were, and its photo still has the
    content that the file had then: a photo may have been edited under another of its paths.
    """
    row = conn.execute(
        """
        select photo_id, photo_paths.bytes, modified_ns, photo_paths.missing_since,
            photo_paths.sha256 = photos.sha256
        from photo_paths join photos on photos.id = photo_id where photo_paths.path = ?
        """,
        [file.path],
    ).fetchone()
    if row is None:
        return None
    photo_id, size, modified_ns, missing_since, same_content = row
    unchanged = bool(same_content) and (size, modified_ns) == (file.size_bytes, file.modified_ns)
    return KnownPath(photo_id, unchanged, missing_since is not None)


def photo_with_content(conn: Connection, sha256: str) -> int | None:
    """The photo that holds these bytes."""
    row = conn.execute("select id from photos where sha256 = ?", [sha256]).fetchone()
    return int(row[0]) if row else None


def at_path(conn: Connection, path: str) -> int | None:
    """The photo that lies at a path, or lay there."""
    row = conn.execute("select photo_id from photo_paths where path = ?", [path]).fetchone()
    return int(row[0]) if row else None


def is_analysed(conn: Connection, photo_id: int, model_id: str) -> bool:
    """Whether a model has looked at a photo."""
    found = conn.execute(
        "select 1 from analyses where photo_id = ? and model_id = ?", [photo_id, model_id]
    )
    return found.fetchone() is not None


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of a photo: its size, and the content that has it, or had it last.

    is_undone: of one that was edited, whether the photo has a picture again that it had before.
    """

    width: int
    height: int
    sha256: str
    is_undone: bool = field(default=False, compare=False)


def picture_of(conn: Connection, photo_id: int) -> Picture:
    """The picture that a photo has now."""
    return Picture(
        *conn.execute(
            "select width, height, sha256 from photos where id = ?", [photo_id]
        ).fetchone()
    )


def save_photo(
    conn: Connection, file: File, sha256: str, analysis: Analysis
) -> tuple[int, Change, Picture | None]:
    """Store a photo whose content is new; its id, what that was, and the picture that was there before.

    Where the file was there before with another content, and that content has no other place, the
    photo was edited: its row keeps its id. If size and thumbnail are the same as before, only what
    stands beside the pixels was edited (a caption, a date), and all models' faces stay.
    """
    values = _photo_values(file, sha256, analysis)
    photo_id = edited_photo(conn, file.path)
    if photo_id is None:
        names = ", ".join(values)
        bound = ", ".join(f":{name}" for name in values)
        cursor = conn.execute(f"insert into photos({names}) values ({bound})", values)
        return int(cursor.lastrowid), "new", None
    values["id"] = photo_id
    same_picture, width, height, former_sha256 = conn.execute(
        "select width = :width and height = :height and thumbnail = :thumbnail, width, height, sha256 "
        "from photos where id = :id",
        values,
    ).fetchone()
    # An import follows what files say, as far as the owner wrote nothing else
    said = "select 1 from names_read where photo_id = ? and sidecars like '%:%'"
    kept = FACTS if conn.execute(said, [photo_id]).fetchone() else ()
    assignments = ", ".join(f"{name} = :{name}" for name in values if name not in kept)
    conn.execute(f"update photos set {assignments} where id = :id", values)
    if same_picture:
        former_faces.forget_content(conn, photo_id, sha256)
        return photo_id, "caption", None
    conn.execute("delete from analyses where photo_id = ?", [photo_id])
    former_faces.part_with_picture(conn, photo_id)
    is_undone = former_faces.forget_content(conn, photo_id, sha256)
    return photo_id, "picture", Picture(width, height, former_sha256, is_undone)


def save_analysis(conn: Connection, photo_id: int, model_id: str) -> None:
    """Say that a model has looked at a photo."""
    conn.execute(
        "insert or ignore into analyses(photo_id, model_id) values (?, ?)", [photo_id, model_id]
    )


def _photo_values(file: File, sha256: str, analysis: Analysis) -> dict[str, object]:
    photo = analysis.photo
    return {
        "path": file.path,
        "sha256": sha256,
        "bytes": file.size_bytes,
        "modified_at": _moment(file.modified_ns),
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "taken_at": photo.taken_at,
        "camera": photo.camera,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        "ingested_at": now(),
        "thumbnail": photo.thumbnail,
        "damage": photo.damage,
        "turned": photo.turned,
    }


def _moment(modified_ns: int) -> str | None:
    try:
        moment = datetime.fromtimestamp(modified_ns / 1e9, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def edited_photo(conn: Connection, path: str) -> int | None:
    """The photo whose content lay at this path and, as far as is known, nowhere else."""
    row = conn.execute(
        """
        select photo_id from photo_paths as here
        where path = ? and not exists (
            select 1 from photo_paths as elsewhere
            where elsewhere.photo_id = here.photo_id and elsewhere.path != here.path
                and elsewhere.missing_since is null
        )
        """,
        [path],
    ).fetchone()
    return int(row[0]) if row else None


def save_path(conn: Connection, photo_id: int, file: File) -> None:
    """Say that a photo lies at a path now; whatever lay there before lies there no longer."""
    before = conn.execute("select photo_id from photo_paths where path = ?", [file.path]).fetchone()
    conn.execute(
        """
        insert into photo_paths(path, photo_id, bytes, modified_ns, path_bytes, sha256)
        values (?, ?, ?, ?, ?, (select sha256 from photos where id = ?2))
        on conflict(path) do update set photo_id = excluded.photo_id, bytes = excluded.bytes,
            modified_ns = excluded.modified_ns, path_bytes = excluded.path_bytes,
            sha256 = excluded.sha256, missing_since = null
        """,
        [file.path, photo_id, file.size_bytes, file.modified_ns, file.path_bytes],
    )
    conn.execute("delete from ingest_errors where path = ?", [file.path])
    conn.execute(
        "update photos set modified_at = ? where id = ? and path = ?",
        [_moment(file.modified_ns), photo_id, file.path],
    )
    _refresh(conn, photo_id)
    if before and before[0] != photo_id:
        _refresh(conn, before[0])


def _refresh(conn: Connection, photo_id: int) -> None:
    """Bring a photo's own path and `missing_since` up to date with `photo_paths`."""
    conn.execute(
        """
        update photos set path = coalesce((
            select path from photo_paths
            where photo_id = photos.id and missing_since is null
            order by path != photos.path, path limit 1
        ), path) where id = ?
        """,
        [photo_id],
    )
    conn.execute(
        """
        update photos set missing_since = case when exists (
            select 1 from photo_paths where photo_id = photos.id and missing_since is null
        ) then null else coalesce(missing_since, ?) end where id = ?
        """,
        [now(), photo_id],
    )


def places(conn: Connection) -> list[tuple[str, bytes | None]]:
    """One place of each photo whose file was there: path, and its bytes where it is not UTF-8."""
    rows = conn.execute(
        """
        select min(photo_paths.path), path_bytes from photo_paths
        where missing_since is null group by photo_id order by photo_id
        """
    )
    return [(path, raw) for path, raw in rows]


def mark_missing(conn: Connection, paths: list[str]) -> int:
    """Mark paths whose files are gone, and photos that lie nowhere else; how many photos those are."""
    moment, gone = now(), set()
    for path in paths:
        conn.execute("update photo_paths set missing_since = ? where path = ?", [moment, path])
        photo = conn.execute("select photo_id from photo_paths where path = ?", [path]).fetchone()
        if photo:
            _refresh(conn, photo[0])
            gone.add(photo[0])
    return sum(
        conn.execute(
            "select missing_since is not null from photos where id = ?", [photo]
        ).fetchone()[0]
        for photo in gone
    )
