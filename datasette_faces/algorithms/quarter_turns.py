"""Boxes and landmarks of a picture in that picture turned by quarters, and back. No pixels.

A turn is given in degrees clockwise: 0, 90, 180 or 270.
"""

from __future__ import annotations

import numpy as np

from ..shapes import Area, Box, Detection, Landmarks

TURNS = (0, 90, 180, 270)


def turn_size(width: int, height: int, turned: int) -> tuple[int, int]:
    """Width and height of a picture of this size after a turn."""
    return (height, width) if turned % 180 else (width, height)


def turn_box(box: Box, turned: int, width: float, height: float) -> Box:
    """A box of a picture of this size (pixels) where it is after the picture's turn."""
    x, y, across, down = box.x, box.y, box.width, box.height
    return {
        0: box,
        90: Box(height - y - down, x, down, across),
        180: Box(width - x - across, height - y - down, across, down),
        270: Box(y, width - x - across, down, across),
    }[turned]


def turn_area(area: Area, turned: int) -> Area:
    """An area of a picture where it is after the picture's turn."""
    box = turn_box(Box(area.x, area.y, area.width, area.height), turned, 1, 1)
    return Area(box.x, box.y, box.width, box.height)


def turn_landmarks(landmarks: Landmarks, turned: int, width: float, height: float) -> Landmarks:
    """Landmarks (5, 2) of a picture of this size (pixels) where they are after the picture's turn."""
    x, y = landmarks[:, 0], landmarks[:, 1]
    moved = {
        0: (x, y),
        90: (height - y, x),
        180: (width - x, height - y),
        270: (y, width - x),
    }[turned]
    return np.stack(moved, axis=1).astype(np.float32)


def undo_turn(detection: Detection, turned: int, width: float, height: float) -> Detection:
    """A detection in a turned picture, in the picture as it was; width, height: of the turned one."""
    back = -turned % 360
    return Detection(
        turn_box(detection.box, back, width, height),
        turn_landmarks(detection.landmarks, back, width, height),
        detection.score,
    )
