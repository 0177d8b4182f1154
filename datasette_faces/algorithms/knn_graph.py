"""The nearest neighbours of every face: exact where that is quick, else from codes of four bits.

Candidates from the codes are scored by their true vectors. Among more than SCANNED faces, only the
part of them is looked at that lies nearest, in lists round centroids: Jégou, Douze, Schmid, "Product
quantization for nearest neighbor search", TPAMI 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..shapes import FloatArray
from .average_linkage import Places
from .constrained_clustering import Graph

NEIGHBOURS = 32
NEIGHBOURS_OF_MANY = 16
"""Among more than SCANNED faces; among 100,000, 16 gave the clusters that 32 gave: bench/cluster.py."""
COMPARED = 2**38
"""Up to so many multiplications all faces are compared: 46,000 x 128-d in about 5 s."""
SCANNED = 50_000
LISTS = 1_024
PROBED = 0.25
"""The share of the lists that are looked at: of the neighbours of a person with few faces, 0.93 are found
among a million that differ in every direction; real ones lie closer together."""
RESCORED = 4
TRAINED_ON = 65_536
BLOCK = 8_192
LEAST_SIMILARITY = 0.2
"""Pairs below are of two people by any model, and only cost time."""


def graph(
    vectors: FloatArray,
    *,
    k: int | None = None,
    least: float = LEAST_SIMILARITY,
    compared: int = COMPARED,
) -> Graph:
    """The neighbours of every face: of each the k nearest that are at least so similar.

    vectors: unit length (n, dimensions); read them in an order that is the faces' own, for what is
    approximate depends on it. compared: how many multiplications are few enough to be exact.
    """
    n, dimensions = vectors.shape
    k = k or (NEIGHBOURS if n <= SCANNED else NEIGHBOURS_OF_MANY)
    index = _exact(vectors) if n * n * dimensions <= compared else _approximate(vectors)
    places = np.arange(n, dtype=np.int32)
    return _asked(index, vectors, places, k=k, least=least)


def graph_of(
    vectors: FloatArray,
    faces: Places,
    *,
    k: int = NEIGHBOURS,
    least: float = LEAST_SIMILARITY,
) -> Graph:
    """The neighbours of some faces, at positions (m,), among all: exactly."""
    return _asked(_exact(vectors), vectors, np.asarray(faces, np.int32), k=k, least=least)


def _asked(index: Any, vectors: FloatArray, faces: Places, *, k: int, least: float) -> Graph:
    found = np.full((len(faces), k), -1, np.int32)
    wanted = min(k + 1, len(vectors))
    for start in range(0, len(faces), BLOCK):
        asking = faces[start : start + BLOCK]
        similarities, places = index.search(np.ascontiguousarray(vectors[asking]), wanted)
        places[(similarities < least) | (places == asking[:, np.newaxis])] = -1
        # A face does not always find itself: what resembles it as much may fill the row
        last = np.argsort(places < 0, axis=1, kind="stable")
        found[start : start + BLOCK, : min(k, wanted)] = np.take_along_axis(places, last, 1)[:, :k]
    return Graph(faces, found)


def _faiss() -> Any:
    import faiss

    return faiss


def _exact(vectors: FloatArray) -> Any:
    index = _faiss().IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    return index


def _approximate(vectors: FloatArray) -> Any:
    """An index of codes, two dimensions each, whose candidates are scored by the vectors."""
    faiss = _faiss()
    n, dimensions = vectors.shape
    pad = "" if dimensions % 2 == 0 else f"Pad{dimensions + 1},"
    lists = f"IVF{LISTS}," if n > SCANNED else ""
    name = f"{pad}{lists}PQ{-(-dimensions // 2)}x4fs,RFlat"
    index = faiss.index_factory(dimensions, name, faiss.METRIC_INNER_PRODUCT)
    index.train(np.ascontiguousarray(vectors[:: max(1, n // TRAINED_ON)][:TRAINED_ON]))
    index.add(vectors)
    index.k_factor = RESCORED
    if lists:
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", int(PROBED * LISTS))
    return index
