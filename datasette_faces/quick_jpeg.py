"""JPEG → smaller JPEG by OpenCV, where it is installed: Pillow's very bytes, sooner, without Python's lock.

Nothing is drawn here: what is blurred or written on is Pillow's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

SCALES = (8, 4, 2, 1)
"""What libjpeg divides a picture's sides by, while it decodes."""
START, END = b"\xff\xd8", b"\xff\xd9"
FRAMES = (b"\xc0", b"\xc2")
"""Baseline and progressive (ITU T.81, B.1.1.3)."""
COLOURS = b"\x03"


def reprint(data: bytes, long_px: int, quality: int) -> bytes | None:
    """The picture anew, its longer side at most long_px; None where Pillow has to do it.

    That is where OpenCV is not installed, where no scale of SCALES gives that size, and for whatever is
    no plain JPEG in three colours, whole to its end.
    """
    size = _size(data)
    cv2 = opencv()
    if cv2 is None or size is None or not data.endswith(END):
        return None
    scale = _scale(size, long_px)
    if -(-max(size) // scale) > long_px:
        return None
    return _reprint(cv2, data, scale, quality)


def _reprint(cv2: Any, data: bytes, scale: int, quality: int) -> bytes | None:
    reduced = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    raw, how = np.frombuffer(data, np.uint8), reduced[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    try:
        pixels = cv2.imdecode(raw, how)
        done, found = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality, *sampling))
    except cv2.error:
        return None
    return found.tobytes() if done else None


def _scale(size: tuple[int, int], long_px: int) -> int:
    """What Pillow's `draft` divides the sides by, so that no fewer pixels are left than are wanted."""
    share = min(1.0, long_px / max(size))
    most = min(side // max(int(side * share), 1) for side in size)
    return next(scale for scale in SCALES if scale <= most)


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG in three colours, as its frame says; None where it is none."""
    place = len(START)
    while data.startswith(START) and data[place : place + 1] == b"\xff":
        head = data[place : place + 10]
        if head[1:2] in FRAMES:
            height, width = int.from_bytes(head[5:7], "big"), int.from_bytes(head[7:9], "big")
            return (width, height) if head[9:] == COLOURS and width and height else None
        place += 2 + int.from_bytes(head[2:4], "big")
    return None


@lru_cache
def opencv() -> Any:
    """OpenCV, or None where it is not installed or cannot be loaded."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2
