"""Names that Picasa wrote into its inis: each is read in its place, and hostile files are refused."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_names_xmp import places, rounded

from datasette_faces.errors import NamesError
from datasette_faces.people.metadata import picasa
from datasette_faces.people.metadata.regions import Frame, orient_area
from datasette_faces.shapes import Area

pytestmark = pytest.mark.once

FRAME = Frame(400, 300)
INI = """[Picasa]
name=Harbour

[Contacts2]
8e62398ebda8c1a5=Ann Smith;ann@example.org;
00b0b=Bob;;

[IMG_1.jpg]
star=yes
faces=rect64(40006666599a9999),8e62398ebda8c1a5;rect64(99996666b3339999),b0b
rotate=rotate(0)
[IMG_2.jpg]
faces=rect64(40006666599a9999),ffffffffffffffff;rect64(3333333),8e62398ebda8c1a5
[IMG_3.jpg]
filters=crop64=1,0
"""
ANN = Area(0.25, 0.4, 0.1, 0.2)
BOB = Area(0.6, 0.4, 0.1, 0.2)


def near(place: Area | None) -> Area | None:
    """To the four digits that 16 bits hold."""
    return place and Area(*(round(it, 4) for it in (place.x, place.y, place.width, place.height)))


def read(ini: str | bytes, name: str = "IMG_1.jpg", frame: Frame = FRAME, **contacts: str):
    data = ini.encode() if isinstance(ini, str) else ini
    known = {int(key, 16): value for key, value in contacts.items()}
    return picasa.read_picasa_names(picasa.parse_ini(data), name, frame, known)


def test_faces_have_the_names_of_their_contacts():
    reading = read(INI)
    assert {name: near(place) for name, place in places(reading).items()} == {
        "Ann Smith": ANN,
        "Bob": BOB,
    }
    assert {(it.source, it.kind) for it in reading.regions} == {("picasa", "face")}
    assert reading.faults == ()


@pytest.mark.parametrize(
    "ini", ["\ufeff" + INI, INI.replace("\n", "\r\n"), INI.replace("IMG_1", "img_1")]
)
def test_bom_line_ends_and_the_case_of_file_names_make_no_difference(ini):
    assert len(read(ini).regions) == 2


def test_a_face_without_a_name_is_left_out_and_leading_zeros_may_be_missing():
    (region,) = read(INI, "IMG_2.jpg").regions
    # 0000 0000 0333 3333: left, top, right, bottom
    assert near(region.area) == Area(0, 0, 0.0125, 0.2)


@pytest.mark.parametrize("name", ["IMG_3.jpg", "IMG_4.jpg", "Picasa", "Contacts2"])
def test_a_file_without_faces_has_no_names(name):
    assert read(INI, name).regions == ()


def test_names_come_from_contacts_xml_too_and_those_of_the_ini_win():
    contacts = picasa.parse_contacts(
        '<?xml version="1.0" encoding="utf-8" ?><contacts><contact id="8e62398ebda8c1a5" '
        'name="Another" modified_time="2011"/><contact id="c" name="Jürgen &amp; Co"/>'
        '<contact name="x"/></contacts>'.encode()
    )
    assert contacts == {0x8E62398EBDA8C1A5: "Another", 0xC: "Jürgen & Co"}
    folder = picasa.parse_ini(INI.replace("),b0b", "),000c").encode())
    reading = picasa.read_picasa_names(folder, "IMG_1.jpg", FRAME, contacts)
    assert set(places(reading)) == {"Ann Smith", "Jürgen & Co"}


def test_a_rectangle_applies_to_the_stored_picture():
    turned_frame = Frame(300, 400, orientation=6)
    (ann, _) = read(INI, frame=turned_frame).regions
    assert near(ann.area) == near(rounded(orient_area(ANN, 6)))


@pytest.mark.parametrize(
    ("faces", "fault"),
    [
        ("rect64(40006666599a9999),abc", "contact abc has no name"),
        ("rect64(),8e62398ebda8c1a5", "not a face as Picasa writes it"),
        ("rect64(40006666599a99990),8e62398ebda8c1a5", "not a face as Picasa writes it"),
        ("rect64(0),8e62398ebda8c1a5", "Ann Smith: its box has no size"),
        ("rect64(599a999940006666),8e62398ebda8c1a5", "Ann Smith: its box has no size"),
        ("nonsense", "not a face as Picasa writes it"),
        ("x" * 100_000, "not a face as Picasa writes it"),
    ],
)
def test_an_invalid_face_is_left_out_with_a_reason(faces, fault):
    bob = "rect64(99996666b3339999),b0b"
    reading = read(f"{INI}[bad.jpg]\nfaces={faces};{bob}\n", "bad.jpg")
    assert list(places(reading)) == ["Bob"]
    assert fault in reading.faults[0]
    assert len(reading.faults[0]) < 200


@pytest.mark.parametrize("name", ["x" * 10_000, "bell\x07"])
def test_an_invalid_name_of_a_contact_is_a_fault(name):
    assert "a name " in read(INI.replace("Ann Smith", name)).faults[0]


@pytest.mark.parametrize("data", [b"\0" * 50, b"x" * (picasa.MAX_BYTES + 1), b"MZ\x90\0"])
def test_anything_but_an_ini_is_refused_with_a_reason(data):
    with pytest.raises(NamesError, match=r"\.picasa\.ini"):
        picasa.parse_ini(data)


@pytest.mark.parametrize("data", [b"", b"<a/>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><contacts/>"])
def test_anything_but_contacts_xml_is_refused_with_a_reason(data):
    with pytest.raises(NamesError):
        picasa.parse_contacts(data)


def test_an_ini_in_a_western_european_code_page_is_read():
    assert "Jörg" in places(read(INI.replace("Bob", "Jörg").encode("cp1252")))


def test_a_folder_of_a_hundred_thousand_photos_is_read_in_a_second_or_two():
    many = INI + "".join(
        f"[P{number}.jpg]\nfaces=rect64(40006666599a9999),b0b\n" for number in range(100_000)
    )
    started = time.process_time()
    assert len(read(many, "P99999.jpg").regions) == 1
    assert time.process_time() - started < 5


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0))
def test_any_bytes_in_an_ini_are_read_or_refused(junk, at):
    data = INI.encode()
    at %= len(data)
    with suppress(NamesError):
        read(data[:at] + junk + data[at:])
