"""A second look at faces that are tilted, in a cut that is turned so that they stand upright.

It gives landmarks alone. A detector finds a tilted face, but places its landmarks as if it were less
tilted. Of faces that stand upright the first landmarks are the better ones: they are not looked at again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..algorithms import geometry
from ..media import crop
from ..media.decode import Picture
from ..shapes import Detection, FloatArray
from .base import GLANCE_PX, Engine

MIN_ROLL = 8
"""Degrees by which a face seems to be tilted that is looked at again: one by 45° may seem upright."""
FACE_SHARE = 0.65
"""The part of the cut's side that the square of an aligned face takes."""
MAX_OFF_CENTRE = 0.2
"""How far from the cut's middle, in parts of its side, the face may be that is meant."""
LOOKS = 2
"""The first one tells how much a face is tilted, the next one sees it upright."""

_SCALE = FACE_SHARE * GLANCE_PX / geometry.ALIGNED_PX
CUT_TEMPLATE: FloatArray = (
    (geometry.ARCFACE_TEMPLATE - np.float32(geometry.ALIGNED_PX / 2)) * np.float32(_SCALE)
    + np.float32(GLANCE_PX / 2)
).astype(np.float32)
"""Where the landmarks of a face should be in its cut: (5, 2)."""


def look_again(picture: Picture, found: Detection, engine: Engine, turned: int) -> Detection:
    """A face with better landmarks where it is tilted and seen again; in pixels of the full-size picture.

    turned: by how many degrees clockwise the picture has to be turned to stand upright.
    """
    roll = _wrap(geometry.head_pose(found.landmarks).roll + turned)
    seems_upright = abs(roll) < MIN_ROLL and found.score >= engine.upright_score
    if engine.detect_quickly is None or seems_upright:
        return found
    for _ in range(LOOKS):
        better = _look_at_cut(picture, found, engine)
        if better is None:
            break
        found = replace(found, landmarks=better)
    return found


def _look_at_cut(picture: Picture, found: Detection, engine: Engine) -> FloatArray | None:
    """Landmarks of a face as they are seen in a cut in which its first ones are upright."""
    assert engine.detect_quickly is not None
    cut, to_cut = crop.cut_turned(picture, found.landmarks, CUT_TEMPLATE, GLANCE_PX)
    middle = np.full(2, GLANCE_PX / 2)
    near = [
        item
        for item in engine.detect_quickly(cut)
        if np.abs(item.landmarks.mean(axis=0) - middle).max() < MAX_OFF_CENTRE * GLANCE_PX
    ]
    if not near:
        return None
    best = max(near, key=lambda item: item.score)
    return geometry.transform_points(geometry.invert_transform(to_cut), best.landmarks)


def _wrap(degrees: float) -> float:
    """An angle from -180 to 180 degrees."""
    return (degrees + 180) % 360 - 180
