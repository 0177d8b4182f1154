"""How good a partition is, beside the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """Shares, 0..1; a partition without pairs has a precision of 1, a truth without them a recall of 1.

    bcubed: the mean over faces of how much of a face's cluster is its person (precision), and of how
    much of its person is in its cluster (recall): Bagga and Baldwin, "Entity-based cross-document
    coreferencing using the vector space model", 1998. pair: of all pairs of faces in one cluster those
    of one person, and the other way round.
    """

    bcubed_precision: float
    bcubed_recall: float
    pair_precision: float
    pair_recall: float

    @property
    def bcubed_f1(self) -> float:
        both = self.bcubed_precision + self.bcubed_recall
        return 2 * self.bcubed_precision * self.bcubed_recall / both


def quality(labels: Labels, people: Labels) -> Quality:
    """Compare numbers of clusters, -1 for a face by itself, with the true people; both (n,)."""
    cluster = _numbered(apart(labels))
    person = _numbered(people)
    _, both, count = np.unique(
        cluster * (person.max() + 1) + person, return_inverse=True, return_counts=True
    )
    together = count[both]
    clusters, persons = np.bincount(cluster), np.bincount(person)
    return Quality(
        float(np.mean(together / clusters[cluster])),
        float(np.mean(together / persons[person])),
        _share(_pairs(count), _pairs(clusters)),
        _share(_pairs(count), _pairs(persons)),
    )


def apart(labels: Labels) -> Labels:
    """The same, with a number of its own for each face that is by itself."""
    own = labels.max(initial=0) + 1 + np.arange(len(labels))
    return np.where(labels < 0, own, labels)


def groups(labels: Labels) -> set[frozenset[int]]:
    """The partition itself: sets of positions, whatever their numbers."""
    found: dict[int, list[int]] = {}
    for place, label in enumerate(apart(labels).tolist()):
        found.setdefault(label, []).append(place)
    return {frozenset(group) for group in found.values()}


def _numbered(labels: Labels) -> Labels:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _pairs(counts: Labels) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _share(some: int, of_all: int) -> float:
    return some / of_all if of_all else 1.0
