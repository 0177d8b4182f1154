"""`status` and `models`: what is in a file, and which models are installed."""

from __future__ import annotations

import json

import click

from ...models import registry
from ...store import file_names, summary
from ...store.database import reading
from .group import counted, faces, in_words, printable


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print numbers as JSON")
@in_words
def status(database: str, as_json: bool) -> None:
    """Show what is in a database, and which files failed or are damaged, and why."""
    with reading(database) as conn:
        counts = summary.counts(conn)
        errors = summary.errors(conn) + summary.damaged(conn)
    if as_json:
        click.echo(json.dumps(counts))
        return
    for name in ("photos", "faces", "people", "missing", "errors", "damaged"):
        if name in counts:
            click.echo(f"{name:<10}{counts[name]:>12,}")
    for model in counts["models"]:
        found = counted(model["faces"], "face", width=12)
        facts = "by {id}, {dimensions} dimensions; licence: {licence}".format(**model)
        click.echo(f"model     {found} {facts}")
        if model["waiting"]:
            wait = counted(model["waiting"], "photo is", "photos are", width=12)
            click.echo(f"          {wait} not ingested with it yet")
    for index in counts["indexes"]:
        click.echo(f"index     {index}")
    for error in errors:
        click.echo(f"\n{printable(error['path'])}\n    {error['reason']}", nl=False)
    if errors:
        click.echo()
    if file_names.find_way_to_open(database) is None:
        click.echo(file_names.explain_renaming(database))


@faces.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON")
@in_words
def models(as_json: bool) -> None:
    """List the models known here, their licences, and whether their weights are installed."""
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
        click.echo(f"    same person from a cosine similarity of {item['threshold']}")
        click.echo(f"    licence: {item['licence']}")
        click.echo(f"    weights: {item['missing'] or 'installed'}")
