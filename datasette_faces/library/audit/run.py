"""Whether a catalogue holds anything that it must not: its bytes, its schema, each cell, each picture.

What may be there is worked out anew from the private file; whatever else is there is a leak. The bytes
are searched as well, for what lies outside of tables. No HTTP, no click.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import CatalogueError
from ...models import subprocesses
from ...store import catalogue as tables
from ...store.connection import explained, load_vector_extension, sqlite
from ...store.database import reading
from ..publish import selection
from . import byte_checks, file_checks, index_checks, row_checks
from .row_checks import Catalogue, File, Finding, Known

Advance = Callable[[str, int, int], None]

PROCESS_FROM_BYTES = 64_000_000
"""A smaller file has been searched before a process has begun."""


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


ALONE: tuple[Callable[[File], list[Finding]], ...] = (
    file_checks.beside,
    file_checks.header,
    file_checks.faults,
)
"""Checks of the file alone that write nothing; `room` is one that does, and stays with who cleans up."""
CHECKS: tuple[Callable[[Catalogue], list[Finding]], ...] = (
    file_checks.room,
    index_checks.schema,
    row_checks.notes,
    row_checks.faces_allowed,
    row_checks.people_rows,
    row_checks.photo_rows,
    row_checks.face_rows,
    index_checks.vector_rows,
    row_checks.picture_bytes,
    row_checks.picture_contents,
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
    if os.path.exists(database) and os.path.samefile(out, database):
        raise CatalogueError(f"{out} and the private file are one and the same")
    notes = _notes(out)
    with _beside(os.path.getsize(out)) as other:
        # Together they take twice as long: one finds out who is published, and compares; one searches
        alone = other.submit(_alone, out)
        with _catalogue(out, database, notes) as it:
            searched = other.submit(_searched, out, database, notes, it.faces)
            findings: list[Finding] = []
            for done, check in enumerate(CHECKS):
                advance("audit", done, len(CHECKS) + 1)
                findings += check(it)
        advance("audit", len(CHECKS), len(CHECKS) + 1)
        findings = [*alone.result(), *findings, *searched.result()]
    advance("audit", len(CHECKS) + 1, len(CHECKS) + 1)
    return Report(tuple(findings), notes)


def _notes(out: str) -> dict[str, str]:
    with _opened(out) as (conn, _):
        notes = tables.notes_of(conn)
    if notes is None:
        raise CatalogueError(f"{out} is no catalogue; make one with: datasette faces export")
    return notes


@contextmanager
def _beside(size: int) -> Iterator[Executor]:
    """Who looks at a file of so many bytes, beside us."""
    if size >= PROCESS_FROM_BYTES:
        with subprocesses.worker(__name__) as process:
            yield process
        return
    with ThreadPoolExecutor(1, thread_name_prefix="audit") as thread:
        yield thread


def _alone(out: str) -> list[Finding]:
    """What is found by looking at the file alone."""
    with _opened(out) as (conn, data):
        return [finding for check in ALONE for finding in check(File(out, conn, data))]


def _searched(out: str, database: str, notes: dict[str, str], faces: list[int]) -> list[Finding]:
    """What is found among the file's bytes. faces: private ids of those that are published."""
    with reading(database) as private, _opened(out) as (conn, data):
        selection.choose_faces(private, faces)
        return byte_checks.searched(Known(out, conn, data, private, notes, faces))


@contextmanager
def _catalogue(out: str, database: str, notes: dict[str, str]) -> Iterator[Catalogue]:
    """Both files, opened, with what is published of the private one."""
    with reading(database) as private, _opened(out) as (conn, data):
        secret = selection.key(private) or b"none"
        selection.number_all(private, secret)
        there = [
            row[0] for row in conn.execute("select id from faces where typeof(id) = 'integer'")
        ]
        known = selection.choose_published(private, there)
        if there and not known:
            raise CatalogueError(
                f"{out} was not made of {database}: it knows none of its faces. Was the private file "
                "rebuilt, or is it a copy from before the first export? Export again"
            )
        blurred = selection.to_blur(private, others=bool(notes.get("blur_others")))
        yield Catalogue(out, conn, data, private, notes, known, secret, blurred)


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
