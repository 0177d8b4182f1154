"""Which people look alike: clusters that were not merged, and so nearly were that somebody should look.

Vectors, a graph of neighbours and whose each face is -> pairs of people. No SQL.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..shapes import FloatArray, IdArray
from .constrained_clustering import ALONE, Graph

LEAST = 0.75
"""Pairs from so many of the model's thresholds on; SFace: 0.27."""
MOST = 10_000
"""More than anybody looks through before faces are grouped again."""
BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Alike:
    """Pairs of people, the most similar first: the position of a face of each (m, 2), mean cosines (m,)."""

    faces: IdArray
    similarities: FloatArray


def pairs(
    vectors: FloatArray, graph: Graph, labels: IdArray, photos: IdArray, *, threshold: float
) -> Alike:
    """The people whose faces are neighbours, and on average nearly similar enough; never of one photo.

    vectors: unit length (n, dimensions). labels: (n,), ALONE for nobody's. photos: (n,). threshold:
    the model's.
    """
    people, member = np.unique(labels, return_inverse=True)
    first, second = _neighbours(graph, member, people)
    sums, weight = _sums(vectors, member, len(people))
    means = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        means[part] = np.einsum("ij,ij->i", sums[first[part]], sums[second[part]])
    means /= weight[first] * weight[second]
    good = np.flatnonzero(means >= LEAST * threshold)
    # By what the pair is, where two are as similar
    order = good[np.lexsort((second[good], first[good], -means[good]))]
    chosen = _in_photos_of_their_own(first[order], second[order], member, photos)
    order = order[chosen]
    shown = np.zeros(len(people), np.int64)
    shown[member[::-1]] = np.arange(len(member))[::-1]
    return Alike(np.stack([shown[first[order]], shown[second[order]]], axis=1), means[order])


def _neighbours(graph: Graph, member: IdArray, people: IdArray) -> tuple[IdArray, IdArray]:
    """Pairs of people of whom a face is a neighbour of a face, first < second, each once."""
    one = np.repeat(member[graph.faces], graph.neighbours.shape[1])
    near = graph.neighbours.ravel()
    other = member[np.maximum(near, 0)]
    usable = (near >= 0) & (one != other) & (people[one] != ALONE) & (people[other] != ALONE)
    one, other = one[usable], other[usable]
    keys = np.unique(np.minimum(one, other) * len(people) + np.maximum(one, other))
    first, second = np.divmod(keys, max(len(people), 1))
    return first, second


def _sums(vectors: FloatArray, member: IdArray, people: int) -> tuple[FloatArray, FloatArray]:
    sums = np.zeros((people, vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        np.add.at(sums, member[part], vectors[part])
    return sums, np.bincount(member, minlength=people).astype(np.float32)


def _in_photos_of_their_own(
    first: IdArray, second: IdArray, member: IdArray, photos: IdArray
) -> list[int]:
    """The first MOST pairs of people who are in no photo together, by place."""
    concerned = np.isin(member, np.union1d(first, second))
    seen: dict[int, set[int]] = defaultdict(set)
    for person, photo in zip(member[concerned].tolist(), photos[concerned].tolist(), strict=True):
        seen[person].add(photo)
    found: list[int] = []
    for place, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        if len(found) == MOST:
            break
        if seen[one].isdisjoint(seen[other]):
            found.append(place)
    return found
