"""Pairs of people for the review queue: clusters that were nearly similar enough to merge.

Vectors, a graph of neighbours and a person for each face → pairs of people. No SQL.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..shapes import FloatArray, IdArray
from .constrained_clustering import ALONE, Graph

MIN_THRESHOLDS = 0.75
"""Pairs are kept from this share of the model's threshold on; SFace: 0.27."""
MAX_PAIRS = 10_000
"""More than anyone looks through before faces are grouped again."""
BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class ReviewPairs:
    """Pairs of people, most similar first: a position of a face of each (m, 2), mean cosines (m,)."""

    faces: IdArray
    similarities: FloatArray


def find_review_pairs(
    vectors: FloatArray, graph: Graph, labels: IdArray, photos: IdArray, *, threshold: float
) -> ReviewPairs:
    """The people whose faces are neighbours and on average nearly similar enough; never of one photo.

    vectors: unit length (n, dimensions). labels: (n,), ALONE for a face without a person. photos: (n,).
    threshold: the model's.
    """
    people, person_of_face = np.unique(labels, return_inverse=True)
    first, second = _find_neighbours(graph, person_of_face, people)
    means = _mean_similarities(vectors, person_of_face, first, second)
    good = np.flatnonzero(means >= MIN_THRESHOLDS * threshold)
    # Ties are broken by the pair itself
    order = good[np.lexsort((second[good], first[good], -means[good]))]
    order = order[_choose_never_together(first[order], second[order], person_of_face, photos)]
    shown_face = np.zeros(len(people), np.int64)
    shown_face[person_of_face[::-1]] = np.arange(len(person_of_face))[::-1]
    faces = np.stack([shown_face[first[order]], shown_face[second[order]]], axis=1)
    return ReviewPairs(faces, means[order])


def _find_neighbours(
    graph: Graph, person_of_face: IdArray, people: IdArray
) -> tuple[IdArray, IdArray]:
    """Pairs of people with neighbouring faces, first < second, each once."""
    one = np.repeat(person_of_face[graph.faces], graph.neighbours.shape[1])
    near = graph.neighbours.ravel()
    other = person_of_face[np.maximum(near, 0)]
    usable = (near >= 0) & (one != other) & (people[one] != ALONE) & (people[other] != ALONE)
    one, other = one[usable], other[usable]
    keys = np.unique(np.minimum(one, other) * len(people) + np.maximum(one, other))
    first, second = np.divmod(keys, max(len(people), 1))
    return first, second


def _mean_similarities(
    vectors: FloatArray, person_of_face: IdArray, first: IdArray, second: IdArray
) -> FloatArray:
    """The mean cosine of all pairs of faces of two people, for each pair of people (m,)."""
    count = int(person_of_face.max(initial=-1)) + 1
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        np.add.at(sums, person_of_face[part], vectors[part])
    weight = np.bincount(person_of_face, minlength=count).astype(np.float32)
    means = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        means[part] = np.einsum("ij,ij->i", sums[first[part]], sums[second[part]])
    means /= weight[first] * weight[second]
    return means


def _choose_never_together(
    first: IdArray, second: IdArray, person_of_face: IdArray, photos: IdArray
) -> list[int]:
    """Positions of the first MAX_PAIRS pairs of people who are in no photo together."""
    concerned = np.isin(person_of_face, np.union1d(first, second))
    photos_of: dict[int, set[int]] = defaultdict(set)
    for person, photo in zip(
        person_of_face[concerned].tolist(), photos[concerned].tolist(), strict=True
    ):
        photos_of[person].add(photo)
    chosen: list[int] = []
    for position, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        if len(chosen) == MAX_PAIRS:
            break
        if photos_of[one].isdisjoint(photos_of[other]):
            chosen.append(position)
    return chosen
