"""The checks of an audit on tables and on embeddings: a catalogue made anew beside the one that is there.

An export's own code fills it from the private file; what it does not write must not be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from ...search import index_upkeep
from ...store import catalogue as tables
from ...store import models
from ...store.connection import Connection, load_vector_extension, sqlite, transaction
from ..publish import selection
from .row_checks import KNOWN_NOTES, Catalogue, Finding, Known

VECTORS = {"models", "face_embeddings"}
ELSEWHERE = {"photos", "faces", "people", "catalogue"}
"""Their cells are compared by other checks."""
OTHER_PROGRAMS = (
    "the indexes were made by another version of sqlite-vec or faiss, on another kind of processor, or "
    "are not of these embeddings; if the first, export again"
)
PUBLISHED = "select public_id from public_faces where id in (select id from chosen)"
FACE = """
insert into faces(id, photo_id, x, y, width, height, detection_score, sharpness, crop)
values (?, 0, 0, 0, 0, 0, 0, 0, x'')
"""

Rows = Iterator[tuple[Any, ...]]


def schema(it: Catalogue) -> list[Finding]:
    """Every table, index, trigger and view is one that an export makes, word for word."""
    with made_anew(it, filled=False) as anew:
        said = tables.schema(anew)
    there = tables.schema(it.conn)
    strange = sorted(f"{kind} {name}" for kind, name, *_ in there - said)
    return [Finding.of("tables, columns, triggers, views", len(there), strange)]


def vector_rows(it: Catalogue) -> list[Finding]:
    """Models, embeddings and indexes are, byte by byte, those of published faces, or there are none."""
    with made_anew(it, filled=True) as anew:
        # Of another schema, which `schema` tells, rows cannot be compared
        own = tables.ordinary(tables.schema(anew) & tables.schema(it.conn))
        vectors = _compared("embeddings and models", it, anew, own & VECTORS)
        indexes = _compared("indexes of embeddings", it, anew, own - VECTORS - ELSEWHERE)
    if indexes.found:
        indexes = replace(indexes, examples=(*indexes.examples, OTHER_PROGRAMS))
    return [vectors, indexes]


def _compared(check: str, it: Catalogue, anew: Connection, names: set[str]) -> Finding:
    there = [it.conn.execute(f"select count(*) from {name}").fetchone()[0] for name in names]
    strange = (found for name in sorted(names) for found in _strange(it, anew, name))
    return Finding.of(check, sum(there), strange)


@contextmanager
def made_anew(it: Known, *, filled: bool) -> Iterator[Connection]:
    """The tables of a catalogue as an export makes them, in a file of their own that nobody sees.

    filled: with the embeddings of the faces that are published, and their indexes.
    """
    with closing(sqlite().connect("", isolation_level=None)) as conn:
        load_vector_extension(conn)
        conn.execute("pragma journal_mode = off")
        indexed = bool(it.notes.get("embeddings") and not it.notes.get("portable"))
        with transaction(conn):
            # That something is turned on, not what it says
            tables.make(conn, dict.fromkeys(it.notes.keys() & KNOWN_NOTES.keys(), "yes"))
            if indexed:
                tables.make_index_tables(conn)
            if it.notes.get("embeddings"):
                _copy(it, conn, filled=filled)
            tables.make_indexes(conn)
        if indexed:
            with transaction(conn):
                index_upkeep.follow(conn)
        if indexed and filled:
            index_upkeep.settle(conn)
            day = it.notes.get("made_on", "").encode("utf-8", "replace").decode()
            tables.forget_moments(conn, day)
        yield conn


def _copy(it: Known, conn: Connection, *, filled: bool) -> None:
    """The models that both files have, and what is published of their embeddings."""
    there = {row[0] for row in it.conn.execute("select id from models")}
    known = [model for model in models.every(it.private) if model.id in there]
    if filled:
        # By their ids alone: the indexes look how many there are
        conn.executemany(FACE, it.private.execute(PUBLISHED))
        selection.copy_vectors(it.private, conn, known)
        return
    for model in known:
        models.register(conn, model)


def _strange(it: Catalogue, anew: Connection, table: str) -> Iterator[str]:
    """The rows of a table that an export does not write, at their places."""
    wanted = _rows(anew, table)
    expected = next(wanted, None)
    for row in _rows(it.conn, table):
        while expected is not None and expected[0] < row[0]:
            expected = next(wanted, None)
        if expected is None or [*map(_kept, expected)] != [*map(_kept, row)]:
            yield f"{table} {', '.join(map(_in_short, row[1:4]))}"


def _rows(conn: Connection, table: str) -> Rows:
    """Rows with their numbers, which hold something as well."""
    rows: Rows = conn.execute(f"select _rowid_, * from {table} order by _rowid_")
    return rows


def _kept(value: object) -> tuple[type, object]:
    """A value as SQLite keeps it: 1 and 1.0 are two."""
    return type(value), value


def _in_short(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else f"{value!r:.40}"
