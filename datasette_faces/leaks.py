"""Find any of very many short strings of bytes in very many bytes, with numpy alone.

Aho and Corasick's machine (pyahocorasick) takes gigabytes for a million strings, and a package that has
to be compiled. Here the last six bytes of each string are put into a table; each place of the file is
looked up there at once, as in Rabin and Karp's search, and what is left is compared in full.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_BYTES = 6
"""Shorter strings are found by chance: of 10,000 with six bytes 0.03 in a gigabyte."""
MOST_BYTES = 16
"""So much of a longer one is looked for."""
LEAST_DIFFERENT = 4
"""Bytes of a string that differ: zeros are everywhere."""
CHUNK_BYTES = 1 << 20
TABLE_BITS = 24
_SIX = np.uint64((1 << 48) - 1)
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
"""Odd numbers whose multiples spread evenly: the golden ratio's (Knuth), one of xxHash's."""
_SHIFT = np.uint64(64 - TABLE_BITS)

Windows = npt.NDArray[np.uint64]


@dataclass
class Needles:
    """What is looked for, by kind; `add` before `frozen`."""

    kinds: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    too_short: dict[str, int] = field(default_factory=dict)
    _of_kind: list[int] = field(default_factory=list)
    _bytes: set[bytes] = field(default_factory=set)
    _found: dict[bytes, int] = field(default_factory=dict)

    def add(self, kind: str, texts: Iterable[bytes]) -> None:
        """Look for these; of long ones for the first MOST_BYTES."""
        if kind not in self.counts:
            self.kinds.append(kind)
            self.counts[kind] = self.too_short[kind] = 0
        number = self.kinds.index(kind)
        for text in texts:
            cut = text[:MOST_BYTES]
            if len(cut) < LEAST_BYTES or len(set(cut)) < LEAST_DIFFERENT:
                self.too_short[kind] += 1
            elif cut not in self._found:
                self._found[cut] = number
                self.counts[kind] += 1

    def without(self, texts: Iterable[bytes]) -> None:
        """Do not look for these: they may be there."""
        for text in texts:
            number = self._found.pop(text[:MOST_BYTES], None)
            if number is not None:
                self.counts[self.kinds[number]] -= 1

    def search(self) -> Search:
        """What finds them."""
        return Search(self.kinds, self._found)


@dataclass(frozen=True)
class Hit:
    """Where something was found: its kind, the first byte, the bytes."""

    kind: str
    place: int
    text: bytes


class Search:
    """Needles in a table, for several threads."""

    def __init__(self, kinds: list[str], found: dict[bytes, int]) -> None:
        self.kinds = kinds
        texts = list(found)
        # The last six, not the first: times, names of files and paths begin alike
        windows = np.frombuffer(b"".join(it[-LEAST_BYTES:] + b"\0\0" for it in texts), "<u8")
        order = np.argsort(windows, kind="stable")
        self._windows = windows[order]
        self._texts = [texts[place] for place in order.tolist()]
        self._kinds = [found[text] for text in self._texts]
        self._tables = [np.zeros(1 << TABLE_BITS, np.bool_) for _ in _FACTORS]
        for table, factor in zip(self._tables, _FACTORS, strict=True):
            table[(self._windows * factor) >> _SHIFT] = True

    def everywhere(self, data: Any) -> list[Hit]:
        """All that is found in bytes, or in a mapped file; the least place first."""
        size = len(data)
        starts = range(0, size, CHUNK_BYTES)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="audit") as pool:
            parts = pool.map(lambda start: self._chunk(data, start, size), starts)
            return [hit for part in parts for hit in part]

    def _chunk(self, data: Any, start: int, size: int) -> list[Hit]:
        end = min(start + CHUNK_BYTES, size)
        raw = bytes(data[start : min(end + 8, size)]).ljust(end - start + 16, b"\0")
        hits = []
        for offset in range(8):
            count = (end - start - offset + 7) // 8
            if count <= 0:
                continue
            windows = np.frombuffer(raw, "<u8", count, offset) & _SIX
            for place in self._candidates(windows).tolist():
                at = start + offset + 8 * place
                hits += self._compared(data, at, int(windows[place]))
        return sorted(hits, key=lambda hit: hit.place)

    def _candidates(self, windows: Windows) -> npt.NDArray[np.int64]:
        """The places of windows that begin something that is looked for."""
        first, second = self._tables
        # Clipping spares a check of each index, which is within the table by its making
        hashes = ((windows * _FACTORS[0]) >> _SHIFT).view(np.int64)
        places: npt.NDArray[np.int64] = np.flatnonzero(first.take(hashes, mode="clip"))
        places = places[second[(windows[places] * _FACTORS[1]) >> _SHIFT]]
        if not len(places) or not len(self._windows):
            return np.empty(0, np.int64)
        found = np.searchsorted(self._windows, windows[places])
        same = self._windows[np.minimum(found, len(self._windows) - 1)] == windows[places]
        kept: npt.NDArray[np.int64] = places[same]
        return kept

    def _compared(self, data: Any, at: int, window: int) -> list[Hit]:
        place = int(np.searchsorted(self._windows, np.uint64(window)))
        hits = []
        while place < len(self._windows) and int(self._windows[place]) == window:
            text = self._texts[place]
            begin = at + LEAST_BYTES - len(text)
            if begin >= 0 and data[begin : at + LEAST_BYTES] == text:
                hits.append(Hit(self.kinds[self._kinds[place]], begin, text))
            place += 1
        return hits
