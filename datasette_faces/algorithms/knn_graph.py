"""The nearest neighbours of every face: exact where that is quick, else by product quantization.

Candidates from the 4-bit codes are re-ranked by their vectors. Among more than MAX_SCANNED_FACES
only the nearest part is looked at, in lists around centroids: Jégou, Douze, Schmid, "Product
quantization for nearest neighbor search", TPAMI 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..shapes import FloatArray
from .average_linkage import Positions
from .constrained_clustering import Graph

NEIGHBOURS = 32
NEIGHBOURS_OF_MANY = 16
"""Among more than MAX_SCANNED_FACES; among 100,000, 16 gave the same clusters as 32: bench/cluster.py."""
MAX_EXACT_PRODUCTS = 2**38
"""Up to this many multiplications all faces are compared: 46,000 x 128-d in about 5 s."""
MAX_SCANNED_FACES = 50_000
LISTS = 1_024
PROBED_SHARE = 0.25
"""The share of the lists that are looked at. Of the neighbours of a person with few faces, 0.93 are found
among a million that differ in every direction; real ones are closer together."""
OVER_FETCH = 4
"""How many candidates are re-ranked for each neighbour."""
TRAINING_VECTORS = 65_536
BLOCK_ROWS = 8_192
MIN_SIMILARITY = 0.2
"""Pairs below are of two people by any model, and only cost time."""


def build_graph(
    vectors: FloatArray,
    *,
    k: int | None = None,
    min_similarity: float = MIN_SIMILARITY,
    max_exact_products: int = MAX_EXACT_PRODUCTS,
) -> Graph:
    """The k nearest neighbours of every face that are at least this similar.

    vectors: unit length (n, dimensions), in an order that only depends on the faces, because an
    approximate graph depends on it. max_exact_products: up to this many multiplications it is exact.
    """
    n, dimensions = vectors.shape
    k = k or (NEIGHBOURS if n <= MAX_SCANNED_FACES else NEIGHBOURS_OF_MANY)
    is_exact = n * n * dimensions <= max_exact_products
    index = _build_exact(vectors) if is_exact else _build_approximate(vectors)
    faces = np.arange(n, dtype=np.int32)
    return _search(index, vectors, faces, k=k, min_similarity=min_similarity)


def build_graph_of(
    vectors: FloatArray,
    faces: Positions,
    *,
    k: int = NEIGHBOURS,
    min_similarity: float = MIN_SIMILARITY,
) -> Graph:
    """The exact neighbours of some faces, at positions (m,), among all."""
    faces = np.asarray(faces, np.int32)
    return _search(_build_exact(vectors), vectors, faces, k=k, min_similarity=min_similarity)


def _search(
    index: Any, vectors: FloatArray, faces: Positions, *, k: int, min_similarity: float
) -> Graph:
    neighbours = np.full((len(faces), k), -1, np.int32)
    count = min(k + 1, len(vectors))
    for start in range(0, len(faces), BLOCK_ROWS):
        probes = faces[start : start + BLOCK_ROWS]
        similarities, found = index.search(np.ascontiguousarray(vectors[probes]), count)
        found[(similarities < min_similarity) | (found == probes[:, np.newaxis])] = -1
        # A face does not always find itself: equally similar faces may fill the row
        order = np.argsort(found < 0, axis=1, kind="stable")
        nearest = np.take_along_axis(found, order, 1)[:, :k]
        neighbours[start : start + BLOCK_ROWS, : min(k, count)] = nearest
    return Graph(faces, neighbours)


def _faiss() -> Any:
    import faiss

    return faiss


def _build_exact(vectors: FloatArray) -> Any:
    index = _faiss().IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    return index


def _build_approximate(vectors: FloatArray) -> Any:
    """An index of codes, two dimensions each, whose candidates are re-ranked by the vectors."""
    faiss = _faiss()
    n, dimensions = vectors.shape
    pad = "" if dimensions % 2 == 0 else f"Pad{dimensions + 1},"
    lists = f"IVF{LISTS}," if n > MAX_SCANNED_FACES else ""
    name = f"{pad}{lists}PQ{-(-dimensions // 2)}x4fs,RFlat"
    index = faiss.index_factory(dimensions, name, faiss.METRIC_INNER_PRODUCT)
    step = max(1, n // TRAINING_VECTORS)
    index.train(np.ascontiguousarray(vectors[::step][:TRAINING_VECTORS]))
    index.add(vectors)
    index.k_factor = OVER_FETCH
    if lists:
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", int(PROBED_SHARE * LISTS))
    return index
