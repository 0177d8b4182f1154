"""Places on earth as cameras and programs write them → degrees. A wrong place is worse than none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DECIMALS = 7
"""Of a degree: a centimetre."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Latitude or longitude: its greatest value, and the sign of each word for a direction."""

    limit: float
    signs: Mapping[str, int]


LATITUDE = Axis(90, {"N": 1, "NORTH": 1, "S": -1, "SOUTH": -1})
LONGITUDE = Axis(180, {"E": 1, "EAST": 1, "W": -1, "WEST": -1})
_NUMBER = r"\d+(?:\.\d+)?"
_WRITTEN = re.compile(
    rf"(?P<sign>[+-]?)(?P<parts>{_NUMBER}(?:\s*[,;:\s°'\u2032]\s*{_NUMBER}){{0,2}})"
    r"\s*[°'\u2032\"\u2033]*\s*(?P<reference>[a-z]*)",
    re.IGNORECASE,
)


def join_position(
    latitude: float | None, longitude: float | None
) -> tuple[float | None, float | None]:
    """A position; None, None for half of one, and for 0, 0, which cameras without a fix write."""
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def parse_degrees(written: str, axis: Axis, *, reference: str = "") -> float | None:
    """Degrees from a text such as XMP's `34,36.5S` or `34,36,30S`; None where it is not certain.

    reference: the direction that is said elsewhere, where the text has none.
    """
    match = _WRITTEN.fullmatch(written.replace("\0", " ").strip())
    if match is None:
        return None
    numbers: list[object] = [float(part) for part in re.findall(_NUMBER, match["parts"])]
    if match["sign"] == "-":
        numbers[0] = -float(str(numbers[0]))
    return read_degrees(numbers, axis, reference=match["reference"] or reference)


def read_degrees(parts: Sequence[object], axis: Axis, *, reference: str) -> float | None:
    """Degrees from one to three numbers: degrees, minutes, seconds; None where they are not certain.

    reference: a direction, which there has to be; a sign may only repeat it.
    """
    direction = axis.signs.get(reference.replace("\0", " ").strip().upper())
    try:
        numbers = _read_parts(parts)
    except (TypeError, ValueError):
        return None
    if direction is None or (math.copysign(1, numbers[0]) < 0 < direction and numbers[0]):
        return None
    value = sum(abs(part) / scale for part, scale in zip(numbers, (1, 60, 3600), strict=False))
    return round(direction * value, DECIMALS) + 0.0 if value <= axis.limit else None


def _read_parts(parts: Sequence[object]) -> list[float]:
    """The numbers that are said. Raises ValueError where they contradict each other."""
    numbers = [_read_number(part) for part in parts]
    while numbers and numbers[-1] is None:
        numbers.pop()
    said = [number for number in numbers if number is not None]
    if not 1 <= len(said) == len(numbers) <= 3 or any(not 0 <= part <= 60 for part in said[1:]):
        raise ValueError("not degrees, minutes and seconds")
    # Whole degrees, and minutes that are not known, are a place somewhere in 100 kilometres
    if len(said) < min(len(parts), 2) and said[0] == int(said[0]):
        raise ValueError("the minutes are missing")
    # 34.6° 36' says the same twice
    if any(part != int(part) and any(said[place + 1 :]) for place, part in enumerate(said)):
        raise ValueError("a fraction of degrees, and minutes beside it")
    return said


def _read_number(part: object) -> float | None:
    """A number; None for 0/0, which stands for one that is not known. Raises TypeError, ValueError."""
    if getattr(part, "denominator", 1) == 0:
        if getattr(part, "numerator", 1):
            raise ValueError("a number divided by 0")
        return None
    number = float(part)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
