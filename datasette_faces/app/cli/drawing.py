"""`people … draw`: a box round a face that the detector missed."""

from __future__ import annotations

import os

import click

from ...errors import DecisionError, FaceThere
from ...media.files import as_text
from ...models import registry
from ...models.at_hand import AtHand
from ...people import decide, grouping, manual_faces
from ...shapes import ModelInfo
from ...store import models, photos
from ...store.connection import Connection, transaction
from ...store.database import changing
from .group import Number, given_models_option, in_words
from .people import people_group

_pixels = Number(min=0)


@people_group.command(name="draw")
@click.argument("photo")
@click.argument("x", type=_pixels)
@click.argument("y", type=_pixels)
@click.argument("width", type=_pixels)
@click.argument("height", type=_pixels)
@click.option("--name", help="Whose face it is")
@given_models_option
@click.pass_obj
@in_words
def draw(
    database: str,
    photo: str,
    x: float,
    y: float,
    width: float,
    height: float,
    name: str | None,
    model_ids: tuple[str, ...],
) -> None:
    """Draw a box round a face that the detector missed: it becomes a face as any other.

    PHOTO is its number or its path. X, Y, WIDTH and HEIGHT are pixels of the upright, full-size
    picture, whose file has to be where it was. Undone, the face goes; redone, it comes back.
    """
    called = decide.clean_name(name) if name else None
    given = [registry.model(it) for it in model_ids]
    with changing(database) as conn, AtHand(given) as look:
        about = manual_faces.subject(conn, _photo(conn, photo))
        infos = models.every(conn)
        try:
            outline = manual_faces.outline(
                about, manual_faces.checked_box(about, (x, y, width, height))
            )
        except FaceThere as error:
            raise DecisionError(f"{error}: face {error.face_id}") from None
        made = manual_faces.make(look, infos, manual_faces.original(about), outline)
        with transaction(conn):
            decision, face_id = manual_faces.draw(conn, about, made)
            if called:
                decide.give(conn, [face_id], decide.called(conn, called), called, by=decide.NOBODY)
        _group(conn, infos)
    for model_id, why in made.lacking.items():
        click.echo(f"Without an embedding by {model_id}: {why}", err=True)
    seen = "" if made.face.detection.score else ", by the box alone: no detector sees it"
    undo = f"undo it with: datasette faces people {database} undo {decision.id}"
    click.echo(f"Face {face_id} is drawn{seen} (decision {decision.id}; {undo})")


def _photo(conn: Connection, wanted: str) -> int:
    """The id of the photo of that number or path. Raises DecisionError."""
    if wanted.isdecimal() and len(wanted) < 19:
        return int(wanted)
    found = photos.at_path(conn, as_text(os.path.abspath(wanted))[0])
    if found is None:
        raise DecisionError(f"{wanted} is not among the photos of this database: ingest it first")
    return found


def _group(conn: Connection, infos: list[ModelInfo]) -> None:
    with transaction(conn):
        for info in infos[:1]:
            grouping.grow(conn, info)
