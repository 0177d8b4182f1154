"""Many rows given to several threads: what each gives, in their order, a few at a time in memory.

`media.redact` says how a picture is redacted, `public_rows` what of a row is published.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

TASKS_AHEAD = 3
"""While rows are written, each thread has so many tasks to go on with."""
TASK_ROWS = 64
"""So many pictures a thread takes at once: to hand over each of them takes as long as a tenth of it."""


def in_order(work: Callable[[Item], Done], items: Iterable[Item]) -> Iterator[Done]:
    """What each item gives, in their order, by a thread for each processor. Raises what work raises.

    What takes time in a picture is done without Python's lock; of a crop by Pillow two thirds are.
    """
    rest, count = iter(items), max(os.cpu_count() or 1, 1)
    waiting: deque[Future[list[Done]]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="print") as threads:
        try:
            while some := list(islice(rest, TASK_ROWS)):
                waiting.append(threads.submit(_each, work, some))
                if len(waiting) > TASKS_AHEAD * count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _each(work: Callable[[Item], Done], items: list[Item]) -> list[Done]:
    return [work(item) for item in items]
