"""Names in XMP: regions of the Metadata Working Group and of Microsoft, and names without a place.

MWG 2.0, 5.9: `mwg-rs:Regions`, areas by their centre; digiKam, Lightroom, Picasa, Apple and osxphotos
write it. Microsoft, People Tagging Overview: `MP:RegionInfo`, rectangles by their left top corner;
digiKam and osxphotos write it beside the other one, in the same frame. IPTC Extension:
`PersonInImage`, names alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    fields,
    items,
    properties,
    text,
    texts,
)
from .regions import (
    FACE,
    KINDS,
    MAX_REGIONS,
    OTHER,
    Frame,
    NamedRegion,
    Reading,
    clean_name,
    merged,
    sensible_area,
)
from .xml_safe import Element, Name, parse

Size = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Entry:
    """A region as it is written: area in the frame it was drawn in; fault: why that makes no sense."""

    element: Element
    name: str
    kind: str
    area: Area | None
    fault: str | None = None


def read(packet: bytes, frame: Frame) -> Reading:
    """Whom a packet of XMP names, and where in the upright picture.

    Raises NamesError where the packet cannot be read; what in it makes no sense is among the faults.
    """
    told = properties(parse(packet).root)
    size = applied_to(told)
    faults: list[str] = []
    if any(len(listed) > MAX_REGIONS for listed in _lists(told)):
        faults.append(f"more than {MAX_REGIONS:,} regions are listed; the others are left out")
    regions: list[NamedRegion] = []
    for source, entries in (("mwg", mwg(told)), ("microsoft", microsoft(told))):
        for entry in entries:
            region = _placed(entry, source, (frame, size), faults)
            regions += [] if region is None else [region]
    for written in texts(told.get((IPTC, "PersonInImage")))[:MAX_REGIONS]:
        name = _name(written, faults)
        regions += [NamedRegion(name, None, "iptc")] if name else []
    return merged([Reading(tuple(regions), tuple(faults))])


def applied_to(told: dict[Name, Value]) -> Size | None:
    """The size of the picture that the regions were drawn on; None where it is not said."""
    dimensions = fields(fields(told.get((MWG, "Regions"))).get((MWG, "AppliedToDimensions")))
    try:
        width, height = (_number(dimensions.get((ST_DIM, side))) for side in "wh")
    except ValueError:
        return None
    # No picture has sides of 1e300, and no ratio of theirs can be told
    return (width, height) if 0 < width < 1e9 and 0 < height < 1e9 else None


def _lists(told: dict[Name, Value]) -> tuple[list[Element], list[Element]]:
    """The members of `mwg-rs:Regions`, and those of `MP:RegionInfo`."""
    return (
        items(fields(told.get((MWG, "Regions"))).get((MWG, "RegionList"))),
        items(fields(told.get((MP, "RegionInfo"))).get((MP_RI, "Regions"))),
    )


def mwg(told: dict[Name, Value]) -> Iterator[Entry]:
    """The regions in `mwg-rs:Regions`."""
    size = applied_to(told)
    for element in _lists(told)[0][:MAX_REGIONS]:
        said = fields(element)
        kind_written = text(said.get((MWG, "Type"))).lower()
        kind = KINDS.get(kind_written, OTHER) if kind_written else FACE
        name = text(said.get((MWG, "Name")))
        try:
            yield Entry(element, name, kind, _centred(fields(said.get((MWG, "Area"))), size))
        except ValueError as error:
            yield Entry(element, name, kind, None, str(error))


def microsoft(told: dict[Name, Value]) -> Iterator[Entry]:
    """The regions in `MP:RegionInfo`."""
    for element in _lists(told)[1][:MAX_REGIONS]:
        said = fields(element)
        name = text(said.get((MP_REG, "PersonDisplayName")))
        rectangle = text(said.get((MP_REG, "Rectangle")))
        try:
            yield Entry(element, name, FACE, _rectangle(rectangle) if rectangle else None)
        except ValueError as error:
            yield Entry(element, name, FACE, None, str(error))


def _centred(area: dict[Name, Value], size: Size | None) -> Area | None:
    """A rectangle or circle, given by its centre; a point, and no area, has no box."""
    x, y, width, height, across = (area.get((ST_AREA, key)) for key in ("x", "y", "w", "h", "d"))
    if x is None or y is None or (width is None and height is None and across is None):
        return None
    in_pixels = text(area.get((ST_AREA, "unit"))).lower() == "pixel"
    if (in_pixels or width is None) and size is None:
        raise ValueError("its box is in pixels of a picture whose size is not said")
    sides = size or (1.0, 1.0)
    if width is None:
        # MWG: the diameter is a part of the shorter side
        diameter = _number(across) * (1 if in_pixels else min(sides))
        wide, high = diameter / sides[0], diameter / sides[1]
        scale = sides if in_pixels else (1.0, 1.0)
    else:
        scale = sides if in_pixels else (1.0, 1.0)
        wide, high = _number(width) / scale[0], _number(height) / scale[1]
    left = _number(x) / scale[0] - wide / 2
    return sensible_area(left, _number(y) / scale[1] - high / 2, wide, high)


def _rectangle(written: str) -> Area:
    """Microsoft's "x, y, width, height"."""
    parts = written.split(",")
    if len(parts) != 4:
        raise ValueError("its box is not made of four numbers")
    x, y, width, height = map(_number, parts)
    return sensible_area(x, y, width, height)


def _number(value: Value | None) -> float:
    """A number, with a decimal comma too, as some programs write it."""
    try:
        number = float(text(value)[:40].replace(",", "."))
    except ValueError:
        raise ValueError("its box is not made of numbers") from None
    if not math.isfinite(number):
        raise ValueError("its box is not made of numbers")
    return number


def _name(written: str, faults: list[str]) -> str:
    try:
        return clean_name(written)
    except ValueError as error:
        faults.append(f"{written[:20]!r}…: {error}")
        return ""


def _placed(
    entry: Entry, source: str, where: tuple[Frame, Size | None], faults: list[str]
) -> NamedRegion | None:
    """An entry on the upright picture; None where it has no name, or a place that cannot be."""
    frame, size = where
    name = _name(entry.name, faults)
    if not name:
        return None
    if entry.fault is not None:
        faults.append(f"{name}: {entry.fault}")
        return None
    if entry.area is None:
        return NamedRegion(name, None, source, entry.kind)
    if not frame.fits(size):
        assert size is not None
        drawn = f"{size[0]:g} x {size[1]:g}"
        faults.append(
            f"{name}: its place was drawn on a picture of another shape ({drawn}), so only the"
            " name holds"
        )
        return NamedRegion(name, None, source, entry.kind)
    return NamedRegion(name, frame.upright(entry.area, size), source, entry.kind)
