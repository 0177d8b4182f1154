"""Map a function over many rows in several threads: results in order, a few of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TASKS_AHEAD = 3
"""Tasks that wait for each thread while rows are written."""
TASK_ROWS = 64
"""Pictures of a task: to hand over a single one takes a tenth of the time that it needs."""


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of a function in the order of the items, with a thread for each processor.

    Raises what the function raises. Most of the work on a picture runs without Python's lock; of a crop
    by Pillow two thirds do.
    """
    rest, count = iter(items), max(os.cpu_count() or 1, 1)
    pending: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="print") as threads:
        try:
            while batch := list(islice(rest, TASK_ROWS)):
                pending.append(threads.submit(_map, work, batch))
                if len(pending) > TASKS_AHEAD * count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _map(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [work(item) for item in items]
