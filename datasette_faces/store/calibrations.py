"""The calibration of each model that the file keeps: its curve, what it was made of, how good it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ..algorithms.calibration import AcceptRate, Calibration, Curve, Evaluation, ReliabilityBin
from .calibration_pairs import KnownPairs
from .connection import Connection
from .photos import now
from .schema import has_tables

COLUMNS = (
    "model_id",
    "source",
    "threshold",
    "curve",
    "people",
    "matching_pairs",
    "photo_pairs",
    "people_pairs",
    "evaluation",
    "calibrated_at",
)


@dataclass(frozen=True)
class StoredCalibration:
    """A row of `calibrations`."""

    model_id: str
    calibration: Calibration
    people: int
    matching_pairs: int
    photo_pairs: int
    people_pairs: int
    calibrated_at: str


def save_calibration(
    conn: Connection, model_id: str, calibration: Calibration, known: KnownPairs
) -> None:
    """Keep a model's calibration in place of the one before."""
    row = (
        model_id,
        calibration.source,
        calibration.threshold,
        _curve_as_json(calibration.curve),
        len(set(known.matching.groups.tolist())),
        len(known.matching.similarities),
        len(known.of_photos.similarities),
        len(known.of_people.similarities),
        json.dumps(asdict(calibration.evaluation)),
        now(),
    )
    bound = ", ".join("?" * len(COLUMNS))
    conn.execute(f"insert or replace into calibrations({', '.join(COLUMNS)}) values ({bound})", row)


def read_calibration(conn: Connection, model_id: str) -> StoredCalibration | None:
    """A model's calibration; None where there is none that can be read, or the file is older."""
    if not has_tables(conn, "calibrations"):
        return None
    found = conn.execute(
        f"select {', '.join(COLUMNS)} from calibrations where model_id = ?", [model_id]
    ).fetchone()
    # A file may come from anywhere: what somebody broke is as if it were not there
    try:
        return _kept(dict(zip(COLUMNS, found, strict=True))) if found else None
    except (TypeError, ValueError, KeyError):
        return None


def read_curve(conn: Connection, model_id: str) -> Curve | None:
    """A model's curve alone; None as `read_calibration`."""
    if not has_tables(conn, "calibrations"):
        return None
    found = conn.execute("select curve from calibrations where model_id = ?", [model_id]).fetchone()
    try:
        return _curve(found[0]) if found else None
    except (TypeError, ValueError):
        return None


def _kept(row: dict[str, Any]) -> StoredCalibration:
    if row["source"] not in ("library", "published"):
        raise ValueError
    evaluation = json.loads(row["evaluation"])
    bins = tuple(ReliabilityBin(**_numbers(it)) for it in evaluation["bins"])
    rates = tuple(_rate(**it) for it in evaluation["rates"])
    ece = float(evaluation["ece"]) if bins else None
    threshold, curve = float(row["threshold"]), _curve(row["curve"])
    calibration = Calibration(row["source"], curve, threshold, Evaluation(ece, bins, rates))
    counts = {name: int(row[name]) for name in COLUMNS if name.endswith("_pairs")}
    return StoredCalibration(
        model_id=row["model_id"],
        calibration=calibration,
        people=int(row["people"]),
        calibrated_at=str(row["calibrated_at"]),
        **counts,
    )


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Raises TypeError where one is none."""
    return {name: value + 0 for name, value in values.items()}


def _rate(far: float, **rates: Any) -> AcceptRate:
    unknown = all(value is None for value in rates.values())
    return AcceptRate(far + 0, **(rates if unknown else _numbers(rates)))


def _curve_as_json(curve: Curve) -> str:
    return json.dumps(list(zip(curve.similarities, curve.probabilities, strict=True)))


def _curve(text: str) -> Curve:
    """Raises TypeError and ValueError where that is no curve."""
    knots = [(float(similarity), float(chance)) for similarity, chance in json.loads(text)]
    similarities, chances = zip(*knots, strict=True)
    ascending = all(one < other for one, other in pairwise(similarities))
    if not ascending or list(chances) != sorted(chances) or chances[0] < 0 or chances[-1] > 1:
        raise ValueError("no curve")
    return Curve(similarities, chances)
