"""What `cluster.py` compares, each in a process of its own: says as JSON what it took and found.

python bench/cluster_contenders.py NAME FOLDER FACES OPTION
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cluster_people
import numpy as np
from cluster_people import People

from datasette_faces.algorithms import (
    constrained_clustering,
    knn_graph,
    merge_thresholds,
    review_pairs,
)
from datasette_faces.shapes import IdArray

OURS, DBSCAN, HDBSCAN, WHISPERS = "this", "DBSCAN", "HDBSCAN", "Chinese whispers"
THRESHOLD = 0.363
"""SFace's: OpenCV's documentation of FaceRecognizerSF."""
ITERATIONS = 20
"""Of Chinese whispers at most; Biemann, "Chinese whispers", TextGraphs 2006, sees little change later."""
SETTLED = 0.001
"""So few faces change their number in an iteration that it is the last."""
ADDED = 1_000

Labels = IdArray


def _places(faces: int) -> np.ndarray:
    return np.arange(faces, dtype=np.int32)


def _constraints(people: People) -> constrained_clustering.Constraints:
    return dataclasses.replace(
        constrained_clustering.constrain_by_photo(people.photo), bridging=people.good
    )


def ours(people: People, _: float) -> Labels:
    """The graph, the clusters, and the pairs for the review queue, with what is known of photos."""
    thresholds = merge_thresholds.estimate_thresholds(people.vectors, THRESHOLD)
    graph = knn_graph.build_graph(people.vectors)
    labels = constrained_clustering.cluster_faces(
        people.vectors, graph, _constraints(people), thresholds
    )
    review_pairs.find_review_pairs(people.vectors, graph, labels, people.photo, threshold=THRESHOLD)
    return labels


def dbscan(people: People, cosine: float) -> Labels:
    """scikit-learn's, on the same unit vectors; the similarity as a distance."""
    import sklearn.cluster

    found = sklearn.cluster.DBSCAN(eps=float(np.sqrt(2 - 2 * cosine)), min_samples=2, n_jobs=-1)
    return found.fit_predict(people.vectors).astype(np.int64)


def hdbscan(people: People, _: float) -> Labels:
    """scikit-learn's, with clusters from two faces on."""
    import sklearn.cluster

    found = sklearn.cluster.HDBSCAN(min_cluster_size=2, n_jobs=-1, copy=True)
    return found.fit_predict(people.vectors).astype(np.int64)


def whispers(people: People, cosine: float) -> Labels:
    """Each face takes the number that its neighbours, weighed by similarity, have most; on our graph."""
    graph = knn_graph.build_graph(people.vectors, min_similarity=cosine)
    first = np.repeat(_places(len(people.person)), graph.neighbours.shape[1])
    second = graph.neighbours.ravel()
    first, second = first[second >= 0], second[second >= 0]
    either = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort(either[::-1])
    first, second = either[0][order], either[1][order]
    begins = np.searchsorted(first, np.arange(len(people.person) + 1))
    weight = _weights(people, first, second)
    labels, rng = np.arange(len(people.person)), np.random.default_rng(1)
    for _ in range(ITERATIONS):
        before = labels.copy()
        for face in rng.permutation(len(labels)).tolist():
            edges = slice(begins[face], begins[face + 1])
            if edges.stop > edges.start:
                heard, whose = np.unique(labels[second[edges]], return_inverse=True)
                labels[face] = heard[np.bincount(whose, weight[edges]).argmax()]
        if np.mean(labels != before) < SETTLED:
            break
    return labels


def _weights(people: People, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    weight = np.empty(len(first), np.float32)
    for start in range(0, len(first), 65_536):
        part = slice(start, start + 65_536)
        one, two = people.vectors[first[part]], people.vectors[second[part]]
        weight[part] = np.einsum("ij,ij->i", one, two)
    return weight


CONTENDERS: dict[str, Callable[[People, float], Labels]] = {
    OURS: ours,
    DBSCAN: dbscan,
    HDBSCAN: hdbscan,
    WHISPERS: whispers,
}


def grown(people: People, labels: Labels) -> tuple[float, Labels]:
    """Seconds for the last ADDED faces, once the others have their numbers; all numbers."""
    faces = len(people.person)
    thresholds = merge_thresholds.estimate_thresholds(people.vectors[: faces - ADDED], THRESHOLD)
    known = np.concatenate([labels, np.full(ADDED, constrained_clustering.ALONE)])
    started = time.perf_counter()
    graph = knn_graph.build_graph_of(people.vectors, _places(faces)[-ADDED:])
    found = constrained_clustering.grow_clusters(
        people.vectors, graph, _constraints(people), thresholds, labels=known
    )
    return time.perf_counter() - started, found


def peak_megabytes() -> float:
    """The most memory that this process ever had, libraries and vectors included: Linux only."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) * 1.024e-3
    return 0.0


def main() -> None:
    """Cluster, save the numbers, say what it took."""
    name, folder, faces, option = sys.argv[1:]
    people = cluster_people.load(Path(folder), int(faces))
    started = time.perf_counter()
    labels = CONTENDERS[name](people, float(option))
    said = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time()}
    said["peak_mb"] = peak_megabytes()
    np.save(Path(folder) / "labels.npy", labels)
    if name == OURS:
        more = cluster_people.load(Path(folder), int(faces) + ADDED)
        said["added_s"], labels = grown(more, labels)
        np.save(Path(folder) / "grown.npy", labels)
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
