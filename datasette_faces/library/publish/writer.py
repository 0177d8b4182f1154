"""Rows of a private file into a new catalogue: printed, sealed, and left as one compact file.

What is chosen was chosen before, in temporary tables of the private connection.
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
from .public_rows import Printed

Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""

BATCH_ROWS = 64
PAGE_BYTES = 32_768
"""Rows with pictures of 3 to 7 kB: on pages of 8 kB a fifth of the file is room between them."""


@dataclass(frozen=True)
class Job:
    """What to fill with.

    notes: what is turned on. secret: the private file's, for public ids. blurred: by photo, the
    boxes that must not be made out.
    """

    notes: dict[str, str]
    secret: bytes
    blurred: Mapping[int, public_rows.Boxes]
    advance: Advance

    @property
    def embeddings(self) -> bool:
        """Whether vectors are published."""
        return "embeddings" in self.notes

    @property
    def indexed(self) -> bool:
        """Whether there are tables to search them by."""
        return self.embeddings and "portable" not in self.notes


def fill(private: Connection, whole: Path, job: Job) -> None:
    """Write all that is chosen, and make one compact file of it. Raises FacesError."""
    draft = whole.with_name("draft")
    conn = sqlite().connect(str(draft), isolation_level=None)
    with closing(conn), explained(str(whole)):
        load_vector_extension(conn)
        for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = off", "synchronous = off"):
            conn.execute(f"pragma {pragma}")
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
        conn.execute("vacuum into ?", [str(whole)])
    draft.unlink()


def _copy_rows(private: Connection, conn: Connection, job: Job) -> None:
    sealed = public_ids.seal(job.secret)
    tables.insert(conn, "people", map(public_rows.person_row, selection.people(private)))
    for table, batch in _printed(private, job):
        for printed in batch:
            sealed.update(printed.sealed)
        tables.insert(conn, table, [printed.row for printed in batch])
    if job.embeddings:
        selection.copy_vectors(private, conn, models.every(private))
    sealed.update(public_rows.sealed_notes(job.notes))
    tables.note(conn, "seal", sealed.hexdigest())


def _printed(private: Connection, job: Job) -> Iterator[tuple[str, list[Printed]]]:
    """Photos and faces as they go out, a table and some of its rows at a time, in their order."""
    total = selection.counts(private)
    for table, rows in (
        ("photos", selection.photos(private)),
        ("faces", selection.faces(private)),
    ):
        work = partial(public_rows.printed, table=table, notes=job.notes, secret=job.secret)
        taken = ((row, job.blurred.get(row["photo_id"], ())) for row in rows)
        printed, done = parallel.in_order(work, taken), 0
        while batch := list(islice(printed, BATCH_ROWS)):
            yield table, batch
            done += len(batch)
            job.advance(table, done, total[table])
