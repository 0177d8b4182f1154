"""The checks of an audit on the file itself: it holds its tables and indexes, and no other byte."""

from __future__ import annotations

import os

from .. import atomic_file
from .findings import AuditFinding, CatalogueFile

HEADER_BYTES = 100
ZERO_BYTES = ((20, 21), (48, 56), (60, 92))
"""Reserved bytes, cache size, vacuum settings, user_version, application_id, bytes for expansion: SQLite's
"Database File Format", 1.3."""


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
