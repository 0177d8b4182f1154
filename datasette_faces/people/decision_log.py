"""Decisions out of a file and into another, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import DecisionError
from ..store import decisions_jsonl, hidden_people, people
from ..store.connection import Connection
from .kinds import KINDS, face_roles

NAMES_SHOWN = 5
"""Hidden people that a refusal lists by name."""


def export_log(conn: Connection) -> Iterator[str]:
    """Every decision of a kind that is exported, the first one first, a line of JSON each."""
    kept_here = {name for name, kind in KINDS.items() if not kind.portable}
    return decisions_jsonl.write_lines(conn, without=kept_here)


def import_log(
    conn: Connection, log: Iterable[str], *, show_hidden: bool = False
) -> tuple[int, int]:
    """Add the decisions of a log of JSON lines: how many were added, and how many were there already.

    Raises DecisionError, with the number of the line; and, unless `show_hidden`, where they would
    show somebody who is hidden here. In a transaction then nothing is added.
    """
    portable = {name for name, kind in KINDS.items() if kind.portable}
    people.rebuild(conn)
    before = hidden_people.now(conn)
    counts = decisions_jsonl.add_lines(conn, log, kinds=portable, roles=face_roles())
    people.rebuild(conn)
    shown = [] if show_hidden else hidden_people.shown_since(conn, before)
    if shown:
        more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
        raise DecisionError(
            "These decisions would show faces of people who are hidden here "
            f"({', '.join(shown[:NAMES_SHOWN])}{more}): nothing was imported. "
            "To import them anyway, add --show-hidden, then hide those people again"
        )
    return counts
