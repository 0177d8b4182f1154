"""How worker processes begin, and end with the process that they work for; not what they do."""

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
def open_worker(preload: str) -> Iterator[ProcessPoolExecutor]:
    """An executor of one process, which begins with the first task. Raises WorkerEnded.

    preload: the module whose functions the process runs.
    """
    with ProcessPoolExecutor(
        1, mp_context=make_context(preload), initializer=end_with_parent
    ) as executor:
        try:
            yield executor
        except BrokenProcessPool:
            raise WorkerEnded from None
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def make_context(preload: str) -> Any:
    """Workers that begin from a clean process: the parent has threads, which a fork would tear.

    preload: a module that is imported once for all of them, where the system can fork.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    forkserver_context = multiprocessing.get_context("forkserver")
    forkserver_context.set_forkserver_preload(["__main__", preload])
    # The forkserver would begin the tracker, which would unblock the signals
    resource_tracker.ensure_running()
    # Ctrl-C in a terminal goes to all processes: those that only just begin must leave it to us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return forkserver_context


def end_with_parent() -> None:
    """In a worker, first of all: ignore Ctrl-C, and end when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=[parent], daemon=True).start()


def _exit_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
