"""Faces into people: vectors, a graph of neighbours and constraints → a number for each face.

Merging is cautious, because two people in one cluster are harder to repair than one person in two.
Faces of good quality are merged by average linkage (`average_linkage.py`). Faces of low quality only
join existing clusters and never link two of them, like the first and the second pass of "Recognizing
People in Photos Through Private On-Device Machine Learning" (Apple, 2021).

`merge_thresholds.py` says how similar two clusters have to be. The result depends on the faces only,
never on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import FloatArray, IdArray
from . import average_linkage
from .average_linkage import BoolArray, Clusters, Positions
from .merge_thresholds import Thresholds, compute_required, compute_required_of_low

ALONE = -1
"""The number of a face that has neither a known person nor a cluster."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The pairs of faces that may be similar: the nearest neighbours of some faces, or of all.

    faces: positions (m,). neighbours: positions of the nearest of each (m, k), in any order, -1 for none.
    """

    faces: Positions
    neighbours: Positions


@dataclass(frozen=True, slots=True)
class Constraints:
    """What is known of each face; n faces at positions 0..n-1.

    photo: (n,), two faces of one photo are two people, unless both are pinned to the same person.
    key: (n,), a number of the face that does not depend on rows, such as its rank by content hash and
    box; it breaks ties. pinned: (n,), the person that the user put the face in, from 0 on, -1 for
    none. cannot_link: (p, 2), pairs of positions that are never one person. cannot_link_people:
    (p, 2), a position and a person that it never belongs to; people without a pinned face have no
    effect. bridging: (n,), False for a face of low quality, which joins a cluster but never links two.
    """

    photo: IdArray
    key: IdArray
    pinned: IdArray
    cannot_link: IdArray
    cannot_link_people: IdArray
    bridging: BoolArray


def constrain_by_photo(photo: npt.ArrayLike, key: npt.ArrayLike | None = None) -> Constraints:
    """Constraints that only state the photo (n,) of each face."""
    photo = np.asarray(photo, np.int64)
    n = len(photo)
    none = np.empty((0, 2), np.int64)
    keys = np.arange(n) if key is None else np.asarray(key, np.int64)
    return Constraints(photo, keys, np.full(n, -1), none, none, np.ones(n, bool))


def cluster_faces(
    vectors: FloatArray, graph: Graph, constraints: Constraints, thresholds: Thresholds
) -> IdArray:
    """Group faces into people: a number for each face (n,).

    vectors: unit length (n, dimensions). A pinned face, and every face that joins it, has its person's
    number; other clusters are numbered after the largest person that is mentioned; a face by itself is
    ALONE. Where constraints contradict each other, pinned faces stay.
    """
    settled = np.zeros(len(vectors), bool)
    known = KnownPeople(constraints.pinned, settled)
    return _number_faces(vectors, graph, constraints, thresholds, known=known)


def grow_clusters(
    vectors: FloatArray,
    graph: Graph,
    constraints: Constraints,
    thresholds: Thresholds,
    *,
    labels: IdArray,
) -> IdArray:
    """Assign new faces to clusters, or form new clusters of them, and leave the others as they are.

    graph: the neighbours of the new faces, which are its `faces`. labels: the numbers of all faces
    (n,); those of new faces are ignored, except where they are pinned. A face that was alone may join
    a new one, and a face that a decision removed from its cluster is alone. It is enough to give the
    new faces, their neighbours, and all faces of the neighbours' clusters: no others are looked at.
    thresholds: still those of the whole library.
    """
    known = np.array(labels, np.int64)
    known[graph.faces] = ALONE
    known[_find_evicted(constraints, known)] = ALONE
    settled = known >= 0
    known = np.where(constraints.pinned >= 0, constraints.pinned, known)
    people = KnownPeople(known, settled)
    return _number_faces(vectors, graph, constraints, thresholds, known=people)


def _find_evicted(constraints: Constraints, known: IdArray) -> BoolArray:
    """Faces that are not pinned, in clusters where decisions made since no longer allow them (n,)."""
    free = (constraints.pinned < 0) & (known >= 0)
    placed = constraints.pinned >= 0
    number = np.where(placed, constraints.pinned, known)
    photo_and_number = np.stack([constraints.photo, number])
    evicted = free & _are_columns_in(photo_and_number, photo_and_number[:, placed])
    face, person = constraints.cannot_link_people.T
    evicted[face[known[face] == person]] = True
    one, two = constraints.cannot_link.T
    together = (number[one] == number[two]) & (number[one] >= 0) & (one != two)
    one, two = one[together], two[together]
    later = np.where(constraints.key[one] > constraints.key[two], one, two)
    evicted[np.where(placed[one], two, np.where(placed[two], one, later))] = True
    return evicted & free


def _are_columns_in(columns: IdArray, others: IdArray) -> BoolArray:
    """Which columns (2, n) are among others (2, m)."""
    _, number = np.unique(np.concatenate([columns, others], axis=1), axis=1, return_inverse=True)
    found: BoolArray = np.isin(number[: columns.shape[1]], number[columns.shape[1] :])
    return found


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """The person that each face has already, -1 for none (n,), and whether it is settled (n,).

    Settled faces of a person are one cluster from the start, however different they are.
    """

    number: IdArray
    settled: BoolArray


def _number_faces(
    vectors: FloatArray,
    graph: Graph,
    constraints: Constraints,
    thresholds: Thresholds,
    *,
    known: KnownPeople,
) -> IdArray:
    """The number of each face (n,), computed in the order of the keys."""
    if not len(vectors):
        return np.empty(0, np.int64)
    order = np.argsort(constraints.key, kind="stable")
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order))
    clusters, good, people = _start(vectors, order, constraints, known)
    _add_cannot_links(clusters, constraints, position, people)
    average_linkage.merge_same_people(clusters, np.flatnonzero(known.settled[order] & good))
    _merge(clusters, _edges(graph, position), good, thresholds)
    mentioned = constraints.cannot_link_people[:, 1].max(initial=ALONE)
    first_new = max(int(people.max()), int(mentioned), ALONE) + 1
    return _label_faces(clusters, people, first_new)[position]


def _start(
    vectors: FloatArray, order: IdArray, constraints: Constraints, known: KnownPeople
) -> tuple[Clusters, BoolArray, IdArray]:
    """Each face as a cluster of its own; which faces may attract others; the numbers of people."""
    n = len(order)
    people, person_of_face = np.unique(known.number[order], return_inverse=True)
    is_known = people[person_of_face] >= 0
    good = constraints.bridging[order].copy()
    has_good = np.zeros(len(people), bool)
    has_good[person_of_face[good]] = True
    good |= is_known & ~has_good[person_of_face]
    _, photo, count = np.unique(constraints.photo[order], return_inverse=True, return_counts=True)
    sharing = np.flatnonzero(count[photo] > 1)
    clusters = Clusters(
        sums=vectors[order].astype(np.float32, copy=False),
        weight=np.ones(n, np.float32),
        row=np.arange(n, dtype=np.int32),
        person=np.where(is_known, n + person_of_face, np.arange(n)),
        person_count=n + len(people),
        cannot_link=np.empty(0, np.int64),
        sharing_faces=sharing,
        sharing_photos=photo[sharing],
    )
    return clusters, good, people


def _add_cannot_links(
    clusters: Clusters, constraints: Constraints, position: Positions, people: IdArray
) -> None:
    """Keep apart the pairs of faces, and of a face and a person, that the constraints name."""
    pairs = position[constraints.cannot_link]
    clusters.add_cannot_link(clusters.person[pairs[:, 0]], clusters.person[pairs[:, 1]])
    face, number = constraints.cannot_link_people.T
    place = np.minimum(np.searchsorted(people, number), len(people) - 1)
    is_present = people[place] == number
    clusters.add_cannot_link(
        clusters.person[position[face[is_present]]], clusters.rows + place[is_present]
    )


def _edges(graph: Graph, position: Positions) -> tuple[Positions, Positions]:
    """All edges of the graph, as positions in the order of the keys."""
    first = np.repeat(position[graph.faces], graph.neighbours.shape[1])
    neighbours = graph.neighbours.ravel()
    return first[neighbours >= 0], position[neighbours[neighbours >= 0]]


def _merge(
    clusters: Clusters,
    edges: tuple[Positions, Positions],
    good: BoolArray,
    thresholds: Thresholds,
) -> None:
    """Merge good faces, attach those of low quality, then merge the low ones that are left."""

    def required(rows: Clusters, one: Positions, two: Positions) -> FloatArray:
        return compute_required(rows, thresholds, one, two)

    def required_of_low(rows: Clusters, one: Positions, two: Positions) -> FloatArray:
        return compute_required_of_low(rows, thresholds, one, two)

    def merge_among(chosen: BoolArray) -> None:
        both = chosen[first] & chosen[second]
        rows = clusters.row[first[both]], clusters.row[second[both]]
        average_linkage.merge_clusters(clusters, *rows, required)

    first, second = edges
    merge_among(good)
    low, other = _find_loose_ends(clusters, edges, good)
    average_linkage.attach_leaves(clusters, low, clusters.row[other], required_of_low)
    # Those that joined nothing better form people among themselves, and touch no others
    unattached = clusters.row == np.arange(clusters.rows)
    merge_among(~good & unattached & ~clusters.is_known(clusters.row))


def _find_loose_ends(
    clusters: Clusters, edges: tuple[Positions, Positions], good: BoolArray
) -> tuple[Positions, Positions]:
    """Pairs of a face of low quality without a known person, and a neighbour of good quality."""
    first, second = edges
    leaf = ~good & ~clusters.is_known(clusters.row)
    one, two = leaf[first] & good[second], leaf[second] & good[first]
    low = np.concatenate([first[one], second[two]])
    other = np.concatenate([second[one], first[two]])
    return low, other


def _label_faces(clusters: Clusters, people: IdArray, first_new: int) -> IdArray:
    """The number of each face: its person's, its cluster's (from `first_new` on), or ALONE."""
    n = clusters.rows
    person = clusters.person[clusters.row]
    is_known = person >= n
    labels = np.where(is_known, people[np.where(is_known, person - n, 0)], ALONE)
    alone = np.bincount(person, minlength=clusters.person_count)[person] == 1
    rest = np.flatnonzero(~is_known & ~alone)
    rows, begins, inverse = np.unique(person[rest], return_index=True, return_inverse=True)
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(begins)] = np.arange(len(rows))
    labels[rest] = first_new + rank[inverse]
    return labels
