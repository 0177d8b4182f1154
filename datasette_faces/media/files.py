"""Reading files: whole, once, and without waiting for a pipe. Knows nothing about pictures."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Sequence

from ..errors import PictureError
from ..shapes import File
from . import limits


def as_text(path: str) -> tuple[str, bytes | None]:
    """A path as text that SQLite can store, and its bytes if the text is not the path itself."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw


def as_path(path: str, path_bytes: bytes | None) -> str:
    """The path to open, from the result of `as_text`."""
    return os.fsdecode(path_bytes) if path_bytes else path


def read_file(file: File) -> bytes:
    """A file's bytes. Raises PictureError if it cannot be read, or changes while it is read."""
    if file.size_bytes > limits.MAX_FILE_BYTES:
        raise PictureError(limits.describe_too_many_bytes())
    try:
        with open_without_blocking(as_path(file.path, file.path_bytes)) as stream:
            data = stream.read(limits.MAX_FILE_BYTES + 1)
            after = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise PictureError("the file vanished before it could be read") from None
    except OSError as error:
        raise PictureError(f"the file cannot be read: {error.strerror}") from None
    now = (after.st_mtime_ns, after.st_size, len(data))
    if now != (file.modified_ns, file.size_bytes, file.size_bytes):
        raise PictureError("the file changed while it was being read; ingest it again")
    return data


def read_verified(
    path: str,
    size_bytes: int,
    sha256: str,
    *,
    within: Sequence[str] = (),
    max_bytes: int = limits.MAX_FILE_BYTES,
) -> bytes | None:
    """A file's bytes if they have this size and SHA-256; None for anything else at the path.

    The path has to be one that an ingest would have written, and a regular file, which is checked
    before it is opened: to open a device or a pipe may have effects. Only the bytes count, so a link
    is followed, as an ingest does. within: no file is opened outside these folders, with links
    resolved; empty: anywhere.
    """
    if not 0 < size_bytes <= max_bytes:
        return None
    try:
        if not _is_plain(path) or not _is_within(path, within) or not _is_file(os.stat(path)):
            return None
        with open_without_blocking(path) as stream:
            # The file may have been replaced since it was checked
            status = os.fstat(stream.fileno())
            if not _is_file(status) or status.st_size != size_bytes:
                return None
            data = stream.read(size_bytes)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def find_file_size(path: str, within: Sequence[str] = ()) -> int | None:
    """The size of a file that `read_verified` would open; None if there is none."""
    status = _stat_file(path, within)
    return status.st_size if status else None


def is_untouched(
    path: str, size_bytes: int, modified_ns: int, *, within: Sequence[str] = ()
) -> bool:
    """Whether a file that `read_verified` would open has the same size and modification time."""
    status = _stat_file(path, within)
    return status is not None and (status.st_size, status.st_mtime_ns) == (size_bytes, modified_ns)


def _stat_file(path: str, within: Sequence[str]) -> os.stat_result | None:
    try:
        if not _is_plain(path) or not _is_within(path, within):
            return None
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if _is_file(status) else None


def _is_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def _is_plain(path: str) -> bool:
    """Whether a path is absolute and normalised; on Windows, also that it is on this machine."""
    is_remote = path.startswith(("\\\\", "//"))
    return os.path.isabs(path) and os.path.normpath(path) == path and not is_remote


def _is_within(path: str, folders: Sequence[str]) -> bool:
    if not folders:
        return True
    real = os.path.realpath(path)
    roots = [os.path.realpath(folder) for folder in folders]
    return any(_common_path(real, root) == root for root in roots)


def _common_path(path: str, root: str) -> str | None:
    try:
        return os.path.commonpath([path, root])
    except ValueError:  # on different drives
        return None


def open_without_blocking(path: str) -> io.BufferedReader:
    """Open a file for reading; a pipe in its place, which might never answer, does not block."""
    return open(path, "rb", opener=_open_without_blocking)


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
