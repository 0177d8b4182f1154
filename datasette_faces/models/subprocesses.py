"""How a process that works for another one begins, and ends with it; not what it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from ..errors import WorkerEnded


@contextmanager
def worker(preload: str) -> Iterator[ProcessPoolExecutor]:
    """One that begins when there is something to do, and does it in turn. Raises WorkerEnded.

    preload: the module whose functions it runs.
    """
    with ProcessPoolExecutor(
        1, mp_context=context(preload), initializer=leave_the_end_to_the_parent
    ) as found:
        try:
            yield found
        except BrokenProcessPool:
            raise WorkerEnded from None
        finally:
            found.shutdown(wait=False, cancel_futures=True)


def context(preload: str) -> Any:
    """Workers that begin from a clean process: the parent has threads, which a fork would tear.

    preload: a module that is imported once for all of them, where the system can fork.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["__main__", preload])
    # It would block and then unblock signals itself, if the forkserver had to begin it
    resource_tracker.ensure_running()
    # Ctrl-C in a terminal goes to all processes: those that only just begin must leave it to us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return found


def leave_the_end_to_the_parent() -> None:
    """In a worker, first of all: ignore Ctrl-C, and end when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
