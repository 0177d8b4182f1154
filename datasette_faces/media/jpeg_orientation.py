"""A JPEG that says how it is to be turned: by EXIF's orientation, without a change to its pixels.

For pictures without metadata, as thumbnails are. Nothing is decoded.
"""

from __future__ import annotations

import struct

START = b"\xff\xd8"
_ORIENTATIONS = {90: 6, 180: 3, 270: 8}
"""The EXIF orientation (CIPA DC-008, 4.6.4) of a picture that is shown turned clockwise by so many
degrees."""
_ORIENTATION_TAG = 0x0112
_SHORT = 3


def say_turned(jpeg: bytes, turned: int) -> bytes:
    """A JPEG that is shown turned clockwise by 0, 90, 180 or 270 degrees.

    What is no JPEG, or to be turned by another number, stays as it is.
    """
    orientation = _ORIENTATIONS.get(turned)
    if orientation is None or not jpeg.startswith(START):
        return jpeg
    # A TIFF of one directory with one tag, as EXIF has it
    directory = struct.pack(">HHHIHHI", 1, _ORIENTATION_TAG, _SHORT, 1, orientation, 0, 0)
    body = b"Exif\0\0" + b"MM" + struct.pack(">HI", 42, 8) + directory
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return START + segment + jpeg[len(START) :]
