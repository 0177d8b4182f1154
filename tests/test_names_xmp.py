"""Names in XMP: regions of all programs are read in their place; hostile files are refused, with why."""

from __future__ import annotations

import struct
import time

import numpy as np
import packets
import pytest
from exiftool import exiftool
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import DIGIKAM, LIGHTROOM, MICROSOFT, PICASA, area, mwg, packet
from pictures import encoded
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from datasette_faces.errors import NamesError
from datasette_faces.media.decode import decode_picture
from datasette_faces.people.metadata import xml_safe, xmp_read
from datasette_faces.people.metadata.embedded import read_embedded_names, read_embedded_xmp
from datasette_faces.people.metadata.regions import (
    FACE,
    MAX_NAME,
    PET,
    Frame,
    NamedRegion,
    ParsedNames,
    merge_names,
    orient_area,
)
from datasette_faces.shapes import Area

pytestmark = pytest.mark.once

FRAME = Frame(400, 300)
ANN = Area(0.25, 0.4, 0.1, 0.2)
BOB = Area(0.6, 0.4, 0.1, 0.2)
HERE = area(0.25, 0.4, 0.1, 0.2)


def places(reading: ParsedNames) -> dict[str, Area | None]:
    return {it.name: it.area and rounded(it.area) for it in reading.regions}


def rounded(place: Area) -> Area:
    return Area(*(round(it, 6) for it in (place.x, place.y, place.width, place.height)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(LIGHTROOM, {"Ann Smith": ANN}, id="Lightroom"),
        pytest.param(DIGIKAM, {"Ann Smith": ANN, "Bob": BOB}, id="digiKam"),
        pytest.param(PICASA, {"Ann Smith": ANN}, id="Picasa"),
        pytest.param(MICROSOFT, {"Ann Smith": ANN, "Carl": None}, id="Microsoft"),
    ],
)
def test_a_program_s_regions_are_read(written, expected):
    reading = xmp_read.read_xmp(written, FRAME)
    assert places(reading) == expected
    assert reading.faults == ()


def test_a_region_in_both_formats_is_one_and_mwg_s_counts():
    regions = xmp_read.read_xmp(DIGIKAM, FRAME).regions
    assert [(it.name, it.source) for it in regions] == [("Ann Smith", "mwg"), ("Bob", "mwg")]


def test_kinds_are_distinguished_and_a_region_without_one_is_a_face():
    reading = xmp_read.read_xmp(
        mwg(("Rex", HERE, "Pet"), ("Ann", HERE, ""), ("Sharp", HERE, "Focus")), FRAME
    )
    assert {it.name: it.kind for it in reading.regions} == {
        "Rex": PET,
        "Ann": FACE,
        "Sharp": "focus",
    }


def test_persons_without_a_place_are_read_and_not_twice():
    persons = (
        '<Iptc4xmpExt:PersonInImage xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        "<rdf:Bag><rdf:li>Ann</rdf:li><rdf:li> Dora \n Doe </rdf:li></rdf:Bag>"
        "</Iptc4xmpExt:PersonInImage>"
    )
    written = mwg(("Ann", HERE, "Face")).replace(
        b"</rdf:Description>", persons.encode() + b"</rdf:Description>"
    )
    assert places(xmp_read.read_xmp(written, FRAME)) == {"Ann": ANN, "Dora Doe": None}


def test_a_circle_is_read_by_its_diameter_as_a_fraction_of_the_shorter_side():
    circle = 'stArea:x="0.5" stArea:y="0.5" stArea:d="0.2" stArea:unit="normalized"'
    (region,) = xmp_read.read_xmp(mwg(("Ann", circle, "Face")), FRAME).regions
    assert rounded(region.area) == Area(0.425, 0.4, 0.15, 0.2)


def test_an_area_in_pixels_is_read_as_fractions_of_the_size_it_applies_to():
    pixels = 'stArea:x="120" stArea:y="150" stArea:w="40" stArea:h="60" stArea:unit="pixel"'
    assert places(xmp_read.read_xmp(mwg(("Ann", pixels, "Face")), FRAME)) == {"Ann": ANN}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_turns_upright_as_its_picture_does(orientation):
    stored = np.zeros((300, 400, 3), np.uint8)
    stored[30:120, 80:140] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(stored), "PNG", exif=exif.tobytes())
    picture = decode_picture(data)
    rows, columns = np.nonzero(picture.pixels()[:, :, 0])
    frame = Frame(picture.width, picture.height, picture.exif.orientation)
    (region,) = xmp_read.read_xmp(mwg(("Ann", area(0.2, 0.1, 0.15, 0.3), "Face")), frame).regions
    found, (width, height) = region.area, (frame.width, frame.height)
    assert (round(found.x * width), round(found.y * height)) == (columns.min(), rows.min())
    assert round(found.width * width) == np.ptp(columns) + 1
    assert round(found.height * height) == np.ptp(rows) + 1
    assert rounded(frame.from_upright(region.area)) == Area(0.2, 0.1, 0.15, 0.3)


def test_a_region_that_applies_to_the_upright_size_is_upright_already():
    frame = Frame(300, 400, orientation=6)
    upright = xmp_read.read_xmp(mwg(("Ann", HERE, "Face"), size=(300, 400)), frame)
    assert places(upright) == {"Ann": ANN}
    stored = xmp_read.read_xmp(mwg(("Ann", HERE, "Face"), size=(400, 300)), frame)
    assert places(stored) == {"Ann": rounded(orient_area(ANN, 6))}
    unsaid = xmp_read.read_xmp(mwg(("Ann", HERE, "Face"), size=None), frame)
    assert places(unsaid) == places(stored)


def test_a_region_of_a_smaller_copy_fits_and_of_a_crop_only_its_name_is_used():
    assert places(xmp_read.read_xmp(mwg(("Ann", HERE, "Face"), size=(2000, 1500)), FRAME)) == {
        "Ann": ANN
    }
    cropped = xmp_read.read_xmp(mwg(("Ann", HERE, "Face"), size=(2000, 2000)), FRAME)
    assert places(cropped) == {"Ann": None}
    assert "another shape (2000 x 2000)" in cropped.faults[0]


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        (area(1.2, 0.5, 0.1, 0.1), "is outside the picture"),
        (area(-3, 0.5, 0.1, 0.1), "is outside the picture"),
        (area(0.5, 0.5, 0, 0.1), "has no size"),
        (area(0.5, 0.5, -0.1, 0.1), "has no size"),
        (area(0.5, 0.5, 1e-300, 1e-300), "has no size"),
        (area(float("nan"), 0.5, 0.1, 0.1), "not made of numbers"),
        (area(0.5, 0.5, float("inf"), 0.1), "not made of numbers"),
        ('stArea:x="0.5" stArea:y="here" stArea:w="1" stArea:h="1"', "not made of numbers"),
        ('stArea:x="0.5" stArea:y="0.5" stArea:w="0.1"', "not made of numbers"),
        (f'stArea:x="0.5" stArea:y="{"9" * 5000}" stArea:w="1" stArea:h="1"', "outside"),
    ],
)
def test_an_invalid_box_is_left_out_with_a_reason(where, fault):
    reading = xmp_read.read_xmp(
        mwg(("Ann", where, "Face"), ("Bob", area(0.6, 0.4, 0.1, 0.2), "Face")), FRAME
    )
    assert places(reading) == {"Bob": BOB}
    (said,) = reading.faults
    assert said.startswith("Ann: ")
    assert fault in said


def test_a_box_that_extends_beyond_the_edge_is_clipped():
    (region,) = xmp_read.read_xmp(mwg(("Ann", area(-0.04, 0.9, 0.1, 0.19), "Face")), FRAME).regions
    assert rounded(region.area) == Area(0, 0.9, 0.06, 0.1)


@pytest.mark.parametrize(
    ("rectangle", "fault"),
    [("0.1, 0.1, 0.1", "four numbers"), ("a, b, c, d", "numbers"), ("2, 0.1, 0.1, 0.1", "outside")],
)
def test_an_invalid_rectangle_of_microsoft_s_is_left_out_with_a_reason(rectangle, fault):
    reading = xmp_read.read_xmp(
        MICROSOFT.replace(b"0.25, 0.4, 0.1, 0.2", rectangle.encode()), FRAME
    )
    assert places(reading) == {"Carl": None}
    assert fault in reading.faults[0]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("  Ann\n\t Smith ", "Ann Smith"),
        ("مريم", "مريم"),
        ("&lt;b&gt;Ann&lt;/b&gt; &amp; co", "<b>Ann</b> & co"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("", None),
        ("   ", None),
    ],
)
def test_names_are_normalized(name, kept):
    reading = xmp_read.read_xmp(mwg((name, HERE, "Face")), FRAME)
    assert [it.name for it in reading.regions] == ([kept] if kept else [])
    assert reading.faults == ()


@pytest.mark.parametrize(
    "name", ["x" * (MAX_NAME + 1), "x" * 10_000, "bell\u0085 \ue000", "a\u0086b"]
)
def test_invalid_names_are_left_out_with_a_reason(name):
    reading = xmp_read.read_xmp(mwg((name, HERE, "Face")), FRAME)
    assert reading.regions == ()
    assert "a name " in reading.faults[0]
    assert len(reading.faults[0]) < 200


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    + packet("&b;")
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>' + packet("&secret;")
DTD = b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + packet("")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(BOMB, "document type", id="entities"),
        pytest.param(OUTSIDE, "document type", id="external entity"),
        pytest.param(DTD, "document type", id="external document type"),
        pytest.param(packet("&unknown;"), "undefined entity", id="unknown entity"),
        pytest.param(b"<a>" * 200 + b"</a>" * 200, "levels deep", id="deep"),
        pytest.param(b"<a>" + b"<b/>" * 300_000 + b"</a>", "more than 200,000", id="many"),
        pytest.param(b" " * (xml_safe.MAX_BYTES + 1), "is larger than 16 MB", id="huge"),
        pytest.param(b"", "no element found", id="empty"),
        pytest.param(b"\0" * 100, "damaged", id="zeros"),
        pytest.param(b"\xff\xd8\xff\xe0 a picture", "damaged at line 1", id="a picture"),
        pytest.param(LIGHTROOM[:900], "damaged at line", id="cut off"),
        pytest.param(LIGHTROOM.replace(b"Ann", b"\xff\xfe"), "damaged", id="no UTF-8"),
        pytest.param(b'<?xml version="1.0" encoding="base64"?><a/>', "", id="no text encoding"),
        pytest.param(b'<?xml version="1.0" encoding="klingon"?><a/>', "", id="unknown encoding"),
        pytest.param(b"<html><body/></html>", "not XMP", id="HTML"),
        pytest.param(b"<a:b/>", "is not declared", id="unbound prefix"),
        pytest.param(b'<a:b xmlns:a=""/>', "prefix to nothing", id="prefix of nothing"),
    ],
)
def test_xmp_that_is_invalid_or_hostile_is_refused_with_a_reason(data, reason):
    started = time.process_time()
    with pytest.raises(NamesError) as raised:
        xmp_read.read_xmp(data, FRAME)
    assert reason in str(raised.value)
    assert len(str(raised.value)) < 200
    assert time.process_time() - started < 5


@pytest.mark.slow
def test_a_thousand_regions_are_enough():
    many = [
        (f"P{number}", area(number / 4_000, 0.3, 0.0002, 0.01), "Face") for number in range(3_000)
    ]
    started = time.monotonic()
    reading = xmp_read.read_xmp(mwg(*many), FRAME)
    assert len(reading.regions) == 1_000
    assert "more than 1,000 regions" in reading.faults[0]
    assert time.monotonic() - started < 10


def test_utf_16_is_read():
    text = LIGHTROOM.decode("utf-8")
    assert places(xmp_read.read_xmp(text.encode("utf-16"), FRAME)) == {"Ann Smith": ANN}


def test_a_name_with_a_place_in_one_source_needs_none_in_another():
    takeout = ParsedNames(
        (NamedRegion("Ann", None, "takeout"), NamedRegion("Eve", None, "takeout"))
    )
    placed = ParsedNames((NamedRegion("Ann", ANN, "mwg"),), ("a fault",))
    both = merge_names([takeout, placed, ParsedNames((NamedRegion("Anna", ANN, "picasa"),))])
    assert [(it.name, it.source) for it in both.regions] == [("Ann", "mwg"), ("Eve", "takeout")]
    assert both.faults == ("a fault",)


TINY = Image.new("RGB", (40, 30), "white")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_xmp_in_a_picture_is_found(file_format):
    options = {"xmp": LIGHTROOM}
    if file_format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if file_format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", LIGHTROOM.decode())
        options = {"pnginfo": info}
    if file_format == "TIFF":
        options = {"tiffinfo": {700: LIGHTROOM}}
    picture = read_embedded_xmp(encoded(TINY, file_format, **options))
    assert picture.orientation == 1
    assert places(read_embedded_names(picture, Frame(40, 30))) == {"Ann Smith": ANN}


def moved_behind(data: bytes, *names: bytes) -> bytes:
    """A PNG with these chunks behind its pixels."""
    end = data.index(b"IEND") - 4
    for name in names:
        start = data.index(name) - 4
        chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
        data = data[:start] + data[start + len(chunk) : end] + chunk + data[end:]
    return data


@pytest.mark.parametrize("behind", [[b"iTXt"], [b"eXIf"], [b"iTXt", b"eXIf"], [b"eXIf", b"iTXt"]])
@pytest.mark.parametrize("with_exif", [True, False])
def test_xmp_and_exif_behind_a_png_s_pixels_are_found(behind, with_exif):
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", LIGHTROOM.decode(), zip=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {"exif": exif.tobytes()} if with_exif else {}
    data = encoded(TINY, "PNG", pnginfo=info, **options)
    present = [name for name in behind if name in data]
    picture = read_embedded_xmp(moved_behind(data, *present))
    assert picture.packets == (LIGHTROOM,)
    assert picture.orientation == picture.exif.orientation == (6 if with_exif else 1)


def test_a_broken_chunk_behind_a_png_s_pixels_harms_nothing_else():
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", LIGHTROOM.decode())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = bytearray(moved_behind(encoded(TINY, "PNG", pnginfo=info, exif=exif), b"iTXt"))
    data[data.index(b"IEND") - 5] ^= 1  # its checksum
    assert read_embedded_xmp(bytes(data)).orientation == 6


def test_regions_of_a_heic_apply_to_the_stored_picture_though_its_decoder_turns_it(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(TINY, "HEIF", xmp=LIGHTROOM, exif=exif.tobytes())
    decoded = decode_picture(data)
    assert (decoded.width, decoded.height) == (30, 40)
    picture = read_embedded_xmp(data)
    assert picture.orientation == 6
    frame = Frame(decoded.width, decoded.height, picture.orientation)
    assert places(read_embedded_names(picture, frame)) == {
        "Ann Smith": rounded(orient_area(ANN, 6))
    }


def test_a_picture_without_xmp_has_no_names_and_a_broken_packet_is_one_fault():
    assert read_embedded_xmp(encoded(TINY, "JPEG")).packets == ()
    broken = read_embedded_xmp(encoded(TINY, "JPEG", xmp=b"<x"))
    reading = read_embedded_names(broken, Frame(40, 30))
    assert reading.regions == ()
    assert "damaged" in reading.faults[0]


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<xml/>", encoded(TINY, "JPEG")[:15]])
def test_anything_but_a_picture_is_refused_with_a_reason(data):
    with pytest.raises(NamesError):
        read_embedded_xmp(data)


DIGEST = b"0123456789ABCDEF0123456789ABCDEF"
MAIN = packet(
    f"<xmpNote:HasExtendedXMP>{DIGEST.decode()}</xmpNote:HasExtendedXMP>",
    'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"',
)


def extended(*parts: tuple[bytes, int, bytes], whole: int) -> bytes:
    """A JPEG with extended XMP in these parts: digest, offset, bytes."""
    data = encoded(TINY, "JPEG", xmp=MAIN)
    segments = b""
    for digest, offset, part in parts:
        content = (
            b"http://ns.adobe.com/xmp/extension/\0"
            + digest
            + struct.pack(">II", whole, offset)
            + part
        )
        segments += b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    return data[:2] + segments + data[2:]


def test_extended_xmp_is_put_together():
    half = len(PICASA) // 2
    parts = [
        (DIGEST, half, PICASA[half:]),
        (b"F" * 32, 0, b"another's"),
        (DIGEST, 0, PICASA[:half]),
    ]
    picture = read_embedded_xmp(extended(*parts, whole=len(PICASA)))
    assert picture.packets == (MAIN, PICASA)
    assert places(read_embedded_names(picture, Frame(40, 30))) == {"Ann Smith": ANN}


def test_extended_xmp_that_lacks_a_part_is_left_out():
    half = len(PICASA) // 2
    assert read_embedded_xmp(
        extended((DIGEST, half, PICASA[half:]), whole=len(PICASA))
    ).packets == (MAIN,)
    assert read_embedded_xmp(extended((DIGEST, 0, b"x"), (DIGEST, 9, b"y"), whole=2)).packets == (
        MAIN,
    )


REGION = (
    "{{AppliedToDimensions={{W={w},H={h},Unit=pixel}},RegionList=["
    "{{Area={{X=0.3,Y=0.5,W=0.1,H=0.2,Unit=normalized}},Name=Ann Smith,Type=Face}},"
    "{{Area={{X=0.65,Y=0.5,W=0.1,H=0.2,Unit=normalized}},Name=Bob |& Söhne,Type=Pet}}]}}"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "photo.webp", "photo.xmp"])
def test_what_exiftool_writes_is_read(tmp_path, name):
    path = tmp_path / name
    if name != "photo.xmp":
        Image.new("RGB", (400, 300)).save(path)
    exiftool("-XMP-mwg-rs:RegionInfo=" + REGION.format(w=400, h=300), path)
    data = path.read_bytes()
    reading = (
        xmp_read.read_xmp(data, FRAME)
        if name == "photo.xmp"
        else read_embedded_names(read_embedded_xmp(data), FRAME)
    )
    assert places(reading) == {"Ann Smith": ANN, "Bob & Söhne": BOB}
    assert [it.kind for it in reading.regions] == [FACE, PET]


def test_what_exiftool_writes_for_microsoft_is_read(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (400, 300)).save(path)
    region = "{Regions=[{Rectangle=0.25|, 0.4|, 0.1|, 0.2,PersonDisplayName=Ann Smith}]}"
    exiftool("-XMP-MP:RegionInfoMP=" + region, "-XMP-iptcExt:PersonInImage=Eve", path)
    reading = read_embedded_names(read_embedded_xmp(path.read_bytes()), FRAME)
    assert places(reading) == {"Ann Smith": ANN, "Eve": None}


@pytest.mark.slow
def test_exiftool_reads_the_samples_as_xmp(tmp_path):
    for name in ("LIGHTROOM", "DIGIKAM", "PICASA", "MICROSOFT"):
        path = tmp_path / f"{name}.xmp"
        path.write_bytes(getattr(packets, name))
        assert "Ann Smith" in exiftool("-a", "-struct", "-XMP:all", path)


def test_reading_is_quick_enough_for_each_photo():
    started = time.perf_counter()
    for _ in range(100):
        xmp_read.read_xmp(DIGIKAM, FRAME)
    assert time.perf_counter() - started < 2


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([LIGHTROOM, DIGIKAM, PICASA, MICROSOFT]),
    st.integers(0),
    st.integers(0, 60),
    st.binary(max_size=20),
)
def test_a_damaged_packet_is_read_or_refused_with_a_reason(data, at, cut, put):
    at %= len(data)
    try:
        reading = xmp_read.read_xmp(data[:at] + put + data[at + cut :], FRAME)
    except NamesError:
        return
    for region in reading.regions:
        assert region.name
        if region.area is not None:
            assert 0 <= region.area.x < region.area.x + region.area.width <= 1 + 1e-9
            assert 0 <= region.area.y < region.area.y + region.area.height <= 1 + 1e-9
