"""Is a file sound, and what is wrong with it? Nothing is changed here; `mending` does what can be done."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...algorithms import vectors
from ...media import files
from ...search.indexes import registry
from ...shapes import ModelInfo
from ...store import changes, indexes, integrity, models, summary, vec_tables
from ...store.connection import Connection, sqlite
from . import recrop

FEW_VECTORS = 3
"""Of fewer, most may be broken by chance."""
UNIT_TOLERANCE = 1e-3
"""float32 rounds a unit vector's length by less than 1e-6; a model's own rounding stays below this."""
EXAMPLES = 5
STALE_SHARE = 0.05
"""An index that proposes candidates may lack a few changes: searches look at those themselves."""

OF_AN_INDEX = re.compile(r"row \d+ missing from index |wrong # of entries in index ")
"""What `pragma integrity_check` says where SQLite can make an index anew and all is well."""

Level = Literal["problem", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: how many of what, a few of them, and what mends it.

    message: what is so of many; one: of one; without it, the message is about no number. note: for
    somebody to know; the file is sound. fixable: `mending` can do it. mend: what does, or what that
    would do; done: what it did. then: a command on the file that goes on from there, and its options.
    """

    check: str
    message: str
    count: int
    examples: tuple[str, ...] = ()
    fixable: bool = False
    mend: str = ""
    level: Level = "problem"
    one: str = ""
    done: str = ""
    then: tuple[str, str] | None = None


def _found(
    check: str, one: str, many: str, ids: Iterable[object], **options: Any
) -> Iterator[Finding]:
    every = list(ids)
    if every:
        shown = tuple(str(it) for it in every[:EXAMPLES])
        yield Finding(check, many, len(every), shown, one=one, **options)


def examine(conn: Connection) -> list[Finding]:
    """All that is wrong with a file, and all that is worth knowing."""
    found: list[Finding] = []
    for check, look in CHECKS.items():
        try:
            found += look(conn)
        # Numbers that are text, as another program may have written them
        except (sqlite().DatabaseError, TypeError, ValueError) as error:
            # Which one is lacking, `schema` says
            if "no such table" not in str(error):
                found.append(Finding(check, f"{check} could not be looked at: {error}", 1))
    return found


def _schema(conn: Connection) -> Iterator[Finding]:
    lacking = integrity.lacking(conn)
    yield from _found(
        "schema",
        "table is lacking",
        "tables are lacking",
        lacking["table"],
        mend="bring back a copy of the file",
    )
    for kind, one, many in (
        ("index", "index of a table is lacking", "indexes of tables are lacking"),
        ("trigger", "trigger is lacking", "triggers are lacking"),
    ):
        yield from _found("schema", one, many, lacking[kind], fixable=True)


def _file(conn: Connection) -> Iterator[Finding]:
    lines = integrity.broken_pages(conn)
    of_indexes = all(OF_AN_INDEX.match(line) for line in lines)
    how = "SQLite makes its indexes anew" if of_indexes else "bring back a copy of the file"
    one, many = "fault in the file itself", "faults in the file itself"
    yield from _found("file", one, many, lines, mend=how, fixable=of_indexes)


def _references(conn: Connection) -> Iterator[Finding]:
    for (table, parent), count in integrity.pointing_nowhere(conn).items():
        fixable = (table, parent) in integrity.MENDS
        how = "" if fixable else "only a copy of the file can bring them back"
        one = f"row of {table} belongs to a row of {parent} that is not there"
        many = f"rows of {table} belong to rows of {parent} that are not there"
        yield Finding("references", many, count, (), fixable, how, one=one)


def _rows(check: str, one: str, many: str, **options: Any) -> Callable[..., Iterator[Finding]]:
    def look(conn: Connection) -> Iterator[Finding]:
        yield from _found(check, one, many, integrity.wrong_rows(conn, check), **options)

    return look


@dataclass
class Vectors:
    """The faces of a model whose vector is broken, or is not of unit length."""

    broken: list[int]
    not_unit: list[int]
    seen: int = 0

    @property
    def model_is_wrong(self) -> bool:
        """Whether it is the model's row that says something wrong, rather than most of its vectors."""
        return self.seen >= FEW_VECTORS and len(self.broken) > self.seen / 2


def vectors_of(conn: Connection, model: ModelInfo) -> Vectors:
    found = Vectors([], [])
    for piece in integrity.vectors_of(conn, model):
        ids, stored, broken = _decoded(piece, model)
        found.seen += len(piece)
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
    rows = stored.reshape(len(fitting), model.dimensions)
    return ids, rows, [face for face, _ in piece if face not in known]


def _embeddings(conn: Connection) -> Iterator[Finding]:
    for model in models.every(conn):
        found = vectors_of(conn, model)
        if found.model_is_wrong:
            one = f"model, {model.id}, has other vectors than its row in `models` says"
            mend = "bring back a copy of the file; no vector is taken out"
            yield Finding("embeddings", one, 1, mend=mend, one=one)
            continue
        yield from _found(
            "embeddings",
            f"embedding by {model.id} is no {model.dimensions} numbers with a length",
            f"embeddings by {model.id} are no {model.dimensions} numbers with a length",
            sorted(found.broken),
            mend=f"--fix takes {'it' if len(found.broken) == 1 else 'them'} out",
            done="taken out",
            then=("embed", f"--model {model.id}"),
            fixable=True,
        )
        one = f"embedding by {model.id} is not of unit length"
        many = f"embeddings by {model.id} are not of unit length"
        yield from _found("lengths", one, many, found.not_unit, fixable=True)


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
    """Tables of vec0 that `face_indexes` does not name."""
    known = {it["name"] for it in summary.indexed(conn)}
    return sorted(set(summary.indexes(conn)) - known)


def fault_of(conn: Connection, kind: str, model: ModelInfo) -> str | None:
    """What is wrong with an index that the file keeps."""
    kept = indexes.kept(conn, model.id, kind)
    if kept is None:
        return "has a row in face_indexes that says nothing"
    changed = changes.since(conn, model.id, kept.seen)[1]
    if changed is None:
        return "is older than what is known of changes"
    if kind == vec_tables.INDEX_ID:
        lacking = f"lacks {_of(len(changed), 'change')}"
        return lacking if changed else _fault_of_table(conn, model)
    if len(changed) > STALE_SHARE * kept.faces:
        return f"lacks {_of(len(changed), 'change')}"
    return None if indexes.is_whole(conn, model.id, kind) else "is not what was saved"


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _fault_of_table(conn: Connection, model: ModelInfo) -> str | None:
    """How a table of vec0 differs from the embeddings; both are gone through side by side."""
    wanted: dict[int, int] = {}
    for piece in integrity.vectors_of(conn, model):
        ids, stored, _ = _decoded(piece, model)
        # vec0 takes none that has no direction
        usable = np.isfinite(stored).all(axis=1) & stored.any(axis=1)
        chosen = set(ids[usable].tolist())
        wanted |= {face: hash(it) for face, it in piece if face in chosen}
    there: dict[int, int] = {}
    try:
        for piece in integrity.indexed_vectors(conn, vec_tables.table_name(model.id)):
            there |= {face: hash(bytes(it)) for face, it in piece}
    except sqlite().DatabaseError as error:
        return f"cannot be read: {error}"
    other = len(wanted.keys() ^ there.keys())
    other += sum(wanted[face] != there[face] for face in wanted.keys() & there.keys())
    return f"differs from the embeddings in {_of(other, 'face')}" if other else None


def _pictures(conn: Connection) -> Iterator[Finding]:
    faces, photo_ids = recrop.broken(conn, "faces"), recrop.broken(conn, "photos")
    yield from _broken_pictures(conn, "crop", faces, integrity.photos_of(conn, faces))
    yield from _broken_pictures(conn, "thumbnail", photo_ids, photo_ids)


def _broken_pictures(
    conn: Connection, what: str, ids: list[int], photo_ids: list[int]
) -> Iterator[Finding]:
    words = f"{what} cannot be decoded", f"{what}s cannot be decoded"
    if recrop.any_original(conn, photo_ids):
        how = "--fix cuts anew what it can, from the photos' files"
        yield from _found("pictures", *words, ids, mend=how, done="cut anew", fixable=True)
        return
    places = [it[0] for photo_id in photo_ids for it in integrity.places(conn, photo_id)[:1]]
    more = ", and what else was there" if len(places) > 1 else ""
    how = f"bring back {places[0]} as it was{more}, or ingest where it lies now" if places else ""
    yield from _found("pictures", *words, ids, mend=how, then=("doctor", "--fix"))


def gone(conn: Connection) -> tuple[list[str], list[str]]:
    """Paths where no file is any more, and those whose whole folder is not there."""
    lost: list[str] = []
    away: list[str] = []
    folders: dict[str, bool] = {}
    for path, raw in integrity.every_place(conn):
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
    one, many = "file is gone from its folder", "files are gone from their folders"
    yield from _found("files", one, many, lost, fixable=True)
    one, many = "file lies in a folder that is not here", "files lie in folders that are not here"
    how = "a drive that is not here? What is in the file is all there"
    yield from _found("folders", one, many, away, mend=how, level="note")


def _decisions(conn: Connection) -> Iterator[Finding]:
    one = "decision is about faces of which some are not in the file now; it is kept"
    many = "decisions are about faces of which some are not in the file now; they are kept"
    yield from _found("decisions", one, many, integrity.lost_decisions(conn), level="note")


CHECKS: dict[str, Callable[[Connection], Iterator[Finding]]] = {
    "file": _file,
    "schema": _schema,
    "references": _references,
    "embeddings": _embeddings,
    "indexes": _indexes,
    "pictures": _pictures,
    "boxes": _rows(
        "boxes",
        "face lies outside its picture",
        "faces lie outside their pictures",
    ),
    "landmarks": _rows(
        "landmarks",
        "face has landmarks that are not five points",
        "faces have landmarks that are not five points",
    ),
    "places": _rows(
        "places", "photo lies nowhere", "photos lie nowhere", mend="ingest the folder again"
    ),
    "dates": _rows(
        "dates",
        "face has another date than its photo",
        "faces have another date than their photos",
        fixable=True,
    ),
    "counts": _rows(
        "counts",
        "person has another number of faces",
        "people have another number of faces",
        fixable=True,
    ),
    "covers": _rows(
        "covers",
        "person shows a face that is not theirs",
        "people show a face that is not theirs",
        fixable=True,
    ),
    "keys": _rows("keys", "person has no key", "people share a key, or have none"),
    "files": _files,
    "decisions": _decisions,
}
"""What is looked at, in this order."""
