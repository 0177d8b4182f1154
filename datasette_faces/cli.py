"""`datasette faces …`: click in, plain functions, text or JSON out. No logic of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from typing import Any

import click

from . import demo as demo_pictures
from . import registry, serving
from .analysis import MIN_FACE_PX
from .connections import reading
from .errors import FacesError
from .ingest import Progress, Report, ingest
from .shapes import File
from .store import summary

DEFAULT_PORT = 8001
"""Datasette's own."""
PLAIN_EVERY = 100
"""Where the output is no terminal: a line each so many files."""


@click.group()
def faces() -> None:
    """Find, search and publish the faces in your photographs."""


def _in_words(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the library's errors into one line and exit status 1."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except FacesError as error:
            raise click.ClickException(str(error)) from error

    return wrapped


_model_option = click.option(
    "--model",
    "model_id",
    default=registry.DEFAULT_MODEL,
    show_default=True,
    help="A model's id (see: datasette faces models), or the folder of an InsightFace pack",
)
_open_option = click.option(
    "--open", "open_browser", is_flag=True, help="Then serve the gallery and open it in a browser"
)


@faces.command(name="ingest")
@click.argument("database", type=click.Path(dir_okay=False))
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@_model_option
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes; as many as there are cores"
)
@click.option(
    "--min-face",
    "min_face_px",
    type=click.FloatRange(min=0),
    default=MIN_FACE_PX,
    show_default=True,
    help="Leave out faces whose shorter side has fewer pixels",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@_open_option
@_in_words
def ingest_command(
    database: str,
    paths: tuple[str, ...],
    model_id: str,
    workers: int | None,
    min_face_px: float,
    as_json: bool,
    open_browser: bool,
) -> None:
    """Find the faces in folders, files and globs of photographs.

    DATABASE is made where there is none. Photographs are known by their content: run the same line
    again after adding, moving or editing some, or after it was stopped, and only what is new is
    looked at.
    """
    if as_json and open_browser:
        raise click.UsageError("--json prints JSON and nothing else; it goes without --open")
    model = registry.model(model_id)
    if not as_json and not model.commercial:
        click.echo(f"Licence of {model.id}: {model.licence}", err=True)
    try:
        with _progress(as_json) as progress:
            report = ingest(
                database,
                list(paths),
                model,
                worker_count=workers,
                min_face_px=min_face_px,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(
            "\nStopped; all that was finished is kept. The same line goes on from here.", err=True
        )
        sys.exit(1)
    click.echo(json.dumps(_as_json(report)) if as_json else _in_sentences(report, database))
    if not report.pictures:
        sys.exit(1)
    if open_browser:
        serving.serve(database, port=DEFAULT_PORT, announce=click.echo)


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False), default="faces-demo.db")
@_model_option
@click.option("--serve/--no-serve", default=True, help="Serve the result and open it in a browser")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Or the next free one",
)
@_in_words
def demo(database: str, model_id: str, serve: bool, port: int) -> None:
    """Take the five-minute tour: faces from pictures that installed packages ship.

    DATABASE is where the result goes, faces-demo.db if none is named.
    """
    pictures = demo_pictures.pictures()
    report = ingest(database, pictures, registry.model(model_id))
    click.echo(_in_sentences(report, database))
    if serve:
        serving.serve(database, port=port, announce=click.echo)


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print numbers as JSON")
@_in_words
def status(database: str, as_json: bool) -> None:
    """Say what is in a database, and which files gave no photo, and why."""
    with reading(database) as conn:
        counts, errors = summary.counts(conn), summary.errors(conn)
    if as_json:
        click.echo(json.dumps(counts))
        return
    for name in ("photos", "faces", "people", "missing", "errors"):
        click.echo(f"{name:<10}{counts[name]:>12,}")
    for model in counts["models"]:
        line = "model     {faces:>12,} faces by {id}, {dimensions} dimensions; licence: {licence}"
        click.echo(line.format(**model))
        if model["waiting"]:
            click.echo(f"          {model['waiting']:>12,} photos wait to be ingested with it")
    for index in counts["indexes"]:
        click.echo(f"index     {index}")
    for error in errors:
        click.echo(f"\n{_printable(error['path'])}\n    {error['reason']}", nl=False)
    if errors:
        click.echo()


@faces.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON")
@_in_words
def models(as_json: bool) -> None:
    """List the models known here, their licences, and whether their weights are at hand."""
    listed = [
        {
            "id": model.id,
            "name": model.name,
            "dimensions": model.dimensions,
            "threshold": model.threshold,
            "licence": model.licence,
            "commercial": model.commercial,
            "at_hand": model.missing() is None,
            "missing": model.missing(),
        }
        for model in registry.models().values()
    ]
    if as_json:
        click.echo(json.dumps(listed))
        return
    for item in listed:
        default = " (default)" if item["id"] == registry.DEFAULT_MODEL else ""
        click.secho(f"{item['id']}{default}", bold=True)
        click.echo(f"    {item['name']}, {item['dimensions']} dimensions")
        click.echo(f"    same person from a cosine similarity of {item['threshold']} on")
        click.echo(f"    licence: {item['licence']}")
        click.echo(f"    weights: {item['missing'] or 'at hand'}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, plain lines elsewhere, nothing with --json; all of it on stderr."""
    if quiet:
        yield lambda done, total, file: None
    elif not sys.stderr.isatty():
        yield _plain_line
    else:
        started = time.monotonic()

        def rate(done: int | None) -> str:
            return f"{(done or 0) / max(time.monotonic() - started, 0.1):.1f} photos/s"

        with click.progressbar(
            length=1, label="Ingesting", file=sys.stderr, show_pos=True, item_show_func=rate
        ) as bar:

            def advance(done: int, total: int, file: File | None) -> None:
                bar.length = total
                bar.update(1, done)

            yield advance


def _plain_line(done: int, total: int, file: File | None) -> None:
    if done % PLAIN_EVERY == 0 or done == total:
        click.echo(f"{done} of {total} files", err=True)


def _as_json(report: Report) -> dict[str, Any]:
    values = asdict(report)
    values["photos"] = report.pictures
    return values


def _in_sentences(report: Report, database: str) -> str:
    found = f"{report.faces:,} faces found" if report.faces else "No new faces"
    lines = [f"{found} in {report.found:,} files ({report.seconds:.1f} s): {database}"]
    for name, count in (
        ("new", report.new),
        ("edited", report.edited),
        ("moved or copied", report.moved),
        ("looked at with another model", report.analysed_again),
        ("unchanged", report.unchanged),
        ("missing now", report.missing),
        ("without a picture", len(report.errors)),
    ):
        if count:
            lines.append(f"{count:>8,} {name}")
    lines += [f"    {_printable(item.path)}: {item.reason}" for item in report.errors[:10]]
    if len(report.errors) > 10:
        lines.append(f"    …all of them: datasette faces status {database}")
    if report.pictures:
        address = f"http://127.0.0.1:{DEFAULT_PORT}{serving.gallery_path(database)}"
        lines.append(f"Look at them: datasette {database}, then {address}")
    return "\n".join(lines)


def _printable(path: str) -> str:
    """A path on one line, whatever its name holds."""
    return path if path.isprintable() else ascii(path)[1:-1]
