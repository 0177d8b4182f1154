"""Pictures for a catalogue: encoded again from their pixels, smaller, with faces blurred.

Areas to blur are in parts (0..1) of the picture's width and height.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..algorithms import geometry
from ..errors import BrokenPicture
from ..shapes import Area, Box, FloatArray
from . import jpeg_opencv
from .crop import CROP_PX, onto_crop
from .decode import decode_picture

BLUR_CELLS = 3
"""A blurred face is 3 x 3 mean colours: no method recognises a face by nine values."""
BLUR_MARGIN = 0.3
"""A box ends at chin and brow; hair, ears and neck identify a person, too."""
WHOLE = Area(0, 0, 1, 1)
BLOCK_PX = 8
"""Pictures are compared block by block: a blurred face may be a hundredth of one."""
WATERMARK_SHARE = 1 / 22
"""The height of a watermark's letters, as a share of the picture's short side."""
MIN_LETTERS_PX = 9
FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "msgothic.ttc",
)
"""System fonts to try if Pillow's own, which is Latin only, lacks a letter."""
PROBE_PX = (320, 213)
"""Sides that are no multiple of any scale, so that their rounding is compared, too."""
UNASSIGNED_LETTER = "\U0010ffff"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class JpegSpec:
    """The size and quality of a kind of pictures; smaller pictures are not enlarged."""

    long_px: int
    quality: int


THUMBNAIL = JpegSpec(320, 36)
CROP = JpegSpec(CROP_PX, 50)
"""With 1.5 faces a photo these give about 7.5 kB a face (bench/export.py); 8 are allowed."""


def redact_picture(
    data: bytes, spec: JpegSpec, *, blurred: Sequence[Area] = (), watermark: str | None = None
) -> bytes:
    """A smaller JPEG of the same picture, without metadata. Raises PictureError.

    blurred: areas to blur. watermark: a line to write on it.
    """
    redacted = None
    if not blurred and not watermark and _opencv_equals_pillow(spec.quality):
        redacted = jpeg_opencv.shrink_jpeg(data, spec.long_px, spec.quality)
    return redacted or redact_with_pillow(data, spec, blurred, watermark)


@lru_cache
def _opencv_equals_pillow(quality: int) -> bool:
    """Whether OpenCV is installed and gives Pillow's bytes, as it does if both have the same libjpeg."""
    if jpeg_opencv.load_opencv() is None:
        return False
    rows = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(rows).resize(PROBE_PX, Image.Resampling.BICUBIC).save(out, "JPEG")
    data = out.getvalue()
    specs = [JpegSpec(PROBE_PX[0] // scale, quality) for scale in jpeg_opencv.SCALES]
    return all(
        jpeg_opencv.shrink_jpeg(data, spec.long_px, quality) == redact_with_pillow(data, spec)
        for spec in specs
    )


def redact_with_pillow(
    data: bytes, spec: JpegSpec, blurred: Sequence[Area] = (), watermark: str | None = None
) -> bytes:
    """The same as `redact_picture`, by Pillow alone."""
    image = _open_stored(data, spec.long_px)
    if max(image.size) > spec.long_px:
        image.thumbnail((spec.long_px, spec.long_px), Image.Resampling.BILINEAR)
    for area in blurred:
        _blur(image, area)
    if watermark:
        _write(image, watermark)
    # Pillow would save a profile or a comment that it read
    image.info.clear()
    out = io.BytesIO()
    image.save(out, "JPEG", quality=spec.quality)
    return out.getvalue()


def _open_stored(data: bytes, long_px: int) -> Image.Image:
    """The pixels of a stored picture, at the smallest scale that has `long_px`.

    Ingest stores upright JPEGs, which need nothing of what makes the decoder of photos slow.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=["JPEG"])
        scale = min(1.0, long_px / max(image.size))
        # Rounded down, as Pillow halves sizes: otherwise 427 px would not be halved for 213.5
        image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
        image.load()
    except Exception:
        return decode_picture(data, min_long_px=long_px).image
    return image if image.mode == "RGB" else image.convert("RGB")


def locate_in_photo(box: Box, width: int, height: int) -> Area:
    """The area of a photo to blur for a face: its box with a margin."""
    return _add_margin(geometry.area_of(box, width, height))


def locate_in_crop(box: Box, landmarks: FloatArray) -> Area | None:
    """The area of a face's crop to blur for another face's box, with a margin; None if it is outside.

    landmarks: (5, 2), those of the crop. Without them the content of the crop is unknown: then the
    area is all of it.
    """
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        return WHOLE
    placed = geometry.transform_box(onto_crop(landmarks), box)
    area = _add_margin(geometry.area_of(placed, CROP_PX, CROP_PX))
    is_inside = area.x < 1 and area.y < 1 and area.x + area.width > 0
    return area if is_inside and area.y + area.height > 0 else None


def _add_margin(area: Area) -> Area:
    x, y = BLUR_MARGIN * area.width, BLUR_MARGIN * area.height
    return Area(area.x - x, area.y - y, area.width + 2 * x, area.height + 2 * y)


def _blur(image: Image.Image, area: Area) -> None:
    """Reduce an area to its mean colours, BLUR_CELLS across."""
    width, height = image.size
    left, top = max(0, int(area.x * width)), max(0, int(area.y * height))
    right = min(width, int((area.x + area.width) * width) + 1)
    bottom = min(height, int((area.y + area.height) * height) + 1)
    if right <= left or bottom <= top:
        return
    region = image.crop((left, top, right, bottom))
    coarse = region.resize((BLUR_CELLS, BLUR_CELLS), Image.Resampling.BOX)
    image.paste(coarse.resize(region.size, Image.Resampling.BICUBIC), (left, top))


def find_missing_letters(text: str) -> str:
    """The letters of a watermark that no available font can write; empty if all can be written."""
    return "".join(sorted(_find_missing(_choose_font(MIN_LETTERS_PX, text), text)))


def _write(image: Image.Image, text: str) -> None:
    """Write a line at the bottom: white with a dark edge, legible on any picture.

    A long line is written smaller; what still does not fit is cut off.
    """
    size = max(MIN_LETTERS_PX, round(min(image.size) * WATERMARK_SHARE))
    draw, font = ImageDraw.Draw(image), _choose_font(size, text)
    needed, available = draw.textlength(text, font=font), image.width - size
    if needed > available:
        size = max(MIN_LETTERS_PX, int(size * available / needed))
        font = _choose_font(size, text)
    margin = size // 2
    draw.text(
        (margin, image.height - margin),
        text,
        fill="white",
        font=font,
        anchor="ls" if isinstance(font, ImageFont.FreeTypeFont) else None,
        stroke_width=max(1, size // 8),
        stroke_fill="black",
    )


@lru_cache(maxsize=64)
def _choose_font(size: int, text: str) -> Font:
    """Pillow's own font, or the first system font that lacks the fewest of these letters."""
    own = ImageFont.load_default(size)
    if not _find_missing(own, text):
        return own
    fonts: list[Font] = [own]
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    return min(fonts, key=lambda font: len(_find_missing(font, text)))


def _find_missing(font: Font, text: str) -> set[str]:
    """The letters that a font draws like a letter that no font has."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return {letter for letter in text if not letter.isascii()}
    missing = bytes(font.getmask(UNASSIGNED_LETTER))
    return {letter for letter in set(text) - {" "} if bytes(font.getmask(letter)) == missing}


def differ(data: bytes, other: bytes) -> float:
    """How far two pictures are apart where they are most: the mean difference of a block, 0..255.

    Raises PictureError.
    """
    one, two = decode_picture(data).image, decode_picture(other).image
    if one.size != two.size:
        raise BrokenPicture("the pictures are of different sizes")
    difference = np.abs(np.asarray(one, np.float32) - np.asarray(two, np.float32)).mean(axis=2)
    height, width = (-(-side // BLOCK_PX) for side in difference.shape)
    whole = np.zeros((height * BLOCK_PX, width * BLOCK_PX), np.float32)
    whole[: difference.shape[0], : difference.shape[1]] = difference
    blocks = whole.reshape(height, BLOCK_PX, width, BLOCK_PX).mean(axis=(1, 3))
    return float(blocks.max())
