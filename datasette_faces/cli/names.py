"""`people … import-names`, `write-xmp`: names that other programs wrote, and names for them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .. import clusters, naming
from ..connections import reading, transaction, writing
from ..store import models
from .group import in_words
from .people import as_json_option, people_group, tell_faults


@people_group.command(name="import-names")
@as_json_option
@click.pass_obj
@in_words
def import_names(database: str, as_json: bool) -> None:
    """Name faces as other programs did: XMP in and next to the photos, Picasa, Google Takeout.

    The files have to be where they were. Who was named here stays; each name can be undone.
    """
    with writing(database) as conn:
        with transaction(conn):
            done = naming.take_in(conn)
        with transaction(conn):
            for model in models.every(conn)[:1]:
                clusters.cluster(conn, model)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    click.echo(
        f"{done.named:,} faces named as {done.photos:,} photos say; {done.known:,} were known already"
    )
    if done.unmet:
        click.echo(f"{done.unmet:,} names are of faces that were not found")
    if done.without_box:
        click.echo(f"{done.without_box:,} names do not say which face is meant")
    tell_faults(done.faults, all_by="--json")


@people_group.command(name="write-xmp")
@as_json_option
@click.pass_obj
@in_words
def write_xmp(database: str, as_json: bool) -> None:
    """Write the names into XMP sidecars next to the photos, never into the photos.

    What a sidecar holds already is kept; hidden people are left out.
    """
    with reading(database) as conn:
        done = naming.write_out(conn)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    click.echo(f"{done.written:,} sidecars written, {done.unchanged:,} say it already")
    tell_faults(done.faults, all_by="--json")
