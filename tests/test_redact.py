"""OpenCV encodes pictures where it is installed, with the same bytes as Pillow."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasette_faces.errors import PictureError
from datasette_faces.media import jpeg_opencv
from datasette_faces.media.redact import (
    CROP,
    THUMBNAIL,
    JpegSpec,
    redact_picture,
    redact_with_pillow,
)

pytestmark = pytest.mark.once

needs_opencv = pytest.mark.skipif(
    jpeg_opencv.load_opencv() is None, reason="OpenCV is not installed"
)


def picture(width: int, height: int, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Something with edges and slopes, as photographs have."""
    few = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), np.uint8)
    return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 82, **options})
    return out.getvalue()


@pytest.mark.slow
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
def test_opencv_and_pillow_give_the_same_bytes(width, height, long_px, quality, options):
    data, spec = jpeg(picture(width, height), **options), JpegSpec(long_px, quality)
    assert redact_picture(data, spec) == redact_with_pillow(data, spec)


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
def test_opencv_encodes_what_ingest_stores(size, long_px):
    data = jpeg(picture(*size), optimize=True)
    quick = jpeg_opencv.shrink_jpeg(data, long_px, 50)
    assert quick == redact_with_pillow(data, JpegSpec(long_px, 50))
    assert quick == redact_picture(data, JpegSpec(long_px, 50))


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
    assert jpeg_opencv.shrink_jpeg(data, 160, 50) is None


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_become_rgb(mode):
    encoded = Image.open(io.BytesIO(redact_picture(jpeg(picture(90, 60, mode=mode)), CROP)))
    assert (encoded.mode, encoded.size) == ("RGB", (90, 60))


def test_a_picture_that_is_cut_off_is_an_error():
    with pytest.raises(PictureError):
        redact_picture(jpeg(picture(90, 60))[:40], CROP)


def result(encode: Callable[[bytes, JpegSpec], bytes], data: bytes) -> bytes | None:
    """The encoded picture; None for an error."""
    try:
        return encode(data, CROP)
    except PictureError:
        return None


@pytest.mark.slow
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
def test_a_damaged_picture_gives_the_same_in_both_or_is_an_error_in_both(place, put, instead):
    whole = jpeg(picture(160, 120))
    data = whole[:place] + put + whole[place + len(put) * instead :]
    assert result(redact_picture, data) == result(redact_with_pillow, data)


@pytest.mark.parametrize("data", [5, "text", None])
def test_a_value_that_is_not_bytes_is_left_to_pillow(data):
    assert jpeg_opencv.shrink_jpeg(data, 160, 50) is None


def test_an_opencv_that_is_too_old_or_only_a_folder_counts_as_missing(monkeypatch):
    jpeg_opencv.load_opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    assert jpeg_opencv.load_opencv() is None
    jpeg_opencv.load_opencv.cache_clear()


def test_metadata_is_left_behind():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Secret Maker", 6
    data = jpeg(
        picture(160, 120), exif=exif, comment=b"Secret words", icc_profile=b"Secret profile"
    )
    redacted = redact_picture(data, CROP)
    assert b"Secret" in data
    assert b"Secret" not in redacted
    assert Image.open(io.BytesIO(redacted)).size == (160, 120)


def test_without_opencv_the_bytes_are_the_same(monkeypatch):
    data = jpeg(picture(640, 427), optimize=True)
    expected = redact_picture(data, THUMBNAIL)
    monkeypatch.setattr(jpeg_opencv, "load_opencv", lambda: None)
    untried = JpegSpec(THUMBNAIL.long_px, 96)  # whether OpenCV agrees is kept by quality
    assert redact_picture(data, THUMBNAIL) == expected
    assert redact_picture(data, untried) == redact_with_pillow(data, untried)


@needs_opencv
def test_an_opencv_with_another_libjpeg_is_not_used(monkeypatch):
    ours = jpeg_opencv.shrink_jpeg
    monkeypatch.setattr(
        jpeg_opencv,
        "shrink_jpeg",
        lambda data, long_px, quality: ours(data, long_px, quality - 1),
    )
    data, untried = jpeg(picture(160, 160), optimize=True), JpegSpec(160, 97)
    assert redact_picture(data, untried) == redact_with_pillow(data, untried)
