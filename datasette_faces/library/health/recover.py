"""Save what can be read of a damaged file into a new one, and say by table what is lost."""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ...errors import CatalogueError, FacesError, NewerSchema, NotAFacesDatabase
from ...models import registry
from ...search import index_upkeep
from ...shapes import ModelInfo
from ...store import integrity, models, people, refill
from ...store.connection import OURS, Connection, explained, transaction
from ...store.database import MIGRATION_SET, PAGE_BYTES, describe_other, writing
from ...store.pages import MAGIC, open_pages
from ...store.salvage import DamagedFile, TableShape, shape_of_sql
from ...store.saved_rows import SavedRows
from .. import atomic_file
from . import checks
from .findings import HealthFinding

NEW_FILE, COPY = "recovered.db", "damaged.db"
"""What the files are called that are worked on."""
LOGS = ("-wal", "-journal")
"""The ends of the names of files in which SQLite keeps changes that are not in the file yet."""
MADE_ANEW = ("face_indexes", "face_index_parts", "face_changes")
"""What the rebuilt indexes bring."""
REBUILT = ("people", "models")
"""Tables of which a lost row is made anew: a person of decisions, a model of the one that is here."""
MENDED = ("references", "dates", "counts", "covers", "pictures")
"""The checks of which a loss makes faults that are repaired."""
ONLY_OURS = {"photo_paths", "analyses", "ingest_errors", "face_embeddings", "decisions"}
"""Tables that hardly any other database has, and a catalogue at most one of."""
OTHERS = "tables of others, which may have been in the file"
VERSIONS, VERSION = "_sqlite_migrations", re.compile(r"\d{4}_")
"""The table of migrations, and what the names of ours begin with."""


@dataclass(frozen=True, slots=True)
class SavedTable:
    """How many rows of a table are in the new file, how many are not, and how many in part.

    is_certain: whether no more can be lost.
    """

    table: str
    saved: int
    lost: int = 0
    incomplete: int = 0
    is_certain: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether all rows are saved as they were."""
        return self.is_certain and not self.lost and not self.incomplete


@dataclass(frozen=True, slots=True)
class RecoveredFile:
    """What was saved and lost by table, what is not ours and could not be made, what the doctor finds."""

    tables: tuple[SavedTable, ...]
    not_made: tuple[str, ...]
    findings: tuple[HealthFinding, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing was lost."""
        return not self.not_made and all(it.is_complete for it in self.tables)

    @property
    def problems(self) -> int:
        """How many faults the doctor finds in the new file."""
        return sum(finding.level == "problem" for finding in self.findings)


def recover(database: str, out: str) -> RecoveredFile:
    """Save what can be read of a file into a new one, `out`; the damaged one stays as it is.

    Raises FacesError: where nothing can be read, it is no faces database, or a file is in the way.
    """
    if not os.path.isfile(database):
        raise NotAFacesDatabase(f"There is no file {database}")
    atomic_file.refuse_private(out, database, "The recovered file")
    _refuse_existing(out)
    with atomic_file.temporary_folder_beside(out) as folder:
        to = folder / NEW_FILE
        with explained(out), _open_damaged(database, folder) as damaged:
            _refuse_others(damaged, database)
            read, not_made = _fill(damaged, str(to))
            findings, saved = _finish(str(to), read)
        _refuse_existing(out)
        with suppress(OSError):
            shutil.copymode(database, to)
        atomic_file.move_into_place(to, out)
    has_loss = any(rows.has_loss for rows in read.values())
    tables = [
        _tally(rows, saved.get(name, 0), has_loss=has_loss) for name, rows in sorted(read.items())
    ]
    return RecoveredFile(tuple(tables), tuple(not_made), tuple(findings))


def _tally(rows: SavedRows, saved: int, *, has_loss: bool) -> SavedTable:
    name, lost = rows.shape.name, 0
    if has_loss:
        # Also what went with lost rows of others
        lost = rows.lost + rows.count - saved
    if name not in REBUILT:
        lost = max(lost, rows.lost + rows.refused)
    return SavedTable(name, saved, max(lost, 0), rows.incomplete, rows.is_certain)


def _refuse_existing(out: str) -> None:
    if os.path.lexists(out) and not os.path.isdir(out):
        raise CatalogueError(f"{out} exists already; name another file")
    atomic_file.refuse_existing(out, "", replace=False, ours=False)


@contextmanager
def _open_damaged(database: str, folder: Path) -> Iterator[DamagedFile]:
    """The pages of a file; of a copy where a log lies beside it, which SQLite merges into that."""
    path = Path(os.path.realpath(database))
    if any(_has_bytes(Path(f"{path}{end}")) for end in LOGS):
        path = _merge_log(path, folder / COPY)
    try:
        with path.open("rb") as file:
            if not os.path.getsize(path):
                raise NotAFacesDatabase(f"{database} is empty: there is nothing to save")
            with closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
                yield DamagedFile(open_pages(data, PAGE_BYTES), integrity.known_tables())
    except OSError as error:
        raise NotAFacesDatabase(f"{database} cannot be read: {error.strerror}") from error


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _merge_log(path: Path, copy: Path) -> Path:
    for end in ("", *LOGS):
        if os.path.isfile(f"{path}{end}"):
            shutil.copyfile(f"{path}{end}", f"{copy}{end}")
    refill.merge_log(str(copy))
    for end in LOGS:
        if _has_bytes(Path(f"{copy}{end}")):
            raise NotAFacesDatabase(
                f"{path}{end} holds changes that SQLite cannot add to the damaged file; to save the rest "
                "without them, move it elsewhere"
            )
    return copy


def _refuse_others(damaged: DamagedFile, database: str) -> None:
    """Raise NotAFacesDatabase, NewerSchema or NotAFacesDatabase of what is no file of ours."""
    tables, applied = set(damaged.tables), _read_versions(damaged)
    newest = refill.known_versions()[-1]
    if newer := {name for name in applied if name[:4] > newest[:4]}:
        raise NewerSchema(
            f"{database} was written by a newer version of datasette-faces ({max(newer)}): "
            "pip install --upgrade datasette-faces"
        )
    if len(tables & ONLY_OURS) > 1 or (applied and tables & ONLY_OURS):
        return
    if tables:
        published = "catalogue" in tables
        raise NotAFacesDatabase(describe_other(database, OURS, published=published))
    if damaged.file.data[: len(MAGIC)] != MAGIC:
        raise NotAFacesDatabase(
            f"{database} is not an SQLite database, or nothing of it can be read; {OURS}"
        )
    if damaged.unread:
        raise NotAFacesDatabase(f"Nothing of {database} can be read: restore it from a copy")
    raise NotAFacesDatabase(f"{database} is still empty: there is nothing to save")


def _read_versions(damaged: DamagedFile) -> set[str]:
    """The migrations that the damaged file had; none where that cannot be read."""
    entry = damaged.tables.get(VERSIONS)
    if entry is None:
        return set()
    return {
        value
        for record in damaged.walk_rows(entry)
        for value in record.values
        if MIGRATION_SET in record.values and isinstance(value, str) and VERSION.match(value)
    }


def _fill(damaged: DamagedFile, path: str) -> tuple[dict[str, SavedRows], list[str]]:
    """Copy the rows of all tables into a new file; what is not ours and cannot be made."""
    read: dict[str, SavedRows] = {}
    with refill.filling(path, _read_versions(damaged)) as (conn, ours):
        for shape in refill.read_shapes(conn).values():
            if shape.name not in MADE_ANEW:
                read[shape.name] = _copy(conn, damaged, _own_shape(conn, damaged, shape))
        not_made = [OTHERS] if damaged.lacks_schema(ours.values()) else []
        for entry in damaged.foreign(ours):
            is_virtual = entry.kind == "table" and not entry.root
            if is_virtual or not refill.make(conn, entry.sql):
                not_made.append(f"{entry.kind} {entry.name}")
            elif entry.kind == "table" and (own := shape_of_sql(entry.name, entry.sql)):
                read[entry.name] = _copy(conn, damaged, own)
        if numbers := damaged.tables.get("sqlite_sequence"):
            refill.keep_numbers(conn, damaged.walk_rows(numbers))
    return read, not_made


def _copy(conn: Connection, damaged: DamagedFile, shape: TableShape) -> SavedRows:
    rows = SavedRows(damaged, shape)
    records = rows.records()
    while batch := list(islice(records, refill.BATCH_ROWS)):
        rows.refused += len(batch) - refill.insert(conn, shape, batch)
    return rows


def _own_shape(conn: Connection, damaged: DamagedFile, shape: TableShape) -> TableShape:
    """How rows are kept in the damaged file, where somebody added columns or ordered them otherwise."""
    entry = damaged.tables.get(shape.name)
    own = shape_of_sql(shape.name, entry.sql) if entry else None
    if own is None or own.columns == shape.columns or not set(shape.columns) <= set(own.columns):
        return shape
    refill.add_columns(conn, shape, own)
    return own


def _finish(path: str, read: dict[str, SavedRows]) -> tuple[list[HealthFinding], Mapping[str, int]]:
    """Bring the new file up to date, mend what the losses broke, and rebuild its indexes."""
    with writing(path) as conn:
        with transaction(conn):
            for model_id, dimensions in refill.unknown_models(conn).items():
                info = _describe_model(model_id)
                read["models"].incomplete += info is None
                models.register(conn, info or _unknown(model_id, dimensions))
        if any(it.has_loss for it in read.values()):
            refill.remove_unowned(conn)
            if "people" in read and read["people"].has_loss:
                with transaction(conn):
                    people.rebuild(conn)
            broken = [it for it in checks.examine(conn) if it.check in MENDED]
            checks.repair(conn, broken)
        index_upkeep.rebuild(conn)
        return checks.examine(conn), refill.count_rows(conn, read)


def _describe_model(model_id: str) -> ModelInfo | None:
    """A model of which the file does not say any more what it is, as it is registered here."""
    with suppress(FacesError):
        return registry.model(model_id).load().info
    return None


def _unknown(model_id: str, dimensions: int) -> ModelInfo:
    return ModelInfo(model_id, model_id, dimensions, models.STRICTEST, "unknown", "")
