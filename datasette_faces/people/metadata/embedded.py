"""XMP packets in JPEG, PNG, TIFF, WebP, HEIC and AVIF, and what EXIF and IPTC say beside them."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, field

from PIL import Image, ImageFile, IptcImagePlugin

from ...errors import FacesError, NamesError
from ...media.exif import Exif, read_exif
from ...media.opened import open_picture
from .photo_facts import PhotoFacts, read_iptc_facts, read_xmp_facts
from .regions import Frame, ParsedNames, merge_names
from .xml_safe import MAX_BYTES
from .xmp_read import read_xmp

EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
"""ISO 16684-3, 1.1.3.1: the part of a packet beyond 64 kB follows in segments of its own."""
PNG_START, CHUNK_BYTES = b"\x89PNG\r\n\x1a\n", 12
"""How a PNG begins; and what a chunk has around its content: its length, name and checksum."""
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_HEADER = struct.Struct(">32sII")
"""Header of such a segment: the MD5 of the whole as text, its length, and the offset of this part."""
_EXTENDED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")


@dataclass(frozen=True, slots=True)
class EmbeddedXmp:
    """The XMP packets in a picture, the EXIF orientation (1..8) of its pixels, and its EXIF and IPTC."""

    packets: tuple[bytes, ...]
    orientation: int
    exif: Exif = field(default_factory=Exif)
    iptc: PhotoFacts = field(default_factory=PhotoFacts)


def read_embedded_xmp(data: bytes) -> EmbeddedXmp:
    """The XMP in a picture's bytes. Raises NamesError where they are not a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = open_picture(_lift_chunks(data))
            with opened.image as image:
                return extract_xmp(image, opened.orientation)
    except FacesError as error:
        raise NamesError(str(error)) from None
    # Pillow's parsers let any exception through that broken bytes cause
    except Exception as error:
        raise NamesError(
            f"the picture cannot be read: {str(error) or type(error).__name__}"
        ) from None


def _lift_chunks(data: bytes) -> bytes:
    """A PNG with the XMP and EXIF that stand behind its pixels before them; anything else as it is.

    Pillow reads what is behind only where it decodes the pixels.
    """
    if not data.startswith(PNG_START):
        return data
    at, pixels_at = len(PNG_START), 0
    late: list[tuple[int, int]] = []
    while at + CHUNK_BYTES <= len(data):
        ends = at + CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name == b"IDAT":
            pixels_at = pixels_at or at
        elif pixels_at and _is_metadata(data, at, ends):
            late.append((at, ends))
        at = ends
    if not late:
        return data
    lifted = [data[:pixels_at], *(data[start:end] for start, end in late)]
    starts = [pixels_at, *(end for _, end in late)]
    stops = [*(start for start, _ in late), len(data)]
    rest = (data[start:stop] for start, stop in zip(starts, stops, strict=True))
    return b"".join([*lifted, *rest])


def _is_metadata(data: bytes, at: int, ends: int) -> bool:
    """Whether a chunk of a PNG holds XMP or EXIF, and is whole: Pillow opens no other one."""
    start = at + 8
    is_wanted = data.startswith(b"eXIf", at + 4) or data.startswith(b"iTXt" + XMP_KEYWORD, at + 4)
    if not is_wanted or ends > len(data):
        return False
    checksum = zlib.crc32(data[start - 4 : ends - 4])
    return data[ends - 4 : ends] == checksum.to_bytes(4, "big")


def extract_xmp(image: Image.Image, orientation: int) -> EmbeddedXmp:
    """The XMP in a picture that is already open; regions apply to stored pixels, of this orientation."""
    packets = _list_packets(image)
    return EmbeddedXmp(packets, orientation, read_exif(image), _read_iptc(image))


def _list_packets(image: Image.Image) -> tuple[bytes, ...]:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes):
        return ()
    extension = _join_extension(image, packet)
    return (packet, extension) if extension else (packet,)


def _read_iptc(image: Image.Image) -> PhotoFacts:
    """What IPTC says; nothing where it cannot be read."""
    # Pillow's parser lets any exception through that broken bytes cause
    with suppress(Exception):
        if isinstance(image, ImageFile.ImageFile):
            return read_iptc_facts(IptcImagePlugin.getiptcinfo(image) or {})
    return PhotoFacts()


def read_embedded_names(xmp: EmbeddedXmp, frame: Frame) -> ParsedNames:
    """The names in a picture's XMP; a packet that cannot be read is one fault.

    frame: the picture's upright size, with the orientation of `xmp`.
    """
    parsed = []
    for packet in xmp.packets:
        try:
            parsed.append(read_xmp(packet, frame))
        except NamesError as error:
            parsed.append(ParsedNames((), (str(error),)))
    return merge_names(parsed, frame.faces)


def read_embedded_facts(xmp: EmbeddedXmp) -> list[PhotoFacts]:
    """The dates and places beside a picture's EXIF, XMP first; a packet that cannot be read has none."""
    facts = []
    for packet in xmp.packets:
        with suppress(NamesError):
            facts.append(read_xmp_facts(packet))
    return [*facts, xmp.iptc]


def _join_extension(image: Image.Image, packet: bytes) -> bytes | None:
    """A JPEG's extended XMP, put together; None where there is none, or a part is missing."""
    named = _EXTENDED.search(packet)
    if named is None:
        return None
    parts: dict[int, bytes] = {}
    length = 0
    for marker, segment in getattr(image, "applist", ()):
        header = segment[len(EXTENSION) :]
        if marker != "APP1" or not segment.startswith(EXTENSION) or len(header) < _HEADER.size:
            continue
        digest, full_length, offset = _HEADER.unpack_from(header)
        if digest.upper() == named[1].upper():
            length, parts[offset] = full_length, header[_HEADER.size :]
    whole = b"".join(part for _, part in sorted(parts.items()))
    starts = [0]
    for _, part in sorted(parts.items()):
        starts.append(starts[-1] + len(part))
    complete = starts[:-1] == sorted(parts) and len(whole) == length <= MAX_BYTES
    return whole if whole and complete else None
