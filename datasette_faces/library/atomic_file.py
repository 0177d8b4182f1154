"""Write a file so that its path has the complete file or none: made in a folder beside, then renamed."""

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

FOLDER_SUFFIX = ".export"
"""The end of the name of the folder in which a file is made."""
RANDOM_CHARACTERS = 8
"""Of a name that `tempfile` makes."""
LOCK = "lock"
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")
"""SQLite takes files with these endings for parts of a database."""


def refuse_private(path: str, database: str, what: str) -> None:
    """Raise CatalogueError if a path is the private file's, or that of a file that belongs to it."""
    if not path:
        raise CatalogueError(f"{what} has no name; name a file")
    real = os.path.realpath(path)
    own = {os.path.realpath(database) + end for end in BESIDE_SQLITE}
    linked = os.path.exists(path) and os.path.exists(database) and os.path.samefile(path, database)
    if real in own or linked:
        raise CatalogueError(
            f"{what} would replace the private file {database}, or its log; name another file"
        )


def refuse_existing(path: str, what: str, *, replace: bool, ours: bool) -> None:
    """Raise CatalogueError if something is in the way of a new file, or its folder is missing.

    what: how a file of another kind is called. replace: a file of the same kind may be there. ours:
    whether the one that is there is of the same kind.
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
                f"{path} exists and is {what}; name another file, or remove it yourself"
            )
    if not real.parent.is_dir():
        raise CatalogueError(f"There is no folder {real.parent}; make it first")


@contextmanager
def temporary_folder_beside(path: str) -> Iterator[Path]:
    """A temporary folder on the same disk, for a file that is not complete yet.

    Only its owner may read it. Folders that killed exports left there are removed. Raises
    CatalogueError.
    """
    to = Path(path).resolve()
    for old in _find_left_folders(to):
        _remove_if_unlocked(old)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=FOLDER_SUFFIX, dir=to.parent))
    except OSError as error:
        raise CatalogueError(f"{to.parent} cannot be written: {error.strerror}") from None
    try:
        with (made / LOCK).open("w") as lock:
            _lock(lock)
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _find_left_folders(to: Path) -> list[Path]:
    """Folders beside a file that killed exports left; they may hold private data."""
    own = list(to.parent.glob(f".{glob.escape(to.name)}.*{FOLDER_SUFFIX}"))
    if os.name != "posix":  # no lock tells whether another export still writes
        return own
    others = to.parent.glob(f".*.{'?' * RANDOM_CHARACTERS}{FOLDER_SUFFIX}")
    return own + [folder for folder in others if (folder / LOCK).is_file()]


@contextmanager
def scratch_folder_beside(path: str) -> Iterator[Path]:
    """A temporary folder for scratch files: beside a file, or elsewhere if that cannot be written."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_folder_beside(path))
        except CatalogueError:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield made


def _remove_if_unlocked(folder: Path) -> None:
    """Remove a folder whose export has ended: the lock ends with its process, also on another machine."""
    with suppress(OSError), (folder / LOCK).open("w") as lock:
        if _lock(lock):
            shutil.rmtree(folder, ignore_errors=True)


def _lock(lock: IO[str]) -> bool:
    """Lock a file against other processes; False if another one has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows removes no file that is open
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def move_into_place(file: Path, path: str) -> None:
    """Rename a complete file to its path, once it is on the disk; if a link is there, to its target."""
    to = Path(path).resolve()
    sync_to_disk(file)
    os.replace(file, to)
    sync_to_disk(to.parent)


def sync_to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    with suppress(OSError):  # some systems cannot sync a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
