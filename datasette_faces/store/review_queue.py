"""The review queue: pairs of people who may be one, as clustering left them, without what is settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import people
from .connection import Connection
from .decisions import ACTIVE
from .gallery import Query, rows
from .people import NOT_A_FACE
from .schema import has_tables

TABLES = ("likely_pairs", "people", "decisions")
Pair = tuple[str, str, float]
"""Two people's keys, and how similar their faces are on average."""
MOST_COUNTED = 500
"""A longer queue is told as more than that: to count all of it takes as long as to read it."""


@dataclass(frozen=True, slots=True)
class LastPair:
    """What a page of the queue ended with."""

    similarity: float
    first_key: str
    second_key: str


def save_pairs(conn: Connection, model_id: str, pairs: Iterable[Pair], *, replace: bool) -> None:
    """Store these pairs; replace: and remove all others."""
    if replace:
        conn.execute("delete from likely_pairs")
    conn.executemany(
        "insert or replace into likely_pairs(first_key, second_key, model_id, similarity) "
        "values (?, ?, ?, ?)",
        [(*sorted((one, other)), model_id, mean) for one, other, mean in pairs if one != other],
    )


def queue(conn: Connection, *, after: LastPair | None = None, limit: int) -> list[dict[str, Any]]:
    """Pairs that nobody has decided about, the most similar first, those after one of them.

    Hidden people, two who both have a name, and pairs of which somebody said that they are two, are
    left out; so is who has no faces any more, as after a merge. Of an older file: none.
    """
    if not has_tables(conn, *TABLES):
        return []
    return rows(conn, _query(after, limit))


def count_pairs(conn: Connection) -> int:
    """How many pairs the queue has, up to MOST_COUNTED."""
    return len(queue(conn, limit=MOST_COUNTED))


def _query(after: LastPair | None, limit: int) -> Query:
    params: dict[str, Any] = {"limit": limit, "none": NOT_A_FACE}
    beyond = ""
    if after:
        beyond = (
            "and likely_pairs.similarity <= :similarity and (likely_pairs.similarity < :similarity "
            "or (first_key, second_key) > (:first, :second)) "
        )
        params |= {
            "similarity": after.similarity,
            "first": after.first_key,
            "second": after.second_key,
        }
    sql = (
        "select one.id as first_id, other.id as second_id, first_key, second_key, "
        "likely_pairs.model_id, likely_pairs.similarity from likely_pairs "
        # Pairs in their order first, people by their keys: else all would be sorted
        "cross join people one on one.key = first_key cross join people other on other.key = second_key "
        "where one.faces > 0 and other.faces > 0 and not one.hidden and not other.hidden "
        "and :none not in (first_key, second_key) and (one.name is null or other.name is null) "
        # A file may have come from anywhere; rounding may go a little beyond 1
        f"{beyond}and typeof(likely_pairs.similarity) = 'real' "
        "and abs(likely_pairs.similarity) < 1.00001 "
        f"and not exists (select 1 from decisions where kind = 'apart' and {ACTIVE} "
        "and person_key in (first_key, second_key) and other_key in (first_key, second_key)) "
        "order by likely_pairs.similarity desc, first_key, second_key limit :limit"
    )
    return Query(sql, params)


def best_faces(conn: Connection, person_ids: Iterable[int], limit: int) -> dict[int, list[int]]:
    """The best faces of each of these people, by id."""
    return {it: people.faces_of(conn, it, limit=limit) for it in set(person_ids)}
