"""The pages of an SQLite file, read without SQLite: as much as is sound of a file that it refuses.

The format is described at https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

Bytes: TypeAlias = Any
"""The bytes of a file, or a memory map of them: a slice of either is `bytes`."""

MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
TABLE_INTERIOR, TABLE_LEAF, INDEX_INTERIOR, INDEX_LEAF = 5, 13, 2, 10
OF_TABLE, OF_INDEX = (TABLE_LEAF,), (INDEX_INTERIOR, INDEX_LEAF)
"""The pages that hold rows."""
INTERIORS, LEAVES = (TABLE_INTERIOR, INDEX_INTERIOR), (TABLE_LEAF, INDEX_LEAF)
SAMPLE_BYTES = 160_000
"""So much from the beginning tells how a file is divided into pages."""
BROKEN_BYTES = 120
"""So much of a row that cannot be read may tell what it was."""
INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
"""Of an integer, by its serial type."""
FLOAT, ZERO, ONE, FIRST_BLOB = 7, 8, 9, 12


class Unreadable(ValueError):
    """A page or a cell is not what SQLite writes."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table or an entry of an index; rowid: None in an index.

    is_whole: False where the end of its last value was on a page that cannot be read, or a text is none.
    """

    rowid: int | None
    values: tuple[Any, ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class PagedFile:
    """The bytes of a file, and how they are divided: the bytes of a page, of which these are usable."""

    data: Bytes
    page_bytes: int
    usable_bytes: int

    @property
    def count(self) -> int:
        """How many pages there are; the last one may be cut off."""
        return -(-len(self.data) // self.page_bytes)

    def holds(self, number: int) -> bool:
        """Whether a page is there, and not cut off."""
        return number >= 1 and number * self.page_bytes <= len(self.data)

    def page(self, number: int) -> bytes:
        """The usable bytes of a page. Raises Unreadable where there is no such page."""
        if not 1 <= number <= self.count:
            raise Unreadable(f"there is no page {number}")
        start = (number - 1) * self.page_bytes
        found = bytes(self.data[start : start + self.usable_bytes])
        return found.ljust(self.usable_bytes, b"\0")

    def kind(self, number: int) -> int:
        """What a page is, by the byte that it begins with."""
        return self.page(number)[HEADER_BYTES if number == 1 else 0]

    def read_rows(self, number: int, kinds: tuple[int, ...] = OF_TABLE) -> list[Record]:
        """All rows of a page of these kinds; none where one cannot be read, or it is another page."""
        if not self.holds(number) or (kind := self.kind(number)) not in kinds:
            return []
        page = self.page(number)
        try:
            return [read_cell(self, page, at, kind)[0] for at in list_cells(page, number)]
        except Unreadable:
            return []


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends. Raises Unreadable."""
    value = 0
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    for place in range(at, min(at + 8, len(data))):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    if at + 8 >= len(data):
        raise Unreadable("a number is cut off")
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9


def list_cells(page: bytes, number: int) -> list[int]:
    """Where the cells of a page begin. Raises Unreadable."""
    start = HEADER_BYTES if number == 1 else 0
    kind, count = page[start], int.from_bytes(page[start + 3 : start + 5], "big")
    first = start + (12 if kind in INTERIORS else 8)
    if first + 2 * count > len(page):
        raise Unreadable(f"page {number} has more cells than it can hold")
    return list(struct.unpack_from(f">{count}H", page, first))


def list_children(page: bytes, number: int) -> list[int]:
    """The pages below an interior page, in their order."""
    start = HEADER_BYTES if number == 1 else 0
    found = [int.from_bytes(page[cell : cell + 4], "big") for cell in list_cells(page, number)]
    return [*found, int.from_bytes(page[start + 8 : start + 12], "big")]


def read_cell(file: PagedFile, page: bytes, cell: int, kind: int) -> tuple[Record, list[int]]:
    """The record that begins there, and the pages on which it goes on. Raises Unreadable."""
    at = cell + 4 if kind == INDEX_INTERIOR else cell
    size, at = read_varint(page, at)
    rowid = None
    if kind == TABLE_LEAF:
        rowid, at = read_varint(page, at)
    if not 1 <= size <= len(file.data) + file.page_bytes:
        raise Unreadable("a record has no such length")
    local = _count_local(size, file.usable_bytes, kind)
    if at + local > len(page):
        raise Unreadable("a record goes beyond its page")
    payload, is_whole = page[at : at + local], True
    more: list[int] = []
    if local < size:
        first = int.from_bytes(page[at + local : at + local + 4], "big")
        rest, more, is_whole = _read_overflow(file, first, size - local)
        payload += rest
    values, are_whole = _read_values(payload, size)
    return Record(rowid, values, is_whole and are_whole), more


def _count_local(size: int, usable: int, kind: int) -> int:
    """How much of a record is on its own page."""
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    return local if local <= most else least


def _read_overflow(file: PagedFile, number: int, size: int) -> tuple[bytes, list[int], bool]:
    """What a record has on further pages, as far as it can be read."""
    page = b""
    found: list[bytes] = []
    seen: dict[int, None] = {}
    while size > 0:
        if not file.holds(number) or number in seen:
            return b"".join(found), list(seen), False
        page = file.page(number)
        seen[number] = None
        number = int.from_bytes(page[:4], "big")
        found.append(page[4 : 4 + min(size, file.usable_bytes - 4)])
        size -= len(found[-1])
    # SQLite has no page of zeros but at the end of such a value
    return b"".join(found), list(seen), any(page)


def _read_values(payload: bytes, size: int) -> tuple[tuple[Any, ...], bool]:
    """The values of a record of this size: of one that is cut off in a blob, what is there, then nulls."""
    end, at = read_varint(payload, 0)
    if not at <= end <= len(payload):
        raise Unreadable("a record begins with a wrong length")
    types, length = _read_types(payload[at:end])
    if end + length != size:
        raise Unreadable("a record has another length than its values")
    place, values, is_whole = end, [], True
    for serial, count in types:
        if count and place > len(payload):
            value, is_sound = None, False  # behind the blob that is cut off
        elif count and place + count > len(payload) and (serial < FIRST_BLOB or serial % 2):
            raise Unreadable("a record is cut off")
        else:
            value, is_sound = _read_value(payload[place : place + count], serial)
        is_whole &= is_sound
        values.append(value)
        place += count
    return tuple(values), is_whole


@lru_cache(maxsize=4096)
def _read_types(data: bytes) -> tuple[tuple[tuple[int, int], ...], int]:
    """The type and length of each value of a record, and of all together; rows of a table share them."""
    found, at = [], 0
    while at < len(data):
        serial, at = read_varint(data, at)
        found.append((serial, _count_bytes(serial)))
    return tuple(found), sum(length for _, length in found)


def _count_bytes(serial: int) -> int:
    if serial >= FIRST_BLOB:
        return (serial - FIRST_BLOB) // 2
    if serial in (10, 11) or serial < 0:
        raise Unreadable("a value has a type that there is not")
    return 8 if serial == FLOAT else 0 if serial in (ZERO, ONE) else INTEGER_BYTES[serial]


def _read_value(data: bytes, serial: int) -> tuple[Any, bool]:
    """A value, and whether a text is one."""
    if serial >= FIRST_BLOB and serial % 2 == 0:
        return data, True
    if serial >= FIRST_BLOB:
        try:
            return data.decode(), True
        except UnicodeDecodeError:
            return data.decode(errors="replace"), False
    if serial == 0:
        return None, True
    if serial == FLOAT:
        return (struct.unpack(">d", data)[0] if len(data) == 8 else None), True
    if serial in (ZERO, ONE):
        return serial - ZERO, True
    return int.from_bytes(data, "big", signed=True), True


class TreeWalk:
    """Reads a table or an index from its root on, and counts what cannot be read.

    seen: the pages that belong to it; unread: how many pages below it cannot be read; broken: what is where
    a row of a page begins that makes no sense.
    """

    def __init__(self, file: PagedFile, root: int, *, of_index: bool) -> None:
        """of_index: also of a table without rowid, which is kept as one."""
        self.file, self.root = file, root
        self.kinds = OF_INDEX if of_index else (TABLE_INTERIOR, TABLE_LEAF)
        self.seen: set[int] = set()
        self.unread = 0
        self.broken: list[bytes] = []

    def records(self) -> Iterator[Record]:
        """All that can be read, page by page."""
        waiting = [self.root]
        while waiting:
            number = waiting.pop()
            try:
                kind, page = self._open(number)
                children = list_children(page, number) if kind in INTERIORS else []
                cells = list_cells(page, number)
            except Unreadable:
                self.unread += 1
                continue
            self.seen.add(number)
            waiting += reversed(children)
            if kind != TABLE_INTERIOR:
                yield from self._read_cells(page, cells, kind)

    def _open(self, number: int) -> tuple[int, bytes]:
        """A page that belongs to the tree, and its kind."""
        page = self.file.page(number)
        kind = page[HEADER_BYTES if number == 1 else 0]
        if number in self.seen or not self.file.holds(number):
            raise Unreadable(f"page {number} is not here")
        if kind not in self.kinds:
            raise Unreadable(f"page {number} is of another kind")
        return kind, page

    def _read_cells(self, page: bytes, cells: list[int], kind: int) -> Iterator[Record]:
        for cell in cells:
            try:
                record, more = read_cell(self.file, page, cell, kind)
            except Unreadable:
                self.broken.append(page[cell : cell + BROKEN_BYTES])
                continue
            self.seen.update(more)
            yield record


def open_pages(data: Bytes, page_bytes: int = 0) -> PagedFile:
    """The pages of a file, as its header has it, or as most of them look where that is damaged.

    page_bytes: of such files, tried first after the header's.
    """
    stated = int.from_bytes(data[16:18], "big")
    stated = 65536 if stated == 1 else stated
    sizes = [stated, page_bytes, *(1 << n for n in range(9, 17))]
    ways = [
        (size, size - kept)
        for size in dict.fromkeys(sizes)
        if size >= 512 and size & (size - 1) == 0
        for kept in dict.fromkeys((data[20] if len(data) > 20 else 0, 0))
        if size - kept >= 480
    ]
    return max((PagedFile(data, *way) for way in ways), key=_count_sound)


def _count_sound(file: PagedFile) -> float:
    """How many cells of the first pages make sense."""
    sound = 0
    for number in range(1, min(file.count, -(-SAMPLE_BYTES // file.page_bytes)) + 1):
        try:
            page, kind = file.page(number), file.kind(number)
            if kind in (*LEAVES, INDEX_INTERIOR):
                sound += sum(
                    1 for cell in list_cells(page, number) if read_cell(file, page, cell, kind)
                )
        except Unreadable:
            continue
    return sound
