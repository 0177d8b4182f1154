"""What a value counts for in its column: SQLite keeps anything anywhere, and a file comes from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ..algorithms.quarter_turns import TURNS
from ..shapes import Box

MAX_ID = 2**63 - 1
"""The largest id that a row of SQLite can have."""
ID_DIGITS = len(str(MAX_ID))


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


def turn(value: object) -> int:
    """Degrees by which a picture is turned: 0 for all but quarter turns."""
    return value if type(value) is int and value in TURNS else 0


def row_id(value: object) -> int | None:
    """The id of a row."""
    return value if type(value) is int else None


def parse_id(text: str) -> int | None:
    """The id that a person or an address wrote; None for what no row of SQLite can have."""
    # Longer ones Python does not even read
    is_number = text.isascii() and text.isdecimal() and len(text) <= ID_DIGITS
    return int(text) if is_number and int(text) <= MAX_ID else None


def text(value: object) -> str | None:
    """Text; that of bytes and numbers, where those stand in its place."""
    if value is None or type(value) is str:
        return value
    return value.decode("utf-8", "backslashreplace") if type(value) is bytes else str(value)


def box(*sides: object) -> Box:
    """A box of these: x, y, width, height; with 0 for what is no number, so that it is no face's."""
    x, y, width, height = sides
    if type(x) is type(y) is type(width) is type(height) is float and isfinite(
        x + y + width + height
    ):
        return Box(x, y, width, height)
    return Box(*(number(side) or 0.0 for side in sides))


@dataclass(frozen=True, slots=True)
class Kind:
    """How a column's values are read; of these types, and where `right` says so, they stay as they are."""

    read: Callable[[object], Any]
    types: frozenset[type]
    right: Callable[[list[Any]], bool] = lambda column: True


def _finite(column: list[Any]) -> bool:
    return all(map(isfinite, column))


_NUMBER = Kind(number, frozenset((int, float)), _finite)
_LENGTH = Kind(length, frozenset((int, float)), lambda it: min(it) > 0 and _finite(it))
_COUNT = Kind(count, frozenset((int,)), lambda it: min(it) >= 0)
_TURN = Kind(turn, frozenset((int,)), lambda it: set(it).issubset(TURNS))
_TRUTH = Kind(truth, frozenset())
_ID = Kind(row_id, frozenset((int, type(None))))
_TEXT = Kind(text, frozenset((str, type(None))))

OF_COLUMN: dict[str, Kind] = {
    **dict.fromkeys(("x", "y", "detection_score", "sharpness", "yaw", "pitch", "roll"), _NUMBER),
    **dict.fromkeys(("latitude", "longitude", "bytes", "similarity", "probability"), _NUMBER),
    **dict.fromkeys(("width", "height"), _LENGTH),
    **dict.fromkeys(("faces", "photos"), _COUNT),
    "hidden": _TRUTH,
    "turned": _TURN,
    **dict.fromkeys(("face_id", "photo_id", "person_id", "first_id", "second_id"), _ID),
    **dict.fromkeys(("path", "sha256", "format", "camera", "original_url", "name", "value"), _TEXT),
    "damage": _TEXT,
    **dict.fromkeys(("taken_at", "modified_at", "ingested_at", "missing_since", "made_at"), _TEXT),
    **dict.fromkeys(("uid", "actor", "kind", "person_key", "other_key", "target"), _TEXT),
    **dict.fromkeys(("first_key", "second_key", "model_id", "person_source"), _TEXT),
}
"""Of what kind a column is, by its name in a query."""


def read(rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """These rows, each value as its column is read; those of other columns as they are."""
    for name in names if rows else ():
        kind = OF_COLUMN.get(name)
        if kind is None:
            continue
        column = [row[name] for row in rows]
        # All at once: a page has hundreds of values, and hardly ever a wrong one
        if not kind.types.issuperset(map(type, column)) or not kind.right(column):
            for row in rows:
                row[name] = kind.read(row[name])
    return rows
