"""Clusters that grow by merging under constraints: average linkage on a graph, in rounds of arrays.

Two clusters are as similar as the mean cosine of all pairs of their faces. That is the dot product of
their sums of vectors, divided by their sizes, so it is exact whatever the graph left out; the graph only
says which pairs are looked at. In each round every cluster looks for its best neighbour, and those that
choose each other merge: for average linkage that gives what merging the best pair, one after another,
would give (Murtagh, "A survey of recent advances in hierarchical clustering algorithms", 1983).
Besides, a cluster that chooses one many times its size joins it at once, which hardly changes the
larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import FloatArray, IdArray

BoolArray = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int32]

MUCH_LARGER = 4
"""From so many times the weight on, a cluster takes in whichever smaller one has chosen it."""
BLOCK_VALUES = 2**23
"""Vectors are gathered in blocks of so many values: 32 MB."""
Needs = Callable[["Clusters", Places, Places], FloatArray]


@dataclass
class Clusters:
    """Faces in clusters, of which each is a row.

    sums: of the unit vectors (rows, dimensions), weight: faces in them (rows,). cluster: the row of each
    face (faces,). person: whom a row belongs to (rows,); rows of one person are one in the end, but
    need not be alike. A person that nobody named is the row itself; named ones are the numbers from
    `rows` on. apart: pairs of persons never to be one, as first * all + second, sorted.
    crowded, photo: the faces that share a photo with others, and the photo.
    """

    sums: FloatArray
    weight: FloatArray
    cluster: Places
    person: IdArray
    persons: int
    apart: IdArray
    crowded: IdArray
    photo: IdArray

    @property
    def rows(self) -> int:
        return len(self.weight)

    def named(self, rows: Places) -> BoolArray:
        """Which of these rows are of somebody with a name."""
        named: BoolArray = self.person[rows] >= self.rows
        return named

    def keys(self, first: IdArray, second: IdArray) -> IdArray:
        """Each pair of persons as one number, whichever comes first."""
        keys: IdArray = np.minimum(first, second) * self.persons + np.maximum(first, second)
        return keys

    def keep_apart(self, first: IdArray, second: IdArray) -> None:
        """Persons that are never to be one."""
        two = first != second
        if two.any():
            self.apart = np.union1d(self.apart, self.keys(first[two], second[two]))

    def may_meet(self, first: Places, second: Places) -> BoolArray:
        """Which of these pairs of rows no constraint keeps apart."""
        one, two = self.person[first], self.person[second]
        free = ~(self.named(first) & self.named(second)) | (one == two)
        met: BoolArray = free & ~_among(self.keys(one, two), self.apart)
        return met

    def means(self, first: Places, second: Places) -> FloatArray:
        """The mean similarity of all pairs of two rows' faces, for each pair of rows."""
        means = np.empty(len(first), np.float32)
        step = max(1, BLOCK_VALUES // self.sums.shape[1])
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            one, two = self.sums[first[part]], self.sums[second[part]]
            means[part] = np.einsum("ij,ij->i", one, two)
        return means / (self.weight[first] * self.weight[second])


@dataclass(frozen=True)
class Edges:
    """Pairs of rows, first < second, each once, with the share that they have of what they need."""

    first: Places
    second: Places
    score: FloatArray

    def __len__(self) -> int:
        return len(self.first)

    def where(self, chosen: BoolArray) -> Edges:
        """Some of them."""
        return Edges(self.first[chosen], self.second[chosen], self.score[chosen])


@dataclass(frozen=True)
class Joins:
    """What a round does: these rows join those, the best first. leaves: (m,), hubs: (m,)."""

    leaves: Places
    hubs: Places

    def where(self, chosen: BoolArray) -> Joins:
        """Some of them."""
        return Joins(self.leaves[chosen], self.hubs[chosen])


def merge(clusters: Clusters, first: Places, second: Places, needs: Needs) -> None:
    """Merge rows along these pairs of neighbours until none is left that is similar enough."""
    edges = _scored(clusters, *_each_once(first, second, clusters.rows), needs)
    while True:
        wanted = _chosen(clusters, edges)
        if not len(wanted.leaves):
            return
        joins, refused = _allowed(clusters, wanted)
        if not len(joins.leaves) and not len(refused.leaves):
            return  # all wait for each other: nothing would come of another round
        edges = _without(clusters, edges, refused)
        _absorb(clusters, joins)
        moved = _moved(clusters, joins)
        edges = _contracted(clusters, edges, moved, needs)


def settle(clusters: Clusters, rows: IdArray) -> None:
    """Make one row of those of these rows that are of one person."""
    if not len(rows):
        return
    _, first, inverse = np.unique(clusters.person[rows], return_index=True, return_inverse=True)
    hubs = rows[first[inverse]]
    later = rows != hubs
    joins = Joins(rows[later].astype(np.int32), hubs[later].astype(np.int32))
    _absorb(clusters, joins)
    _moved(clusters, joins)


def attach(clusters: Clusters, leaves: Places, hubs: Places, needs: Needs) -> None:
    """Have each of these rows join its best neighbour; what it joins does not become more like it.

    leaves, hubs: pairs of neighbours (m,); a row that is a leaf is nobody's hub.
    """
    keys = np.unique(leaves.astype(np.int64) * clusters.rows + hubs)
    leaves, hubs = (keys // clusters.rows).astype(np.int32), (keys % clusters.rows).astype(np.int32)
    score = clusters.means(leaves, hubs) / needs(clusters, leaves, hubs)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= 1]
    pairs = Joins(leaves[order], hubs[order])
    while len(pairs.leaves):
        pairs = pairs.where(clusters.may_meet(pairs.leaves, pairs.hubs))
        best = np.zeros(len(pairs.leaves), bool)
        best[np.unique(pairs.leaves, return_index=True)[1]] = True
        joins, refused = _allowed(clusters, pairs.where(best))
        clusters.keep_apart(clusters.person[refused.leaves], clusters.person[refused.hubs])
        _moved(clusters, joins)
        pairs = pairs.where(~np.isin(pairs.leaves, joins.leaves))


def _scored(clusters: Clusters, first: Places, second: Places, needs: Needs) -> Edges:
    free = clusters.may_meet(first, second)
    first, second = first[free], second[free]
    score = clusters.means(first, second) / needs(clusters, first, second)
    return Edges(first, second, score.astype(np.float32))


def _each_once(first: Places, second: Places, rows: int) -> tuple[Places, Places]:
    keys = np.minimum(first, second).astype(np.int64)
    keys *= rows
    keys += np.maximum(first, second)
    keys.sort()  # in place: at a million faces these are what takes most memory
    once = np.ones(len(keys), bool)
    once[1:] = keys[1:] != keys[:-1]
    once &= keys // rows != keys % rows
    keys = keys[once]
    return (keys // rows).astype(np.int32), (keys % rows).astype(np.int32)


def _chosen(clusters: Clusters, edges: Edges) -> Joins:
    """Each row that joins its best neighbour in this round."""
    good = edges.where(edges.score >= 1)
    order = np.lexsort((-good.second, -good.first, good.score))
    rank = np.full(clusters.rows, -1)
    ordered = good.first[order], good.second[order]
    places = np.arange(len(order))
    rank[ordered[0]] = places  # the last one stays: the best
    by_second = np.full(clusters.rows, -1)
    by_second[ordered[1]] = places
    np.maximum(rank, by_second, out=rank)
    rows = np.flatnonzero(rank >= 0).astype(np.int32)
    best = rank[rows]
    other = np.where(ordered[0][best] == rows, ordered[1][best], ordered[0][best]).astype(np.int32)
    joins = _roles(clusters, rows, other, rank[other] == best)
    descending = np.argsort(-rank[joins.leaves], kind="stable")
    return Joins(joins.leaves[descending], joins.hubs[descending])


def _roles(clusters: Clusters, rows: Places, other: Places, mutual: BoolArray) -> Joins:
    """Which row of each pair joins the other: the one without a name, or the lighter one."""
    weight, named = clusters.weight, clusters.named(rows)
    heavier = (weight[other] > weight[rows]) | ((weight[other] == weight[rows]) & (other < rows))
    one_named = named != clusters.named(other)
    lighter = np.where(one_named, ~named, heavier)
    may_leave = ~named | (clusters.person[rows] == clusters.person[other])
    large = weight[other] >= MUCH_LARGER * weight[rows]
    leaves = (mutual & lighter) | (~mutual & may_leave & large)
    leaving = np.zeros(clusters.rows, bool)
    leaving[rows[leaves]] = True
    leaves &= ~leaving[other]
    return Joins(rows[leaves], other[leaves])


def _allowed(clusters: Clusters, wanted: Joins) -> tuple[Joins, Joins]:
    """The joins that break no constraint, and those that never can; the others may another time."""
    never, later = _by_photo(clusters, wanted)
    # A person of several rows may by now be somebody from whom another was to stay apart
    never |= ~clusters.may_meet(wanted.leaves, wanted.hubs)
    later |= _by_rejection(clusters, wanted)
    return wanted.where(~never & ~later), wanted.where(never)


def _by_photo(clusters: Clusters, wanted: Joins) -> tuple[BoolArray, BoolArray]:
    """Joins that would put two faces of one photo together: with who is there, with who also comes."""
    coming = np.full(clusters.rows, -1)
    new = clusters.person[wanted.leaves] != clusters.person[wanted.hubs]
    coming[wanted.leaves[new]] = np.flatnonzero(new)
    target = clusters.person.copy()
    target[wanted.leaves] = clusters.person[wanted.hubs]
    waited_for = np.zeros(clusters.persons, bool)
    waited_for[target[wanted.leaves[new]]] = True
    row = clusters.cluster[clusters.crowded]
    concerned = waited_for[target[row]]
    row, photo = row[concerned], clusters.photo[concerned]
    turn, whose = coming[row], target[row]
    order = np.lexsort((turn, photo, whose))
    turn, photo, whose = turn[order], photo[order], whose[order]
    begins = np.ones(len(turn), bool)
    begins[1:] = (photo[1:] != photo[:-1]) | (whose[1:] != whose[:-1])
    first = turn[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(turn) else turn
    late = ~begins & (turn != first) & (turn >= 0)
    never, later = np.zeros(len(wanted.leaves), bool), np.zeros(len(wanted.leaves), bool)
    never[turn[late & (first < 0)]] = True
    later[turn[late & (first >= 0)]] = True
    return never, later & ~never


def _by_rejection(clusters: Clusters, wanted: Joins) -> BoolArray:
    """Joins to a hub to which another goes first from which they are to stay apart."""
    later = np.zeros(len(wanted.leaves), bool)
    if not len(clusters.apart):
        return later
    turn = np.full(clusters.persons, -1)
    turn[clusters.person[wanted.leaves]] = np.arange(len(wanted.leaves))
    target = np.arange(clusters.persons)
    target[clusters.person[wanted.leaves]] = clusters.person[wanted.hubs]
    one, two = np.divmod(clusters.apart, clusters.persons)
    meet = target[one] == target[two]
    later[np.maximum(turn[one[meet]], turn[two[meet]])] = True
    return later


def _without(clusters: Clusters, edges: Edges, refused: Joins) -> Edges:
    """The edges that are left once these can never merge."""
    if not len(refused.leaves):
        return edges
    clusters.keep_apart(clusters.person[refused.leaves], clusters.person[refused.hubs])
    concerned = np.zeros(clusters.rows, bool)
    concerned[refused.leaves] = True
    either = concerned[edges.first] | concerned[edges.second]
    keep = np.ones(len(edges), bool)
    keep[either] = clusters.may_meet(edges.first[either], edges.second[either])
    return edges.where(keep)


def _absorb(clusters: Clusters, joins: Joins) -> None:
    """Add what joins to the sums, always in the same order."""
    order = np.lexsort((joins.leaves, joins.hubs))
    leaves, hubs = joins.leaves[order], joins.hubs[order]
    step = max(1, BLOCK_VALUES // clusters.sums.shape[1])
    for start in range(0, len(hubs), step):
        part = slice(start, start + step)
        into, begins = np.unique(hubs[part], return_index=True)
        clusters.sums[into] += np.add.reduceat(clusters.sums[leaves[part]], begins, axis=0)
        clusters.weight[into] += np.add.reduceat(clusters.weight[leaves[part]], begins)


def _moved(clusters: Clusters, joins: Joins) -> Places:
    """Put faces, persons and rejections where rows have gone; where each row is now (rows,)."""
    moved = np.arange(clusters.rows, dtype=np.int32)
    moved[joins.leaves] = joins.hubs
    clusters.cluster = moved[clusters.cluster]
    if len(clusters.apart):
        target = np.arange(clusters.persons)
        target[clusters.person[joins.leaves]] = clusters.person[joins.hubs]
        one, two = np.divmod(clusters.apart, clusters.persons)
        clusters.apart = np.unique(clusters.keys(target[one], target[two]))
    return moved


def _contracted(clusters: Clusters, edges: Edges, moved: Places, needs: Needs) -> Edges:
    """The edges between what the rows have become; only those of a row that changed are scored anew."""
    changed = moved != np.arange(clusters.rows)
    changed[moved[changed]] = True
    new = changed[edges.first] | changed[edges.second]
    first, second = moved[edges.first[new]], moved[edges.second[new]]
    fresh = _scored(clusters, *_each_once(first, second, clusters.rows), needs)
    old = edges.where(~new)
    return Edges(
        np.concatenate([old.first, fresh.first]),
        np.concatenate([old.second, fresh.second]),
        np.concatenate([old.score, fresh.score]),
    )


def _among(keys: IdArray, known: IdArray) -> BoolArray:
    """Which keys are among known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: BoolArray = known[places] == keys
    return found
