"""Find any of very many short strings of bytes in very many bytes, with numpy alone.

Aho and Corasick's machine (pyahocorasick) takes gigabytes for a million strings, and a package that has
to be compiled. Here the last six bytes of each string are marked in a table; each place of the file is
looked up there at once, as in Rabin and Karp's search, and what is left is compared in full.

A string is 16 bytes in an array, filled up with zeros in front, and its length: 18 bytes of memory.
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

LEAST_BYTES = 6
"""Shorter strings are found by chance: of 10,000 with six bytes 0.03 in a gigabyte."""
MOST_BYTES = 16
"""So much of a longer one is looked for: its beginning, and its end."""
LEAST_DIFFERENT = 3
"""Bytes of a text that differ: runs of one or two are everywhere."""
LEAST_DIFFERENT_IN_ROW = 4
"""The same for numbers: zeros are in many of them."""
CHUNK_BYTES = 1 << 20
BATCH = 1 << 16
MOST_TABLE_BITS, LEAST_TABLE_BITS = 24, 12
_SIX = np.uint64((1 << 48) - 1)
_TWO_BYTES, _THREE_BITS = np.uint64(16), np.uint64(3)
_ONE, _LOWEST = np.uint8(1), np.uint8(7)
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
"""Odd numbers whose multiples spread evenly: the golden ratio's (Knuth), one of xxHash's."""

Windows = npt.NDArray[np.uint64]
ByteRows = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Packed:
    """Strings as arrays: the first and the last eight of their 16 bytes, lengths, numbers of kinds."""

    first: Windows
    last: Windows
    lengths: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.last)

    def text(self, place: int) -> bytes:
        """One of them."""
        whole: bytes = self.first[place].tobytes() + self.last[place].tobytes()
        return whole[MOST_BYTES - int(self.lengths[place]) :]

    def taken(self, places: Any) -> Packed:
        """Some of them, or all in another order."""
        columns = (self.first, self.last, self.lengths, self.kinds)
        return Packed(*(column[places] for column in columns))


@dataclass
class Needles:
    """What is looked for, by kind; not what is a part of `public`."""

    public: bytes = b""
    kinds: list[str] = field(default_factory=list)
    too_short: dict[str, int] = field(default_factory=dict)
    """By kind, how many texts are too short, or too uniform, to be looked for."""
    _parts: list[Packed] = field(default_factory=list)
    _wholes: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    """By an end, the texts of that end that are compared in full, in the order in which they came."""

    def add(self, kind: str, texts: Iterable[bytes]) -> None:
        """Look for these; of long ones for the first MOST_BYTES, and for the last."""
        self.too_short.setdefault(kind, 0)
        self.too_short[kind] += self._add(kind, texts)

    def add_spellings(self, kind: str, texts: Iterable[bytes]) -> None:
        """Look for other forms of what was added, as far as they are long enough."""
        self._add(kind, texts)

    def add_rows(self, kind: str, rows: ByteRows) -> None:
        """Look for each row (n, MOST_BYTES or less), but for those that nearly all numbers are like."""
        rows = rows[_different(rows) >= LEAST_DIFFERENT_IN_ROW]
        lengths = np.full(len(rows), rows.shape[1], np.uint8)
        whole = np.pad(rows, ((0, 0), (MOST_BYTES - rows.shape[1], 0)))
        self._parts.append(_packed(whole.tobytes(), lengths, self._number(kind)))

    def search(self) -> Search:
        """What finds them."""
        empty = _packed(b"", np.empty(0, np.uint8), 0)
        parts, self._parts = [*self._parts, empty], []
        packed = _ordered(parts)
        self._parts = [packed]
        return Search(self.kinds, packed, self._wholes)

    def _number(self, kind: str) -> int:
        if kind not in self.kinds:
            self.kinds.append(kind)
        return self.kinds.index(kind)

    def _add(self, kind: str, texts: Iterable[bytes]) -> int:
        """Take in these; how many of them are too short."""
        number, short, rest = self._number(kind), 0, iter(texts)
        while batch := list(islice(rest, BATCH)):
            ends = _Ends.of(batch, number)
            short += len(batch) - len(np.unique(ends.of_text))
            public = self._is_public(ends.cuts)
            # Where one end is not public, that is looked for; to search a text in `public` takes long
            every = (ends.of_text, ends.of_text[public])
            cuts, publics = (np.bincount(it, minlength=len(batch)) for it in every)
            for place in np.flatnonzero((publics > 0) & (publics == cuts)).tolist():
                self._look_whole(batch[place])
            places = np.flatnonzero(public).tolist()
            public[[it for it in places if ends.cuts.text(it) in self._wholes]] = False
            self._parts.append(ends.cuts.taken(~public))
        return short

    def _is_public(self, cuts: Packed) -> npt.NDArray[np.bool_]:
        """Which of them are a part of `public`: (n,)."""
        found = np.isin(cuts.last >> _TWO_BYTES, self._windows)
        places = np.flatnonzero(found)
        if len(places):
            few = _ordered([cuts.taken(places)])
            known = {hit.text for hit in Search(self.kinds, few, {}).everywhere(self.public)}
            found[places] = [cuts.text(it) in known for it in places.tolist()]
        return found

    @cached_property
    def _windows(self) -> Windows:
        """Each six bytes of `public`, one after another."""
        raw = self.public.ljust(LEAST_BYTES, b"\0") + b"\0\0"
        every = [np.frombuffer(raw, "<u8", (len(raw) - it) // 8, it) for it in range(8)]
        return np.unique(np.concatenate(every) & _SIX)

    @cached_property
    def _lines(self) -> frozenset[bytes]:
        """The lines of `public`, most of which are a text each: known at once, without a search."""
        return frozenset(self.public.split(b"\n"))

    def _look_whole(self, text: bytes) -> None:
        """Compare all of a text whose ends may be there, or say nothing, but not the whole of it."""
        if len(text) <= MOST_BYTES or text in self._lines or text in self.public:
            return
        last = next(it for it in (text[-MOST_BYTES:], text[:MOST_BYTES]) if _says_something(it))
        self._wholes.setdefault(last, {})[text] = None


@dataclass(frozen=True)
class _Ends:
    """What is looked for of texts: cuts, and of which text each is."""

    cuts: Packed
    of_text: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: list[bytes], kind: int) -> _Ends:
        """The first and the last MOST_BYTES of each, as far as they are long enough and not uniform."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(lengths)
        most = np.minimum(lengths, MOST_BYTES)
        long = np.flatnonzero(lengths > MOST_BYTES)
        of_text = np.concatenate([np.arange(len(texts)), long])
        begins = np.concatenate([ends - lengths, ends[long] - MOST_BYTES])
        lengths = most[of_text]
        data = np.frombuffer(b"".join(texts), np.uint8)
        long_enough = lengths >= LEAST_BYTES
        begins, lengths, of_text = (it[long_enough] for it in (begins, lengths, of_text))
        # At the right end of 16 bytes; in front of a shorter one, its own first byte as yet
        places = (begins + lengths)[:, np.newaxis] + np.arange(-MOST_BYTES, 0)
        rows = data[np.maximum(places, begins[:, np.newaxis])]
        kept = _different(rows) >= LEAST_DIFFERENT
        rows[places < begins[:, np.newaxis]] = 0
        found = _packed(rows[kept].tobytes(), lengths[kept].astype(np.uint8), kind)
        return cls(found, of_text[kept])


def _says_something(cut: bytes) -> bool:
    return len(set(cut)) >= LEAST_DIFFERENT


def _different(rows: ByteRows) -> npt.NDArray[np.int64]:
    """How many different bytes each row has."""
    ordered = np.sort(rows, axis=1)
    changes = ordered[:, 1:] != ordered[:, :-1]
    return np.asarray(1 + changes.sum(axis=1), np.int64)


def _packed(whole: bytes, lengths: npt.NDArray[np.uint8], kind: int) -> Packed:
    words = np.frombuffer(whole, "<u8").reshape(-1, 2)
    kinds = np.full(len(words), kind, np.uint8)
    return Packed(words[:, 0].copy(), words[:, 1].copy(), lengths, kinds)


def _ordered(parts: list[Packed]) -> Packed:
    """All of them by their last bytes, each once, of the kind that was added first."""
    whole = Packed(
        np.concatenate([it.first for it in parts]),
        np.concatenate([it.last for it in parts]),
        np.concatenate([it.lengths for it in parts]),
        np.concatenate([it.kinds for it in parts]),
    )
    parts.clear()
    whole = whole.taken(np.lexsort((whole.first, whole.last)))
    columns = (whole.first, whole.last, whole.lengths)
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    return whole.taken(np.append(True, ~same)[: len(whole)])


class Marks:
    """A filter of numbers, as Bloom's: a bit of a byte is set for each, and for few others."""

    def __init__(self, numbers: Windows, factor: np.uint64) -> None:
        bits = int(np.clip(len(numbers).bit_length() + 4, LEAST_TABLE_BITS, MOST_TABLE_BITS))
        self._factor, self._shift = factor, np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.uint8)
        places, bit = self._placed(numbers)
        np.bitwise_or.at(self._table, places, np.left_shift(np.uint8(1), bit))

    def may_hold(self, numbers: Windows) -> npt.NDArray[np.bool_]:
        """Whether each is marked; of those that are not, it holds for one in some dozens, too."""
        places, bit = self._placed(numbers)
        # Clipping spares a check of each index, which is within the table by its making
        found = self._table.take(places, mode="clip")
        found >>= bit
        found &= _ONE
        return found.view(np.bool_)

    def _placed(self, numbers: Windows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        spread = numbers * self._factor
        bit = (spread >> self._shift - _THREE_BITS).astype(np.uint8)
        bit &= _LOWEST
        spread >>= self._shift
        return spread.view(np.int64), bit


@dataclass(frozen=True)
class Hit:
    """Where something was found: its kind, the first byte, the bytes."""

    kind: str
    place: int
    text: bytes


class Search:
    """Needles in a table, for several threads. wholes: by an end, texts to be compared in full."""

    def __init__(
        self, kinds: list[str], packed: Packed, wholes: Mapping[bytes, Iterable[bytes]]
    ) -> None:
        self.kinds, self._packed, self._wholes = kinds, packed, wholes
        # The last six, not the first: times, names of files and paths begin alike
        self._marks = [Marks(packed.last >> _TWO_BYTES, factor) for factor in _FACTORS]

    @property
    def counts(self) -> dict[str, int]:
        """How many are looked for, by kind."""
        counts = np.bincount(self._packed.kinds, minlength=len(self.kinds))
        return dict(zip(self.kinds, counts.tolist(), strict=True))

    def everywhere(self, data: Any) -> list[Hit]:
        """All that is found in bytes, or in a mapped file; the least place first."""
        size = len(data)
        starts = range(0, size, CHUNK_BYTES)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="audit") as pool:
            parts = pool.map(lambda start: self._chunk(data, start, size), starts)
            return [hit for part in parts for hit in part]

    def _chunk(self, data: Any, start: int, size: int) -> list[Hit]:
        end = min(start + CHUNK_BYTES, size)
        there = bytes(data[start : min(end + 8, size)])
        raw = there.ljust(end - start + 16, b"\0")
        hits = []

        def part(begin: int, until: int) -> bytes:
            # From memory: of a hundred thousand places, each read from the file takes longer than the rest
            within = begin >= start and until <= start + len(there)
            return there[begin - start : until - start] if within else data[begin:until]

        for offset in range(8):
            count = (end - start - offset + 7) // 8
            if count <= 0:
                continue
            windows = np.frombuffer(raw, "<u8", count, offset) & _SIX
            for place in self._candidates(windows).tolist():
                hits += self._compared(part, start + offset + 8 * place, int(windows[place]))
        return sorted(hits, key=lambda hit: hit.place)

    def _candidates(self, windows: Windows) -> npt.NDArray[np.int64]:
        """The places of windows that end something that is looked for."""
        first, second = self._marks
        places: npt.NDArray[np.int64] = np.flatnonzero(first.may_hold(windows))
        places = places[np.flatnonzero(second.may_hold(windows[places]))]
        if not len(places) or not len(self._packed):
            return np.empty(0, np.int64)
        wanted = windows[places]
        found = np.searchsorted(self._packed.last, wanted << _TWO_BYTES)
        nearest = self._packed.last[np.minimum(found, len(self._packed) - 1)]
        kept: npt.NDArray[np.int64] = places[nearest >> _TWO_BYTES == wanted]
        return kept

    def _compared(self, part: Callable[[int, int], bytes], at: int, window: int) -> list[Hit]:
        last = self._packed.last
        place = int(np.searchsorted(last, np.uint64(window << 16)))
        hits = []
        while place < len(last) and int(last[place]) >> 16 == window:
            text = self._packed.text(place)
            end = at + LEAST_BYTES
            for wanted in self._wholes.get(text, [text]):
                # It ends with what is looked for, or, where its end says nothing, begins with it
                begins = {end - len(wanted), end - len(text)}
                hits += [
                    Hit(self.kinds[self._packed.kinds[place]], begin, wanted)
                    for begin in begins
                    if begin >= 0 and part(begin, begin + len(wanted)) == wanted
                ]
            place += 1
        return hits
