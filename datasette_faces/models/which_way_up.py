"""Which way is up in a picture, by what its faces say. A scan may lie on its side, or on its head.

Upside down, a detector finds faces, and gives them wrong landmarks; so the picture is looked at in all
four directions before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from ..algorithms import geometry
from ..algorithms.quarter_turns import TURNS
from ..media.decode import Picture
from ..shapes import Detection, RgbArray
from .base import GLANCE_PX, Engine

LEAST_SCORE = 0.7
"""The least score of a face in a direction that a picture is turned to."""
MARGIN = 0.03
"""By how much that score has to be above the best one of the picture as it is."""
CLOSE = 0.08
"""Directions that are nearer to each other than this are looked at again, as the detector likes it."""
MAX_ROLL = 60
"""Degrees; a face that is tilted more stands upright in another direction."""


def find_turn(picture: Picture, engine: Engine) -> int:
    """By how many degrees clockwise a picture has to be turned for its faces to stand upright."""
    if engine.detect_quickly is None:
        return 0
    small = np.asarray(picture.shrink(GLANCE_PX, Image.Resampling.BILINEAR))
    scores = {turned: _best_score(engine.detect_quickly, small, turned) for turned in TURNS}
    best = max(scores.values())
    close = [turned for turned in TURNS if best and scores[turned] > best - CLOSE]
    if len(close) > 1:
        pixels = picture.pixels()
        scores = {turned: _best_score(engine.detect, pixels, turned) for turned in close}
    found = max(scores, key=scores.__getitem__)
    return found if scores[found] >= max(LEAST_SCORE, scores.get(0, 0.0) + MARGIN) else 0


def _best_score(
    detect: Callable[[RgbArray], list[Detection]], image_rgb: RgbArray, turned: int
) -> float:
    """The score of the surest face that stands in a turned picture; 0 where there is none."""
    upright = np.ascontiguousarray(np.rot90(image_rgb, -turned // 90))
    standing = (
        item.score
        for item in detect(upright)
        if abs(geometry.head_pose(item.landmarks).roll) <= MAX_ROLL
    )
    return max(standing, default=0.0)
