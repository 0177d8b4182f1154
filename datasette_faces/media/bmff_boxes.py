"""The boxes of HEIC and AVIF: a copy in which what is missing of their pictures' data is filled.

ISO 14496-12, 4.2. The data is in a box of its own, which cameras write last.
"""

from __future__ import annotations

ZEROED_END_BYTES = 64
"""So many zeros at the end of the data were never written: it looks random."""


def fill_missing(data: bytes, value: int) -> bytes | None:
    """The same file with this byte in the place of all that is missing; None where nothing is."""
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
