"""The samples of a TIFF's page as an array, for the kinds that Pillow reads wrongly or not at all.

Pillow decompresses, by its libtiff: it gets the strips as a grey picture of 8 bits, whose pixels are the
bytes of the samples. The rest is arithmetic: TIFF 6.0, sections 8, 14 and 15.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import BrokenPicture
from . import tiff_pages as tags
from .partial import MaskArray
from .tiff_pages import TiffPage
from .tones import SampleArray

COMPRESSIONS = (1, 5, 8, 32_773, 32_946, 34_925, 50_000)
"""None, LZW, deflate (both numbers), PackBits, LZMA, zstd: those that give the samples' bytes."""
MAX_SAMPLE_BYTES = 1_200_000_000
"""A page with more is not decoded: 100 million pixels of three floating-point numbers."""
GROUP_BYTES = 32_000_000
_MOST_GROWTH, _MOST_OVERHEAD_BYTES = 2, 1024
"""How much longer than its samples a compressed strip may be: bytes beyond that are not looked at."""
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_HORIZONTAL, _FLOATING = 2, 3
_REVERSED = 2
_BIT_REVERSAL = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(-1, 8)[:, ::-1])


@dataclass(frozen=True)
class SampleLayout:
    """How a page's samples lie in its strips or tiles, which are read alike.

    width, height: of a strip or tile. across: how many lie side by side. planes: 1, or one for each sample.
    """

    width: int
    height: int
    across: int
    planes: int
    samples: int
    bits: int
    kind: int

    @property
    def row_bytes(self) -> int:
        """Of a row of a strip or tile."""
        return (self.width * self.samples * self.bits + 7) // 8


def find_unsupported(page: TiffPage) -> str | None:
    """What keeps a page's samples from being read here, in words; None where nothing does."""
    bits, kinds = set(page.bits), set(page.tags.get(tags.FORMAT, (UNSIGNED,)))
    compression = page.first(tags.COMPRESSION, 1)
    predictor = page.first(tags.PREDICTOR, 1)
    if compression not in COMPRESSIONS:
        return f"compression {compression}"
    if len(bits) != 1 or len(kinds) != 1 or not bits:
        return f"samples of {', '.join(map(str, page.bits))} bits"
    (depth,), (kind,) = bits, kinds
    if kind not in (UNSIGNED, SIGNED, FLOAT):
        return f"samples of the format {kind}"
    if depth not in ((16, 32, 64) if kind == FLOAT else (8, 10, 12, 14, 16, 32)):
        return f"{depth}-bit {'floating-point ' if kind == FLOAT else ''}samples"
    if predictor not in (1, _HORIZONTAL, _FLOATING) or (
        predictor > 1 and depth not in (8, 16, 32, 64)
    ):
        return f"predictor {predictor} with {depth} bits"
    return None


def count_bytes(page: TiffPage) -> int:
    """How large a page's samples are."""
    return page.width * page.height * sum(page.bits) // 8


def read_samples(data: bytes, page: TiffPage) -> tuple[SampleArray, MaskArray | None]:
    """The samples of a page, (height, width, samples), and where they are missing (None: nowhere).

    Raises BrokenPicture.
    """
    layout = _find_layout(page)
    down = -(-page.height // layout.height)
    tile = (layout.height, layout.width, layout.samples)
    out = np.zeros((page.height, page.width, len(page.bits)), _find_type(layout))
    missing = np.zeros((page.height, page.width), np.bool_)
    for place, (raw, lost) in enumerate(_read_segments(data, page, layout)):
        plane, cell = divmod(place, down * layout.across)
        top, left = (cell // layout.across) * layout.height, (cell % layout.across) * layout.width
        values = _decode_segment(raw, page, layout).reshape(tile)
        rows, columns = slice(top, top + layout.height), slice(left, left + layout.width)
        target = out[rows, columns, plane : plane + layout.samples]
        target[:] = values[: target.shape[0], : target.shape[1]]
        gone = np.any(lost.reshape(layout.height, -1), axis=1)[: target.shape[0], None]
        missing[rows, columns] |= gone
    return out, missing if missing.any() else None


def _find_layout(page: TiffPage) -> SampleLayout:
    count, bits = len(page.bits), page.bits[0]
    is_separate = page.first(tags.PLANAR, 1) == 2 and count > 1
    width, height = page.width, min(page.first(tags.STRIP_ROWS, page.height), page.height)
    if tags.TILES in page.tags:
        width, height = page.first(tags.TILE_WIDTH), page.first(tags.TILE_HEIGHT)
    if width < 1 or height < 1 or width > 2 * page.width + 4096 or height > 2 * page.height + 4096:
        raise BrokenPicture("the picture is damaged: the strips of its TIFF have no size")
    return SampleLayout(
        width,
        height,
        across=-(-page.width // width),
        planes=count if is_separate else 1,
        samples=1 if is_separate else count,
        bits=bits,
        kind=page.first(tags.FORMAT, UNSIGNED),
    )


def _find_type(layout: SampleLayout) -> np.dtype[np.generic]:
    letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[layout.kind]
    return np.dtype(f"{letter}{-(-layout.bits // 16) * 2 if layout.bits > 8 else 1}")


def _read_segments(
    data: bytes, page: TiffPage, layout: SampleLayout
) -> Iterator[tuple[npt.NDArray[np.uint8], MaskArray]]:
    """The bytes of each strip or tile, decompressed, and which of them are missing."""
    is_tiled = tags.TILES in page.tags
    offsets = page.tags.get(tags.TILES if is_tiled else tags.STRIPS, ())
    sizes = page.tags.get(tags.TILE_BYTES if is_tiled else tags.STRIP_BYTES, ())
    whole = layout.row_bytes * layout.height
    if page.first(tags.COMPRESSION, 1) == 1:
        sizes = (whole,) * len(offsets)
    elif len(sizes) < len(offsets):
        raise BrokenPicture("the picture is damaged: the sizes of its TIFF's strips are missing")
    down = -(-page.height // layout.height)
    in_plane = down * layout.across
    count = in_plane * layout.planes
    if len(offsets) < count:
        raise BrokenPicture("the picture is damaged: strips of its TIFF are missing")
    longest = _MOST_GROWTH * whole + _MOST_OVERHEAD_BYTES
    group = max(1, GROUP_BYTES // longest)
    for first, last in _group(count, in_plane, group):
        rows = [layout.height] * (last - first)
        if not is_tiled and last % in_plane == 0:
            rows[-1] = page.height - (down - 1) * layout.height
        strips = [
            data[at : at + min(size, longest)]
            for at, size in zip(offsets[first:last], sizes[first:last], strict=True)
        ]
        for raw, height in zip(_decompress(strips, rows, page, layout), rows, strict=True):
            yield _fill(raw, height * layout.row_bytes, whole)


def _group(count: int, in_plane: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of strips that are decompressed at once: of one plane, and not too many."""
    for plane in range(0, count, in_plane):
        end = min(plane + in_plane, count)
        for first in range(plane, end, most):
            yield first, min(first + most, end)


def _fill(
    raw: npt.NDArray[np.uint8], expected: int, whole: int
) -> tuple[npt.NDArray[np.uint8], MaskArray]:
    """The bytes of a strip, as many as all have, and which of those that it should have are missing."""
    lost = np.zeros(whole, np.bool_)
    lost[len(raw) : expected] = True
    filled = np.zeros(whole, np.uint8)
    filled[: len(raw)] = raw[:whole]
    return filled, lost


def _decompress(
    strips: list[bytes], rows: list[int], page: TiffPage, layout: SampleLayout
) -> list[npt.NDArray[np.uint8]]:
    """The bytes of strips of one plane, with so many rows; none of one that is broken."""
    if page.first(tags.COMPRESSION, 1) == 1:
        found = [np.frombuffer(strip, np.uint8) for strip in strips]
        is_reversed = page.first(tags.FILL_ORDER, 1) == _REVERSED
        return [_BIT_REVERSAL[raw] for raw in found] if is_reversed else found
    try:
        tiff = _wrap(strips, sum(rows), page, layout)
        with Image.open(io.BytesIO(tiff), formats=["TIFF"]) as image:
            raw = np.asarray(image).reshape(-1)
    except (OSError, ValueError, SyntaxError):
        if len(strips) == 1:
            return [np.zeros(0, np.uint8)]
        each = zip(strips, rows, strict=True)
        return [_decompress([strip], [height], page, layout)[0] for strip, height in each]
    ends = np.cumsum(rows) * layout.row_bytes
    return np.split(raw, ends[:-1])


def _wrap(strips: list[bytes], rows: int, page: TiffPage, layout: SampleLayout) -> bytes:
    """A TIFF of these strips, as grey of 8 bits."""
    count, body = len(strips), b"".join(strips)
    offsets, at = [], 8
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    fields = [
        (tags.WIDTH, 4, layout.row_bytes),
        (tags.HEIGHT, 4, rows),
        (tags.BITS, 3, 8),
        (tags.COMPRESSION, 3, page.first(tags.COMPRESSION, 1)),
        (tags.PHOTOMETRIC, 3, 1),
        (tags.FILL_ORDER, 3, page.first(tags.FILL_ORDER, 1)),
        (tags.STRIPS, 4, offsets[0] if count == 1 else at),
        (tags.SAMPLES, 3, 1),
        (tags.STRIP_ROWS, 4, layout.height),
        (tags.STRIP_BYTES, 4, len(body) if count == 1 else at + 4 * count),
    ]
    lists = struct.pack(f"<{2 * count}I", *offsets, *map(len, strips)) if count > 1 else b""
    counted = (tags.STRIPS, tags.STRIP_BYTES)
    directory = struct.pack("<H", len(fields)) + b"".join(
        struct.pack("<HHII", tag, kind, count if tag in counted else 1, value)
        for tag, kind, value in fields
    )
    head = b"II*\0" + struct.pack("<I", at + len(lists))
    return head + body + lists + directory + bytes(4)


def _decode_segment(
    raw: npt.NDArray[np.uint8], page: TiffPage, layout: SampleLayout
) -> SampleArray:
    """Bytes to samples: bits unpacked, the order of bytes and the predictor undone."""
    rows = raw.reshape(layout.height, layout.row_bytes)
    kind, across = _find_type(layout), layout.width * layout.samples
    if layout.bits % 8:
        every = np.unpackbits(rows, axis=1)[:, : across * layout.bits]
        wide = np.zeros((layout.height, across, 16), np.uint8)
        wide[:, :, 16 - layout.bits :] = every.reshape(layout.height, across, layout.bits)
        return np.packbits(wide, axis=2).view(">u2").reshape(layout.height, across).astype(kind)
    predictor = page.first(tags.PREDICTOR, 1)
    if predictor == _FLOATING:
        return _undo_floating(rows, layout, kind)
    values = rows.view(kind.newbyteorder(page.order)).astype(kind)
    if predictor == _HORIZONTAL:
        whole = values.view(f"u{kind.itemsize}").reshape(layout.height, layout.width, -1)
        return np.cumsum(whole, axis=1, dtype=whole.dtype).view(kind)
    return values


def _undo_floating(
    rows: npt.NDArray[np.uint8], layout: SampleLayout, kind: np.dtype[np.generic]
) -> SampleArray:
    """Adobe's predictor 3: the bytes of a row, most significant ones first, as differences."""
    steps = rows.reshape(layout.height, -1, layout.samples)
    summed = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(layout.height, kind.itemsize, -1)
    ordered = np.ascontiguousarray(summed.transpose(0, 2, 1))
    return ordered.view(kind.newbyteorder(">")).reshape(layout.height, -1).astype(kind)
