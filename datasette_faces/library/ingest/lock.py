"""One ingest at a time into a database: a lock file next to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DatabaseBusy, DatabaseNotWritable, MissingExtra
from ...models.base import EXTRA_MEND
from ...store.lock_holders import LOCK_SUFFIX, read_holder, write_holder


@contextmanager
def lock_for_ingest(database: str, *, what: str = "Ingesting") -> Iterator[None]:
    """Keep other ingests out of a database; the lock ends with the process, however it ends.

    what: needs it. Raises DatabaseBusy, DatabaseNotWritable, MissingExtra.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtra(f"{what} needs filelock: {EXTRA_MEND}") from None
    folder = os.path.dirname(os.path.abspath(database))
    if not os.path.isdir(folder):
        raise DatabaseNotWritable(f"There is no folder {folder}; create it, or name another one")
    lock = FileLock(database + LOCK_SUFFIX, timeout=0)
    # Before the attempt: older versions of filelock empty the file by that
    holder = read_holder(database)
    try:
        lock.acquire()
    except Timeout:
        who = f" (process {holder})" if holder else ""
        raise DatabaseBusy(
            f"Another ingest into {database} is running{who}; wait until it ends"
        ) from None
    except OSError as error:
        raise DatabaseNotWritable(
            f"{database} cannot be written: {error.strerror} ({os.path.dirname(database) or '.'})"
        ) from None
    write_holder(lock.lock_file)
    try:
        yield
    finally:
        # Before the release, so that no one can lock a file that is about to vanish
        if os.name == "posix":
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
