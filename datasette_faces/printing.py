"""Many rows given to several workers: what each gives, in their order, a few at a time in memory.

How a picture is printed stands in `reprints`, what of a row goes out in `published`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from . import processes

Item = TypeVar("Item")
Done = TypeVar("Done")

PROCESSES_FROM = 2_000
"""Threads have printed fewer pictures before processes have begun."""
TASKS_AHEAD = 3
"""While rows are written, each worker has so many tasks to go on with."""
TASK_ROWS = 64
"""So many pictures a worker takes at once: to hand over each of them takes as long as a tenth of it."""


@contextmanager
def workers(pictures: int, *, small: bool) -> Iterator[Executor]:
    """Who prints so many pictures, one for each processor.

    small: Pillow's own Python takes a third of the time that a crop takes, and threads wait for each
    other's; of a photo it takes little, but to hand it to a process takes a tenth.
    """
    count = max(os.cpu_count() or 1, 1)
    if pictures < PROCESSES_FROM or not small:
        with ThreadPoolExecutor(count, thread_name_prefix="print") as threads:
            yield threads
        return
    with processes.pool(count, "datasette_faces.published") as pool:
        yield pool


def in_order(pool: Executor, work: Callable[[Item], Done], items: Iterable[Item]) -> Iterator[Done]:
    """What each item gives, in their order. Raises what work raises."""
    rest = iter(items)
    ahead = TASKS_AHEAD * max(os.cpu_count() or 1, 1)
    waiting: deque[Future[list[Done]]] = deque()
    try:
        while some := list(islice(rest, TASK_ROWS)):
            waiting.append(pool.submit(_each, work, some))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _each(work: Callable[[Item], Done], items: list[Item]) -> list[Done]:
    return [work(item) for item in items]
