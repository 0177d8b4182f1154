"""Is a file sound, and what is wrong with it? Nothing is changed here; `mending` does what can be done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from . import files, images, registry, vectors
from .connections import Connection, sqlite
from .indexes.sqlite_vec import SqliteVec, table_name
from .shapes import ModelInfo
from .store import changes, health, indexes, models, summary

UNIT_TOLERANCE = 1e-3
"""float32 rounds a unit vector's length by less than 1e-6; a model's own rounding stays below this."""
DECODED = 2_000
"""Pictures of each kind that are decoded, evenly drawn; of the others head and end are looked at."""
EXAMPLES = 5
STALE_SHARE = 0.05
"""An index that proposes candidates may lack a few changes: searches look at those themselves."""

Level = Literal["problem", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: how many of what, a few of them, and what mends it.

    note: for somebody to know; the file is sound. fixable: `mend` can do it.
    """

    check: str
    message: str
    count: int
    examples: tuple[str, ...] = ()
    fixable: bool = False
    mend: str = ""
    level: Level = "problem"

    def as_json(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def _found(
    check: str, message: str, ids: Iterable[object], *, mend: str = "", **options: Any
) -> Iterator[Finding]:
    every = list(ids)
    if every:
        shown = tuple(str(it) for it in every[:EXAMPLES])
        yield Finding(check, message, len(every), shown, mend=mend, **options)


def examine(conn: Connection) -> list[Finding]:
    """All that is wrong with a file, and all that is worth knowing."""
    found: list[Finding] = []
    for check, look in CHECKS.items():
        try:
            found += look(conn)
        # Numbers that are text, as another program may have written them
        except (sqlite().DatabaseError, TypeError, ValueError) as error:
            # A catalogue has not every table
            if "no such table" not in str(error):
                found.append(Finding(check, f"could not be looked at: {error}", 1))
    return found


def _file(conn: Connection) -> Iterator[Finding]:
    lines = health.broken_pages(conn)
    of_indexes = all("index" in line for line in lines)
    how = "SQLite makes its indexes anew" if of_indexes else "bring back a copy of the file"
    yield from _found("file", "faults in the file itself", lines, mend=how, fixable=of_indexes)


def _references(conn: Connection) -> Iterator[Finding]:
    for (table, parent), count in health.pointing_nowhere(conn).items():
        fixable = (table, parent) in health.MENDS
        how = "" if fixable else "only a copy of the file can bring them back"
        message = f"rows of {table} belong to rows of {parent} that are not there"
        yield Finding("references", message, count, (), fixable, how)


def _rows(check: str, name: str, message: str, **options: Any) -> Callable[..., Iterator[Finding]]:
    def look(conn: Connection) -> Iterator[Finding]:
        yield from _found(check, message, health.wrong_rows(conn, name), **options)

    return look


@dataclass
class Vectors:
    """The faces of a model whose vector is broken, or is not of unit length."""

    broken: list[int]
    not_unit: list[int]


def vectors_of(conn: Connection, model: ModelInfo) -> Vectors:
    found = Vectors([], [])
    for piece in health.vectors_of(conn, model):
        ids, stored, broken = _decoded(piece, model)
        found.broken += broken
        # Of numbers that are too large the square is infinite
        lengths = np.linalg.norm(stored.astype(np.float64), axis=1)
        usable = np.isfinite(lengths) & (lengths > 0)
        found.broken += ids[~usable].tolist()
        found.not_unit += ids[usable & (np.abs(lengths - 1) > UNIT_TOLERANCE)].tolist()
    return found


def _decoded(piece: list[tuple[int, Any]], model: ModelInfo) -> tuple[Any, Any, list[int]]:
    """Ids (n,) and vectors (n, dimensions) of what has the right length; the ids of what has not."""
    size = vectors.FLOAT32_BYTES * model.dimensions
    fitting = [(face, it) for face, it in piece if isinstance(it, bytes) and len(it) == size]
    known = {face for face, _ in fitting}
    stored = np.frombuffer(b"".join(it for _, it in fitting), "<f4")
    ids = np.array([face for face, _ in fitting], np.int64)
    return ids, stored.reshape(len(fitting), -1), [face for face, _ in piece if face not in known]


def _embeddings(conn: Connection) -> Iterator[Finding]:
    for model in models.every(conn):
        found = vectors_of(conn, model)
        yield from _found(
            "embeddings",
            f"embeddings by {model.id} are no {model.dimensions} numbers with a length",
            sorted(found.broken),
            mend=f"taken out; datasette faces embed --model {model.id} makes them anew",
            fixable=True,
        )
        message = f"embeddings by {model.id} are not of unit length"
        yield from _found("lengths", message, found.not_unit, fixable=True)


def _indexes(conn: Connection) -> Iterator[Finding]:
    kinds = {kind.id: kind for kind in registry.indexes()}
    for item in summary.indexed(conn):
        model = next((it for it in models.every(conn) if it.id == item["model"]), None)
        if item["kind"] not in kinds:
            message = f"{item['name']} is of a kind that is not known here"
            yield Finding("indexes", message, 1, level="note")
        elif model is not None and (fault := fault_of(conn, item["kind"], model)):
            yield Finding("indexes", f"{item['name']} {fault}", 1, fixable=True)
    for name in unknown_tables(conn):
        yield Finding("indexes", f"{name} is no index that the file knows of", 1, fixable=True)


def unknown_tables(conn: Connection) -> list[str]:
    """Tables of vec0 that `face_indexes` does not name; a file without that table says nothing of them."""
    known = {it["name"] for it in summary.indexed(conn)}
    return sorted(set(summary.indexes(conn)) - known) if known else []


def fault_of(conn: Connection, kind: str, model: ModelInfo) -> str | None:
    """What is wrong with an index that the file keeps."""
    kept = indexes.kept(conn, model.id, kind)
    if kept is None:
        return "has a row in face_indexes that says nothing"
    changed = changes.since(conn, model.id, kept.seen)[1]
    if changed is None:
        return "is older than what is known of changes"
    if kind == SqliteVec.id:
        return f"lacks {len(changed)} changes" if changed else _fault_of_table(conn, model)
    if len(changed) > STALE_SHARE * kept.faces:
        return f"lacks {len(changed)} changes"
    return None if indexes.is_whole(conn, model.id, kind) else "is not what was saved"


def _fault_of_table(conn: Connection, model: ModelInfo) -> str | None:
    """How a table of vec0 differs from the embeddings; both are gone through side by side."""
    wanted: dict[int, int] = {}
    for piece in health.vectors_of(conn, model):
        ids, stored, _ = _decoded(piece, model)
        # vec0 takes none that has no direction
        usable = np.isfinite(stored).all(axis=1) & stored.any(axis=1)
        chosen = set(ids[usable].tolist())
        wanted |= {face: hash(it) for face, it in piece if face in chosen}
    there: dict[int, int] = {}
    try:
        for piece in health.indexed_vectors(conn, table_name(model.id)):
            there |= {face: hash(bytes(it)) for face, it in piece}
    except sqlite().DatabaseError as error:
        return f"cannot be read: {error}"
    other = len(wanted.keys() ^ there.keys())
    other += sum(wanted[face] != there[face] for face in wanted.keys() & there.keys())
    return f"differs from the embeddings in {other} faces" if other else None


def _pictures(conn: Connection) -> Iterator[Finding]:
    for table, column, what in (("faces", "crop", "crops"), ("photos", "thumbnail", "thumbnails")):
        count = conn.execute(f"select count(*) from {table}").fetchone()[0]
        step, broken, place = max(1, count // DECODED), [], 0
        for piece in health.pictures(conn, table, column):
            for row_id, data in piece:
                whole = images.is_whole_jpeg(data)
                if not whole or (place % step == 0 and not images.decodes(data)):
                    broken.append(row_id)
                place += 1
        yield from _found("pictures", f"{what} cannot be decoded", broken)


def gone(conn: Connection) -> tuple[list[str], list[str]]:
    """Paths where no file is any more, and those whose whole folder is not there."""
    lost: list[str] = []
    away: list[str] = []
    folders: dict[str, bool] = {}
    for path, raw in health.every_place(conn):
        real = files.as_path(path, raw)
        try:
            if os.path.lexists(real):
                continue
        except ValueError:  # a name that no file can have
            pass
        folder = os.path.dirname(real)
        if folder not in folders:
            folders[folder] = "\0" not in folder and os.path.isdir(folder)
        (lost if folders[folder] else away).append(path)
    return lost, away


def _files(conn: Connection) -> Iterator[Finding]:
    lost, away = gone(conn)
    yield from _found("files", "files are gone from their folders", lost, fixable=True)
    how = "a drive that is not here? What is in the file is all there"
    message = "files lie in folders that are not here"
    yield from _found("folders", message, away, mend=how, level="note")


def _decisions(conn: Connection) -> Iterator[Finding]:
    message = "decisions are about faces of which some are not in the file now; they are kept"
    yield from _found("decisions", message, health.lost_decisions(conn), level="note")


CHECKS: dict[str, Callable[[Connection], Iterator[Finding]]] = {
    "file": _file,
    "references": _references,
    "embeddings": _embeddings,
    "indexes": _indexes,
    "pictures": _pictures,
    "boxes": _rows("boxes", "box", "faces lie outside their pictures", mend="ingest them again"),
    "landmarks": _rows("landmarks", "landmarks", "faces have landmarks that are not five points"),
    "places": _rows("places", "place", "photos lie nowhere", mend="ingest their folder again"),
    "dates": _rows("dates", "date", "faces have another date than their photos", fixable=True),
    "counts": _rows("counts", "count", "people have another number of faces", fixable=True),
    "covers": _rows("covers", "cover", "people show a face that is not theirs", fixable=True),
    "keys": _rows("keys", "key", "people share a key, or have none"),
    "files": _files,
    "decisions": _decisions,
}
"""What is looked at, in this order."""
