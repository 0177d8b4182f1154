"""`search` and `find`: the faces most like those of query photos, in a database or in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click

from ...library.ingest import folder_search
from ...library.ingest.run import IngestReport
from ...models import registry
from ...models.base import FaceModel
from ...models.pipeline import MIN_FACE_PX
from ...search import query_photos, save_crops
from ...search.query_photos import Example, MatchOptions, PhotoQuery
from ...search.searcher import Searcher
from ...shapes import ModelInfo
from ...store.connection import Connection
from ...store.database import reading
from ...store.vec_tables import MAX_K
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
from .tables import FORMATS

MOST_REJECTED = 10
"""So many files without a picture are named."""


@dataclass(frozen=True)
class _SearchOptions:
    """The options that both commands have."""

    images: tuple[str, ...]
    unlike: tuple[str, ...]
    face_number: int | None
    k: int
    threshold: float | None
    others: bool
    crops_folder: str | None
    output: str

    def __post_init__(self) -> None:
        if self.face_number is not None and len(self.images) > 1:
            raise click.UsageError("--face chooses among the faces of one query photo")


_OPTIONS = (
    click.option(
        "-k", type=click.IntRange(1, MAX_K), default=20, show_default=True, help="How many"
    ),
    click.option(
        "--threshold", type=Number(-1, 1), help="Only faces of at least this similarity, -1 to 1"
    ),
    click.option("--others", is_flag=True, help="Leave out the query photos themselves"),
    click.option(
        "--not",
        "unlike",
        multiple=True,
        type=click.Path(),
        metavar="IMAGE",
        help="A photo of a look-alike who is not meant; may be repeated",
    ),
    click.option(
        "--face",
        "face_number",
        type=click.IntRange(min=1),
        help="Which face of the query photo, from the left; by default the largest",
    ),
    click.option(
        "--crops",
        "crops_folder",
        type=click.Path(),
        metavar="DIR",
        help="Save the faces found there",
    ),
    click.option(
        "--format",
        "output",
        type=click.Choice(list(FORMATS)),
        default="table",
        show_default=True,
        help="Output format",
    ),
)


def _search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@faces.command(name="search")
@click.argument("database", type=click.Path(dir_okay=False))
@click.argument("images", nargs=-1, required=True, type=click.Path())
@_search_options
@click.option(
    "--min-face",
    "min_face_px",
    type=Number(min=0),
    help="Skip faces whose shorter side has fewer pixels; of query photos, "
    f"{MIN_FACE_PX} by default",
)
@click.option(
    "--model",
    "model_id",
    help="A model of the database, by its id or by the folder of its pack; by default its first",
)
@in_words
def search_command(
    database: str, model_id: str | None, min_face_px: float | None, **options: Any
) -> None:
    """Find the faces of a database that are most like the one in IMAGES.

    Several IMAGES of one person find more than one does. Prints the best matches first: similarity
    (cosine, 1 is the same picture), face, box and photo.
    """
    search = _SearchOptions(**options)
    with reading(database) as conn:
        model = query_photos.choose_model(conn, model_id, fetch=_fetch)
        query = _query(
            search,
            model,
            MIN_FACE_PX if min_face_px is None else min_face_px,
            check=lambda info: query_photos.check_weights(conn, info),
        )
        _show(conn, query, search, min_face_px or 0)


@faces.command(name="find")
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.argument("folder", type=click.Path())
@_search_options
@click.option(
    "--min-face",
    "min_face_px",
    type=Number(min=0),
    default=MIN_FACE_PX,
    show_default=True,
    help="Skip faces whose shorter side has fewer pixels",
)
@model_option
@workers_option
@in_words
def find_command(
    folder: str, model_id: str, workers: int | None, min_face_px: float, **options: Any
) -> None:
    """Find the photographs in FOLDER that show the person in IMAGES, without a database.

    Every photograph is analysed each time, and nothing is kept. To search more than once, use
    `datasette faces ingest`, then `datasette faces search`.
    """
    search = _SearchOptions(**options)
    folder_search.check_folder(folder)
    model = registry.model(model_id)
    say_licence(model)
    model.fetch()
    try:
        query = _query(search, model, min_face_px)
        with ExitStack() as until_shown:
            with progress_of("Looking", quiet=search.output == "json") as progress:
                database, report = until_shown.enter_context(
                    folder_search.temporary_database(
                        folder,
                        model,
                        worker_count=workers,
                        min_face_px=min_face_px,
                        progress=progress,
                    )
                )
            _say_rejected(report)
            _show(until_shown.enter_context(reading(database)), query, search, min_face_px)
    except KeyboardInterrupt:
        click.echo("\nStopped; nothing was kept.", err=True)
        sys.exit(1)


def _say_rejected(report: IngestReport) -> None:
    """The first files that gave no picture, and how many more there are; the first damaged ones."""
    for rejected in report.errors[:MOST_REJECTED] + report.damaged[:MOST_REJECTED]:
        _note(f"{rejected.path}: {rejected.reason}")
    if more := len(report.errors[MOST_REJECTED:]):
        _note(f"…and {counted(more, 'more file')} without a picture")


def _fetch(model: FaceModel) -> None:
    if model.missing():
        say_licence(model)
    model.fetch()


def _query(
    options: _SearchOptions,
    model: FaceModel,
    min_face_px: float,
    check: Callable[[ModelInfo], None] = lambda info: None,
) -> PhotoQuery:
    """The query of all photos; notes about each go to stderr."""
    info, examples = query_photos.find_faces(
        options.images, model, unlike=options.unlike, min_face_px=min_face_px, check=check
    )
    if options.face_number and examples[0].faces:
        examples[0] = query_photos.choose_face(examples[0], options.face_number)
    query = query_photos.build_query(info, examples)
    for example in examples:
        _say(example, options)
    if options.crops_folder is not None:
        save_crops.make_folder(options.crops_folder)
    return query


def _say(example: Example, options: _SearchOptions) -> None:
    """Print notes about a query photo to stderr."""
    if example.face is None:
        _note(f"{example.path}: {example.reason}; it is left out")
    elif len(example.faces) > 1 and (options.face_number is None or example.unlike):
        free = len(options.images) == 1 and not example.unlike
        choice = "; --face N takes another, counted from the left" if free else ""
        _note(f"{example.path}: {len(example.faces)} faces; the largest is taken{choice}")
    if example.face and example.damage:
        _note(f"{example.path}: {example.damage}")


def _show(conn: Connection, query: PhotoQuery, options: _SearchOptions, min_face_px: float) -> None:
    """Print what was found, and save its crops if the options say so."""
    wanted = MatchOptions(options.k, options.threshold, min_face_px, options.others)
    found = query_photos.find_matches(conn, Searcher(), query, wanted)
    if options.crops_folder is not None:
        saved = save_crops.save_crops(conn, found, options.crops_folder)
        _note(f"{counted(saved, 'crop')}: {options.crops_folder}")
    if found or options.output != "table":
        click.echo(FORMATS[options.output](query, found))
    else:
        click.echo(_nothing(wanted))


def _nothing(wanted: MatchOptions) -> str:
    """That nothing was found, among what."""
    among = []
    if wanted.threshold is not None:
        among.append(f"of a similarity of {wanted.threshold:g} or more")
    if wanted.min_face_px:
        among.append(f"of {wanted.min_face_px:g} px or more")
    if wanted.others:
        among.append("in another photo")
    return " ".join(["No face", *among, "was found."])


def _note(text: str) -> None:
    click.echo(printable(text), err=True)
