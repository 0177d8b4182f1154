"""What a value counts for in its column: SQLite keeps anything anywhere, and a file comes from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from ..shapes import Box


def number(value: object) -> float | None:
    """A finite number; None for all else."""
    if type(value) is int or (type(value) is float and isfinite(value)):
        return value
    return None


def length(value: object) -> float | None:
    """A number above 0: of a side of a picture, or of a box."""
    found = number(value)
    return found if found is not None and found > 0 else None


def count(value: object) -> int:
    """A whole number that is not negative: 0 for all else."""
    return value if type(value) is int and value >= 0 else 0


def truth(value: object) -> int:
    """1 for what is true, 0 for what is not."""
    return int(bool(value))


def row_id(value: object) -> int | None:
    """The id of a row."""
    return value if type(value) is int else None


def text(value: object) -> str | None:
    """Text; that of bytes and numbers, where those stand in its place."""
    if value is None or type(value) is str:
        return value
    return value.decode("utf-8", "backslashreplace") if type(value) is bytes else str(value)


def box(*sides: object) -> Box:
    """A box of these: x, y, width, height; with 0 for what is no number, so that it is no face's."""
    x, y, width, height = (number(side) or 0.0 for side in sides)
    return Box(x, y, width, height)


Read = Callable[[object], Any]

OF_COLUMN: dict[str, Read] = {
    **dict.fromkeys(("x", "y", "detection_score", "sharpness", "yaw", "pitch", "roll"), number),
    **dict.fromkeys(("latitude", "longitude", "bytes", "similarity", "probability"), number),
    **dict.fromkeys(("width", "height"), length),
    **dict.fromkeys(("faces", "photos"), count),
    "hidden": truth,
    **dict.fromkeys(("face_id", "photo_id", "person_id", "first_id", "second_id"), row_id),
    **dict.fromkeys(("path", "sha256", "format", "camera", "original_url", "name", "value"), text),
    **dict.fromkeys(("taken_at", "modified_at", "ingested_at", "missing_since", "made_at"), text),
    **dict.fromkeys(("uid", "actor", "kind", "person_key", "other_key", "target"), text),
    **dict.fromkeys(("first_key", "second_key", "model_id", "person_source"), text),
}
"""How the values of a column are read, by its name in a query."""


def read(rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """These rows, each value as its column is read; those of other columns as they are."""
    for name in names:
        of_column = OF_COLUMN.get(name)
        if of_column is not None:
            for row in rows:
                row[name] = of_column(row[name])
    return rows
