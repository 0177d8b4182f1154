"""How models work for uploads: one core is left for the pages, the queue is short, limits are tight."""

from __future__ import annotations

import os

from ...models.model_pools import PoolOptions, QueuePolicy
from ...models.worker_pool import WorkerLimits

MAX_PIXELS = 64 * 2**20
"""Of an upload: more than any full-frame camera makes (61 million); 200 MB when decoded."""
LIMITS = WorkerLimits(
    seconds=20,
    max_pixels=MAX_PIXELS,
    memory_bytes=2 * 1024**3,
    nice=10,
    load_seconds=60,
)
"""Of an upload: a tenth of a second is usual. `nice` keeps pages quick while faces are looked for;
a server that is to end waits for its requests, so no picture and no model may take long."""
QUEUE = QueuePolicy(max_waiting=2, when_full="refuse")
"""A picture behind these would wait for longer than people do."""


def make_upload_options() -> PoolOptions:
    """The options of the pools that analyse uploads on this machine."""
    workers = max(1, (os.cpu_count() or 1) - 1)
    return PoolOptions(workers=workers, queue=QUEUE, limits=LIMITS)
