"""Uploaded pictures → query faces in memory: by which model, and what is refused. No pages."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from datasette.utils.asgi import Base400

from ...errors import FacesError, ModelError, PictureError, SearchError
from ...models import registry
from ...models.base import FaceModel, check_weights
from ...models.insightface import InsightFacePack
from ...search import searcher
from ...search.prepared_search import SearchRequest
from ...shapes import ModelInfo, QueryAnalysis
from ..datasette import permissions
from ..datasette.state import state_of
from .page import BadRequest, Page
from .search_query import uploads_of
from .upload_limits import RETRY_SECONDS

_PATH = re.compile(r"(?<![A-Za-z0-9:/])[/~\\]|\b[A-Za-z]:[/\\](?!/)|\bfile:")
"""How the path of a file begins, on any system; an address of the web is none."""
_log = logging.getLogger("datasette_faces")
Pictures = tuple[tuple[str, bytes], ...]
"""Names to show, and bytes."""


class NoFace(Base400):  # type: ignore[misc]
    """No uploaded picture shows a face; the message says why."""

    status = 422


class NoModel(Base400):  # type: ignore[misc]
    """This server cannot look for faces in pictures; the message says what to install."""

    status = 501


class Overloaded(Base400):  # type: ignore[misc]
    """More pictures than the queue holds."""

    status = 503
    headers = {"retry-after": str(RETRY_SECONDS)}  # noqa: RUF012


async def analyse(page: Page, request: SearchRequest, pictures: Pictures) -> list[str]:
    """Find the faces in the pictures, one after another, and keep them: the keys of the pictures.

    Raises NoModel, Overloaded, BadRequest.
    """
    try:
        info = await page.read(searcher.model_of, request.model)
    except SearchError as error:
        raise BadRequest(str(error)) from None
    cache = state_of(page.datasette).upload_cache
    kept_for = {"database": page.database, "model_id": info.id}
    keys = []
    for file_name, data in pictures:
        analysed = await _analyse_picture(page, info, file_name, data)
        keys.append(
            cache.add_photo(
                analysed.analysis, file_name=file_name, reason=analysed.reason, **kept_for
            )
        )
    return keys


async def _analyse_picture(
    page: Page, info: ModelInfo, file_name: str, data: bytes
) -> QueryAnalysis:
    """What a model sees in a picture. Raises NoModel, Overloaded, BadRequest."""
    try:
        pool = state_of(page.datasette).pools.get_pool(face_model(page, info.id))
        analysed: QueryAnalysis = await asyncio.wrap_future(pool.submit_query(data))
        check_weights(info, pool.info)
    except PictureError as error:
        raise BadRequest(f"{file_name}: {error}") from None
    except ModelError as error:
        raise NoModel(in_public(page, info.id, str(error))) from None
    # Busy, or all processes were ended: the next try may go
    except FacesError as error:
        raise Overloaded(str(error)) from None
    return analysed


def in_public(page: Page, model_id: str, reason: str) -> str:
    """Why a model cannot be used, for visitors: where it names a file of the server, the log has it."""
    if not _PATH.search(reason):
        return reason
    logged = state_of(page.datasette).logged_once
    if reason not in logged:
        logged.add(reason)
        _log.warning("The model %s cannot be used: %s", model_id, reason)
    return f"the model {model_id} cannot be used on this server; its log says why"


def missing(page: Page, model_id: str) -> str | None:
    """Why a model cannot look at pictures here, for visitors; None where it can."""
    try:
        reason = face_model(page, model_id).missing()
    except ModelError as error:
        reason = str(error)
    return reason and in_public(page, model_id, reason)


def face_model(page: Page, model_id: str) -> FaceModel:
    """The model of that id: registered, or a pack in a folder of the setting `packs`."""
    packs = permissions.read_setting(page.datasette, page.database, "packs") or ()
    for folder in [packs] if isinstance(packs, str) else packs:
        pack = InsightFacePack("", folder=str(folder))
        if pack.id == model_id:
            return pack
    known = registry.models()
    if model_id not in known:
        raise ModelError(
            f"The faces here are by the model {model_id}, which this server does not know: name the "
            "folder of its pack in the plugin's setting `packs`"
        )
    return known[model_id]


def described(page: Page, key: str) -> dict[str, Any]:
    """An uploaded picture and its faces, the largest first, for JSON."""
    photo = uploads_of(page).photo(key)
    if photo is None:
        raise _crowded_out()
    return {
        "file_name": photo.file_name,
        "width": photo.width,
        "height": photo.height,
        "turned": photo.turned,
        "reason": photo.reason,
        **({"damage": photo.damage} if photo.damage else {}),
        "faces": [_face(page, face_key) for face_key in photo.face_keys],
    }


def _crowded_out() -> Overloaded:
    return Overloaded("Too many pictures were uploaded at once: upload this one again")


def _face(page: Page, key: str) -> dict[str, Any]:
    face = uploads_of(page).face(key)
    if face is None:
        raise _crowded_out()
    box = face.box
    return {
        "key": key,
        "x": round(box.x, 2),
        "y": round(box.y, 2),
        "width": round(box.width, 2),
        "height": round(box.height, 2),
        "detection_score": round(face.detection_score, 4),
        "sharpness": round(face.sharpness, 1),
    }
