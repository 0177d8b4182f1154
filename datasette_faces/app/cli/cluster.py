"""`cluster`: who belongs together, as the machine proposes it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click

from ...people import grouping
from ...people.import_names import propose_names
from ...search.searcher import model_of
from ...store.connection import transaction
from ...store.database import changing
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.option(
    "--model",
    "model_id",
    help="The model to group by; the first one of the file if left out",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@in_words
def cluster(database: str, model_id: str | None, as_json: bool) -> None:
    """Group the faces of a database into people.

    Decisions stay: who a face is, who it is not, and every name.
    """
    started = time.monotonic()
    with changing(database) as conn:
        model = model_of(conn, model_id)
        if not as_json:
            click.echo(f"Grouping faces by {model.id}…", err=True)
        with transaction(conn):
            done = grouping.cluster(conn, model)
            propose_names(conn)
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        click.echo(json.dumps({**asdict(done), "model": model.id, "seconds": seconds}))
        return
    click.echo(
        f"{counted(done.people, 'person', 'people')} in {counted(done.faces, 'face')}, "
        f"{counted(done.alone, 'face by itself', 'faces by themselves')} ({seconds:.1f} s)\n"
        f"Name them: datasette faces people {quote_for_shell(database)} list"
    )
