"""Named regions of a picture: who is in it, and where; the frame that they refer to, and their limits.

Other programs give a region as fractions of the picture's sides. The Metadata Working Group's guidelines
2.0 (2010), 5.9: "Region metadata is applied to the stored image. When applying a rotation by applying
Exif Orientation, the rotation must be applied to the regions as well." Not all programs do so, and the
size that regions say they apply to proves nothing: in which frame they are, the detected faces say.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...algorithms import geometry
from ...algorithms.box_matching import match_boxes, may_be_same_face
from ...algorithms.spelling import compose, fold
from ...media.decode import SIDEWAYS
from ...media.exif import UPRIGHT
from ...shapes import Area

FACE, PET, FOCUS, BARCODE, OTHER = "face", "pet", "focus", "barcode", "other"
REGION_TYPES = {kind: kind for kind in (FACE, PET, FOCUS, BARCODE)}
"""The types of a region in MWG 2.0, 5.9.3, in lower case; any other type is OTHER."""
MAX_NAME = 200
"""Characters of a name: more than any register of births accepts."""
MAX_REGIONS = 1_000
"""Regions of one photo; a group portrait of a whole school has fewer, a hostile file more."""
SHAPE_TOLERANCE = 0.03
"""How much the ratio of a picture's sides may differ from that of the picture the regions were drawn on.

A raw file and its JPEG differ by a few pixels at the edges; the nearest crops, 3:2 to 4:3, by 12 %.
"""
CLEARLY_CLOSER = 0.25
"""By how much more, in overlap (IoU) for each region, another turn has to meet the same number of faces.

Heads that are drawn around faces have an overlap of 0.3; what decides is more than a few pixels.
"""
MIN_SIDE = 1e-5
"""Fraction of a picture's side: one pixel of the widest picture that is decoded."""


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """A name, and where it is in a photo: an area of the upright picture, None where it is unknown.

    source: the format that it comes from: `mwg`, `microsoft`, `iptc`, `picasa`, `takeout`. kind: FACE,
    PET, FOCUS, BARCODE or OTHER.
    """

    name: str
    area: Area | None
    source: str
    kind: str = FACE


@dataclass(frozen=True, slots=True)
class ParsedNames:
    """The named regions in a file; faults: why others were left out, in words for the user."""

    regions: tuple[NamedRegion, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of a photo's regions: its upright size in pixels, and its EXIF orientation (1..8).

    faces: those that were detected, on the upright picture: what regions meet says how they are turned.
    """

    width: int
    height: int
    orientation: int = 1
    faces: tuple[Area, ...] = ()

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the picture as it is stored, in pixels."""
        size = (self.width, self.height)
        return size[::-1] if self.orientation in SIDEWAYS else size

    def fits(self, applied_to: tuple[float, float] | None) -> bool:
        """Whether regions drawn on a picture of this size can be placed on this one; None: unknown."""
        return self._rule_turn(applied_to) is not None

    def to_upright(self, area: Area, applied_to: tuple[float, float] | None = None) -> Area:
        """An area drawn on the stored picture, or on one of that size, on the upright picture."""
        return orient_area(area, self._rule_turn(applied_to) or self.orientation)

    def from_upright(self, area: Area, applied_to: tuple[float, float] | None = None) -> Area:
        """The inverse: an area of the upright picture on the stored one, or on one of that size."""
        return invert_area(area, self._rule_turn(applied_to) or self.orientation)

    def find_turn(
        self, areas: Sequence[Area], applied_to: tuple[float, float] | None
    ) -> int | None:
        """The orientation (1..8) that turns all areas of one source upright, as the detected faces say.

        applied_to: the size that they say they were drawn on. It decides where faces do not; where it
        has another shape, the result is None unless each area meets a face.
        """
        ruled = self._rule_turn(applied_to)
        turns = [UPRIGHT, self.orientation] if ruled else [*self._list_turns(applied_to)]
        others = [turn for turn in dict.fromkeys(turns) if turn != ruled]
        if not (areas and self.faces and others):
            return ruled
        ruled_met, ruled_overlap = self._count_met(areas, ruled) if ruled else (0, 0.0)
        # No other turn can be far closer
        if ruled_met == len(areas) and ruled_overlap >= (1 - CLEARLY_CLOSER) * ruled_met:
            return ruled
        fits = {turn: self._count_met(areas, turn) for turn in others}
        best = max(others, key=lambda turn: fits[turn])
        met, overlap = fits[best]
        if ruled is None:
            return best if met == len(areas) else None
        is_closer = met == ruled_met and overlap > ruled_overlap + CLEARLY_CLOSER * met
        return best if met > ruled_met or is_closer else ruled

    def _rule_turn(self, applied_to: tuple[float, float] | None) -> int | None:
        """The turn of regions that were drawn on a picture of this size, as MWG and its shape say."""
        if applied_to is None or _is_same_shape(applied_to, self.stored_size):
            return self.orientation
        return UPRIGHT if _is_same_shape(applied_to, (self.width, self.height)) else None

    def _list_turns(self, applied_to: tuple[float, float] | None) -> Iterator[int]:
        """The turns that are possible for regions that were drawn on a picture of another shape."""
        yield from (self.orientation, UPRIGHT)
        if applied_to is not None and _is_same_shape(applied_to, (self.height, self.width)):
            yield from _QUARTER_TURNS

    def _count_met(self, areas: Sequence[Area], turn: int) -> tuple[int, float]:
        """How many areas meet a face of their own if they are turned so, and their overlap in all."""
        turned = [orient_area(area, turn) for area in areas]
        pairs = match_boxes(turned, self.faces).pairs
        overlaps = (
            geometry.intersection_over_union(turned[area], self.faces[face]) for area, face in pairs
        )
        return len(pairs), sum(overlaps)


_QUARTER_TURNS = (6, 8)
_INVERSE = {6: 8, 8: 6}
"""The inverse of an EXIF orientation; every other one is its own."""


def _is_same_shape(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pictures have the same ratio of sides; both sizes are above 0."""
    return abs(math.log(size[0] / size[1] * other[1] / other[0])) <= SHAPE_TOLERANCE


def orient_area(area: Area, orientation: int) -> Area:
    """An area of a stored picture after its EXIF orientation is applied (CIPA DC-008)."""
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


def invert_area(area: Area, orientation: int) -> Area:
    """The inverse: an area of the upright picture before the EXIF orientation is applied."""
    return orient_area(area, _INVERSE.get(orientation, orientation))


def clip_area(x: float, y: float, width: float, height: float) -> Area:
    """An area, clipped to the picture. Raises ValueError with what is wrong with it.

    Boxes of faces at the edge extend beyond it; a box whose centre is outside belongs to another picture.
    """
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("its box is not made of numbers")
    if width <= 0 or height <= 0:
        raise ValueError("its box has no size")
    if not (0 <= x + width / 2 <= 1 and 0 <= y + height / 2 <= 1):
        raise ValueError("its box is outside the picture")
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, 1.0), min(y + height, 1.0)
    if right - left < MIN_SIDE or bottom - top < MIN_SIDE:
        raise ValueError("its box has no size")
    return Area(left, top, right - left, bottom - top)


def normalize_name(text: str) -> str:
    """A name in the form in which names are compared: NFC, single spaces, none around it."""
    return re.sub(r"\s+", " ", compose(text)).strip()


def parse_name(text: str) -> str:
    """A name as it is stored: normalized, "" for none. Raises ValueError with why it is refused."""
    # No need to normalize 10 million characters to see that they are too many
    if len(text) > 10 * MAX_NAME:
        raise ValueError(f"a name has up to {MAX_NAME} characters, not {len(text):,}")
    name = normalize_name(text)
    if len(name) > MAX_NAME:
        raise ValueError(f"a name has up to {MAX_NAME} characters, not {len(name):,}")
    # Direction marks and joiners (Cf) belong to names in many scripts
    if any(unicodedata.category(character) in ("Cc", "Cs", "Co") for character in name):
        raise ValueError("a name cannot contain control characters")
    return name


def merge_names(sources: Iterable[ParsedNames], faces: Sequence[Area] = ()) -> ParsedNames:
    """The names of one photo from several sources, each face and each name once; earlier sources win.

    A name that several sources give to a face has the places of one of them: of the one that meets most
    of the detected faces, or of the first. So two places of a name in one source stay. A region is left
    out where an earlier one has the same place; a name without a place, where the name is there already.
    """
    sources = list(sources)
    chosen = _choose_sources(sources, faces)
    every = [
        region
        for number, source in enumerate(sources)
        for region in source.regions
        if region.area is None or chosen.get(_claim_of(region), number) == number
    ]
    regions: list[NamedRegion] = []
    for region in sorted(every, key=lambda region: region.area is None):
        if len(regions) < MAX_REGIONS and not any(_is_same(region, it) for it in regions):
            regions.append(region)
    return ParsedNames(tuple(regions), tuple(it for source in sources for it in source.faults))


def _claim_of(region: NamedRegion) -> str | None:
    """What a region claims to be there: a person; None for other kinds, of which there may be several."""
    return fold(region.name) if region.kind == FACE else None


def _choose_sources(sources: Sequence[ParsedNames], faces: Sequence[Area]) -> dict[str | None, int]:
    """The number of the source whose places count, of each name that several sources give a place."""
    places: dict[str, dict[int, list[Area]]] = {}
    for number, source in enumerate(sources):
        for region in source.regions:
            claim = _claim_of(region)
            if claim is not None and region.area is not None:
                places.setdefault(claim, {}).setdefault(number, []).append(region.area)

    def rank(number: int, areas: list[Area]) -> tuple[int, int]:
        met = sum(any(may_be_same_face(area, face) for face in faces) for area in areas)
        return -met, number

    return {
        claim: min(found, key=lambda number, found=found: rank(number, found[number]))  # type: ignore[misc]
        for claim, found in places.items()
        if len(found) > 1
    }


def _is_same(region: NamedRegion, earlier: NamedRegion) -> bool:
    if region.kind != earlier.kind:
        return False
    if region.area is None:
        return region.name == earlier.name
    if earlier.area is None:
        return False
    overlap = geometry.intersection_over_union(region.area, earlier.area)
    return overlap > geometry.SAME_FACE_OVERLAP
