"""Which face of a picture is which in an edited version of it: by embedding, and by place.

An edit crops, turns, mirrors or resizes a picture, or changes what is in it. So a face is known by its
embedding first; where the others went says where it should be. No rows, no files, no models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..shapes import Box, FloatArray
from .geometry import (
    intersection_over_union,
    similarity_transform,
    transform_box,
    transform_points,
)

SURE = 0.6
"""From this cosine on, two faces of two versions of a picture are one, wherever they are. Of faces in
crops, mirror images, grey and smaller copies of photographs 98 in 100 have more; two people hardly ever."""
PLACE_WEIGHT = 0.3
"""What being where one is expected counts beside the cosine: it tells twins apart, and no others."""
SAME_PLACE = 0.3
"""The least IoU of a face with the place where it is expected."""
MAX_ANCHORS = 40
"""So many of the likeliest pairs are tried as those that say where the others went."""
MAX_STRETCH = 1.02
"""Two pictures of one shape: their sides have one ratio, but for rounding."""
MIRRORED = [1, 0, 2, 4, 3]
"""The order of landmarks in a mirror image: right and left change places."""


@dataclass(frozen=True, slots=True)
class PlacedFace:
    """A face in a version of a picture; box and landmarks (5, 2) in its pixels.

    landmarks: of another shape where they are not known. embedding: of unit length; None if no model
    knows the face in both versions.
    """

    box: Box
    landmarks: FloatArray
    embedding: FloatArray | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a picture: its size in pixels, and its faces."""

    width: int
    height: int
    faces: Sequence[PlacedFace]


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """pairs: (position in former, position in present) of one face each, every face in one at most.

    ways: (2, 3) each, by which other faces may have come from the former picture to the present one.
    """

    pairs: list[tuple[int, int]]
    ways: list[FloatArray]


def match_faces(former: Version, present: Version, threshold: float) -> FaceMatches:
    """Match the faces of two versions; pairs are chosen together: their likenesses are highest in all.

    threshold: cosine from which two faces count as one person.
    """
    if not former.faces or not present.faces:
        return FaceMatches([], list(_ways_of_whole_pictures(former, present)))
    # It comes with insightface: who serves a catalogue has neither
    from scipy.optimize import linear_sum_assignment

    similarity = _similarities(former, present)
    place, ways = _find_places(former, present, similarity, threshold)
    known = ~np.isnan(similarity)
    cosine = np.where(known, similarity, 0.0)
    is_there = place >= SAME_PLACE
    sure = max(SURE, threshold)
    allowed = np.where(known, (cosine >= sure) | ((cosine >= threshold) & is_there), is_there)
    score = np.where(allowed, cosine + PLACE_WEIGHT * place, 0.0)
    rows, columns = linear_sum_assignment(score, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return FaceMatches([(row, column) for row, column in pairs if allowed[row, column]], ways)


def _similarities(former: Version, present: Version) -> FloatArray:
    """The cosine of each former face (row) and present face (column); NaN where one has no embedding."""
    found = np.full((len(former.faces), len(present.faces)), np.nan, np.float32)
    for row, face in enumerate(former.faces):
        for column, other in enumerate(present.faces):
            if face.embedding is not None and other.embedding is not None:
                found[row, column] = face.embedding @ other.embedding
    return found


def _find_places(
    former: Version, present: Version, similarity: FloatArray, threshold: float
) -> tuple[FloatArray, list[FloatArray]]:
    """How far each present face (column) is where each former one (row) is expected: IoU, 0..1.

    Expected by the way from one version to the other on which most faces that are alike meet. A pair
    is no witness of its own way. And that way; without witnesses all that there may be.
    """
    alike = np.nan_to_num(similarity, nan=threshold) >= threshold
    best, most = np.zeros(similarity.shape, np.float32), 0.0
    ways: list[FloatArray] = []
    for way, anchor in _ways(former, present, similarity, threshold):
        overlaps = _overlaps(way, former, present)
        if anchor is not None:
            overlaps[anchor] = 0.0
        witnesses = float((overlaps * alike).max(axis=1).sum())
        if witnesses > most:
            best, most, ways = overlaps, witnesses, [way]
        elif most == 0:
            ways.append(way)
    return best, ways


def _ways(
    former: Version, present: Version, similarity: FloatArray, threshold: float
) -> Iterator[tuple[FloatArray, tuple[int, int] | None]]:
    """Ways (2, 3) from one version to the other, each with the pair that it is drawn from, if one."""
    for way in _ways_of_whole_pictures(former, present):
        yield way, None
    pairs = np.argwhere(np.nan_to_num(similarity, nan=-1.0) >= threshold)
    likeness = similarity[pairs[:, 0], pairs[:, 1]]
    for row, column in pairs[np.argsort(-likeness, kind="stable")[:MAX_ANCHORS]].tolist():
        one, other = former.faces[row].landmarks, present.faces[column].landmarks
        if one.shape == other.shape == (5, 2):
            yield similarity_transform(one, other), (row, column)
            mirrored = one[MIRRORED] * np.array([-1, 1], np.float32)
            way = similarity_transform(mirrored, other)
            yield way * np.array([[-1, 1, 1]], np.float32), (row, column)


def _ways_of_whole_pictures(former: Version, present: Version) -> Iterator[FloatArray]:
    """The eight ways to turn and mirror a picture, of those that give one of the present shape."""
    for turns in range(4):
        width, height = former.width, former.height
        # By a quarter turn counter-clockwise, x becomes y from below
        way = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
        for _ in range(turns):
            way = np.array([way[1], [0, 0, width] - way[0]], np.float32)
            width, height = height, width
        across, down = present.width / width, present.height / height
        if max(across, down) > MAX_STRETCH * min(across, down):
            continue
        scaled = way * np.array([[across], [down]], np.float32)
        yield scaled
        yield np.array([[0, 0, present.width] - scaled[0], scaled[1]], np.float32)


def _overlaps(way: FloatArray, former: Version, present: Version) -> FloatArray:
    """The IoU of each former face (row), where a way takes it, with each present one (column)."""
    moved = [transform_box(way, face.box) for face in former.faces]
    overlaps = [
        [intersection_over_union(box, other.box) for other in present.faces] for box in moved
    ]
    return np.array(overlaps, np.float32)


def expect_at(face: PlacedFace, way: FloatArray, width: int, height: int) -> PlacedFace | None:
    """A face where a way takes it, with its former embedding; None outside a picture of this size."""
    box = _clip(transform_box(way, face.box), width, height)
    if box is None or face.landmarks.shape != (5, 2):
        return None
    landmarks = transform_points(way, face.landmarks)
    is_mirrored = np.linalg.det(way[:, :2]) < 0
    return PlacedFace(box, landmarks[MIRRORED] if is_mirrored else landmarks, face.embedding)


def _clip(box: Box, width: int, height: int) -> Box | None:
    """The part of a box that is in a picture of this size; None where its centre is not."""
    if not (0 <= box.x + box.width / 2 <= width and 0 <= box.y + box.height / 2 <= height):
        return None
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    right, bottom = min(box.x + box.width, width), min(box.y + box.height, height)
    return Box(left, top, right - left, bottom - top)
