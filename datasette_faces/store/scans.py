"""What a scan of folders saw, what it missed, and which files gave no photo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from typing import Any

from ..shapes import File
from .connection import Connection
from .photos import now


def begin_scan(conn: Connection) -> None:
    """Make the temporary table of what a scan sees."""
    conn.execute("create temp table seen (path text primary key, is_file integer) without rowid")


def mark_seen(conn: Connection, path: str, *, is_file: bool) -> bool:
    """Note that a scan saw a path; whether that is the first time."""
    cursor = conn.execute("insert or ignore into seen values (?, ?)", [path, is_file])
    return bool(cursor.rowcount)


def seen_photos(conn: Connection) -> set[int]:
    """The photos whose files a scan saw."""
    rows = conn.execute(
        "select photo_id from photo_paths where path in (select path from seen where is_file)"
    )
    return {row[0] for row in rows}


def vanished(
    conn: Connection, folders: list[str], named: list[str], unreadable: list[str]
) -> list[tuple[str, bytes | None]]:
    """Paths of photos (and their bytes) under these folders, or named, that the scan did not see."""
    lost = "missing_since is null and path not in (select path from seen where is_file)"
    columns = "select path, path_bytes from photo_paths"
    found = set(_known_under(conn, folders, columns, lost))
    for path in named:
        found.update(map(tuple, conn.execute(f"{columns} where path = ? and {lost}", [path])))
    closed = tuple(_prefix(folder) for folder in unreadable)
    return sorted(place for place in found if not place[0].startswith(closed))


def forget_errors(conn: Connection, folders: list[str]) -> None:
    """Drop the errors of files that are no longer there."""
    lost = "path not in (select path from seen)"
    gone = list(_known_under(conn, folders, "select path from ingest_errors", lost))
    gone += [(folder,) for folder in folders]
    conn.executemany("delete from ingest_errors where path = ?", gone)


def _known_under(
    conn: Connection, folders: list[str], columns: str, condition: str
) -> Iterator[tuple[Any, ...]]:
    for folder in folders:
        first = _prefix(folder)
        after = first[:-1] + chr(ord(first[-1]) + 1)
        query = f"{columns} where path >= ? and path < ? and {condition}"
        yield from map(tuple, conn.execute(query, [first, after]))


def _prefix(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep


def save_error(conn: Connection, path: str, reason: str, broken: File | None = None) -> None:
    """Remember why a file gave no photo; `broken` where that lies in its content, and will last."""
    lasting = (broken.size_bytes, broken.modified_ns, _version()) if broken else (None, None, None)
    conn.execute(
        """
        insert or replace into ingest_errors(path, reason, seen_at, bytes, modified_ns, tried_by)
        values (?, ?, ?, ?, ?, ?)
        """,
        [path, reason, now(), *lasting],
    )


def errors(conn: Connection) -> dict[str, tuple[str, tuple[object, ...]]]:
    """All files that gave no photo: the reason, and what tells that a broken one is unchanged."""
    rows = conn.execute("select path, reason, bytes, modified_ns, tried_by from ingest_errors")
    return {path: (reason, tuple(lasting)) for path, reason, *lasting in rows}


def is_broken(error: tuple[str, tuple[object, ...]], file: File) -> bool:
    """Whether a file's content was found broken by this version, and has not changed since."""
    return error[1] == (file.size_bytes, file.modified_ns, _version())


@cache
def _version() -> str:
    return metadata.version("datasette-faces")
