"""What the workers of tests need: imported once, in the process that they are forked from."""

from __future__ import annotations

import odd_models  # noqa: F401
from PIL import Image

import datasette_faces.models.worker_pool  # noqa: F401

Image.init()
