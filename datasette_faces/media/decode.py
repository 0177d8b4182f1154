"""Bytes to upright RGB: the one decoder of photos. No models, no SQL."""

from __future__ import annotations

import ctypes
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..algorithms.quarter_turns import turn_size
from ..errors import BrokenPicture, PictureError
from ..shapes import RgbArray
from . import limits
from .exif import UPRIGHT, Exif, read_exif
from .formats import FORMATS_BY_SUFFIX as FORMATS_BY_SUFFIX
from .opened import OpenedPicture, check_size, open_picture
from .pixels import load_rgb

_UPRIGHTING = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation (CIPA DC-008, 4.6.4)."""
SIDEWAYS = (5, 6, 7, 8)
"""The EXIF orientations that swap width and height."""
_TURNED_BY_90 = {1: 6, 6: 3, 3: 8, 8: 1, 2: 7, 7: 4, 4: 5, 5: 2}
"""The EXIF orientation of a picture that is shown turned clockwise by 90° more."""


@dataclass(frozen=True)
class Picture:
    """An RGB picture, decoded at `scale` (0..1] of its full size.

    width, height: of the upright, full-size picture. decoded: as the decoder gives it, which still has to
    be turned by `exif.orientation`; all methods return upright pixels. A large picture is turned upright by
    regions: a second copy takes too much memory. damage: a note, if some of it could not be read.
    """

    decoded: Image.Image
    width: int
    height: int
    scale: float
    format: str
    exif: Exif
    damage: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the decoded picture, upright."""
        width, height = self.decoded.size
        return (height, width) if self.exif.orientation in SIDEWAYS else (width, height)

    @property
    def image(self) -> Image.Image:
        """All of the decoded picture, upright."""
        return turn_upright(self.decoded, self.exif.orientation)

    def crop_region(self, left: int, top: int, right: int, bottom: int) -> Image.Image:
        """A part of the decoded picture, upright; edges in its pixels."""
        width, height = self.size
        as_stored = {
            1: (left, top, right, bottom),
            2: (width - right, top, width - left, bottom),
            3: (width - right, height - bottom, width - left, height - top),
            4: (left, height - bottom, right, height - top),
            5: (top, left, bottom, right),
            6: (top, width - right, bottom, width - left),
            7: (height - bottom, width - right, height - top, width - left),
            8: (height - bottom, left, height - top, right),
        }
        orientation = self.exif.orientation
        return turn_upright(self.decoded.crop(as_stored[orientation]), orientation)

    def pixels(self) -> RgbArray:
        """The decoded pixels as an array (height, width, 3)."""
        return np.asarray(self.image)

    def shrink(self, long_px: int, resampling: Image.Resampling) -> Image.Image:
        """All of the picture, upright, its long side at most long_px."""
        small = self.decoded.copy()
        small.thumbnail((long_px, long_px), resampling)
        return turn_upright(small, self.exif.orientation)

    def turn(self, turned: int) -> Picture:
        """This picture turned clockwise by 0, 90, 180 or 270 degrees; its pixels are not copied."""
        orientation = self.exif.orientation
        for _ in range(turned // 90):
            orientation = _TURNED_BY_90[orientation]
        width, height = turn_size(self.width, self.height, turned)
        exif = replace(self.exif, orientation=orientation)
        return replace(self, width=width, height=height, exif=exif)


def decode_picture(
    data: bytes, *, min_long_px: int | None = None, max_pixels: int | None = None
) -> Picture:
    """Decode a picture upright, RGB; a JPEG at its smallest scale of at least `min_long_px`.

    min_long_px: the long side that is needed. Without it, and for other formats than JPEG, the scale
    is 1; a JPEG of more than `limits.MAX_PIXELS` is decoded smaller in any case. Of an animation: the first
    frame; of a TIFF: the page that is the picture. Of a damaged picture what can be read, and grey, if that
    is most of it. More than `max_pixels` are refused before they are decoded; None: those that its format
    may have. Raises PictureError, or BrokenPicture if the bytes are at fault, with a reason that the
    user understands.
    """
    if not data:
        raise BrokenPicture("the file is empty (0 bytes)")
    if len(data) > limits.MAX_FILE_BYTES:
        raise BrokenPicture(limits.describe_too_many_bytes())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, min_long_px, max_pixels)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise BrokenPicture(_describe_unidentified(data)) from None
    except Image.DecompressionBombError as error:
        most = max_pixels or limits.MAX_PIXELS
        raise BrokenPicture(limits.describe_too_many_pixels(error, most)) from None
    except MemoryError:
        raise PictureError("decoding it takes more memory than is allowed") from None
    # Broken bytes make Pillow's decoders raise anything: OSError, SyntaxError, struct.error…
    except Exception as error:
        raise BrokenPicture(
            f"the picture is damaged: {str(error) or type(error).__name__}"
        ) from None


def _decode(data: bytes, min_long_px: int | None, max_pixels: int | None) -> Picture:
    opened = open_picture(data)
    with opened.image as image:
        check_size(opened, max_pixels)
        stored = opened.size
        scale = _reduce_jpeg(opened, min_long_px)
        decoded, damage = load_rgb(opened)
        # After decoding: Pillow turns a TIFF upright itself, libheif a HEIC, and both say so
        exif = read_exif(image)
        if opened.page:
            exif = replace(exif, orientation=opened.orientation)
        width, height = stored if scale < 1 else decoded.size
        if exif.orientation in SIDEWAYS:
            width, height = height, width
        file_format = "JPEG" if image.format == "MPO" else str(image.format or "TIFF")
        return Picture(decoded, width, height, scale, file_format, exif, damage)


def _reduce_jpeg(opened: OpenedPicture, min_long_px: int | None) -> float:
    """Let a JPEG be decoded smaller; returns the exact scale."""
    width, height = opened.size
    factor = _find_least_factor(width * height)
    if opened.scans is None or (min_long_px is None and factor == 1):
        return 1.0
    scale = min(1.0, min_long_px / max(width, height)) if min_long_px else 1.0
    wanted = [min(math.ceil(side * scale), side // factor) for side in (width, height)]
    draft = opened.image.draft(None, (max(wanted[0], 1), max(wanted[1], 1)))
    return 1.0 if draft is None else float(draft[1][2]) / width


def _find_least_factor(pixels: int) -> int:
    """By how much a JPEG has to be reduced while it is decoded, for its pixels to be within the limit."""
    return next((it for it in (1, 2, 4) if pixels <= limits.MAX_PIXELS * it * it), 8)


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo an EXIF orientation (1..8)."""
    return image if orientation == UPRIGHT else image.transpose(_UPRIGHTING[orientation])


def _describe_unidentified(data: bytes) -> str:
    if b"\0" not in data[:1000]:
        return "the file holds text, not a picture"
    return "the file is not a picture, or its beginning is damaged"


def release_memory() -> None:
    """Let glibc return the memory of a large picture to the system; otherwise it keeps it."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
