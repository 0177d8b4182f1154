"""Whether a catalogue holds anything that it must not: its bytes, its schema, each cell, each picture.

What may be there is worked out anew from the private file; whatever else is there is a leak. The bytes
are searched as well, for what lies outside of tables. No HTTP, no click.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from . import auditing
from .auditing import Catalogue, Finding
from .connections import explained, load_vector_extension, reading, sqlite
from .errors import CatalogueError
from .store import catalogue as tables
from .store import publishing

Advance = Callable[[str, int, int], None]


class FileBytes:
    """The bytes of a file, read as they are asked for: mapped, all of them would count as memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._lock = file, size, threading.Lock()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, _ = wanted.indices(self._size)
        with self._lock:
            self._file.seek(start)
            return self._file.read(max(stop - start, 0))


CHECKS = (
    auditing.whole_file,
    auditing.schema,
    auditing.notes,
    auditing.faces_allowed,
    auditing.people_rows,
    auditing.photo_rows,
    auditing.face_rows,
    auditing.vector_rows,
    auditing.picture_bytes,
    auditing.picture_contents,
)


@dataclass(frozen=True)
class Report:
    """What was looked for, and found; notes: what the catalogue says was turned on."""

    findings: tuple[Finding, ...]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def leaks(self) -> int:
        """How many things were found that must not be there."""
        return sum(finding.found for finding in self.findings)


def audit(out: str, database: str, *, advance: Advance = lambda what, done, total: None) -> Report:
    """Look for all that the private file holds and the catalogue must not. Raises FacesError."""
    if not os.path.isfile(out):
        raise CatalogueError(f"There is no file {out}")
    if os.path.samefile(out, database) if os.path.exists(database) else False:
        raise CatalogueError("This is the private file itself")
    with reading(database) as private, _opened(out) as (conn, data):
        notes = tables.notes_of(conn)
        if notes is None:
            raise CatalogueError(f"{out} is no catalogue; make one with: datasette faces export")
        secret = publishing.key(private) or b"none"
        publishing.number_all(private, secret)
        there = [
            row[0] for row in conn.execute("select id from faces where typeof(id) = 'integer'")
        ]
        known = publishing.choose_published(private, there)
        it = Catalogue(out, conn, data, private, notes, secret, known)
        findings: list[Finding] = []
        steps = [*CHECKS, auditing.searched]
        for done, check in enumerate(steps):
            advance("audit", done, len(steps))
            findings += check(it)
        advance("audit", len(steps), len(steps))
    return Report(tuple(findings), notes)


@contextmanager
def _opened(path: str) -> Iterator[tuple[Any, Any]]:
    """A connection to the file as it lies there, and its bytes."""
    address = Path(path).resolve().as_uri() + "?mode=ro&immutable=1"
    with explained(path), open(path, "rb") as file:
        if not os.path.getsize(path):
            raise CatalogueError(f"{path} is empty")
        with closing(sqlite().connect(address, uri=True)) as conn:
            load_vector_extension(conn)
            # Whatever bytes somebody put there, they are read
            conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            yield conn, FileBytes(file, os.path.getsize(path))
