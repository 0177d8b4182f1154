"""Pure functions on boxes, landmarks and matrices, with results that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_faces.algorithms import geometry
from datasette_faces.algorithms.geometry import ARCFACE_TEMPLATE, TEMPLATE_DEPTH
from datasette_faces.shapes import Box

pytestmark = pytest.mark.once

sides = st.floats(1, 1000, width=32)
places = st.floats(-1000, 1000, width=32)
boxes = st.builds(Box, places, places, sides, sides)
angles = st.floats(-40, 40)


def test_landmarks_are_five_points_or_of_another_shape():
    points = geometry.parse_landmarks("[[1, 2], [3, 4], [5, 6], [7, 8], [9, 10.5]]")
    assert (points.shape, points[4].tolist()) == ((5, 2), [9, 10.5])
    for text in ("[]", "x", "[[1], [2, 3]]", None, b"\xff"):
        assert geometry.parse_landmarks(text).shape != (5, 2)


def test_a_landscape_picture_fills_the_width_and_is_padded_to_the_stride():
    fit = geometry.letterbox(1280, 886, long_px=640, multiple=32)
    assert fit == (640, 443, 640, 448, 0.5)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_letterbox_holds_the_picture_and_is_a_multiple_of_the_stride(width, height):
    fit = geometry.letterbox(width, height, long_px=640, multiple=32)
    assert max(fit.width, fit.height) == 640
    assert 0 <= fit.input_width - fit.width < 32
    assert 0 <= fit.input_height - fit.height < 32
    assert fit.input_width % 32 == fit.input_height % 32 == 0


def test_cells_are_listed_row_by_row():
    assert geometry.cell_origins(64, 64, 32).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert geometry.cell_origins(96, 32, 32).tolist() == [[0, 0], [1, 0], [2, 0]]


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        (Box(0, 0, 10, 10), 1),
        (Box(5, 0, 10, 10), 1 / 3),
        (Box(0, 0, 5, 5), 1 / 4),
        (Box(10, 0, 10, 10), 0),
        (Box(50, 50, 10, 10), 0),
    ],
    ids=["itself", "half beside", "a quarter inside", "edge to edge", "elsewhere"],
)
def test_overlap_is_shared_by_joint_area(other, overlap):
    assert geometry.intersection_over_union(Box(0, 0, 10, 10), other) == pytest.approx(overlap)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_between_0_and_1(one, other):
    overlap = geometry.intersection_over_union(one, other)
    assert 0 <= overlap <= 1 + 1e-9
    assert overlap == pytest.approx(geometry.intersection_over_union(other, one))


def test_suppression_keeps_the_best_of_each_heap():
    boxes = np.float32([[0, 0, 10, 10], [1, 0, 10, 10], [50, 50, 10, 10], [0, 9, 10, 10]])
    scores = np.float32([0.8, 0.9, 0.7, 0.6])
    assert geometry.non_maximum_suppression(boxes, scores, 0.3) == [1, 2, 3]


def test_suppression_of_nothing_is_nothing():
    assert (
        geometry.non_maximum_suppression(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.3)
        == []
    )


def test_equal_scores_keep_the_order_in_which_they_came():
    boxes = np.float32([[0, 0, 1, 1], [5, 0, 1, 1], [9, 0, 1, 1]])
    assert geometry.non_maximum_suppression(boxes, np.ones(3, np.float32), 0.3) == [0, 1, 2]


def test_the_transform_of_a_shift_is_that_shift():
    matrix = geometry.similarity_transform(ARCFACE_TEMPLATE, ARCFACE_TEMPLATE + np.float32([3, -4]))
    assert matrix == pytest.approx(np.array([[1, 0, 3], [0, 1, -4]]), abs=1e-4)


@given(st.floats(-180, 180), st.floats(0.1, 10), places, places)
def test_a_turned_scaled_shifted_template_is_brought_back(degrees, scale, x, y):
    cos, sin = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    moved = geometry.transform_points(np.float32([[cos, -sin, x], [sin, cos, y]]), ARCFACE_TEMPLATE)
    matrix = geometry.similarity_transform(moved, ARCFACE_TEMPLATE)
    assert geometry.transform_points(matrix, moved) == pytest.approx(ARCFACE_TEMPLATE, abs=0.05)
    back = geometry.invert_transform(matrix)
    assert geometry.transform_points(back, ARCFACE_TEMPLATE) == pytest.approx(moved, abs=0.5)


def test_landmarks_in_one_point_give_finite_numbers():
    matrix = geometry.similarity_transform(np.ones((5, 2), np.float32), ARCFACE_TEMPLATE)
    assert np.isfinite(matrix).all()


def photographed(yaw: float, pitch: float, roll: float, *, scale: float = 1.7) -> np.ndarray:
    """The landmarks of the mean face, rolled, then pitched, then turned, as a camera far away sees it.

    x to the picture's right, y down, z away from the camera; the face looks along -z.
    """
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    clockwise = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    up = np.array([[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]])
    to_the_right = np.array(
        [[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]]
    )
    face = np.column_stack([ARCFACE_TEMPLATE, -TEMPLATE_DEPTH]).astype(np.float64)
    turned = face @ (to_the_right @ up @ clockwise).T
    return (turned[:, :2] * scale + (300, 200)).astype(np.float32)


def test_the_mean_face_looks_straight_into_the_camera():
    pose = geometry.head_pose(ARCFACE_TEMPLATE)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((0, 0, 0), abs=0.01)


@given(angles, angles, st.floats(-90, 90))
def test_the_pose_of_a_turned_mean_face_is_recovered(yaw, pitch, roll):
    pose = geometry.head_pose(photographed(yaw, pitch, roll))
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=0.5)


def test_a_nose_shifted_to_the_right_is_a_face_looking_right():
    landmarks = ARCFACE_TEMPLATE.copy()
    landmarks[2, 0] += 6
    assert geometry.head_pose(landmarks).yaw > 10


def test_a_raised_nose_is_a_face_looking_up():
    landmarks = ARCFACE_TEMPLATE.copy()
    landmarks[2, 1] -= 6
    assert geometry.head_pose(landmarks).pitch > 10


def test_a_face_whose_right_side_in_the_picture_hangs_down_is_rolled_clockwise():
    turn = math.radians(25)
    clockwise = np.float32([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    landmarks = ARCFACE_TEMPLATE @ clockwise
    assert landmarks[1, 1] > landmarks[0, 1]
    assert geometry.head_pose(landmarks).roll == pytest.approx(25, abs=0.1)


def test_degenerate_landmarks_have_a_finite_pose():
    pose = geometry.head_pose(np.zeros((5, 2), np.float32))
    assert all(math.isfinite(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
