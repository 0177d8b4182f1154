"""`embed`: another model's embeddings for the photographs that a database knows."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ...errors import FacesError
from ...library.ingest.run import ingest
from ...media.files import as_path
from ...models import registry
from ...store import photos
from ...store.database import reading
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words, progress_of, say_licence, workers_option


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False, exists=True))
@click.option(
    "--model",
    "model_id",
    required=True,
    help="A model's id (see: datasette faces models), or the folder of an InsightFace pack",
)
@workers_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@in_words
def embed(database: str, model_id: str, workers: int | None, as_json: bool) -> None:
    """Add another model's embeddings to the photographs of a database.

    The files must still be where they were: they are analysed again. Faces that are known keep their
    rows, their names and their other embeddings.
    """
    model = registry.model(model_id)
    with reading(database) as conn:
        places = [as_path(path, raw) for path, raw in photos.places(conn)]
    if not places:
        raise FacesError(
            "No photograph of this database is where it was; ingest their folder instead"
        )
    if not as_json:
        say_licence(model)
    with progress_of("Embedding", quiet=as_json) as progress:
        report = ingest(database, places, model, worker_count=workers, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    click.echo(
        f"{counted(report.faces, 'face')} by {model.id} in {counted(report.analysed_again, 'photo')} "
        f"({report.seconds:.1f} s); {counted(report.missing, 'photo is', 'photos are')} missing\n"
        "To group faces by this model: "
        f"datasette faces cluster {quote_for_shell(database)} --model {model.id}"
    )
