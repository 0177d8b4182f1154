"""JPEG → smaller JPEG by OpenCV, where it is installed: Pillow's very bytes, sooner, without Python's lock.

Nothing is drawn here: what is blurred or written on is Pillow's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .jpeg_verify import FRAME, MARK, SCAN, START, is_one_scan

SCALES = (8, 4, 2, 1)
"""What libjpeg divides a picture's sides by, while it decodes."""
PLAIN = (b"\xc4", b"\xdb", b"\xe0")
"""Segments beside the frame: tables of codes and of quantization, JFIF (ITU T.81, B.1.1.3)."""
COLOURS = b"\x03"
"""How many components a frame has, as it says."""


def reprint(data: bytes, long_px: int, quality: int) -> bytes | None:
    """The picture anew, its longer side at most long_px; None where Pillow has to do it.

    That is where OpenCV is not installed, where no scale of SCALES gives that size, and for whatever is
    no plain JPEG in three colours, whole to its end: of damaged ones OpenCV shows what Pillow refuses.
    """
    cv2 = opencv()
    size = _size(data) if cv2 is not None and isinstance(data, bytes) else None
    if size is None:
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
    """Width and height of a plain JPEG in three colours; None of anything else."""
    if not data.startswith(START):
        return None
    place, size = len(START), None
    while data[place : place + 1] == MARK:
        head = data[place : place + 10]
        end = place + 2 + int.from_bytes(head[2:4], "big")
        if head[1:2] == FRAME[1:]:
            height, width = int.from_bytes(head[5:7], "big"), int.from_bytes(head[7:9], "big")
            size = (width, height) if head[9:] == COLOURS and width and height else None
        elif head[:2] == SCAN:
            return size if is_one_scan(data, end) else None
        elif head[1:2] not in PLAIN:
            return None
        place = end
    return None


@lru_cache
def opencv() -> Any:
    """OpenCV, or None where it is not installed, cannot be loaded, or is too old to say how it samples."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2 if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR_420") else None
