"""The checks of an audit that look at the file itself: it is its tables and indexes, and no byte more."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...store.connection import explained, load_vector_extension, sqlite
from ..publish import atomic_file
from .row_checks import File, Finding

PIECE_BYTES = 1 << 20
HEADER_BYTES = 100
COLUMNS_BEHIND = 64
"""So many places behind the last column of each table are looked at."""
CHANGING = ((24, 28), (40, 44), (92, 100))
"""What counts changes, and says which SQLite made them: SQLite's "Database File Format", 1.3."""
ZEROS = ((20, 21), (48, 56), (60, 92))
"""What a page reserves, a cache's size, vacuum's settings, user_version, application_id, the future's."""


def beside(it: File) -> list[Finding]:
    """Nothing lies beside the file, or behind its last page."""
    there = [
        os.path.basename(it.path) + end
        for end in atomic_file.BESIDE_SQLITE[1:]
        if os.path.exists(it.path + end)
    ]
    pages, size = (
        it.conn.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    extra = len(it.data) - pages * size
    return [
        Finding.of("files beside it", 3, there),
        Finding.of("bytes behind the last page", 1, [f"{extra} bytes"] if extra else []),
    ]


def header(it: File) -> list[Finding]:
    """The header says how large the file is, and keeps nothing else."""
    raw = it.data[:HEADER_BYTES]
    strange = [f"bytes {begin} to {end}" for begin, end in ZEROS if any(raw[begin:end])]
    if raw[18:20] != b"\x01\x01":
        strange.append("the file is in WAL mode")
    return [Finding.of("numbers in the header", len(ZEROS) + 1, strange)]


def faults(it: File) -> list[Finding]:
    """Every index says what its table says, and every page belongs to one of them."""
    lines = [row[0] for row in it.conn.execute("pragma integrity_check(20)")]
    pages = it.conn.execute("pragma page_count").fetchone()[0]
    return [Finding.of("unused or inconsistent pages", pages, set(lines) - {"ok"})]


def room(it: File) -> list[Finding]:
    """Between rows, and on pages that were given back, is nothing: a copy of the rows is the same file."""
    with atomic_file.scratch_beside(it.path) as folder, explained(it.path):
        copy = folder / "copy"
        it.conn.execute("vacuum into ?", [str(copy)])
        places = [f"at byte {place:,}" for place in _different(Path(it.path), copy)]
        places += _behind_the_last_column(copy)
    return [Finding.of("free pages, and bytes that belong to no row", len(it.data), places)]


def _behind_the_last_column(copy: Path) -> Iterator[str]:
    """Values of rows for which their table has no column: further ones would show them."""
    columns = [f"c{number}_{secrets.token_hex(8)}" for number in range(COLUMNS_BEHIND)]
    ordinary = "type = 'table' and rootpage > 0 and name not like 'sqlite~_%' escape '~'"
    with closing(sqlite().connect(str(copy), isolation_level=None)) as conn:
        load_vector_extension(conn)
        conn.execute("begin")
        tables = conn.execute(f"select name from sqlite_master where {ordinary}").fetchall()
        for table in ('"{}"'.format(row[0].replace('"', '""')) for row in tables):
            try:
                for column in columns:
                    conn.execute(f"alter table {table} add column {column}")
                some = f"coalesce({', '.join(columns)}) is not null"
                count = conn.execute(f"select count(*) from {table} where {some}").fetchone()[0]
            except sqlite().OperationalError as error:
                yield f"{table} cannot be looked at ({error})"
                continue
            if count:
                yield f"{count:,} rows of {table} with more values than it has columns"
        conn.execute("rollback")


def _different(one: Path, other: Path) -> Iterator[int]:
    """Where two files differ first in each piece; their headers may count changes differently."""
    if one.stat().st_size != other.stat().st_size:
        yield min(one.stat().st_size, other.stat().st_size)
        return
    with one.open("rb") as left, other.open("rb") as right:
        start = 0
        while piece := left.read(PIECE_BYTES):
            twin = right.read(PIECE_BYTES)
            if start == 0:
                piece, twin = _lasting(piece), _lasting(twin)
            if piece != twin:
                yield start + next(
                    n for n in range(len(piece)) if piece[n : n + 1] != twin[n : n + 1]
                )
            start += len(piece)


def _lasting(piece: bytes) -> bytes:
    kept = bytearray(piece)
    for begin, end in CHANGING:
        kept[begin:end] = bytes(end - begin)
    return bytes(kept)
