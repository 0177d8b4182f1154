"""Where a file goes that is made anew: what it must not take the place of; made beside, named when whole.

What is in it stands elsewhere.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import CatalogueError

BEHIND = ".export"
"""How the folder ends in which a file is made, beside where it goes."""
RANDOM_CHARACTERS = 8
"""So many has a name of `tempfile`."""
LOCK = "lock"
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")
"""SQLite takes files of these names for a database's own."""


def refuse_private(path: str, database: str, what: str) -> None:
    """Raise CatalogueError where a path is the private file's, or of a file that belongs to it."""
    if not path:
        raise CatalogueError(f"{what} has no name; name a file")
    real = os.path.realpath(path)
    own = {os.path.realpath(database) + end for end in BESIDE_SQLITE}
    linked = os.path.exists(path) and os.path.exists(database) and os.path.samefile(path, database)
    if real in own or linked:
        raise CatalogueError(
            f"{what} would replace the private file {database}, or its log; name another file"
        )


def refuse_what_is_there(path: str, what: str, *, replace: bool, ours: bool) -> None:
    """Raise CatalogueError where a file, a folder, a log or nothing at all is in the way.

    replace: a file of the same kind may be there. ours: what is there is one.
    """
    if os.path.isdir(path):
        raise CatalogueError(f"{path} is a folder; name a file")
    real = Path(path).resolve()
    for end in BESIDE_SQLITE[1:]:
        if os.path.lexists(f"{real}{end}"):
            raise CatalogueError(
                f"{real}{end} exists: SQLite would treat it as part of the new file. Close the program "
                "that has it open, or remove it"
            )
    if os.path.lexists(path):
        if not replace:
            raise CatalogueError(f"{path} exists already; --replace replaces it")
        if not ours:
            raise CatalogueError(
                f"{path} is there, and is {what}; name another file, or remove it yourself"
            )
    if not real.parent.is_dir():
        raise CatalogueError(f"There is no folder {real.parent}; make it first")


@contextmanager
def folder_beside(path: str) -> Iterator[Path]:
    """A folder on the same disk, for a file that is not whole yet; those of killed exports beside it go.

    Only its owner may look into it. Raises CatalogueError.
    """
    to = Path(path).resolve()
    for old in _left(to):
        _remove_if_left(old)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=BEHIND, dir=to.parent))
    except OSError as error:
        raise CatalogueError(f"{to.parent} cannot be written: {error.strerror}") from None
    try:
        with (made / LOCK).open("w") as lock:
            _hold(lock)
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _left(to: Path) -> list[Path]:
    """Folders beside a file that an export may have left: what is in them may be private."""
    own = list(to.parent.glob(f".{glob.escape(to.name)}.*{BEHIND}"))
    if os.name != "posix":  # where nothing tells whether another one still writes
        return own
    others = to.parent.glob(f".*.{'?' * RANDOM_CHARACTERS}{BEHIND}")
    return own + [it for it in others if (it / LOCK).is_file()]


@contextmanager
def scratch_beside(path: str) -> Iterator[Path]:
    """The same for what is thrown away; elsewhere, where the folder cannot be written."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(folder_beside(path))
        except CatalogueError:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield made


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose export has ended; the lock ends with its process, on whichever machine."""
    with suppress(OSError), (folder / LOCK).open("w") as lock:
        if _hold(lock):
            shutil.rmtree(folder, ignore_errors=True)


def _hold(lock: IO[str]) -> bool:
    """Hold a file against others; whether that went."""
    try:
        import fcntl
    except ImportError:  # Windows removes no file that is open
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def put(whole: Path, path: str) -> None:
    """Give a whole file its name, once the disk holds it; where that is a link, in its target's place."""
    to = Path(path).resolve()
    sync(whole)
    os.replace(whole, to)
    sync(to.parent)


def sync(path: Path) -> None:
    """Have the disk hold what was written."""
    with suppress(OSError):  # a folder, where the system knows no such thing
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
