"""Make a catalogue to publish from a private file: of what is on the list, audited before it is there.

Pictures are printed anew by several workers; rows go from file to file a few at a time. No HTTP, no click.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from . import audit, indexing, printing, public_ids, published
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
BEHIND = ".export"
"""How the folder ends in which a catalogue is made, beside where it goes."""


@dataclass(frozen=True)
class Wanted:
    """What to publish; each of these turns something on that is off.

    people: only these names. query: SQL that gives ids of faces, only these. originals_url: where
    originals lie, with {id} for a photo's public name.
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
    _check(database, out, replace)
    with reading(database) as private:
        # Before anything is written: what cannot be published leaves even the private file as it is
        _choose(private, wanted)
    secret = _secret(database)
    with _folder_beside(out) as folder, explained(out):
        whole = folder / "catalogue"
        with reading(database) as private:
            publishing.number_all(private, secret)
            _choose(private, wanted)
            found = publishing.counts(private)
            left_out = publishing.left_out(private)
            notes = wanted.notes()
            if wanted.names:
                _write_names(private, secret, wanted.names)
            _fill(private, folder, whole, _Job(wanted, notes, secret, advance))
        report = audit.audit(str(whole), database, advance=advance)
        if report.leaks:
            raise Leak(report)
        _sync(whole)
        if not replace and os.path.exists(out):
            raise CatalogueError(f"{out} is there already; --replace puts a new one in its place")
        os.replace(whole, out)
        _sync(Path(out).resolve().parent)
    size = os.path.getsize(out)
    return Made(**found, bytes=size, left_out=left_out, notes=notes, report=report)


def _check(database: str, out: str, replace: bool) -> None:
    if os.path.exists(out):
        if os.path.samefile(database, out) if os.path.exists(database) else False:
            raise CatalogueError("The catalogue would take the private file's place")
        if os.path.isdir(out):
            raise CatalogueError(f"{out} is a folder; name a file")
        if not replace:
            raise CatalogueError(f"{out} is there already; --replace puts a new one in its place")
    if not Path(out).resolve().parent.is_dir():
        raise CatalogueError(f"There is no folder {Path(out).resolve().parent}; make it first")


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


@contextmanager
def _folder_beside(out: str) -> Iterator[Path]:
    """A folder on the same disk, for a file that is not whole yet; those of killed exports go."""
    path = Path(out).resolve()
    for old in path.parent.glob(f".{path.name}.*{BEHIND}"):
        pid = old.name[len(path.name) + 2 :].split(".")[0]
        if pid.isdecimal() and not _runs(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    try:
        made = tempfile.mkdtemp(
            prefix=f".{path.name}.{os.getpid()}.", suffix=BEHIND, dir=path.parent
        )
    except OSError as error:
        raise CatalogueError(f"{path.parent} cannot be written: {error.strerror}") from None
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _choose(private: Connection, wanted: Wanted) -> None:
    """Raises CatalogueError for what is not there, or may not be published."""
    published = publishing.published_names(private)
    if unknown := sorted(set(wanted.people).difference(published)):
        raise CatalogueError(
            f"Nobody called {unknown[0]!r} can be published: who is there, and is not hidden: "
            "datasette faces people DB list --named"
        )
    asked = _asked(private, wanted.query) if wanted.query else None
    if not publishing.choose(private, names=wanted.people, face_ids=asked, unnamed=wanted.unnamed):
        raise CatalogueError(_why_nothing(publishing.left_out(private)))


def _asked(private: Connection, query: str) -> list[int]:
    try:
        return publishing.asked_faces(private, query)
    except (sqlite().Error, sqlite().Warning, ValueError) as error:
        raise CatalogueError(
            f"The query gives no ids of faces ({error}); one that does: "
            "select id from faces where person_id = 3"
        ) from None


def _why_nothing(left_out: dict[str, int]) -> str:
    mend = "name people first (datasette faces people DB name), or add --unnamed"
    hidden = f"; {left_out['hidden']:,} are of hidden people" if left_out["hidden"] else ""
    return f"There is no face to publish: {left_out['unnamed']:,} have no name{hidden}; {mend}"


def _write_names(private: Connection, secret: bytes, path: str) -> None:
    """Raises CatalogueError."""
    try:
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.writer(file)
            rows.writerow(("id", "path"))
            for sha256, taken_at, at in publishing.paths(private):
                day = public_ids.day_of(taken_at)
                rows.writerow((public_ids.photo_name(secret, sha256, day), at))
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written: {error.strerror}") from None


@dataclass(frozen=True)
class _Job:
    wanted: Wanted
    notes: dict[str, str]
    secret: bytes
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
        _copy_vectors(private, conn)
    tables.note(conn, "seal", sealed.hexdigest())


def _printed(private: Connection, job: _Job) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Photos and faces as they go out, a table and some of its rows at a time, in their order."""
    blurred = publishing.to_blur(private, others=job.wanted.blur_others)
    total = publishing.counts(private)
    with printing.workers(total["photos"] + total["faces"]) as pool:
        for table, rows in (
            ("photos", publishing.photos(private)),
            ("faces", publishing.faces(private)),
        ):
            work = partial(published.printed, table=table, notes=job.notes, secret=job.secret)
            taken = ((row, blurred.get(row["photo_id"], ())) for row in rows)
            printed, done = printing.in_order(pool, work, taken), 0
            while batch := list(islice(printed, BATCH_ROWS)):
                yield table, batch
                done += len(batch)
                job.advance(table, done, total[table])


def _copy_vectors(private: Connection, conn: Connection) -> None:
    for model in models.every(private):
        models.register(conn, model)
        rows = publishing.vectors(private, model.id)
        conn.executemany(
            "insert into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
            ((face_id, model.id, vector) for face_id, vector in rows),
        )


def _sync(path: Path) -> None:
    """Have the disk hold what was written."""
    with suppress(OSError):  # a folder, where the system knows no such thing
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
