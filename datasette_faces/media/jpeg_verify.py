"""Whether a JPEG is a picture without metadata, and with nothing behind its end.

Before the scan stands, byte by byte, what Pillow writes at a quality; within it no segment begins.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = b"\xff\xda"
MARK = b"\xff"
FRAME = b"\xff\xc0"
SEGMENTS = {
    0xE0: "another JFIF segment than an export's: a preview picture, or more",
    0xE1: "EXIF or XMP",
    0xE2: "an ICC profile",
    0xED: "IPTC",
    0xFE: "a comment",
}
"""What segments hold that a picture does not need (ITU T.81, B.1; JFIF 1.02)."""
OTHER_TABLES = (
    "other tables than this Pillow's: of another version, or something in their place; audit with the "
    "Pillow that exported, or export again"
)
PROBE_PX = 8


@dataclass(frozen=True)
class Head:
    """What stands before the data of a scan, whatever size the frame has; size_at: where that stands."""

    raw: bytes
    size_at: int

    def begins(self, data: bytes) -> bool:
        """Whether a picture has this head, whatever its size."""
        head, at = data[: len(self.raw)], self.size_at
        return head[:at] == self.raw[:at] and head[at + 4 :] == self.raw[at + 4 :]


@lru_cache
def expected_head(quality: int) -> Head:
    """What Pillow writes before a scan at a quality."""
    out = io.BytesIO()
    Image.new("RGB", (PROBE_PX, PROBE_PX)).save(out, "JPEG", quality=quality)
    data = out.getvalue()
    scan, frame = data.index(SCAN), data.index(FRAME)
    raw = data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
    return Head(raw, frame + 5)


def find_fault(data: bytes, quality: int) -> str | None:
    """What is in a JPEG beside the picture, in words; None where there is nothing.

    quality: the one it was saved with.
    """
    if not data.startswith(START):
        return "no JPEG"
    expected = expected_head(quality)
    if not expected.begins(data):
        return _head_fault(data, expected.raw)
    if is_one_scan(data, len(expected.raw)):
        return None
    end = data.find(END, len(expected.raw))
    if end < 0:
        return "it does not end"
    if end != len(data) - 2:
        return f"{len(data) - end - 2} bytes behind its end"
    return "a segment within the picture"


def is_one_scan(data: bytes, begins: int) -> bool:
    """Whether from there on are codes, and then the end: FF is followed by 00, or would begin a segment."""
    _, *marked = data[begins:].split(MARK)
    if not marked or marked[-1] != END[1:]:
        return False
    return b"".join([it[:1] for it in marked[:-1]]) == bytes(len(marked) - 1)


def _head_fault(data: bytes, wanted: bytes) -> str:
    """What a head has that it should not have."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place : place + 2] != SCAN:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        plain = kind == 0xE0 and data[place : place + 2 + size] in wanted
        if kind in SEGMENTS and not plain:
            return SEGMENTS[kind]
        place += 2 + size
    return OTHER_TABLES
