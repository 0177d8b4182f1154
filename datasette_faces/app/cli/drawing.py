"""`people … draw`: a box around a face that the detector missed."""

from __future__ import annotations

import os

import click

from ...errors import DecisionError, FaceThere
from ...media.files import as_text
from ...models import registry
from ...models.model_pools import ModelPools
from ...people import decide, grouping, manual_faces
from ...shapes import ModelInfo
from ...store import models, photos
from ...store.connection import Connection, transaction
from ...store.database import changing
from ...store.file_names import quote_for_shell
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
    """Draw a box around a face that the detector missed: it becomes a face like any other.

    PHOTO is its number or its path. X, Y, WIDTH and HEIGHT are pixels of the upright, full-size
    picture, which must still be where it was ingested. Undo removes the face; redo brings it back.
    """
    wanted = decide.clean_name(name) if name else None
    given = [registry.model(model_id) for model_id in model_ids]
    with changing(database) as conn, ModelPools(given) as pools:
        drawable = manual_faces.read_drawable_photo(conn, _find_photo(conn, photo))
        infos = models.every(conn)
        try:
            manual_box = manual_faces.make_manual_box(
                drawable, manual_faces.check_box(drawable, (x, y, width, height))
            )
        except FaceThere as error:
            raise DecisionError(f"{error}: face {error.face_id}") from None
        data = manual_faces.read_original(drawable)
        manual = manual_faces.measure_face(pools.measure_manual_face, infos, data, manual_box)
        with transaction(conn):
            decision, face_id = manual_faces.save_manual_face(conn, drawable, manual)
            if wanted:
                decide.place_faces(
                    conn, [face_id], decide.find_by_name(conn, wanted), wanted, by=decide.NOBODY
                )
        _group(conn, infos)
    for model_id, why in manual.failures.items():
        click.echo(f"No embedding by {model_id}: {why}", err=True)
    seen = "" if manual.face.detection.score else ", by its box alone: no detector sees it"
    undo = f"undo it with: datasette faces people {quote_for_shell(database)} undo {decision.id}"
    click.echo(f"Face {face_id} added{seen} (decision {decision.id}; {undo})")


def _find_photo(conn: Connection, wanted: str) -> int:
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
