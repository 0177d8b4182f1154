"""The checks of an audit on the file itself: it holds its tables and indexes, and no other byte."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...store.connection import explained, load_vector_extension, sqlite
from ...store.schema import quote_name
from .. import atomic_file
from .findings import AuditFinding, CatalogueFile

PIECE_BYTES = 1 << 20
HEADER_BYTES = 100
PROBED_COLUMNS = 64
"""Places behind the last column of each table where a value could be."""
COUNTERS = ((24, 28), (40, 44), (92, 100))
"""Counters of changes, and the version of SQLite: SQLite's "Database File Format", 1.3."""
ZERO_BYTES = ((20, 21), (48, 56), (60, 92))
"""Reserved bytes, cache size, vacuum settings, user_version, application_id, bytes for expansion."""


def find_files_beside(catalogue: CatalogueFile) -> list[AuditFinding]:
    """No file of SQLite is beside the catalogue, and no byte behind its last page."""
    there = [
        os.path.basename(catalogue.path) + end
        for end in atomic_file.BESIDE_SQLITE[1:]
        if os.path.exists(catalogue.path + end)
    ]
    pages, size = (
        catalogue.conn.execute(f"pragma {name}").fetchone()[0]
        for name in ("page_count", "page_size")
    )
    extra = len(catalogue.data) - pages * size
    return [
        AuditFinding.of("files beside it", 3, there),
        AuditFinding.of("bytes behind the last page", 1, [f"{extra} bytes"] if extra else []),
    ]


def check_header(catalogue: CatalogueFile) -> list[AuditFinding]:
    """The header of the file holds no number that SQLite does not need."""
    raw = catalogue.data[:HEADER_BYTES]
    leaks = [f"bytes {begin} to {end}" for begin, end in ZERO_BYTES if any(raw[begin:end])]
    if raw[18:20] != b"\x01\x01":
        leaks.append("the file is in WAL mode")
    return [AuditFinding.of("numbers in the header", len(ZERO_BYTES) + 1, leaks)]


def check_pages(catalogue: CatalogueFile) -> list[AuditFinding]:
    """Every index is consistent with its table, and every page belongs to one of them."""
    lines = [row[0] for row in catalogue.conn.execute("pragma integrity_check(20)")]
    pages = catalogue.conn.execute("pragma page_count").fetchone()[0]
    return [AuditFinding.of("unused or inconsistent pages", pages, set(lines) - {"ok"})]


def check_free_space(catalogue: CatalogueFile) -> list[AuditFinding]:
    """Nothing is between rows or on free pages: a copy of the rows alone is the same file."""
    with atomic_file.scratch_folder_beside(catalogue.path) as folder, explained(catalogue.path):
        copy = folder / "copy"
        catalogue.conn.execute("vacuum into ?", [str(copy)])
        places = [f"at byte {place:,}" for place in _differing_bytes(Path(catalogue.path), copy)]
        places += _values_behind_columns(copy)
    return [
        AuditFinding.of("free pages, and bytes that belong to no row", len(catalogue.data), places)
    ]


def _values_behind_columns(copy: Path) -> Iterator[str]:
    """Values of rows behind the last column of their table, which added columns show."""
    columns = [f"c{number}_{secrets.token_hex(8)}" for number in range(PROBED_COLUMNS)]
    ordinary = "type = 'table' and rootpage > 0 and name not like 'sqlite~_%' escape '~'"
    with closing(sqlite().connect(str(copy), isolation_level=None)) as conn:
        load_vector_extension(conn)
        conn.execute("begin")
        tables = conn.execute(f"select name from sqlite_master where {ordinary}").fetchall()
        for table in (quote_name(row[0]) for row in tables):
            try:
                for column in columns:
                    conn.execute(f"alter table {table} add column {column}")
                some = f"coalesce({', '.join(columns)}) is not null"
                count = conn.execute(f"select count(*) from {table} where {some}").fetchone()[0]
            except sqlite().OperationalError as error:
                yield f"{table} cannot be checked ({error})"
                continue
            if count:
                yield f"{count:,} rows of {table} with more values than it has columns"
        conn.execute("rollback")


def _differing_bytes(one: Path, other: Path) -> Iterator[int]:
    """The first offset in each piece where two files differ, but for the counters of their headers."""
    if one.stat().st_size != other.stat().st_size:
        yield min(one.stat().st_size, other.stat().st_size)
        return
    with one.open("rb") as left, other.open("rb") as right:
        start = 0
        while piece := left.read(PIECE_BYTES):
            twin = right.read(PIECE_BYTES)
            if start == 0:
                piece, twin = _without_counters(piece), _without_counters(twin)
            if piece != twin:
                yield start + next(
                    n for n in range(len(piece)) if piece[n : n + 1] != twin[n : n + 1]
                )
            start += len(piece)


def _without_counters(piece: bytes) -> bytes:
    kept = bytearray(piece)
    for begin, end in COUNTERS:
        kept[begin:end] = bytes(end - begin)
    return bytes(kept)
