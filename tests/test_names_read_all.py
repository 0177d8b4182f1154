"""All names in a photo, from every source: each face once, and every fault with its file's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packets import DIGIKAM, LIGHTROOM, MICROSOFT, area, mwg
from pictures import encoded
from PIL import Image
from test_names_picasa import INI
from test_names_xmp import ANN, BOB, FRAME, places

from datasette_faces.people.metadata.embedded import read_embedded_xmp
from datasette_faces.people.metadata.read_all import NameReader
from datasette_faces.people.metadata.regions import ParsedNames

pytestmark = pytest.mark.once

TAKEOUT = {"title": "IMG_1.jpg", "people": [{"name": "Bob"}, {"name": "Zoe"}]}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "IMG_1.jpg"
    path.write_bytes(encoded(Image.new("RGB", (400, 300)), "JPEG", xmp=MICROSOFT))
    return path


def read(photo: Path, names: NameReader | None = None) -> ParsedNames:
    return (names or NameReader()).read(str(photo), FRAME, read_embedded_xmp(photo.read_bytes()))


def test_a_photo_alone_gives_the_names_in_it(photo):
    assert places(read(photo)) == {"Ann Smith": ANN, "Carl": None}


def test_every_source_adds_what_earlier_ones_lack(photo):
    folder = photo.parent
    (folder / "IMG_1.jpg.xmp").write_bytes(mwg(("Anna", area(0.25, 0.4, 0.1, 0.2), "Face")))
    (folder / ".picasa.ini").write_text(INI)
    (folder / "IMG_1.jpg.json").write_text(json.dumps(TAKEOUT))
    reading = read(photo)
    assert [(it.name, it.source) for it in reading.regions] == [
        ("Anna", "mwg"),
        ("Bob", "picasa"),
        ("Carl", "microsoft"),
        ("Zoe", "takeout"),
    ]
    assert reading.faults == ()


def test_a_file_that_cannot_be_read_is_one_fault_and_the_others_are_read(photo):
    folder = photo.parent
    (folder / "IMG_1.jpg.xmp").write_bytes(b"<!DOCTYPE x><x/>")
    (folder / "IMG_1.xmp").write_bytes(DIGIKAM)
    (folder / ".picasa.ini").write_bytes(b"\0\0")
    (folder / "contacts.xml").write_bytes(b"<contacts>")
    (folder / "IMG_1.jpg.json").write_bytes(b"{")
    reading = read(photo)
    assert {"Ann Smith": ANN, "Bob": BOB}.items() <= places(reading).items()
    assert [fault.split(": ")[0] for fault in reading.faults] == [
        "IMG_1.jpg.xmp",
        ".picasa.ini",
        "IMG_1.jpg.json",
        "contacts.xml",
    ]


def test_an_ini_is_read_once_for_a_folder(photo):
    ini = photo.parent / ".picasa.ini"
    ini.write_text(INI)
    names = NameReader()
    first = read(photo, names)
    ini.unlink()
    assert read(photo, names) == first
    assert "Bob" in places(first)


def test_contacts_next_to_the_ini_give_the_names_it_lacks(photo):
    (photo.parent / ".picasa.ini").write_text(INI.replace("00b0b=Bob", "1=Bob"))
    (photo.parent / "contacts.xml").write_text(
        '<contacts><contact id="b0b" name="Bob"/></contacts>'
    )
    assert "Bob" in places(read(photo))


def test_photos_whose_names_differ_in_case_have_sidecars_of_their_own(tmp_path):
    for name in ("a.jpg", "A.JPG"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system knows no case")
    (tmp_path / "a.jpg.xmp").write_bytes(LIGHTROOM)
    names = NameReader()
    assert places(names.read(str(tmp_path / "a.jpg"), FRAME)) == {"Ann Smith": ANN}
    assert places(names.read(str(tmp_path / "A.JPG"), FRAME)) == {}
    assert names.sidecars.choose_path(str(tmp_path / "A.JPG")) == str(tmp_path / "A.JPG.xmp")
    assert names.sidecars.choose_path(str(tmp_path / "a.jpg")) == str(tmp_path / "a.jpg.xmp")
