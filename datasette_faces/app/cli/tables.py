"""The matches of a search as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

from ...search.query_photos import Example, PhotoMatch, PhotoQuery
from .group import printable

COLUMNS = tuple(field.name for field in fields(PhotoMatch))
MISSING = "missing_since"


def as_json(query: PhotoQuery, found: Sequence[PhotoMatch]) -> str:
    """The model, its threshold, the query photos, the matches."""
    return json.dumps(
        {
            "model": query.model.id,
            "threshold": query.model.threshold,
            "queries": [_example(item) for item in query.examples],
            "matches": [_match(item) for item in found],
        }
    )


def as_csv(query: PhotoQuery, found: Sequence[PhotoMatch]) -> str:
    """The matches, with the names of the columns; `missing_since` is one where a file is missing."""
    out = io.StringIO()
    is_missing = any(match.missing_since for match in found)
    columns = [name for name in COLUMNS if name != MISSING or is_missing]
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(map(_row, found))
    return out.getvalue().removesuffix("\n")


def as_table(query: PhotoQuery, found: Sequence[PhotoMatch]) -> str:
    """A line a match, and one where the model begins to take two faces for two persons."""
    model = query.model
    boxes = [_box(item) for item in found]
    width = max(map(len, boxes))
    lines = [f"{'similarity':>10}  {'chance':>6}  {'face':>8}  {'box':<{width}}  photo"]
    above = True
    for item, box in zip(found, boxes, strict=True):
        if above and item.similarity < model.threshold:
            lines.append(f"--- below the threshold of {model.id}, {model.threshold:g} ---")
            above = False
        path = printable(item.path)
        if item.missing_since:
            path += f" (file missing since {item.missing_since[:10]})"
        chance = percent(item.probability)
        line = f"{item.similarity:>10.3f}  {chance:>6}  {item.face_id:>8}  {box:<{width}}  {path}"
        lines.append(line)
    return "\n".join(lines)


FORMATS: dict[str, Callable[[PhotoQuery, Sequence[PhotoMatch]], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}


def percent(probability: float) -> str:
    """A probability as text; none reads as certain."""
    if probability >= 0.995:
        return ">99%"
    return "<1%" if probability < 0.005 else f"{probability:.0%}"


def _match(item: PhotoMatch) -> dict[str, Any]:
    """A row of JSON; `missing_since` only where the file is missing."""
    return {k: v for k, v in _row(item).items() if v is not None or k != "missing_since"}


def _row(item: PhotoMatch) -> dict[str, Any]:
    return {**asdict(item), "similarity": round(item.similarity, 6)}


def _box(item: PhotoMatch) -> str:
    return f"{item.width:.0f}x{item.height:.0f} at {item.x:.0f},{item.y:.0f}"


def _example(item: Example) -> dict[str, Any]:
    box = asdict(item.face.detection.box) if item.face else None
    return {
        "path": item.path,
        "faces": len(item.faces),
        "box": box and {name: round(value, 2) for name, value in box.items()},
        "not": item.unlike,
        "reason": item.reason,
    }
