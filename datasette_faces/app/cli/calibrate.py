"""`calibrate`: what a similarity means in a library, fitted to the people who are named in it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from ...algorithms.calibration import MIN_PAIRS, MIN_PEOPLE
from ...search import probability, searcher
from ...shapes import ModelInfo
from ...store import models
from ...store.calibrations import Kept
from ...store.database import changing, reading
from .group import counted, faces, in_words


@faces.command(name="calibrate")
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--model", "model_id", help="One model of the database; by default all")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, nothing else")
@in_words
def calibrate_command(database: str, model_id: str | None, as_json: bool) -> None:
    """Learn from the named people how likely a similarity means one person.

    Named people give pairs of faces that match; two faces of one photo, and two of different people,
    give pairs that do not. Run it again after naming or correcting more people.
    """
    with reading(database) as conn:
        chosen = [searcher.model_of(conn, model_id)] if model_id else models.every(conn)
    if not chosen:
        raise click.ClickException(
            "This file holds no faces yet; fill it with: datasette faces ingest"
        )
    try:
        with changing(database) as conn:
            found = [(model, probability.calibrate(conn, model.id)) for model in chosen]
    except KeyboardInterrupt:
        click.echo("\nStopped; the previous calibration is still used.", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps({"models": [_as_json(*it) for it in found]}))
    else:
        click.echo("\n\n".join("\n".join(_in_lines(*it)) for it in found))


def _as_json(model: ModelInfo, kept: Kept) -> dict[str, Any]:
    found = kept.calibration
    return {
        "model": model.id,
        "source": found.source,
        "threshold": found.threshold,
        "model_threshold": model.threshold,
        "people": kept.people,
        "matching_pairs": kept.matching_pairs,
        "photo_pairs": kept.photo_pairs,
        "people_pairs": kept.people_pairs,
        "calibrated_at": kept.calibrated_at,
        **asdict(found.evaluation),
    }


def _in_lines(model: ModelInfo, kept: Kept) -> list[str]:
    found = kept.calibration
    own = found.source == "library"
    return [
        f"{model.id}: {'calibrated by this library' if own else 'the published curve is used'}",
        *([] if own else _too_few(kept)),
        f"  {_pairs(kept.matching_pairs, 'matches', 'match')}, "
        f"of {counted(kept.people, 'named person', 'named people')}",
        f"  {_pairs(kept.photo_pairs, 'does not', 'do not')}: two faces of one photo",
        f"  {_pairs(kept.people_pairs, 'does not', 'do not')}: faces of two named people",
        f"  {found.threshold:>9.3f} threshold: above it, one person is more likely than two"
        f" (published: {model.threshold:g})",
        *_how_good(kept),
    ]


def _pairs(count: int, does: str, do: str) -> str:
    return counted(count, f"pair that {does}", f"pairs that {do}", width=9)


def _too_few(kept: Kept) -> list[str]:
    return [
        f"  There are too few labels yet: {MIN_PAIRS} pairs of each kind, and {MIN_PEOPLE} named "
        "people with several",
        "  faces each, are enough. Until then the model's published threshold says how likely a",
        "  similarity is. Name a few more people, and run the same command again.",
    ]


def _how_good(kept: Kept) -> list[str]:
    found = kept.calibration.evaluation
    if found.ece is None:
        return []
    held_out = " on pairs held out" if kept.calibration.source == "library" else ""
    lines = [
        f"  {found.ece:>9.3f} expected calibration error{held_out}",
        "",
        _row("FAR", "from", "TAR"),
    ]
    for rate in found.rates:
        if rate.tar is None:
            line = _row(f"{rate.far:g}", "-", "-", "too few pairs")
        else:
            matching = f"{rate.accepted_matching:,} of {kept.matching_pairs:,} pass"
            others = (
                f"and {rate.accepted_other:,} of {kept.photo_pairs + kept.people_pairs:,} others"
            )
            line = _row(
                f"{rate.far:g}", f"{rate.threshold:.3f}", f"{rate.tar:.1%}", f"{matching}, {others}"
            )
        lines.append(line)
    return lines


def _row(far: str, threshold: str, tar: str, counts: str = "") -> str:
    return f"  {far:>9}  {threshold:>7}  {tar:>7}  {counts}".rstrip()
