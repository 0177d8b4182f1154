"""What the workers of tests need: imported and used once, in the process that they are forked from."""

from __future__ import annotations

import gc
import multiprocessing.popen_forkserver
import multiprocessing.synchronize  # noqa: F401

import odd_models  # noqa: F401
import pebble  # noqa: F401
import seen_before
from pictures import encoded
from PIL import Image
from toy_model import RED, SQUARE_PX, ToyModel

import datasette_faces.models.worker_pool  # noqa: F401
from datasette_faces.models.pipeline import analyse

Image.init()
for file_format in ("PNG", "JPEG"):
    square = encoded(Image.new("RGB", (SQUARE_PX, SQUARE_PX), RED), file_format)
    analyse(square, ToyModel().load(), detect_px=ToyModel.detect_px)
seen_before.load_so_in_workers()
gc.freeze()
