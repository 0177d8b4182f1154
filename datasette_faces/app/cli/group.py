"""The group of commands, and what they share: options, errors in words, progress."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from ...errors import FacesError
from ...library.ingest.run import Progress
from ...models import registry
from ...models.base import FaceModel
from ...shapes import File
from ...store import patience

PLAIN_EVERY = 100
"""Where the output is no terminal: a line each so many files."""


@click.group()
@click.version_option(package_name="datasette-faces", message="%(package)s, version %(version)s")
def faces() -> None:
    """Find, search and publish the faces in your photographs."""


def in_words(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the library's errors into one line and exit status 1."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            with _notes_on_stderr():
                return command(*arguments, **options)
        except FacesError as error:
            raise click.ClickException(printable(str(error))) from error

    return wrapped


class _OnStderr(logging.Handler):
    """Says on stderr that a file is in use, and waited for."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable(record.getMessage()), err=True)


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    handler = _OnStderr()
    patience.LOG.addHandler(handler)
    try:
        yield
    finally:
        patience.LOG.removeHandler(handler)


class Number(click.FloatRange):
    """A number within bounds; NaN is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


model_option = click.option(
    "--model",
    "model_id",
    default=registry.DEFAULT_MODEL,
    show_default=True,
    help="A model's id (see: datasette faces models), or the folder of an InsightFace pack",
)
given_models_option = click.option(
    "--model",
    "model_ids",
    multiple=True,
    help="The pack folder of a model in the database that is not registered",
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes; as many as there are cores"
)


def say_licence(model: FaceModel) -> None:
    """Say the licence of weights that may not be used for everything."""
    if not model.commercial:
        click.echo(f"Licence of {model.id}: {model.licence}", err=True)


@contextmanager
def progress_of(label: str, *, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, plain lines elsewhere, nothing where it is quiet; all of it on stderr."""
    if quiet:
        yield lambda done, total, file: None
    elif not sys.stderr.isatty():
        yield _plain_line
    else:
        started = time.monotonic()

        def rate(done: int | None) -> str:
            return f"{(done or 0) / max(time.monotonic() - started, 0.1):.1f} photos/s"

        with click.progressbar(
            length=1, label=label, file=sys.stderr, show_pos=True, item_show_func=rate
        ) as bar:

            def advance(done: int, total: int, file: File | None) -> None:
                bar.length = total
                bar.update(1, done)

            yield advance


def _plain_line(done: int, total: int, file: File | None) -> None:
    if done % PLAIN_EVERY == 0 or done == total:
        click.echo(f"{done:,} of {counted(total, 'file')}", err=True)


def printable(text: str) -> str:
    """Text, as of a path, on one line, whatever it holds."""
    return text if text.isprintable() else ascii(text)[1:-1]


def counted(count: int, one: str, many: str = "", *, width: int = 0) -> str:
    """How many of what, in words that fit the number; many: where it is not `one` with an s.

    width: of the number, at least, in a column.
    """
    return f"{count:>{width},} {one if count == 1 else many or one + 's'}"
