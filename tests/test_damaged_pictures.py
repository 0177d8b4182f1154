"""Pictures that are damaged: what can be read of them is read, and they never pass for whole."""

from __future__ import annotations

import contextlib
import io
import random
import re
import struct
import time
import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
from pictures import encoded, small
from PIL import Image
from tiffs import Page, make_tiff

from datasette_faces.errors import BrokenPicture, PictureError
from datasette_faces.media.decode import decode_picture
from datasette_faces.media.jpeg_scans import read_scans

pytestmark = pytest.mark.once

PORTRAIT = small("one face", 256)
EIGHT, NOTE = 0.8, "the picture is damaged: "
JPEGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "optimised": {"optimize": True},
    "restart markers": {"restart_marker_blocks": 5},
}


def cut(data: bytes, share: float = EIGHT) -> bytes:
    return data[: int(len(data) * share)]


def lose_end(data: bytes) -> bytes:
    kept = cut(data)
    return kept + bytes(len(data) - len(kept))


def lose_end_but_its_marker(data: bytes) -> bytes:
    return lose_end(data)[:-2] + b"\xff\xd9"


def garble_end(data: bytes) -> bytes:
    kept = cut(data)
    return kept + random.Random(3).randbytes(len(data) - len(kept))


def cut_and_close(data: bytes) -> bytes:
    return cut(data).rstrip(b"\xff") + b"\xff\xd9"


def zero_a_sector(data: bytes) -> bytes:
    return cut(data) + bytes(512) + data[len(cut(data)) + 512 :]


def missing_rows(data: bytes, **options: Any) -> float:
    """The share of rows that are grey in a picture that says that it is damaged; the rest is right."""
    picture = decode_picture(data, **options)
    assert picture.damage is not None
    assert picture.damage.startswith(NOTE)
    pixels = np.asarray(picture.image.resize(PORTRAIT.size, Image.Resampling.NEAREST), int)
    grey = (abs(pixels - 128) <= 2).all(axis=(1, 2))
    half = PORTRAIT.height // 2
    assert abs(pixels - np.asarray(PORTRAIT, int))[:half].mean() < 12
    return float(grey.mean())


@pytest.mark.parametrize("damage", [cut, lose_end, garble_end, cut_and_close, zero_a_sector])
@pytest.mark.parametrize("kind", [kind for kind in JPEGS if kind != "restart markers"])
def test_a_jpeg_is_read_until_it_is_damaged(kind, damage):
    data = damage(encoded(PORTRAIT, "JPEG", quality=90, **JPEGS[kind]))
    # Of garbage some is decoded before it shows
    assert 0.02 < missing_rows(data) < 0.26
    assert 0.02 < missing_rows(data, min_long_px=80) < 0.26


def test_an_end_of_zeros_before_the_last_marker_is_no_picture():
    data = lose_end_but_its_marker(encoded(PORTRAIT, "JPEG", quality=90))
    assert 0.08 < missing_rows(data) < 0.26


@pytest.mark.parametrize(
    "damage", [cut, lose_end, garble_end, cut_and_close, lose_end_but_its_marker]
)
def test_lost_restart_markers_are_missed(damage):
    data = encoded(PORTRAIT, "JPEG", quality=90, restart_marker_blocks=5)
    assert 0.08 < missing_rows(damage(data)) < 0.26


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_without_its_last_two_bytes_a_jpeg_is_all_there_and_has_a_note(kind, mode):
    whole = encoded(PORTRAIT.convert(mode), "JPEG", quality=90, **JPEGS[kind])
    picture, control = decode_picture(whole[:-2]), decode_picture(whole)
    assert (picture.damage, control.damage) == (NOTE + "its end cannot be read", None)
    assert np.array_equal(picture.pixels(), control.pixels())


def test_a_cut_progressive_jpeg_is_less_sharp_and_has_a_note():
    whole = encoded(PORTRAIT, "JPEG", quality=90, progressive=True)
    for damage in (cut, lose_end, garble_end):
        picture = decode_picture(damage(whole))
        assert picture.damage == NOTE + "its end cannot be read"
        assert abs(picture.pixels().astype(int) - np.asarray(PORTRAIT, int)).mean() < 4
    early = decode_picture(cut(whole, 0.5).rstrip(b"\xff") + b"\xff\xd9")
    assert early.damage is not None


@pytest.mark.parametrize("colour", [(128, 128, 128), (0, 0, 0), (255, 255, 255), (9, 200, 30)])
@pytest.mark.parametrize("options", [*JPEGS.values(), {"progressive": True}], ids=str)
def test_flat_pictures_and_edges_are_not_damaged(colour, options):
    for size in ((8, 8), (600, 400)):
        flat = Image.new("RGB", size, colour)
        framed = flat.copy()
        framed.paste(PORTRAIT.resize((size[0], size[1] // 2)))
        for image in (flat, framed):
            assert decode_picture(encoded(image, "JPEG", **options)).damage is None


@pytest.mark.parametrize("behind", [b"\0" * 900, b"a motion photo's film" * 90, b"\r\n"])
def test_what_follows_a_jpeg_is_no_damage(behind):
    assert decode_picture(encoded(PORTRAIT, "JPEG") + behind).damage is None
    several = encoded(PORTRAIT, "MPO", save_all=True, append_images=[PORTRAIT])
    assert decode_picture(several).damage is None


def test_scans_are_told_apart():
    plain, progressive = (read_scans(encoded(PORTRAIT, "JPEG", progressive=it)) for it in (0, 1))
    assert (plain.is_one_scan, plain.components, plain.is_whole) == (True, 3, True)
    assert (progressive.is_one_scan, progressive.is_refined, progressive.is_whole) == (
        False, True, True,
    )  # fmt: skip
    restarts = read_scans(encoded(PORTRAIT, "JPEG", restart_marker_blocks=5))
    assert (restarts.interval, restarts.is_one_scan) == (5, True)


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": 90}),
    "WebP without loss": ("WEBP", {"lossless": True}),
    "TIFF": ("TIFF", {}),
    "BMP": ("BMP", {}),
    "AVIF": ("AVIF", {"quality": 90}),
    "HEIC": ("HEIF", {"quality": 90}),
}


@cache
def other(kind: str) -> bytes:
    if kind == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    return encoded(PORTRAIT, OTHERS[kind][0], **OTHERS[kind][1])


@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind != "BMP"])
def test_other_formats_are_read_until_they_are_cut(kind):
    assert 0.05 < missing_rows(cut(other(kind))) < 0.4


def test_the_rows_of_a_bmp_come_from_its_bottom():
    picture = decode_picture(cut(other("BMP")))
    assert picture.damage == NOTE + "20 % of it cannot be read"
    pixels = np.asarray(picture.image, int)
    assert (pixels[:48] == 128).all()
    assert np.array_equal(pixels[64:], np.asarray(PORTRAIT, int)[64:])


@pytest.mark.parametrize("kind", ["PNG", "WebP", "WebP without loss", "AVIF", "HEIC"])
def test_an_end_of_zeros_is_missing(kind):
    assert 0.05 < missing_rows(lose_end(other(kind))) < 0.4


def test_a_png_is_read_until_it_is_garbled():
    assert 0.05 < missing_rows(garble_end(other("PNG"))) < 0.4


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "I;16"])
def test_a_cut_png_of_any_mode_is_read(mode):
    image = PORTRAIT.convert(mode) if mode != "I;16" else Image.fromarray(
        np.asarray(PORTRAIT.convert("L")).astype("u2") * 257
    )  # fmt: skip
    whole = encoded(image, "PNG")
    picture, control = decode_picture(cut(whole)), decode_picture(whole)
    assert picture.damage is not None
    quarter = PORTRAIT.height // 4
    assert np.array_equal(picture.pixels()[:quarter], control.pixels()[:quarter])
    assert (picture.pixels()[-1] == 128).all()


@pytest.mark.parametrize(
    "form", [{"rows": 5}, {"rows": 5, "compression": 5}, {"tile": 32}], ids=str
)
@pytest.mark.parametrize("depth", ["u1", "u2"])
def test_strips_of_a_tiff_that_are_lost_are_grey(form, depth):
    samples = np.asarray(PORTRAIT.convert("RGB")).astype(depth)
    samples = samples * 257 if depth == "u2" else samples
    data = make_tiff(Page(samples, 2, **form))
    at = int.from_bytes(data[4:8], "little")
    # The directory at the start, as libtiff does not write it; the strips are cut
    moved = bytearray(data)
    for place in range(at + 2, len(data) - 4, 12):
        if data[place : place + 2] in (b"\x11\x01", b"\x44\x01"):
            table = int.from_bytes(data[place + 8 : place + 12], "little")
            count = int.from_bytes(data[place + 4 : place + 8], "little")
            for number in range(count * 9 // 10, count):
                moved[table + 4 * number : table + 4 * number + 4] = b"\xff\xff\xff\x7f"
    picture = decode_picture(bytes(moved))
    assert picture.damage is not None
    assert (np.asarray(picture.image)[-1, -1] == 128).all()
    half = PORTRAIT.height // 2
    assert np.array_equal(np.asarray(picture.image)[:half], np.asarray(PORTRAIT)[:half])


@pytest.mark.parametrize("kind", ["JPEG", *OTHERS])
def test_less_than_most_of_a_picture_is_refused_and_says_so(kind):
    data = encoded(PORTRAIT, "JPEG") if kind == "JPEG" else other(kind)
    with pytest.raises(BrokenPicture) as error:
        decode_picture(cut(data, 0.4))
    if kind not in ("AVIF", "HEIC"):  # whose decoders may give nothing
        assert re.match(r"the picture is damaged: \d+ % of it can be read", str(error.value))


def test_an_interlaced_png_is_refused_where_it_is_cut():
    # Of its seven passes the last one has half of the rows: what is there cannot be told from grey
    data = encoded(PORTRAIT, "PNG")
    with pytest.raises(PictureError):
        decode_picture(cut(data[:28] + b"\x01" + data[29:]))


def test_a_webp_that_lost_its_metadata_alone_is_read():
    exif = Image.Exif()
    exif[0x010F] = "A maker with a rather long name"
    data = encoded(PORTRAIT, "WEBP", exif=exif.tobytes())
    assert decode_picture(data).damage is None
    assert decode_picture(data[:-12]).damage == NOTE + "its end cannot be read"


@pytest.mark.parametrize(
    "options", [{}, {"method": 0}, {"quality": 95}, {"lossless": True}], ids=str
)
@pytest.mark.parametrize("colours", [(0, 0), (255, 255), (40, 200)])
def test_a_webp_with_a_plain_bottom_is_whole(options, colours):
    # The codes of what is plain are zeros
    framed = Image.new("RGB", (512, 900), (colours[0],) * 3)
    framed.paste((colours[1],) * 3, (0, 0, 200, 900))
    framed.paste(PORTRAIT.resize((512, 300)))
    data = encoded(framed, "WEBP", **options)
    control = Image.open(io.BytesIO(data)).convert("RGB")
    for behind in (b"", b"more" * 9):
        picture = decode_picture(data + behind)
        assert picture.damage is None
        assert np.array_equal(picture.pixels(), np.asarray(control))


@pytest.mark.parametrize("options", [{}, {"lossless": True}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_that_is_cut_behind_its_pixels_keeps_what_is_whole(options, mode):
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2001:02:03 04:05:06"
    image = PORTRAIT.convert(mode)
    if mode == "RGBA":
        image.putalpha(PORTRAIT.convert("L"))
    data = encoded(image, "WEBP", exif=exif.tobytes(), xmp=b"<x>" + b" " * 300, **options)
    picture, control = decode_picture(data[:-100]), decode_picture(data)
    assert picture.damage == NOTE + "its end cannot be read"
    assert picture.exif == control.exif
    assert (control.exif.orientation, control.exif.taken_at) == (6, "2001-02-03T04:05:06")
    assert np.array_equal(picture.pixels(), control.pixels())


SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"


@pytest.mark.parametrize("segment", [SCAN, b"\x01\xff\xfe\x00\x02"], ids=["scans", "junk"])
def test_a_jpeg_of_endless_segments_is_refused(segment):
    with pytest.raises(BrokenPicture, match="too many segments"):
        read_scans(b"\xff\xd8" + SCAN + segment * 12_000)


def test_junk_between_segments_is_passed_quickly():
    data = b"\xff\xd8" + SCAN + b"\x01\xff\xfe\x00\x02" * 9_000 + b"\x01" * 2_000_000
    begins = time.process_time()
    assert not read_scans(data).is_whole
    assert time.process_time() - begins < 1


def hostile_tiff(strips: int = 1, others: int = 0, first_other: int = 40_000) -> bytes:
    """A TIFF, 300 kB of one strip, with so many offsets to it and so many other tags of all of it."""
    width, height = 1500, 100
    ends = 8 + 2 + 12 * (8 + others) + 4
    at = ends + 4 * strips
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 16), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1), (273, 4, strips, ends if strips > 1 else at)]
    tags += [(277, 3, 1, 1), (278, 3, 1, height)]
    tags += [(first_other + number, 3, width * height, at) for number in range(others)]
    entries = b"".join(
        struct.pack("<HHIHH", *tag, 0) if tag[1:3] == (3, 1) else struct.pack("<HHII", *tag)
        for tag in tags
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + struct.pack("<I", at) * strips + bytes(2 * width * height)


@pytest.mark.parametrize(
    "data",
    [
        hostile_tiff(strips=2_000),
        hostile_tiff(others=100),
        hostile_tiff(others=60, first_other=290),
    ],
    ids=["strips", "tags", "tags that are used"],
)
def test_a_small_tiff_takes_little_memory(data):
    tracemalloc.start()
    try:
        picture = decode_picture(data)
    except BrokenPicture:
        picture = None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture is None or picture.size == (1500, 100)
    assert peak < 20_000_000


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_turned_tiff_is_read_until_it_is_cut(orientation, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = PORTRAIT.crop((0, 0, 200, 256)).convert(mode)
    data = encoded(image, "TIFF", exif=exif)
    picture, control = decode_picture(cut(data)), decode_picture(data)
    assert picture.damage is not None
    assert picture.size == control.size == ((200, 256) if orientation < 5 else (256, 200))
    same = (picture.pixels() == control.pixels()).all(axis=2)
    assert 0.77 < same.mean() < 0.85


@pytest.mark.parametrize("options", [*JPEGS.values(), {"progressive": True}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_its_last_two_bytes_may_be_grey_below(options, mode):
    framed = Image.new("RGB", (256, 600), (128, 128, 128))
    framed.paste(PORTRAIT)
    whole = encoded(framed.convert(mode), "JPEG", **options)
    picture, control = decode_picture(whole[:-2]), decode_picture(whole)
    assert (picture.damage, control.damage) == (NOTE + "its end cannot be read", None)
    assert np.array_equal(picture.pixels(), control.pixels())


def test_a_png_whose_chunk_alone_has_a_wrong_checksum_is_whole():
    data = bytearray(encoded(PORTRAIT, "PNG"))
    at = data.index(b"IDAT")
    data[at + 4 + int.from_bytes(data[at - 4 : at], "big")] ^= 1
    picture = decode_picture(bytes(data))
    assert picture.damage is None
    assert np.array_equal(picture.pixels(), np.asarray(PORTRAIT))
    data[at + 1_000] ^= 1
    with contextlib.suppress(BrokenPicture):
        assert decode_picture(bytes(data)).damage is not None
