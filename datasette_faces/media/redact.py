"""Pictures as a catalogue has them: made anew from their pixels, smaller, with faces made unrecognisable.

What is blurred is given in shares (0..1) of the picture's width and height.
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
from ..shapes import Box, FloatArray
from . import jpeg_opencv
from .decode import CROP_MARGIN_PX, CROP_PX, decode

BLUR_CELLS = 3
"""A blurred face is what 3 x 3 mean colours give: no method tells faces apart by nine values."""
BLUR_MARGIN = 0.3
"""A box ends at chin and brow; hair, ears and neck tell, too."""
WHOLE = Box(0, 0, 1, 1)
BLOCK_PX = 8
"""Pictures are compared block by block: a blurred face may be a hundredth of one."""
WATERMARK_SHARE = 1 / 22
"""The height of a watermark's letters, of the picture's shorter side."""
LEAST_LETTERS_PX = 9
FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "msgothic.ttc",
)
"""Looked for among the system's where Pillow's own, which is Latin alone, has not every letter."""
PROBE_PX = (320, 213)
"""Sides that go by none of the scales: how they are rounded is compared, too."""
NO_LETTER = "\U0010ffff"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Look:
    """How pictures of a kind are printed; long_px is never more than what there is."""

    long_px: int
    quality: int


THUMBNAIL = Look(320, 36)
CROP = Look(CROP_PX, 50)
"""With 1.5 faces a photo these give about 7.5 kB a face (bench/export.py); 8 are allowed."""


def reprint(
    data: bytes, look: Look, *, blurred: Sequence[Box] = (), watermark: str | None = None
) -> bytes:
    """A JPEG of the same pixels, smaller, with nothing else in it. Raises PictureError."""
    found = None
    if not blurred and not watermark and _quick_agrees(look.quality):
        found = jpeg_opencv.reprint(data, look.long_px, look.quality)
    return found or by_pillow(data, look, blurred, watermark)


@lru_cache
def _quick_agrees(quality: int) -> bool:
    """Whether OpenCV is there and gives Pillow's bytes: that is where both bring the same libjpeg."""
    if jpeg_opencv.opencv() is None:
        return False
    rows = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(rows).resize(PROBE_PX, Image.Resampling.BICUBIC).save(out, "JPEG")
    data = out.getvalue()
    looks = [Look(PROBE_PX[0] // scale, quality) for scale in jpeg_opencv.SCALES]
    return all(
        jpeg_opencv.reprint(data, it.long_px, quality) == by_pillow(data, it) for it in looks
    )


def by_pillow(
    data: bytes, look: Look, blurred: Sequence[Box] = (), watermark: str | None = None
) -> bytes:
    """The same, whatever is to be blurred or written, by Pillow alone."""
    image = _opened(data, look.long_px)
    if max(image.size) > look.long_px:
        image.thumbnail((look.long_px, look.long_px), Image.Resampling.BILINEAR)
    for box in blurred:
        _blur(image, box)
    if watermark:
        _write(image, watermark)
    # Pillow would save a profile or a comment that it read
    image.info.clear()
    out = io.BytesIO()
    image.save(out, "JPEG", quality=look.quality)
    return out.getvalue()


def _opened(data: bytes, long_px: int) -> Image.Image:
    """The pixels of a stored picture, at the smallest scale that has so many.

    What ingest stores is upright JPEG: it needs none of what makes the one decoder slow.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=["JPEG"])
        wanted = min(1.0, long_px / max(image.size))
        # Rounded down, as Pillow halves sizes: else 427 px would not be halved for 213.5
        image.draft("RGB", (int(image.width * wanted), int(image.height * wanted)))
        image.load()
    except Exception:
        return decode(data, at_least_px=long_px).image
    return image if image.mode == "RGB" else image.convert("RGB")


def in_photo(box: Box, width: int, height: int) -> Box:
    """A face's box in shares of its photo, with a margin."""
    return _with_margin(Box(box.x / width, box.y / height, box.width / width, box.height / height))


def in_crop(box: Box, face: Box, landmarks: FloatArray) -> Box | None:
    """Where a crop of one face shows another's box, in shares of it, with a margin; None if it does not.

    landmarks: (5, 2), as the crop was made by them. Where there are none nobody knows what it shows:
    then it is all of it.
    """
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        return WHOLE
    corners = np.array(
        [
            [box.x, box.y],
            [box.x + box.width, box.y],
            [box.x, box.y + box.height],
            [box.x + box.width, box.y + box.height],
        ],
        np.float32,
    )
    target = geometry.ARCFACE_TEMPLATE + np.float32(CROP_MARGIN_PX)
    onto_crop = geometry.similarity_transform(landmarks, target)
    placed = geometry.transform_points(onto_crop, corners) / CROP_PX
    (left, top), (right, bottom) = placed.min(axis=0).tolist(), placed.max(axis=0).tolist()
    found = _with_margin(Box(left, top, right - left, bottom - top))
    inside = found.x < 1 and found.y < 1 and found.x + found.width > 0
    return found if inside and found.y + found.height > 0 else None


def _with_margin(box: Box) -> Box:
    x, y = BLUR_MARGIN * box.width, BLUR_MARGIN * box.height
    return Box(box.x - x, box.y - y, box.width + 2 * x, box.height + 2 * y)


def _blur(image: Image.Image, box: Box) -> None:
    """Leave of a region its mean colours, BLUR_CELLS across."""
    width, height = image.size
    left, top = max(0, int(box.x * width)), max(0, int(box.y * height))
    right = min(width, int((box.x + box.width) * width) + 1)
    bottom = min(height, int((box.y + box.height) * height) + 1)
    if right <= left or bottom <= top:
        return
    region = image.crop((left, top, right, bottom))
    coarse = region.resize((BLUR_CELLS, BLUR_CELLS), Image.Resampling.BOX)
    image.paste(coarse.resize(region.size, Image.Resampling.BICUBIC), (left, top))


def unwritable(text: str) -> str:
    """The letters of a watermark for which no font here has a shape; nothing where all can be written."""
    return "".join(sorted(_lacking(_font(LEAST_LETTERS_PX, text), text)))


def _write(image: Image.Image, text: str) -> None:
    """Write a line at the bottom: white on a dark edge, so that it is seen on any picture.

    A long one is written smaller; what has no room even so is cut off.
    """
    size = max(LEAST_LETTERS_PX, round(min(image.size) * WATERMARK_SHARE))
    draw, font = ImageDraw.Draw(image), _font(size, text)
    wide, room = draw.textlength(text, font=font), image.width - size
    if wide > room:
        size = max(LEAST_LETTERS_PX, int(size * room / wide))
        font = _font(size, text)
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
def _font(size: int, text: str) -> Font:
    """Pillow's own font, or the first of the system's that lacks fewer of these letters."""
    own = ImageFont.load_default(size)
    if not _lacking(own, text):
        return own
    there: list[Font] = [own]
    for name in FONTS:
        with suppress(OSError):
            there.append(ImageFont.truetype(name, size))
    return min(there, key=lambda font: len(_lacking(font, text)))


def _lacking(font: Font, text: str) -> set[str]:
    """The letters that a font draws as it draws what no font has."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return {it for it in text if not it.isascii()}
    none = bytes(font.getmask(NO_LETTER))
    return {it for it in set(text) - {" "} if bytes(font.getmask(it)) == none}


def differ(data: bytes, other: bytes) -> float:
    """How far two pictures are apart where they are most: the mean difference of a block, 0..255.

    Raises PictureError.
    """
    one, two = decode(data).image, decode(other).image
    if one.size != two.size:
        raise BrokenPicture("the pictures are of different sizes")
    difference = np.abs(np.asarray(one, np.float32) - np.asarray(two, np.float32)).mean(axis=2)
    height, width = (-(-side // BLOCK_PX) for side in difference.shape)
    whole = np.zeros((height * BLOCK_PX, width * BLOCK_PX), np.float32)
    whole[: difference.shape[0], : difference.shape[1]] = difference
    blocks = whole.reshape(height, BLOCK_PX, width, BLOCK_PX).mean(axis=(1, 3))
    return float(blocks.max())
