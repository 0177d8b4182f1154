"""The limits on pictures and their files, and the messages for pictures that exceed them.

Uploads have lower limits of their own: `app/web/upload_limits.py`.
"""

from __future__ import annotations

import re

from PIL import Image, JpegImagePlugin

from ..errors import BrokenPicture

MAX_FILE_BYTES = 500_000_000
"""A larger file is not read."""
MAX_PIXELS = 178_956_970
"""A larger picture is not decoded. Pillow's own limit for a decompression bomb: twice
`Image.MAX_IMAGE_PIXELS`."""
MAX_JPEG_PIXELS = 1_000_000_000
"""Of a JPEG, which is decoded at up to an eighth of its size: 16 million pixels then. Measured: 200
million take 0.2 s and 31 MB at an eighth, 0.4 s and 215 MB at a half."""
MAX_COEFFICIENT_BYTES = 1_250_000_000
"""Of a JPEG that comes in several scans (progressive), whose decoder keeps all coefficients, 2 bytes each,
at any scale. Measured: 100 million pixels take 318 MB at 4:2:0, 617 MB at 4:4:4."""


def find_max_pixels(image: Image.Image, *, is_one_scan: bool) -> int:
    """How many pixels a picture of this kind may have.

    is_one_scan: whether it is a JPEG that can be decoded smaller without its coefficients in memory.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return MAX_PIXELS
    if is_one_scan:
        return MAX_JPEG_PIXELS
    return max(MAX_PIXELS, int(MAX_COEFFICIENT_BYTES / 2 / _count_samples(image)))


def _count_samples(image: JpegImagePlugin.JpegImageFile) -> float:
    """How many coefficients a JPEG has for each pixel: 1.5 at 4:2:0, 3 at 4:4:4."""
    factors = [(across, down) for _, across, down, _ in image.layer]
    widest = max(across for across, _ in factors) * max(down for _, down in factors)
    return sum(across * down for across, down in factors) / widest


def describe_too_many_bytes() -> str:
    """The reason why a file of more than MAX_FILE_BYTES is refused."""
    return f"the file is larger than {MAX_FILE_BYTES // 1_000_000} MB"


def check_pixels(pixels: int, max_pixels: int) -> None:
    """Raises BrokenPicture where a picture has more pixels than are allowed."""
    if pixels > max_pixels:
        raise BrokenPicture(_describe_too_many(f"{pixels:,}", max_pixels))


def describe_too_many_pixels(error: Exception, max_pixels: int) -> str:
    """The reason why a picture of more than `max_pixels` is refused, with its size if it is known.

    error: Pillow's, which has the number of pixels in its own words; some decoders give none.
    """
    pixels = re.search(r"(\d+) pixels", str(error))
    return _describe_too_many(f"{int(pixels[1]):,}" if pixels else "more", max_pixels)


def _describe_too_many(size: str, max_pixels: int) -> str:
    return (
        f"the picture is too large: {size} pixels; {max_pixels:,} are allowed, so make it smaller"
    )
