"""Photos whose file is gone, and folders that are not there: found, and marked as missing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...media import files
from ...store import integrity, photos
from ...store.connection import Connection, transaction
from .findings import HealthFinding, report_rows


def find_missing_files(conn: Connection) -> Iterator[HealthFinding]:
    """Files that are gone, as check "files", and folders that are not there, as notes."""
    missing, away = list_missing(conn)
    one, many = "file is gone from its folder", "files are gone from their folders"
    yield from report_rows("files", one, many, missing, fixable=True)
    one, many = "file is in a folder that is not here", "files are in folders that are not here"
    how = "is a drive disconnected? Nothing in the database is lost"
    yield from report_rows("folders", one, many, away, mend=how, level="note")


def mark_missing_files(conn: Connection) -> None:
    """Mark the files that are gone from a folder that is there."""
    with transaction(conn):
        photos.mark_missing(conn, list_missing(conn)[0])


def list_missing(conn: Connection) -> tuple[list[str], list[str]]:
    """Paths of files that are gone, and paths in folders that are not there themselves."""
    missing: list[str] = []
    away: list[str] = []
    folders: dict[str, bool] = {}
    for path, raw in integrity.present_paths(conn):
        real = files.as_path(path, raw)
        try:
            if os.path.lexists(real):
                continue
        except ValueError:  # a name that no file can have
            pass
        folder = os.path.dirname(real)
        if folder not in folders:
            folders[folder] = "\0" not in folder and os.path.isdir(folder)
        (missing if folders[folder] else away).append(path)
    return missing, away
