"""When and where a photo was taken, as EXIF, XMP and IPTC say: the first that says so counts.

MWG 2.0, 5.6: a date is in EXIF, XMP or IPTC; programs that may not write into a picture write it into a
sidecar alone. XMP: Part 2 of the specification, ISO 16684-1. IPTC: Information Interchange Model 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...media.dates import parse_date
from ...media.exif import Exif
from ...media.positions import LATITUDE, LONGITUDE, join_position, parse_degrees
from .rdf import EXIF, PHOTOSHOP, XMP_BASIC, read_properties, read_text
from .xml_safe import parse_xml

XMP_DATES = (
    (EXIF, "DateTimeOriginal"),
    (PHOTOSHOP, "DateCreated"),
    (EXIF, "DateTimeDigitized"),
    (XMP_BASIC, "CreateDate"),
)
"""The properties that may hold when a photo was taken, the surest first."""
IPTC_DATES = (((2, 55), (2, 60)), ((2, 62), (2, 63)))
"""The date and time that a photo was created, and digitized."""


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """When a photo was taken, ISO 8601 with as much as is said, and where, in degrees; None: not said."""

    taken_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def read_xmp_facts(packet: bytes) -> PhotoFacts:
    """The date and place in a packet of XMP. Raises NamesError where it cannot be read."""
    properties = read_properties(parse_xml(packet).root)
    dates = (parse_date(read_text(properties.get(name))) for name in XMP_DATES)
    latitude, longitude = join_position(
        *(
            parse_degrees(
                read_text(properties.get((EXIF, name))),
                axis,
                reference=read_text(properties.get((EXIF, f"{name}Ref"))),
            )
            for name, axis in (("GPSLatitude", LATITUDE), ("GPSLongitude", LONGITUDE))
        )
    )
    return PhotoFacts(next(filter(None, dates), None), latitude, longitude)


def read_iptc_facts(records: Mapping[tuple[int, int], object]) -> PhotoFacts:
    """The date in records of IPTC, by their numbers."""
    for date, time in IPTC_DATES:
        day = _read_record(records.get(date))
        taken_at = parse_date(f"{day}T{_read_record(records.get(time))}") or parse_date(day)
        if taken_at is not None:
            return PhotoFacts(taken_at)
    return PhotoFacts()


def _read_record(value: object) -> str:
    """A record's text; the first one where it is repeated."""
    first = value[0] if isinstance(value, list) and value else value
    return first.decode("ascii", "replace").strip("\0 ") if isinstance(first, bytes) else ""


def merge_facts(exif: Exif, others: Iterable[PhotoFacts]) -> PhotoFacts:
    """What EXIF says, or else the first of the others that does; each place as a whole.

    When a file was saved last is not when it was taken: that serves where nothing else is said.
    """
    facts = [PhotoFacts(None, exif.latitude, exif.longitude), *others]
    dates = [None if exif.is_save_date else exif.taken_at, *(it.taken_at for it in facts)]
    place = next((it for it in facts if it.latitude is not None), PhotoFacts())
    taken_at = next(filter(None, dates), exif.taken_at)
    return PhotoFacts(taken_at, place.latitude, place.longitude)
