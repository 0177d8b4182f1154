"""Decisions as JSON lines: to keep them beside the photographs, to take them into another file."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..algorithms.spelling import compose
from ..errors import DecisionError
from ..shapes import Box
from . import decisions
from .connection import Connection
from .decisions import REDO, UNDO, Decision, FaceRef

_TEXTS = {"person": "person_key", "other": "other_key", "value": "value", "target": "target"}
MAX_LINE = 50_000_000
"""Characters: a decision about 200,000 faces."""


def write_lines(conn: Connection, *, without: Collection[str] = ()) -> Iterator[str]:
    """Every decision, the first one first, a line of JSON each.

    without: kinds to leave out, with what undoes and redoes them.
    """
    left_out: set[str] = set()
    for batch in decisions.every(conn):
        # A file that knows an edited photo by its present content alone finds the faces, too
        for decision in decisions.name_by_both_contents(conn, batch):
            if decision.kind in without or decision.target in left_out:
                left_out.add(decision.uid)
                continue
            yield json.dumps(_as_json(decision), ensure_ascii=False)


def add_lines(
    conn: Connection, text: Iterable[str], *, kinds: Collection[str], roles: Collection[str]
) -> tuple[int, int]:
    """Add the decisions of such lines that are not there yet: how many were added, how many known.

    kinds, roles: those of decisions, and of faces in them, that are taken.
    Raises DecisionError, with the number of the line; in a transaction then nothing is added.
    """
    added = known = 0
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            decision = _from_json(json.loads(line[:MAX_LINE]), kinds, roles)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DecisionError(
                f"Line {number} is no decision ({error}): nothing was imported"
            ) from None
        if decisions.by_uid(conn, decision.uid):
            known += 1
            continue
        decisions.append(conn, decision)
        added += 1
    return added, known


def _as_json(decision: Decision) -> dict[str, Any]:
    entry = {
        "uid": decision.uid,
        "made_at": decision.made_at,
        "actor": decision.actor,
        "kind": decision.kind,
        **{name: getattr(decision, field) for name, field in _TEXTS.items()},
    }
    entry = {name: value for name, value in entry.items() if value is not None}
    if decision.faces:
        entry["faces"] = [
            {"role": ref.role, "photo": ref.sha256, "box": _numbers(ref.box)}
            for ref in decision.faces
        ]
    return entry


def _numbers(box: Box) -> list[float]:
    return [box.x, box.y, box.width, box.height]


def _from_json(entry: Any, kinds: Collection[str], roles: Collection[str]) -> Decision:
    if entry["kind"] not in kinds:
        raise ValueError(f"unknown kind {entry['kind']!r}")
    texts = {field: entry.get(name) for name, field in _TEXTS.items()}
    if isinstance(texts["value"], str):
        texts["value"] = compose(texts["value"])
    for value in (
        entry["uid"],
        entry["made_at"],
        *filter(None, (entry.get("actor"), *texts.values())),
    ):
        if not isinstance(value, str):
            raise TypeError("text was expected")
    if entry["kind"] in (UNDO, REDO) and not texts["target"]:
        raise ValueError("what is undone is not named")
    return Decision(
        entry["kind"],
        **texts,
        actor=entry.get("actor"),
        faces=tuple(_face(item, roles) for item in entry.get("faces", ())),
        uid=entry["uid"],
        made_at=entry["made_at"],
    )


def _face(entry: Any, roles: Collection[str]) -> FaceRef:
    x, y, width, height = (float(value) for value in entry["box"])
    if not all(math.isfinite(value) for value in (x, y, width, height)):
        raise ValueError("a box of numbers was expected")
    if entry["role"] not in roles or not isinstance(entry["photo"], str):
        raise ValueError("a face has a role, a photo and a box")
    return FaceRef(entry["role"], entry["photo"], Box(x, y, width, height))
