"""A file's bytes, read once, whole, without waiting. Knows nothing of pictures."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Sequence

from ..errors import PictureError
from ..shapes import File

MAX_FILE_BYTES = 500_000_000


def as_text(path: str) -> tuple[str, bytes | None]:
    """A path as text that SQLite can hold, and its bytes where the text is not the name itself."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw


def as_path(path: str, path_bytes: bytes | None) -> str:
    """The path to open a file by, from what `as_text` gave."""
    return os.fsdecode(path_bytes) if path_bytes else path


def read(file: File) -> bytes:
    """A file's bytes. Raises PictureError if it cannot be read, or changes meanwhile."""
    if file.size_bytes > MAX_FILE_BYTES:
        raise PictureError(f"the file has over {MAX_FILE_BYTES // 1_000_000} MB")
    try:
        with open_at_once(as_path(file.path, file.path_bytes)) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
            after = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise PictureError("the file vanished while it was to be read") from None
    except OSError as error:
        raise PictureError(f"the file cannot be read: {error.strerror}") from None
    now = (after.st_mtime_ns, after.st_size, len(data))
    if now != (file.modified_ns, file.size_bytes, file.size_bytes):
        raise PictureError("the file changed while it was read; ingest it again")
    return data


def read_known(
    path: str,
    size_bytes: int,
    sha256: str,
    *,
    within: Sequence[str] = (),
    most_bytes: int = MAX_FILE_BYTES,
) -> bytes | None:
    """A file's bytes if they are the ones that are known; None where anything else lies there.

    The path is one that an ingest would have written; what lies there is a file, and is looked at
    before it is opened: to open a device or a pipe may do something. What its bytes are decides, so
    a link is followed, as an ingest follows it. within: folders, outside which, links and all
    resolved, nothing is opened; none: anywhere.
    """
    if not 0 < size_bytes <= most_bytes:
        return None
    try:
        if not _is_plain(path) or not _lies_within(path, within) or not _is_file(os.stat(path)):
            return None
        with open_at_once(path) as stream:
            # What was looked at may have been replaced
            found = os.fstat(stream.fileno())
            if not _is_file(found) or found.st_size != size_bytes:
                return None
            data = stream.read(size_bytes)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def known_size(path: str, within: Sequence[str] = ()) -> int | None:
    """The size of a file that `read_known` would open; None where there is none."""
    found = _looked_at(path, within)
    return found.st_size if found else None


def is_untouched(
    path: str, size_bytes: int, modified_ns: int, *, within: Sequence[str] = ()
) -> bool:
    """Whether a file that `read_known` would open is as it was, as far as that is seen from outside."""
    found = _looked_at(path, within)
    return found is not None and (found.st_size, found.st_mtime_ns) == (size_bytes, modified_ns)


def _looked_at(path: str, within: Sequence[str]) -> os.stat_result | None:
    try:
        if not _is_plain(path) or not _lies_within(path, within):
            return None
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found if _is_file(found) else None


def _is_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def _is_plain(path: str) -> bool:
    """Whether a path is absolute, without `..` and the like; on Windows, none that asks another machine."""
    elsewhere = path.startswith(("\\\\", "//"))
    return os.path.isabs(path) and os.path.normpath(path) == path and not elsewhere


def _lies_within(path: str, folders: Sequence[str]) -> bool:
    if not folders:
        return True
    real = os.path.realpath(path)
    roots = [os.path.realpath(folder) for folder in folders]
    return any(_common(real, root) == root for root in roots)


def _common(path: str, root: str) -> str | None:
    try:
        return os.path.commonpath([path, root])
    except ValueError:  # on different drives
        return None


def open_at_once(path: str) -> io.BufferedReader:
    """Open a file to read; a pipe in its place, which would never answer, does not hold us up."""
    return open(path, "rb", opener=_without_waiting)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
