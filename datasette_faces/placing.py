"""Where a file goes that is made anew: what it must not take the place of; made beside, named when whole.

What is in it stands elsewhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import CatalogueError

BEHIND = ".export"
"""How the folder ends in which a file is made, beside where it goes."""
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
            f"{what} would take the place of the private file {database}, or of its log; "
            "name another file"
        )


def refuse_what_is_there(path: str, what: str, *, replace: bool, ours: bool) -> None:
    """Raise CatalogueError where a file, a folder or nothing at all is in the way.

    replace: a file of the same kind may be there. ours: what is there is one.
    """
    if os.path.isdir(path):
        raise CatalogueError(f"{path} is a folder; name a file")
    if os.path.lexists(path):
        if not replace:
            raise CatalogueError(f"{path} is there already; --replace puts a new one in its place")
        if not ours:
            raise CatalogueError(
                f"{path} is there, and is {what}; name another file, or remove it yourself"
            )
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise CatalogueError(f"There is no folder {folder}; make it first")


@contextmanager
def folder_beside(path: str) -> Iterator[Path]:
    """A folder on the same disk, for a file that is not whole yet; those of killed exports go.

    Only its owner may look into it. Raises CatalogueError.
    """
    to = Path(path).resolve()
    for old in to.parent.glob(f".{_escaped(to.name)}.*{BEHIND}"):
        pid = old.name[len(to.name) + 2 :].split(".")[0]
        if pid.isdecimal() and not _runs(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    try:
        made = tempfile.mkdtemp(prefix=f".{to.name}.{os.getpid()}.", suffix=BEHIND, dir=to.parent)
    except OSError as error:
        raise CatalogueError(f"{to.parent} cannot be written: {error.strerror}") from None
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def put(whole: Path, path: str) -> None:
    """Give a whole file its name, once the disk holds it."""
    sync(whole)
    os.replace(whole, path)
    sync(Path(path).resolve().parent)


def sync(path: Path) -> None:
    """Have the disk hold what was written."""
    with suppress(OSError):  # a folder, where the system knows no such thing
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _escaped(name: str) -> str:
    """A name as it stands, for a pattern of names."""
    return "".join(f"[{it}]" if it in "*?[" else it for it in name)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
