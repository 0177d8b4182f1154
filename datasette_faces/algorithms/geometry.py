"""The geometry of faces: letterbox, anchors, NMS, alignment, pose. Pure functions on arrays, no I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ..shapes import Area, Box, FloatArray, Landmarks, Pose

ALIGNED_PX = 112
"""Side of an aligned face, the input of ArcFace and SFace."""

ARCFACE_TEMPLATE: FloatArray = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
"""Landmarks of a frontal face in 112 x 112: ArcFace (Deng et al. 2019), insightface `arcface_dst`."""

SAME_FACE_OVERLAP = 0.5
"""Two boxes of one photo are one face above this IoU (as in Immich)."""

TEMPLATE_DEPTH: FloatArray = np.array([0, 0, 14, 3, 3], dtype=np.float32)
"""How far each landmark is in front of the plane of the eyes, in pixels of the template.

From the proportions of a mean adult face (Farkas, Anthropometry of the Head and Face, 1994): the
tip of the nose is about 25 mm in front of the pupils, which are 63 mm (here 35 px) apart.
"""


class Letterbox(NamedTuple):
    """A picture's place in a detector's input: scaled, at the top left; the rest is padding."""

    width: int
    height: int
    input_width: int
    input_height: int
    scale: float


def letterbox(width: int, height: int, *, long_px: int, multiple: int) -> Letterbox:
    """Fit a picture's long side to `long_px`, and round the input up to a multiple of the stride.

    The input is as small as possible: a 3:2 photo costs a third less than in a square input.
    """
    scale = long_px / max(width, height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    padded = tuple(math.ceil(side / multiple) * multiple for side in fitted)
    return Letterbox(fitted[0], fitted[1], padded[0], padded[1], scale)


def cell_origins(input_width: int, input_height: int, stride: int) -> FloatArray:
    """The column and row of each cell of a feature map, row by row: (n, 2)."""
    columns, rows = input_width // stride, input_height // stride
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    return grid.reshape(-1, 2).astype(np.float32)


def area_of(box: Box, width: int, height: int) -> Area:
    """A box in pixels as parts (0..1) of a picture of this size."""
    return Area(box.x / width, box.y / height, box.width / width, box.height / height)


def box_of(area: Area, width: float, height: float) -> Box:
    """An area as a box in pixels of a picture of this size."""
    return Box(area.x * width, area.y * height, area.width * width, area.height * height)


def intersection_over_union(box: Box | Area, other: Box | Area) -> float:
    """The shared area of two boxes divided by their joint area, 0..1; both in the same unit."""
    width = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    height = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (box.width * box.height + other.width * other.height - shared)


def find_same_face(box: Box, boxes: Mapping[int, Box]) -> int | None:
    """The id of the box that overlaps this one most, by more than SAME_FACE_OVERLAP; else None."""
    overlaps = {face: intersection_over_union(box, other) for face, other in boxes.items()}
    best = max(overlaps, key=lambda face: (overlaps[face], -face), default=None)
    return best if best is not None and overlaps[best] > SAME_FACE_OVERLAP else None


def non_maximum_suppression(boxes: FloatArray, scores: FloatArray, limit: float) -> list[int]:
    """The boxes to keep, best first: none overlaps a better one by more than `limit` (IoU).

    boxes: (n, 4) as x, y, width, height; scores: (n,).
    """
    left_top, right_bottom = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    areas = boxes[:, 2] * boxes[:, 3]
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        corner = np.minimum(right_bottom[best], right_bottom[rest])
        shared = np.maximum(0, corner - np.maximum(left_top[best], left_top[rest])).prod(axis=1)
        overlap = shared / np.maximum(areas[best] + areas[rest] - shared, 1e-9)
        order = rest[overlap <= limit]
    return keep


def parse_landmarks(text: object) -> FloatArray:
    """Landmarks (5, 2) from JSON, as the table `faces` has them; of another shape if there are none."""
    with suppress(TypeError, ValueError):
        return np.array(json.loads(str(text)), np.float32)
    return np.empty((0, 2), np.float32)


def similarity_transform(landmarks: Landmarks, target: FloatArray) -> FloatArray:
    """The (2, 3) matrix that rotates, scales and shifts landmarks onto a target, by least squares.

    Umeyama, Least-squares estimation of transformation parameters, PAMI 1991, in its closed form
    for two dimensions.
    """
    source = landmarks.astype(np.float64)
    goal = target.astype(np.float64)
    source_mean, goal_mean = source.mean(axis=0), goal.mean(axis=0)
    (x, y), (u, v) = (source - source_mean).T, (goal - goal_mean).T
    spread = max(float((x * x + y * y).sum()), 1e-12)
    a, b = (x * u + y * v).sum() / spread, (x * v - y * u).sum() / spread
    rotation = np.array([[a, -b], [b, a]])
    shift = goal_mean - rotation @ source_mean
    return np.column_stack([rotation, shift]).astype(np.float32)


def invert_transform(matrix: FloatArray) -> FloatArray:
    """The (2, 3) matrix that undoes a similarity transform."""
    rotation = np.linalg.inv(matrix[:, :2].astype(np.float64))
    return np.column_stack([rotation, -rotation @ matrix[:, 2]]).astype(np.float32)


def transform_points(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Apply a (2, 3) matrix to (n, 2) points."""
    moved: FloatArray = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved


def transform_box(matrix: FloatArray, box: Box) -> Box:
    """The box around a box that a (2, 3) matrix moves."""
    across, down = (box.x, box.x + box.width), (box.y, box.y + box.height)
    corners = np.array([[x, y] for x in across for y in down], np.float32)
    placed = transform_points(matrix, corners)
    (left, top), (right, bottom) = placed.min(axis=0).tolist(), placed.max(axis=0).tolist()
    return Box(left, top, right - left, bottom - top)


def head_pose(landmarks: Landmarks) -> Pose:
    """Estimate a head's pose from its five landmarks, under weak perspective.

    The nearest rotation to the best linear map from the mean face (the template with its depth) to
    the landmarks. Five points give an estimate to sort and filter by, not a measurement.
    """
    mean_face = np.column_stack([ARCFACE_TEMPLATE, -TEMPLATE_DEPTH]).astype(np.float64)
    mean_face -= mean_face.mean(axis=0)
    seen = landmarks.astype(np.float64) - landmarks.mean(axis=0)
    linear = np.linalg.lstsq(mean_face, seen, rcond=None)[0].T
    left, _, right = np.linalg.svd(linear, full_matrices=False)
    first, second = left @ right
    forward = np.cross(first, second)
    return Pose(
        yaw=math.degrees(math.atan2(-first[2], forward[2])),
        pitch=math.degrees(math.asin(float(np.clip(second[2], -1, 1)))),
        roll=math.degrees(math.atan2(second[0], second[1])),
    )
