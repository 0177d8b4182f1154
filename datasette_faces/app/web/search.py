"""The search page: by an uploaded face, by stored ones, by several at once; its JSON and its CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Base400, Forbidden, NotFound, Response

from ...errors import Busy
from ...search.searcher import MAX_K
from ...search.upload_cache import QueryPhoto
from ...shapes import Match
from ...store import gallery, models, table_privacy
from ...store.connection import sqlite
from ..datasette import compat, csp, permissions
from ..datasette.slots import Keep
from ..datasette.state import state_of
from . import limits
from .calibration import calibration_url
from .page import BadRequest, Page, page_view, with_links, with_name
from .people_of_faces import named_in_json, people_of, with_people
from .search_query import Asked, NoSuchQuery, Ready, alive, asked, model_meant, ready
from .upload_analysis import NoFace, Overloaded, Pictures, described, face_model, look, missing
from .uploads import NothingUploaded, read_pictures

SPREAD = 500
"""The histogram and the slider's count are of so many of the most similar faces."""
BIN = 0.05
CSV_COLUMNS = [
    "face_id",
    "similarity",
    "probability",
    "person_id",
    "name",
    "photo_id",
    "path",
    "taken_at",
    "x",
    "y",
    "width",
    "height",
    "url",
    "crop_url",
    "photo_url",
]


@page_view("faces", "photos", "face_embeddings")
async def search(page: Page) -> Response:
    """GET shows a search, POST brings pictures to search with."""
    if not await page.read(table_privacy.is_searchable):
        return await _without(page)
    if page.request.method == "POST":
        return await _upload(page)
    wanted = asked({name: page.request.args.getlist(name) for name in page.request.args})
    if page.format == "html":
        return await _show(page, wanted)
    return await _data(page, wanted)


async def _without(page: Page) -> Response:
    """What a catalogue without embeddings says instead. Raises NotFound for who is not just looking."""
    if page.format != "html" or page.request.method == "POST":
        raise NotFound("This catalogue was published without a search")
    return await page.html("search.html", {})


async def _show(page: Page, wanted: Asked, error: Base400 | None = None) -> Response:
    """The page: the form, the faces that are searched with, and what was found."""
    state = state_of(page.datasette)
    found: Ready | None = None
    try:
        if wanted.photos and error is None:
            return await _choose(page, wanted)
        found = await ready(page, state, wanted)
    except Base400 as problem:
        error = error or problem
        wanted = await alive(page, state, wanted)
    context = {
        "asked": wanted,
        "error": error and str(error),
        "examples": await _examples(page, wanted),
        "json_url": _address(page, wanted, ".json"),
        "csv_url": _address(page, wanted, ".csv"),
        **(await _found(page, wanted, found) if found else {}),
        **await _form(page, wanted),
    }
    return await page.html("search.html", context, error)


async def _found(page: Page, wanted: Asked, found: Ready) -> dict[str, Any]:
    """What a search found, and how similar all the rest is."""
    rows = await _rows(page, wanted, found)
    nearest = await _nearest(page, wanted, found)
    spread = [match for match in nearest if match.face_id not in found.own]
    return {
        "results": [with_name(row) for row in await with_people(page, rows)],
        "model": found.model.id,
        "model_threshold": found.model.threshold,
        "calibration_url": await calibration_url(page, found.model.id),
        # As exact as the results': a slider counts both
        "spread": [round(match.similarity, 6) for match in spread],
        "bins": _histogram(spread),
        "whole": len(nearest) < SPREAD,
        "more_url": _more_url(page, wanted, len(rows)),
        "sql_url": await page.sql_url(found.query),
    }


async def _rows(page: Page, wanted: Asked, found: Ready) -> list[gallery.Row]:
    """What the query of a search gives. Raises NoSuchQuery where its key has gone meanwhile."""
    # Who may not see where photos lie may not ask for it either
    if wanted.filters.folder and not await permissions.may_view(
        page.datasette, page.request, page.database, "photo_paths"
    ):
        raise Forbidden("Permission denied: view-table photo_paths, in which a folder is looked up")
    if wanted.filters.folder and not await page.read(gallery.has_table, "photo_paths"):
        raise BadRequest(f"{page.database} is a catalogue: it knows no folders")
    try:
        return await page.read(gallery.rows, gallery.lean(found.query))
    except sqlite().OperationalError as error:
        if "face_query()" not in str(error):
            raise
        raise NoSuchQuery(str(error)) from None


async def _form(page: Page, wanted: Asked) -> dict[str, Any]:
    """What the form needs: who may upload, with which model, and what goes along."""
    state = state_of(page.datasette)
    known = [model.id for model in await page.read(models.every)]
    model_id = await model_meant(page, state, wanted) or next(iter(known), None)
    problem, cold = None, False
    may = await permissions.may_upload(page.datasette, page.request, page.database)
    if may and model_id:
        problem = missing(page, model_id)
        cold = not problem and state.inference(face_model(page, model_id)).state != "ready"
    return {
        "models": known,
        "has_folders": await page.read(gallery.has_table, "photo_paths"),
        "may_upload": may,
        "upload_problem": problem,
        "model_is_cold": cold,
        "hidden": wanted.address(),
        "search_url": lambda **changes: _address(page, wanted, **changes),
    }


def _address(page: Page, wanted: Asked, ending: str = "", /, **changes: Any) -> str:
    """Where a search is found, or would be with changes."""
    return f"{page.url(f'/search{ending}')}?{urlencode(wanted.address(**changes))}"


def _more_url(page: Page, wanted: Asked, shown: int, ending: str = "") -> str | None:
    if shown < wanted.k or wanted.k >= MAX_K:
        return None
    return _address(page, wanted, ending, k=min(MAX_K, wanted.k * 2))


async def _examples(page: Page, wanted: Asked) -> list[dict[str, Any]]:
    """The faces that are searched with: their pictures, and the same search without each."""
    every = [("key", key, wanted.keys) for key in wanted.keys]
    every += [("face", face, wanted.faces) for face in wanted.faces]
    every += [("not", key, wanted.unlike) for key in wanted.unlike]
    whose = await people_of(page, [int(key) for _, key, _ in every if key.isdigit()])
    examples = []
    for name, key, among in every:
        stored = key.isdigit()
        path = f"/crop/{key}.jpg" if stored else f"/search/face/{key}.jpg"
        rest = tuple(other for other in among if other != key)
        examples.append(
            {
                "label": whose.get(int(key), {}).get("name") if stored else "Your photo",
                "key": key,
                "crop_url": page.url(path),
                "url": page.url(f"/face/{key}") if stored else None,
                "unlike": name == "not",
                "without_url": _address(page, wanted, **{name: rest}),
            }
        )
    return examples


async def _nearest(page: Page, wanted: Asked, found: Ready) -> list[Match]:
    """The most similar faces whatever the threshold: what the slider and the histogram count."""
    searcher = state_of(page.datasette).shared(page.database, None).searcher
    everywhere = wanted.filters.without_threshold()
    return await page.read(
        searcher.nearest, found.embedding, SPREAD, model_id=found.model.id, filters=everywhere
    )


def _histogram(spread: list[Match]) -> list[dict[str, Any]]:
    """How many faces lie in each twentieth of similarity, from the least to the most."""
    counts: dict[int, int] = {}
    for match in spread:
        place = min(int(match.similarity // BIN), round(1 / BIN) - 1)
        counts[place] = counts.get(place, 0) + 1
    if not counts:
        return []
    most = max(counts.values())
    return [
        {"from": place * BIN, "count": count, "share": count / most}
        for place in range(min(counts), max(counts) + 1)
        for count in [counts.get(place, 0)]
    ]


async def _choose(page: Page, wanted: Asked) -> Response:
    """The faces of an uploaded picture to choose from. Raises NoSuchQuery."""
    key, rest = wanted.photos[0], wanted.photos[1:]
    queries = state_of(page.datasette).queries
    photo = queries.photo(page.database, key)
    if photo is None:
        raise NoSuchQuery("This picture is no longer available: it is kept for an hour")
    context = {
        "asked": wanted,
        "photo": photo,
        "picture_url": page.url(f"/search/photo/{key}.jpg"),
        "faces": _choices(page, replace(wanted, photos=rest), photo),
        "rest_url": _address(page, wanted, photo=rest),
        **await _form(page, replace(wanted, photos=rest)),
    }
    return await page.html("choose.html", context)


def _choices(page: Page, wanted: Asked, photo: QueryPhoto) -> list[dict[str, Any]]:
    """The faces of an uploaded picture, each with the search to which it is added."""
    choices = []
    for place, key in enumerate(photo.face_keys, 1):
        face = state_of(page.datasette).queries.face(page.database, key)
        if face is None:
            continue
        url = _address(page, wanted, key=(*wanted.keys, key), model=photo.model_id)
        crop_url = page.url(f"/search/face/{key}.jpg")
        choices.append({"place": place, "box": face.box, "crop_url": crop_url, "url": url})
    return choices


async def _data(page: Page, wanted: Asked, photos: list[dict[str, Any]] | None = None) -> Response:
    """The search as JSON or CSV."""
    found = await ready(page, state_of(page.datasette), wanted)
    if found is None:
        raise BadRequest(
            "Name what to search with: ?face=<id> or ?key=<key of an upload>, or POST a picture"
        )
    rows = await with_people(page, await _rows(page, wanted, found))
    results = [_with_photo(page, named_in_json(row)) for row in rows]
    if page.format == "csv":
        return _csv(results)
    more = _more_url(page, wanted, len(results), ".json")
    absolute = page.datasette.absolute_url
    return Response.json(
        {
            "ok": True,
            "model": found.model.id,
            "model_threshold": found.model.threshold,
            **({"photos": photos} if photos is not None else {}),
            "url": absolute(page.request, _address(page, wanted)),
            "results": results,
            "next_url": more and absolute(page.request, more),
            "sql": found.query.sql,
            "params": found.query.params,
        }
    )


def _with_photo(page: Page, row: gallery.Row) -> gallery.Row:
    return {**with_links(page, row), "photo_url": page.absolute(f"/photo/{row['photo_id']}")}


def _csv(results: list[dict[str, Any]]) -> Response:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(results)
    told = {"content-disposition": 'attachment; filename="faces.csv"'}
    return Response(out.getvalue(), headers=told, content_type="text/csv; charset=utf-8")


async def _upload(page: Page) -> Response:
    """Pictures → query faces in memory → the search with them. Nothing is read for who may not."""
    if not await permissions.may_upload(page.datasette, page.request, page.database):
        raise Forbidden("Permission denied: faces-upload")
    wanted = Asked()
    try:
        with limits.slot(page) as keep:
            limits.check(page)
            pictures, wanted = await _read(page, keep)
            limits.check(page, len(pictures) - 1)
            photos = await look(page, wanted, pictures)
    except (Base400, Busy) as error:
        problem = Overloaded(str(error)) if isinstance(error, Busy) else error
        if page.format != "html":
            raise problem from None
        if isinstance(problem, NothingUploaded):
            wanted, problem = asked(problem.fields), BadRequest("Choose a photo first")
        return await _show(page, wanted, problem)
    wanted = _with_photos(page, wanted, photos, choose=page.format == "html")
    if page.format == "html":
        return Response.redirect(_address(page, wanted), status=303)
    shown = [described(page, key) for key in photos]
    if not wanted.keys and not wanted.faces:
        raise NoFace("; ".join(f"{photo['file_name']}: {photo['reason']}" for photo in shown))
    return await _data(page, wanted, shown)


async def _read(page: Page, keep: Keep) -> tuple[Pictures, Asked]:
    """The pictures of a request, and what its form and its address ask for besides."""
    try:
        upload = await read_pictures(page.request, keep=keep)
    except NothingUploaded as error:
        compat.check_csrf(page.request, error.fields)
        raise
    compat.check_csrf(page.request, upload.fields)
    in_address = {name: page.request.args.getlist(name) for name in page.request.args}
    wanted = asked(in_address | upload.fields)
    model = await model_meant(page, state_of(page.datasette), wanted)
    return upload.pictures, replace(wanted, model=model)


def _with_photos(page: Page, wanted: Asked, photos: list[str], *, choose: bool) -> Asked:
    """The search with these pictures: their one face, or the largest; or a page to choose on."""
    queries = state_of(page.datasette).queries
    keys, open_photos = list(wanted.keys), []
    model = wanted.model
    for key in photos:
        photo = queries.photo(page.database, key)
        if photo is None:
            continue
        model = model or photo.model_id
        if choose and len(photo.face_keys) != 1:
            open_photos.append(key)
        else:
            keys += photo.face_keys[:1]
    every = (*wanted.photos, *open_photos)
    return replace(wanted, keys=tuple(keys), photos=every, model=model)


def _query_picture(page: Page, body: bytes | None) -> Response:
    if body is None:
        raise NotFound("This picture is no longer available: it is kept for an hour")
    told = {"cache-control": "private, no-store", **csp.of_picture(page.datasette)}
    return Response(body, headers=told, content_type="image/jpeg")


@page_view("faces", "photos", "face_embeddings")
async def query_face(page: Page) -> Response:
    """The crop of an uploaded face, while it is kept."""
    queries = state_of(page.datasette).queries
    face = queries.face(page.database, page.request.url_vars["key"])
    return _query_picture(page, face.crop if face else None)


@page_view("faces", "photos", "face_embeddings")
async def query_photo(page: Page) -> Response:
    """An uploaded picture, small, while it is kept."""
    queries = state_of(page.datasette).queries
    photo: QueryPhoto | None = queries.photo(page.database, page.request.url_vars["key"])
    return _query_picture(page, photo.thumbnail if photo else None)
