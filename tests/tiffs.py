"""TIFFs put together by hand: pages of any samples, in either order of bytes, also as no library writes."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

CODES = {"B": 1, "H": 3, "I": 4, "Q": 16}


@dataclass
class Page:
    """One page: its samples, (height, width) or (height, width, samples), and how they are written.

    bits: less than those of the array's type: packed. tags: further ones, or others.
    """

    samples: Any
    photometric: int = 1
    compression: int = 1
    bits: int = 0
    rows: int = 0
    tile: int = 0
    planar: bool = False
    predictor: int = 1
    tags: dict[int, Any] = field(default_factory=dict)


def make_tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of these pages."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    out = bytearray(head + (struct.pack(order + "HH", 8, 0) if big else b""))
    link = len(out)
    out += bytes(8 if big else 4)
    for page in pages:
        link = _write(out, page, link, (order, big))
    return bytes(out)


def _write(out: bytearray, page: Page, link: int, form: tuple[str, bool]) -> int:
    order, _ = form
    samples = np.atleast_3d(page.samples)
    height, width, count = samples.shape
    offsets, sizes = [], []
    for piece in _cut(samples, page):
        data = _compress(_pack(piece, page, order), page.compression, piece.shape[0])
        offsets.append(len(out))
        sizes.append(len(data))
        out += data + bytes(len(data) % 2)
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags = {
        256: ("I", width),
        257: ("I", height),
        258: ("H", *[page.bits or samples.dtype.itemsize * 8] * count),
        259: ("H", page.compression),
        262: ("H", page.photometric),
        277: ("H", count),
        284: ("H", 2 if page.planar else 1),
        317: ("H", page.predictor),
        339: ("H", *[kind] * count),
    }
    if page.tile:
        tags |= {322: ("I", page.tile), 323: ("I", page.tile)}
        tags |= {324: ("I", *offsets), 325: ("I", *sizes)}
    else:
        tags |= {273: ("I", *offsets), 279: ("I", *sizes), 278: ("I", page.rows or height)}
    return _write_directory(out, sorted({**tags, **page.tags}.items()), link, form)


def _write_directory(out: bytearray, tags: list[Any], link: int, form: tuple[str, bool]) -> int:
    order, big = form
    word, inline = ("Q", 8) if big else ("I", 4)
    entries = b""
    for tag, (code, *values) in tags:
        raw = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(raw) > inline:
            raw, at = b"", len(out)
            out += struct.pack(f"{order}{len(values)}{code}", *values)
            raw = struct.pack(order + word, at)
        entries += struct.pack(f"{order}HH{word}", tag, CODES[code], len(values))
        entries += raw.ljust(inline, b"\0")
    out += bytes(len(out) % 2)
    struct.pack_into(order + word, out, link, len(out))
    out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(inline)
    return len(out) - inline


def _cut(samples: Any, page: Page) -> list[Any]:
    """The strips or tiles, plane by plane."""
    planes = np.split(samples, samples.shape[2], axis=2) if page.planar else [samples]
    pieces = []
    for plane in planes:
        high = page.tile or page.rows or plane.shape[0]
        for top in range(0, plane.shape[0], high):
            for left in range(0, plane.shape[1], page.tile or plane.shape[1]):
                piece = plane[top : top + high, left : left + (page.tile or plane.shape[1])]
                if page.tile:
                    lacking = [(0, page.tile - side) for side in piece.shape[:2]]
                    piece = np.pad(piece, [*lacking, (0, 0)])
                pieces.append(piece)
    return pieces


def _pack(piece: Any, page: Page, order: str) -> bytes:
    if page.bits and page.bits != piece.dtype.itemsize * 8:
        rows = piece.reshape(piece.shape[0], -1).astype(">u2")
        bits = np.unpackbits(rows.view(np.uint8), axis=1).reshape(*rows.shape, 16)
        return np.packbits(bits[:, :, 16 - page.bits :].reshape(len(rows), -1), axis=1).tobytes()
    if page.predictor == 2:
        whole = piece.view(f"u{piece.dtype.itemsize}")
        piece = np.diff(whole, axis=1, prepend=np.zeros_like(whole[:, :1]))
    if page.predictor == 3:
        big = np.ascontiguousarray(piece.astype(piece.dtype.newbyteorder(">")))
        count, size = piece.shape[2], piece.dtype.itemsize
        planes = big.view(np.uint8).reshape(len(piece), -1, size).transpose(0, 2, 1)
        rows = np.ascontiguousarray(planes).reshape(len(piece), -1, count)
        return np.diff(rows, axis=1, prepend=np.zeros_like(rows[:, :1])).tobytes()
    return piece.astype(piece.dtype.newbyteorder(order)).tobytes()


def _compress(data: bytes, compression: int, rows: int) -> bytes:
    if compression in (8, 32946):
        return zlib.compress(data)
    if compression == 1:
        return data
    name = {5: "tiff_lzw", 32773: "packbits"}[compression]
    width = len(data) // rows
    image = Image.frombytes("L", (width, rows), data)
    out = io.BytesIO()
    image.save(out, "TIFF", compression=name, tiffinfo={278: rows})
    with Image.open(io.BytesIO(out.getvalue())) as saved:
        at, size = saved.tag_v2[273], saved.tag_v2[279]
    assert len(at) == 1
    return out.getvalue()[at[0] : at[0] + size[0]]
