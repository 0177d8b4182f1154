"""Dates, cameras and positions, as cameras write them, valid or not."""

from __future__ import annotations

import pytest
from pictures import with_exif
from PIL import Image

from datasette_faces.media.decode import decode_picture
from datasette_faces.media.exif import Exif

pytestmark = pytest.mark.once

TINY = Image.new("RGB", (8, 8))
MAKE, MODEL, DATE_TIME = 0x010F, 0x0110, 0x0132
ORIGINAL, DIGITIZED, OFFSET, OFFSET_ORIGINAL = 0x9003, 0x9004, 0x9010, 0x9011
SUBSECOND, SUBSECOND_ORIGINAL = 0x9290, 0x9291
NOON = "2019:07:14 12:34:56"


def read(tags: dict | None = None, **directories: dict) -> Exif:
    return decode_picture(with_exif(TINY, tags or {}, **directories)).exif


@pytest.mark.parametrize(
    ("details", "taken_at"),
    [
        ({ORIGINAL: NOON}, "2019-07-14T12:34:56"),
        ({ORIGINAL: NOON, SUBSECOND_ORIGINAL: "07"}, "2019-07-14T12:34:56.07"),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "+02:00"}, "2019-07-14T12:34:56+02:00"),
        (
            {ORIGINAL: NOON, SUBSECOND_ORIGINAL: "123", OFFSET_ORIGINAL: "-09:30"},
            "2019-07-14T12:34:56.123-09:30",
        ),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "Z"}, "2019-07-14T12:34:56Z"),
        ({ORIGINAL: NOON, SUBSECOND_ORIGINAL: "  "}, "2019-07-14T12:34:56"),
        ({ORIGINAL: NOON, SUBSECOND_ORIGINAL: "5\0"}, "2019-07-14T12:34:56.5"),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "summer"}, "2019-07-14T12:34:56"),
        ({ORIGINAL: NOON, SUBSECOND: "9", OFFSET: "+01:00"}, "2019-07-14T12:34:56"),
        ({ORIGINAL: "2019-07-14T12:34:56"}, "2019-07-14T12:34:56"),
        ({DIGITIZED: NOON}, "2019-07-14T12:34:56"),
    ],
)
def test_the_date_is_iso_8601_with_what_the_camera_gave(details, taken_at):
    assert read(Exif=details).taken_at == taken_at


def test_the_moment_of_exposure_goes_before_the_moment_of_saving():
    assert (
        read({DATE_TIME: "2024:01:01 00:00:00"}, Exif={ORIGINAL: NOON}).taken_at
        == "2019-07-14T12:34:56"
    )


def test_the_moment_of_saving_serves_where_there_is_no_other():
    assert read({DATE_TIME: NOON}, Exif={SUBSECOND: "5", OFFSET: "+01:00"}).taken_at == (
        "2019-07-14T12:34:56.5+01:00"
    )
    assert (
        read({DATE_TIME: NOON}, Exif={ORIGINAL: "0000:00:00 00:00:00"}).taken_at
        == "2019-07-14T12:34:56"
    )


@pytest.mark.parametrize(
    "date",
    ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "2019:13:01 00:00:00", "2019:01:32 00:00:00",
     "2019:01:01 24:00:00", "2019:01:01 23:60:00", "2019:02:30 10:00:00", "yesterday"],
)  # fmt: skip
def test_an_impossible_date_is_left_out(date):
    assert read(Exif={ORIGINAL: date}).taken_at is None


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("Apple\0\0", " iPhone 12 ", "Apple iPhone 12"),
        ("", "X100", "X100"),
        ("Leica", "", "Leica"),
        ("", "", None),
    ],
)
def test_the_camera_is_maker_and_model_as_one_name(make, model, camera):
    assert read({MAKE: make, MODEL: model}).camera == camera


@pytest.mark.parametrize(
    ("gps", "position"),
    [
        ({1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.0, 30.0)}, (51.5, -0.125)),
        ({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 36.0)}, (-33.86, 151.21)),
        ({1: "S\0", 2: (33.5, 0.0, 0.0), 3: "E", 4: (151.0, 0.0, 0.0)}, (-33.5, 151.0)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)}, (0.0, 10.0)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (0.0, 1.0, 0.0)}, (None, None)),
        ({1: "N", 2: (51.0, 30.0, 0.0)}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_the_position_is_in_degrees_north_and_east(gps, position):
    exif = read(GPSInfo=gps)
    assert (exif.latitude, exif.longitude) == pytest.approx(position)


def test_a_picture_without_exif_has_no_facts():
    assert read() == Exif(orientation=1)


def test_facts_of_a_png_and_a_tiff_are_read_too():
    from pictures import encoded

    exif = Image.Exif()
    exif[MODEL] = "X100"
    for file_format in ("PNG", "TIFF", "WEBP"):
        assert decode_picture(encoded(TINY, file_format, exif=exif)).exif.camera == "X100"
