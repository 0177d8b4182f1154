"""Merging several people at once: into the one who is best known, or pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DecisionError
from ..store import people
from ..store.connection import Connection
from ..store.decisions import Decision
from . import decide
from .decide import NOBODY, Editor


def merge_people(
    conn: Connection, person_ids: Sequence[int], *, by: Editor = NOBODY
) -> list[Decision]:
    """Merge people into the best known of them; one decision for each of the others.

    Raises DecisionError where there are fewer than two, or one of them twice.
    """
    if len(person_ids) < 2:
        raise DecisionError("Choose two people at least to merge")
    into = choose_best_known(conn, person_ids)
    # Of one id twice the second is the same person: merging refuses it
    others = list(person_ids)
    others.remove(into)
    return [decide.merge(conn, into, other, by=by) for other in others]


def merge_pairs(
    conn: Connection, pairs: Sequence[Sequence[int]], *, by: Editor = NOBODY
) -> list[Decision]:
    """Merge the two people of each pair; whoever was merged by one pair is the other in the next."""
    if not pairs:
        raise DecisionError("No pair is chosen: tick those that are one person")
    merged_into: dict[int, int] = {}
    made: list[Decision] = []
    for pair in pairs:
        one, other = (_follow(merged_into, person_id) for person_id in pair)
        if one == other:
            continue
        into = choose_best_known(conn, [one, other])
        gone = other if into == one else one
        made.append(decide.merge(conn, into, gone, by=by))
        merged_into[gone] = into
    return made


def choose_best_known(conn: Connection, person_ids: Sequence[int]) -> int:
    """Who stays when people are merged: a person with a name, then with most faces, then the first one.

    The first id where none of them is there.
    """
    found = [person for it in person_ids if (person := people.by_id(conn, it))]
    best = max(found, key=lambda it: (it.name is not None, it.faces, -it.id), default=None)
    return best.id if best else person_ids[0]


def _follow(merged_into: dict[int, int], person_id: int) -> int:
    while person_id in merged_into:
        person_id = merged_into[person_id]
    return person_id
