"""When and where a photo was taken, as EXIF, XMP and IPTC say: the first that says so counts.

MWG 2.0, 5.6: a date is in EXIF, XMP or IPTC; programs that may not write into a picture write it into a
sidecar alone. XMP: Part 2 of the specification, ISO 16684-1. IPTC: Information Interchange Model 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...media.dates import parse_date
from ...media.exif import Exif
from ...media.positions import LATITUDE, LONGITUDE, join_position, parse_degrees
from .rdf import EXIF, PHOTOSHOP, XMP_BASIC, read_properties, read_text
from .xml_safe import parse_xml

XMP_DATES = ((EXIF, "DateTimeOriginal"), (PHOTOSHOP, "DateCreated"))
"""The properties that may hold when a photo was taken, the surest first."""
XMP_SCAN_DATES = ((EXIF, "DateTimeDigitized"), (XMP_BASIC, "CreateDate"))
"""Those that may hold when it was digitized."""
IPTC_DATE, IPTC_SCAN_DATE = ((2, 55), (2, 60)), ((2, 62), (2, 63))
"""The date and time that a photo was created, and digitized."""


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """When a photo was taken, ISO 8601 with as much as is said, and where, in degrees; None: not said.

    is_scan_date: it is when the picture was digitized, as nothing here says when it was taken.
    """

    taken_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    is_scan_date: bool = False


def read_xmp_facts(packet: bytes) -> PhotoFacts:
    """The date and place in a packet of XMP. Raises NamesError where it cannot be read."""
    properties = read_properties(parse_xml(packet).root)
    taken_at, scanned_at = (
        next(filter(None, (parse_date(read_text(properties.get(name))) for name in names)), None)
        for names in (XMP_DATES, XMP_SCAN_DATES)
    )
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
    is_scan_date = taken_at is None and scanned_at is not None
    return PhotoFacts(taken_at or scanned_at, latitude, longitude, is_scan_date)


def read_iptc_facts(records: Mapping[tuple[int, int], object]) -> PhotoFacts:
    """The date in records of IPTC, by their numbers."""
    for date, time in (IPTC_DATE, IPTC_SCAN_DATE):
        day = _read_record(records.get(date))
        taken_at = parse_date(f"{day}T{_read_record(records.get(time))}") or parse_date(day)
        if taken_at is not None:
            return PhotoFacts(taken_at, is_scan_date=date == IPTC_SCAN_DATE[0])
    return PhotoFacts()


def _read_record(value: object) -> str:
    """A record's text; the first one where it is repeated."""
    first = value[0] if isinstance(value, list) and value else value
    return first.decode("ascii", "replace").strip("\0 ") if isinstance(first, bytes) else ""


def merge_facts(exif: Exif, others: Iterable[PhotoFacts]) -> PhotoFacts:
    """What EXIF says, or else the first of the others that does; each place as a whole.

    When a picture was digitized serves where none says when it was taken, and when the file was saved
    last where nothing else is said.
    """
    here = None if exif.is_save_date else exif.taken_at
    facts = [PhotoFacts(here, exif.latitude, exif.longitude, exif.is_scan_date), *others]
    # Sorted, those of one kind stay in order
    dated = sorted((it for it in facts if it.taken_at), key=lambda it: it.is_scan_date)
    place = next((it for it in facts if it.latitude is not None), PhotoFacts())
    date = dated[0] if dated else PhotoFacts(exif.taken_at)
    return replace(place, taken_at=date.taken_at, is_scan_date=date.is_scan_date)
