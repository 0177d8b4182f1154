"""The page of a model's calibration: what its similarities mean in this library, and how sure that is."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import NotFound, Response

from ...algorithms import calibration
from ...algorithms.calibration import Curve, Evaluation
from ...errors import SearchError
from ...search import probability
from ...search.probability import ModelCalibration
from ...store import gallery, models, table_privacy
from ...store.calibrations import Kept
from ..datasette import permissions
from .page import BadRequest, Page, page_view

TABLES = ("faces", "photos", "face_embeddings", "calibrations")
WIDTH, HEIGHT = 320, 240
"""Of the plots' own coordinates; they are drawn as large as there is room."""
LEAST_RADIUS, MOST_RADIUS = 3.0, 9.0


async def calibration_url(page: Page, model_id: str) -> str | None:
    """The address of a model's calibration, if this actor may see it."""
    if not await permissions.may_view(page.datasette, page.request, page.database, *TABLES):
        return None
    return page.url("/calibration", model=model_id)


@page_view(*TABLES)
async def calibration_page(page: Page) -> Response:
    """The curve, the reliability plot and the accept rates of one model."""
    if not await page.read(table_privacy.is_searchable):
        raise NotFound("This catalogue was published without a search: it has no embeddings")
    try:
        shown = await page.read(
            probability.read_calibration, page.request.args.get("model") or None
        )
    except SearchError as error:
        raise BadRequest(str(error)) from None
    query = probability.curve_query(shown.model.id)
    rows = await page.read(gallery.rows, query)
    facts = {
        "model": shown.model.id,
        "source": shown.source,
        "threshold": calibration.even_chance(shown.curve),
        "model_threshold": shown.model.threshold,
        **_counts(shown.kept),
        **asdict(shown.evaluation),
    }
    if page.as_json:
        return Response.json({**facts, "curve": rows})
    context = {**facts, "rows": rows, "sql_url": await page.sql_url(query)}
    return await page.html("calibration.html", {**context, **await _context(page, shown)})


async def _context(page: Page, shown: ModelCalibration) -> dict[str, Any]:
    """What the page shows besides: its plots, the other models, how to calibrate."""
    path = page.datasette.get_database(page.database).path
    return {
        "models": [model.id for model in await page.read(models.every)],
        "file_name": os.path.basename(path or "faces.db"),
        "least": {"pairs": calibration.MIN_PAIRS, "people": calibration.MIN_PEOPLE},
        "size": {"width": WIDTH, "height": HEIGHT},
        "curve": _line(shown.curve),
        "published": _line(calibration.published_curve(shown.model.threshold)),
        "points": _points(shown.evaluation),
    }


def _counts(kept: Kept | None) -> dict[str, Any]:
    names = ("people", "matching_pairs", "photo_pairs", "people_pairs", "calibrated_at")
    return {name: getattr(kept, name) if kept else None for name in names}


def _line(curve: Curve) -> str:
    """A curve as the points of an SVG polyline: similarities 0 to 1 from left to right."""
    shown = [0.01 * step for step in range(101)]
    points = ((WIDTH * it, HEIGHT * (1 - calibration.probability(curve, it))) for it in shown)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _points(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The reliability plot's points: the larger, the more pairs of about this chance."""
    most = max((part.share for part in evaluation.bins), default=1.0)
    grown = MOST_RADIUS - LEAST_RADIUS
    return [
        {
            "x": round(WIDTH * part.predicted, 1),
            "y": round(HEIGHT * (1 - part.observed), 1),
            "radius": round(LEAST_RADIUS + grown * (part.share / most) ** 0.5, 1),
            **asdict(part),
        }
        for part in evaluation.bins
    ]
