"""Names in Google Takeout: those in a photo's JSON, and which JSON is which photo's."""

from __future__ import annotations

import json
import os
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_faces.algorithms.spelling import fold
from datasette_faces.errors import NamesError
from datasette_faces.people.metadata import takeout
from datasette_faces.people.metadata.regions import ParsedNames
from datasette_faces.people.metadata.sidecars import SidecarFinder

pytestmark = pytest.mark.once

PHOTO = {
    "title": "IMG_1.jpg",
    "description": "",
    "creationTime": {"timestamp": "1600000000", "formatted": "13 Sept 2020, 12:26:40 UTC"},
    "photoTakenTime": {"timestamp": "1500000000"},
    "geoData": {"latitude": 0.0, "longitude": 0.0},
    "people": [{"name": "Ann Smith"}, {"name": "Bob"}, {"name": "Ann Smith"}],
}


def read(**changes: object) -> takeout.TakeoutPhoto:
    return takeout.parse_takeout(json.dumps({**PHOTO, **changes}).encode())


def test_people_are_named_once_each_and_without_a_place():
    said = read()
    assert said.title == "IMG_1.jpg"
    assert [(it.name, it.area, it.source) for it in said.names.regions] == [
        ("Ann Smith", None, "takeout"),
        ("Bob", None, "takeout"),
    ]


def test_a_photo_without_people_has_no_names():
    without = {key: value for key, value in PHOTO.items() if key != "people"}
    assert takeout.parse_takeout(json.dumps(without).encode()).names == ParsedNames()


@pytest.mark.parametrize(
    ("people", "fault"),
    [
        ({"name": "Ann"}, "not a list"),
        ([{"name": 7}], "has no name"),
        (["Ann"], "has no name"),
        ([{}], "has no name"),
        ([{"name": "x" * 10_000}], "a name has up to"),
        ([{"name": "bell\x07"}], "control characters"),
        ([{"name": "\ud800"}], "control characters"),
    ],
)
def test_invalid_people_are_left_out_with_a_reason(people, fault):
    reading = read(people=people).names
    assert reading.regions == ()
    assert fault in reading.faults[0]
    reading.faults[0].encode()


def test_an_empty_name_is_left_out():
    assert read(people=[{"name": " "}]).names == ParsedNames()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"people"',
        b"\xff\xfe\xfd",
        b'{"title": "an album", "description": "", "date": {}}',
        b"[" * 100_000,
        b'{"people": ' + b"[" * 100_000,
        b'{"people": ' + b"9" * 10_000 + b"}",
        b" " * (takeout.MAX_BYTES + 1),
    ],
)
def test_anything_but_a_photo_s_json_is_refused_with_a_reason(data):
    with pytest.raises(NamesError, match="JSON") as raised:
        takeout.parse_takeout(data)
    assert len(str(raised.value)) < 200


keys = st.sampled_from(["people", "name", "title", "url"])
simple = st.none() | st.booleans() | st.floats() | st.text()


@pytest.mark.slow
@given(st.recursive(simple, lambda it: st.lists(it) | st.dictionaries(keys, it)))
def test_any_json_is_read_or_refused(said):
    with suppress(NamesError):
        takeout.parse_takeout(json.dumps(said).encode())


def json_of(photo: str, *names: str) -> str | None:
    there = {name.casefold(): name for name in names}
    return takeout.find_json(photo, lambda name: there.get(name.casefold()))


@pytest.mark.parametrize("length", range(len(takeout.SUPPLEMENT) + 1))
@pytest.mark.parametrize("number", ["", "(3)"])
def test_the_supplement_is_found_wherever_it_was_cut_off(length, number):
    said = f"IMG_1.jpg{takeout.SUPPLEMENT[:length]}{number}.json"
    assert json_of(f"IMG_1{number}.jpg", said) == said


def test_a_name_that_is_composed_otherwise_is_cut_off_where_its_title_was():
    title = "Jose\u0301 " * 9 + ".jpg"
    cut = unicodedata.normalize("NFC", title[: takeout.MAX_STEM]) + ".json"
    for form in ("NFC", "NFD"):
        assert json_of(unicodedata.normalize(form, title), cut) == cut
    assert len(cut) < takeout.MAX_STEM


LONG = "Urlaub in Knaufspesch in der Schneifel (38)"


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        # As it was until 2024
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
        (f"{LONG}.JPG", f"{LONG}.JP.json"),
        # And since then (ente#4956, memories#1559)
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
        (
            "Screenshot_2017-07-05-10-05-26.png",
            "Screenshot_2017-07-05-10-05-26.png.supplementa.json",
        ),
        (
            "D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg",
            "D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg.supp.json",
        ),
        (
            "Screenshot_20220207_102421_com.snapchat.android.jpg",
            "Screenshot_20220207_102421_com.snapchat.androi.json",
        ),
        ("img(18).jpg", "img.jpg.supplemental-metadata(18).json"),
        # Edited copies, and titles without an ending (immich-go#674)
        ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        ("IMG_1-edited(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1-bearbeitet.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG(1)-edited.jpg", "IMG.jpg(1).json"),
        ("IMG(1)-edited.jpg", "IMG(1).jpg.json"),
        ("IMG-edited(1).jpg", "IMG.jpg.supplemental-metadata(1).json"),
        ("IMG_1-EDITED.JPG", "IMG_1.JPG.json"),
        ("IMG_1-EFFECTS.jpg", "IMG_1.jpg.json"),
        ("IMG_1-EFFECTS(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1-EFFECTS-edited.jpg", "IMG_1.jpg.json"),
        ("IMG_1-ANIMATION.gif", "IMG_1.gif.json"),
        ("IMG_1-COLLAGE.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1-modifi\u00e9.jpg", "IMG_1.jpg.json"),
        ("IMG_1-modifie\u0301.jpg", "IMG_1.jpg.json"),
        ("IMG_1-ha editado.jpg", "IMG_1.jpg.json"),
        ("IMG_1-redigeret.jpg", "IMG_1.jpg.json"),
        ("IMG_1-muokattu.jpg", "IMG_1.jpg.json"),
        ("IMG_1-編集済み.jpg", "IMG_1.jpg.json"),
        ("IMG_1-已修改.jpg", "IMG_1.jpg.json"),
        ("IMG_1-수정됨.jpg", "IMG_1.jpg.json"),
        ("IMG_1-изменено.jpg", "IMG_1.jpg.json"),
        # The suffix cut off with the name
        (
            "Screenshot_2017-07-05-10-05-26-example.com-edit.jpg",
            "Screenshot_2017-07-05-10-05-26-example.com.jpg.json",
        ),
        (
            "Screenshot_2017-07-05-10-05-26-example.com-edi(1).jpg",
            "Screenshot_2017-07-05-10-05-26-example.com.jpg(1).json",
        ),
        # A HEIC and its JPEG, with one JSON
        ("IMG_1.jpg", "IMG_1.HEIC.json"),
        ("IMG_1.HEIC", "IMG_1.JPG.supplemental-metadata.json"),
        ("IMG_1-edited.jpg", "IMG_1.HEIC.supplemental-metadata.json"),
        ("IMG_1(1).jpg", "IMG_1.HEIC(1).json"),
        ("Peanut Butter Balls.jpg", "Peanut Butter Balls.supplemental-metadata.json"),
        ("IMG.JPG", "img.jpg.json"),
    ],
)
def test_a_photo_s_json_is_found(photo, said):
    assert json_of(photo, said, "metadata.json", photo) == said


@pytest.mark.parametrize(
    ("photo", "there"),
    [
        ("IMG_1.jpg", "IMG_10.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1.jpg", "IMG_1.png.json"),
        ("IMG_1-edited.jpg", "IMG_10.jpg.json"),
        ("IMG_1-edi.jpg", "IMG_1.jpg.json"),
        ("IMG_1-Ann.jpg", "IMG_1.jpg.json"),
        ("-edited.jpg", ".jpg.json"),
        ("IMG(1)-edited.jpg", "IMG.jpg.json"),
        ("IMG(1)-edited.jpg", "IMG.jpg(2).json"),
        ("IMG_1.png", "IMG_1.HEIC.json"),
        ("metadata.jpg", "metadata.jpeg.json"),
    ],
)
def test_another_photo_s_json_is_not_taken(photo, there):
    assert json_of(photo, there) is None


def test_the_photo_s_own_json_comes_before_others():
    names = ["IMG_1.jpg.json", "IMG_1.json", "IMG_1-edited.jpg.json"]
    assert json_of("IMG_1.jpg", *names) == "IMG_1.jpg.json"
    assert json_of("IMG_1-edited.jpg", *names) == "IMG_1-edited.jpg.json"


@pytest.mark.parametrize("photo", ["family-smile.jpg", "family-mix.jpg", "family-Hdr.jpg",
                                   "family-pano(1).jpg", "family-collage-edited.jpg"])  # fmt: skip
def test_a_photo_that_is_called_as_google_s_effects_are_is_one_of_its_own(photo):
    there = {"family.jpg.json", "family.jpg(1).json"}
    assert takeout.find_json(photo, lambda name: name if name in there else None) is None


@pytest.mark.parametrize(
    ("photo", "own"),
    [("IMG_1.jpg", "IMG_1.jpg.json"), ("img_1.JPG", "IMG_1.jpg.json"),
     ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
     ("IMG_1-bearbeitet(3).jpg", "IMG_1.jpg(3).json"), ("x-EFFECTS.jpg", "x.jpg.json"),
     ("a-edited.heic", "a.JPG.supplemental-me.json"),
     *(("각" * 30 + ".jpg", unicodedata.normalize(it, ("각" * 30 + ".jpg.supplemental"))[:46] + ".json")
       for it in ("NFC", "NFD"))],
)  # fmt: skip
def test_a_folder_s_listing_tells_which_photos_have_a_json(tmp_path, photo, own):
    for name in (photo, own, "other.jpg", "unlike.jpg.json"):
        (tmp_path / name).write_bytes(b"")
    finder = SidecarFinder()
    expected = takeout.find_json(photo, lambda name: own if fold(name) == fold(own) else None)
    found = [os.path.basename(it.path) for it in finder.find(str(tmp_path / photo))]
    assert found == ([expected] if expected else [])
    assert not finder.find(str(tmp_path / "other.jpg"))
