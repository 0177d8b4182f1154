"""XMP's data model in its many spellings: properties, structures, arrays (ISO 16684-1, clause 7)."""

from __future__ import annotations

from typing import TypeAlias

from ...errors import NamesError
from .xml_safe import XML, Element, Name

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
META = "adobe:ns:meta/"
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
ST_AREA = "http://ns.adobe.com/xmp/sType/Area#"
ST_DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
MP = "http://ns.microsoft.com/photo/1.2/"
MP_RI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
MP_REG = "http://ns.microsoft.com/photo/1.2/t/Region#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
NOTE = "http://ns.adobe.com/xmp/note/"
PREFIXES = {
    RDF: "rdf",
    META: "x",
    MWG: "mwg-rs",
    ST_AREA: "stArea",
    ST_DIM: "stDim",
    MP: "MP",
    MP_RI: "MPRI",
    MP_REG: "MPReg",
    IPTC: "Iptc4xmpExt",
}
"""As the specifications write them."""

DESCRIPTION, BAG, LI = (RDF, "Description"), (RDF, "Bag"), (RDF, "li")
ARRAYS = (BAG, (RDF, "Seq"), (RDF, "Alt"))
PARSE_TYPE = (RDF, "parseType")

Value: TypeAlias = "str | Element"
"""A property's value: of an attribute, or as an element."""


def graph(root: Element) -> Element:
    """The rdf:RDF of a packet. Raises NamesError where there is none."""
    for element in (root, *root.elements):
        if element.name == (RDF, "RDF"):
            return element
    raise NamesError("it is XML, but no XMP")


def properties(root: Element) -> dict[Name, Value]:
    """What a packet says, whatever number of descriptions says it."""
    found: dict[Name, Value] = {}
    for description in graph(root).elements:
        for name, value in fields(description).items():
            found.setdefault(name, value)
    return found


def fields(value: Value | None) -> dict[Name, Value]:
    """The fields of a structure: attributes or elements, directly or in a description of their own."""
    if not isinstance(value, Element):
        return {}
    found: dict[Name, Value] = {}
    for holder in (*(it for it in value.elements if it.name == DESCRIPTION), value):
        for name, text_ in holder.attributes.items():
            if name[0] not in (RDF, XML):
                found.setdefault(name, text_)
        for child in holder.elements:
            if child.name[0] != RDF:
                found.setdefault(child.name, child)
    return found


def array(value: Value | None) -> Element | None:
    """The bag, sequence or alternative that is a property's value."""
    if not isinstance(value, Element):
        return None
    return next((child for child in value.elements if child.name in ARRAYS), None)


def items(value: Value | None) -> list[Element]:
    """The members of an array; a structure alone, as some programs write it, is one."""
    if not isinstance(value, Element):
        return []
    members = array(value)
    if members is not None:
        return [child for child in members.elements if child.name == LI]
    return [value] if fields(value) else []


def text(value: Value | None) -> str:
    """A simple value, without spaces around it; "" where there is none."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    alternatives = array(value)
    if alternatives is not None:
        return text(next(iter(alternatives.elements), None))
    qualified = next(
        (it for holder in (value, *value.elements) for it in holder.elements
         if it.name == (RDF, "value")), None
    )  # fmt: skip
    if qualified is not None:
        return qualified.text.strip()
    return value.attributes.get((RDF, "resource"), value.text).strip()


def texts(value: Value | None) -> list[str]:
    """The members of an array of simple values; one alone is an array of one."""
    members = array(value)
    found = [text(value)] if members is None else [text(child) for child in members.elements]
    return [it for it in found if it]
