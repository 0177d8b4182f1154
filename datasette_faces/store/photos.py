"""What an ingest asks and writes: photographs by content, their paths, faces and errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from .. import geometry, vectors
from ..connections import Connection
from ..errors import WrongWeights
from ..indexes import sqlite_vec
from ..shapes import Analysis, Box, Face, ModelInfo

SAME_FACE_OVERLAP = 0.5
"""Two boxes of one photo are one face from this IoU on (as in Immich)."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was found: its path as text, and as bytes where it is not UTF-8."""

    path: str
    size_bytes: int
    modified_ns: int
    path_bytes: bytes | None = None


@dataclass(frozen=True, slots=True)
class KnownPath:
    """What the database remembers of a path."""

    photo_id: int
    unchanged: bool
    missing: bool


def now() -> str:
    """This moment, UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def register_model(conn: Connection, info: ModelInfo) -> None:
    """Remember a model and make its vec0 table. Raises WrongWeights if its id had other weights."""
    known = conn.execute("select weights_sha256 from models where id = ?", [info.id]).fetchone()
    if known and known[0] != info.weights_sha256:
        raise WrongWeights(
            f"This database holds embeddings of another model named {info.id!r} (other weights); "
            "rename the pack's folder to ingest with it beside the first"
        )
    if not known:
        conn.execute(
            "insert into models(id, name, dimensions, threshold, licence, weights_sha256) "
            "values (:id, :name, :dimensions, :threshold, :licence, :weights_sha256)",
            {name: getattr(info, name) for name in info.__slots__},
        )
    sqlite_vec.create(conn, info.id, info.dimensions)


def known_path(conn: Connection, file: File) -> KnownPath | None:
    """What is known of a path; `unchanged` if size and time of the file are as they were."""
    row = conn.execute(
        "select photo_id, bytes, modified_ns, missing_since from photo_paths where path = ?",
        [file.path],
    ).fetchone()
    if row is None:
        return None
    photo_id, size, modified_ns, missing_since = row
    unchanged = (size, modified_ns) == (file.size_bytes, file.modified_ns)
    return KnownPath(photo_id, unchanged, missing_since is not None)


def photo_with_content(conn: Connection, sha256: str) -> int | None:
    """The photo that holds these bytes."""
    row = conn.execute("select id from photos where sha256 = ?", [sha256]).fetchone()
    return int(row[0]) if row else None


def is_analysed(conn: Connection, photo_id: int, model_id: str) -> bool:
    """Whether a model has looked at a photo."""
    found = conn.execute(
        "select 1 from analyses where photo_id = ? and model_id = ?", [photo_id, model_id]
    )
    return found.fetchone() is not None


def save_photo(conn: Connection, file: File, sha256: str, analysis: Analysis) -> tuple[int, bool]:
    """Store a photo whose content is new; its id, and whether it is an edited one.

    Where the file was there before with another content, and that content is nowhere else, the
    photo was edited: its row keeps its id.
    """
    values = _photo_values(file, sha256, analysis)
    photo_id = _edited_photo(conn, file.path)
    if photo_id is None:
        names = ", ".join(values)
        bound = ", ".join(f":{name}" for name in values)
        cursor = conn.execute(f"insert into photos({names}) values ({bound})", values)
        return int(cursor.lastrowid), False
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    conn.execute(f"update photos set {assignments} where id = :id", {**values, "id": photo_id})
    conn.execute("delete from analyses where photo_id = ?", [photo_id])
    return photo_id, True


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
    }


def _moment(modified_ns: int) -> str | None:
    try:
        moment = datetime.fromtimestamp(modified_ns / 1e9, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _edited_photo(conn: Connection, path: str) -> int | None:
    row = conn.execute(
        """
        select photo_id from photo_paths as here
        where path = ? and not exists (
            select 1 from photo_paths as elsewhere
            where elsewhere.photo_id = here.photo_id
                and elsewhere.path != here.path and elsewhere.missing_since is null
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
        insert into photo_paths(path, photo_id, bytes, modified_ns, path_bytes)
        values (?, ?, ?, ?, ?)
        on conflict(path) do update set photo_id = excluded.photo_id, bytes = excluded.bytes,
            modified_ns = excluded.modified_ns, missing_since = null
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


def begin_scan(conn: Connection) -> None:
    """Make the temporary table of what a scan sees."""
    conn.execute("create temp table seen (path text primary key, is_file integer) without rowid")


def see(conn: Connection, path: str, *, is_file: bool) -> bool:
    """Note that a scan saw a path; whether that is the first time."""
    cursor = conn.execute("insert or ignore into seen values (?, ?)", [path, is_file])
    return bool(cursor.rowcount)


def vanished(
    conn: Connection, folders: list[str], named: list[str], unreadable: list[str]
) -> list[str]:
    """Paths of photos under these folders, or named, that the scan did not see as files."""
    lost = "missing_since is null and path not in (select path from seen where is_file)"
    found = set(_known_under(conn, folders, "photo_paths", lost))
    for path in named:
        query = f"select path from photo_paths where path = ? and {lost}"
        found.update(row[0] for row in conn.execute(query, [path]))
    closed = tuple(_prefix(folder) for folder in unreadable)
    return sorted(path for path in found if not path.startswith(closed))


def forget_errors(conn: Connection, folders: list[str]) -> None:
    """Drop the errors of files that are no longer there."""
    lost = "path not in (select path from seen)"
    for path in list(_known_under(conn, folders, "ingest_errors", lost)):
        conn.execute("delete from ingest_errors where path = ?", [path])


def _known_under(conn: Connection, folders: list[str], table: str, condition: str) -> Iterator[str]:
    for folder in folders:
        first = _prefix(folder)
        after = first[:-1] + chr(ord(first[-1]) + 1)
        query = f"select path from {table} where path >= ? and path < ? and {condition}"
        yield from (row[0] for row in conn.execute(query, [first, after]))


def _prefix(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep


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


def save_error(conn: Connection, path: str, reason: str) -> None:
    """Remember why a file gave no photo."""
    conn.execute(
        """
        insert into ingest_errors(path, reason, seen_at) values (?, ?, ?)
        on conflict(path) do update set reason = excluded.reason, seen_at = excluded.seen_at
        """,
        [path, reason, now()],
    )


def save_faces(
    conn: Connection, photo_id: int, model_id: str, faces: tuple[Face, ...], *, edited: bool
) -> None:
    """Store what a model found in a photo.

    A face that is there already (by its box) keeps its id and gets this model's embedding. In an
    edited photo it is measured anew, and faces that are no longer there are removed.
    """
    known = _boxes(conn, photo_id)
    for face in faces:
        face_id = _same_face(face.detection.box, known)
        if face_id is None:
            face_id = _insert_face(conn, photo_id, face)
        else:
            del known[face_id]
            if edited:
                _update_face(conn, face_id, face)
        _save_embedding(conn, face_id, model_id, vectors.encode(face.embedding))
    if edited:
        for face_id in known:
            _delete_face(conn, face_id)
    conn.execute(
        "insert or ignore into analyses(photo_id, model_id) values (?, ?)", [photo_id, model_id]
    )


def _boxes(conn: Connection, photo_id: int) -> dict[int, Box]:
    rows = conn.execute(
        "select id, x, y, width, height from faces where photo_id = ? order by id", [photo_id]
    )
    return {face_id: Box(*box) for face_id, *box in rows}


def _same_face(box: Box, known: dict[int, Box]) -> int | None:
    overlaps = {
        face_id: geometry.intersection_over_union(box, other) for face_id, other in known.items()
    }
    best = max(overlaps, key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] > SAME_FACE_OVERLAP else None


def _face_values(face: Face) -> dict[str, object]:
    box, pose = face.detection.box, face.pose
    return {
        "x": round(box.x, 2),
        "y": round(box.y, 2),
        "width": round(box.width, 2),
        "height": round(box.height, 2),
        "landmarks": json.dumps(
            [[round(float(v), 2) for v in p] for p in face.detection.landmarks]
        ),
        "detection_score": round(face.detection.score, 4),
        "sharpness": round(face.sharpness, 1),
        "yaw": round(pose.yaw, 1),
        "pitch": round(pose.pitch, 1),
        "roll": round(pose.roll, 1),
        "crop": face.crop,
    }


def _insert_face(conn: Connection, photo_id: int, face: Face) -> int:
    values = {"photo_id": photo_id, **_face_values(face)}
    names, bound = ", ".join(values), ", ".join(f":{name}" for name in values)
    cursor = conn.execute(
        f"insert into faces({names}, photo_taken_at) "
        f"values ({bound}, (select taken_at from photos where id = :photo_id))",
        values,
    )
    return int(cursor.lastrowid)


def _update_face(conn: Connection, face_id: int, face: Face) -> None:
    values = _face_values(face)
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    conn.execute(f"update faces set {assignments} where id = :id", {**values, "id": face_id})
    # Other models' vectors were of the old picture; those models look again when they ingest next
    others = conn.execute("select model_id from face_embeddings where face_id = ?", [face_id])
    sqlite_vec.remove(conn, [row[0] for row in others.fetchall()], face_id)
    conn.execute("delete from face_embeddings where face_id = ?", [face_id])


def _save_embedding(conn: Connection, face_id: int, model_id: str, embedding: bytes) -> None:
    conn.execute(
        "insert or replace into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
        [face_id, model_id, embedding],
    )
    sqlite_vec.put(conn, model_id, face_id, embedding)


def _delete_face(conn: Connection, face_id: int) -> None:
    models = conn.execute("select model_id from face_embeddings where face_id = ?", [face_id])
    sqlite_vec.remove(conn, [row[0] for row in models.fetchall()], face_id)
    conn.execute("delete from faces where id = ?", [face_id])
