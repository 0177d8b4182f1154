"""Files of chunks or boxes whose end is lost: as their decoders need them to give what is there.

libwebp, libheif and libavif decode a picture as a whole or not at all, so what is missing is filled; Pillow
decodes a PNG row by row. WebP: RFC 9649, 2.3. HEIC and AVIF: ISO 14496-12, 4.2. PNG: 3rd edition, 5.3.
"""

from __future__ import annotations

import zlib

import numpy as np

PNG_HEAD_BYTES, WEBP_HEAD_BYTES = 8, 12
INFLATED_BYTES = 1 << 20
ZEROED_END_BYTES = 64
"""So many zeros at the end of a picture's data were never written: it looks random."""
_WEBP_PICTURES = (b"VP8 ", b"VP8L")
_WEBP_EXTENDED = b"VP8X"
_WEBP_FLAGS = {b"ICCP": 0x20, b"ALPH": 0x10, b"EXIF": 0x08, b"XMP ": 0x04}
"""In the first byte of VP8X: which other chunks there are."""
_HAS_ALPHA = 0x10


def fill_webp(data: bytes, value: int) -> bytes | None:
    """The same still WebP with this byte in the place of all that is missing; None where nothing is.

    With all of its other chunks that are whole. Zeros at the end of its codes may be missing ones, or the
    codes of a plain area: with 0 for a value they stay what they are.
    """
    if data[:4] != b"RIFF" or data[8:WEBP_HEAD_BYTES] != b"WEBP":
        return None
    at, chunks, lacking = WEBP_HEAD_BYTES, dict[bytes, bytes](), 0
    ends = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= ends:
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if kind in _WEBP_PICTURES and not chunks.keys() & set(_WEBP_PICTURES):
            present = _cut_zeros(body)
            lacking = size - len(present)
            chunks[kind] = present + bytes([value]) * lacking
        elif len(body) == size:
            chunks.setdefault(kind, body)
        at += 8 + size + size % 2
    is_short = at > len(data) + 1 or is_short_webp(data)
    if not chunks.keys() & set(_WEBP_PICTURES) or not (lacking or is_short):
        return None
    return _join(chunks)


def is_short_webp(data: bytes) -> bool:
    """Whether this is a WebP that says that it is longer."""
    return data[:4] == b"RIFF" and 8 + int.from_bytes(data[4:8], "little") > len(data) + 1


def _cut_zeros(body: bytes) -> bytes:
    if body[-ZEROED_END_BYTES:].strip(b"\0"):
        return body
    return body.rstrip(b"\0")


def _join(chunks: dict[bytes, bytes]) -> bytes:
    """A WebP of these chunks, which says that it has no others."""
    extended = chunks.get(_WEBP_EXTENDED)
    if extended:
        missing = sum(flag for kind, flag in _WEBP_FLAGS.items() if kind not in chunks)
        if b"VP8L" in chunks:  # has its transparency within
            missing &= ~_HAS_ALPHA
        chunks = {**chunks, _WEBP_EXTENDED: bytes([extended[0] & ~missing]) + extended[1:]}
    body = b"".join(
        kind + len(chunk).to_bytes(4, "little") + chunk + b"\0" * (len(chunk) % 2)
        for kind, chunk in chunks.items()
    )
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def fill_last_zeros(data: bytes, filled: bytes) -> bytes:
    """A file with the last quarter of its zeros, that is of what is filled in the other, filled.

    Codes of a plain area are needed to the last one; of zeros in the place of lost codes, which are longer,
    a decoder leaves some.
    """
    differs = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(filled, np.uint8))
    if not len(differs):
        return data
    at = int(differs[len(differs) * 3 // 4])
    return data[:at] + filled[at:]


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


def is_png_inflated(data: bytes, most: int) -> bool:
    """Whether the compressed pixels of a PNG are right by their own checksum, within so many bytes."""
    at, inflate, count = PNG_HEAD_BYTES, zlib.decompressobj(), 0
    while at + 8 <= len(data) and not inflate.eof:
        begins = at + 8
        ends = begins + int.from_bytes(data[at : at + 4], "big")
        waiting = data[begins:ends] if data[at + 4 : begins] == b"IDAT" else b""
        while waiting and count <= most:
            try:
                count += len(inflate.decompress(waiting, INFLATED_BYTES))
            except zlib.error:
                return False
            waiting = inflate.unconsumed_tail
        at = ends + 4
    return inflate.eof and count <= most
