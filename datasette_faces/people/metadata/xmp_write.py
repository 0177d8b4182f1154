"""Names into XMP: a sidecar's regions brought up to date, and everything else in it kept.

Written are `mwg-rs:Regions` (MWG 2.0, 5.9), which every program named in `xmp` reads, and
`Iptc4xmpExt:PersonInImage`. Of Microsoft's regions only those that are there follow a new name.
Keywords (`dc:subject`) are left to their owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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
    array,
    fields,
    graph,
    properties,
    text,
    texts,
)
from .regions import FACE, Frame, NamedRegion, plain
from .xml_safe import Aside, Document, Element, Name, parse, serialize
from .xmp_read import Entry, Size

# ISO 16684-1, 7.3.2: the packet's wrapper, with which exiftool and exiv2 write sidecars, too
BEGIN = Aside('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>')
END = Aside('<?xpacket end="w"?>')
DIGITS = 7
"""Decimals of a part of a side: a hundredth of a pixel in the widest picture that is decoded."""
ABOUT, RESOURCE = (RDF, "about"), "Resource"
REGIONS, REGION_LIST, REGION_NAME = (MWG, "Regions"), (MWG, "RegionList"), (MWG, "Name")
APPLIED_TO, PERSONS = (MWG, "AppliedToDimensions"), (IPTC, "PersonInImage")


def write_regions(existing: bytes | None, regions: Sequence[NamedRegion], frame: Frame) -> bytes:
    """A sidecar with these names in it, and all that was in it before.

    A region that is there already, as `matching.match` sees it, keeps its box and gets the name; the
    others are added. Regions of others, and of other kinds, stay. The same twice gives the same bytes.
    Raises NamesError where `existing` is no XMP, or its regions were drawn on another shape.
    """
    document = parse(existing) if existing and existing.strip(b"\0 \r\n\t") else _empty()
    told = properties(document.root)
    size = xmp_read.applied_to(told)
    if not frame.fits(size):
        assert size is not None
        drawn, stored = (f"{width:g} x {height:g}" for width, height in (size, frame.stored))
        raise NamesError(
            f"the sidecar's regions were drawn on a picture of another shape ({drawn}; this one is"
            f" {stored}); remove them to write new ones"
        )
    placed = [it for it in regions if it.area is not None]
    entries = list(xmp_read.mwg(told))
    renamed = _rename([*entries, *xmp_read.microsoft(told)], placed, (frame, size))
    missing = _missing(entries, placed, (frame, size))
    if missing:
        _add(document.root, missing, frame)
    wanted = list(dict.fromkeys(it.name for it in regions if it.kind == FACE and it.name))
    told = properties(document.root)
    there = {plain(entry.name) for entry in (*xmp_read.mwg(told), *xmp_read.microsoft(told))}
    _tell_persons(document.root, wanted, renamed - there - set(map(plain, wanted)))
    return serialize(document, PREFIXES)


def _empty() -> Document:
    description = Element(DESCRIPTION, {ABOUT: ""})
    root = Element((META, "xmpmeta"), {}, [Element((RDF, "RDF"), {}, [description])])
    return Document(root, [BEGIN], [END])


def _pairs(
    entries: Iterable[Entry], placed: Sequence[NamedRegion], where: tuple[Frame, Size | None]
) -> Iterator[tuple[int, Entry | None]]:
    """Each of the regions, by its place, with the entry that is of the same face, or None."""
    frame, size = where
    for kind in sorted({it.kind for it in placed}):
        theirs = [it for it in entries if it.area is not None and it.kind == kind]
        ours = [place for place, it in enumerate(placed) if it.kind == kind]
        found = match_boxes(
            [_area(placed[place], frame, size) for place in ours],
            [it.area for it in theirs if it.area is not None],
        )
        of = dict(found.pairs)
        for number, place in enumerate(ours):
            yield place, theirs[of[number]] if number in of else None


def _area(region: NamedRegion, frame: Frame, size: Size | None) -> Area:
    assert region.area is not None
    return frame.as_applied(region.area, size)


def _rename(
    entries: Sequence[Entry], placed: Sequence[NamedRegion], where: tuple[Frame, Size | None]
) -> set[str]:
    """Give the entries the names of the regions that they are of; the names that they had."""
    before: set[str] = set()
    for namespace, name in (REGION_NAME, (MP_REG, "PersonDisplayName")):
        those = [it for it in entries if _is_of(it, namespace)]
        for place, entry in _pairs(those, placed, where):
            if entry is not None and plain(entry.name) != plain(placed[place].name):
                before |= {plain(entry.name)} - {""}
                _set(entry.element, (namespace, name), placed[place].name)
    return before


def _is_of(entry: Entry, namespace: str) -> bool:
    return any(uri == namespace for uri, _ in fields(entry.element))


def _missing(
    entries: Sequence[Entry], placed: Sequence[NamedRegion], where: tuple[Frame, Size | None]
) -> list[tuple[NamedRegion, Area]]:
    """The regions that no entry is of, with their areas in the entries' frame."""
    return [
        (placed[place], _area(placed[place], *where))
        for place, entry in sorted(_pairs(entries, placed, where), key=lambda pair: pair[0])
        if entry is None
    ]


def _add(root: Element, missing: list[tuple[NamedRegion, Area]], frame: Frame) -> None:
    """Append regions, and make the list and what it lies in where there is none."""
    regions = _opened(_property(root, REGIONS))
    if APPLIED_TO not in fields(regions):
        width, height = frame.stored
        said = {"w": str(width), "h": str(height), "unit": "pixel"}
        regions.children.append(
            _struct(APPLIED_TO, {(ST_DIM, key): it for key, it in said.items()})
        )
    listed = fields(regions).get(REGION_LIST)
    if not isinstance(listed, Element):
        regions.attributes.pop(REGION_LIST, None)
        listed = Element(REGION_LIST)
        regions.children.append(listed)
    members = array(listed)
    if members is None:
        members = _as_array(listed)
    members.children += [_region(region, area) for region, area in missing]


def _region(region: NamedRegion, area: Area) -> Element:
    centre = {
        "x": area.x + area.width / 2,
        "y": area.y + area.height / 2,
        "w": area.width,
        "h": area.height,
    }
    said = {(ST_AREA, key): _decimal(value) for key, value in centre.items()}
    element = _struct(LI, {REGION_NAME: region.name, (MWG, "Type"): region.kind.capitalize()})
    element.children.append(_struct((MWG, "Area"), {**said, (ST_AREA, "unit"): "normalized"}))
    return element


def _decimal(value: float) -> str:
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")


def _struct(name: Name, simple: dict[Name, str]) -> Element:
    children = [Element(key, {}, [value]) for key, value in simple.items()]
    return Element(name, {PARSE_TYPE: RESOURCE}, [*children])


def _property(root: Element, name: Name) -> Element:
    """A property's element; made of an attribute, or new in the first description, if need be."""
    rdf = graph(root)
    for description in rdf.elements:
        if name in description.attributes:
            written = Element(name, {}, [description.attributes.pop(name)])
            description.children.append(written)
            return written
        for child in description.elements:
            if child.name == name:
                return child
    if not rdf.elements:
        rdf.children.append(Element(DESCRIPTION, {ABOUT: ""}))
    created = Element(name)
    rdf.elements[0].children.append(created)
    return created


def _opened(element: Element) -> Element:
    """What holds a structure's fields, so that further ones can be added."""
    for child in element.elements:
        if child.name == DESCRIPTION:
            return child
    short = {name: it for name, it in element.attributes.items() if name[0] != RDF}
    # Beside attributes that are fields, RDF allows no elements
    for name, value in short.items():
        del element.attributes[name]
        element.children.append(Element(name, {}, [value]))
    element.attributes[PARSE_TYPE] = RESOURCE
    return element


def _as_array(element: Element) -> Element:
    """Make a value, if there is one, the first member of an array; the array."""
    members = Element(BAG)
    if element.elements or element.text.strip() or fields(element):
        members.children.append(Element(LI, dict(element.attributes), list(element.children)))
    element.attributes.clear()
    element.children[:] = [members]
    return members


def _set(structure: Element, name: Name, value: str) -> None:
    """Give a structure's field a simple value, however it was written before."""
    for holder in (structure, *(it for it in structure.elements if it.name == DESCRIPTION)):
        if name in holder.attributes:
            holder.attributes[name] = value
            return
        for child in holder.elements:
            if child.name == name:
                child.attributes.clear()
                child.children[:] = [value]
                return
    _opened(structure).children.append(Element(name, {}, [value]))


def _tell_persons(root: Element, wanted: Sequence[str], gone: set[str]) -> None:
    """Bring `PersonInImage` up to date: names that are missing, without those that nobody has now."""
    known = set(map(plain, texts(properties(root).get(PERSONS))))
    missing = [name for name in wanted if plain(name) not in known]
    stale = gone & known
    if not missing and not stale:
        return
    element = _property(root, PERSONS)
    members = array(element) or _as_array(element)
    members.children[:] = [
        child
        for child in members.children
        if not (isinstance(child, Element) and plain(text(child)) in stale)
    ]
    members.children += [Element(LI, {}, [name]) for name in missing]
