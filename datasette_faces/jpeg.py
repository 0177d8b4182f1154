"""Whether a JPEG is a picture and nothing else: every byte of it is accounted for."""

from __future__ import annotations

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = 0xDA
JFIF = b"JFIF\0"
SAID = {
    0xE1: "EXIF or XMP",
    0xE2: "an ICC profile",
    0xED: "IPTC",
    0xFE: "a comment",
}
"""What segments hold that a picture does not need (ITU T.81, B.1; JFIF 1.02)."""
JFIF_BYTES = 16
"""Of JFIF's own segment without a preview picture in it."""


def fault(data: bytes, known: set[bytes] | None = None) -> str | None:
    """What is in a JPEG beside the picture, in words; None where there is nothing.

    known: heads that were found clean, and will be again.
    """
    if not data.startswith(START):
        return "no JPEG"
    scan = data.find(b"\xff\xda")
    head = data[:scan]
    # The size of the picture is the only thing that differs from one of a kind to the next
    if known is None or _without_size(head) not in known:
        found = _head_fault(data)
        if isinstance(found, str):
            return found
        scan, head = found, data[:found]
        if known is not None:
            known.add(_without_size(head))
    body = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    end = data.find(END, body)
    if end < 0:
        return "it does not end"
    if end != len(data) - 2:
        return f"{len(data) - end - 2} bytes behind its end"
    # In a scan, FF is followed by 00: whatever else follows would begin another segment
    if data.count(b"\xff", body) != data.count(b"\xff\0", body) + 1:
        return "a segment within the picture"
    return None


def _without_size(head: bytes) -> bytes:
    frame = head.find(b"\xff\xc0\0\x11\x08")
    return head if frame < 0 else head[: frame + 5] + head[frame + 9 :]


def _head_fault(data: bytes) -> str | int:
    """Where the scan begins, or what is wrong before it."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place + 4 : place + 2 + size]
        if kind == SCAN:
            return place if size == 6 + 2 * data[place + 4] else "a scan of another length"
        if wrong := _segment_fault(kind, segment):
            return wrong
        place += 2 + size
    return "no segment where one should be"


def _segment_fault(kind: int, segment: bytes) -> str | None:
    if kind == 0xE0:
        plain = segment.startswith(JFIF) and len(segment) == JFIF_BYTES - 2
        return None if plain else "a preview picture, or an unknown JFIF segment"
    if kind == 0xDB:
        return None if len(segment) % 65 == 0 else "a quantization table with more in it"
    if kind == 0xC0:
        return None if len(segment) == 6 + 3 * segment[5] else "a frame with more in it"
    if kind == 0xC4:
        return _tables_fault(segment)
    return SAID.get(kind, f"a segment {kind:02X}")


def _tables_fault(segment: bytes) -> str | None:
    place = 0
    while place < len(segment):
        place += 17 + sum(segment[place + 1 : place + 17])
    return None if place == len(segment) else "a Huffman table with more in it"
