"""The pages of a TIFF and their tags: which page is the picture, and how its samples are stored. No pixels.

Tags and their numbers are those of TIFF 6.0 (Adobe, 1992); 64-bit offsets are those of BigTIFF.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes of a value, by its type."""
_SHORT = 3
_REDUCED_OR_MASK = 0b101
_OLD_REDUCED = 2
_MASK = 4
MAX_PAGES = MAX_ENTRIES = 1_000
"""Pages of a TIFF and entries of a page that are looked at: a hostile one leads in circles."""
_USED = {
    *(KIND, OLD_KIND, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, SAMPLES),
    *(STRIP_ROWS, STRIP_BYTES, ORIENTATION, MAX_VALUES, PLANAR, PREDICTOR, COLOURS, TILE_WIDTH),
    *(TILE_HEIGHT, TILES, TILE_BYTES, SUB_PAGES, EXTRA, FORMAT, JPEG_TABLES, SUBSAMPLING),
}
_FEW, _MANY = 16, 500_000
"""How many values of a tag are read: of any page, and of the chosen one; tiles of 100 million pixels."""
_METADATA = {
    *(270, 271, 272, ORIENTATION, 305, 306, 315, 700, 33_432, 33_723, 34_377, 34_665, 34_853),
    *(36_867, 36_868, 36_880, 36_881, 36_882, 37_520, 37_521, 37_522),
}
"""Of the photograph: baseline tags, XMP, IPTC, Photoshop, EXIF, GPS; dates as in TIFF/EP (ISO 12234-2)."""
_MAX_OVERLAP = 4
"""By how much the tags of a page may be larger together than the file, for a few that are damaged."""
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
    is_first = best is pages[0]
    _check_tags(data, best)
    whole, _ = _read_directory(data, best, _MANY)
    return replace(best, tags=whole), is_first


def join_metadata(data: bytes, page: TiffPage) -> tuple[bytes, TiffPage]:
    """The same TIFF and page, with the metadata of the first page that it lacks.

    A copy of its directory is put behind the file: values have absolute places.
    """
    big, order = page.is_big, page.order
    first = replace(page, at=_unpack(data, order + ("Q" if big else "I"), 8 if big else 4))
    places = {tag: place for place, tag in list_entries(data, page)}
    theirs = {tag: place for place, tag in list_entries(data, first) if tag in _METADATA}
    if theirs.keys() <= places.keys():
        return data, page
    joined = sorted({**theirs, **places}.items())
    entries = b"".join(data[place : place + (20 if big else 12)] for _, place in joined)
    head = bytes(len(data) % 2) + struct.pack(order + ("Q" if big else "H"), len(joined))
    copy = b"".join((data, head, entries, bytes(8 if big else 4)))
    added = replace(page, at=len(data) + len(data) % 2)
    _check_tags(copy, added)
    return copy, replace(added, tags=_read_directory(copy, added, _MANY)[0])


def _check_tags(data: bytes, page: TiffPage) -> None:
    """Raises BrokenPicture where a reader of all tags would need far more memory than the file has."""
    total, form = 0, page.order + ("HQ" if page.is_big else "HI")
    for place in _list_places(data, page):
        kind, count = struct.unpack_from(form, data, place + 2)
        size = count * _SIZES[kind] if kind < len(_SIZES) else 0
        total += size if size <= len(data) else 0
    if total > _MAX_OVERLAP * len(data):
        raise BrokenPicture("the picture is damaged: the directory of its TIFF is too large")


def point_to(data: bytes, at: int) -> bytes:
    """The same TIFF with the directory at this place as its first."""
    order, is_big = _MAGIC[data[:4]]
    if is_big:
        return data[:8] + struct.pack(order + "Q", at) + data[16:]
    return data[:4] + struct.pack(order + "I", at) + data[8:]


def _read_pages(data: bytes) -> Iterator[TiffPage]:
    order, is_big = _MAGIC[data[:4]]
    at = _unpack(data, order + "Q", 8) if is_big else _unpack(data, order + "I", 4)
    waiting, seen = deque([at]), set[int]()
    while waiting and len(seen) < MAX_PAGES:
        at = waiting.popleft()
        if at in seen or not 8 <= at < len(data):
            continue
        seen.add(at)
        page = TiffPage(at, {}, order, is_big)
        tags, following = _read_directory(data, page, _FEW)
        yield replace(page, tags=tags)
        waiting.append(following)
        waiting.extend(tags.get(SUB_PAGES, ()))


def _read_directory(data: bytes, page: TiffPage, most: int) -> tuple[Tags, int]:
    """The tags of a page that are used, up to so many values of each; where the next directory is."""
    places = _list_places(data, page)
    # Of a tag that is there twice the first counts, as for Pillow and libtiff
    found = {_unpack(data, page.order + "H", it): it for it in reversed(places[:MAX_ENTRIES])}
    values = {tag: _read_values(data, found[tag], page, most) for tag in found.keys() & _USED}
    following = _unpack(data, page.order + ("Q" if page.is_big else "I"), places.stop)
    return {tag: its for tag, its in values.items() if its}, following


def _list_places(data: bytes, page: TiffPage) -> range:
    """Where the entries of a directory are."""
    entry, head = (20, 8) if page.is_big else (12, 2)
    count = _unpack(data, page.order + ("Q" if page.is_big else "H"), page.at)
    count = min(count, (len(data) - page.at - head) // entry)
    return range(page.at + head, page.at + head + count * entry, entry)


def list_entries(data: bytes, page: TiffPage) -> Iterator[tuple[int, int]]:
    """The entries of a page's directory: where each is, and its tag."""
    for place in _list_places(data, page):
        yield place, _unpack(data, page.order + "H", place)


def write_tag(data: bytearray, place: int, page: TiffPage, tag: int) -> None:
    """Give an entry of a directory another tag."""
    struct.pack_into(page.order + "H", data, place, tag)


def write_short(data: bytearray, place: int, page: TiffPage, value: int) -> None:
    """Give an entry of a directory one number of 16 bits for its value."""
    form = "HQH" if page.is_big else "HIH"
    struct.pack_into(page.order + form, data, place + 2, _SHORT, 1, value)


def _read_values(data: bytes, place: int, page: TiffPage, most: int) -> tuple[int, ...]:
    """The first values of an entry; none of one that holds no whole numbers or is not all there."""
    word, inline = ("Q", 8) if page.is_big else ("I", 4)
    code = _CODES.get(_unpack(data, page.order + "H", place + 2))
    if code is None:
        return ()
    count = _unpack(data, page.order + word, place + 4)
    size, at = count * struct.calcsize(page.order + code), place + 4 + inline
    if size > inline:
        at = _unpack(data, page.order + word, at)
    if at + size > len(data):
        return ()
    return struct.unpack_from(f"{page.order}{min(count, most)}{code}", data, at)


def _unpack(data: bytes, form: str, at: int) -> int:
    """One number; 0 where the file ends before it."""
    if at + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, at)[0])
