"""Bytes to upright RGB: the one decoder of photos. No models, no SQL."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import BrokenPicture, PictureError
from ..shapes import RgbArray
from . import limits
from .exif import UPRIGHT, Exif, read_exif

FORMATS_BY_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".avif": "AVIF",
}
"""The suffixes that are read in a folder; a file's bytes decide what it is."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
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


@dataclass(frozen=True)
class Picture:
    """An RGB picture, decoded at `scale` (0..1] of its full size.

    width, height: of the upright, full-size picture. decoded: as stored; all methods return upright
    pixels. A large picture is turned upright by regions: a second copy takes too much memory.
    """

    decoded: Image.Image
    width: int
    height: int
    scale: float
    format: str
    exif: Exif

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


def decode_picture(
    data: bytes, *, min_long_px: int | None = None, max_pixels: int = limits.MAX_PIXELS
) -> Picture:
    """Decode a picture upright, RGB; a JPEG at its smallest scale of at least `min_long_px`.

    min_long_px: the long side that is needed. Without it, and for other formats than JPEG, the scale
    is 1. Of an animation: the first frame. More than `max_pixels` are refused before they are
    decoded. Raises PictureError, or BrokenPicture if the bytes are at fault, with a reason that the
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
        raise BrokenPicture(limits.describe_too_many_pixels(error, max_pixels)) from None
    except MemoryError:
        raise PictureError("decoding it takes more memory than is allowed") from None
    # Broken bytes make Pillow's decoders raise anything: OSError, SyntaxError, struct.error…
    except Exception as error:
        raise BrokenPicture(
            f"the picture is damaged: {str(error) or type(error).__name__}"
        ) from None


def _decode(data: bytes, min_long_px: int | None, max_pixels: int) -> Picture:
    register_heif(data)
    with Image.open(io.BytesIO(data), formats=list_formats()) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise Image.DecompressionBombError(f"{width * height} pixels")
        exif = read_exif(image)
        scale = _reduce_jpeg(image, min_long_px)
        decoded = _convert_to_rgb(image)
        if exif.orientation in SIDEWAYS:
            width, height = height, width
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        return Picture(decoded, width, height, scale, file_format, exif)


def list_formats() -> list[str]:
    """Pillow's names of the formats that are decoded and that it has a decoder for."""
    Image.preinit()
    Image.init()
    return sorted(set(FORMATS_BY_SUFFIX.values()) & set(Image.OPEN))


def register_heif(data: bytes) -> None:
    """Let Pillow open HEIC, if these bytes are. Raises PictureError if the extra is missing."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS or "HEIF" in Image.OPEN:
        return
    if importlib.util.find_spec("pillow_heif") is None:
        raise PictureError("HEIC needs pillow-heif: pip install 'datasette-faces[ingest]'")
    import pillow_heif

    pillow_heif.register_heif_opener()


def _reduce_jpeg(image: Image.Image, min_long_px: int | None) -> float:
    """Let a JPEG be decoded smaller; returns the exact scale."""
    if image.format not in ("JPEG", "MPO") or min_long_px is None:
        return 1.0
    scale = min(1.0, min_long_px / max(image.size))
    width = image.width
    draft = image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
    return 1.0 if draft is None else float(draft[1][2]) / width


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return _convert_deep_grey(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image.convert("RGB")


def _convert_deep_grey(image: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits or floating point to 0..255; Pillow would clip it there."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = float(values.max(initial=0))
    white = 255.0 if 1 < top <= 255 else 65_535.0 if 255 < top <= 65_535 else max(top, 1e-9)
    grey = np.clip(values * (255.0 / white), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


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
