"""The limits on pictures and their files, and the messages for pictures that exceed them.

Uploads have lower limits of their own: `app/web/upload_limits.py`.
"""

from __future__ import annotations

import re

MAX_FILE_BYTES = 500_000_000
"""A larger file is not read."""
MAX_PIXELS = 178_956_970
"""A larger picture is not decoded. Pillow's own limit for a decompression bomb: twice
`Image.MAX_IMAGE_PIXELS`."""


def describe_too_many_bytes() -> str:
    """The reason why a file of more than MAX_FILE_BYTES is refused."""
    return f"the file is larger than {MAX_FILE_BYTES // 1_000_000} MB"


def describe_too_many_pixels(error: Exception, max_pixels: int) -> str:
    """The reason why a picture of more than `max_pixels` is refused, with its size if it is known.

    error: Pillow's, which has the number of pixels in its own words; some decoders give none.
    """
    pixels = re.search(r"(\d+) pixels", str(error))
    size = f"{int(pixels[1]):,}" if pixels else "more"
    return (
        f"the picture is too large: {size} pixels; {max_pixels:,} are allowed, so make it smaller"
    )
