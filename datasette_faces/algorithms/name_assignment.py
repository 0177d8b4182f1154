"""Match names without a box (Google Takeout) to clusters of faces.

A name and a cluster of the same person come and go together. What counts is where they do not: a photo
that has the name and not the cluster, or the cluster and not the name. Where a rival fits nearly as
well nothing is proposed. A certain pair is taken out of all photos, which may make others certain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MARGIN = 2
"""A pair has to fit better by this many photos than any rival that shares its name or its cluster.

If one photo in ten is wrong (a face that was not found, a person whom Google did not see), two photos
are odds of 9 * 9 : 1.
"""
MIN_CONFIDENCE = 0.2
"""The least confidence of a proposal; one photo with one name and one face has 0.207."""
WILSON_Z = 1.96
"""95 % of Wilson's interval (Wilson, Probable inference, JASA 1927)."""


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo: the names that it was given, and the people (their keys) whose faces are in it."""

    names: frozenset[str]
    people: frozenset[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name for a person.

    confidence: a lower bound on the chance that a photo of either is of both, 0..1. together: photos
    that have both. apart: photos that have the name or the person alone.
    """

    name: str
    person_key: str
    confidence: float
    together: int
    apart: int


def assign_names(
    photos: Iterable[NamedPhoto],
    known: Mapping[str, str] | None = None,
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> list[Proposal]:
    """Propose a person for each name that fits only one, the surest first.

    photos: each photo with names, once; photos without names are ignored. known: the persons of names
    that are known, by name. Each name and each person is proposed at most once; the order of the
    photos does not matter.
    """
    fixed = dict(known or {})
    left = [photo for photo in photos if photo.names and photo.people]
    proposals: list[Proposal] = []
    while True:
        left = _remove(left, set(fixed), set(fixed.values()))
        certain = [pair for pair in _find_certain(left) if pair.confidence >= min_confidence]
        if not certain:
            return sorted(proposals, key=lambda pair: (-pair.confidence, pair.name))
        proposals += certain
        fixed = {pair.name: pair.person_key for pair in certain}


def _remove(photos: Sequence[NamedPhoto], names: set[str], people: set[str]) -> list[NamedPhoto]:
    """The photos without these names and people; photos with nothing left are dropped."""
    rest = (NamedPhoto(photo.names - names, photo.people - people) for photo in photos)
    return [photo for photo in rest if photo.names or photo.people]


def _find_certain(photos: Sequence[NamedPhoto]) -> list[Proposal]:
    """The pairs that fit better than all their rivals; no two share a name or a person."""
    of_name = Counter(name for photo in photos for name in photo.names)
    of_person = Counter(key for photo in photos for key in photo.people)
    together = Counter(
        (name, key) for photo in photos for name in photo.names for key in photo.people
    )
    apart = {
        (name, key): of_name[name] + of_person[key] - 2 * count
        for (name, key), count in together.items()
    }
    best_of_name = _two_least((name, count) for (name, _), count in apart.items())
    best_of_person = _two_least((key, count) for (_, key), count in apart.items())
    return [
        Proposal(name, key, _wilson_lower(both, both + apart[name, key]), both, apart[name, key])
        for (name, key), both in together.items()
        if _stands_out(apart[name, key], best_of_name[name])
        and _stands_out(apart[name, key], best_of_person[key])
    ]


def _two_least(counted: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The two least counts of each key."""
    least: dict[str, list[int]] = {}
    for key, count in counted:
        least[key] = sorted([*least.get(key, ()), count])[:2]
    return least


def _stands_out(count: int, least: Sequence[int]) -> bool:
    return count == least[0] and all(count + MARGIN <= rival for rival in least[1:])


def _wilson_lower(agreeing: int, of: int) -> float:
    """The lower end of Wilson's interval for a share."""
    share, square = agreeing / of, WILSON_Z * WILSON_Z
    middle = share + square / (2 * of)
    spread = WILSON_Z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return (middle - spread) / (1 + square / of)
