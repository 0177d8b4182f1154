"""The check of an audit on the schema: every table, index, trigger and view is of the list in `store`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from ...search import index_upkeep
from ...shapes import ModelInfo
from ...store import catalogue as tables
from ...store import models
from ...store.connection import Connection, load_vector_extension, sqlite, transaction
from .allow_list import KNOWN_NOTES
from .findings import AuditFinding, Catalogue

Fill = Callable[[Connection, list[ModelInfo]], None]


def check_schema(catalogue: Catalogue) -> list[AuditFinding]:
    """Every table, index, trigger and view is, word for word, one that a catalogue has or had."""
    with scratch_catalogue(catalogue) as scratch:
        allowed = tables.schema(scratch)
    names = {(kind, name) for kind, name, *_ in allowed}
    allowed |= {row for row in tables.former_schema() if row[:2] in names}
    found = tables.schema(catalogue.conn)
    leaks = sorted(f"{kind} {name}" for kind, name, *_ in found - allowed)
    return [AuditFinding.of("tables, columns, triggers, views", len(found), leaks)]


@contextmanager
def scratch_catalogue(catalogue: Catalogue, fill: Fill | None = None) -> Iterator[Connection]:
    """A temporary file with the tables of a catalogue of the same options, and with its models.

    fill: adds rows, before the indexes of vectors are made of them; given the models of both files.
    """
    notes = catalogue.notes
    with closing(sqlite().connect("", isolation_level=None)) as conn:
        load_vector_extension(conn)
        conn.execute("pragma journal_mode = off")
        indexed = bool(notes.get("embeddings") and not notes.get("portable"))
        with transaction(conn):
            # Only which options are on, not their values
            tables.make(conn, dict.fromkeys(notes.keys() & KNOWN_NOTES.keys(), "yes"))
            if indexed:
                tables.make_index_tables(conn)
            if notes.get("embeddings"):
                (fill or _add_models)(conn, _shared_models(catalogue))
            tables.make_indexes(conn)
        if indexed:
            with transaction(conn):
                index_upkeep.follow(conn)
        if indexed and fill:
            index_upkeep.settle(conn)
            day = notes.get("made_on", "").encode("utf-8", "replace").decode()
            tables.forget_moments(conn, day)
        yield conn


def _shared_models(catalogue: Catalogue) -> list[ModelInfo]:
    """The private file's models that the catalogue has as well."""
    names = {row[0] for row in catalogue.conn.execute("select id from models")}
    return [model for model in models.every(catalogue.private) if model.id in names]


def _add_models(conn: Connection, known: list[ModelInfo]) -> None:
    for model in known:
        models.register(conn, model)
