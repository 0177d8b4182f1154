"""Paths that the user named → files that may be pictures. Opens none of them; no pictures, no SQL."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..algorithms.spelling import spellings
from ..shapes import File
from .file_names import expand_pattern, find_path
from .files import as_text
from .formats import FORMATS_BY_SUFFIX

SKIPPED_FOLDERS = {"@eaDir", "$RECYCLE.BIN", "System Volume Information"}
"""Folders of other programs' thumbnails and trash; so are all with a name that begins with a dot."""


@dataclass(frozen=True, slots=True)
class RejectedPath:
    """A path that cannot be read as a picture, and the reason."""

    path: str
    reason: str


@dataclass
class Scan:
    """What a walk covered, as text.

    folders: walked, so a file that is no longer in them has vanished. unreadable: folders that could
    not be read. named: files that the user named.
    """

    folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)


def walk_paths(paths: list[str], scan: Scan) -> Iterator[File | RejectedPath]:
    """All files with a picture's suffix in these folders, and every file that is named itself.

    Sorted by name. Symbolic links are followed; each folder is entered once.
    """
    entered: set[tuple[int, int]] = set()
    for path in _expand_patterns(paths):
        absolute = os.path.abspath(path)
        if os.path.isdir(absolute):
            scan.folders.append(as_text(absolute)[0])
            yield from _walk_folder(absolute, entered, scan)
        else:
            scan.named += [as_text(it)[0] for it in _list_spellings(absolute)]
            yield _check_file(absolute)


def _list_spellings(path: str) -> Iterator[str]:
    """A path; of one that is not there, also the others that it may have had (NFC, NFD)."""
    if os.path.lexists(path):
        yield path
        return
    head, tail = os.path.split(path)
    folder = find_path(head)
    yield from dict.fromkeys(
        (*spellings(path), *(os.path.join(folder, it) for it in spellings(tail)))
    )


def may_exist(path: str) -> bool:
    """Whether a path that the user named is there, however it is composed, or is a glob."""
    return os.path.lexists(find_path(path)) or glob.has_magic(path)


def _expand_patterns(paths: list[str]) -> Iterator[str]:
    for path in paths:
        present = find_path(path)
        if os.path.lexists(present) or not glob.has_magic(path):
            yield present
        else:
            yield from expand_pattern(path) or [path]


def _walk_folder(
    folder: str, entered: set[tuple[int, int]], scan: Scan
) -> Iterator[File | RejectedPath]:
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
            yield RejectedPath(as_text(current)[0], f"the folder cannot be read: {error.strerror}")
            continue
        folders = []
        for name in names:
            full = os.path.join(current, name)
            if name.startswith(".") or name in SKIPPED_FOLDERS:
                continue
            if os.path.isdir(full):
                folders.append(full)
            elif os.path.splitext(name)[1].lower() in FORMATS_BY_SUFFIX:
                yield _check_file(full)
        waiting.extend(reversed(folders))


def _check_file(path: str) -> File | RejectedPath:
    text, path_bytes = as_text(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        gone = "a link to a file that does not exist" if os.path.islink(path) else "no such file"
        return RejectedPath(text, gone)
    except OSError as error:
        return RejectedPath(text, f"it cannot be accessed: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return RejectedPath(
            text, f"not a file but a {_describe_kind(status.st_mode)}; it was not opened"
        )
    return File(text, status.st_size, status.st_mtime_ns, path_bytes)


def _describe_kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "pipe (FIFO)"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "block device"),
        (stat.S_ISCHR, "character device"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "special file")
