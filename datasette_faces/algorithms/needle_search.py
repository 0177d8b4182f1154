"""Find any of very many short byte strings in very many bytes, with numpy alone.

An Aho-Corasick automaton (pyahocorasick) takes gigabytes for a million strings, and a package that has
to be compiled. Here the last six bytes of each string are marked in a table, and each position of the
file is looked up in it at once, as in Rabin-Karp search. Candidates are then compared in full.

A string takes 18 bytes of memory: 16 bytes in an array, padded with zeros in front, its length and its
kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_NEEDLE_BYTES = 6
"""Shorter strings are found by chance: of 10,000 with six bytes 0.03 in a gigabyte."""
MAX_NEEDLE_BYTES = 16
"""Of a longer string, this much of its beginning and of its end are searched for."""
MIN_DIFFERENT = 3
"""Different bytes in a text: runs of one or two are everywhere."""
MIN_DIFFERENT_IN_ROW = 4
"""The same for numbers: many contain zeros."""
CHUNK_BYTES = 1 << 20
BATCH_TEXTS = 1 << 16
MAX_TABLE_BITS, MIN_TABLE_BITS = 24, 12
_SIX_BYTES = np.uint64((1 << 48) - 1)
_TWO_BYTES, _THREE_BITS = np.uint64(16), np.uint64(3)
_ONE, _LOWEST = np.uint8(1), np.uint8(7)
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
"""Odd numbers whose multiples spread evenly: the golden ratio's (Knuth), one of xxHash's."""

Windows = npt.NDArray[np.uint64]
ByteRows = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PackedNeedles:
    """Strings as arrays: the first and the last eight of their 16 bytes, lengths, numbers of kinds."""

    first: Windows
    last: Windows
    lengths: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.last)

    def text(self, position: int) -> bytes:
        """The string at a position."""
        padded: bytes = self.first[position].tobytes() + self.last[position].tobytes()
        return padded[MAX_NEEDLE_BYTES - int(self.lengths[position]) :]

    def take(self, positions: Any) -> PackedNeedles:
        """Some of the strings, or all in another order; positions: indices or a mask."""
        columns = (self.first, self.last, self.lengths, self.kinds)
        return PackedNeedles(*(column[positions] for column in columns))


@dataclass
class Needles:
    """The strings to search for, by kind, except those that are part of `public`."""

    public: bytes = b""
    kinds: list[str] = field(default_factory=list)
    too_short: dict[str, int] = field(default_factory=dict)
    """By kind, the number of texts that are too short, or too uniform, to search for."""
    _parts: list[PackedNeedles] = field(default_factory=list)
    _full_texts: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    """By an end, the texts with that end that are compared in full, in the order they were added."""

    def add(self, kind: str, texts: Iterable[bytes]) -> None:
        """Search for these texts; of long ones, for the first and for the last MAX_NEEDLE_BYTES."""
        self.too_short.setdefault(kind, 0)
        self.too_short[kind] += self._add(kind, texts)

    def add_spellings(self, kind: str, texts: Iterable[bytes]) -> None:
        """Search for other spellings of added texts that are long enough."""
        self._add(kind, texts)

    def add_rows(self, kind: str, rows: ByteRows) -> None:
        """Search for each row (n, at most MAX_NEEDLE_BYTES), except those that resemble most numbers."""
        rows = rows[_count_different(rows) >= MIN_DIFFERENT_IN_ROW]
        lengths = np.full(len(rows), rows.shape[1], np.uint8)
        padded = np.pad(rows, ((0, 0), (MAX_NEEDLE_BYTES - rows.shape[1], 0)))
        self._parts.append(_pack(padded.tobytes(), lengths, self._number(kind)))

    def build_search(self) -> NeedleSearch:
        """The search for all that was added."""
        empty = _pack(b"", np.empty(0, np.uint8), 0)
        parts, self._parts = [*self._parts, empty], []
        packed = _sort_distinct(parts)
        self._parts = [packed]
        return NeedleSearch(self.kinds, packed, self._full_texts)

    def _number(self, kind: str) -> int:
        if kind not in self.kinds:
            self.kinds.append(kind)
        return self.kinds.index(kind)

    def _add(self, kind: str, texts: Iterable[bytes]) -> int:
        """Add texts; returns how many of them are too short."""
        number, short, rest = self._number(kind), 0, iter(texts)
        while batch := list(islice(rest, BATCH_TEXTS)):
            ends = _TextEnds.cut(batch, number)
            short += len(batch) - len(np.unique(ends.text_numbers))
            public = self._is_public(ends.needles)
            # If one end is not public, that one is enough: to search `public` for a whole text is slow
            numbers = (ends.text_numbers, ends.text_numbers[public])
            all_ends, public_ends = (np.bincount(some, minlength=len(batch)) for some in numbers)
            for text in np.flatnonzero((public_ends > 0) & (public_ends == all_ends)).tolist():
                self._compare_in_full(batch[text])
            for position in np.flatnonzero(public).tolist():
                if ends.needles.text(position) in self._full_texts:
                    public[position] = False
            self._parts.append(ends.needles.take(~public))
        return short

    def _is_public(self, needles: PackedNeedles) -> npt.NDArray[np.bool_]:
        """Which of these needles are a part of `public`: (n,)."""
        found = np.isin(needles.last >> _TWO_BYTES, self._public_windows)
        positions = np.flatnonzero(found)
        if len(positions):
            few = _sort_distinct([needles.take(positions)])
            hits = NeedleSearch(self.kinds, few, {}).find_all(self.public)
            known = {hit.text for hit in hits}
            found[positions] = [needles.text(row) in known for row in positions.tolist()]
        return found

    @cached_property
    def _public_windows(self) -> Windows:
        """All runs of six bytes in `public`, as numbers."""
        raw = self.public.ljust(MIN_NEEDLE_BYTES, b"\0") + b"\0\0"
        windows = [np.frombuffer(raw, "<u8", (len(raw) - n) // 8, n) for n in range(8)]
        return np.unique(np.concatenate(windows) & _SIX_BYTES)

    @cached_property
    def _public_lines(self) -> frozenset[bytes]:
        """The lines of `public`, most of which are one text each: found without a search."""
        return frozenset(self.public.split(b"\n"))

    def _compare_in_full(self, text: bytes) -> None:
        """Search for all of a text whose ends are public or too uniform, unless the text is public."""
        if len(text) <= MAX_NEEDLE_BYTES or text in self._public_lines or text in self.public:
            return
        ends = text[-MAX_NEEDLE_BYTES:], text[:MAX_NEEDLE_BYTES]
        end = next(end for end in ends if len(set(end)) >= MIN_DIFFERENT)
        self._full_texts.setdefault(end, {})[text] = None


@dataclass(frozen=True)
class _TextEnds:
    """The parts of texts to search for, and the number of the text of each."""

    needles: PackedNeedles
    text_numbers: npt.NDArray[np.int64]

    @classmethod
    def cut(cls, texts: list[bytes], kind: int) -> _TextEnds:
        """The first and the last MAX_NEEDLE_BYTES of each text, if long enough and not uniform."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        stops = np.cumsum(lengths)
        capped = np.minimum(lengths, MAX_NEEDLE_BYTES)
        long = np.flatnonzero(lengths > MAX_NEEDLE_BYTES)
        numbers = np.concatenate([np.arange(len(texts)), long])
        starts = np.concatenate([stops - lengths, stops[long] - MAX_NEEDLE_BYTES])
        lengths = capped[numbers]
        data = np.frombuffer(b"".join(texts), np.uint8)
        enough = lengths >= MIN_NEEDLE_BYTES
        starts, lengths, numbers = (column[enough] for column in (starts, lengths, numbers))
        # Aligned to the right of 16 bytes; in front of a shorter one, its own first byte for now
        offsets = (starts + lengths)[:, np.newaxis] + np.arange(-MAX_NEEDLE_BYTES, 0)
        rows = data[np.maximum(offsets, starts[:, np.newaxis])]
        kept = _count_different(rows) >= MIN_DIFFERENT
        rows[offsets < starts[:, np.newaxis]] = 0
        needles = _pack(rows[kept].tobytes(), lengths[kept].astype(np.uint8), kind)
        return cls(needles, numbers[kept])


def _count_different(rows: ByteRows) -> npt.NDArray[np.int64]:
    """The number of different bytes in each row."""
    ordered = np.sort(rows, axis=1)
    changes = ordered[:, 1:] != ordered[:, :-1]
    return np.asarray(1 + changes.sum(axis=1), np.int64)


def _pack(padded: bytes, lengths: npt.NDArray[np.uint8], kind: int) -> PackedNeedles:
    words = np.frombuffer(padded, "<u8").reshape(-1, 2)
    kinds = np.full(len(words), kind, np.uint8)
    return PackedNeedles(words[:, 0].copy(), words[:, 1].copy(), lengths, kinds)


def _sort_distinct(parts: list[PackedNeedles]) -> PackedNeedles:
    """All strings once, sorted by their last bytes, with the kind that was added first."""
    joined = PackedNeedles(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.last for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.kinds for part in parts]),
    )
    parts.clear()
    joined = joined.take(np.lexsort((joined.first, joined.last)))
    columns = (joined.first, joined.last, joined.lengths)
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    return joined.take(np.append(True, ~same)[: len(joined)])


class BloomFilter:
    """A filter of numbers: each sets a bit of a byte, which few others share."""

    def __init__(self, numbers: Windows, factor: np.uint64) -> None:
        bits = int(np.clip(len(numbers).bit_length() + 4, MIN_TABLE_BITS, MAX_TABLE_BITS))
        self._factor, self._shift = factor, np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.uint8)
        positions, bit = self._hash(numbers)
        np.bitwise_or.at(self._table, positions, np.left_shift(np.uint8(1), bit))

    def may_contain(self, numbers: Windows) -> npt.NDArray[np.bool_]:
        """Whether each number may be in the filter; true for one in some dozens of the others, too."""
        positions, bit = self._hash(numbers)
        # Clipping saves a check of each index, which is within the table anyway
        found = self._table.take(positions, mode="clip")
        found >>= bit
        found &= _ONE
        return found.view(np.bool_)

    def _hash(self, numbers: Windows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        spread = numbers * self._factor
        bit = (spread >> self._shift - _THREE_BITS).astype(np.uint8)
        bit &= _LOWEST
        spread >>= self._shift
        return spread.view(np.int64), bit


@dataclass(frozen=True)
class Hit:
    """A needle that was found: its kind, the offset of its first byte, its bytes."""

    kind: str
    offset: int
    text: bytes


class NeedleSearch:
    """A search for needles, usable by several threads.

    full_texts: by an end, the texts to be compared in full.
    """

    def __init__(
        self,
        kinds: list[str],
        packed: PackedNeedles,
        full_texts: Mapping[bytes, Iterable[bytes]],
    ) -> None:
        self.kinds, self._packed, self._full_texts = kinds, packed, full_texts
        # The last six bytes, not the first: times, file names and paths have the same beginnings
        self._filters = [BloomFilter(packed.last >> _TWO_BYTES, factor) for factor in _FACTORS]

    @property
    def counts(self) -> dict[str, int]:
        """The number of needles by kind."""
        counts = np.bincount(self._packed.kinds, minlength=len(self.kinds))
        return dict(zip(self.kinds, counts.tolist(), strict=True))

    def find_all(self, data: Any) -> list[Hit]:
        """All hits in bytes, or in a mapped file, in order of offset."""
        size = len(data)
        starts = range(0, size, CHUNK_BYTES)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="audit") as pool:
            chunks = pool.map(lambda start: self._search_chunk(data, start, size), starts)
            return [hit for hits in chunks for hit in hits]

    def _search_chunk(self, data: Any, start: int, size: int) -> list[Hit]:
        end = min(start + CHUNK_BYTES, size)
        chunk = bytes(data[start : min(end + 8, size)])
        raw = chunk.ljust(end - start + 16, b"\0")
        hits = []

        def read(begin: int, until: int) -> bytes:
            # From memory: for 100,000 candidates, reads from the file take longer than all the rest
            within = begin >= start and until <= start + len(chunk)
            return chunk[begin - start : until - start] if within else data[begin:until]

        for shift in range(8):
            count = (end - start - shift + 7) // 8
            if count <= 0:
                continue
            windows = np.frombuffer(raw, "<u8", count, shift) & _SIX_BYTES
            for position in self._find_candidates(windows).tolist():
                offset = start + shift + 8 * position
                hits += self._compare(read, offset, int(windows[position]))
        return sorted(hits, key=lambda hit: hit.offset)

    def _find_candidates(self, windows: Windows) -> npt.NDArray[np.int64]:
        """The positions of windows that are the end of a needle."""
        first, second = self._filters
        positions: npt.NDArray[np.int64] = np.flatnonzero(first.may_contain(windows))
        positions = positions[np.flatnonzero(second.may_contain(windows[positions]))]
        if not len(positions) or not len(self._packed):
            return np.empty(0, np.int64)
        wanted = windows[positions]
        found = np.searchsorted(self._packed.last, wanted << _TWO_BYTES)
        nearest = self._packed.last[np.minimum(found, len(self._packed) - 1)]
        candidates: npt.NDArray[np.int64] = positions[nearest >> _TWO_BYTES == wanted]
        return candidates

    def _compare(self, read: Callable[[int, int], bytes], offset: int, window: int) -> list[Hit]:
        """The needles that end with the window at this offset."""
        last = self._packed.last
        position = int(np.searchsorted(last, np.uint64(window << 16)))
        hits = []
        while position < len(last) and int(last[position]) >> 16 == window:
            end = self._packed.text(position)
            stop = offset + MIN_NEEDLE_BYTES
            for text in self._full_texts.get(end, [end]):
                # The needle is the end of the text or, if the text's end is too uniform, its beginning
                hits += [
                    Hit(self.kinds[self._packed.kinds[position]], begin, text)
                    for begin in {stop - len(text), stop - len(end)}
                    if begin >= 0 and read(begin, begin + len(text)) == text
                ]
            position += 1
        return hits
