"""Which region is of which face, where two programs drew the boxes: one to one, the closest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..shapes import Area, Box
from .geometry import SAME_FACE_OVERLAP, intersection_over_union

SIDES_APART = 2.5
"""So many times may one box be as long as the other (the root of their areas) and mean one face.

Some programs draw the head, others the face: a head is 230 mm high, a face from brow to chin 130 mm
(Farkas, Anthropometry of the Head and Face, 1994), 1.8 times; the rest is for margins. A box round
a person to the waist is larger than that.
"""


@dataclass(frozen=True, slots=True)
class Matches:
    """pairs: (place of a region, place of its face), by region.

    unmet: regions where no face was detected. contested: regions where one was that another region
    is closer to; they are no further face.
    """

    pairs: tuple[tuple[int, int], ...]
    unmet: tuple[int, ...]
    contested: tuple[int, ...]


def match(regions: Sequence[Area], faces: Sequence[Area]) -> Matches:
    """Give each region at most one face and each face at most one region.

    Two boxes may be of one face where they overlap by half (IoU), or where each holds the other's
    centre and neither is much larger. Of all such pairs those that overlap most are taken first.
    """
    close = sorted(
        (-intersection_over_union(region, face), _distance(region, face), place, face_place)
        for place, region in enumerate(regions)
        for face_place, face in enumerate(faces)
        if may_be_one(region, face)
    )
    taken: dict[int, int] = {}
    for _, _, place, face_place in close:
        if place not in taken and face_place not in taken.values():
            taken[place] = face_place
    contested = {place for _, _, place, _ in close} - set(taken)
    return Matches(
        pairs=tuple(sorted(taken.items())),
        unmet=tuple(
            place for place in range(len(regions)) if place not in taken and place not in contested
        ),
        contested=tuple(sorted(contested)),
    )


def may_be_one(area: Area | Box, other: Area | Box) -> bool:
    """Whether two boxes can be of one face."""
    if intersection_over_union(area, other) > SAME_FACE_OVERLAP:
        return True
    sides = math.sqrt((area.width * area.height) / (other.width * other.height))
    if not 1 / SIDES_APART <= sides <= SIDES_APART:
        return False
    across, down = _apart(area, other)
    return across <= min(area.width, other.width) / 2 and down <= min(area.height, other.height) / 2


def _apart(area: Area | Box, other: Area | Box) -> tuple[float, float]:
    """How far the centres are apart, across and down."""
    return (
        abs(area.x + area.width / 2 - other.x - other.width / 2),
        abs(area.y + area.height / 2 - other.y - other.height / 2),
    )


def _distance(area: Area, other: Area) -> float:
    """How far the centres are apart, in sides of the first box."""
    across, down = _apart(area, other)
    return math.hypot(across / area.width, down / area.height)
