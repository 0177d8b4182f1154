"""A box that a person drew → the face in it: landmarks, crop, embedding. No SQL, no processes.

The detector missed that face in the whole photo; in an enlarged cut of the box it may see it yet, or
at a lower score. Where it does not, the landmarks are where those of most faces are in their box.
"""

from __future__ import annotations

import math

import numpy as np

from ..algorithms import geometry
from ..algorithms.quarter_turns import turn_box, turn_landmarks, turn_size, undo_turn
from ..media import crop
from ..media.decode import Picture
from ..shapes import Box, Detection, Face, FloatArray, Landmarks, ManualBox
from . import pipeline
from .base import Engine

CUT_SIDES = 2.0
"""The cut is so many times as wide and high as the box: detectors learned faces with what is around."""
LEAST_OVERLAP = 0.3
"""A detection is of the face that was drawn from this IoU on; people draw boxes wider or tighter."""

LANDMARKS_IN_BOX: FloatArray = np.array(
    [[0.265, 0.392], [0.735, 0.392], [0.5, 0.589], [0.29, 0.73], [0.71, 0.73]], np.float32
)
"""Landmarks of a frontal face as parts of its box: the mean of 63 faces that look into the camera,
with YuNet's boxes, left and right made alike. They differ from face to face by 0.05."""
BOX_RATIO = 1.39
"""Height by width of those boxes."""


def measure_manual_face(
    data: bytes,
    engine: Engine,
    manual_box: ManualBox,
    *,
    detect_px: int,
    max_pixels: int | None = None,
) -> Face:
    """Measure and embed the face in a manual box; its score is 0 where the detector sees none.

    data: the bytes of an image file. manual_box: pixels of the upright, full-size picture.
    Raises PictureError.
    """
    picture = pipeline.decode_for_detector(data, detect_px=detect_px, max_pixels=max_pixels)
    larger_px = crop.choose_larger_px([manual_box.box], picture)
    if larger_px:
        del picture
        picture = pipeline.decode_larger(data, larger_px, max_pixels=max_pixels)
    detection = _detect_in_box(picture, engine, manual_box)
    if detection is None:
        landmarks = manual_box.landmarks
        if landmarks is None:
            landmarks = _estimate_turned(picture, manual_box)
        detection = Detection(manual_box.box, landmarks, 0.0)
    [face] = pipeline.measure_faces(
        picture,
        [Detection(manual_box.box, detection.landmarks, detection.score)],
        engine,
        manual_box.turned,
    )
    return face


def estimate_landmarks(box: Box) -> Landmarks:
    """Estimate where the landmarks of a frontal face are in a box: (5, 2), in the box's pixels."""
    width = min(box.width, box.height / BOX_RATIO)
    height = min(box.height, box.width * BOX_RATIO)
    corner = [box.x + (box.width - width) / 2, box.y + (box.height - height) / 2]
    found: Landmarks = (LANDMARKS_IN_BOX * [width, height] + corner).astype(np.float32)
    return found


def _estimate_turned(picture: Picture, manual_box: ManualBox) -> Landmarks:
    """Where the landmarks of a frontal face are that stands upright once the picture is turned."""
    turned, size = manual_box.turned, (picture.width, picture.height)
    upright = estimate_landmarks(turn_box(manual_box.box, turned, *size))
    return turn_landmarks(upright, -turned % 360, *turn_size(*size, turned))


def _detect_in_box(picture: Picture, engine: Engine, manual_box: ManualBox) -> Detection | None:
    """What the detector sees of the face in an enlarged cut; boxes in full-size pixels."""
    left, top, right, bottom = _find_cut(picture, manual_box.box)
    if right <= left or bottom <= top:
        return None
    detect = engine.detect_faint or engine.detect
    turned = manual_box.turned
    cut = np.asarray(picture.crop_region(left, top, right, bottom))
    upright = np.ascontiguousarray(np.rot90(cut, -turned // 90))
    height, width = upright.shape[:2]
    found = [
        _move_to_full_size(undo_turn(item, turned, width, height), left, top, picture.scale)
        for item in detect(upright)
    ]
    fitting = {place: _score_fit(item, manual_box) for place, item in enumerate(found)}
    best = max(fitting, key=lambda place: (fitting[place], -place), default=None)
    return found[best] if best is not None and fitting[best] > 0 else None


def _find_cut(picture: Picture, box: Box) -> tuple[int, int, int, int]:
    """The part of a picture in which the face is detected: left, top, right, bottom (decoded pixels)."""
    across, down = ((CUT_SIDES - 1) / 2 * side for side in (box.width, box.height))
    width, height = picture.size
    return (
        max(math.floor((box.x - across) * picture.scale), 0),
        max(math.floor((box.y - down) * picture.scale), 0),
        min(math.ceil((box.x + box.width + across) * picture.scale), width),
        min(math.ceil((box.y + box.height + down) * picture.scale), height),
    )


def _move_to_full_size(detection: Detection, left: int, top: int, scale: float) -> Detection:
    """A detection in a cut, in pixels of the full-size picture."""
    box = detection.box
    return Detection(
        Box((box.x + left) / scale, (box.y + top) / scale, box.width / scale, box.height / scale),
        ((detection.landmarks + np.array([left, top], np.float32)) / scale).astype(np.float32),
        detection.score,
    )


def _score_fit(detection: Detection, manual_box: ManualBox) -> float:
    """Score (0..1) how well a detection fits the manual box; 0 where it is of another face."""
    overlap = geometry.intersection_over_union(detection.box, manual_box.box)
    of_another = geometry.find_same_face(detection.box, dict(enumerate(manual_box.other_boxes)))
    return 0.0 if of_another is not None or overlap < LEAST_OVERLAP else overlap * detection.score
