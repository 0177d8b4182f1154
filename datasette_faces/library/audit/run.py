"""Run all checks of an audit: whether a catalogue holds anything that it must not.

Some checks have rules of their own, and never call the code that exports; `compare_exports` exports once
more, and compares. The bytes of the file are searched as well, for what lies outside of tables.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import CatalogueError
from ...models import subprocesses
from ...store import catalogue as tables
from ...store.connection import explained, load_vector_extension, sqlite
from ...store.database import reading
from . import (
    allow_list,
    byte_checks,
    compare_exports,
    file_checks,
    model_check,
    picture_checks,
    rebuild_check,
    schema_check,
)
from .findings import AuditFinding, AuditReport, Catalogue, CatalogueFile

Advance = Callable[[str, int, int], None]

PROCESS_FROM_BYTES = 64_000_000
"""A smaller file is searched sooner than a process starts."""


class FileBytes:
    """The bytes of a file, read slice by slice: mapped, all of them would count as memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._lock = file, size, threading.Lock()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, _ = wanted.indices(self._size)
        with self._lock:
            self._file.seek(start)
            return self._file.read(max(stop - start, 0))


FILE_CHECKS: tuple[Callable[[CatalogueFile], list[AuditFinding]], ...] = (
    file_checks.find_files_beside,
    file_checks.check_header,
    file_checks.check_pages,
)
"""Checks of the file alone that write nothing."""
CHECKS: tuple[Callable[[Catalogue], list[AuditFinding]], ...] = (
    # Writes a copy, so it runs where the copy is removed, whatever happens
    rebuild_check.check_free_space,
    schema_check.check_schema,
    allow_list.check_notes,
    allow_list.check_barred_faces,
    allow_list.check_missing,
    allow_list.check_people,
    allow_list.check_cells,
    picture_checks.check_jpegs,
    picture_checks.check_sources,
    picture_checks.check_blurred,
    model_check.check_with_models,
)
"""Checks of the catalogue beside its private file; `compare_exports.COMPARISONS` follow them."""


def audit(
    out: str,
    database: str,
    *,
    with_models: bool = True,
    advance: Advance = lambda what, done, total: None,
) -> AuditReport:
    """Look for all that the private file holds and the catalogue must not. Raises FacesError.

    out: the catalogue. database: the private file that it was exported from. with_models: whether the
    models that are here look for hidden people in its pictures. advance: called with "audit", the checks
    done, and all checks.
    """
    if not os.path.isfile(out):
        raise CatalogueError(f"There is no file {out}")
    if os.path.exists(database) and os.path.samefile(out, database):
        raise CatalogueError(f"{out} and the private file are one and the same")
    notes = _read_notes(out)
    with _executor(os.path.getsize(out)) as other:
        # Together they take twice as long: one finds out who is published, and compares; one searches
        of_file = other.submit(_check_file, out)
        with _open_both(out, database, notes, with_models) as catalogue:
            searched = other.submit(_search_bytes, out, database, notes, catalogue.faces)
            findings = _check(catalogue, advance)
        findings = [*of_file.result(), *findings, *searched.result()]
    advance("audit", *[len(CHECKS) + len(compare_exports.COMPARISONS) + 1] * 2)
    return AuditReport(tuple(findings), notes)


def _check(catalogue: Catalogue, advance: Advance) -> list[AuditFinding]:
    """The findings of the checks that need both files, one check after the other."""
    comparison = compare_exports.prepare_comparison(catalogue)
    steps: list[Callable[[], list[AuditFinding]]] = [partial(check, catalogue) for check in CHECKS]
    steps += [partial(compare, comparison) for compare in compare_exports.COMPARISONS]
    findings: list[AuditFinding] = []
    for done, step in enumerate(steps):
        advance("audit", done, len(steps) + 1)
        findings += step()
    advance("audit", len(steps), len(steps) + 1)
    return findings


def _read_notes(out: str) -> dict[str, str]:
    """The options that a catalogue was exported with."""
    with _open(out) as (conn, _):
        notes = tables.notes_of(conn)
    if notes is None:
        raise CatalogueError(f"{out} is not a catalogue; make one with: datasette faces export")
    return notes


@contextmanager
def _executor(size: int) -> Iterator[Executor]:
    """What searches a file of so many bytes beside this thread: a process, or a thread for a small one."""
    if size >= PROCESS_FROM_BYTES:
        with subprocesses.open_worker(__name__) as process:
            yield process
        return
    with ThreadPoolExecutor(1, thread_name_prefix="audit") as thread:
        yield thread


def _check_file(out: str) -> list[AuditFinding]:
    """The findings of the checks of the file alone."""
    with _open(out) as (conn, data):
        return [
            finding for check in FILE_CHECKS for finding in check(CatalogueFile(out, conn, data))
        ]


def _search_bytes(
    out: str, database: str, notes: dict[str, str], faces: list[int]
) -> list[AuditFinding]:
    """What is found among the file's bytes. faces: private ids of the published faces."""
    with reading(database) as private, _open(out) as (conn, data):
        allow_list.set_published(private, faces)
        return byte_checks.search_bytes(Catalogue(out, conn, data, private, notes, faces))


@contextmanager
def _open_both(
    out: str, database: str, notes: dict[str, str], with_models: bool
) -> Iterator[Catalogue]:
    """A catalogue and its private file, both opened, with the private ids of its faces."""
    with reading(database) as private, _open(out) as (conn, data):
        faces = compare_exports.match_faces(private, conn)
        allow_list.set_published(private, faces)
        yield Catalogue(out, conn, data, private, notes, faces, with_models)


@contextmanager
def _open(path: str) -> Iterator[tuple[Any, Any]]:
    """A read-only connection to a file, and its bytes."""
    address = Path(path).resolve().as_uri() + "?mode=ro&immutable=1"
    with explained(path), open(path, "rb") as file:
        if not os.path.getsize(path):
            raise CatalogueError(f"{path} is empty")
        with closing(sqlite().connect(address, uri=True)) as conn:
            load_vector_extension(conn)
            # Any bytes can be read, also those that are no UTF-8
            conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            yield conn, FileBytes(file, os.path.getsize(path))
