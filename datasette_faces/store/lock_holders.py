"""Which process uses a file: the one that its lock file names, or whom the system knows."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOCK_SUFFIX = ".lock"
"""The file next to a database that an ingest locks; its process writes its number and work into it."""
HOLDER_LINE = re.compile(r"(?P<process>[1-9]\d*)(?: (?P<work>[a-z ]{1,40}))?\s*")
AN_INGEST = "an ingest"
SYSTEM_LOCKS = Path("/proc/locks")
"""The locks of all files, on Linux."""
LOCK_LINE = re.compile(
    r"\d+: \w+ +\w+ +(?P<kind>READ|WRITE) (?P<process>\d+) "
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+) "
)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a database's lock file, and what it does: "an ingest"."""

    process: int
    work: str = AN_INGEST


def describe_holder(path: str) -> str:
    """Who uses a database, as far as it can be known: "another process" at least."""
    holder = read_holder(path)
    if holder is not None:
        return f"another process ({holder.work}, process {holder.process})"
    found = find_processes(path)
    if not found:
        return "another process"
    many = len(found) > 1
    return f"{'other processes' if many else 'another process'} ({', '.join(map(str, found))})"


def write_holder(lock_file: str, work: str) -> None:
    """Write this process's number, and what it does, into the lock file that it holds."""
    # Windows lets nobody write into a file that is locked
    with suppress(OSError):
        Path(lock_file).write_text(f"{os.getpid()} {work}\n")


def clear_holder(lock_file: str) -> None:
    """Take this process's number out of the lock file that it still holds: numbers are used again."""
    with suppress(OSError):
        Path(lock_file).write_text("")


def read_holder(path: str) -> Holder | None:
    """The process that holds a database's lock; None where there is none, or it cannot be known."""
    with suppress(OSError, ValueError):
        found = HOLDER_LINE.fullmatch(Path(path + LOCK_SUFFIX).read_text())
        process = int(found["process"]) if found else 0
        if found and process != os.getpid() and _is_alive(process):
            return Holder(process, found["work"] or AN_INGEST)
    return None


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


def find_processes(path: str) -> list[int]:
    """The other processes that lock a database, where the system tells: who writes, else who reads.

    The file itself is not opened: closing it again would end this process's own locks on it.
    """
    files = set()
    for ending in ("", "-shm"):
        with suppress(OSError):
            status = os.stat(path + ending)
            files.add((os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))
    try:
        lines = SYSTEM_LOCKS.read_text().splitlines()
    except OSError:
        return []
    found: dict[str, set[int]] = {"WRITE": set(), "READ": set()}
    for lock in filter(None, map(LOCK_LINE.match, lines)):
        place = (int(lock["major"], 16), int(lock["minor"], 16), int(lock["inode"]))
        if place in files and int(lock["process"]) not in (0, os.getpid()):
            found[lock["kind"]].add(int(lock["process"]))
    return sorted(found["WRITE"] or found["READ"])
