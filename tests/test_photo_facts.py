"""Dates and places in XMP and IPTC, beside EXIF: which counts, and when an ingest reads them."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from exiftool import exiftool
from packets import packet
from pictures import encoded, with_exif
from PIL import Image

from datasette_faces.media.exif import Exif
from datasette_faces.people.metadata.embedded import read_embedded_xmp
from datasette_faces.people.metadata.photo_facts import (
    PhotoFacts,
    merge_facts,
    read_iptc_facts,
    read_xmp_facts,
)
from datasette_faces.people.metadata.read_all import NameReader

pytestmark = pytest.mark.once

TINY = Image.new("RGB", (8, 8))
SPACES = (
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
)
ORIGINAL, DIGITIZED, DATE_TIME = 0x9003, 0x9004, 0x0132


def xmp(**properties: str) -> bytes:
    """A packet with these properties; `exif_DateTimeOriginal` is exif:DateTimeOriginal."""
    named = {name.replace("_", ":"): value for name, value in properties.items()}
    return packet("".join(f"<{name}>{value}</{name}>" for name, value in named.items()), SPACES)


def placed(latitude: str, longitude: str = "58,22,12W") -> bytes:
    return xmp(exif_GPSLatitude=latitude, exif_GPSLongitude=longitude)


@pytest.mark.parametrize(
    ("properties", "taken_at"),
    [
        ({"xmp_CreateDate": "2022-01-10T15:15:44-04:00"}, "2022-01-10T15:15:44-04:00"),
        ({"xmp_CreateDate": "2022-01-10", "exif_DateTimeDigitized": "2021"}, "2021"),
        ({"exif_DateTimeDigitized": "2021", "photoshop_DateCreated": "1968-07"}, "1968-07"),
        ({"photoshop_DateCreated": "1968", "exif_DateTimeOriginal": "1967-01-02"}, "1967-01-02"),
        ({"photoshop_DateCreated": "1968", "exif_DateTimeOriginal": "last year"}, "1968"),
        ({"photoshop_DateCreated": "1968-07-04T12:00"}, "1968-07-04T12:00"),
        ({"xmp_ModifyDate": "2022-01-10", "xmp_MetadataDate": "2022-01-10"}, None),
    ],
)
def test_the_surest_date_of_a_packet_counts(properties, taken_at):
    assert read_xmp_facts(xmp(**properties)).taken_at == taken_at


def test_attributes_are_read_as_elements_are():
    written = packet("", f'{SPACES} photoshop:DateCreated="1968" exif:GPSLatitude="34,36.0S"'
                         ' exif:GPSLongitude="58.37W"')  # fmt: skip
    assert read_xmp_facts(written) == PhotoFacts("1968", -34.6, -58.37)


@pytest.mark.parametrize(
    ("latitude", "position"),
    [("34,36.0S", (-34.6, -58.37)), ("34,36,0 South", (-34.6, -58.37)), ("34,36.0", (None, None)),
     ("34.6", (None, None)), ("-34.6", (None, None)), ("100,0N", (None, None)), ("", (None, None))],
)  # fmt: skip
def test_a_place_is_whole_and_has_directions(latitude, position):
    facts = read_xmp_facts(placed(latitude))
    assert (facts.latitude, facts.longitude) == position


def test_a_direction_may_stand_in_a_property_of_its_own():
    facts = read_xmp_facts(
        xmp(exif_GPSLatitude="34.6", exif_GPSLatitudeRef="S", exif_GPSLongitude="58.37W")
    )
    assert (facts.latitude, facts.longitude) == (-34.6, -58.37)


@pytest.mark.parametrize(
    ("records", "taken_at"),
    [
        ({(2, 55): b"19680704"}, "1968-07-04"),
        ({(2, 55): b"19680704", (2, 60): b"123456+0200"}, "1968-07-04T12:34:56+02:00"),
        ({(2, 55): b"19680704", (2, 60): b"123456"}, "1968-07-04T12:34:56"),
        ({(2, 55): b"19680704", (2, 60): b"996699"}, "1968-07-04"),
        ({(2, 55): b"19680000", (2, 60): b"000000+0000"}, "1968"),
        ({(2, 55): [b"19680700", b"1969"]}, "1968-07"),
        ({(2, 55): b"00000000", (2, 62): b"20220110", (2, 63): b"151544-0400"},
         "2022-01-10T15:15:44-04:00"),
        ({(2, 60): b"123456+0200"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_iptc_s_date_is_when_it_was_created_or_else_digitized(records, taken_at):
    assert read_iptc_facts(records).taken_at == taken_at


def test_exif_comes_first_and_when_a_file_was_saved_comes_last():
    others = [PhotoFacts(None, 1.0, 2.0), PhotoFacts("1968", 3.0, 4.0)]
    assert merge_facts(Exif(taken_at="2001"), others) == PhotoFacts("2001", 1.0, 2.0)
    here = Exif(taken_at="2001", latitude=5.0, longitude=6.0, is_save_date=True)
    assert merge_facts(here, others) == PhotoFacts("1968", 5.0, 6.0)
    assert merge_facts(here, [PhotoFacts()]) == PhotoFacts("2001", 5.0, 6.0)
    assert merge_facts(Exif(), []) == PhotoFacts()


TAKEN, SCANNED = "1968-07-04", "2022-01-10"


@pytest.mark.parametrize("taken", ["exif", "sidecar", "xmp", "iptc", None])
@pytest.mark.parametrize("scanned", ["exif", "sidecar", "xmp", "iptc"])
def test_when_a_print_was_scanned_never_hides_when_it_was_taken(tmp_path, taken, scanned):
    photo, exif = tmp_path / "a.jpg", {}
    packets: dict[str, dict[str, str]] = {"sidecar": {}, "xmp": {}}
    records: dict[int, str] = {}
    for where, name, tag, record, day in (
        (taken, "photoshop_DateCreated", ORIGINAL, 55, TAKEN),
        (scanned, "xmp_CreateDate", DIGITIZED, 62, SCANNED),
    ):
        if where == "exif":
            exif[tag] = day.replace("-", ":") + " 12:00:00"
        elif where == "iptc":
            records[record] = day.replace("-", "")
        elif where:
            packets[where][name] = day
    (tmp_path / "a.xmp").write_bytes(xmp(**packets["sidecar"]))
    data = with_exif(TINY, {DATE_TIME: "2023:01:01 00:00:00"}, Exif=exif)
    photo.write_bytes(data)
    embedded = read_embedded_xmp(data)
    iptc = read_iptc_facts({(2, it): day.encode() for it, day in records.items()})
    found = NameReader().read_facts(
        [str(photo)], replace(embedded, iptc=iptc, packets=(xmp(**packets["xmp"]),))
    )
    assert (found.taken_at or "")[:10] == (TAKEN if taken else SCANNED)


def iptc_jpeg(date: bytes) -> bytes:
    """A JPEG with a date in IPTC, in Photoshop's segment."""
    record = b"\x1c\x02\x37" + struct.pack(">H", len(date)) + date
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    content = b"Photoshop 3.0\0" + resource + b"\0" * (len(record) % 2)
    data = encoded(TINY, "JPEG")
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + data[2:]


def test_sidecar_picture_and_iptc_are_asked_in_this_order(tmp_path):
    photo = tmp_path / "a.jpg"
    with_xmp = encoded(TINY, "JPEG", xmp=xmp(xmp_CreateDate="2002"))

    def taken_at(data: bytes) -> str | None:
        photo.write_bytes(data)
        return NameReader().read_facts([str(photo)], read_embedded_xmp(data)).taken_at

    assert taken_at(iptc_jpeg(b"20040102")) == "2004-01-02"
    assert taken_at(with_xmp) == "2002"
    (tmp_path / "a.xmp").write_bytes(xmp(xmp_CreateDate="2001"))
    assert taken_at(with_xmp) == "2001"
    (tmp_path / "a.jpg.xmp").write_bytes(xmp(photoshop_DateCreated="2000"))
    assert taken_at(iptc_jpeg(b"20040102")) == "2000"
    (tmp_path / "a.jpg.xmp").write_bytes(b"<broken")
    assert taken_at(with_xmp) == "2001"
    assert taken_at(with_exif(TINY, {}, Exif={ORIGINAL: "1999:01"})) == "1999-01"
    assert taken_at(with_exif(TINY, {DATE_TIME: "2020:01:01 00:00:00"})) == "2001"
    assert taken_at(iptc_jpeg(b"\xff" * 40_000)) == "2001"


def test_what_exiftool_writes_is_read(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(encoded(TINY, "JPEG"))
    exiftool("-XMP-exif:GPSLatitude=-34.6", "-XMP-exif:GPSLongitude=-58.37",
             "-XMP-photoshop:DateCreated=1968:07:04 12:00:00+01:00", photo)  # fmt: skip
    facts = NameReader().read_facts([str(photo)], read_embedded_xmp(photo.read_bytes()))
    assert facts == PhotoFacts("1968-07-04T12:00:00+01:00", -34.6, -58.37)
    exiftool("-XMP:all=", "-IPTC:DateCreated=1969:07:04", "-IPTC:TimeCreated=12:00:00+00:00", photo)
    facts = NameReader().read_facts([str(photo)], read_embedded_xmp(photo.read_bytes()))
    assert facts.taken_at == "1969-07-04T12:00:00+00:00"
