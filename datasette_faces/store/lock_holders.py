"""Which process uses a file: the ingest that its lock file names, or whom the system knows."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

LOCK_SUFFIX = ".lock"
"""The file next to a database that an ingest locks; its process writes its number into it."""
SYSTEM_LOCKS = Path("/proc/locks")
"""The locks of all files, on Linux."""
LOCK_LINE = re.compile(
    r"\d+: \w+ +\w+ +(?P<kind>READ|WRITE) (?P<process>\d+) "
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+) "
)


def describe_holder(path: str) -> str:
    """Who uses a database, as far as it can be known: "another process" at least."""
    ingest = read_holder(path)
    if ingest is not None:
        return f"another process (an ingest, process {ingest})"
    found = find_processes(path)
    if not found:
        return "another process"
    many = len(found) > 1
    return f"{'other processes' if many else 'another process'} ({', '.join(map(str, found))})"


def write_holder(lock_file: str) -> None:
    """Write this process's number into the lock file that it holds."""
    # Windows lets nobody write into a file that is locked
    with suppress(OSError):
        Path(lock_file).write_text(f"{os.getpid()}\n")


def read_holder(path: str) -> int | None:
    """The process that ingests into a database; None where there is none, or it cannot be known."""
    with suppress(OSError, ValueError):
        process = int(Path(path + LOCK_SUFFIX).read_text())
        if process > 0 and process != os.getpid() and _is_alive(process):
            return process
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
