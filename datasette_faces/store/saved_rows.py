"""The rows of one table of a damaged file, wherever they are, and how many of them are lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from .pages import Record, TreeWalk
from .salvage import DamagedFile, TableShape, find_strays

SAMPLE_ROWS = 20
"""Of so many rows at the beginning, one at least looks as it should, or it is another table."""


class SavedRows:
    """Reads what is left of a table and counts it.

    lost: how many rows are known to be lost; is_certain: whether there are no more; incomplete: how
    many have a picture without its end, or a text that is none.
    """

    def __init__(self, damaged: DamagedFile, shape: TableShape) -> None:
        """shape: how rows are kept in the damaged file."""
        self.damaged, self.shape = damaged, shape
        self.incomplete = self.lost = self.refused = self.count = 0
        self.is_certain = True
        self._read: set[int] = set()

    @property
    def has_loss(self) -> bool:
        """Whether a row is lost, or may be."""
        return bool(self.lost or self.refused or not self.is_certain)

    def records(self) -> Iterator[Record]:
        """All rows that can be read; those to which nothing leads come last."""
        entry = self.damaged.tables.get(self.shape.name)
        indexed, is_whole = (
            self.damaged.read_indexed(self.shape.name) if self.shape.has_rowid else (set(), False)
        )
        walk = self.damaged.walk(entry.root, self.shape) if entry else None
        unfit, has_root = 0, False
        if walk is not None:
            rows = walk.records()
            first = list(islice(rows, SAMPLE_ROWS))
            has_root = any(map(self.shape.fits, first)) if first else not walk.unread
            for record in chain(first, rows) if has_root else ():
                if self.shape.takes(record):
                    yield self._count(record)
                else:
                    unfit += 1
        yield from self._read_strays(walk if has_root else None, indexed)
        self._count_lost(walk if has_root else None, unfit, indexed - self._read, is_whole=is_whole)

    def _read_strays(self, walk: TreeWalk | None, indexed: set[int]) -> Iterator[Record]:
        missing = indexed - self._read
        if walk is not None and not walk.unread and not missing:
            return
        for record in find_strays(self.damaged, self.shape, missing if indexed else None):
            if record.rowid not in self._read:
                yield self._count(record)

    def _count(self, record: Record) -> Record:
        if record.rowid is not None:
            self._read.add(record.rowid)
        self.count += 1
        self.incomplete += not record.is_whole
        return record

    def _count_lost(
        self, walk: TreeWalk | None, unfit: int, missing: set[int], *, is_whole: bool
    ) -> None:
        if is_whole:
            self.lost = len(missing)
            return
        unread = walk.unread if walk else 0
        self.lost = max(len(missing), unfit + unread + (len(walk.broken) if walk else 0))
        self.is_certain = not unread and (
            walk is not None or self.count > 0 or not self._was_there()
        )

    def _was_there(self) -> bool:
        """Whether the table was in the file, for all that is known."""
        return self.shape.name in self.damaged.tables or not self.damaged.is_schema_whole
