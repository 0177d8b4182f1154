"""The chunks of a WebP: a copy in which what is missing of its picture is filled. RFC 9649, 2.3.

libwebp decodes a picture as a whole or not at all.
"""

from __future__ import annotations

HEAD_BYTES = 12
ZEROED_END_BYTES = 16
"""So many zeros at the end of a picture's data were never written: it looks random."""
_PICTURES = (b"VP8 ", b"VP8L")


def fill_missing(data: bytes, value: int) -> bytes | None:
    """The same still WebP with this byte in the place of all that is missing; None where nothing is.

    Without its transparency and metadata, which may be missing, too.
    """
    if data[:4] != b"RIFF" or data[8:HEAD_BYTES] != b"WEBP":
        return None
    at, filled, lacking = HEAD_BYTES, b"", 0
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        begins, ends = at + 8, at + 8 + size
        if kind in _PICTURES and not filled:
            present = _cut_zeros(data[begins:ends])
            lacking = size - len(present)
            filled = _join(kind, present + bytes([value]) * lacking)
        at = ends + size % 2
    is_short = at > len(data) + 1 or 8 + int.from_bytes(data[4:8], "little") > len(data) + 1
    return filled if filled and (lacking or is_short) else None


def _cut_zeros(body: bytes) -> bytes:
    if body[-ZEROED_END_BYTES:].strip(b"\0"):
        return body
    return body.rstrip(b"\0")


def _join(kind: bytes, body: bytes) -> bytes:
    """A WebP of one picture alone."""
    chunk = kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
