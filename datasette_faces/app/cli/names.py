"""`people … import-names`, `write-xmp`: names that other programs wrote, and names for them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ...models import registry
from ...models.at_hand import AtHand
from ...people import export_xmp, grouping, propose_names
from ...people import import_names as naming
from ...people.import_names import Imported
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
    """Name faces as other programs did: XMP in and next to the photos, Picasa, Google Takeout.

    An ingest does so by itself; this reads all photos again. The files have to be where they were. Who
    was named here stays; each name can be undone. Where no face was found, one is made.
    """
    given = [registry.model(it) for it in model_ids]
    with changing(database) as conn:
        with AtHand(given) as look, progress_of("Reading names", quiet=as_json) as progress:
            done = naming.take_in(conn, look, progress=progress)
        with transaction(conn):
            for model in models.every(conn)[:1]:
                grouping.cluster(conn, model)
            proposed = propose_names.propose(conn)
    if as_json:
        click.echo(json.dumps({**asdict(done), "proposed": proposed}))
        return
    for line in _in_sentences(done, proposed):
        click.echo(line)
    tell_faults(done.faults, all_by="--json")


def _in_sentences(done: Imported, proposed: int) -> list[str]:
    say = counted(done.photos, "photo says", "photos say")
    known = counted(done.known, "was known", "were known")
    lines = [f"{counted(done.named, 'face')} named as {say}; {known} already"]
    for count, one, many in (
        (
            done.drawn,
            "of these faces was not found before, and is drawn",
            "of these faces were not found before, and are drawn",
        ),
        (
            done.unmet,
            "name is of a face that was not found, and could not be drawn",
            "names are of faces that were not found, and could not be drawn",
        ),
        (
            done.without_box,
            "name does not say which face is meant",
            "names do not say which face is meant",
        ),
        (
            proposed,
            "person without a name has one proposed, on their page",
            "people without a name have one proposed, on their pages",
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

    What a sidecar holds already is kept; hidden people are left out.
    """
    with reading(database) as conn:
        done = export_xmp.write_out(conn)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    unchanged = counted(done.unchanged, "says", "say")
    click.echo(f"{counted(done.written, 'sidecar')} written, {unchanged} it already")
    tell_faults(done.faults, all_by="--json")
