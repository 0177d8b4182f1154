"""Pictures are printed by OpenCV where it is installed, and not a byte tells whether they were."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasette_faces.errors import PictureError
from datasette_faces.media import jpeg_opencv, redact
from datasette_faces.media.redact import CROP, THUMBNAIL, Look, by_pillow, reprint

pytestmark = pytest.mark.once

needs_opencv = pytest.mark.skipif(jpeg_opencv.opencv() is None, reason="OpenCV is not installed")


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    redact._quick_agrees.cache_clear()
    yield
    redact._quick_agrees.cache_clear()


def picture(width: int, height: int, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Something with edges and slopes, as photographs have."""
    few = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), np.uint8)
    return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 82, **options})
    return out.getvalue()


@needs_opencv
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    width=st.integers(1, 1300),
    height=st.integers(1, 700),
    long_px=st.sampled_from([CROP.long_px, THUMBNAIL.long_px]),
    quality=st.integers(20, 95),
    options=st.sampled_from([{}, {"optimize": True}, {"subsampling": 0}, {"subsampling": 1}]),
)
def test_opencv_prints_what_pillow_prints(width, height, long_px, quality, options):
    data, look = jpeg(picture(width, height), **options), Look(long_px, quality)
    assert reprint(data, look) == by_pillow(data, look)


@needs_opencv
@pytest.mark.parametrize(
    ("size", "long_px"),
    [
        ((160, 160), 160),
        ((640, 427), 320),
        ((427, 640), 320),
        ((1280, 853), 160),
    ],
)
def test_what_ingest_stores_is_printed_by_opencv(size, long_px):
    data = jpeg(picture(*size), optimize=True)
    quick = jpeg_opencv.reprint(data, long_px, 50)
    assert quick == by_pillow(data, Look(long_px, 50))
    assert quick == reprint(data, Look(long_px, 50))


@needs_opencv
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xd8\xff", id="a beginning"),
        pytest.param(b"GIF89a" + bytes(50), id="no JPEG"),
        pytest.param(jpeg(picture(90, 60))[:-200], id="cut off"),
        pytest.param(jpeg(picture(90, 60, mode="L")), id="grey"),
        pytest.param(jpeg(picture(90, 60, mode="CMYK")), id="four colours"),
        pytest.param(jpeg(picture(90, 60), progressive=True), id="progressive"),
        pytest.param(jpeg(picture(90, 60), comment=b"words"), id="with more in it"),
        pytest.param(jpeg(picture(500, 60)), id="no scale gives that size"),
    ],
)
def test_the_rest_is_left_to_pillow(data):
    assert jpeg_opencv.reprint(data, 160, 50) is None


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_become_rgb(mode):
    printed = Image.open(io.BytesIO(reprint(jpeg(picture(90, 60, mode=mode)), CROP)))
    assert (printed.mode, printed.size) == ("RGB", (90, 60))


def test_a_picture_that_is_cut_off_is_an_error():
    with pytest.raises(PictureError):
        reprint(jpeg(picture(90, 60))[:40], CROP)


def either(printed: Callable[[bytes, Look], bytes], data: bytes) -> bytes | None:
    """What is printed; None for an error."""
    try:
        return printed(data, CROP)
    except PictureError:
        return None


@needs_opencv
@settings(max_examples=300, deadline=None)
@given(
    place=st.integers(20, 2500),
    put=st.one_of(
        st.binary(min_size=1, max_size=3),
        st.sampled_from(
            [b"\xff\xd8", b"\xff\xd9", b"\xff\xd0", b"\xff\xc0", b"\xff\xda", b"\xff\xfe"]
        ),
    ),
    instead=st.booleans(),
)
def test_a_damaged_picture_shows_the_same_in_both_or_is_an_error_in_both(place, put, instead):
    whole = jpeg(picture(160, 120))
    data = whole[:place] + put + whole[place + len(put) * instead :]
    assert either(reprint, data) == either(by_pillow, data)


@pytest.mark.parametrize("data", [5, "text", None])
def test_what_is_no_bytes_is_no_picture(data):
    assert jpeg_opencv.reprint(data, 160, 50) is None


def test_an_opencv_that_is_too_old_or_only_a_folder_is_none(monkeypatch):
    jpeg_opencv.opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    assert jpeg_opencv.opencv() is None
    jpeg_opencv.opencv.cache_clear()


def test_metadata_is_left_behind():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Secret Maker", 6
    data = jpeg(
        picture(160, 120), exif=exif, comment=b"Secret words", icc_profile=b"Secret profile"
    )
    printed = reprint(data, CROP)
    assert b"Secret" in data
    assert b"Secret" not in printed
    assert Image.open(io.BytesIO(printed)).size == (160, 120)


def test_without_opencv_the_bytes_are_the_same(monkeypatch):
    data = jpeg(picture(640, 427), optimize=True)
    found = reprint(data, THUMBNAIL)
    redact._quick_agrees.cache_clear()
    monkeypatch.setattr(jpeg_opencv, "opencv", lambda: None)
    monkeypatch.setattr(jpeg_opencv, "_reprint", None)
    assert reprint(data, THUMBNAIL) == found


@needs_opencv
def test_an_opencv_with_another_libjpeg_is_not_used(monkeypatch):
    own = jpeg_opencv._reprint
    monkeypatch.setattr(
        jpeg_opencv,
        "_reprint",
        lambda cv2, data, scale, quality: own(cv2, data, scale, quality - 1),
    )
    data = jpeg(picture(160, 160), optimize=True)
    assert reprint(data, CROP) == by_pillow(data, CROP)
