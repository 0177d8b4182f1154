"""A box that is drawn on a photo's page → the face in it, by every model of the file. No HTML."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from datasette.utils.asgi import Forbidden

from ...algorithms.quarter_turns import TURNS, turn_box, turn_size
from ...errors import DecisionError, FacesError, ModelError, PictureError
from ...models.base import check_weights
from ...people import manual_faces
from ...people.decide import Editor
from ...people.manual_faces import DrawablePhoto, ManualFace
from ...shapes import Box, Face, ManualBox, ModelInfo
from ...store import models, schema
from ...store.connection import Connection
from ..datasette import permissions
from ..datasette.state import state_of
from .decision_form import Action, Decided, place
from .forms import Form
from .page import BadRequest, Page
from .upload_analysis import NoModel, Overloaded, face_model, in_public, missing

SIDES = ("x", "y", "width", "height")
READ = ("faces", "photos", "photo_paths", "people")
"""The tables whose content a drawing reads, whichever page it is sent to."""
OLD = "This file is of an older version of datasette-faces: ingest anything into it, then draw"


async def prepare_manual_face(page: Page, form: Form) -> Action:
    """The action that saves the face in the box of a form, measured by the models.

    Raises DecisionError, BadRequest, NoModel, Overloaded.
    """
    if not await permissions.may_view(page.datasette, page.request, page.database, *READ):
        raise Forbidden("Permission denied: view-table")
    if not await page.read(schema.has_tables, "face_drawings"):
        raise DecisionError(OLD)
    photo_id = form.number("photo")
    if photo_id is None:
        raise DecisionError("photo takes the number of the photo in which the face is")
    about: DrawablePhoto = await page.read(manual_faces.read_drawable_photo, photo_id)
    box = _read_box(about, form)
    infos = await page.read(models.every)
    made = await asyncio.to_thread(_measure_face, page, about, infos, box)

    def save(conn: Connection, form: Form, by: Editor) -> Decided:
        decision, face_id = manual_faces.save_manual_face(conn, about, made, by=by)
        named = form.one("to_person") or form.one("to").strip()
        return [decision, *(place(conn, form, [face_id], by) if named else [])]

    return save


def _read_box(about: DrawablePhoto, form: Form) -> Box:
    """The box of a form, which is drawn in the picture as it is shown. Raises DecisionError, BadRequest."""
    turned = form.number("turned") or 0
    if turned not in TURNS:
        raise BadRequest("turned takes 0, 90, 180 or 270")
    width, height = turn_size(about.width, about.height, turned)
    shown = replace(about, width=width, height=height)
    box = manual_faces.check_box(shown, [form.pixels(side) for side in SIDES])
    return turn_box(box, -turned % 360, width, height)


def _measure_face(page: Page, about: DrawablePhoto, infos: list[ModelInfo], box: Box) -> ManualFace:
    def measure(info: ModelInfo, data: bytes, manual_box: ManualBox) -> Face:
        try:
            pool = state_of(page.datasette).pools.get_pool(face_model(page, info.id))
            face = pool.submit_manual_box(data, manual_box).result()
            check_weights(info, pool.info)
        except ModelError as error:
            raise ModelError(in_public(page, info.id, str(error))) from None
        return face

    try:
        within = permissions.originals_folders(page.datasette, page.database)
        manual_box = manual_faces.make_manual_box(about, box)
        return manual_faces.measure_face(
            measure, infos, manual_faces.read_original(about, within), manual_box
        )
    except DecisionError:
        raise
    except PictureError as error:
        raise BadRequest(f"Photo {about.id}: {error}") from None
    except ModelError as error:
        raise NoModel(str(error)) from None
    # Busy, or all processes were ended: the next try may go
    except FacesError as error:
        raise Overloaded(str(error)) from None


async def explain_undrawable(page: Page, photo_id: int) -> str | None:
    """Why no face can be drawn in a photo here; None where one can."""
    if not await page.read(schema.has_tables, "face_drawings"):
        return f"{OLD}."
    within = permissions.originals_folders(page.datasette, page.database)
    try:
        about: DrawablePhoto = await page.read(manual_faces.read_drawable_photo, photo_id)
    except DecisionError as error:
        return f"{error}."
    if not await asyncio.to_thread(manual_faces.has_original, about, within):
        return "Drawing a face needs the photo's file, which is not where it was."
    reasons = [missing(page, info.id) for info in await page.read(models.every)]
    if None in reasons:
        return None
    return "; ".join(filter(None, reasons)) or "This file knows no model yet."
