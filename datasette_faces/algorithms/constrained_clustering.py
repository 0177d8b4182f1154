"""Faces into people: vectors, a graph of neighbours and constraints -> a number for each face.

The machine proposes: it is careful where it joins, because two people in one cluster are harder to mend
than one person in two. Faces of good quality are merged by average linkage (`merging.py`); those of low
quality only join what is there, and join nothing together, as the first and the second pass in
"Recognizing People in Photos Through Private On-Device Machine Learning" (Apple, 2021).

How similar two clusters have to be is the largest of three:

- the model's threshold;
- what two strangers reach by chance. Among a million faces everybody has a double: the more faces there
  are, the more two single ones have to resemble each other, but not two clusters, whose noise is gone;
- a share of how similar the faces within each of them are to each other: siblings are alike, but less
  than each is like themselves.

All of this depends on who the faces are, never on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ..shapes import FloatArray, IdArray
from . import average_linkage
from .average_linkage import BoolArray, Clusters, Places

ALONE = -1
"""The number of a face that belongs to nobody: neither to a person with a name nor to a cluster."""

LIKENESS = 0.8
"""Two clusters' mean similarity, of the mean one within them: 1 for one person, 0.75 for look-alikes at
0.45 whose own faces are at 0.6: bench/cluster.py."""
USUAL_WITHIN = 1.4
"""How similar a person's faces are where too few tell, in thresholds; SFace: 0.51, of real faces the 1 %
that is least similar."""
MOST_WITHIN = 1.8
"""A burst of one moment is more alike than a person is; SFace: 0.65."""
CHANCE_DOUBLES = 0.05
"""So many strangers for each face may be as similar as two single faces have to be."""
MOST_FOR_PAIRS = 1.5
"""Two single faces never have to be more similar than so many thresholds."""
SAMPLE = 4_096
LOW, MIDDLE = 0.1, 0.3
"""Quantiles of the similarities of random pairs below which all are strangers, even in a small family."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Who may be similar to whom: the nearest neighbours of some faces, or of all.

    faces: positions (m,). neighbours: positions of the nearest of each (m, k), in any order, -1 for none.
    """

    faces: Places
    neighbours: Places


@dataclass(frozen=True, slots=True)
class Constraints:
    """What is known of each face; n faces at positions 0..n-1.

    photo: (n,), two faces of one photo are two people, unless both are pinned to the same person.
    key: (n,), a number of the face's own that does not depend on rows, such as its rank by content hash and
    box; what is equally good is settled by it. pinned: (n,), the person in whom somebody placed the
    face, from 0 on, -1 for none. apart: (p, 2) positions that are never one person. apart_people:
    (p, 2), a position and a person whom it is never; people without a pinned face have no effect.
    bridging: (n,), False for a face of low quality, which joins but never joins two together.
    """

    photo: IdArray
    key: IdArray
    pinned: IdArray
    apart: IdArray
    apart_people: IdArray
    bridging: BoolArray


@dataclass(frozen=True, slots=True)
class Bar:
    """How similar faces have to be; cosine similarities.

    threshold: the model's own. strangers: what two strangers have on average. pair: what two single
    faces need in a library of this size.
    """

    threshold: float
    strangers: float
    pair: float


def free(photo: npt.ArrayLike, key: npt.ArrayLike | None = None) -> Constraints:
    """Constraints that say no more than which photo (n,) each face is in."""
    photo = np.asarray(photo, np.int64)
    n = len(photo)
    none = np.empty((0, 2), np.int64)
    keys = np.arange(n) if key is None else np.asarray(key, np.int64)
    return Constraints(photo, keys, np.full(n, -1), none, none, np.ones(n, bool))


def bar(vectors: FloatArray, threshold: float, *, faces: int | None = None) -> Bar:
    """The bar for a library: the model's threshold, and what strangers in it reach by chance.

    vectors: unit length, all or a fair sample of the library's (n, dimensions). faces: how many the
    library holds, n where it is not said. Nearly all pairs in a library are of two people; how these
    are spread is read off the lower part of the distribution, where nothing else is.
    """
    n = faces or len(vectors)
    if len(vectors) < 2:
        return Bar(threshold, 0.0, threshold)
    every = max(1, -(-len(vectors) // SAMPLE))
    sample = np.asarray(vectors[::every], np.float32)
    similarities = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    low, middle = np.quantile(similarities, (LOW, MIDDLE))
    normal = NormalDist()
    places = normal.inv_cdf(LOW), normal.inv_cdf(MIDDLE)
    deviation = float(middle - low) / (places[1] - places[0])
    mean = min(float(middle) - places[1] * deviation, threshold / 2)
    pair = mean - normal.inv_cdf(min(CHANCE_DOUBLES / n, 0.5)) * deviation
    return Bar(threshold, mean, min(max(pair, threshold), _times(MOST_FOR_PAIRS, threshold)))


def _times(factor: float, threshold: float) -> float:
    """So many thresholds; of a high one no more than half the way from it to 1."""
    return min(factor * threshold, (1 + threshold) / 2)


def cluster(vectors: FloatArray, graph: Graph, constraints: Constraints, bar: Bar) -> IdArray:
    """Group faces into people: a number for each face (n,).

    vectors: unit length (n, dimensions). A pinned face, and who joins it, carries its person's number;
    other clusters are numbered behind the largest person that is mentioned; a face by itself is ALONE.
    Where constraints contradict each other, what is pinned stays.
    """
    settled = np.zeros(len(vectors), bool)
    return _numbers(vectors, graph, constraints, bar, People(constraints.pinned, settled))


def grow(
    vectors: FloatArray, graph: Graph, constraints: Constraints, bar: Bar, *, labels: IdArray
) -> IdArray:
    """Give new faces a cluster, or form new ones of them, and leave the others as they are.

    graph: the neighbours of the new faces, which are its `faces`. labels: the numbers of all faces (n,);
    those of the new ones do not count, but for where they are pinned. A face that was alone may
    come to a new one, and one that a decision has driven out of its cluster is alone. It is enough
    to give the new faces, their neighbours, and all faces of the clusters of these: nothing else is
    looked at. `bar` is still that of the library.
    """
    known = np.array(labels, np.int64)
    known[graph.faces] = ALONE
    known[_driven_out(constraints, known)] = ALONE
    settled = known >= 0
    known = np.where(constraints.pinned >= 0, constraints.pinned, known)
    return _numbers(vectors, graph, constraints, bar, People(known, settled))


def _driven_out(constraints: Constraints, known: IdArray) -> BoolArray:
    """Faces that nobody placed, in clusters where by now they are not to be (n,)."""
    free = (constraints.pinned < 0) & (known >= 0)
    placed = constraints.pinned >= 0
    number = np.where(placed, constraints.pinned, known)
    at = np.stack([constraints.photo, number])
    out = free & _in_columns(at, at[:, placed])
    face, person = constraints.apart_people.T
    out[face[known[face] == person]] = True
    one, two = constraints.apart.T
    met = (number[one] == number[two]) & (number[one] >= 0) & (one != two)
    one, two = one[met], two[met]
    later = np.where(constraints.key[one] > constraints.key[two], one, two)
    out[np.where(placed[one], two, np.where(placed[two], one, later))] = True
    return out & free


def _in_columns(columns: IdArray, among: IdArray) -> BoolArray:
    """Which columns (2, n) are among others (2, m)."""
    _, number = np.unique(np.concatenate([columns, among], axis=1), axis=1, return_inverse=True)
    found: BoolArray = np.isin(number[: columns.shape[1]], number[columns.shape[1] :])
    return found


@dataclass(frozen=True, slots=True)
class People:
    """Whose each face is already, -1 for nobody's (n,), and whether that is old news (n,).

    What is settled is one cluster from the start, however different its faces are.
    """

    number: IdArray
    settled: BoolArray


def _numbers(
    vectors: FloatArray, graph: Graph, constraints: Constraints, bar: Bar, known: People
) -> IdArray:
    """The number of each face, worked out in the order of the keys."""
    if not len(vectors):
        return np.empty(0, np.int64)
    order = np.argsort(constraints.key, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    clusters, good, people = _start(vectors[order], order, place, constraints, known)
    first, second = _pairs(graph, place)

    def needs(rows: Clusters, one: Places, two: Places) -> FloatArray:
        return _needs(rows, bar, one, two)

    def needs_of_low(rows: Clusters, one: Places, two: Places) -> FloatArray:
        return _needs_of_low(rows, bar, one, two)

    both = good[first] & good[second]
    average_linkage.merge(
        clusters, clusters.cluster[first[both]], clusters.cluster[second[both]], needs
    )
    low, other = _loose_ends(clusters, first, second, good)
    average_linkage.attach(clusters, low, clusters.cluster[other], needs_of_low)
    # Where there is nothing better, they are people among themselves, and touch nobody else
    rest = ~good & (clusters.cluster == np.arange(len(order))) & ~clusters.named(clusters.cluster)
    left = rest[first] & rest[second]
    average_linkage.merge(
        clusters, clusters.cluster[first[left]], clusters.cluster[second[left]], needs
    )
    behind = (
        max(int(people.max()), int(constraints.apart_people[:, 1].max(initial=ALONE)), ALONE) + 1
    )
    return _labels(clusters, people, behind)[place]


def _start(
    vectors: FloatArray, order: IdArray, place: Places, constraints: Constraints, known: People
) -> tuple[Clusters, BoolArray, IdArray]:
    """Each face a cluster of its own; which of them may attract others; the numbers of people."""
    n = len(order)
    people, whose = np.unique(known.number[order], return_inverse=True)
    named = people[whose] >= 0
    person = np.where(named, n + whose, np.arange(n))
    good = constraints.bridging[order].copy()
    has_good = np.zeros(len(people), bool)
    has_good[whose[good]] = True
    good |= named & ~has_good[whose]
    _, photo, count = np.unique(constraints.photo[order], return_inverse=True, return_counts=True)
    crowded = np.flatnonzero(count[photo] > 1)
    clusters = Clusters(
        sums=vectors.astype(np.float32, copy=False),
        weight=np.ones(n, np.float32),
        cluster=np.arange(n, dtype=np.int32),
        person=person,
        persons=n + len(people),
        apart=np.empty(0, np.int64),
        crowded=crowded,
        photo=photo[crowded],
    )
    apart = place[constraints.apart]
    clusters.keep_apart(person[apart[:, 0]], person[apart[:, 1]])
    face, who = constraints.apart_people.T
    at = np.minimum(np.searchsorted(people, who), len(people) - 1)
    is_known = people[at] == who
    clusters.keep_apart(person[place[face[is_known]]], n + at[is_known])
    average_linkage.settle(clusters, np.flatnonzero(known.settled[order] & good))
    return clusters, good, people


def _pairs(graph: Graph, place: Places) -> tuple[Places, Places]:
    """All edges of the graph, by places in the order of the keys."""
    first = np.repeat(place[graph.faces], graph.neighbours.shape[1])
    neighbours = graph.neighbours.ravel()
    return first[neighbours >= 0], place[neighbours[neighbours >= 0]]


def _loose_ends(
    clusters: Clusters, first: Places, second: Places, good: BoolArray
) -> tuple[Places, Places]:
    """Pairs of a face of low quality that nobody placed, and a neighbour that is not one."""
    leaf = ~good & ~clusters.named(clusters.cluster)
    one, two = leaf[first] & good[second], leaf[second] & good[first]
    low = np.concatenate([first[one], second[two]])
    other = np.concatenate([second[one], first[two]])
    return low, other


def _needs(clusters: Clusters, bar: Bar, one: Places, two: Places) -> FloatArray:
    """How similar two clusters have to be on average to be one person, for each pair of rows."""
    within, spread = _looks(clusters, bar)
    chance = bar.strangers + (bar.pair - bar.strangers) * spread[one] * spread[two]
    alike = LIKENESS * within[one] * within[two]
    needs: FloatArray = np.maximum(np.maximum(chance, alike), np.float32(bar.threshold))
    return needs


def _needs_of_low(clusters: Clusters, bar: Bar, one: Places, two: Places) -> FloatArray:
    """What a face of low quality needs to join a cluster: so much that its mean face is no stranger.

    It resembles every face of its person less, but no less surely; and it goes to the best cluster.
    """
    _, spread = _looks(clusters, bar)
    needs: FloatArray = np.float32(bar.pair) * spread[one] * spread[two]
    return needs


def _looks(clusters: Clusters, bar: Bar) -> tuple[FloatArray, FloatArray]:
    """Of each row: the root of the similarity within it, and the length of its mean vector."""
    weight = clusters.weight
    square = np.einsum("ij,ij->i", clusters.sums, clusters.sums)
    twice_pairs = weight * (weight - 1)
    usual = 2 * _times(USUAL_WITHIN, bar.threshold)
    # The usual one counts as one pair of faces
    within = (square - weight + usual) / (twice_pairs + 2)
    root = np.sqrt(np.clip(within, 0, _times(MOST_WITHIN, bar.threshold)))
    return root.astype(np.float32), (np.sqrt(square) / weight).astype(np.float32)


def _labels(clusters: Clusters, people: IdArray, behind: int) -> IdArray:
    """The number of each face: its person's, or its cluster's, which begin there, or ALONE."""
    n = clusters.rows
    person = clusters.person[clusters.cluster]
    named = person >= n
    labels = np.where(named, people[np.where(named, person - n, 0)], ALONE)
    alone = np.bincount(person, minlength=clusters.persons)[person] == 1
    rest = np.flatnonzero(~named & ~alone)
    rows, begins, inverse = np.unique(person[rest], return_index=True, return_inverse=True)
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(begins)] = np.arange(len(rows))
    labels[rest] = behind + rank[inverse]
    return labels
