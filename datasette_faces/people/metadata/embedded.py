"""The packets of XMP in a picture, and how its pixels are stored: of JPEG, PNG, TIFF, WebP, HEIC, AVIF."""

from __future__ import annotations

import io
import re
import struct
import warnings
from dataclasses import dataclass

from PIL import Image

from ...errors import FacesError, NamesError
from ...media import decode
from ...media.exif import UPRIGHT, read_exif
from .regions import Frame, Reading, merged
from .xml_safe import MAX_BYTES
from .xmp_read import read

EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
"""ISO 16684-3, 1.1.3.1: what of a packet does not fit 64 kB follows in segments of its own."""
_HEADER = struct.Struct(">32sII")
"""Of such a segment: the whole's MD5 as text, its length, and where this part goes."""
_EXTENDED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a picture says of itself: its packets, and the EXIF orientation (1..8) of its pixels."""

    packets: tuple[bytes, ...]
    orientation: int


def embedded(data: bytes) -> Embedded:
    """The packets in a picture's bytes. Raises NamesError where they are no picture."""
    try:
        decode.register_heif(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=decode.list_formats()) as image:
                return of_image(image)
    except FacesError as error:
        raise NamesError(str(error)) from None
    # Pillow's parsers raise what broken bytes make them raise
    except Exception as error:
        raise NamesError(
            f"the picture cannot be read: {str(error) or type(error).__name__}"
        ) from None


def of_image(image: Image.Image) -> Embedded:
    """The packets of a picture that is open already."""
    # pillow-heif turns the picture upright, and keeps here how it was; regions apply to what is stored
    stored = image.info.get("original_orientation")
    orientation = stored if stored in range(1, 9) else read_exif(image).orientation
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    if not isinstance(found, bytes):
        return Embedded((), orientation or UPRIGHT)
    extension = _extension(image, found)
    return Embedded((found, extension) if extension else (found,), orientation or UPRIGHT)


def names_in(picture: Embedded, frame: Frame) -> Reading:
    """Whom a picture names; a packet that cannot be read is one fault.

    frame: the picture's upright size, with the orientation of `picture`.
    """
    readings = []
    for packet in picture.packets:
        try:
            readings.append(read(packet, frame))
        except NamesError as error:
            readings.append(Reading((), (str(error),)))
    return merged(readings)


def _extension(image: Image.Image, packet: bytes) -> bytes | None:
    """A JPEG's extended XMP, put together; None where there is none, or a part of it is missing."""
    named = _EXTENDED.search(packet)
    if named is None:
        return None
    parts: dict[int, bytes] = {}
    length = 0
    for marker, segment in getattr(image, "applist", ()):
        header = segment[len(EXTENSION) :]
        if marker != "APP1" or not segment.startswith(EXTENSION) or len(header) < _HEADER.size:
            continue
        digest, length_said, offset = _HEADER.unpack_from(header)
        if digest.upper() == named[1].upper():
            length, parts[offset] = length_said, header[_HEADER.size :]
    whole = b"".join(part for _, part in sorted(parts.items()))
    starts = [0]
    for _, part in sorted(parts.items()):
        starts.append(starts[-1] + len(part))
    complete = starts[:-1] == sorted(parts) and len(whole) == length <= MAX_BYTES
    return whole if whole and complete else None
