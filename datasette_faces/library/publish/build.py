"""Build a catalogue, and the list of its photos' paths, from one state of the private file.

Nothing here is audited or published yet: `library/export.py` does that.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ...store.connection import Connection, transaction
from ...store.database import reading, writing
from . import hidden_faces, public_ids, selection
from .options import ExportOptions, choose_faces, redact_hidden_faces
from .writer import Advance, ExportJob, write_catalogue

NAMES_COLUMNS = ("id", "path", "blurred_faces")


@dataclass(frozen=True)
class BuiltCatalogue:
    """What a catalogue holds, its options, and how many faces were left out, by the reason.

    unaccounted: paths of photos that were edited, and in which a hidden person is not found any more.
    """

    photos: int
    faces: int
    people: int
    left_out: dict[str, int]
    unaccounted: list[str]
    notes: dict[str, str]


def build_catalogue(
    database: str,
    options: ExportOptions,
    *,
    secret: bytes,
    to: Path,
    names: Path | None,
    advance: Advance,
) -> BuiltCatalogue:
    """Write a catalogue, and the list of names where there is a path for it. Raises FacesError."""
    with reading(database) as private:
        private.execute("begin")
        selection.assign_public_ids(private, secret)
        choose_faces(private, options)
        redact_hidden_faces(private, options)
        blurred = selection.find_boxes_to_blur(private, others=options.blur_others)
        job = ExportJob(options.notes(), secret, blurred, advance)
        if names:
            _write_names(private, job, names)
        write_catalogue(private, to, job)
        return BuiltCatalogue(
            **selection.count_chosen(private),
            left_out=selection.count_left_out(private),
            unaccounted=hidden_faces.list_unaccounted(private),
            notes=job.notes,
        )


def read_or_make_secret(database: str) -> bytes:
    """The private file's key for public ids, which its first export makes."""
    with reading(database) as conn:
        if found := selection.read_secret(conn):
            return found
    with writing(database) as conn:
        with transaction(conn):
            selection.save_new_secret(conn)
        found = selection.read_secret(conn)
    assert found
    return found


def _write_names(private: Connection, job: ExportJob, path: Path) -> None:
    """The path of each published photo, and how many faces are blurred in it, for the owner alone."""
    path.touch(mode=0o600)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(NAMES_COLUMNS)
        for photo_id, sha256, taken_at, place in selection.read_paths(private):
            name = public_ids.make_photo_name(job.secret, sha256, public_ids.parse_day(taken_at))
            rows.writerow((name, place, len(job.blurred.get(photo_id, ()))))
