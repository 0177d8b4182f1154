"""`people … import-names`, `write-xmp`: names from other programs, and names for them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ...models import registry
from ...models.model_pools import ModelPools
from ...people import export_xmp, grouping
from ...people import import_names as naming
from ...people.import_names import NameImportReport
from ...store import models
from ...store.connection import transaction
from ...store.database import changing, reading
from .group import counted, given_models_option, in_words, progress_of
from .people import as_json_option, people_group, tell_faults


@people_group.command(name="import-names")
@as_json_option
@given_models_option
@click.pass_obj
@in_words
def import_names(database: str, as_json: bool, model_ids: tuple[str, ...]) -> None:
    """Import names from other programs: XMP in and next to the photos, Picasa, Google Takeout.

    An ingest does this, too; this command reads all photos again. The files must still be where they were.
    Faces that were named here keep their names, and each imported name can be undone. Where no face
    was found, one is added.
    """
    given = [registry.model(model_id) for model_id in model_ids]
    with changing(database) as conn:
        with ModelPools(given) as pools, progress_of("Reading names", quiet=as_json) as progress:
            report = naming.import_photo_names(conn, pools, progress=progress)
        with transaction(conn):
            for model in models.every(conn)[:1]:
                grouping.cluster(conn, model)
            proposed = naming.propose_names(conn)
    if as_json:
        click.echo(json.dumps({**asdict(report), "proposed": proposed}))
        return
    for line in _in_sentences(report, proposed):
        click.echo(line)
    tell_faults(report.faults, all_by="--json")


def _in_sentences(report: NameImportReport, proposed: int) -> list[str]:
    photos = counted(report.photos, "photo with names", "photos with names")
    known = counted(report.known, "name was", "names were")
    lines = [f"{counted(report.named, 'face')} named, from {photos}; {known} known already"]
    for count, one, many in (
        (
            report.drawn,
            "of these faces had not been found, and was added",
            "of these faces had not been found, and were added",
        ),
        (
            report.unmet,
            "name belongs to a face that was not found and could not be added",
            "names belong to faces that were not found and could not be added",
        ),
        (
            report.without_box,
            "name does not say which face is meant",
            "names do not say which face is meant",
        ),
        (
            proposed,
            "person without a name has a name proposed on their page",
            "people without a name have a name proposed on their pages",
        ),
    ):
        if count:
            lines.append(counted(count, one, many))
    return lines


@people_group.command(name="write-xmp")
@as_json_option
@click.pass_obj
@in_words
def write_xmp(database: str, as_json: bool) -> None:
    """Write the names into XMP sidecars next to the photos, never into the photos.

    Everything else in a sidecar is kept; hidden people are left out.
    """
    with reading(database) as conn:
        report = export_xmp.write_sidecars(conn)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    unchanged = counted(report.unchanged, "was", "were")
    click.echo(f"{counted(report.written, 'sidecar')} written, {unchanged} up to date")
    tell_faults(report.faults, all_by="--json")
