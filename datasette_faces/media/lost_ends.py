"""Files of chunks or boxes whose end is lost: as their decoders need them to give what is there.

libwebp, libheif and libavif decode a picture as a whole or not at all, so what is missing is filled; Pillow
decodes a PNG row by row. WebP: RFC 9649, 2.3. HEIC and AVIF: ISO 14496-12, 4.2. PNG: 3rd edition, 5.3.
"""

from __future__ import annotations

import zlib

PNG_HEAD_BYTES, WEBP_HEAD_BYTES = 8, 12
ZEROED_END_BYTES = 64
"""So many zeros at the end of a picture's data were never written: it looks random."""
_WEBP_PICTURES = (b"VP8 ", b"VP8L")


def fill_webp(data: bytes, value: int) -> bytes | None:
    """The same still WebP with this byte in the place of all that is missing; None where nothing is.

    Without its transparency and metadata, which may be missing, too.
    """
    if data[:4] != b"RIFF" or data[8:WEBP_HEAD_BYTES] != b"WEBP":
        return None
    at, found, lacking = WEBP_HEAD_BYTES, (b"", b""), 0
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        begins, ends = at + 8, at + 8 + size
        if kind in _WEBP_PICTURES and not found[0]:
            found = kind, _cut_zeros(data[begins:ends])
            lacking = size - len(found[1])
        at = ends + size % 2
    is_short = at > len(data) + 1 or 8 + int.from_bytes(data[4:8], "little") > len(data) + 1
    if not found[0] or not (lacking or is_short):
        return None
    return _join(found[0], found[1] + bytes([value]) * lacking)


def _cut_zeros(body: bytes) -> bytes:
    if body[-ZEROED_END_BYTES:].strip(b"\0"):
        return body
    return body.rstrip(b"\0")


def _join(kind: bytes, body: bytes) -> bytes:
    """A WebP of one picture alone."""
    chunk = kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


def fill_bmff(data: bytes, value: int) -> bytes | None:
    """The same HEIC or AVIF with this byte in the place of all that is missing; None where nothing is.

    The data is in a box of its own, which cameras write last.
    """
    if data[4:8] != b"ftyp":
        return None
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        ends = at + size if size else len(data)
        if kind == b"mdat" and ends >= len(data):
            return _fill(data, min(ends, 2 * len(data)), value)
        if ends <= at:
            return None
        at = ends
    return None


def _fill(data: bytes, ends: int, value: int) -> bytes | None:
    present = data
    if not data[-ZEROED_END_BYTES:].strip(b"\0"):
        present = data.rstrip(b"\0")
    return present + bytes([value]) * (ends - len(present)) if len(present) < ends else None


def find_png_damage(data: bytes) -> int | None:
    """Until where a PNG may be right: in its first part of pixels that has another checksum, until zeros.

    None where all checksums are right: Pillow does not look at them. All of it where there are no zeros.
    """
    at = PNG_HEAD_BYTES
    while at + 8 <= len(data):
        begins = at + 8
        ends = begins + int.from_bytes(data[at : at + 4], "big")
        is_pixels = data[at + 4 : begins] == b"IDAT"
        checksum = data[ends : ends + 4]
        if is_pixels and checksum != zlib.crc32(memoryview(data)[at + 4 : ends]).to_bytes(4, "big"):
            zeros = data.find(bytes(ZEROED_END_BYTES), begins, ends)
            return len(data) if zeros < 0 else zeros
        at = ends + 4
    return None
