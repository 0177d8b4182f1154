"""Whether a JPEG is a picture and nothing else: every byte of it is accounted for.

Before the scan stands, byte by byte, what Pillow writes at a quality; the scan's codes end where it ends.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = b"\xff\xda"
MARK = b"\xff"
FRAME = b"\xff\xc0"
DHT = 0xC4
SAID = {
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
BLOCK, BLOCK_VALUES = 8, 64
CODE_BITS = 16
"""The longest code of Huffman's (ITU T.81, C)."""
RUN_OF_ZEROS = 0xF0


@dataclass(frozen=True)
class Head:
    """What stands before the data of a scan, but for the frame's size, and what it says of the scan.

    unit_px: width and height of an MCU. blocks: of an MCU, the tables of each, for its first value and
    for the others: by the next 16 bits, how many bits to go on, and how many values (ITU T.81, F.2.2).
    """

    raw: bytes
    size_at: int
    unit_px: tuple[int, int]
    blocks: tuple[tuple[list[int], list[int]], ...]

    def begins(self, data: bytes) -> bool:
        """Whether a picture has this head, whatever its size."""
        head, at = data[: len(self.raw)], self.size_at
        return head[:at] == self.raw[:at] and head[at + 4 :] == self.raw[at + 4 :]


@lru_cache
def head(quality: int) -> Head:
    """What Pillow writes before a scan at a quality."""
    out = io.BytesIO()
    Image.new("RGB", (BLOCK, BLOCK)).save(out, "JPEG", quality=quality)
    data = out.getvalue()
    scan, frame = data.index(SCAN), data.index(FRAME)
    raw = data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
    parts = [data[frame + 10 + 3 * it : frame + 13 + 3 * it] for it in range(data[frame + 9])]
    tables = _tables(raw)
    blocks: list[tuple[list[int], list[int]]] = []
    for place, (_, sampling, _) in enumerate(parts):
        used = raw[scan + 6 + 2 * place]
        both = (tables[used >> 4], tables[0x10 | used & 15])
        blocks += [both] * ((sampling >> 4) * (sampling & 15))
    unit = (BLOCK * max(it[1] >> 4 for it in parts), BLOCK * max(it[1] & 15 for it in parts))
    return Head(raw, frame + 5, unit, tuple(blocks))


def fault(data: bytes, quality: int) -> str | None:
    """What is in a JPEG beside the picture, in words; None where there is nothing.

    quality: with which it was saved. Whether its scan goes on behind the picture, `scan_fault` says.
    """
    if not data.startswith(START):
        return "no JPEG"
    wanted = head(quality)
    if not wanted.begins(data):
        return _head_fault(data, wanted.raw)
    if is_one_scan(data, len(wanted.raw)):
        return None
    end = data.find(END, len(wanted.raw))
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


def scan_fault(data: bytes, quality: int) -> str | None:
    """Whether the codes of a picture without `fault` end with its scan, to the bit; None where they do.

    This takes some milliseconds for each picture.
    """
    wanted = head(quality)
    height, width = (
        int.from_bytes(data[at : at + 2], "big") for at in (wanted.size_at, wanted.size_at + 2)
    )
    units = -(-width // wanted.unit_px[0]) * -(-height // wanted.unit_px[1])
    scan = data[len(wanted.raw) : -2].replace(b"\xff\0", b"\xff")
    end = _end_of_codes(scan, wanted, units)
    if end is None:
        return "codes that are none"
    left = 8 * len(scan) - end
    if left < 0:
        return "a picture that is cut off"
    if left >= BLOCK:
        return f"{left // BLOCK} bytes within the scan, behind the picture"
    # The last byte is filled up with ones (ITU T.81, F.1.2.3)
    ones = (1 << left) - 1
    return None if scan[-1:] and scan[-1] & ones == ones else "bits behind the picture"


def _head_fault(data: bytes, wanted: bytes) -> str:
    """What a head has that it should not have."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place : place + 2] != SCAN:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        plain = kind == 0xE0 and data[place : place + 2 + size] in wanted
        if kind in SAID and not plain:
            return SAID[kind]
        place += 2 + size
    return OTHER_TABLES


def _tables(raw: bytes) -> dict[int, list[int]]:
    """The tables of codes in a head, by class (0 first values, 1 others) << 4 and number."""
    found: dict[int, list[int]] = {}
    place = 2
    while raw[place : place + 2] != SCAN:
        size = int.from_bytes(raw[place + 2 : place + 4], "big")
        at, end = place + 4, place + 2 + size
        while raw[place + 1] == DHT and at < end:
            counts = raw[at + 1 : at + 17]
            values = raw[at + 17 : at + 17 + sum(counts)]
            found[raw[at]] = _table(counts, values, others=raw[at] >> 4 == 1)
            at += 17 + len(values)
        place = end
    return found


def _table(counts: bytes, values: bytes, *, others: bool) -> list[int]:
    """By the next 16 bits: (bits of the code and of the value after it) << 8 | how many values it gives.

    0 where no code begins so.
    """
    starts = [0]
    for length, count in enumerate(counts, 1):
        starts += [starts[-1] + (it + 1 << CODE_BITS - length) for it in range(count)]
    lengths = [length for length, count in enumerate(counts, 1) for _ in range(count)]
    table = [0] * (1 << CODE_BITS)
    for (start, stop), length, value in zip(pairwise(starts), lengths, values, strict=True):
        run = (value >> 4) + 1 if value & 15 or value == RUN_OF_ZEROS else BLOCK_VALUES
        entry = length + (value & 15 if others else value) << 8 | (run if others else 1)
        table[start:stop] = [entry] * (stop - start)
    return table


def _end_of_codes(scan: bytes, wanted: Head, units: int) -> int | None:
    """The bit behind the last code of so many MCUs; None where no code begins at a place."""
    raw = np.frombuffer(scan + b"\0\0\0", np.uint8).astype(np.int64)
    # By each byte, it and the two that follow: 16 bits from any of its bits on
    three = (raw[:-2] << 16 | raw[1:-1] << 8 | raw[2:]).tolist()
    bit, last = 0, 8 * len(scan)
    for _ in range(units):
        for first, others in wanted.blocks:
            table, values = first, 0
            while values < BLOCK_VALUES:
                if bit > last:
                    return bit
                entry = table[three[bit >> 3] >> (8 - (bit & 7)) & 0xFFFF]
                if not entry:
                    return None
                bit += entry >> 8
                values += entry & 0xFF
                table = others
    return bit
