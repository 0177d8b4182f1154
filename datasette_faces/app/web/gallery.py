"""The gallery, a photo's page and a face's page, each with its JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Forbidden, NotFound, Response

from ...people import explain
from ...search.filters import parse_day
from ...store import catalogue, explanations, face_quality, models, schema
from ...store import gallery as browse
from ...store.gallery import GalleryFilters, Row
from ..datasette import permissions
from . import decision_post, manual_face_form
from .calibration import calibration_url
from .page import (
    BadRequest,
    Page,
    page_view,
    read_id,
    read_number,
    row_id,
    web_address,
    with_links,
    with_missing,
    with_name,
)
from .people_of_faces import person_in_json, photo_title, sees_people, with_people
from .upright import place_faces, show

PAGE_FACES = 60
NEAREST_FACES = 24
GOOD = {
    "min_size": face_quality.MIN_SIZE_PX,
    "min_score": face_quality.MIN_SCORE,
    "min_sharpness": face_quality.MIN_SHARPNESS,
}
"""The filters of a face that is not in doubt: what empty fields suggest."""


@page_view("faces", "photos")
async def gallery(page: Page) -> Response:
    """Every face, the newest first, with filters, a page at a time."""
    filters, after = _filters(page.request), read_id(page.request, "after", "the id of a face")
    shown = await page.read(browse.gallery_query, filters, after=after, limit=PAGE_FACES)
    # One more than a page shows: is there another page?
    one_more = shown.with_params(limit=PAGE_FACES + 1)
    found = await page.read(browse.rows, browse.lean(one_more))
    faces, more = found[:PAGE_FACES], len(found) > PAGE_FACES
    chosen = {name: getattr(filters, name) for name in filters.__slots__}
    chosen["hidden"] = "1" if filters.hidden else None
    next_url = page.url(**chosen, after=faces[-1]["face_id"]) if more else None
    faces = await with_missing(page, faces)
    if page.as_json:
        return _gallery_json(page, faces, next_url)
    context = {
        "faces": [with_name(face) for face in await with_people(page, faces)],
        "totals": await page.read(browse.totals),
        "models": [model.id for model in await page.read(models.every)],
        "filters": chosen,
        "good": GOOD,
        "filtered": any(value is not None for value in chosen.values()),
        "after": after,
        "next_url": next_url,
        "people_url": page.url("/people") if await sees_people(page) else None,
        "sql_url": await page.sql_url(shown),
    }
    return await page.html("gallery.html", context)


def _gallery_json(page: Page, faces: list[Row], next_url: str | None) -> Response:
    next_json = next_url and next_url.replace("/-/faces?", "/-/faces.json?", 1)
    next_json = next_json and page.datasette.absolute_url(page.request, next_json)
    return Response.json(
        {"faces": [with_links(page, face) for face in faces], "next_url": next_json}
    )


def _filters(request: Any) -> GalleryFilters:
    return GalleryFilters(
        min_size=read_number(request, "min_size"),
        min_score=read_number(request, "min_score"),
        min_sharpness=read_number(request, "min_sharpness"),
        taken_from=_day(request, "taken_from"),
        taken_to=_day(request, "taken_to"),
        model=request.args.get("model") or None,
        hidden=_hidden(request) or None,
    )


def _hidden(request: Any) -> bool:
    """Whether the request is for faces of hidden people, too."""
    return bool(request.args.get("hidden") == "1")


def _day(request: Any, name: str) -> str | None:
    text = (request.args.get(name) or "").strip()
    if not text:
        return None
    try:
        return parse_day(text)
    except ValueError:
        raise BadRequest(
            f"{name} takes a day like 2019-05-31, a month or a year, not {text[:40]!r}"
        ) from None


@page_view("faces", "photos", "photo_paths")
async def photo(page: Page) -> Response:
    """A photo with a box round each face, and what is known of it."""
    photo_id = row_id(page.request)
    found = await _found(page, browse.photo, "photo", photo_id)
    found["original_url"] = web_address(found["original_url"])
    if page.request.method == "POST":
        return await _decided(page)
    hidden = _hidden(page.request)
    faces = await with_people(page, await page.read(browse.faces_of_photo, photo_id, hidden=hidden))
    paths = await page.read(browse.photo_paths, photo_id)
    if page.as_json:
        linked = [with_links(page, person_in_json(face)) for face in faces]
        return Response.json({"photo": {**found, "paths": paths}, "faces": linked})
    shown = show(found["width"], found["height"], found["turned"])
    return await page.html(
        "photo.html",
        {
            "photo": with_name(found),
            "paths": paths,
            "faces": faces,
            "shown": shown,
            "boxed": place_faces(shown, faces),
            "title": await _title(page, found, faces),
            **await _photo_context(page, photo_id, len(faces), hidden),
        },
    )


async def _photo_context(page: Page, photo_id: int, shown: int, hidden: bool) -> dict[str, Any]:
    """The rest of a photo's page; shown: the number of its faces on it."""
    before, after = await page.read(browse.photos_beside, photo_id)
    query = await page.read(browse.photo_query, photo_id, hidden=hidden)
    may = await permissions.may_view_originals(page.datasette, page.request, page.database)
    return {
        "picture_url": page.url(f"/{'image' if may else 'thumbnail'}/{photo_id}.jpg"),
        "picture_is_original": may,
        "before": before,
        "after": after,
        "hidden": await _hidden_here(page, photo_id, shown, hidden),
        "sql_url": await page.sql_url(query),
        **(await _drawing(page, photo_id) if await sees_people(page) else {}),
    }


@page_view("faces", "photos", "face_embeddings")
async def face(page: Page) -> Response:
    """A face, where it is, how good it is, and the faces most like it."""
    face_id = row_id(page.request)
    found = await _found(page, browse.face, "face", face_id)
    if page.request.method == "POST":
        return await _decided(page)
    [found] = await with_missing(page, await with_people(page, [found]))
    model = page.request.args.get("model") or next(iter(found["models"]), None)
    if model is not None and model not in found["models"]:
        raise BadRequest(f"Face {face_id} has no embedding by {model!r}; it has: {found['models']}")
    query = browse.nearest_query(model, face_id, NEAREST_FACES) if model else None
    nearest = await page.read(browse.rows, browse.lean(query)) if query else []
    nearest = await with_missing(page, nearest)
    why = await _why(page, face_id, model)
    if page.as_json:
        linked = [with_links(page, other) for other in nearest]
        shown = with_links(page, person_in_json(found))
        answer = {"face": shown, "model": model, "nearest": linked, "why": why}
        return Response.json(answer)
    values = {"face": found, "model": model, "why": why}
    values["nearest"] = [with_name(other) for other in await with_people(page, nearest)]
    values["sql_url"] = query and await page.sql_url(query)
    return await page.html("face.html", {**values, **await _face_context(page, found, model)})


async def _face_context(page: Page, face: Row, model: str | None) -> dict[str, Any]:
    """The rest of a face's page: its photo, the model's threshold, the editor."""
    where = await page.read(browse.photo, face["photo_id"])
    by = next((known for known in await page.read(models.every) if known.id == model), None)
    where = where or dict.fromkeys(browse.PHOTO_COLUMNS)
    shown = show(where["width"], where["height"], where["turned"])
    return {
        "photo": with_name(where),
        "shown": shown,
        "boxed": place_faces(shown, [face]),
        "sharpness_in_words": face_quality.describe_sharpness(face["sharpness"]),
        "picture_url": page.url(f"/thumbnail/{face['photo_id']}.jpg"),
        "threshold": by and by.threshold,
        "calibration_url": model and await calibration_url(page, model),
        **(await decision_post.context(page) if await sees_people(page) else {}),
    }


async def _decided(page: Page) -> Response:
    """Do what a form of a photo's or a face's page says."""
    await decision_post.require_people(page)
    if not await sees_people(page):
        raise Forbidden("Permission denied: view-table")
    return await decision_post.handle_post(page)


async def _drawing(page: Page, photo_id: int) -> dict[str, Any]:
    """What a photo's page needs for drawing a face, for editors."""
    known = await decision_post.context(page)
    hindrance = (
        await manual_face_form.explain_undrawable(page, photo_id) if known["may_edit"] else None
    )
    return {**known, "hindrance": hindrance}


async def _why(page: Page, face_id: int, model: str | None) -> Row | None:
    """Why a face is in its person, for actors who may see people and decisions."""
    if not await sees_people(page) or not await permissions.may_view(
        page.datasette, page.request, page.database, *decision_post.DECIDED
    ):
        return None
    if not await page.read(schema.has_tables, "decisions"):
        return None  # a catalogue
    facts = await page.read(explanations.facts, face_id, model)
    return {"reasons": explain.explain_face(facts), "near": [asdict(near) for near in facts.near]}


async def _title(page: Page, found: Row, faces: list[Row]) -> str:
    """A photo's file name; of one of a catalogue, where that is made up, who is in it."""
    if await page.read(catalogue.is_catalogue):
        return photo_title(found, faces)
    return str(with_name(found)["file_name"])


async def _hidden_here(
    page: Page, photo_id: int, shown: int, hidden: bool
) -> dict[str, Any] | None:
    """How many faces of a photo are left out, and where they are shown."""
    if hidden or not await page.read(browse.anyone_hidden):
        return None
    every = len(await page.read(browse.faces_of_photo, photo_id, hidden=True))
    if every == shown:
        return None
    return {"faces": every - shown, "url": page.url(f"/photo/{photo_id}", hidden="1")}


async def _found(page: Page, function: Any, kind: str, item_id: int) -> Row:
    found: Row | None = await page.read(function, item_id)
    if found is None:
        raise NotFound(f"There is no {kind} {item_id}")
    return found
