"""TIFFs as scanners and programs write them: the same picture, or the true reason why not."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from pictures import STORED, encoded, small
from PIL import Image, ImageCms
from tiffs import Page, make_tiff

from datasette_faces.errors import PictureError
from datasette_faces.media import limits, tiff_samples
from datasette_faces.media.decode import decode_picture
from datasette_faces.people.metadata.embedded import read_embedded_xmp

pytestmark = pytest.mark.once

PORTRAIT = small("one face", 60).crop((0, 0, 60, 50))
RGB = np.asarray(PORTRAIT)
GREY = np.asarray(PORTRAIT.convert("L"))
CMYK = np.asarray(PORTRAIT.convert("CMYK"))
YCBCR = np.asarray(PORTRAIT.convert("YCbCr"))
FORMS = {
    "plain": {},
    "strips": {"rows": 7},
    "tiles": {"tile": 32},
    "planes": {"planar": True},
    "LZW": {"compression": 5, "rows": 7},
    "deflate in tiles": {"compression": 8, "tile": 32},
    "PackBits in planes": {"compression": 32773, "planar": True, "rows": 7},
    "LZW, horizontal predictor": {"compression": 5, "predictor": 2},
}


def deep(values: Any, bits: int) -> Any:
    """8 bits as 9 to 16."""
    return (values.astype("u4") * (2**bits - 1) // 255).astype("u2")


def stored(orientation: int) -> Any:
    how = STORED[orientation]
    return np.asarray(PORTRAIT if how is None else PORTRAIT.transpose(how))


def differ(data: bytes, wanted: Any) -> float:
    """How far a decoded picture is from what it should be; it is whole."""
    picture = decode_picture(data)
    pixels = np.asarray(picture.image, float)
    wanted = wanted if wanted.ndim == 3 else np.repeat(wanted[:, :, None], 3, axis=2)
    assert picture.damage is None
    assert pixels.shape == wanted.shape
    assert (picture.height, picture.width) == wanted.shape[:2]
    return float(abs(pixels - wanted).mean())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["", "big"])
@pytest.mark.parametrize("form", FORMS)
def test_8_and_16_bits_are_read_however_they_are_laid_out(form, big, order):
    for samples in (RGB, RGB.astype("u2") * 257):
        data = make_tiff(Page(samples, 2, **FORMS[form]), order=order, big=big)
        assert differ(data, RGB) < 0.5


@pytest.mark.parametrize("form", ["plain", "strips", "tiles", "LZW", "deflate in tiles"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_where_0_is_white_the_picture_is_a_positive(bits, form):
    samples = 255 - GREY if bits == 8 else 2**bits - 1 - deep(GREY, bits)
    packed = 0 if bits in (8, 16) else bits
    assert differ(make_tiff(Page(samples, 0, bits=packed, **FORMS[form])), GREY) < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_one_bit_is_a_positive_too(order):
    lineart = PORTRAIT.convert("1")
    bits = np.packbits(np.asarray(lineart), axis=1)
    tags = {256: ("I", 60), 258: ("H", 1)}
    for samples, photometric in ((bits, 1), (255 - bits, 0)):
        data = make_tiff(Page(samples, photometric, tags=tags), order=order)
        assert differ(data, np.asarray(lineart.convert("L"))) == 0


@pytest.mark.parametrize("form", ["plain", "tiles", "planes", "LZW"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_keep_their_tones(bits, form):
    assert differ(make_tiff(Page(deep(GREY, bits), bits=bits, **FORMS[form])), GREY) < 1
    assert differ(make_tiff(Page(deep(RGB, bits), 2, bits=bits, **FORMS[form])), RGB) < 1


@pytest.mark.parametrize(("bits", "tags"), [(10, {}), (12, {}), (14, {281: ("H", 16_383)})])
def test_fewer_bits_in_16_keep_their_tones(bits, tags):
    assert differ(make_tiff(Page(deep(GREY, bits), tags=tags)), GREY) < 1
    inverted = 2**bits - 1 - deep(GREY, bits)
    assert differ(make_tiff(Page(inverted, 0, tags=tags)), GREY) < 1


@pytest.mark.parametrize("predictor", [1, 3])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("planar", [False, True], ids=["", "planes"])
def test_floating_point_numbers_from_0_to_1_or_more_are_read(kind, predictor, planar):
    form = {"compression": 8, "predictor": predictor, "planar": planar, "rows": 7}
    for white in (1, 255) if kind == "f2" else (1, 255, 65_535):
        samples = (RGB / 255 * white).astype(kind)
        assert differ(make_tiff(Page(samples, 2, **form)), RGB) < 1
    assert differ(make_tiff(Page((1 - GREY / 255).astype(kind), 0)), GREY) < 1


def test_a_few_highlights_beyond_white_and_no_numbers_darken_nothing():
    samples = (RGB / 255).astype("f4")
    samples[0, :3] = (3.5, np.nan, np.inf)
    assert differ(make_tiff(Page(samples, 2)), RGB) < 1


@pytest.mark.parametrize(
    ("samples", "photometric", "wanted"),
    [
        ((GREY.astype("i4") * 257 - 32_768).astype("i2"), 1, GREY),
        ((GREY.astype("i2") - 128).astype("i1"), 1, GREY),
        (GREY.astype("u4") * 16_843_009, 1, GREY),
        (CMYK, 5, RGB),
        (CMYK.astype("u2") * 257, 5, RGB),
    ],
    ids=["signed 16", "signed 8", "32 bits", "CMYK", "CMYK of 16 bits"],
)
@pytest.mark.parametrize("form", ["plain", "tiles", "LZW", "planes"])
def test_other_samples_are_read(samples, photometric, wanted, form):
    assert differ(make_tiff(Page(samples, photometric, **FORMS[form])), wanted) < 1


@pytest.mark.parametrize("samples", [YCBCR, YCBCR.astype("u2") * 257], ids=["8", "16"])
@pytest.mark.parametrize("form", ["plain", "planes"])
def test_ycbcr_is_read(samples, form):
    assert differ(make_tiff(Page(samples, 6, tags={530: ("H", 1, 1)}, **FORMS[form])), RGB) < 2


def test_lab_is_read():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(PORTRAIT, *profiles, outputMode="LAB")
    unsigned = np.dstack([np.asarray(band) for band in image.split()])
    signed = unsigned.copy()
    signed[:, :, 1:] ^= 0x80
    wide = signed.astype("u2") << 8
    pages = (Page(signed, 8), Page(unsigned, 9), Page(wide, 8), Page(signed, 8, planar=True))
    for page in pages:
        assert differ(make_tiff(page), RGB) < 2
    assert differ(encoded(image, "TIFF"), RGB) < 2


@pytest.mark.parametrize("unit", [257, 1], ids=["16 bits", "8 bits"])
def test_the_colours_of_a_palette_are_read(unit):
    indexed = PORTRAIT.quantize(64)
    colours = np.array(indexed.getpalette() + [0] * 768)[:768].reshape(-1, 3).T.ravel() * unit
    page = Page(np.asarray(indexed), 3, tags={320: ("H", *colours.tolist())})
    assert differ(make_tiff(page), np.asarray(indexed.convert("RGB"))) < 1


@pytest.mark.parametrize("scale", [1, 257], ids=["8", "16"])
@pytest.mark.parametrize("extra", [0, 1, 2], ids=["unused", "associated", "unassociated"])
def test_transparency_is_white_where_it_is_used(extra, scale):
    alpha = np.full(GREY.shape, 255, "u1")
    alpha[:20] = 0
    colours, wanted = RGB.copy(), RGB.copy()
    if extra:
        wanted[:20] = 255
    if extra == 1:
        colours[:20] = 0
    samples = np.dstack([colours, alpha]).astype("u2" if scale > 1 else "u1") * scale
    assert differ(make_tiff(Page(samples, 2, tags={338: ("H", extra)})), wanted) < 1


THUMBNAIL = GREY[::4, ::4]
PAGES = {
    "a thumbnail": Page(THUMBNAIL, tags={254: ("I", 1)}),
    "a thumbnail by the old tag": Page(THUMBNAIL, tags={255: ("H", 2)}),
    "a thumbnail that does not say so": Page(THUMBNAIL),
    "a larger mask": Page(np.zeros((90, 90), "u1"), 4, tags={254: ("I", 4)}),
    "a thumbnail of 16 bits": Page(THUMBNAIL.astype("u2"), tags={254: ("I", 1)}),
}


@pytest.mark.parametrize("first", PAGES)
def test_the_page_that_is_the_picture_is_taken(first):
    for page in (Page(RGB, 2), Page(RGB.astype("u2") * 257, 2), Page(RGB, 2, compression=5)):
        assert differ(make_tiff(PAGES[first], page), RGB) < 1


def test_of_pages_alike_the_first_is_taken():
    other = 255 - np.pad(RGB, ((0, 4), (0, 4), (0, 0)))
    assert differ(make_tiff(Page(RGB, 2), Page(other, 2)), RGB) < 1


def test_pages_that_lead_in_circles_come_to_an_end():
    data = bytearray(make_tiff(Page(RGB, 2)))
    at = int.from_bytes(data[4:8], "little")
    data[-4:] = at.to_bytes(4, "little")
    assert differ(bytes(data), RGB) < 1


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("form", ["plain", "LZW", "tiles"])
def test_a_turned_tiff_is_turned_once(orientation, form):
    tags = {274: ("H", orientation)}
    samples = stored(orientation)
    pages = [Page(samples, 2, tags=tags, **FORMS[form])]
    pages += [Page(samples.astype("u2") * 257, 2, tags=tags, **FORMS[form])]
    for page in pages:
        for data in (make_tiff(page), make_tiff(PAGES["a thumbnail"], page)):
            assert differ(data, RGB) < 1
            # Named regions refer to the pixels as they are stored
            assert read_embedded_xmp(data).orientation == orientation
    assert differ(make_tiff(pages[1], order=">", big=True), RGB) < 1


UNREADABLE = {
    "compression 34887": {259: ("H", 34_887)},
    "colours of the kind 32844": {262: ("H", 32_844)},
    "24-bit samples": {258: ("H", 24, 24, 24)},
    "samples of 5, 6, 5 bits": {258: ("H", 5, 6, 5)},
    "samples of the format 5": {339: ("H", 5, 5, 5)},
    "YCbCr with fewer samples of colour": {262: ("H", 6), 279: ("I", 4_500), 530: ("H", 2, 2)},
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_what_cannot_be_read_is_refused_for_the_true_reason(reason):
    samples = RGB if "YCbCr" in reason else RGB.astype("u2")
    with pytest.raises(PictureError) as error:
        decode_picture(make_tiff(Page(samples, 2, tags=UNREADABLE[reason])))
    assert str(error.value).startswith(f"a TIFF with {reason}")
    assert "save it as RGB of 8 bits" in str(error.value)


def test_samples_over_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(tiff_samples, "MAX_SAMPLE_BYTES", 17_000)
    with pytest.raises(PictureError, match="samples of more than"):
        decode_picture(make_tiff(Page(RGB.astype("u2"), 2)))


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded():
    tags = {256: ("I", 20_000), 257: ("I", 20_000)}
    for samples in (RGB, RGB.astype("u2")):
        with pytest.raises(PictureError, match="400,000,000 pixels"):
            decode_picture(make_tiff(Page(samples, 2, tags=tags)))
    assert limits.MAX_PIXELS < 400_000_000


@pytest.mark.parametrize("form", ["plain", "strips", "tiles", "planes", "LZW"])
def test_any_wrong_byte_in_a_directory_gives_a_picture_or_a_reason_and_nothing_else(form):
    data = make_tiff(Page(RGB.astype("u2"), 2, **FORMS[form]))
    at = int.from_bytes(data[4:8], "little")
    for place in [4, 5, *range(at, len(data), 5)]:
        broken = bytearray(data)
        broken[place] ^= 0xFF
        with suppress(PictureError):
            decode_picture(bytes(broken))


def test_jpeg_and_fax_in_a_tiff_are_read():
    assert differ(encoded(PORTRAIT, "TIFF", compression="jpeg"), RGB) < 6
    fax = PORTRAIT.convert("1")
    assert differ(encoded(fax, "TIFF", compression="group4"), np.asarray(fax.convert("L"))) == 0


def test_16_bits_of_a_png_keep_their_tones():
    out = io.BytesIO()
    Image.fromarray(GREY.astype("u2") * 257).save(out, "PNG")
    assert differ(out.getvalue(), GREY) < 1


XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
DATE = b"2001:02:03 04:05:06\0"
IPTC = b"\x1c\x02\x37\x00\x0819990506"
METADATA: dict[int, Any] = {
    274: ("H", 6),
    700: ("B", *XMP),
    33_723: ("B", *IPTC),
    36_867: ("B", *DATE),
}


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize("depth", ["u1", "u2"])
def test_what_the_picture_lacks_of_metadata_the_first_page_has(order, big, depth):
    samples = stored(6).astype(depth) * (257 if depth == "u2" else 1)
    thumbnail = Page(THUMBNAIL, tags={254: ("I", 1), **METADATA})
    data = make_tiff(thumbnail, Page(samples, 2), order=order, big=big)
    assert differ(data, RGB) < 1
    found = read_embedded_xmp(data)
    assert (found.packets, found.orientation) == ((XMP,), 6)
    assert found.iptc.taken_at == "1999-05-06"
    assert found.exif.taken_at == decode_picture(data).exif.taken_at == "2001-02-03T04:05:06"


def test_the_metadata_of_the_picture_itself_count_first():
    thumbnail = Page(THUMBNAIL, tags={254: ("I", 1), **METADATA})
    own = {274: ("H", 3), 36_867: ("B", *b"2011:12:13 14:15:16\0")}
    data = make_tiff(thumbnail, Page(stored(3), 2, tags=own))
    assert differ(data, RGB) < 1
    found = read_embedded_xmp(data)
    assert (found.orientation, found.exif.taken_at) == (3, "2011-12-13T14:15:16")
    assert found.packets == (XMP,)


def test_of_a_tag_that_is_there_twice_the_first_counts():
    data = bytearray(make_tiff(Page(RGB.astype("u2") * 257, 2, tags={263: ("I", 9)})))
    at = data.index(b"\x07\x01\x04\x00", int.from_bytes(data[4:8], "little"))
    data[at : at + 2] = b"\x01\x01"  # a second height, of 9
    assert differ(bytes(data), RGB) < 1
