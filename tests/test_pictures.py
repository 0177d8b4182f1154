"""Bytes of every kind, mode and damage: upright RGB, or a reason that the user understands."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import STORED, encoded, small, with_exif
from PIL import Image

from datasette_faces.algorithms.geometry import ARCFACE_TEMPLATE
from datasette_faces.errors import PictureError
from datasette_faces.media import limits
from datasette_faces.media.crop import OUTSIDE_RGB, align_face, crop_face, make_thumbnail
from datasette_faces.media.decode import decode_picture
from datasette_faces.models.base import Engine
from datasette_faces.models.pipeline import analyse
from datasette_faces.models.sface import SFace
from datasette_faces.people.metadata.embedded import read_embedded_xmp

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def sface() -> Engine:
    return SFace().load()


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return small("one face", 240).crop((0, 0, 240, 200))


def mean_difference(first: Image.Image, second: Image.Image) -> float:
    one, two = (np.asarray(image.convert("RGB"), np.float32) for image in (first, second))
    return float(np.abs(one - two).mean())


@pytest.mark.parametrize(
    ("file_format", "named"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("WEBP", "WEBP"),
        ("TIFF", "TIFF"),
        ("BMP", "BMP"),
        ("GIF", "GIF"),
        ("AVIF", "AVIF"),
        ("MPO", "JPEG"),
    ],
)
def test_every_format_gives_the_same_upright_rgb_picture(portrait, file_format, named):
    picture = decode_picture(encoded(portrait, file_format))
    assert (picture.width, picture.height, picture.scale) == (240, 200, 1.0)
    assert picture.image.mode == "RGB"
    assert picture.format == named
    assert mean_difference(picture.image, portrait) < 8


def test_heic_is_decoded(portrait):
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(portrait).save(out, quality=80)
    picture = decode_picture(out.getvalue())
    assert (picture.width, picture.height, picture.format) == (240, 200, "HEIF")
    assert mean_difference(picture.image, portrait) < 8


def test_orientation_of_a_heic_is_undone_once(portrait):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    pillow_heif.from_pillow(portrait).save(out, quality=80, exif=exif.tobytes())
    picture = decode_picture(out.getvalue())
    with Image.open(io.BytesIO(out.getvalue())) as as_libheif_shows_it:
        size = as_libheif_shows_it.size
    assert picture.image.size == (picture.width, picture.height)
    assert picture.image.size == size


def test_pixels_of_cmyk_are_not_inverted(portrait):
    picture = decode_picture(encoded(portrait.convert("CMYK"), "JPEG", quality=95))
    assert mean_difference(picture.image, portrait) < 20


def test_16_bits_of_grey_keep_their_tones(portrait):
    grey = np.asarray(portrait.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    picture = decode_picture(encoded(deep, "PNG"))
    assert mean_difference(picture.image, portrait.convert("L")) < 1


def test_32_bit_and_floating_point_tiffs_keep_their_tones(portrait):
    grey = np.asarray(portrait.convert("L"))
    for values in (grey.astype(np.int32) * 257, grey.astype(np.float32) / 255):
        picture = decode_picture(encoded(Image.fromarray(values), "TIFF"))
        assert mean_difference(picture.image, portrait.convert("L")) < 2


def test_a_16_bit_rgb_png_is_decoded():
    row = b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4
    data = png(4, 2, depth=16, colour=2, rows=row * 2)
    assert decode_picture(data).image.getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_modes_without_transparency_become_rgb(portrait, mode):
    picture = decode_picture(encoded(portrait.convert(mode), "PNG"))
    assert picture.image.mode == "RGB"
    wanted = portrait if mode == "P" else portrait.convert("L")
    assert abs(np.asarray(picture.image).mean() - np.asarray(wanted).mean()) < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_become_white(mode):
    layer = Image.new("RGBA", (4, 4), (10, 10, 10, 255))
    layer.putpixel((0, 0), (10, 10, 10, 0))
    picture = decode_picture(encoded(layer.convert(mode), "PNG"))
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    assert picture.image.getpixel((1, 1)) == (10, 10, 10)


def test_a_palette_with_transparency_shows_it_as_white():
    indexed = Image.new("P", (4, 4), 1)
    indexed.putpalette([0, 0, 0, 200, 100, 50])
    indexed.putpixel((0, 0), 0)
    picture = decode_picture(encoded(indexed, "PNG", transparency=0))
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    assert picture.image.getpixel((1, 1)) == (200, 100, 50)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(file_format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    red, green, blue = decode_picture(data).image.getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_under_every_orientation(portrait, orientation):
    turn = STORED[orientation]
    stored = portrait if turn is None else portrait.transpose(turn)
    picture = decode_picture(with_exif(stored, {0x0112: orientation}))
    assert (picture.width, picture.height) == picture.image.size == portrait.size
    assert mean_difference(picture.image, portrait) < 8


FORMATS = {
    "JPEG": {"quality": 95},
    "MPO": {"quality": 95},
    "PNG": {},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "speed": 10},
    "TIFF": {},
    "TIFF, LZW": {"compression": "tiff_lzw"},
    "HEIF": {"quality": 95},
}


@pytest.mark.parametrize(
    ("file_format", "orientation"),
    # x265 takes long to begin
    [(name, it) for name in FORMATS for it in (STORED if name != "HEIF" else (4, 5, 6, 8))],
)
def test_every_format_is_turned_once(portrait, file_format, orientation):
    """By the decoder itself (TIFF, HEIC) or by us, and its regions refer to what is stored."""
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = STORED[orientation]
    image = portrait if how is None else portrait.transpose(how)
    options = {**FORMATS[file_format], "exif": exif.tobytes()}
    data = encoded(image, file_format.partition(",")[0], **options)
    picture = decode_picture(data)
    assert (picture.width, picture.height) == picture.image.size == portrait.size
    assert mean_difference(picture.image, portrait) < 5
    left, top, right, bottom = 10, 20, 130, 90
    part = picture.crop_region(left, top, right, bottom)
    assert mean_difference(part, portrait.crop((left, top, right, bottom))) < 5
    assert mean_difference(Image.open(io.BytesIO(make_thumbnail(picture))), portrait) < 8
    assert read_embedded_xmp(data).orientation == orientation


@pytest.mark.slow
def test_boxes_are_the_same_under_every_orientation(sface):
    upright = small("six faces", 1280)
    found = []
    for orientation, turn in STORED.items():
        stored = upright if turn is None else upright.transpose(turn)
        data = with_exif(stored, {0x0112: orientation})
        faces = analyse(data, sface, detect_px=SFace.detect_px).faces
        boxes = sorted(
            (
                item.detection.box.x,
                item.detection.box.y,
                item.detection.box.width,
                item.detection.box.height,
            )
            for item in faces
        )
        found.append(np.array(boxes))
    assert {len(boxes) for boxes in found} == {6}
    assert max(np.abs(boxes - found[0]).max() for boxes in found) <= 2


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_is_upright(portrait, orientation):
    assert decode_picture(with_exif(portrait, {0x0112: orientation})).image.size == portrait.size


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage that is no header at all",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
    ],
    ids=["empty", "no header", "offset beyond the end", "too many entries", "cut off in an entry"],
)
def test_corrupt_exif_costs_only_the_exif(portrait, exif):
    picture = decode_picture(encoded(portrait, "JPEG", exif=exif))
    assert picture.image.size == portrait.size
    assert picture.exif.taken_at is None


@pytest.mark.parametrize("at", range(0, 120, 3))
def test_a_wrong_byte_anywhere_in_the_exif_raises_nothing(portrait, at):
    data = bytearray(
        with_exif(
            portrait,
            {0x010F: "Maker", 0x0110: "Model", 0x0112: 1, 0x0132: "2020:01:01 00:00:00"},
            Exif={0x9003: "2020:01:01 00:00:00"},
            GPSInfo={1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0)},
        )
    )
    start = data.index(b"Exif\0\0") + 6
    data[start + at] ^= 0xFF
    picture = decode_picture(bytes(data))
    assert sorted(picture.image.size) == sorted(portrait.size)


@pytest.mark.parametrize(
    ("min_long_px", "scale"),
    [(None, 1.0), (640, 0.5), (641, 1.0), (321, 0.5), (320, 0.25), (1, 0.125)],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(min_long_px, scale):
    data = encoded(Image.new("RGB", (1280, 960)), "JPEG")
    picture = decode_picture(data, min_long_px=min_long_px)
    assert picture.scale == scale
    assert (picture.width, picture.height) == (1280, 960)
    assert picture.image.size == (1280 * scale, 960 * scale)


def test_other_formats_are_decoded_at_full_size():
    assert (
        decode_picture(encoded(Image.new("RGB", (1280, 960)), "PNG"), min_long_px=320).scale == 1.0
    )


@pytest.mark.slow
def test_a_face_is_the_same_whether_decoded_small_or_large(sface, t1_jpg):
    with Image.open(t1_jpg) as image:
        large = image.convert("RGB").resize((image.width * 3, image.height * 3))
    once = analyse(encoded(large, "JPEG", quality=92), sface, detect_px=SFace.detect_px)
    full = analyse(encoded(large, "PNG"), sface, detect_px=SFace.detect_px)
    for small_face, full_face in zip(once.faces, full.faces, strict=True):
        assert abs(small_face.detection.box.x - full_face.detection.box.x) < 12
        assert small_face.embedding @ full_face.embedding > 0.97


def png(width: int, height: int, *, depth: int = 1, colour: int = 0, rows: bytes = b"") -> bytes:
    """A PNG put together by hand, which may say more than it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_60000_by_60000_in_a_few_kilobytes_is_refused_before_decoding(monkeypatch):
    data = png(60_000, 60_000, rows=bytes(7501 * 100))
    assert len(data) < 5000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(PictureError, match=r"^the picture is too large: .*pixels"):
        decode_picture(data)


def test_a_picture_just_over_the_limit_says_how_large_it_is():
    with pytest.raises(PictureError, match=r"182,000,000 pixels; 178,956,970 are allowed"):
        decode_picture(png(14_000, 13_000))


def claim_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG that says that it is larger."""
    at = re.search(rb"\xff[\xc0\xc2]", data).start() + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize(
    ("options", "width", "height", "most"),
    [
        ({}, 40_000, 30_000, "1,000,000,000"),
        ({"progressive": True, "subsampling": "4:2:0"}, 25_000, 20_000, "416,666,666"),
        ({"progressive": True, "subsampling": "4:4:4"}, 20_000, 15_000, "208,333,333"),
    ],
)
def test_the_limit_of_a_jpeg_is_what_its_decoder_needs(options, width, height, most):
    """A progressive one is decoded small, but its coefficients are all in memory."""
    data = claim_size(encoded(Image.new("RGB", (64, 64)), "JPEG", **options), width, height)
    size = f"{width * height:,}"
    with pytest.raises(PictureError, match=f"{size} pixels; {most} are allowed"):
        decode_picture(data, min_long_px=640)
    with pytest.raises(PictureError, match=f"{size} pixels; 5,000 are allowed"):
        decode_picture(data, min_long_px=640, max_pixels=5_000)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(("allowed", "scale"), [(480_000, 1), (130_000, 0.5), (40_000, 0.25)])
def test_a_jpeg_over_the_limit_of_other_formats_is_decoded_smaller(
    monkeypatch, portrait, mode, allowed, scale
):
    data = encoded(portrait.resize((800, 600)).convert(mode), "JPEG")
    monkeypatch.setattr(limits, "MAX_PIXELS", allowed)
    for picture in (decode_picture(data), decode_picture(data, min_long_px=800)):
        assert (picture.width, picture.height, picture.scale) == (800, 600, scale)
        assert picture.image.size == (800 * scale, 600 * scale)
    assert decode_picture(data, min_long_px=100).scale == 0.125


def test_boxes_of_a_picture_that_is_decoded_smaller_are_in_its_own_pixels(monkeypatch, sface):
    data = encoded(small("one face", 512).resize((1536, 1536)), "JPEG", quality=92)
    (whole,) = analyse(data, sface, detect_px=640).faces
    monkeypatch.setattr(limits, "MAX_PIXELS", 700_000)
    (face,) = analyse(data, sface, detect_px=640).faces
    assert abs(face.detection.box.x - whole.detection.box.x) < 12
    assert face.embedding @ whole.embedding > 0.99


BROKEN = {
    "0 bytes": (b"", "the file is empty (0 bytes)"),
    "text": (b"Dear diary,\nno picture today.\n", "the file holds text, not a picture"),
    "noise": (bytes(range(256)) * 8, "the file is not a picture, or its beginning is damaged"),
    "html": (b"<html><body>404 Not Found</body></html>", "the file holds text, not a picture"),
    "a beginning": (b"\xff\xd8\xff\xe0\0\x10JFIF", "the picture is damaged: "),
    "an svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "the file holds text, not a picture"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_bytes_that_are_not_a_picture_give_a_reason(what):
    data, reason = BROKEN[what]
    with pytest.raises(PictureError) as error:
        decode_picture(data)
    assert str(error.value).startswith(reason)
    assert "BytesIO" not in str(error.value)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_a_truncated_picture_is_refused_with_a_reason(portrait, file_format):
    data = encoded(portrait, file_format)
    with pytest.raises(PictureError) as error:
        decode_picture(data[: len(data) // 2])
    assert str(error.value).startswith(("the picture is damaged: ", "the file is not a picture"))
    assert "\n" not in str(error.value)
    assert "0x" not in str(error.value)


def test_a_file_over_the_limit_is_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(PictureError, match="the file is larger than 1 MB"):
        decode_picture(bytes(1_000_001))


def test_one_pixel_is_a_picture_without_faces(sface):
    found = analyse(encoded(Image.new("RGB", (1, 1)), "PNG"), sface, detect_px=640)
    assert (found.photo.width, found.photo.height, found.faces) == (1, 1, ())


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (3, 2)])
def test_odd_shapes_are_pictures_without_faces(sface, size):
    for file_format in ("PNG", "JPEG"):
        found = analyse(encoded(Image.new("RGB", size), file_format), sface, detect_px=640)
        assert (found.photo.width, found.photo.height) == size
        assert found.faces == ()


def test_a_thumbnail_is_a_jpeg_of_at_most_640_px_without_metadata():
    data = with_exif(Image.new("RGB", (1280, 960)), {0x0110: "Secret camera"})
    thumbnail = make_thumbnail(decode_picture(data))
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))
        assert not image.getexif()
    assert b"Secret" not in thumbnail


def test_a_crop_is_160_px_wide_and_upright_however_the_face_is_turned(sface, portrait):
    (face,) = analyse(encoded(portrait, "PNG"), sface, detect_px=640).faces
    landmarks = face.detection.landmarks
    # A quarter turn clockwise takes (x, y) to (height - y, x)
    turned = np.column_stack([portrait.height - landmarks[:, 1], landmarks[:, 0]])
    picture = decode_picture(encoded(portrait.transpose(Image.Transpose.ROTATE_270), "PNG"))
    crops = [
        Image.open(io.BytesIO(data))
        for data in (face.crop, crop_face(picture, turned.astype(np.float32)))
    ]
    assert [crop.size for crop in crops] == [(160, 160), (160, 160)]
    assert mean_difference(*crops) < 3


def test_a_blurred_face_is_less_sharp(sface, portrait):
    from PIL import ImageFilter

    sharp, blurred = (
        analyse(encoded(image, "PNG"), sface, detect_px=640).faces[0].sharpness
        for image in (portrait, portrait.filter(ImageFilter.GaussianBlur(2)))
    )
    assert blurred < sharp / 3


def test_faces_smaller_than_the_minimum_are_left_out(sface, t1_jpg):
    data = Path(t1_jpg).read_bytes()
    all_faces = analyse(data, sface, detect_px=640).faces
    sides = sorted(min(face.detection.box.width, face.detection.box.height) for face in all_faces)
    fewer = analyse(data, sface, detect_px=640, min_face_px=sides[2] - 0.01).faces
    assert len(fewer) == len(all_faces) - 2


def test_outside_the_photo_a_crop_has_the_background_colour_and_an_aligned_face_is_black(sface):
    red = Image.new("RGB", (100, 100), (200, 40, 40))
    picture = decode_picture(encoded(red, "PNG"))
    # A face on the left edge, as large as the picture: half of its crop lies beyond
    landmarks = ARCFACE_TEMPLATE - np.float32([56, 6])
    crop = np.asarray(Image.open(io.BytesIO(crop_face(picture, landmarks))).convert("RGB"), int)
    assert np.abs(crop[80, 40] - OUTSIDE_RGB).max() < 4
    assert np.abs(crop[80, 130] - (200, 40, 40)).max() < 8
    assert align_face(picture, landmarks)[56, 20].tolist() == [0, 0, 0]
