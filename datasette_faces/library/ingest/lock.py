"""One ingest at a time into a database: a lock file beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DatabaseBusy, DatabaseNotWritable, MissingExtra
from ...models.base import EXTRA_MEND


@contextmanager
def alone(database: str) -> Iterator[None]:
    """Hold a database against another ingest; the lock ends with the process, however it ends.

    Raises DatabaseBusy, DatabaseNotWritable, MissingExtra.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtra(f"Ingesting needs filelock: {EXTRA_MEND}") from None
    folder = os.path.dirname(os.path.abspath(database))
    if not os.path.isdir(folder):
        raise DatabaseNotWritable(f"There is no folder {folder}; make it, or name another place")
    lock = FileLock(f"{database}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DatabaseBusy(
            f"Another ingest into {database} is running; wait until it ends"
        ) from None
    except OSError as error:
        raise DatabaseNotWritable(
            f"{database} cannot be written: {error.strerror} ({os.path.dirname(database) or '.'})"
        ) from None
    try:
        yield
    finally:
        # Before it is let go, so that nobody can hold a file that is about to vanish
        if os.name == "posix":
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
