"""The fast index: product quantization with 4-bit codes (faiss `PQ…x4fs`), for large galleries.

A vector is cut into short pieces, and each piece is kept as the number of the nearest of 16
centroids: Jégou, Douze, Schmid, "Product quantization for nearest neighbor search", TPAMI 2011; scanned
in registers: André, Kermarrec, Le Scouarnec, "Cache locality is not enough", VLDB 2015.

What is kept in the file are plain arrays whose sizes are checked, not faiss's own format: a database
may come from anybody.
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...shapes import FloatArray, IdArray, ModelInfo
from ...store import changes, embeddings, indexes
from ...store.connection import Connection, transaction
from ...store.indexes import Kept
from .base import MOST_ADDED, FaceIndex, Snapshot

CODE_BITS = 4
CENTROIDS = 2**CODE_BITS
LEAST_VALUES = 10_000_000
"""Up to here vec0 answers in about 25 ms."""
FINE_DIMENSIONS = 256
"""Up to so many dimensions each gets a code of its own; above, two share one: half the memory."""
LEAST_FACES = 1_000
"""Fewer are too small a sample to place the centroids by."""
TRAINED_ON = 65_536
STALE_SHARE = 0.05
"""With a larger share of changed faces, the index in the file is rebuilt."""
MOST_GROWTH = 2
"""An index that has grown by this factor is rebuilt: its centroids are out of date."""
PARTS = ("ids", "centroids", "codes")
"""What the arrays that are kept are called."""
USUAL_K = 20
MOST_SHARDS = 4
"""On so many processors at most one query is worked at."""
SEED = 2011


@dataclass(frozen=True, slots=True)
class Codes:
    """A gallery in codes: centroids (any shape), codes (n, bytes), face ids (n,)."""

    centroids: FloatArray
    codes: npt.NDArray[np.uint8]
    ids: IdArray
    seen: int


class Pq(FaceIndex):
    """Candidates from codes of four bits, in a few milliseconds among a million faces."""

    id = "pq"

    def __init__(self, *, least_values: int = LEAST_VALUES, least_faces: int = LEAST_FACES) -> None:
        self.least_values = least_values
        self.least_faces = max(least_faces, CENTROIDS)

    def open(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """The codes in the file; None where they are not those that were saved, or too old."""
        kept = indexes.kept(conn, model.id, self.id)
        if not kept or changes.since(conn, model.id, kept.seen)[1] is None:
            return None
        parts = indexes.load(conn, model.id, self.id)
        if not parts:
            return None
        try:
            codes = _from_parts(parts, model.dimensions, kept.seen)
        except (KeyError, ValueError):
            return None
        return _snapshot(_shards(codes, model.dimensions), codes.ids, codes.seen)

    def build(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """Train on a sample and encode all; None where there are too few faces to train on."""
        codes = self._encode(conn, model)
        if codes is None:
            return None
        return _snapshot(_shards(codes, model.dimensions), codes.ids, codes.seen)

    def settle(self, conn: Connection, model: ModelInfo) -> None:
        """Keep an index of a large gallery; rebuild it where much has changed since the last one."""
        kept = indexes.kept(conn, model.id, self.id)
        large = self._is_for(conn, model)
        if large and kept and self._serves(conn, model, kept):
            return
        codes = self._encode(conn, model) if large else None
        if codes is None and kept is None:
            return
        with _transaction(conn):
            self.drop(conn, model)
            # Changes that the log has dropped meanwhile would be missing from this index for ever
            if codes and changes.since(conn, model.id, codes.seen)[1] is not None:
                parts, faces = _parts(codes), len(codes.ids)
                indexes.save(conn, model.id, self.id, parts, seen=codes.seen, faces=faces)

    def _is_for(self, conn: Connection, model: ModelInfo) -> bool:
        """Whether the gallery is as large as that."""
        if embeddings.upper_bound(conn) * model.dimensions < self.least_values:
            return False
        return embeddings.count(conn, model.id) * model.dimensions >= self.least_values

    def _serves(self, conn: Connection, model: ModelInfo, kept: Kept) -> bool:
        """Whether the kept index is complete, and little has changed since."""
        changed = changes.since(conn, model.id, kept.seen)[1]
        if changed is None or len(changed) > min(STALE_SHARE * kept.faces, MOST_ADDED):
            return False
        return indexes.is_whole(conn, model.id, self.id)

    def drop(self, conn: Connection, model: ModelInfo) -> None:
        """Remove the codes."""
        indexes.forget(conn, model.id, self.id)

    def _encode(self, conn: Connection, model: ModelInfo) -> Codes | None:
        seen = changes.position(conn)
        sample = _sample(conn, model.id)
        if len(sample) < self.least_faces:
            return None
        quantizer = _quantizer(model.dimensions)
        _train(quantizer, sample)
        ids, codes = [np.empty(0, np.int64)], [np.empty((0, quantizer.sa_code_size()), np.uint8)]
        for chunk_ids, vectors in embeddings.everything(conn, model.id):
            ids.append(chunk_ids)
            codes.append(quantizer.sa_encode(_padded(vectors, quantizer.d)))
        centroids = _faiss().vector_to_array(quantizer.pq.centroids)
        return Codes(centroids, np.concatenate(codes), np.concatenate(ids), seen)


def _transaction(conn: Connection) -> AbstractContextManager[Connection]:
    """A transaction, or the one that is open already."""
    return nullcontext(conn) if conn.in_transaction else transaction(conn)


def _faiss() -> Any:
    import faiss

    return faiss


def _quantizer(dimensions: int) -> Any:
    pieces = dimensions if dimensions <= FINE_DIMENSIONS else -(-dimensions // 2)
    padded = pieces if dimensions <= FINE_DIMENSIONS else 2 * pieces
    faiss = _faiss()
    return faiss.IndexPQ(padded, pieces, CODE_BITS, faiss.METRIC_INNER_PRODUCT)


def _train(quantizer: Any, sample: FloatArray) -> None:
    """Find the centroids, in this thread alone.

    Each step is so short that faiss's threads wait for each other longer than they work: on two
    busy processors 65,536 x 128 took 24 s with two threads, 1 s with one.
    """
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        quantizer.train(_padded(sample, quantizer.d))
    finally:
        faiss.omp_set_num_threads(threads)


def _padded(vectors: FloatArray, width: int) -> FloatArray:
    """Rows as wide as the quantizer takes them, filled up with a zero where they are not."""
    missing = width - vectors.shape[1]
    padded = np.pad(vectors, ((0, 0), (0, missing))) if missing else vectors
    return np.ascontiguousarray(np.nan_to_num(padded), np.float32)


def _sample(conn: Connection, model_id: str) -> FloatArray:
    """Up to TRAINED_ON vectors, drawn evenly from all ids: neighbours in the file are alike."""
    share = min(1.0, 1.2 * TRAINED_ON / max(embeddings.count(conn, model_id), 1))
    random, drawn = np.random.default_rng(SEED), []
    for _, vectors in embeddings.everything(conn, model_id):
        drawn.append(vectors[random.random(len(vectors)) < share])
    if not drawn:
        return np.empty((0, 0), np.float32)
    found = np.concatenate(drawn)
    # Not the first ones: those that came last would never be seen
    chosen = random.permutation(len(found))[:TRAINED_ON]
    return found[np.sort(chosen)]


def _shards(codes: Codes, dimensions: int) -> list[Any]:
    """faiss's indexes of these codes, one for each processor: a query searches all at once."""
    faiss = _faiss()
    quantizer = _quantizer(dimensions)
    faiss.copy_array_to_vector(np.ascontiguousarray(codes.centroids), quantizer.pq.centroids)
    quantizer.is_trained = True
    shards = []
    for share in np.array_split(codes.codes, min(os.cpu_count() or 1, MOST_SHARDS)):
        quantizer.reset()
        quantizer.add_sa_codes(np.ascontiguousarray(share))
        shard = faiss.IndexPQFastScan(quantizer)
        shard.orig_codes = None  # those of the quantizer, which ends here
        shards.append(shard)
    return shards


def _together(shards: list[Any]) -> Any:
    """One index of several, each searched in a thread of its own; places count through all of them."""
    index = _faiss().IndexShards(shards[0].d, True, True)
    for shard in shards:
        index.add_shard(shard)
    return index


def _snapshot(
    shards: list[Any], ids: IdArray, seen: int, trained_on: int | None = None
) -> Snapshot:
    first = len(ids) if trained_on is None else trained_on
    index = _together(shards)

    def candidates(conn: Connection, embedding: FloatArray, count: int) -> IdArray:
        if not len(ids):
            return ids
        query = _padded(embedding[np.newaxis, :], index.d)
        places = index.search(query, min(count, len(ids)))[1][0]
        found: IdArray = ids[places[places >= 0]]
        return found

    def extended(new_ids: IdArray, vectors: FloatArray, upto: int) -> Snapshot | None:
        if len(ids) + len(new_ids) > MOST_GROWTH * first:
            return None
        # A copy: others may be searching this one
        larger = _faiss().clone_index(shards[-1])
        larger.add(_padded(vectors, index.d))
        return _snapshot([*shards[:-1], larger], np.concatenate([ids, new_ids]), upto, first)

    fine = index.d <= FINE_DIMENSIONS
    return Snapshot(
        seen=seen,
        candidates=candidates,
        wanted=_wanted_fine if fine else partial(_wanted_coarse, faces=len(ids)),
        extended=extended,
    )


# Measured for a recall@20 of 0.99 and more among a million: bench/search.py. Beyond a person's own
# faces similarities crowd together: among 200,000 vectors of every direction, where nothing else
# is, these give a recall@k of 0.99 for k from 300 to 4,096


def _wanted_fine(k: int) -> int:
    return 60 + 2 * k + max(k - USUAL_K, 0)


def _wanted_coarse(k: int, faces: int) -> int:
    # The more faces there are, the more of them are nearly as near
    crowd = max(60, round(260 + 110 * math.log10(max(faces, 1) / 1_000_000)))
    return crowd + 2 * k + 6 * max(k - USUAL_K, 0)


def _parts(codes: Codes) -> list[tuple[str, memoryview]]:
    arrays: tuple[npt.NDArray[Any], ...] = (codes.ids, codes.centroids, codes.codes)
    return [(name, memoryview(it.tobytes())) for name, it in zip(PARTS, arrays, strict=True)]


def _from_parts(parts: dict[str, bytes], dimensions: int, seen: int) -> Codes:
    """The arrays in what was kept. Raises KeyError and ValueError where they do not fit."""
    quantizer = _quantizer(dimensions)
    ids = np.frombuffer(parts["ids"], "<i8")
    centroids = np.frombuffer(parts["centroids"], "<f4")
    if len(centroids) != CENTROIDS * quantizer.d or not np.isfinite(centroids).all():
        raise ValueError("centroids of another model")
    codes = np.frombuffer(parts["codes"], np.uint8).reshape(len(ids), quantizer.sa_code_size())
    return Codes(centroids, codes, ids, seen)
