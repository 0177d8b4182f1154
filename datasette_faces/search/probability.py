"""What a similarity means in a file: its calibration, or its model's published curve. No HTTP, no click."""

from __future__ import annotations

from dataclasses import dataclass

from ..algorithms import calibration
from ..algorithms.calibration import Curve, Evaluation
from ..errors import SearchError
from ..shapes import ModelInfo
from ..store import calibration_pairs, calibrations, models
from ..store.calibrations import Kept
from ..store.connection import Connection, transaction
from ..store.gallery import Query
from . import searcher

BEYOND = 1e-5
"""So far beyond -1 and 1 the rounding of float32 may take a similarity."""
DIGITS = 4
"""A probability has so many decimals."""
STEP = 5
"""Hundredths between the similarities of the curve's rows."""

_CURVE = f"""
with recursive steps(hundredth) as (
    select -100 union all select hundredth + {STEP} from steps where hundredth < 100
)
select hundredth / 100.0 as similarity, face_probability(hundredth / 100.0, :model) as probability
from steps
""".strip()


def calibrate(conn: Connection, model_id: str) -> Kept:
    """Fit a model's curve to the file's labels, and keep it; in a transaction of its own."""
    model = searcher.model_of(conn, model_id)
    known = calibration_pairs.known(conn, model.id)
    found = calibration.fit_and_evaluate(model.threshold, known.matching, known.other)
    with transaction(conn):
        calibrations.keep(conn, model.id, found, known)
    kept = calibrations.of_model(conn, model.id)
    assert kept is not None
    return kept


@dataclass(frozen=True)
class ModelCalibration:
    """What a model's similarities mean in a file.

    kept: what the file's own calibration found; None where the model's published curve holds.
    """

    model: ModelInfo
    curve: Curve
    kept: Kept | None

    @property
    def source(self) -> str:
        """What the curve was made of: published, or this library."""
        return self.kept.calibration.source if self.kept else "published"

    @property
    def evaluation(self) -> Evaluation:
        """How good the curve is; empty where that is not known."""
        return self.kept.calibration.evaluation if self.kept else Evaluation(None, (), ())


def read_calibration(conn: Connection, model_id: str | None) -> ModelCalibration:
    """The calibration of a model, or of the file's first. Raises SearchError."""
    model = searcher.model_of(conn, model_id)
    kept = calibrations.of_model(conn, model.id)
    curve = kept.calibration.curve if kept else calibration.published_curve(model.threshold)
    return ModelCalibration(model, curve, kept)


def curve_query(model_id: str) -> Query:
    """The SQL that gives a model's curve as rows of similarity and probability."""
    return Query(_CURVE, {"model": model_id})


def curve_of(conn: Connection, model: ModelInfo) -> Curve:
    """The model's curve in this file, or the one that its published threshold gives."""
    return calibrations.curve_of_model(conn, model.id) or calibration.published_curve(
        model.threshold
    )


def only_curve(conn: Connection) -> Curve | None:
    """The curve of a file's one model; None where there are several: a similarity names no model."""
    known = models.every(conn)
    return curve_of(conn, known[0]) if len(known) == 1 else None


def estimate(curve: Curve, similarity: object) -> float:
    """The probability, 0..1, that two faces of this similarity are one person, at equal odds.

    Raises SearchError for what is no cosine similarity.
    """
    if not isinstance(similarity, int | float):
        kind = "a blob" if isinstance(similarity, bytes) else "text"
        raise SearchError(f"a similarity is a number, -1 to 1, not {kind}")
    # NaN is not within, either
    if not abs(similarity) <= 1 + BEYOND:
        raise SearchError(f"a similarity is a number, -1 to 1, not {similarity:g}")
    return round(calibration.probability(curve, similarity), DIGITS)


class CurveCache:
    """The curves that one connection has read, until the file changes."""

    def __init__(self) -> None:
        self._version: tuple[int, int, bool] | None = None
        self._curves: dict[str | None, Curve] = {}

    def read(self, conn: Connection, model_id: str | None = None) -> Curve:
        """The curve of a model, or of the file's first. Raises SearchError."""
        # Others' commits count up the first, this connection's own writes the second
        others = conn.execute("pragma data_version").fetchone()[0]
        version = (others, conn.total_changes, conn.in_transaction)
        if version != self._version:
            self._curves.clear()
            self._version = version
        if model_id not in self._curves:
            self._curves[model_id] = curve_of(conn, searcher.model_of(conn, model_id))
        return self._curves[model_id]
