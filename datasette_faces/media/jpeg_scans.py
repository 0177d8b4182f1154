"""The segments of a JPEG: in how many scans it comes, and where it stops being one. No pixels.

ITU T.81, B.1: a picture is segments, each with a marker and most with a length; in the codes of a scan,
FF is followed by 00 or by a restart marker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

START, END, MARK = b"\xff\xd8", b"\xff\xd9", b"\xff"
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_SCAN, _EOI = 0xDA, 0xD9
_LINES = 0xDC
"""DNL: the height, for a picture whose frame does not say it."""
_BETWEEN_SCANS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDD, _LINES, 0xFE, *range(0xE0, 0xF0)}
"""Segments that may follow the codes of a scan: tables, comments, applications' own, the next scan."""
ZEROED_END_BYTES = 16
"""So many zeros at the end were never written: codes look random, and rarely have two in a row."""
ZEROED_BLOCK_BYTES = 256
"""So many within were lost, unless the picture is flat: half of a sector of a disk."""


@dataclass(frozen=True, slots=True)
class JpegScans:
    """How the pixels of a JPEG are stored.

    count, components: of its scans, and of colours in its frame. codes_at: where the codes of the first
    scan begin, None where there are none. ends_at: where the last scan's codes end. is_whole: whether an
    end marker is there.
    """

    is_progressive: bool = False
    components: int = 0
    components_of_scans: tuple[int, ...] = ()
    codes_at: int | None = None
    ends_at: int = 0
    is_whole: bool = False
    is_refined: bool = False

    @property
    def is_one_scan(self) -> bool:
        """Whether a decoder needs to keep no coefficients of all the picture."""
        return not self.is_progressive and self.components_of_scans == (self.components,)


def read_scans(data: bytes) -> JpegScans:
    """The scans of a JPEG, as far as its segments can be followed."""
    at, frame, components = len(START), 0, 0
    scans: list[int] = []
    codes_at, ends_at, is_refined = None, len(data), False
    while found := _MARKER.search(data, at):
        kind, begins = found[1][0], found.end()
        in_codes = codes_at is not None
        if kind == _EOI and in_codes:
            ends = found.start()
            return JpegScans(
                frame in _PROGRESSIVE, components, tuple(scans), codes_at, ends, True, is_refined
            )
        after = begins + int.from_bytes(data[begins : begins + 2], "big")
        if after > len(data) or after < begins + 2 or (in_codes and kind not in _BETWEEN_SCANS):
            break
        if kind in _FRAMES:
            frame, components = kind, data[begins + 7]
        elif kind == _SCAN:
            scans.append(data[begins + 2])
            # The last refinement of the brightness: a progressive picture is complete with it
            is_refined |= data[after - 3] > 0 and data[after - 1] & 15 == 0
            codes_at = codes_at or after
        at = after
    if codes_at is not None:
        found = _MARKER.search(data, at)
        ends_at = _cut_zeros(data, found.start() if found else len(data))
    return JpegScans(
        frame in _PROGRESSIVE, components, tuple(scans), codes_at, ends_at, False, is_refined
    )


def find_zeroed_block(data: bytes, scans: JpegScans) -> int | None:
    """Where a long run of zeros within the codes begins; None where there is none."""
    at = data.find(bytes(ZEROED_BLOCK_BYTES), scans.codes_at or 0, scans.ends_at)
    return at if at >= 0 else None


def _cut_zeros(data: bytes, end: int) -> int:
    """Where the zeros at the end of some codes begin, if they are many."""
    begins = len(data[:end].rstrip(b"\0"))
    return begins if end - begins >= ZEROED_END_BYTES else end
