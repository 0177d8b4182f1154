"""What the workers of tests need: imported once, in the process that they are forked from."""

from __future__ import annotations

import gc
import multiprocessing.popen_forkserver
import multiprocessing.synchronize

import odd_models  # noqa: F401
import pebble  # noqa: F401
import seen_before
from PIL import Image

import datasette_faces.models.worker_pool  # noqa: F401

Image.init()
seen_before.load_so_in_workers()
gc.freeze()
