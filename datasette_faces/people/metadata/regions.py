"""A name and where it is in the picture: the value, its frame of reference, what makes no sense.

Other programs give a region as parts of the picture's sides. The Metadata Working Group's guidelines
2.0 (2010), 5.9: "Region metadata is applied to the stored image. When applying a rotation by applying
Exif Orientation, the rotation must be applied to the regions as well." So a region is turned upright
as its picture is, unless the size that it says it applies to is that of the upright picture.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from ...algorithms import geometry
from ...media.decode import SIDEWAYS
from ...shapes import Area

FACE, PET, FOCUS, BARCODE, OTHER = "face", "pet", "focus", "barcode", "other"
KINDS = {kind: kind for kind in (FACE, PET, FOCUS, BARCODE)}
"""The types of a region in MWG 2.0, 5.9.3, in lower case; another one, or none, is OTHER."""
MAX_NAME = 200
"""Characters of a name: longer than the longest that a register of births takes."""
MAX_REGIONS = 1_000
"""Of one photo; a group portrait of a whole school has fewer, a hostile file more."""
SAME_SHAPE = 0.03
"""So much may the ratio of a picture's sides differ from the one that regions were drawn on.

A raw file and its JPEG differ by a few pixels at the edges; the nearest crops, 3:2 to 4:3, by 12 %.
"""
SMALLEST = 1e-5
"""Of a side: one pixel of the widest picture that is decoded."""


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """Who is in a photo, and where: area of the upright picture, or None where it is not known.

    source: what said so, as `mwg`, `microsoft`, `iptc`, `picasa`, `takeout`. kind: FACE, PET, …
    """

    name: str
    area: Area | None
    source: str
    kind: str = FACE


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says, and, for a person to read, what in it made no sense and was left out."""

    regions: tuple[NamedRegion, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A photo as the database knows it: its upright size in pixels, and how it is stored (EXIF 1..8)."""

    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored."""
        size = (self.width, self.height)
        return size[::-1] if self.orientation in SIDEWAYS else size

    def fits(self, applied_to: tuple[float, float] | None) -> bool:
        """Whether regions that were drawn on a picture of this size can be placed on this one."""
        return applied_to is None or _alike(applied_to, self.stored) or self._is_upright(applied_to)

    def upright(self, area: Area, applied_to: tuple[float, float] | None = None) -> Area:
        """An area of the stored picture, or of one of that size, on the upright picture."""
        return area if self._is_upright(applied_to) else turned(area, self.orientation)

    def as_applied(self, area: Area, applied_to: tuple[float, float] | None = None) -> Area:
        """An area of the upright picture on the stored one, or on one of that size."""
        if self._is_upright(applied_to):
            return area
        return turned(area, _UNDOING.get(self.orientation, self.orientation))

    def _is_upright(self, applied_to: tuple[float, float] | None) -> bool:
        """Whether that is the size of the upright picture, and not of the stored one."""
        if applied_to is None or self.orientation not in SIDEWAYS:
            return False
        return _alike(applied_to, (self.width, self.height)) and not _alike(applied_to, self.stored)


_UNDOING = {6: 8, 8: 6}
"""The other orientations undo themselves."""


def _alike(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pictures have one shape; both sizes are above 0."""
    return abs(math.log(size[0] / size[1] * other[1] / other[0])) <= SAME_SHAPE


def turned(area: Area, orientation: int) -> Area:
    """An area of a stored picture where it is once that EXIF orientation is applied (CIPA DC-008)."""
    x, y, width, height = area.x, area.y, area.width, area.height
    right, bottom = 1 - x - width, 1 - y - height
    moved = {
        2: (right, y, width, height),
        3: (right, bottom, width, height),
        4: (x, bottom, width, height),
        5: (y, x, height, width),
        6: (bottom, x, height, width),
        7: (bottom, right, height, width),
        8: (y, right, height, width),
    }
    return Area(*moved[orientation]) if orientation in moved else area


def sensible_area(x: float, y: float, width: float, height: float) -> Area:
    """An area, cut off at the picture's edges. Raises ValueError, saying what is wrong with it.

    Boxes round faces at the edge do hang over it; one whose centre is outside is of another picture.
    """
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("its box is not made of numbers")
    if width <= 0 or height <= 0:
        raise ValueError("its box has no size")
    if not (0 <= x + width / 2 <= 1 and 0 <= y + height / 2 <= 1):
        raise ValueError("its box lies outside the picture")
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, 1.0), min(y + height, 1.0)
    if right - left < SMALLEST or bottom - top < SMALLEST:
        raise ValueError("its box has no size")
    return Area(left, top, right - left, bottom - top)


def plain(text: str) -> str:
    """A text by which names are compared: NFC, without needless spaces."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


def clean_name(text: str) -> str:
    """A name as it is kept: NFC, without needless spaces; "" for none. Raises ValueError."""
    # 10 million characters need no normalising to be too many
    if len(text) > 10 * MAX_NAME:
        raise ValueError(f"a name has up to {MAX_NAME} characters, not {len(text):,}")
    name = plain(text)
    if len(name) > MAX_NAME:
        raise ValueError(f"a name has up to {MAX_NAME} characters, not {len(name):,}")
    # Marks of direction and joiners (Cf) belong to names in many scripts
    if any(unicodedata.category(it) in ("Cc", "Cs", "Co") for it in name):
        raise ValueError("a name is made of letters; this one holds control characters")
    return name


def merged(readings: Iterable[Reading]) -> Reading:
    """What several sources say of one photo, each face and each name once; the first ones win.

    A region is left out where one before it has the same place; one without a place where its name
    is told already.
    """
    readings = list(readings)
    told = [region for reading in readings for region in reading.regions]
    regions: list[NamedRegion] = []
    for region in sorted(told, key=lambda it: it.area is None):
        if len(regions) < MAX_REGIONS and not any(_same(region, it) for it in regions):
            regions.append(region)
    return Reading(tuple(regions), tuple(fault for it in readings for fault in it.faults))


def _same(region: NamedRegion, told: NamedRegion) -> bool:
    if region.kind != told.kind:
        return False
    if region.area is None:
        return region.name == told.name
    return (
        told.area is not None
        and geometry.intersection_over_union(region.area, told.area) > geometry.SAME_FACE_OVERLAP
    )
