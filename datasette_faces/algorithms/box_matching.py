"""Match regions to faces where two programs drew the boxes: one to one, the closest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..shapes import Area, Box
from .geometry import SAME_FACE_OVERLAP, intersection_over_union

MAX_SIDE_RATIO = 2.5
"""Boxes of one face differ by at most this factor in side length (the root of their areas).

Some programs draw the head, others the face: a head is 230 mm high, a face from brow to chin 130 mm
(Farkas, Anthropometry of the Head and Face, 1994), a factor of 1.8; the rest is for margins. A box
around a person to the waist is larger than that.
"""


@dataclass(frozen=True, slots=True)
class BoxMatches:
    """pairs: (position of a region, position of its face), by region.

    unmatched: regions where no face was detected. contested: regions on a face that another region is
    closer to; they are not further faces.
    """

    pairs: tuple[tuple[int, int], ...]
    unmatched: tuple[int, ...]
    contested: tuple[int, ...]


def match_boxes(regions: Sequence[Area], faces: Sequence[Area]) -> BoxMatches:
    """Give each region at most one face and each face at most one region.

    Two boxes may be of one face if they overlap by half (IoU), or if each contains the other's centre
    and neither is much larger. Of all such pairs those that overlap most are taken first.
    """
    close = sorted(
        (-intersection_over_union(region, face), _distance(region, face), position, face_position)
        for position, region in enumerate(regions)
        for face_position, face in enumerate(faces)
        if may_be_same_face(region, face)
    )
    taken: dict[int, int] = {}
    for _, _, position, face_position in close:
        if position not in taken and face_position not in taken.values():
            taken[position] = face_position
    contested = {position for _, _, position, _ in close} - set(taken)
    return BoxMatches(
        pairs=tuple(sorted(taken.items())),
        unmatched=tuple(
            position
            for position in range(len(regions))
            if position not in taken and position not in contested
        ),
        contested=tuple(sorted(contested)),
    )


def may_be_same_face(area: Area | Box, other: Area | Box) -> bool:
    """Whether two boxes can be of one face."""
    if intersection_over_union(area, other) > SAME_FACE_OVERLAP:
        return True
    ratio = math.sqrt((area.width * area.height) / (other.width * other.height))
    if not 1 / MAX_SIDE_RATIO <= ratio <= MAX_SIDE_RATIO:
        return False
    across, down = _offset(area, other)
    return across <= min(area.width, other.width) / 2 and down <= min(area.height, other.height) / 2


def _offset(area: Area | Box, other: Area | Box) -> tuple[float, float]:
    """The distance of the centres, across and down."""
    return (
        abs(area.x + area.width / 2 - other.x - other.width / 2),
        abs(area.y + area.height / 2 - other.y - other.height / 2),
    )


def _distance(area: Area, other: Area) -> float:
    """The distance of the centres, in sides of the first box."""
    across, down = _offset(area, other)
    return math.hypot(across / area.width, down / area.height)
