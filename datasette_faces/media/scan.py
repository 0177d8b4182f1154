"""Paths that a person named → files that may be pictures. Opens none of them; no pictures, no SQL."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..shapes import File
from .decode import FORMATS
from .files import as_text

SKIPPED_FOLDERS = {"@eaDir", "$RECYCLE.BIN", "System Volume Information"}
"""Other programs' folders of thumbnails and bins; so are all whose names begin with a dot."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A path that gives no picture, and why."""

    path: str
    reason: str


@dataclass
class Scan:
    """What was walked: folders whose vanished files are known, and those that could not be read."""

    folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)


def walk(paths: list[str], scan: Scan) -> Iterator[File | Rejected]:
    """All files with a picture's ending under these folders, and every file named outright.

    In the order of their names. Symbolic links are followed, each folder is entered once.
    """
    entered: set[tuple[int, int]] = set()
    for path in _expand(paths):
        absolute = os.path.abspath(path)
        if os.path.isdir(absolute):
            scan.folders.append(as_text(absolute)[0])
            yield from _walk_folder(absolute, entered, scan)
        else:
            scan.named.append(as_text(absolute)[0])
            yield _look_at(absolute)


def _expand(paths: list[str]) -> Iterator[str]:
    for path in paths:
        if os.path.lexists(path) or not glob.has_magic(path):
            yield path
        else:
            yield from sorted(glob.glob(path, recursive=True)) or [path]


def _walk_folder(
    folder: str, entered: set[tuple[int, int]], scan: Scan
) -> Iterator[File | Rejected]:
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            identity = os.stat(current)
            if (identity.st_dev, identity.st_ino) in entered:
                continue
            entered.add((identity.st_dev, identity.st_ino))
            names = sorted(os.listdir(current), key=os.fsencode)
        except OSError as error:
            scan.unreadable.append(as_text(current)[0])
            yield Rejected(as_text(current)[0], f"the folder cannot be read: {error.strerror}")
            continue
        folders = []
        for name in names:
            full = os.path.join(current, name)
            if name.startswith(".") or name in SKIPPED_FOLDERS:
                continue
            if os.path.isdir(full):
                folders.append(full)
            elif os.path.splitext(name)[1].lower() in FORMATS:
                yield _look_at(full)
        waiting.extend(reversed(folders))


def _look_at(path: str) -> File | Rejected:
    text, path_bytes = as_text(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        gone = "a link to a file that is not there" if os.path.islink(path) else "no such file"
        return Rejected(text, gone)
    except OSError as error:
        return Rejected(text, f"it cannot be looked at: {error.strerror}")
    if not stat.S_ISREG(found.st_mode):
        return Rejected(text, f"not a file but a {_kind(found.st_mode)}; it was not opened")
    return File(text, found.st_size, found.st_mtime_ns, path_bytes)


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "pipe (FIFO)"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "block device"),
        (stat.S_ISCHR, "character device"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "special file")
