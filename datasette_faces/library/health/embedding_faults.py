"""Embeddings that no search can use, or that are not of unit length: found, and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...algorithms import vectors
from ...search import index_upkeep
from ...shapes import ModelInfo
from ...store import integrity, models
from ...store.connection import Connection, transaction
from .findings import HealthFinding, report_rows

MIN_VECTORS = 3
"""Of fewer, most may be broken by chance."""
UNIT_TOLERANCE = 1e-3
"""float32 rounds a unit vector's length by less than 1e-6; a model's own rounding stays below this."""


@dataclass
class VectorScan:
    """The faces of a model whose vector is broken, or is not of unit length."""

    broken: list[int]
    not_unit: list[int]
    seen: int = 0

    @property
    def model_is_wrong(self) -> bool:
        """Whether the model's row is wrong, rather than most of its vectors."""
        return self.seen >= MIN_VECTORS and len(self.broken) > self.seen / 2


def find_embedding_faults(conn: Connection) -> Iterator[HealthFinding]:
    """Broken embeddings, as check "embeddings", and those not of unit length, as "lengths"."""
    for model in models.every(conn):
        scan = scan_vectors(conn, model)
        if scan.model_is_wrong:
            one = f"model, {model.id}, has other vectors than its row in `models` says"
            mend = "restore the file from a copy; no vector is removed"
            yield HealthFinding("embeddings", one, 1, mend=mend, one=one)
            continue
        yield from report_rows(
            "embeddings",
            f"embedding by {model.id} is not {model.dimensions} numbers with a length above 0",
            f"embeddings by {model.id} are not {model.dimensions} numbers with a length above 0",
            sorted(scan.broken),
            mend=f"--fix removes {'it' if len(scan.broken) == 1 else 'them'}",
            done="removed",
            then=("embed", f"--model {model.id}"),
            fixable=True,
        )
        one = f"embedding by {model.id} is not of unit length"
        many = f"embeddings by {model.id} are not of unit length"
        yield from report_rows("lengths", one, many, scan.not_unit, fixable=True)


def remove_broken_embeddings(conn: Connection) -> None:
    """Remove the embeddings that no search can use, unless the model's row is what is wrong."""
    with transaction(conn):
        for model in models.every(conn):
            scan = scan_vectors(conn, model)
            if not scan.model_is_wrong:
                integrity.remove_vectors(conn, model, scan.broken)
        index_upkeep.follow(conn)


def normalize_embeddings(conn: Connection) -> None:
    """Scale the embeddings that are not of unit length."""
    with transaction(conn):
        for model in models.every(conn):
            for face_id in scan_vectors(conn, model).not_unit:
                stored = np.frombuffer(integrity.vector(conn, face_id, model), "<f4")
                # In double precision: the squares of large numbers are infinite in single
                unit = stored / np.linalg.norm(stored.astype(np.float64))
                integrity.set_vector(conn, face_id, model, vectors.encode(unit.astype(np.float32)))
        index_upkeep.follow(conn)


def scan_vectors(conn: Connection, model: ModelInfo) -> VectorScan:
    """Look at every vector of a model."""
    scan = VectorScan([], [])
    for piece in integrity.vectors_of(conn, model):
        ids, stored, broken = decode_vectors(piece, model)
        scan.seen += len(piece)
        scan.broken += broken
        # The square of a number that is too large is infinite
        lengths = np.linalg.norm(stored.astype(np.float64), axis=1)
        usable = np.isfinite(lengths) & (lengths > 0)
        scan.broken += ids[~usable].tolist()
        scan.not_unit += ids[usable & (np.abs(lengths - 1) > UNIT_TOLERANCE)].tolist()
    return scan


def decode_vectors(piece: list[tuple[int, Any]], model: ModelInfo) -> tuple[Any, Any, list[int]]:
    """Ids (n,) and vectors (n, dimensions) of the right length; the ids of all others."""
    size = vectors.FLOAT32_BYTES * model.dimensions
    fitting = [(face, raw) for face, raw in piece if isinstance(raw, bytes) and len(raw) == size]
    known = {face for face, _ in fitting}
    stored = np.frombuffer(b"".join(raw for _, raw in fitting), "<f4")
    ids = np.array([face for face, _ in fitting], np.int64)
    rows = stored.reshape(len(fitting), model.dimensions)
    return ids, rows, [face for face, _ in piece if face not in known]
