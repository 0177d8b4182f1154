"""XMP's data model in its many spellings: properties, structures, arrays (ISO 16684-1, clause 7)."""

from __future__ import annotations

from typing import TypeAlias

from ...errors import NamesError
from .xml_safe import XML, Element, QName

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
META = "adobe:ns:meta/"
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
ST_AREA = "http://ns.adobe.com/xmp/sType/Area#"
ST_DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
MP = "http://ns.microsoft.com/photo/1.2/"
MP_RI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
MP_REG = "http://ns.microsoft.com/photo/1.2/t/Region#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
EXIF = "http://ns.adobe.com/exif/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
XMP_BASIC = "http://ns.adobe.com/xap/1.0/"
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
"""Prefixes as the specifications write them."""

DESCRIPTION, BAG, LI = (RDF, "Description"), (RDF, "Bag"), (RDF, "li")
ARRAYS = (BAG, (RDF, "Seq"), (RDF, "Alt"))
PARSE_TYPE = (RDF, "parseType")

Value: TypeAlias = "str | Element"
"""A property's value: the text of an attribute, or an element."""


def find_rdf(root: Element) -> Element:
    """The rdf:RDF element of a packet. Raises NamesError where there is none."""
    for element in (root, *root.elements):
        if element.name == (RDF, "RDF"):
            return element
    raise NamesError("it is XML, but not XMP")


def read_properties(root: Element) -> dict[QName, Value]:
    """The properties of a packet, from all its descriptions; the first value of each counts."""
    properties: dict[QName, Value] = {}
    for description in find_rdf(root).elements:
        for name, value in read_fields(description).items():
            properties.setdefault(name, value)
    return properties


def read_fields(value: Value | None) -> dict[QName, Value]:
    """The fields of a structure: attributes or elements, directly or in an inner description."""
    if not isinstance(value, Element):
        return {}
    fields: dict[QName, Value] = {}
    inner = (child for child in value.elements if child.name == DESCRIPTION)
    for holder in (*inner, value):
        for name, attribute in holder.attributes.items():
            if name[0] not in (RDF, XML):
                fields.setdefault(name, attribute)
        for child in holder.elements:
            if child.name[0] != RDF:
                fields.setdefault(child.name, child)
    return fields


def find_array(value: Value | None) -> Element | None:
    """The bag, sequence or alternative that is a property's value."""
    if not isinstance(value, Element):
        return None
    return next((child for child in value.elements if child.name in ARRAYS), None)


def list_items(value: Value | None) -> list[Element]:
    """The items of an array; a structure without an array, as some programs write it, is one item."""
    if not isinstance(value, Element):
        return []
    array = find_array(value)
    if array is not None:
        return [child for child in array.elements if child.name == LI]
    return [value] if read_fields(value) else []


def read_text(value: Value | None) -> str:
    """A simple value, without spaces around it; "" where there is none."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    alternatives = find_array(value)
    if alternatives is not None:
        return read_text(next(iter(alternatives.elements), None))
    inner = (child for holder in (value, *value.elements) for child in holder.elements)
    qualified = next((child for child in inner if child.name == (RDF, "value")), None)
    if qualified is not None:
        return qualified.text.strip()
    return value.attributes.get((RDF, "resource"), value.text).strip()


def read_texts(value: Value | None) -> list[str]:
    """The items of an array of simple values, without empty ones; a single value is one item."""
    array = find_array(value)
    texts = [read_text(value)] if array is None else [read_text(it) for it in array.elements]
    return [text for text in texts if text]
