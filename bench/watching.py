"""What a command took, and what others took of the machine meanwhile, as Linux's /proc shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Watched:
    """What a command and its descendants took.

    cpu_s: of all cores. peak_mb: resident in all its processes together; what they share counts in
    each. others: the share (0..1) of the machine that others took meanwhile.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    others: float


def watch(*command: str, every_s: float, output: IO[bytes] | None = None) -> Watched:
    """Run a command and look at it and its descendants every so often; it has to succeed."""
    peak, cpu_s = 0, {}
    busy_s, started = busy_seconds(), time.perf_counter()
    process = subprocess.Popen(
        command, stdout=output or subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        family = _family(process.pid)
        peak = max(peak, sum(_resident_bytes(pid) for pid in family))
        cpu_s |= {pid: seconds for pid in family if (seconds := _cpu_seconds(pid))}
        with suppress(subprocess.TimeoutExpired):
            process.wait(every_s)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    seconds, own_s = time.perf_counter() - started, sum(cpu_s.values())
    others = (busy_seconds() - busy_s - own_s) / (seconds * cores())
    return Watched(seconds, own_s, peak / 1e6, max(0.0, others))


def cores() -> int:
    """How many this machine has."""
    return os.cpu_count() or 1


def busy_seconds() -> float:
    """Seconds that this machine's cores have worked since it started."""
    try:
        times = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    except OSError:
        return 0.0
    # user, nice, system, idle, iowait, irq, softirq: proc(5)
    return sum(times[:3] + times[5:7]) / os.sysconf("SC_CLK_TCK")


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    """A process and its descendants, as /proc has them."""
    found = [pid]
    for member in found:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
