"""Vector indexes that lack changes, or differ from the embeddings: found, and rebuilt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...search import index_upkeep
from ...search.indexes import registry
from ...search.indexes.base import STALE_SHARE
from ...shapes import ModelInfo
from ...store import changes, indexes, integrity, models, summary, vec_tables
from ...store.connection import Connection, sqlite, transaction
from .embedding_faults import decode_vectors
from .findings import HealthFinding


def find_index_faults(conn: Connection) -> Iterator[HealthFinding]:
    """Indexes that are stale, broken or unknown to the file."""
    kinds = {kind.id: kind for kind in registry.indexes()}
    for index in summary.indexed(conn):
        model = next((it for it in models.every(conn) if it.id == index["model"]), None)
        if index["kind"] not in kinds:
            message = f"{index['name']} is of a kind that no plugin here provides"
            yield HealthFinding("indexes", message, 1, level="note")
        elif model is not None and (fault := find_fault(conn, index["kind"], model)):
            yield HealthFinding("indexes", f"{index['name']} {fault}", 1, fixable=True)
    for name in unknown_tables(conn):
        message = f"{name} is not listed in face_indexes"
        yield HealthFinding("indexes", message, 1, fixable=True)


def rebuild_indexes(conn: Connection) -> None:
    """Drop unknown vec0 tables, and build again the indexes that have a fault."""
    for name in unknown_tables(conn):
        with transaction(conn):
            integrity.drop_table(conn, name)
    kinds = {kind.id: kind for kind in registry.indexes()}
    known = {model.id: model for model in models.every(conn)}
    for index in summary.indexed(conn):
        kind, model = kinds.get(index["kind"]), known.get(index["model"])
        if kind and model and find_fault(conn, kind.id, model):
            with transaction(conn):
                kind.drop(conn, model)
                kind.follow(conn, model)
    index_upkeep.settle(conn)


def unknown_tables(conn: Connection) -> list[str]:
    """The vec0 tables that `face_indexes` does not name."""
    known = {index["name"] for index in summary.indexed(conn)}
    return sorted(set(summary.indexes(conn)) - known)


def find_fault(conn: Connection, kind: str, model: ModelInfo) -> str | None:
    """What is wrong with an index; None where nothing is."""
    kept = indexes.read_index(conn, model.id, kind)
    if kept is None:
        return "has an invalid row in face_indexes"
    changed = changes.since(conn, model.id, kept.seen)[1]
    if changed is None:
        return "is older than the recorded changes"
    if kind == vec_tables.INDEX_ID:
        lacking = f"lacks {_count(len(changed), 'change')}"
        return lacking if changed else _compare_table(conn, model)
    if len(changed) > STALE_SHARE * kept.faces:
        return f"lacks {_count(len(changed), 'change')}"
    return None if indexes.is_intact(conn, model.id, kind) else "differs from what was saved"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _compare_table(conn: Connection, model: ModelInfo) -> str | None:
    """How a vec0 table differs from the embeddings; None where it does not."""
    wanted: dict[int, int] = {}
    for piece in integrity.vectors_of(conn, model):
        ids, stored, _ = decode_vectors(piece, model)
        # vec0 takes no vector without a direction
        usable = np.isfinite(stored).all(axis=1) & stored.any(axis=1)
        chosen = set(ids[usable].tolist())
        wanted |= {face: hash(raw) for face, raw in piece if face in chosen}
    indexed: dict[int, int] = {}
    try:
        for piece in integrity.indexed_vectors(conn, vec_tables.table_name(model.id)):
            indexed |= {face: hash(bytes(raw)) for face, raw in piece}
    except sqlite().DatabaseError as error:
        return f"cannot be read: {error}"
    other = len(wanted.keys() ^ indexed.keys())
    other += sum(wanted[face] != indexed[face] for face in wanted.keys() & indexed.keys())
    return f"differs from the embeddings in {_count(other, 'face')}" if other else None
