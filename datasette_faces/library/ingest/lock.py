"""One ingest at a time into a database: a lock file next to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DatabaseBusy, DatabaseNotWritable, MissingExtra
from ...models.base import EXTRA_MEND


@contextmanager
def lock_for_ingest(database: str) -> Iterator[None]:
    """Keep other ingests out of a database; the lock ends with the process, however it ends.

    Raises DatabaseBusy, DatabaseNotWritable, MissingExtra.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtra(f"Ingesting needs filelock: {EXTRA_MEND}") from None
    folder = os.path.dirname(os.path.abspath(database))
    if not os.path.isdir(folder):
        raise DatabaseNotWritable(f"There is no folder {folder}; create it, or name another one")
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
        # Before the release, so that no one can lock a file that is about to vanish
        if os.name == "posix":
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
