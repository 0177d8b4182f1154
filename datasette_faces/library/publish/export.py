"""Make a catalogue to publish from a private file: of what is on the list, audited before it is there.

`filling` fills it, `placing` gives it its name. No HTTP, no click.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import datetime, timezone
from pathlib import Path

from ...errors import CatalogueError, DatabaseError, Leak
from ...media import redact
from ...store import catalogue as tables
from ...store.connection import Connection, sqlite, transaction
from ...store.database import reading, writing
from ..audit import run
from ..audit.run import Report
from . import atomic_file, public_ids, selection
from .writer import Advance, Job, fill

WHOLE, LIST = "catalogue", "names"
"""Files that are not whole yet."""
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
    left_out: dict[str, int]
    notes: dict[str, str]
    bytes: int = 0
    report: Report = field(default=Report(()), repr=False)


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
    with atomic_file.folder_beside(out) as folder, ExitStack() as stack:
        names = folder
        if wanted.names:
            names = stack.enter_context(atomic_file.folder_beside(wanted.names))
        stack.enter_context(_open_to_others(database))
        watched = stack.enter_context(reading(database))
        before = _version(watched)
        made = _make(database, wanted, secret, (folder / WHOLE, names / LIST), advance)
        report = run.audit(str(folder / WHOLE), database, advance=advance)
        if report.leaks and _version(watched) != before:
            raise CatalogueError(
                f"{database} was changed while it was exported: there is no catalogue; export again"
            )
        if report.leaks:
            raise Leak(report)
        # Somebody else may have put a file there meanwhile
        _check(database, out, wanted, replace)
        if wanted.names:
            atomic_file.put(names / LIST, wanted.names)
        atomic_file.put(folder / WHOLE, out)
    return replaced(made, bytes=os.path.getsize(out), report=report)


def _make(
    database: str, wanted: Wanted, secret: bytes, to: tuple[Path, Path], advance: Advance
) -> Made:
    """Make the file, and the list of names if it is wanted, of one state of the private file."""
    with reading(database) as private:
        private.execute("begin")
        selection.number_all(private, secret)
        _choose(private, wanted)
        blurred = selection.to_blur(private, others=wanted.blur_others)
        job = Job(wanted.notes(), secret, blurred, advance)
        if wanted.names:
            _write_names(private, job, to[1])
        fill(private, to[0], job)
        left_out = selection.left_out(private)
        counts = selection.counts(private)
        return Made(counts["photos"], counts["faces"], counts["people"], left_out, notes=job.notes)


@contextmanager
def _open_to_others(database: str) -> Iterator[None]:
    """Let others write into the private file meanwhile: a reader keeps them out without its log."""
    with ExitStack() as stack:
        with suppress(DatabaseError):  # one that nobody can write
            stack.enter_context(writing(database))
        yield


def _version(watched: Connection) -> int:
    """A number that is another one when somebody has changed the file."""
    return int(watched.execute("pragma data_version").fetchone()[0])


def _check(database: str, out: str, wanted: Wanted, replace: bool) -> None:
    atomic_file.refuse_private(out, database, "The catalogue")
    atomic_file.refuse_what_is_there(out, "no catalogue", replace=replace, ours=_is_catalogue(out))
    if wanted.names is not None:
        atomic_file.refuse_private(wanted.names, database, "The file of names")
        if os.path.realpath(wanted.names) == os.path.realpath(out):
            raise CatalogueError(f"Catalogue and names would both be {out}; name two files")
        atomic_file.refuse_what_is_there(
            wanted.names, "no list of names", replace=replace, ours=_is_list(wanted.names)
        )
    if wanted.watermark and (lacking := redact.find_missing_letters(wanted.watermark)):
        raise CatalogueError(
            f"No font here has {lacking} for the watermark; leave that out, or install a font with "
            f"it ({', '.join(redact.FONTS[:2])})"
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
        if found := selection.key(conn):
            return found
    with writing(database) as conn:
        with transaction(conn):
            selection.make_key(conn)
        found = selection.key(conn)
    assert found
    return found


def _choose(private: Connection, wanted: Wanted) -> None:
    """Raises CatalogueError for what is not there, or may not be published."""
    asked = _asked(private, wanted.query) if wanted.query else None
    people = _people(private, wanted.people) if wanted.people else None
    if not selection.choose(private, people=people, face_ids=asked, unnamed=wanted.unnamed):
        raise CatalogueError(_why_nothing(private, wanted))


def _people(private: Connection, given: Iterable[str]) -> set[int]:
    """Those who are meant by a name, as it is written, or by their number."""
    there = selection.publishable(private)
    found: set[int] = set()
    for text in given:
        by_number = {it for it, _ in there if str(it) == text}
        meant = by_number or {it for it, name in there if _alike(name, text)}
        if not meant:
            raise CatalogueError(
                f"No one called {text!r} can be published; hidden people and people without "
                "faces are left out. List people with: datasette faces people DB list --named"
            )
        found |= meant
    return found


def _alike(name: str, text: str) -> bool:
    """Whether two spellings are of one name: capitals, spaces around it and how accents are kept aside."""
    one, other = (unicodedata.normalize("NFC", it).strip().casefold() for it in (name, text))
    return one == other


def _asked(private: Connection, query: str) -> list[int]:
    try:
        return selection.asked_faces(private, query)
    except (sqlite().Error, sqlite().Warning, ValueError) as error:
        if "interrupted" in str(error):
            raise CatalogueError(
                f"The query takes over {selection.QUERY_SECONDS} seconds; ask for less"
            ) from None
        raise CatalogueError(
            f"The query gives no ids of faces ({error}); one that does: "
            "select id from faces where person_id = 3"
        ) from None


def _why_nothing(private: Connection, wanted: Wanted) -> str:
    can = selection.count_publishable(private, unnamed=wanted.unnamed)
    if can:
        return (
            f"There is no face to publish: of the {can:,} that can be, none is among those chosen"
        )
    left_out = selection.left_out(private)
    mend = "name people first (datasette faces people DB name), or add --unnamed"
    hidden = f"; {left_out['hidden']:,} are of hidden people" if left_out["hidden"] else ""
    return f"There is no face to publish: {left_out['unnamed']:,} have no name{hidden}; {mend}"


def _write_names(private: Connection, job: Job, path: Path) -> None:
    """Where each published photo lies, and how many faces are blurred in it: for its owner alone."""
    path.touch(mode=0o600)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(NAMES_COLUMNS)
        for photo_id, sha256, taken_at, at in selection.paths(private):
            name = public_ids.photo_name(job.secret, sha256, public_ids.day_of(taken_at))
            rows.writerow((name, at, len(job.blurred.get(photo_id, ()))))
