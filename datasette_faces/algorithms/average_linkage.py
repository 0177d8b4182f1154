"""Average linkage on a graph, under constraints: clusters merge in rounds of array operations.

The similarity of two clusters is the mean cosine of all pairs of their faces: the dot product of their
vector sums, divided by their sizes. So it is exact whatever the graph leaves out; the graph only decides
which pairs are looked at. In each round every cluster picks its best neighbour, and mutual choices merge.
For average linkage this gives the same result as merging the best pair one after another (Murtagh,
"A survey of recent advances in hierarchical clustering algorithms", 1983). In addition, a cluster that
picks one many times its size joins it at once, which hardly changes the larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import FloatArray, IdArray

BoolArray = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int32]

ABSORBING_RATIO = 4
"""A cluster of at least this many times the weight absorbs any smaller one that picks it."""
BLOCK_VALUES = 2**23
"""Vectors are gathered in blocks of this many values: 32 MB."""
RequiredSimilarity = Callable[["Clusters", Positions, Positions], FloatArray]
"""The mean similarity that each pair of rows needs to merge: (m,)."""


@dataclass
class Clusters:
    """Faces in clusters, one row for each cluster.

    sums: of the unit vectors (rows, dimensions). weight: the number of faces (rows,). row: the row of
    each face (faces,). person: the person of each row (rows,); rows of one person end up as one
    cluster, however different they are. A row without a known person is a person of its own, with the
    row's number; known people have the numbers from `rows` on. cannot_link: pairs of people who are
    never merged, as first * person_count + second, sorted. sharing_faces, sharing_photos: the faces
    that share a photo with others, and their photos.
    """

    sums: FloatArray
    weight: FloatArray
    row: Positions
    person: IdArray
    person_count: int
    cannot_link: IdArray
    sharing_faces: IdArray
    sharing_photos: IdArray

    @property
    def rows(self) -> int:
        return len(self.weight)

    def is_known(self, rows: Positions) -> BoolArray:
        """Which of these rows belong to a known person."""
        known: BoolArray = self.person[rows] >= self.rows
        return known

    def pair_keys(self, first: IdArray, second: IdArray) -> IdArray:
        """Each pair of people as one number, the same in either order."""
        keys: IdArray = np.minimum(first, second) * self.person_count + np.maximum(first, second)
        return keys

    def add_cannot_link(self, first: IdArray, second: IdArray) -> None:
        """Never merge these pairs of people."""
        different = first != second
        if different.any():
            keys = self.pair_keys(first[different], second[different])
            self.cannot_link = np.union1d(self.cannot_link, keys)

    def may_merge(self, first: Positions, second: Positions) -> BoolArray:
        """Which of these pairs of rows no constraint keeps apart."""
        one, two = self.person[first], self.person[second]
        free = ~(self.is_known(first) & self.is_known(second)) | (one == two)
        allowed: BoolArray = free & ~_is_in_sorted(self.pair_keys(one, two), self.cannot_link)
        return allowed

    def mean_similarities(self, first: Positions, second: Positions) -> FloatArray:
        """The mean similarity of all pairs of faces of two rows, for each pair of rows."""
        means = np.empty(len(first), np.float32)
        step = max(1, BLOCK_VALUES // self.sums.shape[1])
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            one, two = self.sums[first[part]], self.sums[second[part]]
            means[part] = np.einsum("ij,ij->i", one, two)
        return means / (self.weight[first] * self.weight[second])


@dataclass(frozen=True)
class Edges:
    """Distinct pairs of rows, first < second; score: their similarity as a share of what they need."""

    first: Positions
    second: Positions
    score: FloatArray

    def __len__(self) -> int:
        return len(self.first)

    def where(self, chosen: BoolArray) -> Edges:
        """The edges that a mask selects."""
        return Edges(self.first[chosen], self.second[chosen], self.score[chosen])


@dataclass(frozen=True)
class Joins:
    """The work of one round, best first: each leaf (m,) joins its hub (m,)."""

    leaves: Positions
    hubs: Positions

    def where(self, chosen: BoolArray) -> Joins:
        """The joins that a mask selects."""
        return Joins(self.leaves[chosen], self.hubs[chosen])


def merge_clusters(
    clusters: Clusters, first: Positions, second: Positions, required: RequiredSimilarity
) -> None:
    """Merge rows along these pairs of neighbours until no pair is similar enough."""
    edges = _score_edges(clusters, *_distinct_pairs(first, second, clusters.rows), required)
    while True:
        wanted = _choose_joins(clusters, edges)
        if not len(wanted.leaves):
            return
        joins, refused = _split_by_constraints(clusters, wanted)
        if not len(joins.leaves) and not len(refused.leaves):
            return  # all wait for each other: another round would change nothing
        edges = _drop_refused(clusters, edges, refused)
        _add_sums(clusters, joins)
        moved = _move_faces(clusters, joins)
        edges = _contract_edges(clusters, edges, moved, required)


def merge_same_people(clusters: Clusters, rows: IdArray) -> None:
    """Merge those of these rows that belong to the same person."""
    if not len(rows):
        return
    _, first, inverse = np.unique(clusters.person[rows], return_index=True, return_inverse=True)
    hubs = rows[first[inverse]]
    later = rows != hubs
    joins = Joins(rows[later].astype(np.int32), hubs[later].astype(np.int32))
    _add_sums(clusters, joins)
    _move_faces(clusters, joins)


def attach_leaves(
    clusters: Clusters, leaves: Positions, hubs: Positions, required: RequiredSimilarity
) -> None:
    """Let each leaf join its best hub, without changing the hub's mean vector.

    leaves, hubs: pairs of neighbours (m,); a row that is a leaf is never a hub.
    """
    keys = np.unique(leaves.astype(np.int64) * clusters.rows + hubs)
    leaves, hubs = (keys // clusters.rows).astype(np.int32), (keys % clusters.rows).astype(np.int32)
    score = clusters.mean_similarities(leaves, hubs) / required(clusters, leaves, hubs)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= 1]
    pairs = Joins(leaves[order], hubs[order])
    while len(pairs.leaves):
        pairs = pairs.where(clusters.may_merge(pairs.leaves, pairs.hubs))
        best = np.zeros(len(pairs.leaves), bool)
        best[np.unique(pairs.leaves, return_index=True)[1]] = True
        joins, refused = _split_by_constraints(clusters, pairs.where(best))
        clusters.add_cannot_link(clusters.person[refused.leaves], clusters.person[refused.hubs])
        _move_faces(clusters, joins)
        pairs = pairs.where(~np.isin(pairs.leaves, joins.leaves))


def _score_edges(
    clusters: Clusters, first: Positions, second: Positions, required: RequiredSimilarity
) -> Edges:
    free = clusters.may_merge(first, second)
    first, second = first[free], second[free]
    score = clusters.mean_similarities(first, second) / required(clusters, first, second)
    return Edges(first, second, score.astype(np.float32))


def _distinct_pairs(first: Positions, second: Positions, rows: int) -> tuple[Positions, Positions]:
    """Each pair of two different rows once, the lower one first."""
    keys = np.minimum(first, second).astype(np.int64)
    keys *= rows
    keys += np.maximum(first, second)
    keys.sort()  # in place: at a million faces the keys take the most memory
    distinct = np.ones(len(keys), bool)
    distinct[1:] = keys[1:] != keys[:-1]
    distinct &= keys // rows != keys % rows
    keys = keys[distinct]
    return (keys // rows).astype(np.int32), (keys % rows).astype(np.int32)


def _choose_joins(clusters: Clusters, edges: Edges) -> Joins:
    """Each row that joins its best neighbour in this round."""
    good = edges.where(edges.score >= 1)
    order = np.lexsort((-good.second, -good.first, good.score))
    rank = np.full(clusters.rows, -1)
    ordered = good.first[order], good.second[order]
    positions = np.arange(len(order))
    rank[ordered[0]] = positions  # the last assignment wins: the best
    by_second = np.full(clusters.rows, -1)
    by_second[ordered[1]] = positions
    np.maximum(rank, by_second, out=rank)
    rows = np.flatnonzero(rank >= 0).astype(np.int32)
    best = rank[rows]
    other = np.where(ordered[0][best] == rows, ordered[1][best], ordered[0][best]).astype(np.int32)
    joins = _assign_roles(clusters, rows, other, rank[other] == best)
    descending = np.argsort(-rank[joins.leaves], kind="stable")
    return Joins(joins.leaves[descending], joins.hubs[descending])


def _assign_roles(
    clusters: Clusters, rows: Positions, other: Positions, mutual: BoolArray
) -> Joins:
    """The leaf of each pair is the row without a known person, or the lighter one."""
    weight, known = clusters.weight, clusters.is_known(rows)
    heavier = (weight[other] > weight[rows]) | ((weight[other] == weight[rows]) & (other < rows))
    one_known = known != clusters.is_known(other)
    lighter = np.where(one_known, ~known, heavier)
    may_leave = ~known | (clusters.person[rows] == clusters.person[other])
    large = weight[other] >= ABSORBING_RATIO * weight[rows]
    leaves = (mutual & lighter) | (~mutual & may_leave & large)
    leaving = np.zeros(clusters.rows, bool)
    leaving[rows[leaves]] = True
    leaves &= ~leaving[other]
    return Joins(rows[leaves], other[leaves])


def _split_by_constraints(clusters: Clusters, wanted: Joins) -> tuple[Joins, Joins]:
    """The joins that are allowed now, and those that never are; the rest may be allowed later."""
    never, later = _find_photo_conflicts(clusters, wanted)
    # Since the edge was scored, a person of several rows may have got a cannot-link to the other
    never |= ~clusters.may_merge(wanted.leaves, wanted.hubs)
    later |= _find_cannot_link_conflicts(clusters, wanted)
    return wanted.where(~never & ~later), wanted.where(never)


def _find_photo_conflicts(clusters: Clusters, wanted: Joins) -> tuple[BoolArray, BoolArray]:
    """Joins that would put two faces of one photo together.

    First those that conflict with a face already in the hub's person (never allowed), then those
    that conflict with a better join of this round (later).
    """
    joining = np.full(clusters.rows, -1)
    new = clusters.person[wanted.leaves] != clusters.person[wanted.hubs]
    joining[wanted.leaves[new]] = np.flatnonzero(new)
    target = clusters.person.copy()
    target[wanted.leaves] = clusters.person[wanted.hubs]
    receiving = np.zeros(clusters.person_count, bool)
    receiving[target[wanted.leaves[new]]] = True
    row = clusters.row[clusters.sharing_faces]
    concerned = receiving[target[row]]
    row, photo = row[concerned], clusters.sharing_photos[concerned]
    turn, person = joining[row], target[row]
    order = np.lexsort((turn, photo, person))
    turn, photo, person = turn[order], photo[order], person[order]
    begins = np.ones(len(turn), bool)
    begins[1:] = (photo[1:] != photo[:-1]) | (person[1:] != person[:-1])
    first = turn[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(turn) else turn
    late = ~begins & (turn != first) & (turn >= 0)
    never, later = np.zeros(len(wanted.leaves), bool), np.zeros(len(wanted.leaves), bool)
    never[turn[late & (first < 0)]] = True
    later[turn[late & (first >= 0)]] = True
    return never, later & ~never


def _find_cannot_link_conflicts(clusters: Clusters, wanted: Joins) -> BoolArray:
    """Joins to a hub that a better join of this round reaches first with a cannot-link to them."""
    later = np.zeros(len(wanted.leaves), bool)
    if not len(clusters.cannot_link):
        return later
    turn = np.full(clusters.person_count, -1)
    turn[clusters.person[wanted.leaves]] = np.arange(len(wanted.leaves))
    target = np.arange(clusters.person_count)
    target[clusters.person[wanted.leaves]] = clusters.person[wanted.hubs]
    one, two = np.divmod(clusters.cannot_link, clusters.person_count)
    meet = target[one] == target[two]
    later[np.maximum(turn[one[meet]], turn[two[meet]])] = True
    return later


def _drop_refused(clusters: Clusters, edges: Edges, refused: Joins) -> Edges:
    """The edges that are left when these joins are forbidden for good."""
    if not len(refused.leaves):
        return edges
    clusters.add_cannot_link(clusters.person[refused.leaves], clusters.person[refused.hubs])
    concerned = np.zeros(clusters.rows, bool)
    concerned[refused.leaves] = True
    either = concerned[edges.first] | concerned[edges.second]
    keep = np.ones(len(edges), bool)
    keep[either] = clusters.may_merge(edges.first[either], edges.second[either])
    return edges.where(keep)


def _add_sums(clusters: Clusters, joins: Joins) -> None:
    """Add the sums and weights of leaves to their hubs, always in the same order."""
    order = np.lexsort((joins.leaves, joins.hubs))
    leaves, hubs = joins.leaves[order], joins.hubs[order]
    step = max(1, BLOCK_VALUES // clusters.sums.shape[1])
    for start in range(0, len(hubs), step):
        part = slice(start, start + step)
        into, begins = np.unique(hubs[part], return_index=True)
        clusters.sums[into] += np.add.reduceat(clusters.sums[leaves[part]], begins, axis=0)
        clusters.weight[into] += np.add.reduceat(clusters.weight[leaves[part]], begins)


def _move_faces(clusters: Clusters, joins: Joins) -> Positions:
    """Move faces and cannot-links from leaves to hubs; returns the new row of each row (rows,)."""
    moved = np.arange(clusters.rows, dtype=np.int32)
    moved[joins.leaves] = joins.hubs
    clusters.row = moved[clusters.row]
    if len(clusters.cannot_link):
        target = np.arange(clusters.person_count)
        target[clusters.person[joins.leaves]] = clusters.person[joins.hubs]
        one, two = np.divmod(clusters.cannot_link, clusters.person_count)
        clusters.cannot_link = np.unique(clusters.pair_keys(target[one], target[two]))
    return moved


def _contract_edges(
    clusters: Clusters, edges: Edges, moved: Positions, required: RequiredSimilarity
) -> Edges:
    """The edges between the merged rows; only those of a row that changed are scored again."""
    changed = moved != np.arange(clusters.rows)
    changed[moved[changed]] = True
    stale = changed[edges.first] | changed[edges.second]
    first, second = moved[edges.first[stale]], moved[edges.second[stale]]
    fresh = _score_edges(clusters, *_distinct_pairs(first, second, clusters.rows), required)
    old = edges.where(~stale)
    return Edges(
        np.concatenate([old.first, fresh.first]),
        np.concatenate([old.second, fresh.second]),
        np.concatenate([old.score, fresh.score]),
    )


def _is_in_sorted(keys: IdArray, known: IdArray) -> BoolArray:
    """Which keys are among known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    positions = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: BoolArray = known[positions] == keys
    return found
