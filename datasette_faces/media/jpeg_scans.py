"""The segments of a JPEG: in how many scans it comes, and where it stops being one. No pixels.

ITU T.81, B.1: a picture is segments, each with a marker and most with a length; in the codes of a scan,
FF is followed by 00 or by a restart marker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..errors import BrokenPicture
from .jpeg_verify import START

_ENDS_CODES = np.ones(256, np.bool_)
_ENDS_CODES[[0, *range(0xD0, 0xD8), 0xFF]] = False
"""By the byte after FF: 00 is a code, D0 to D7 are restart markers, FF is before a marker."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_SCAN, _EOI, _RESTARTS, _TABLES = 0xDA, 0xD9, 0xDD, 0xC4
_LINES = 0xDC
"""DNL: the height, for a picture whose frame does not say it."""
_BETWEEN_SCANS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDD, _LINES, 0xFE, *range(0xE0, 0xF0)}
"""Segments that may follow the codes of a scan: tables, comments, applications' own, the next scan."""
FIRST_CHUNK_BYTES, CHUNK_BYTES = 256, 1 << 20
MAX_SCANS, MAX_SEGMENTS = 1_000, 10_000
"""A JPEG with more is no photograph; a hostile one keeps a decoder busy."""
ZEROED_END_BYTES = 16
"""So many zeros at the end were never written: codes look random, and rarely have two in a row."""
ZEROED_BLOCK_BYTES = 256
"""So many within were lost, unless the picture is flat: half of a sector of a disk."""


@dataclass(frozen=True, slots=True)
class JpegScans:
    """How the pixels of a JPEG are stored.

    count, components: of its scans, and of colours in its frame. codes_at: where the codes of the first
    scan begin, None where there are none. ends_at: where the last scan's codes end. is_whole: whether an
    end marker is there. is_refined: whether a scan has the last bits of details. interval: after how many
    blocks a restart marker stands; 0: there are none. has_zeros: whether many zeros may be codes, as of a
    flat picture whose tables give its blocks' ends the first code.
    """

    is_progressive: bool = False
    components: int = 0
    components_of_scans: tuple[int, ...] = ()
    codes_at: int | None = None
    ends_at: int = 0
    is_whole: bool = False
    is_refined: bool = False
    interval: int = 0
    has_zeros: bool = True

    @property
    def is_one_scan(self) -> bool:
        """Whether a decoder needs to keep no coefficients of all the picture."""
        return not self.is_progressive and self.components_of_scans == (self.components,)


def read_scans(data: bytes) -> JpegScans:
    """The scans of a JPEG, as far as its segments can be followed. Raises BrokenPicture if too many."""
    scans, at, count = JpegScans(), len(START), 0
    while (found := _find_marker(data, at)) is not None:
        count += 1
        if count > MAX_SEGMENTS or len(scans.components_of_scans) > MAX_SCANS:
            raise BrokenPicture("the picture is damaged: its JPEG has too many segments")
        kind, begins = data[found + 1], found + 2
        is_in_codes = scans.codes_at is not None
        if kind == _EOI and is_in_codes:
            return replace(scans, ends_at=found, is_whole=True)
        after = begins + int.from_bytes(data[begins : begins + 2], "big")
        if not begins + 2 <= after <= len(data) or (is_in_codes and kind not in _BETWEEN_SCANS):
            break
        scans, at = _add_segment(scans, kind, data[begins + 2 : after], after), after
    if scans.codes_at is None:
        return scans
    found = _find_marker(data, at)
    return replace(scans, ends_at=_cut_zeros(data, len(data) if found is None else found))


def _find_marker(data: bytes, at: int) -> int | None:
    """Where the next marker is that is no restart marker; None where there is none."""
    begins, size = at, FIRST_CHUNK_BYTES
    while begins < len(data) - 1:
        if data[begins] == 0xFF and _ENDS_CODES[data[begins + 1]]:
            return begins
        chunk = np.frombuffer(data, np.uint8, min(size + 1, len(data) - begins), begins)
        marks = np.flatnonzero(chunk[:-1] == 0xFF)
        found = marks[_ENDS_CODES[chunk[marks + 1]]]
        if len(found):
            return begins + int(found[0])
        begins, size = begins + size, min(2 * size, CHUNK_BYTES)
    return None


def _add_segment(scans: JpegScans, kind: int, body: bytes, ends_at: int) -> JpegScans:
    """What is known of the scans with one more segment."""
    if kind in _FRAMES:
        return replace(scans, is_progressive=kind in _PROGRESSIVE, components=body[5])
    if kind == _TABLES:
        return replace(scans, has_zeros=scans.has_zeros and _begin_with_ends(body))
    if kind == _RESTARTS:
        return replace(scans, interval=int.from_bytes(body[:2], "big"))
    if kind != _SCAN:
        return scans
    # The last bits of details: spectral selection from above 0, no bit to come (ITU T.81, G.1.1.1)
    is_last = body[-3] > 0 and body[-1] & 15 == 0
    return replace(
        scans,
        components_of_scans=(*scans.components_of_scans, body[0]),
        codes_at=scans.codes_at or ends_at,
        is_refined=scans.is_refined or is_last,
    )


def _begin_with_ends(tables: bytes) -> bool:
    """Whether in all tables of details the code of zeros ends a block (ITU T.81, B.2.4.2, F.1.2.2)."""
    at = 0
    while at + 17 < len(tables):
        if tables[at] >> 4 and tables[at + 17]:
            return False
        at += 17 + sum(tables[at + 1 : at + 17])
    return True


def count_restarts(data: bytes, scans: JpegScans) -> int:
    """How many restart markers stand in the codes."""
    return sum(1 for _ in _RESTART.finditer(data, scans.codes_at or 0, scans.ends_at))


def find_zeroed_block(data: bytes, scans: JpegScans) -> int | None:
    """Where a long run of zeros within the codes begins; None where there is none."""
    at = data.find(bytes(ZEROED_BLOCK_BYTES), scans.codes_at or 0, scans.ends_at)
    return at if at >= 0 else None


def _cut_zeros(data: bytes, end: int) -> int:
    """Where the zeros at the end of some codes begin, if they are many."""
    begins = len(data[:end].rstrip(b"\0"))
    return begins if end - begins >= ZEROED_END_BYTES else end
