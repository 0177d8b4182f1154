"""Dates, cameras and positions, as cameras write them, valid or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import with_exif
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from datasette_faces.media.dates import parse_date
from datasette_faces.media.decode import decode_picture
from datasette_faces.media.exif import Exif
from datasette_faces.media.positions import LATITUDE, parse_degrees, read_degrees

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


def test_a_date_in_the_first_directory_is_read_as_scanners_write_it():
    tags = {ORIGINAL: "1968:07:04", DATE_TIME: "2024:01:01 00:00:00"}
    assert read(tags).taken_at == "1968-07-04"
    assert read(tags, Exif={ORIGINAL: NOON}).taken_at == "2019-07-14T12:34:56"


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
     "2019:01:01 25:00:00", "2019:01:01 23:60:00", "2019:02:30 10:00:00", "yesterday",
     "2019:01:01 10:00:61", "2019:13", "2019:13:00", "0001:01:01 00:00:00", "19:01:14", "98-07-14",
     "14/01/2025", "1736812800", "2025:011:14", "20250230", "2025 was a good year"],
)  # fmt: skip
def test_an_impossible_date_is_left_out(date):
    assert read(Exif={ORIGINAL: date}).taken_at is None
    assert parse_date(date) is None


@pytest.mark.parametrize(
    ("written", "taken_at"),
    [
        # Parts that are missing, left blank, or 0
        ("2025", "2025"), ("2025:01", "2025-01"), ("2025:00:00", "2025"), ("2025:01:00", "2025-01"),
        ("2025:00:14", "2025"), ("2025:00:00 00:00:00", "2025"), ("2025:01:00 12:00:00", "2025-01"),
        ("2025:  :     :  :  ", "2025"), ("2025:01:     :  :  ", "2025-01"), ("2025:01:14", "2025-01-14"),
        ("2025:01:14   :  :  ", "2025-01-14"), ("2025:01:14 12:34", "2025-01-14T12:34"),
        ("2025:01:14 12:34:  ", "2025-01-14T12:34"), ("20250000", "2025"), ("20250100", "2025-01"),
        # Other separators, and one digit
        ("2025-01-14", "2025-01-14"), ("2025/01/14", "2025-01-14"), ("2025.01.14", "2025-01-14"),
        ("2025 01 14", "2025-01-14"), ("2025. 1. 14.", "2025-01-14"), ("2025-1-4", "2025-01-04"),
        ("2025:1:4 5:6:7", "2025-01-04T05:06:07"), ("2025 01 14 12:34:56", "2025-01-14T12:34:56"),
        ("2025:01:14:12:34:56", "2025-01-14T12:34:56"), ("2025.01.14 12.34.56", "2025-01-14T12:34:56"),
        ("20250114", "2025-01-14"), ("20250114T123456", "2025-01-14T12:34:56"),
        ("20250114123456", "2025-01-14T12:34:56"),
        # A time and a month are no day
        ("2025:01 12:34:56", "2025-01"),
        # Hours and seconds beyond the clock, and clocks of twelve hours
        ("2025:01:14 24:00:00", "2025-01-14"), ("2025:01:14 24:12:30", "2025-01-14"),
        ("2016:12:31 23:59:60", "2016-12-31T23:59"), ("2025:01:14 02:34:56 PM", "2025-01-14T14:34:56"),
        ("2025:01:14 12:04 a.m.", "2025-01-14T00:04"),
        # Subseconds and offsets inside
        ("2025:01:14 12:34:56.789", "2025-01-14T12:34:56.789"),
        ("2025:01:14 12:34:56,5+02:00", "2025-01-14T12:34:56.5+02:00"),
        ("2025-01-14T12:34:56Z", "2025-01-14T12:34:56Z"),
        ("2025-01-14T12:34-0400", "2025-01-14T12:34-04:00"),
        ("2025:01:14 12:34:56 +02", "2025-01-14T12:34:56+02:00"),
        ("2025:01:14 12:34:56+99:00", "2025-01-14T12:34:56"),
        # What stands around
        (" 2025:01:14 12:34:56 \0\0", "2025-01-14T12:34:56"), ("2025:01:14\0", "2025-01-14"),
        ("2025:01:14 12:34:56 or so", "2025-01-14T12:34:56"), ("2025:01:14 noon", "2025-01-14"),
    ],
)  # fmt: skip
def test_a_date_says_as_much_as_was_written_and_no_more(written, taken_at):
    assert read(Exif={ORIGINAL: written}).taken_at == taken_at


@pytest.mark.parametrize(
    ("details", "taken_at"),
    [
        (
            {ORIGINAL: "2025:01:14", SUBSECOND_ORIGINAL: "5", OFFSET_ORIGINAL: "+02:00"},
            "2025-01-14",
        ),
        (
            {ORIGINAL: "2025:01:14 12:34", SUBSECOND_ORIGINAL: "5", OFFSET_ORIGINAL: "+02:00"},
            "2025-01-14T12:34+02:00",
        ),
        (
            {
                ORIGINAL: "2025:01:14 12:34:56.7Z",
                SUBSECOND_ORIGINAL: "5",
                OFFSET_ORIGINAL: "+02:00",
            },
            "2025-01-14T12:34:56.7Z",
        ),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "+0200\0"}, "2019-07-14T12:34:56+02:00"),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "-3:30"}, "2019-07-14T12:34:56-03:30"),
        ({ORIGINAL: NOON, OFFSET_ORIGINAL: "+15:00"}, "2019-07-14T12:34:56"),
        ({ORIGINAL: "yesterday", DIGITIZED: "2025:01"}, "2025-01"),
    ],
)
def test_subseconds_and_offset_are_added_to_a_time_only(details, taken_at):
    assert read(Exif=details).taken_at == taken_at


@given(st.text(st.sampled_from("0123456789:-/. TZ+apm\0"), max_size=24) | st.text(max_size=12))
def test_any_text_is_a_date_that_sqlite_reads_or_none(written):
    taken_at = parse_date(written, subseconds="5", offset="+02:00")
    if taken_at is not None:
        assert date.fromisoformat(f"{taken_at[:10]}{'0000-01-01'[len(taken_at[:10]) :]}")
        if len(taken_at) > 10:
            with closing(sqlite3.connect(":memory:")) as conn:
                assert conn.execute("select datetime(?)", [taken_at]).fetchone()[0]


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
        ({1: "South", 2: (34.0, 36.0, 0.0), 3: "West", 4: (58.0, 22.0, 0.0)}, (-34.6, -58.3666667)),
        ({1: "s", 2: (34.0, 36.0, 0.0), 3: " EAST\0", 4: (58.0, 22.0, 0.0)}, (-34.6, 58.3666667)),
        ({1: "S", 2: (34.6, 0.0, 0.0), 3: "W", 4: (58.0, 22.5, 0.0)}, (-34.6, -58.375)),
        # Without a reference, or with one that may mean another direction
        ({2: (34.0, 36.0, 0.0), 4: (58.0, 22.0, 0.0)}, (None, None)),
        ({1: "S", 2: (34.0, 36.0, 0.0), 4: (58.0, 22.0, 0.0)}, (None, None)),
        ({1: "S", 2: (34.0, 36.0, 0.0), 3: "O", 4: (58.0, 22.0, 0.0)}, (None, None)),
        ({1: "W", 2: (34.0, 36.0, 0.0), 3: "S", 4: (58.0, 22.0, 0.0)}, (None, None)),
        # The same said twice, and numbers that no clock face has
        ({1: "S", 2: (34.6, 36.0, 0.0), 3: "W", 4: (58.0, 22.0, 0.0)}, (None, None)),
        ({1: "S", 2: (34.0, 96.0, 0.0), 3: "W", 4: (58.0, 22.0, 0.0)}, (None, None)),
        ({1: "S", 2: (34.0, 36.0, 0.0), 3: "W", 4: (180.0, 22.0, 0.0)}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_the_position_is_in_degrees_north_and_east(gps, position):
    exif = read(GPSInfo=gps)
    assert (exif.latitude, exif.longitude) == pytest.approx(position)


UNKNOWN = IFDRational(0, 0)


@pytest.mark.parametrize(
    ("parts", "reference", "degrees"),
    [
        ((34, 36, UNKNOWN), "S", -34.6),
        ((34.6, UNKNOWN, UNKNOWN), "S", -34.6),
        ((34, UNKNOWN, UNKNOWN), "S", None),
        ((34, UNKNOWN, 36), "S", None),
        ((UNKNOWN,) * 3, "S", None),
        ((34, IFDRational(36, 0), 0), "S", None),
        ((-34, 36, 0), "S", -34.6),
        ((-34, 36, 0), "N", None),
        ((34, 36.5, 30), "S", None),
        ((34, -36, 0), "S", None),
        ((34.6,), "S", -34.6),
        ((1, 2, 3, 4), "S", None),
        ((float("nan"), 0, 0), "S", None),
        ((None,), "S", None),
        ((), "S", None),
    ],
)
def test_degrees_are_read_where_they_are_certain(parts, reference, degrees):
    assert read_degrees(parts, LATITUDE, reference=reference) == degrees


@pytest.mark.parametrize(
    ("written", "degrees"),
    [("34,36.0S", -34.6), ("34,36,0S", -34.6), ("34.6 South", -34.6), ("-34,36.0S", -34.6),
     ("34\u00b036'0\"n", 34.6), ("0,30S", -0.5), ("34,36", None), ("34.6", None), ("-34.6N", None),
     ("34,36E", None), ("91,0N", None), ("34,36.5,30S", None), ("S34", None), ("", None)],
)  # fmt: skip
def test_degrees_in_a_text_need_a_direction(written, degrees):
    assert parse_degrees(written, LATITUDE) == degrees


def test_a_picture_without_exif_has_no_facts():
    assert read() == Exif(orientation=1)


def test_facts_of_a_png_and_a_tiff_are_read_too():
    from pictures import encoded

    exif = Image.Exif()
    exif[MODEL] = "X100"
    for file_format in ("PNG", "TIFF", "WEBP"):
        assert decode_picture(encoded(TINY, file_format, exif=exif)).exif.camera == "X100"


@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10"])
def test_digits_of_other_scripts_are_no_date(zero):
    other = {ord("0") + digit: chr(ord(zero) + digit) for digit in range(10)}
    for written in ("2025:01:14 10:20:30", "20250114"):
        assert parse_date(written) is not None
        assert parse_date(written.translate(other)) is None
    assert parse_date("2025:01:14 10:20" + "+02:00".translate(other)) == "2025-01-14T10:20"


def test_blanks_of_any_kind_part_a_date_from_its_time():
    assert parse_date("2025-01-14\u00a03:45\u202fPM") == "2025-01-14T15:45"
