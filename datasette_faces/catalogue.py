"""Make a catalogue to publish from a private file: of what is on the list, audited before it is there.

Pictures are printed anew by several workers; rows go from file to file a few at a time. No HTTP, no click.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from . import audit, indexing, placing, printing, public_ids, published, reprints
from .audit import Report
from .connections import (
    Connection,
    explained,
    load_vector_extension,
    reading,
    sqlite,
    transaction,
    writing,
)
from .errors import CatalogueError, Leak
from .store import catalogue as tables
from .store import models, publishing

Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""

BATCH_ROWS = 64
PAGE_BYTES = 32_768
"""Rows with pictures of 3 to 7 kB: on pages of 8 kB a fifth of the file is room between them."""
NAMES_COLUMNS = ("id", "path", "blurred_faces")


@dataclass(frozen=True)
class Wanted:
    """What to publish; each of these turns something on that is off.

    people: only these names, or numbers. query: SQL that gives ids of faces, only these.
    originals_url: where originals lie, with {id} for a photo's public name.
    """

    people: tuple[str, ...] = ()
    query: str | None = None
    unnamed: bool = False
    embeddings: bool = False
    gps: bool = False
    originals_url: str | None = None
    blur_others: bool = False
    watermark: str | None = None
    portable: bool = False
    names: str | None = None
    """A file for the publisher alone: the path of each photo beside its public name, as CSV."""

    def notes(self) -> dict[str, str]:
        """What was turned on, as the catalogue says it."""
        turned = {
            "embeddings": "yes" if self.embeddings else "",
            "unnamed": "yes" if self.unnamed else "",
            "gps": "city" if self.gps else "",
            "originals_url": self.originals_url or "",
            "blur_others": "yes" if self.blur_others else "",
            "watermark": self.watermark or "",
            "portable": "yes" if self.portable else "",
            "chosen": " and ".join(
                it for it, on in (("people", self.people), ("query", self.query)) if on
            ),
        }
        today = datetime.now(timezone.utc).date().isoformat()
        given = {name: value for name, value in turned.items() if value}
        return {"format": tables.FORMAT, "made_on": today, **given}


EVERYBODY = Wanted()
"""All who have a name and are not hidden."""


@dataclass(frozen=True)
class Made:
    """What a catalogue holds, and what was left out, by the reason."""

    photos: int
    faces: int
    people: int
    bytes: int
    left_out: dict[str, int]
    notes: dict[str, str]
    report: Report = field(repr=False)


def export(
    database: str,
    out: str,
    wanted: Wanted = EVERYBODY,
    *,
    replace: bool = False,
    advance: Advance = lambda what, done, total: None,
) -> Made:
    """Make a catalogue; there is none unless its audit finds nothing. Raises FacesError, Leak."""
    _check(database, out, wanted, replace)
    with reading(database) as private:
        # Before anything is written: what cannot be published leaves even the private file as it is
        _choose(private, wanted)
    secret = _secret(database)
    with placing.folder_beside(out) as folder, explained(out), ExitStack() as stack:
        whole, names = folder / "catalogue", None
        if wanted.names:
            names = stack.enter_context(placing.folder_beside(wanted.names)) / "names"
        with reading(database) as private:
            publishing.number_all(private, secret)
            _choose(private, wanted)
            found = publishing.counts(private)
            left_out = publishing.left_out(private)
            job = _Job(
                wanted,
                wanted.notes(),
                secret,
                publishing.to_blur(private, others=wanted.blur_others),
                advance,
            )
            if names:
                _write_names(private, job, names)
            _fill(private, folder, whole, job)
        report = audit.audit(str(whole), database, advance=advance)
        if report.leaks:
            raise Leak(report)
        # Somebody else may have put a file there meanwhile
        _check(database, out, wanted, replace)
        if names and wanted.names:
            placing.put(names, wanted.names)
        placing.put(whole, out)
    size = os.path.getsize(out)
    return Made(**found, bytes=size, left_out=left_out, notes=job.notes, report=report)


def _check(database: str, out: str, wanted: Wanted, replace: bool) -> None:
    placing.refuse_private(out, database, "The catalogue")
    placing.refuse_what_is_there(out, "no catalogue", replace=replace, ours=_is_catalogue(out))
    if wanted.names is not None:
        placing.refuse_private(wanted.names, database, "The file of names")
        if os.path.realpath(wanted.names) == os.path.realpath(out):
            raise CatalogueError(f"Catalogue and names would both be {out}; name two files")
        placing.refuse_what_is_there(
            wanted.names, "no list of names", replace=replace, ours=_is_list(wanted.names)
        )
    if wanted.watermark and (lacking := reprints.unwritable(wanted.watermark)):
        raise CatalogueError(
            f"No font here has {lacking} for the watermark; leave that out, or install a font with "
            f"it ({', '.join(reprints.FONTS[:2])})"
        )


def _is_catalogue(path: str) -> bool:
    address = Path(path).resolve().as_uri() + "?mode=ro"
    with suppress(sqlite().Error), closing(sqlite().connect(address, uri=True)) as conn:
        return tables.is_catalogue(conn)
    return False


def _is_list(path: str) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return file.readline().strip() == ",".join(NAMES_COLUMNS).encode()
    return False


def _secret(database: str) -> bytes:
    """The private file's key for public ids, made at its first export."""
    with reading(database) as conn:
        if found := publishing.key(conn):
            return found
    with writing(database) as conn:
        with transaction(conn):
            publishing.make_key(conn)
        found = publishing.key(conn)
    assert found
    return found


def _choose(private: Connection, wanted: Wanted) -> None:
    """Raises CatalogueError for what is not there, or may not be published."""
    asked = _asked(private, wanted.query) if wanted.query else None
    people = _people(private, wanted.people) if wanted.people else None
    if not publishing.choose(private, people=people, face_ids=asked, unnamed=wanted.unnamed):
        raise CatalogueError(_why_nothing(private, wanted))


def _people(private: Connection, given: Iterable[str]) -> set[int]:
    """Those who are meant by a name, as it is written, or by their number."""
    there = publishing.publishable(private)
    found: set[int] = set()
    for text in given:
        by_number = {it for it, _ in there if str(it) == text}
        meant = by_number or {it for it, name in there if name == text}
        if not meant:
            raise CatalogueError(
                f"Nobody called {text!r} can be published; names have to be written as they are, and "
                "hidden people are left out. Who is there: datasette faces people … list --named"
            )
        found |= meant
    return found


def _asked(private: Connection, query: str) -> list[int]:
    try:
        return publishing.asked_faces(private, query)
    except (sqlite().Error, sqlite().Warning, ValueError) as error:
        if "interrupted" in str(error):
            raise CatalogueError(
                f"The query takes over {publishing.QUERY_SECONDS} seconds; ask for less"
            ) from None
        raise CatalogueError(
            f"The query gives no ids of faces ({error}); one that does: "
            "select id from faces where person_id = 3"
        ) from None


def _why_nothing(private: Connection, wanted: Wanted) -> str:
    can = publishing.count_publishable(private, unnamed=wanted.unnamed)
    if can:
        return (
            f"There is no face to publish: of the {can:,} that can be, none is among those chosen"
        )
    left_out = publishing.left_out(private)
    mend = "name people first (datasette faces people … name), or add --unnamed"
    hidden = f"; {left_out['hidden']:,} are of hidden people" if left_out["hidden"] else ""
    return f"There is no face to publish: {left_out['unnamed']:,} have no name{hidden}; {mend}"


def _write_names(private: Connection, job: _Job, path: Path) -> None:
    """Where each published photo lies, and how many faces are blurred in it: for its owner alone."""
    path.touch(mode=0o600)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(NAMES_COLUMNS)
        for photo_id, sha256, taken_at, at in publishing.paths(private):
            name = public_ids.photo_name(job.secret, sha256, public_ids.day_of(taken_at))
            rows.writerow((name, at, len(job.blurred.get(photo_id, ()))))


@dataclass(frozen=True)
class _Job:
    wanted: Wanted
    notes: dict[str, str]
    secret: bytes
    blurred: Mapping[int, published.Boxes]
    advance: Advance


def _fill(private: Connection, folder: Path, whole: Path, job: _Job) -> None:
    """Write all that is chosen, and make one compact file of it."""
    draft = folder / "draft"
    conn = sqlite().connect(str(draft), isolation_level=None)
    with closing(conn):
        load_vector_extension(conn)
        for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = off", "synchronous = off"):
            conn.execute(f"pragma {pragma}")
        conn.execute("begin")
        tables.make(conn, job.notes)
        if job.wanted.embeddings and not job.wanted.portable:
            tables.make_index_tables(conn)
        _copy_rows(private, conn, job)
        tables.make_indexes(conn)
        tables.count_faces(conn)
        conn.execute("commit")
        if job.wanted.embeddings and not job.wanted.portable:
            with transaction(conn):
                indexing.follow(conn)
            indexing.settle(conn)
            tables.forget_moments(conn, job.notes["made_on"])
        conn.execute("vacuum into ?", [str(whole)])
    draft.unlink()


def _copy_rows(private: Connection, conn: Connection, job: _Job) -> None:
    sealed = public_ids.seal(job.secret)
    tables.insert(conn, "people", map(published.person_row, publishing.people(private)))
    for table, batch in _printed(private, job):
        for row in batch:
            sealed.update(published.sealed(table, row["id"], row[published.PICTURE[table]]))
        tables.insert(conn, table, batch)
    if job.wanted.embeddings:
        publishing.copy_vectors(private, conn, models.every(private))
    tables.note(conn, "seal", sealed.hexdigest())


def _printed(private: Connection, job: _Job) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Photos and faces as they go out, a table and some of its rows at a time, in their order."""
    total = publishing.counts(private)
    with printing.workers(total["photos"] + total["faces"]) as pool:
        for table, rows in (
            ("photos", publishing.photos(private)),
            ("faces", publishing.faces(private)),
        ):
            work = partial(published.printed, table=table, notes=job.notes, secret=job.secret)
            taken = ((row, job.blurred.get(row["photo_id"], ())) for row in rows)
            printed, done = printing.in_order(pool, work, taken), 0
            while batch := list(islice(printed, BATCH_ROWS)):
                yield table, batch
                done += len(batch)
                job.advance(table, done, total[table])
