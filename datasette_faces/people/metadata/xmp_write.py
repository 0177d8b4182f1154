"""Names into XMP: updates the regions of a sidecar, and keeps everything else in it.

Writes `mwg-rs:Regions` (MWG 2.0, 5.9), which every program named in `xmp_read` reads, and
`Iptc4xmpExt:PersonInImage`. Microsoft's regions are never added, but those that are there get the new
names. Keywords (`dc:subject`) are left to their owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...algorithms.box_matching import match_boxes
from ...errors import NamesError
from ...shapes import Area
from . import xmp_read
from .rdf import (
    BAG,
    DESCRIPTION,
    IPTC,
    LI,
    META,
    MP_REG,
    MWG,
    PARSE_TYPE,
    PREFIXES,
    RDF,
    ST_AREA,
    ST_DIM,
    Value,
    find_array,
    find_rdf,
    read_fields,
    read_properties,
    read_text,
    read_texts,
)
from .regions import FACE, Frame, NamedRegion, invert_area, normalize_name
from .xml_safe import Document, Element, QName, RawMarkup, parse_xml, serialize_xml
from .xmp_read import Size, XmpRegion

# ISO 16684-1, 7.3.2: the packet wrapper, which exiftool and exiv2 write into sidecars, too
PACKET_BEGIN = RawMarkup('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>')
PACKET_END = RawMarkup('<?xpacket end="w"?>')
DIGITS = 7
"""Decimals of a fraction of a side: a hundredth of a pixel in the widest picture that is decoded."""
ABOUT, RESOURCE = (RDF, "about"), "Resource"
REGIONS, REGION_LIST, REGION_NAME = (MWG, "Regions"), (MWG, "RegionList"), (MWG, "Name")
MICROSOFT_NAME = (MP_REG, "PersonDisplayName")
APPLIED_TO, PERSONS = (MWG, "AppliedToDimensions"), (IPTC, "PersonInImage")


def write_regions(existing: bytes | None, regions: Sequence[NamedRegion], frame: Frame) -> bytes:
    """A sidecar's content with these names added to what it already holds.

    A region that is there already, in whichever block, by `box_matching.match`, keeps its box and
    gets the name; the others are added. Regions of other people and of other kinds stay. Writing the
    same names again gives the same bytes. Raises NamesError where `existing` is not XMP, or where its
    regions were drawn on a picture of another shape.
    """
    document = parse_xml(existing) if existing and existing.strip(b"\0 \r\n\t") else _new_document()
    properties = read_properties(document.root)
    size = xmp_read.read_applied_size(properties)
    _check_shape(frame, size)
    placed = [region for region in regions if region.area is not None]
    if not frame.faces:
        frame = replace(frame, faces=tuple(it.area for it in placed if it.area is not None))
    blocks = _list_fitting_blocks(document.root, frame, size)
    written = [
        _WrittenRegions.of(xmp_read.read_mwg_regions(block), frame, own_size)
        for block, own_size in blocks
        if REGIONS in block
    ] or [_WrittenRegions.of((), frame, size)]
    replaced = set().union(*(_rename_regions(it, REGION_NAME, placed) for it in written))
    for block, own_size in blocks:
        others = _WrittenRegions.of(xmp_read.read_microsoft_regions(block), frame, own_size)
        replaced |= _rename_regions(others, MICROSOFT_NAME, placed)
    missing = _find_missing(written, placed)
    if missing:
        _add_regions(document.root, missing, frame)
    faces = (region.name for region in regions if region.kind == FACE and region.name)
    _update_persons(document.root, list(dict.fromkeys(faces)), replaced)
    return serialize_xml(document, PREFIXES)


def _check_shape(frame: Frame, size: Size | None) -> None:
    """Raise NamesError where regions were drawn on a picture of another shape."""
    if frame.fits(size):
        return
    assert size is not None
    drawn, stored = (f"{width:g} x {height:g}" for width, height in (size, frame.stored_size))
    raise NamesError(
        f"the sidecar's regions were drawn on a picture of another shape ({drawn}; this one is"
        f" {stored}); remove them to write new ones"
    )


def _list_fitting_blocks(
    root: Element, frame: Frame, size: Size | None
) -> list[tuple[dict[QName, Value], Size | None]]:
    """The descriptions that hold regions of a picture of this shape, each with that picture's size."""
    blocks = [
        (block, xmp_read.read_applied_size(block) if REGIONS in block else size)
        for block in xmp_read.list_blocks(root)
    ]
    return [(block, own_size) for block, own_size in blocks if frame.fits(own_size)]


def _new_document() -> Document:
    description = Element(DESCRIPTION, {ABOUT: ""})
    root = Element((META, "xmpmeta"), {}, [Element((RDF, "RDF"), {}, [description])])
    return Document(root, [PACKET_BEGIN], [PACKET_END])


@dataclass(frozen=True, slots=True)
class _WrittenRegions:
    """The regions of one kind that are there, and the orientation that turns them upright."""

    regions: tuple[XmpRegion, ...]
    turn: int

    @staticmethod
    def of(regions: Iterable[XmpRegion], frame: Frame, size: Size | None) -> _WrittenRegions:
        """Regions with the turn by which they meet faces."""
        listed = tuple(regions)
        turn = frame.find_turn(xmp_read.face_areas(listed), size)
        return _WrittenRegions(listed, turn or frame.orientation)

    def place(self, region: NamedRegion) -> Area:
        """A region's area in the frame of these."""
        assert region.area is not None
        return invert_area(region.area, self.turn)


def _match_regions(
    written: _WrittenRegions, placed: Sequence[NamedRegion]
) -> Iterator[tuple[int, XmpRegion | None]]:
    """The position of each region to write, with the written one of the same face, or None."""
    for kind in sorted({region.kind for region in placed}):
        theirs = [it for it in written.regions if it.area is not None and it.kind == kind]
        ours = [position for position, region in enumerate(placed) if region.kind == kind]
        matching = match_boxes(
            [written.place(placed[position]) for position in ours],
            [region.area for region in theirs if region.area is not None],
        )
        matched = dict(matching.pairs)
        for number, position in enumerate(ours):
            yield position, theirs[matched[number]] if number in matched else None


def _rename_regions(
    written: _WrittenRegions, field: QName, placed: Sequence[NamedRegion]
) -> set[str]:
    """Give written regions the new names of their faces; returns the names that were replaced."""
    replaced: set[str] = set()
    for position, region in _match_regions(written, placed):
        if region is None:
            continue
        old, new = normalize_name(region.name), placed[position].name
        if old != normalize_name(new):
            replaced |= {old} - {""}
            _set_field(region.element, field, new)
    return replaced


def _find_missing(
    written: Sequence[_WrittenRegions], placed: Sequence[NamedRegion]
) -> list[tuple[NamedRegion, Area]]:
    """The regions whose face no written one has, with their areas in the frame of the first block."""
    there = {
        position
        for block in written
        for position, region in _match_regions(block, placed)
        if region is not None
    }
    return [
        (region, written[0].place(region))
        for position, region in enumerate(placed)
        if position not in there
    ]


def _add_regions(root: Element, missing: list[tuple[NamedRegion, Area]], frame: Frame) -> None:
    """Append regions to the list; creates the list and the property where there is none."""
    regions = _open_structure(_find_or_add_property(root, REGIONS))
    if APPLIED_TO not in read_fields(regions):
        width, height = frame.stored_size
        size = {"w": str(width), "h": str(height), "unit": "pixel"}
        fields = {(ST_DIM, key): value for key, value in size.items()}
        regions.children.append(_new_structure(APPLIED_TO, fields))
    listed = read_fields(regions).get(REGION_LIST)
    if not isinstance(listed, Element):
        regions.attributes.pop(REGION_LIST, None)
        listed = Element(REGION_LIST)
        regions.children.append(listed)
    array = find_array(listed)
    if array is None:
        array = _convert_to_array(listed)
    array.children += [_new_region(region, area) for region, area in missing]


def _new_region(region: NamedRegion, area: Area) -> Element:
    centre = {
        "x": area.x + area.width / 2,
        "y": area.y + area.height / 2,
        "w": area.width,
        "h": area.height,
    }
    numbers = {(ST_AREA, key): _format_decimal(value) for key, value in centre.items()}
    element = _new_structure(
        LI, {REGION_NAME: region.name, (MWG, "Type"): region.kind.capitalize()}
    )
    fields = {**numbers, (ST_AREA, "unit"): "normalized"}
    element.children.append(_new_structure((MWG, "Area"), fields))
    return element


def _format_decimal(value: float) -> str:
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")


def _new_structure(name: QName, fields: dict[QName, str]) -> Element:
    children = [Element(key, {}, [value]) for key, value in fields.items()]
    return Element(name, {PARSE_TYPE: RESOURCE}, [*children])


def _find_or_add_property(root: Element, name: QName) -> Element:
    """A property's element: as it is, converted from an attribute, or new in the first description."""
    rdf = find_rdf(root)
    for description in rdf.elements:
        if name in description.attributes:
            converted = Element(name, {}, [description.attributes.pop(name)])
            description.children.append(converted)
            return converted
        for child in description.elements:
            if child.name == name:
                return child
    if not rdf.elements:
        rdf.children.append(Element(DESCRIPTION, {ABOUT: ""}))
    created = Element(name)
    rdf.elements[0].children.append(created)
    return created


def _open_structure(element: Element) -> Element:
    """The element that holds a structure's fields, in a form to which more can be added."""
    for child in element.elements:
        if child.name == DESCRIPTION:
            return child
    short = {name: value for name, value in element.attributes.items() if name[0] != RDF}
    # RDF allows no elements next to attributes that are fields
    for name, value in short.items():
        del element.attributes[name]
        element.children.append(Element(name, {}, [value]))
    element.attributes[PARSE_TYPE] = RESOURCE
    return element


def _convert_to_array(element: Element) -> Element:
    """Make a value, if there is one, the first item of a new array; returns the array."""
    array = Element(BAG)
    if element.elements or element.text.strip() or read_fields(element):
        array.children.append(Element(LI, dict(element.attributes), list(element.children)))
    element.attributes.clear()
    element.children[:] = [array]
    return array


def _set_field(structure: Element, name: QName, value: str) -> None:
    """Set a structure's field to a simple value, in whichever form it was written."""
    inner = (child for child in structure.elements if child.name == DESCRIPTION)
    for holder in (structure, *inner):
        if name in holder.attributes:
            holder.attributes[name] = value
            return
        for child in holder.elements:
            if child.name == name:
                child.attributes.clear()
                child.children[:] = [value]
                return
    _open_structure(structure).children.append(Element(name, {}, [value]))


def _update_persons(root: Element, names: Sequence[str], replaced: set[str]) -> None:
    """Add missing names to `PersonInImage`, and remove replaced ones that no region has any more."""
    properties = read_properties(root)
    regions = [
        region
        for block in xmp_read.list_blocks(root)
        for read in (xmp_read.read_mwg_regions, xmp_read.read_microsoft_regions)
        for region in read(block)
    ]
    in_use = {normalize_name(region.name) for region in regions} | set(map(normalize_name, names))
    listed = set(map(normalize_name, read_texts(properties.get(PERSONS))))
    missing = [name for name in names if normalize_name(name) not in listed]
    stale = (replaced - in_use) & listed
    if not missing and not stale:
        return
    element = _find_or_add_property(root, PERSONS)
    array = find_array(element) or _convert_to_array(element)
    array.children[:] = [
        child
        for child in array.children
        if not (isinstance(child, Element) and normalize_name(read_text(child)) in stale)
    ]
    array.children += [Element(LI, {}, [name]) for name in missing]
