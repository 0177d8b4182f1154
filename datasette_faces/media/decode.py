"""Bytes to upright RGB: the one decoder, crops, thumbnails, and every limit on pictures.

No models, no SQL. Boxes and landmarks are always in pixels of the upright, full-size picture; a
`Picture` may be decoded smaller than that.
"""

from __future__ import annotations

import ctypes
import importlib.util
import io
import math
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..algorithms import geometry
from ..errors import BrokenPicture, PictureError
from ..shapes import Box, FloatArray, Landmarks, RgbArray
from .exif import UPRIGHT, Exif, read_exif
from .files import MAX_FILE_BYTES

MAX_PIXELS = 178_956_970
"""Pillow's own limit for a decompression bomb: twice `Image.MAX_IMAGE_PIXELS`."""

THUMBNAIL_PX = 640
CROP_PX = 160
NO_PICTURE = (232, 236, 241)
"""What a crop shows beyond its photo's edge: the ground on which the pages lay crops, not a part of the
picture. A mean colour looks like something that was covered, a mirrored edge like half a face more."""
CROP_MARGIN_PX = (CROP_PX - geometry.ALIGNED_PX) / 2
JPEG_QUALITY = 82
JPEG_END = b"\xff\xd9"
FACE_DECODED_PX = 112
"""A face is decoded at least this large, where the file has that many pixels of it."""

FORMATS = {
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
"""The endings that are looked at in a folder; what a file holds is told by its bytes."""

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
"""What undoes each EXIF orientation (CIPA DC-008, 4.6.4)."""
TURNED = (5, 6, 7, 8)
"""Orientations whose width and height are exchanged."""


@dataclass(frozen=True)
class Picture:
    """An RGB picture, decoded at `scale` (0..1] of its full size, upright in all that it gives.

    Of a large picture only regions are turned upright: all of it, twice, takes too much memory.
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
        return (height, width) if self.exif.orientation in TURNED else (width, height)

    @property
    def image(self) -> Image.Image:
        """All of the decoded picture, upright."""
        return _upright(self.decoded, self.exif.orientation)

    def region(self, left: int, top: int, right: int, bottom: int) -> Image.Image:
        """A part of the decoded picture, upright, in its pixels."""
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
        return _upright(self.decoded.crop(as_stored[orientation]), orientation)

    def pixels(self) -> RgbArray:
        """The decoded pixels as an array (height, width, 3)."""
        return np.asarray(self.image)


def decode(data: bytes, *, at_least_px: int | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture upright, RGB, at the smallest JPEG scale whose long side is `at_least_px`.

    Without `at_least_px`, and for other formats than JPEG, at full size. Of an animation: the
    first frame. More than `max_pixels` are refused before they are decoded. Raises PictureError,
    or BrokenPicture where the bytes are at fault, with a reason that a person understands.
    """
    if not data:
        raise BrokenPicture("the file is empty (0 bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise BrokenPicture(f"the file has over {MAX_FILE_BYTES // 1_000_000} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, at_least_px, max_pixels)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise BrokenPicture(_why_unidentified(data)) from None
    except Image.DecompressionBombError as error:
        raise BrokenPicture(_too_large(error, max_pixels)) from None
    except MemoryError:
        raise PictureError("decoding it takes more memory than is allowed") from None
    # Pillow's decoders raise what broken bytes make them raise: OSError, SyntaxError, struct.error…
    except Exception as error:
        raise BrokenPicture(
            f"the picture is damaged: {str(error) or type(error).__name__}"
        ) from None


def _decode(data: bytes, at_least_px: int | None, max_pixels: int) -> Picture:
    register_heif(data)
    with Image.open(io.BytesIO(data), formats=formats()) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise Image.DecompressionBombError(f"{width * height} pixels")
        exif = read_exif(image)
        scale = _draft(image, at_least_px)
        decoded = _rgb(image)
        if exif.orientation in TURNED:
            width, height = height, width
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        return Picture(decoded, width, height, scale, file_format, exif)


def formats() -> list[str]:
    """Pillow's names of the formats that are decoded, as far as it has a decoder for them."""
    Image.preinit()
    Image.init()
    return sorted(set(FORMATS.values()) & set(Image.OPEN))


def register_heif(data: bytes) -> None:
    """Have Pillow open HEIC, if these bytes are. Raises PictureError where that takes the extra."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS or "HEIF" in Image.OPEN:
        return
    if importlib.util.find_spec("pillow_heif") is None:
        raise PictureError("HEIC needs pillow-heif: pip install 'datasette-faces[ingest]'")
    import pillow_heif

    pillow_heif.register_heif_opener()


def _draft(image: Image.Image, at_least_px: int | None) -> float:
    """Have a JPEG decoded smaller; the exact scale that this gives."""
    if image.format not in ("JPEG", "MPO") or at_least_px is None:
        return 1.0
    wanted = min(1.0, at_least_px / max(image.size))
    width = image.width
    answer = image.draft(None, (math.ceil(image.width * wanted), math.ceil(image.height * wanted)))
    return 1.0 if answer is None else float(answer[1][2]) / width


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or floating point, brought to 0..255; Pillow would cut it off there."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = float(values.max(initial=0))
    white = 255.0 if 1 < top <= 255 else 65_535.0 if 255 < top <= 65_535 else max(top, 1e-9)
    grey = np.clip(values * (255.0 / white), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == UPRIGHT else image.transpose(_UPRIGHTING[orientation])


def _too_large(error: Image.DecompressionBombError, max_pixels: int) -> str:
    """Pillow names the number of pixels in its own words; some decoders name none."""
    named = re.search(r"(\d+) pixels", str(error))
    size = f"{int(named[1]):,}" if named else "more"
    return (
        f"the picture is too large: {size} pixels; {max_pixels:,} are allowed, so make it smaller"
    )


def _why_unidentified(data: bytes) -> str:
    if b"\0" not in data[:1000]:
        return "the file holds text, not a picture"
    return "the file is no picture, or its beginning is damaged"


def at_least_px_for(faces: list[Box], picture: Picture) -> int | None:
    """How large to decode a picture again so that its faces are sharp; None where it serves."""
    if picture.scale == 1.0 or not faces:
        return None
    smallest = min(min(box.width, box.height) for box in faces)
    wanted = min(1.0, FACE_DECODED_PX / smallest)
    if wanted <= picture.scale:
        return None
    return math.ceil(wanted * max(picture.width, picture.height))


def thumbnail(picture: Picture) -> bytes:
    """A JPEG of the whole picture, its long side at most THUMBNAIL_PX."""
    small = picture.decoded.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    return to_jpeg(_upright(small, picture.exif.orientation))


def crop(picture: Picture, landmarks: Landmarks) -> bytes:
    """A JPEG of a face, turned upright, with a margin, CROP_PX wide and high."""
    target = geometry.ARCFACE_TEMPLATE + np.float32(CROP_MARGIN_PX)
    return to_jpeg(_warp(picture, landmarks, target, CROP_PX, surround=True))


def align(picture: Picture, landmarks: Landmarks) -> RgbArray:
    """A face on ArcFace's template: (112, 112, 3)."""
    return np.asarray(_warp(picture, landmarks, geometry.ARCFACE_TEMPLATE, geometry.ALIGNED_PX))


def _warp(
    picture: Picture,
    landmarks: Landmarks,
    target: FloatArray,
    side_px: int,
    *,
    surround: bool = False,
) -> Image.Image:
    """Sample a picture so that landmarks fall on a target; beyond its edges black, or NO_PICTURE."""
    fill = NO_PICTURE if surround else (0, 0, 0)
    source = landmarks * np.float32(picture.scale)
    inverse = geometry.invert_transform(geometry.similarity_transform(source, target))
    left, top, right, bottom = _region(inverse, picture, side_px)
    if right <= left or bottom <= top:
        return Image.new("RGB", (side_px, side_px), fill)
    region = picture.region(left, top, right, bottom)
    # Bilinear sampling alone would skip pixels of a large face: halve it until it does not
    shrink = max(1, int(math.hypot(*inverse[:, 0])))
    if shrink > 1:
        region = region.reduce(shrink)
    inverse[:, 2] -= (left, top)
    inverse /= shrink
    coefficients = tuple(float(value) for value in inverse.ravel())
    return region.transform(
        (side_px, side_px),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )


def source_region(matrix: FloatArray, picture: Picture, side_px: int) -> tuple[int, int, int, int]:
    """The part of a picture (decoded pixels) that a transform onto a square of side_px reads."""
    return _region(geometry.invert_transform(matrix), picture, side_px)


def _region(inverse: FloatArray, picture: Picture, side_px: int) -> tuple[int, int, int, int]:
    corners = geometry.transform_points(
        inverse, np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float32)
    )
    left, top = (int(value) - 2 for value in np.floor(corners.min(axis=0)))
    right, bottom = (int(value) + 2 for value in np.ceil(corners.max(axis=0)))
    width, height = picture.size
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def sharpness(aligned: RgbArray) -> float:
    """Variance of the Laplacian of an aligned face: below about 30 it is blurred or very small."""
    grey = aligned.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    return float(laplacian.var())


def to_jpeg(image: Image.Image) -> bytes:
    """A JPEG without metadata."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=False)
    return out.getvalue()


def return_memory() -> None:
    """Have glibc give back what a large picture took; it keeps that otherwise."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def is_whole_jpeg(data: object) -> bool:
    """Whether this has the head and the end of a JPEG: much quicker than to decode it."""
    if not isinstance(data, bytes) or not data.rstrip(b"\0").endswith(JPEG_END):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            return min(picture.size) > 0
    except (OSError, ValueError, SyntaxError):
        return False


def decodes(data: bytes) -> bool:
    """Whether the whole of a small picture of ours can be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True
