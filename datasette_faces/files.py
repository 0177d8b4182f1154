"""A file's bytes, read once, whole, without waiting. Knows nothing of pictures."""

from __future__ import annotations

import hashlib
import io
import os
import stat

from .errors import PictureError
from .shapes import File

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


def read_known(path: str, size_bytes: int, sha256: str) -> bytes | None:
    """A file's bytes if they are the ones that are known; None where anything else lies there."""
    try:
        with open_at_once(path) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
                return None
            data = stream.read(size_bytes)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def open_at_once(path: str) -> io.BufferedReader:
    """Open a file to read; a pipe in its place, which would never answer, does not hold us up."""
    return open(path, "rb", opener=_without_waiting)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
