"""Export a catalogue to publish: it is built, audited, and only kept if the audit finds no leak.

`publish/` builds it, `audit/` audits it, and neither calls the other in its own work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CatalogueError, DatabaseError, Leak
from ..media import redact
from ..store import catalogue as tables
from ..store.connection import sqlite
from ..store.database import reading, writing
from . import atomic_file
from .audit import run
from .audit.findings import AuditReport
from .publish import build
from .publish.build import BuiltCatalogue
from .publish.options import DEFAULT_OPTIONS, ExportOptions, choose_faces
from .publish.writer import Advance

CATALOGUE_FILE, NAMES_FILE = "catalogue", "names"
"""What files are called until they are complete."""


@dataclass(frozen=True)
class ExportResult(BuiltCatalogue):
    """What a catalogue holds, its size, and the report of its audit."""

    bytes: int = 0
    report: AuditReport = field(default=AuditReport(()), repr=False)


def export(
    database: str,
    out: str,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    replace: bool = False,
    with_models: bool = True,
    advance: Advance = lambda what, done, total: None,
) -> ExportResult:
    """Export a catalogue, of which nothing is left if its audit finds a leak. Raises FacesError, Leak.

    database: the private file. out: the catalogue's path. replace: an older one may be there.
    with_models: whether the models that are here look for hidden people in its pictures.
    """
    _check_paths(database, out, options, replace=replace)
    with reading(database) as private:
        # Before anything is written: a wrong choice leaves even the private file as it is
        choose_faces(private, options)
    secret = build.read_or_make_secret(database)
    with atomic_file.temporary_folder_beside(out) as folder, ExitStack() as stack:
        catalogue, names = folder / CATALOGUE_FILE, None
        if options.names:
            names = (
                stack.enter_context(atomic_file.temporary_folder_beside(options.names)) / NAMES_FILE
            )
        stack.enter_context(_allow_writers(database))
        is_changed = stack.enter_context(_watch_changes(database))
        built = build.build_catalogue(
            database, options, secret=secret, to=catalogue, names=names, advance=advance
        )
        report = run.audit(str(catalogue), database, with_models=with_models, advance=advance)
        if report.leaks and is_changed():
            raise CatalogueError(
                f"{database} was changed while it was exported: there is no catalogue; export again"
            )
        if report.leaks:
            raise Leak(report)
        # Another program may have put a file there meanwhile
        _check_paths(database, out, options, replace=replace)
        if names and options.names:
            atomic_file.move_into_place(names, options.names)
        atomic_file.move_into_place(catalogue, out)
    return ExportResult(**vars(built), bytes=os.path.getsize(out), report=report)


@contextmanager
def _allow_writers(database: str) -> Iterator[None]:
    """Let others write into the private file meanwhile: without its log a reader keeps them out."""
    with ExitStack() as stack:
        with suppress(DatabaseError):  # a file that cannot be written
            stack.enter_context(writing(database))
        yield


@contextmanager
def _watch_changes(database: str) -> Iterator[Callable[[], bool]]:
    """A function that says whether the private file was changed since."""
    with reading(database) as conn:

        def version() -> int:
            return int(conn.execute("pragma data_version").fetchone()[0])

        before = version()
        yield lambda: version() != before


def _check_paths(database: str, out: str, options: ExportOptions, *, replace: bool) -> None:
    """Raise CatalogueError where a file is in the way, or a letter of the watermark has no font."""
    atomic_file.refuse_private(out, database, "The catalogue")
    atomic_file.refuse_existing(out, "not a catalogue", replace=replace, ours=_is_catalogue(out))
    if options.names is not None:
        atomic_file.refuse_private(options.names, database, "The file of names")
        if os.path.realpath(options.names) == os.path.realpath(out):
            raise CatalogueError(f"Catalogue and names would both be {out}; name two files")
        atomic_file.refuse_existing(
            options.names, "not a list of names", replace=replace, ours=_is_list(options.names)
        )
    if options.watermark and (missing := redact.find_missing_letters(options.watermark)):
        raise CatalogueError(
            f"No font here has {missing} for the watermark; leave that out, or install a font with "
            f"it ({', '.join(redact.FONTS[:2])})"
        )


def _is_catalogue(path: str) -> bool:
    address = Path(path).resolve().as_uri() + "?mode=ro"
    # UnicodeDecodeError: of a damaged schema
    broken = (sqlite().Error, UnicodeDecodeError)
    with suppress(*broken), closing(sqlite().connect(address, uri=True)) as conn:
        return tables.is_catalogue(conn)
    return False


def _is_list(path: str) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return file.readline().strip() == ",".join(build.NAMES_COLUMNS).encode()
    return False
