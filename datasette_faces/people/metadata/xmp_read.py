"""Names in XMP: regions of the Metadata Working Group and of Microsoft, and names without a place.

MWG 2.0, 5.9: `mwg-rs:Regions`, areas by their centre; digiKam, Lightroom, Picasa, Apple and osxphotos
write it. Microsoft, People Tagging Overview: `MP:RegionInfo`, rectangles by their top left corner;
digiKam and osxphotos write it in addition, in the same frame. IPTC Extension: `PersonInImage`, names
alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...shapes import Area
from .rdf import (
    IPTC,
    MP,
    MP_REG,
    MP_RI,
    MWG,
    ST_AREA,
    ST_DIM,
    Value,
    find_rdf,
    list_items,
    read_fields,
    read_properties,
    read_text,
    read_texts,
)
from .regions import (
    FACE,
    MAX_REGIONS,
    OTHER,
    REGION_TYPES,
    Frame,
    NamedRegion,
    ParsedNames,
    clip_area,
    merge_names,
    orient_area,
    parse_name,
)
from .xml_safe import Element, QName, parse_xml

Size = tuple[float, float]


@dataclass(frozen=True, slots=True)
class XmpRegion:
    """A region as written: its area in the frame that it was drawn in; fault: why it has no valid one."""

    element: Element
    name: str
    kind: str
    area: Area | None
    fault: str | None = None


def read_xmp(packet: bytes, frame: Frame) -> ParsedNames:
    """The names in a packet of XMP, and where they are in the upright picture.

    Each kind of regions is turned upright on its own: programs that turn a picture may turn one kind only.
    Raises NamesError where the packet cannot be read; an invalid region in it is a fault.
    """
    root = parse_xml(packet).root
    properties = read_properties(root)
    size = read_applied_size(properties)
    parsed: list[ParsedNames] = []
    for block in list_blocks(root):
        own_size = read_applied_size(block) if (MWG, "Regions") in block else size
        for source, read in (("mwg", read_mwg_regions), ("microsoft", read_microsoft_regions)):
            parsed.append(_place_regions(list(read(block)), source, (frame, own_size)))
        if any(len(listed) > MAX_REGIONS for listed in _region_lists(block)):
            fault = f"more than {MAX_REGIONS:,} regions are listed; the others are left out"
            parsed.append(ParsedNames((), (fault,)))
    return merge_names([*parsed, _read_persons(properties)], frame.faces)


def list_blocks(root: Element) -> list[dict[QName, Value]]:
    """The descriptions of a packet that hold regions: each has a size and a frame of its own."""
    blocks = (read_fields(description) for description in find_rdf(root).elements)
    return [it for it in blocks if (MWG, "Regions") in it or (MP, "RegionInfo") in it]


def _read_persons(properties: dict[QName, Value]) -> ParsedNames:
    """The names without a place."""
    faults: list[str] = []
    texts = read_texts(properties.get((IPTC, "PersonInImage")))[:MAX_REGIONS]
    names = [_read_name(text, faults) for text in texts]
    regions = tuple(NamedRegion(name, None, "iptc") for name in names if name)
    return ParsedNames(regions, tuple(faults))


def face_areas(regions: Iterable[XmpRegion]) -> list[Area]:
    """The areas of faces, also of those without a name: what decides how regions are turned."""
    return [region.area for region in regions if region.kind == FACE and region.area is not None]


def read_applied_size(properties: dict[QName, Value]) -> Size | None:
    """The size of the picture that the regions were drawn on; None where it is not given."""
    regions = read_fields(properties.get((MWG, "Regions")))
    dimensions = read_fields(regions.get((MWG, "AppliedToDimensions")))
    try:
        width, height = (_parse_number(dimensions.get((ST_DIM, side))) for side in "wh")
    except ValueError:
        return None
    # No picture has sides of 1e300, and their ratio cannot be computed
    return (width, height) if 0 < width < 1e9 and 0 < height < 1e9 else None


def _region_lists(properties: dict[QName, Value]) -> tuple[list[Element], list[Element]]:
    """The items of `mwg-rs:Regions`, and those of `MP:RegionInfo`."""
    return (
        list_items(read_fields(properties.get((MWG, "Regions"))).get((MWG, "RegionList"))),
        list_items(read_fields(properties.get((MP, "RegionInfo"))).get((MP_RI, "Regions"))),
    )


def read_mwg_regions(properties: dict[QName, Value]) -> Iterator[XmpRegion]:
    """The regions in `mwg-rs:Regions`."""
    size = read_applied_size(properties)
    for element in _region_lists(properties)[0][:MAX_REGIONS]:
        fields = read_fields(element)
        written_type = read_text(fields.get((MWG, "Type"))).lower()
        kind = REGION_TYPES.get(written_type, OTHER) if written_type else FACE
        name = read_text(fields.get((MWG, "Name")))
        try:
            area = _parse_centred_area(read_fields(fields.get((MWG, "Area"))), size)
        except ValueError as error:
            yield XmpRegion(element, name, kind, None, str(error))
        else:
            yield XmpRegion(element, name, kind, area)


def read_microsoft_regions(properties: dict[QName, Value]) -> Iterator[XmpRegion]:
    """The regions in `MP:RegionInfo`."""
    for element in _region_lists(properties)[1][:MAX_REGIONS]:
        fields = read_fields(element)
        name = read_text(fields.get((MP_REG, "PersonDisplayName")))
        rectangle = read_text(fields.get((MP_REG, "Rectangle")))
        try:
            area = _parse_rectangle(rectangle) if rectangle else None
        except ValueError as error:
            yield XmpRegion(element, name, FACE, None, str(error))
        else:
            yield XmpRegion(element, name, FACE, area)


def _parse_centred_area(area: dict[QName, Value], size: Size | None) -> Area | None:
    """A rectangle or circle, given by its centre; None for a point, or for no area at all."""
    x, y, width, height, across = (area.get((ST_AREA, key)) for key in ("x", "y", "w", "h", "d"))
    if x is None or y is None or (width is None and height is None and across is None):
        return None
    in_pixels = read_text(area.get((ST_AREA, "unit"))).lower() == "pixel"
    if (in_pixels or width is None) and size is None:
        raise ValueError("its box is in pixels of a picture whose size is not given")
    sides = size or (1.0, 1.0)
    scale = sides if in_pixels else (1.0, 1.0)
    if width is None:
        # MWG: the diameter is a fraction of the shorter side
        diameter = _parse_number(across) * (1 if in_pixels else min(sides))
        wide, high = diameter / sides[0], diameter / sides[1]
    else:
        wide, high = _parse_number(width) / scale[0], _parse_number(height) / scale[1]
    left = _parse_number(x) / scale[0] - wide / 2
    return clip_area(left, _parse_number(y) / scale[1] - high / 2, wide, high)


def _parse_rectangle(written: str) -> Area:
    """Microsoft's "x, y, width, height"."""
    parts = written.split(",")
    if len(parts) != 4:
        raise ValueError("its box is not made of four numbers")
    x, y, width, height = map(_parse_number, parts)
    return clip_area(x, y, width, height)


def _parse_number(value: Value | None) -> float:
    """A number, also with a decimal comma, as some programs write it."""
    try:
        number = float(read_text(value)[:40].replace(",", "."))
    except ValueError:
        raise ValueError("its box is not made of numbers") from None
    if not math.isfinite(number):
        raise ValueError("its box is not made of numbers")
    return number


def _read_name(written: str, faults: list[str]) -> str:
    """A name; "" for none, and for an invalid one, which is added to the faults."""
    try:
        return parse_name(written)
    except ValueError as error:
        faults.append(f"{written[:20]!r}…: {error}")
        return ""


def _place_regions(
    written: Sequence[XmpRegion], source: str, where: tuple[Frame, Size | None]
) -> ParsedNames:
    """Regions of one source on the upright picture, without those that have no valid name or area."""
    frame, size = where
    turn = frame.find_turn(face_areas(written), size)
    regions: list[NamedRegion] = []
    faults: list[str] = []
    for region in written:
        name = _read_name(region.name, faults)
        if name and region.fault is not None:
            faults.append(f"{name}: {region.fault}")
        elif name:
            area = orient_area(region.area, turn) if region.area and turn else None
            regions.append(NamedRegion(name, area, source, region.kind))
            if region.area and not turn:
                faults.append(f"{name}: {_describe_misfit(size)}")
    return ParsedNames(tuple(regions), tuple(faults))


def _describe_misfit(size: Size | None) -> str:
    drawn = f"{size[0]:g} x {size[1]:g}" if size else "unknown"
    return f"its box was drawn on a picture of another shape ({drawn}), so only the name is used"
