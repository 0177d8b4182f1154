"""The chunks of a damaged PNG: as much of it as its checksums, or a run of zeros, leave. PNG 3, 5.3."""

from __future__ import annotations

import zlib

HEAD_BYTES = 8
ZEROED_BYTES = 64
"""So many zeros in a chunk that has another checksum were never written: it looks random."""


def cut_damaged(data: bytes) -> bytes:
    """The beginning of a PNG that may be right: until zeros in the first chunk that is damaged."""
    at = HEAD_BYTES
    while at + 8 <= len(data):
        begins = at + 8
        ends = begins + int.from_bytes(data[at : at + 4], "big")
        if data[ends : ends + 4] != zlib.crc32(data[at + 4 : ends]).to_bytes(4, "big"):
            zeros = data.find(bytes(ZEROED_BYTES), begins, ends)
            return data if zeros < 0 else data[:zeros]
        at = ends + 4
    return data
