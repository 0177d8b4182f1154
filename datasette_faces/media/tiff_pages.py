"""The pages of a TIFF and their tags: which page is the picture, and how its samples are stored. No pixels.

Tags and their numbers are those of TIFF 6.0 (Adobe, 1992); 64-bit offsets are those of BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..errors import BrokenPicture

Tags = dict[int, tuple[int, ...]]
Order = Literal["<", ">"]

KIND, OLD_KIND, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, SAMPLES, STRIP_ROWS, STRIP_BYTES = 266, 273, 277, 278, 279
ORIENTATION, MAX_VALUES, PLANAR, PREDICTOR, COLOURS = 274, 281, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, SUB_PAGES = 322, 323, 324, 325, 330
EXTRA, FORMAT, JPEG_TABLES, SUBSAMPLING = 338, 339, 347, 530

_MAGIC: dict[bytes, tuple[Order, bool]] = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""The types of whole numbers; a tag of another type is not about how samples are stored."""
_SHORT = 3
_REDUCED_OR_MASK = 0b101
_OLD_REDUCED = 2
_MASK = 4
MAX_PAGES = 1_000
"""A TIFF with more is no photograph; a hostile one leads in circles."""
MUCH_LARGER = 4
"""A page is a thumbnail, whether it says so or not, if another has so many times its pixels."""


@dataclass(frozen=True)
class TiffPage:
    """A page: where its directory is, its tags that are whole numbers, and the order of bytes.

    order: as `struct` writes it. is_big: BigTIFF.
    """

    at: int
    tags: Tags = field(repr=False)
    order: Order
    is_big: bool

    def first(self, tag: int, default: int = 0) -> int:
        """A tag's only value, or its first."""
        values = self.tags.get(tag)
        return values[0] if values else default

    @property
    def width(self) -> int:
        """Of the page, in pixels."""
        return self.first(WIDTH)

    @property
    def height(self) -> int:
        """Of the page, in pixels."""
        return self.first(HEIGHT)

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each sample of a pixel; a file may give one number for all."""
        values = self.tags.get(BITS, (1,))
        count = self.first(SAMPLES, 1)
        return values * count if len(values) == 1 and 0 < count <= 16 else values[:count]

    @property
    def is_picture(self) -> bool:
        """Whether it has pixels, and is neither a mask nor a smaller copy of another page."""
        is_part = self.first(KIND) & _REDUCED_OR_MASK or self.first(OLD_KIND) == _OLD_REDUCED
        return not is_part and self.first(PHOTOMETRIC, -1) != _MASK and self.is_drawn

    @property
    def is_drawn(self) -> bool:
        """Whether it has pixels."""
        return self.width > 0 and self.height > 0 and (STRIPS in self.tags or TILES in self.tags)


def is_tiff(data: bytes) -> bool:
    """Whether these bytes begin as a TIFF does."""
    return data[:4] in _MAGIC


def choose_page(data: bytes) -> tuple[TiffPage, bool]:
    """The page that is the picture, and whether it is the file's first one.

    That is the first that is a picture, unless another has MUCH_LARGER pixels. Raises BrokenPicture.
    """
    pages = list(_read_pages(data))
    drawn = [page for page in pages if page.is_picture] or [page for page in pages if page.is_drawn]
    if not drawn:
        raise BrokenPicture(
            "the picture is damaged: the directory of its TIFF is missing or broken"
        )
    best = drawn[0]
    for page in drawn[1:]:
        if page.width * page.height >= MUCH_LARGER * best.width * best.height:
            best = page
    return best, best is pages[0]


def point_to(data: bytes, at: int) -> bytes:
    """The same TIFF with the directory at this place as its first."""
    order, is_big = _MAGIC[data[:4]]
    if is_big:
        return data[:8] + struct.pack(order + "Q", at) + data[16:]
    return data[:4] + struct.pack(order + "I", at) + data[8:]


def _read_pages(data: bytes) -> Iterator[TiffPage]:
    order, is_big = _MAGIC[data[:4]]
    at = _unpack(data, order + "Q", 8) if is_big else _unpack(data, order + "I", 4)
    waiting, seen = [at], set[int]()
    while waiting and len(seen) < MAX_PAGES:
        at = waiting.pop(0)
        if at in seen or not 8 <= at < len(data):
            continue
        seen.add(at)
        tags, following = _read_directory(data, at, order, is_big)
        yield TiffPage(at, tags, order, is_big)
        waiting += [*following, *tags.get(SUB_PAGES, ())]


def _read_directory(
    data: bytes, at: int, order: Order, is_big: bool
) -> tuple[Tags, tuple[int, ...]]:
    """The tags of a directory that are whole numbers, and where the next one is."""
    tags: Tags = {}
    places = _list_places(data, at, order, is_big)
    for place in places:
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if kind in _CODES and (values := _read_values(data, place, order, is_big)):
            tags[tag] = values
    return tags, (_unpack(data, order + ("Q" if is_big else "I"), places.stop),)


def _list_places(data: bytes, at: int, order: Order, is_big: bool) -> range:
    """Where the entries of a directory are."""
    entry, head = (20, 8) if is_big else (12, 2)
    count = min(_unpack(data, order + ("Q" if is_big else "H"), at), (len(data) - at) // entry)
    return range(at + head, at + head + count * entry, entry)


def list_entries(data: bytes, page: TiffPage) -> Iterator[tuple[int, int]]:
    """The entries of a page's directory: where each is, and its tag."""
    for place in _list_places(data, page.at, page.order, page.is_big):
        yield place, _unpack(data, page.order + "H", place)


def write_tag(data: bytearray, place: int, page: TiffPage, tag: int) -> None:
    """Give an entry of a directory another tag."""
    struct.pack_into(page.order + "H", data, place, tag)


def write_short(data: bytearray, place: int, page: TiffPage, value: int) -> None:
    """Give an entry of a directory one number of 16 bits for its value."""
    form = "HQH" if page.is_big else "HIH"
    struct.pack_into(page.order + form, data, place + 2, _SHORT, 1, value)


def _read_values(data: bytes, place: int, order: Order, is_big: bool) -> tuple[int, ...]:
    word, inline = ("Q", 8) if is_big else ("I", 4)
    kind = _unpack(data, order + "H", place + 2)
    count = _unpack(data, order + word, place + 4)
    code = _CODES[kind]
    size, at = count * struct.calcsize(order + code), place + 4 + inline
    if size > inline:
        at = _unpack(data, order + word, at)
    if at + size > len(data):
        return ()
    return struct.unpack_from(f"{order}{count}{code}", data, at)


def _unpack(data: bytes, form: str, at: int) -> int:
    """One number; 0 where the file ends before it."""
    if at + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, at)[0])
