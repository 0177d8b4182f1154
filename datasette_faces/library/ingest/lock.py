"""One ingest at a time into a database: a lock file next to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DatabaseBusy, DatabaseNotWritable, MissingExtra
from ...models.base import EXTRA_MEND
from ...store.lock_holders import (
    AN_INGEST,
    LOCK_SUFFIX,
    Holder,
    clear_holder,
    read_holder,
    write_holder,
)


@contextmanager
def lock_for_ingest(
    database: str, *, what: str = "Ingesting", work: str = AN_INGEST
) -> Iterator[None]:
    """Keep other ingests out of a database; the lock ends with the process, however it ends.

    what: needs it. work: what others are told is going on. Raises DatabaseBusy, DatabaseNotWritable,
    MissingExtra.
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
        raise DatabaseBusy(f"{_describe(database, holder)}; wait until it ends") from None
    except OSError as error:
        raise DatabaseNotWritable(
            f"{database} cannot be written: {error.strerror} ({os.path.dirname(database) or '.'})"
        ) from None
    write_holder(lock.lock_file, work)
    try:
        yield
    finally:
        clear_holder(lock.lock_file)
        # Before the release, so that no one can lock a file that is about to vanish
        if os.name == "posix":
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _describe(database: str, holder: Holder | None) -> str:
    if holder is not None and holder.work != AN_INGEST:
        return f"{database} is in use by {holder.work} (process {holder.process})"
    who = f" (process {holder.process})" if holder else ""
    return f"Another ingest into {database} is running{who}"
