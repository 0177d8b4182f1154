"""The schema of a damaged file, as far as it can be read, and which rows of which table are where.

Reads pages, not SQL: SQLite refuses the whole of a file for one byte of its schema.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .connection import Connection, sqlite
from .pages import OF_INDEX, OF_TABLE, PagedFile, Record, TreeWalk
from .schema import quote_name
from .vec_tables import PREFIX

SCHEMA_COLUMNS = 5
KINDS = ("table", "view", "index", "trigger")
DAMAGED_CHARACTERS = 8
"""In so few characters, SQL of ours may differ from what it was."""
CREATED = re.compile(r"\s*create\s+(?:virtual\s+)?table\s+[\"'\[`]?(\w+)", re.IGNORECASE)
WITHOUT_ROWID = re.compile(r"\)\s*without\s+rowid\s*$", re.IGNORECASE)
AFFINITIES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "real": (int, float),
    "text": (str,),
    "blob": (bytes,),
}
"""What a column of ours holds, by its declared type."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the schema: a table, an index, a trigger or a view, and the page where it begins."""

    kind: str
    name: str
    table: str
    root: int
    sql: str


@dataclass(frozen=True)
class TableShape:
    """The columns of a table in the order in which its rows are kept, and what they may hold.

    key: the column that is the rowid, if one is.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    required: tuple[bool, ...]
    key: int | None
    has_rowid: bool

    def takes(self, record: Record) -> bool:
        """Whether a record has as many values as a row of this table may have."""
        needed = max((n + 1 for n, needs in enumerate(self.required) if needs), default=1)
        return needed <= len(record.values) <= len(self.columns)

    def fits(self, record: Record) -> bool:
        """Whether a record looks as a row of this table should."""
        columns = zip(record.values, self.types, self.required, strict=False)
        return self.takes(record) and all(
            (value is None if n == self.key else _fits(value, kind, needed=needs))
            for n, (value, kind, needs) in enumerate(columns)
        )

    def row(self, record: Record) -> tuple[Any, ...]:
        """The values of a row, as SQL has them."""
        if self.key is None:
            return record.values
        return (*record.values[: self.key], record.rowid, *record.values[self.key + 1 :])


def _fits(value: Any, kind: str, *, needed: bool) -> bool:
    if value is None:
        return not needed
    return isinstance(value, AFFINITIES.get(kind, (object,)))


def shape_of(conn: Connection, table: str, sql: str) -> TableShape:
    """How the rows of a table of a sound file are kept."""
    found = conn.execute(f"pragma table_xinfo({quote_name(table)})").fetchall()
    # A column that is computed is in no row
    info = [row for row in found if not row[6]]
    has_rowid = WITHOUT_ROWID.search(sql) is None
    keys = sorted((row for row in info if row[5]), key=lambda row: int(row[5]))
    if not has_rowid:
        info = [*keys, *(row for row in info if not row[5])]
    of_key = [n for n, row in enumerate(info) if row[5]]
    is_number = has_rowid and len(of_key) == 1 and info[of_key[0]][2].lower() == "integer"
    return TableShape(
        name=table,
        columns=tuple(row[1] for row in info),
        types=tuple(row[2].lower() for row in info),
        required=tuple(bool(row[3] and row[4] is None) for row in info),
        key=of_key[0] if is_number else None,
        has_rowid=has_rowid,
    )


def shape_of_sql(table: str, sql: str) -> TableShape | None:
    """How the rows of a table are kept that this SQL made; None where it cannot be read."""
    with closing(sqlite().connect(":memory:")) as conn:
        try:
            conn.execute(sql)
            shape = shape_of(conn, table, sql)
        except (sqlite().Error, ValueError):
            return None
    return shape if shape.columns else None


@dataclass
class DamagedFile:
    """A file of which pages are damaged: its schema, and the rows that are left."""

    file: PagedFile
    known: Collection[str]
    """The tables that it should have."""
    unread: int = field(default=0, init=False)
    """How many pages of the schema cannot be read."""
    broken: list[bytes] = field(default_factory=list, init=False)
    """What is where rows of the schema begin that cannot be read."""

    @cached_property
    def entries(self) -> list[Entry]:
        """The schema; a name that is damaged is taken from where it stands again."""
        walk = TreeWalk(self.file, 1, of_index=False)
        found = [entry for record in walk.records() if (entry := _as_entry(record, self.known))]
        self.unread, self.broken = walk.unread, walk.broken
        if walk.unread or not set(self.known) <= {entry.name for entry in found}:
            found += self._find_stray_entries(walk.seen | self._free_pages)
        return found

    def _find_stray_entries(self, seen: Collection[int]) -> Iterator[Entry]:
        """What is on pages of the schema to which nothing leads any more."""
        for number in range(2, self.file.count + 1):
            if number not in seen and (page := self.file.read_rows(number)):
                entries = [_as_entry(record, self.known) for record in page]
                if all(entry and entry.kind in KINDS and entry.name for entry in entries):
                    self.unread = self.unread or 1
                    yield from (entry for entry in entries if entry)

    def lacks_schema(self, ours: Collection[str]) -> bool:
        """Whether something may have been in the file of which nobody knows; ours: the names of what is."""
        names = {entry.name for entry in self.entries} | self.tables.keys()
        known = [name.encode() for name in (*ours, PREFIX, "sqlite_")]
        if any(not any(name in row for name in known) for row in self.broken):
            return True
        return bool(self.unread) and not set(ours) <= names

    @cached_property
    def tables(self) -> dict[str, Entry]:
        """The tables by name, also those of which only traces are in the schema."""
        found = {entry.name: entry for entry in reversed(self.entries) if entry.kind == "table"}
        taken = {entry.root for entry in self.entries} | self._free_pages
        for name in set(self.known) - found.keys():
            if (root := self._find_trace(name)) and root not in taken:
                found[name] = Entry("table", name, name, root, "")
        return found

    def _find_trace(self, name: str) -> int | None:
        """The page where a table begins of which the row in the schema cannot be read at its beginning."""
        text = re.escape(name.encode())
        # Type, name and table's name, the number of the page, and the SQL
        pattern = rb"table%b%b(.{1,4}?)CREATE TABLE [\"'\[`]?%b\b" % (text, text, text)
        for match in re.finditer(pattern, self.file.data, re.DOTALL):
            if 1 < (root := int.from_bytes(match[1], "big")) <= self.file.count:
                return root
        return None

    def foreign(self, ours: Mapping[str, str]) -> Iterator[Entry]:
        """What somebody else made in the file, tables first; ours: the names of what is ours, by SQL."""
        places = [*self.tables.values(), *(it for it in self.entries if it.kind != "table")]
        virtual = tuple(f"{it.name}_" for it in places if it.kind == "table" and not it.root)
        for entry in sorted(places, key=lambda it: KINDS.index(it.kind) if it.kind in KINDS else 0):
            known = entry.name in ours.values() or any(_is_like(entry.sql, it) for it in ours)
            hidden = entry.name.startswith(("sqlite_", PREFIX, *virtual))
            if entry.sql and not known and not hidden:
                yield entry

    def walk_rows(self, entry: Entry) -> Iterator[Record]:
        """The rows of a table that has rowids, as far as its pages can be read."""
        return TreeWalk(self.file, entry.root, of_index=False).records()

    def walk(self, root: int, shape: TableShape) -> TreeWalk:
        """What reads the rows of a table from this page on."""
        return TreeWalk(self.file, root, of_index=not shape.has_rowid)

    def read_indexed(self, table: str) -> tuple[set[int], bool]:
        """The rowids that the indexes of a table name, and whether all of one index could be read."""
        found: set[int] = set()
        is_whole = False
        shared = Counter(entry.root for entry in self.entries)
        for entry in self.entries:
            if entry.kind == "index" and entry.table == table and shared[entry.root] == 1:
                walk = TreeWalk(self.file, entry.root, of_index=True)
                ids = [record.values[-1] for record in walk.records() if len(record.values) > 1]
                found.update(rowid for rowid in ids if isinstance(rowid, int))
                is_whole |= not walk.unread and not walk.broken
        return found, is_whole

    @property
    def is_schema_whole(self) -> bool:
        """Whether every row of the schema could be read."""
        return bool(self.entries) and not self.unread and not self.broken

    def stray_pages(self, *, of_index: bool) -> Iterator[list[Record]]:
        """The rows of each page of a table to which nothing leads, and which is not free."""
        kinds = OF_INDEX if of_index else OF_TABLE
        for number in range(2, self.file.count + 1):
            if number not in self._reached and (page := self.file.read_rows(number, kinds)):
                yield page

    @cached_property
    def _reached(self) -> set[int]:
        """The pages to which something leads, and those that are free."""
        found = self._free_pages | {1}
        for root, of_index in self._roots():
            walk = TreeWalk(self.file, root, of_index=of_index)
            for _ in walk.records():
                pass
            found |= walk.seen
        return found

    def _roots(self) -> Iterator[tuple[int, bool]]:
        for entry in {*self.entries, *self.tables.values()}:
            if entry.root:
                yield entry.root, entry.kind == "index" or bool(WITHOUT_ROWID.search(entry.sql))

    @cached_property
    def _free_pages(self) -> set[int]:
        """The pages that hold nothing, or what was deleted: that is not brought back."""
        found: set[int] = set()
        trunk = int.from_bytes(self.file.data[32:36], "big")
        while trunk > 1 and trunk not in found and self.file.holds(trunk):
            page = self.file.page(trunk)
            count = min(int.from_bytes(page[4:8], "big"), len(page) // 4 - 2)
            found.add(trunk)
            found |= {int.from_bytes(page[8 + 4 * n : 12 + 4 * n], "big") for n in range(count)}
            trunk = int.from_bytes(page[:4], "big")
        return found


def _as_entry(record: Record, known: Collection[str]) -> Entry | None:
    """A row of the schema, of which one part may be damaged; None where it makes no sense."""
    if len(record.values) != SCHEMA_COLUMNS or not isinstance(record.values[3], int):
        return None
    kind, name, table, root, sql = record.values
    kind, name, table, sql = (
        value if isinstance(value, str) else "" for value in (kind, name, table, sql)
    )
    made = CREATED.match(sql)
    of_table = [kind == "table", made is not None, name == table]
    if sum(of_table) < 2:
        return Entry("index" if root else kind, name, table, root, sql)
    names = Counter([name, table, *([made[1]] if made else [])])
    likely = sorted(names, key=lambda text: (text not in known, -names[text]))
    return Entry("table", likely[0], likely[0], root, sql)


def _is_like(sql: str, other: str) -> bool:
    """Whether SQL differs from other only as far as a damaged word does."""
    if len(sql) != len(other):
        return False
    return sum(a != b for a, b in zip(sql, other, strict=True)) <= DAMAGED_CHARACTERS


def find_strays(
    damaged: DamagedFile, shape: TableShape, wanted: Collection[int] | None
) -> Iterator[Record]:
    """Rows of a table on pages to which nothing leads any more; wanted: their rowids, where known."""
    for page in damaged.stray_pages(of_index=not shape.has_rowid):
        if all(map(shape.fits, page)):
            yield from (row for row in page if wanted is None or row.rowid in wanted)
