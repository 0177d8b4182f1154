"""The chunks of a WebP: whether all bytes of its picture are there, and a copy in which they are.

RFC 9649, 2.3. libwebp decodes a picture as a whole or not at all, so what is missing is filled.
"""

from __future__ import annotations

HEAD_BYTES = 12
_PICTURES = (b"VP8 ", b"VP8L")
ZEROED_END_BYTES = 16
"""So many zeros at the end of a picture's data were never written: it looks random."""


def is_cut(data: bytes) -> bool:
    """Whether a still WebP lacks the end of its picture's data, or has zeros in its place."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and fill_missing(data, 0) is not None


def fill_missing(data: bytes, value: int) -> bytes | None:
    """The same WebP with this byte in the place of all that is missing; None where nothing is."""
    at = HEAD_BYTES
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        begins, ends = at + 8, at + 8 + size
        if kind in _PICTURES:
            body = data[begins:ends]
            present = body.rstrip(b"\0")
            if len(body) - len(present) < ZEROED_END_BYTES:
                present = body
            lacking = size - len(present)
            return _join(kind, present + bytes([value]) * lacking) if lacking else None
        at = ends + size % 2
    return None


def _join(kind: bytes, body: bytes) -> bytes:
    """A WebP of one picture alone, without transparency and metadata."""
    chunk = kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
