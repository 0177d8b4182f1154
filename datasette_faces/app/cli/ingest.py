"""`ingest` and `demo`: photographs into a database."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from ...library.ingest import demo as demo_pictures
from ...library.ingest.run import IngestReport, ingest
from ...models import registry
from ...models.pipeline import MIN_FACE_PX
from ...store import file_names
from ...store.file_names import quote_for_shell
from ..datasette import serve as serving
from .group import (
    Number,
    counted,
    faces,
    in_words,
    model_option,
    printable,
    progress_of,
    say_licence,
    workers_option,
)

DEFAULT_PORT = 8001
"""Datasette's own."""

_open_option = click.option(
    "--open", "open_browser", is_flag=True, help="Then serve the gallery and open it in a browser"
)


@faces.command(name="ingest")
@click.argument("database", type=click.Path(dir_okay=False))
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@model_option
@workers_option
@click.option(
    "--min-face",
    "min_face_px",
    type=Number(min=0),
    default=MIN_FACE_PX,
    show_default=True,
    help="Skip faces whose shorter side has fewer pixels",
)
@click.option(
    "--cluster/--no-cluster",
    "clustered",
    default=True,
    help="Group the new faces into people, which is the default, or not",
)
@click.option(
    "--names/--no-names",
    default=True,
    help="Import the names from other programs (XMP, Picasa, Takeout), which is the default, or not",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@_open_option
@in_words
def ingest_command(
    database: str,
    paths: tuple[str, ...],
    model_id: str,
    workers: int | None,
    min_face_px: float,
    clustered: bool,
    names: bool,
    as_json: bool,
    open_browser: bool,
) -> None:
    """Find the faces in folders, files and globs of photographs.

    DATABASE is created if it does not exist. Photographs are known by their content: run the same command
    again after adding, moving or editing some, or after it was stopped, and only what is new is
    analysed.
    """
    if as_json and open_browser:
        raise click.UsageError("--json cannot be combined with --open")
    model = registry.model(model_id)
    if not as_json:
        say_licence(model)
    try:
        with progress_of("Ingesting", quiet=as_json) as progress:
            report = ingest(
                database,
                list(paths),
                model,
                worker_count=workers,
                min_face_px=min_face_px,
                clustered=clustered,
                names=names,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(
            "\nStopped; all that was finished is kept. Run the same command to continue.", err=True
        )
        sys.exit(1)
    click.echo(json.dumps(_as_json(report)) if as_json else _in_sentences(report, database))
    if not report.pictures:
        sys.exit(1)
    if open_browser:
        serving.serve(database, port=DEFAULT_PORT, announce=click.echo)


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False), default="faces-demo.db")
@model_option
@click.option("--serve/--no-serve", default=True, help="Serve the result and open it in a browser")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Or the next free one",
)
@in_words
def demo(database: str, model_id: str, serve: bool, port: int) -> None:
    """Take the five-minute tour: faces from pictures that installed packages ship.

    DATABASE is where the result goes, by default faces-demo.db.
    """
    pictures = demo_pictures.find_demo_pictures()
    report = ingest(database, pictures, registry.model(model_id))
    click.echo(_in_sentences(report, database))
    if serve:
        serving.serve(database, port=port, announce=click.echo)


def _as_json(report: IngestReport) -> dict[str, Any]:
    values = asdict(report)
    values["photos"] = report.pictures
    for name in ("lost", "damaged"):
        if not values[name]:
            del values[name]
    return values


def _in_sentences(report: IngestReport, database: str) -> str:
    found = f"{counted(report.faces, 'face')} found" if report.faces else "No new faces"
    lines = [
        f"{found} in {counted(report.found, 'file')} ({report.seconds:.1f} s): {printable(database)}"
    ]
    lines += _list_counts(report)
    told = report.errors + report.damaged
    lines += [f"    {printable(item.path)}: {item.reason}" for item in told[:10]]
    if len(told) > 10:
        lines.append(f"    …all of them: datasette faces status {quote_for_shell(database)}")
    lines += [f"    {printable(path)}: {printable(why)}" for path, why in report.faults[:10]]
    if len(report.faults) > 10:
        lines.append(
            f"    …all of them: datasette faces people {quote_for_shell(database)} import-names --json"
        )
    if report.pictures:
        lines.append(_how_to_browse(database))
    return "\n".join(lines)


def _how_to_browse(database: str) -> str:
    command = file_names.command_to_open(database)
    if command is None:
        return file_names.explain_renaming(database)
    address = f"http://127.0.0.1:{DEFAULT_PORT}{serving.gallery_path(database)}"
    return f"Browse them: {command}, then {address}"


def _list_counts(report: IngestReport) -> list[str]:
    """One line for each count that is not 0."""
    counts = (
        ("new", report.new),
        ("edited", report.edited),
        ("moved or copied", report.moved),
        ("analysed with another model", report.analysed_again),
        ("unchanged", report.unchanged),
        ("missing now", report.missing),
        (
            "face of a person is no longer in its edited photo"
            if report.lost == 1
            else "faces of people are no longer in their edited photos",
            report.lost,
        ),
        (f"manual face{'' if report.drawn == 1 else 's'}, recreated", report.drawn),
        (f"face{'' if report.named == 1 else 's'} named by other programs", report.named),
        ("without a picture", len(report.errors)),
        ("damaged, and ingested as far as they can be read", len(report.damaged)),
        ("person" if report.people == 1 else "people", report.people),
    )
    return [f"{count:>8,} {name}" for name, count in counts if count]
