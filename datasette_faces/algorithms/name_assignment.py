"""Names without a place (Google Takeout) against clusters of faces: which name is which cluster.

A name and a cluster that are one person come and go together. What is looked at is where they do
not: a photo that has the name and not the cluster, or the cluster and not the name. Where somebody
else fits nearly as well nothing is proposed; a pair that is certain is taken out of all photos, which
may make others certain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MARGIN = 2
"""By so many photos a pair has to fit better than any rival that shares its name or its cluster.

If one photo in ten tells wrongly (a face that was not found, a person whom Google did not see), two
photos are odds of 9 * 9 : 1.
"""
AT_LEAST = 0.2
"""The least confidence of a proposal: that of one photo with one name and one face, 0.207."""
Z = 1.96
"""Of Wilson's interval: 95 % (Wilson, Probable inference, JASA 1927)."""


@dataclass(frozen=True, slots=True)
class Named:
    """A photo: the names that are said of it, and the people (their keys) whose faces are in it."""

    names: frozenset[str]
    people: frozenset[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name for a person; confidence: how likely at least a photo of one is of both, 0..1.

    together: photos that have both; apart: photos that have the name or the person alone.
    """

    name: str
    person_key: str
    confidence: float
    together: int
    apart: int


def solve(
    photos: Iterable[Named],
    known: Mapping[str, str] | None = None,
    *,
    at_least: float = AT_LEAST,
) -> list[Proposal]:
    """Propose a person for each name for which only one comes into question, the surest first.

    photos: those of which somebody said who is in them, each once; a photo of which nobody did tells
    nothing. known: names whose persons are known, by name. Each name and each person is proposed
    once at most; the same photos in another order give the same.
    """
    fixed = dict(known or {})
    left = [photo for photo in photos if photo.names and photo.people]
    found: list[Proposal] = []
    while True:
        left = _without(left, set(fixed), set(fixed.values()))
        certain = [it for it in _certain(left) if it.confidence >= at_least]
        if not certain:
            return sorted(found, key=lambda it: (-it.confidence, it.name))
        found += certain
        fixed = {it.name: it.person_key for it in certain}


def _without(photos: Sequence[Named], names: set[str], people: set[str]) -> list[Named]:
    rest = (Named(photo.names - names, photo.people - people) for photo in photos)
    return [photo for photo in rest if photo.names or photo.people]


def _certain(photos: Sequence[Named]) -> list[Proposal]:
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
        Proposal(name, key, _wilson(both, both + apart[name, key]), both, apart[name, key])
        for (name, key), both in together.items()
        if _stands_out(apart[name, key], best_of_name[name])
        and _stands_out(apart[name, key], best_of_person[key])
    ]


def _two_least(counted: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The two least counts of each."""
    found: dict[str, list[int]] = {}
    for key, count in counted:
        found[key] = sorted([*found.get(key, ()), count])[:2]
    return found


def _stands_out(count: int, least: Sequence[int]) -> bool:
    return count == least[0] and all(count + MARGIN <= rival for rival in least[1:])


def _wilson(agreeing: int, of: int) -> float:
    """The lower end of Wilson's interval for a share."""
    share, square = agreeing / of, Z * Z
    middle = share + square / (2 * of)
    spread = Z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return (middle - spread) / (1 + square / of)
