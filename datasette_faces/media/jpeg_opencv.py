"""JPEG → smaller JPEG by OpenCV, if it is installed: the same bytes as Pillow's, faster, without the GIL.

Only Pillow blurs and writes on pictures.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .jpeg_verify import FRAME, MARK, SCAN, START, is_one_scan

SCALES = (8, 4, 2, 1)
"""The factors by which libjpeg can reduce a picture while it decodes."""
PLAIN_SEGMENTS = (b"\xc4", b"\xdb", b"\xe0")
"""Segments next to the frame: Huffman and quantization tables, JFIF (ITU T.81, B.1.1.3)."""
THREE_COMPONENTS = b"\x03"
"""The number of colour components in a frame's header."""


def shrink_jpeg(data: bytes, long_px: int, quality: int) -> bytes | None:
    """Encode a JPEG again, its long side at most long_px; None if Pillow has to do it.

    That is the case if OpenCV is not installed, if none of SCALES gives that size, and for anything
    but a plain, complete JPEG in three colours: OpenCV decodes damaged ones that Pillow refuses.
    """
    cv2 = load_opencv()
    size = _read_size(data) if cv2 is not None and isinstance(data, bytes) else None
    if size is None:
        return None
    scale = _choose_scale(size, long_px)
    if -(-max(size) // scale) > long_px:
        return None
    return _encode(cv2, data, scale, quality)


def _encode(cv2: Any, data: bytes, scale: int, quality: int) -> bytes | None:
    reduced = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    raw, flags = np.frombuffer(data, np.uint8), reduced[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    try:
        pixels = cv2.imdecode(raw, flags)
        done, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality, *sampling))
    except cv2.error:
        return None
    return encoded.tobytes() if done else None


def _choose_scale(size: tuple[int, int], long_px: int) -> int:
    """The factor by which Pillow's `draft` reduces a picture that must keep long_px."""
    share = min(1.0, long_px / max(size))
    most = min(side // max(int(side * share), 1) for side in size)
    return next(scale for scale in SCALES if scale <= most)


def _read_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a plain JPEG in three colours; None for anything else."""
    if not data.startswith(START):
        return None
    place, size = len(START), None
    while data[place : place + 1] == MARK:
        head = data[place : place + 10]
        end = place + 2 + int.from_bytes(head[2:4], "big")
        if head[1:2] == FRAME[1:]:
            height, width = int.from_bytes(head[5:7], "big"), int.from_bytes(head[7:9], "big")
            size = (width, height) if head[9:] == THREE_COMPONENTS and width and height else None
        elif head[:2] == SCAN:
            return size if is_one_scan(data, end) else None
        elif head[1:2] not in PLAIN_SEGMENTS:
            return None
        place = end
    return None


@lru_cache
def load_opencv() -> Any:
    """OpenCV, or None if it is not installed, cannot be loaded, or is too old to set its sampling."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2 if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR_420") else None
