"""Write a new catalogue from a private file: rows are exported, pictures sealed, the file compacted.

The faces are chosen before, in temporary tables of the private connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from ...search import index_upkeep
from ...store import catalogue as tables
from ...store import models
from ...store.connection import Connection, explained, load_vector_extension, sqlite, transaction
from . import parallel, public_ids, public_rows, selection
from .public_rows import ExportedRow

Advance = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and of how much."""

BATCH_ROWS = 64


@dataclass(frozen=True)
class ExportJob:
    """How to export the chosen faces.

    notes: the options that are on. secret: the private file's, for public ids. blurred: by photo, the
    boxes to blur.
    """

    notes: dict[str, str]
    secret: bytes
    blurred: Mapping[int, public_rows.Boxes]
    advance: Advance

    @property
    def embeddings(self) -> bool:
        """Whether embeddings are published."""
        return "embeddings" in self.notes

    @property
    def indexed(self) -> bool:
        """Whether the tables of their indexes are."""
        return self.embeddings and "portable" not in self.notes


def write_catalogue(private: Connection, path: Path, job: ExportJob) -> None:
    """Write the chosen faces, with their photos and people, into a compact file. Raises FacesError.

    path: of the new file, in a folder of its own.
    """
    draft = path.with_name("draft")
    conn = sqlite().connect(str(draft), isolation_level=None)
    with closing(conn), explained(str(path)):
        load_vector_extension(conn)
        tables.prepare_draft(conn)
        conn.execute("begin")
        tables.make(conn, job.notes)
        if job.indexed:
            tables.make_index_tables(conn)
        _copy_rows(private, conn, job)
        tables.make_indexes(conn)
        tables.count_faces(conn)
        conn.execute("commit")
        if job.indexed:
            with transaction(conn):
                index_upkeep.follow(conn)
            index_upkeep.settle(conn)
            tables.forget_moments(conn, job.notes["made_on"])
        conn.execute("vacuum into ?", [str(path)])
    draft.unlink()


def _copy_rows(private: Connection, conn: Connection, job: ExportJob) -> None:
    seal = public_ids.start_seal(job.secret)
    tables.insert(conn, "people", map(public_rows.export_person, selection.read_people(private)))
    for table, batch in _export_rows(private, job):
        for exported in batch:
            seal.update(exported.sealed)
        tables.insert(conn, table, [exported.row for exported in batch])
    if job.embeddings:
        selection.copy_embeddings(private, conn, models.every(private))
    seal.update(public_rows.encode_notes_for_seal(job.notes))
    tables.note(conn, "seal", seal.hexdigest())


def _export_rows(private: Connection, job: ExportJob) -> Iterator[tuple[str, list[ExportedRow]]]:
    """Exported photos and faces in the order of their ids: a table, and a batch of its rows."""
    total = selection.count_chosen(private)
    for table, rows in (
        ("photos", selection.read_photos(private)),
        ("faces", selection.read_faces(private)),
    ):
        work = partial(public_rows.export_row, table=table, notes=job.notes, secret=job.secret)
        taken = ((row, job.blurred.get(row["photo_id"], ())) for row in rows)
        exported, done = parallel.map_in_order(work, taken), 0
        while batch := list(islice(exported, BATCH_ROWS)):
            yield table, batch
            done += len(batch)
            job.advance(table, done, total[table])
