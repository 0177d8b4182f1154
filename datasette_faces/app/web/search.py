"""The search page: by an uploaded face, by stored ones, by several at once; its JSON and its CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Base400, Forbidden, NotFound, Response

from ...errors import Busy
from ...media.jpeg_orientation import say_turned
from ...search.prepared_search import PreparedSearch, SearchRequest
from ...search.upload_cache import QueryPhoto
from ...shapes import Match
from ...store import gallery, models, schema, table_privacy
from ...store.connection import sqlite
from ...store.vec_tables import MAX_K
from ..datasette import compat, csp, permissions
from ..datasette.state import state_of
from .calibration import calibration_url
from .page import BadRequest, Page, page_view, with_links, with_missing, with_name
from .people_of_faces import named_in_json, people_of, with_people
from .search_query import (
    NoSuchQuery,
    keep_vector,
    model_meant,
    prepare,
    read_request,
    search_params,
    uploads_of,
    without_missing,
)
from .upload_analysis import NoFace, Overloaded, Pictures, analyse, described, face_model, missing
from .upload_limits import CountBytes, check_rate, occupy_slot
from .uploads import NothingUploaded, read_pictures
from .upright import show

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
    request = read_request({name: page.request.args.getlist(name) for name in page.request.args})
    if page.format == "html":
        return await _show(page, request)
    return await _data(page, request)


async def _without(page: Page) -> Response:
    """The page of a catalogue without embeddings. Raises NotFound for JSON, CSV and uploads."""
    if page.format != "html" or page.request.method == "POST":
        raise NotFound("This catalogue was published without a search")
    return await page.html("search.html", {})


async def _show(page: Page, request: SearchRequest, error: Base400 | None = None) -> Response:
    """The page: the form, the faces that are searched with, and what was found."""
    search: PreparedSearch | None = None
    try:
        if request.photos and error is None:
            return await _choose(page, request)
        search = await prepare(page, request)
    except Base400 as problem:
        error = error or problem
        request = await without_missing(page, request)
    context = {
        "search_request": request,
        "error": error and str(error),
        "examples": await _examples(page, request),
        "json_url": _address(page, request, ".json"),
        "csv_url": _address(page, request, ".csv"),
        **(await _results(page, search) if search else {}),
        **await _form(page, request),
    }
    return await page.html("search.html", context, error)


async def _results(page: Page, search: PreparedSearch) -> dict[str, Any]:
    """What a search finds, and how similar all the rest is."""
    rows = await with_missing(page, await _rows(page, search))
    nearest = await _nearest(page, search)
    own_faces = search.request.own_faces()
    spread = [match for match in nearest if match.face_id not in own_faces]
    return {
        "results": [with_name(row) for row in await with_people(page, rows)],
        "model": search.model.id,
        "model_threshold": search.model.threshold,
        "calibration_url": await calibration_url(page, search.model.id),
        # As exact as the results': a slider counts both
        "spread": [round(match.similarity, 6) for match in spread],
        "bins": _histogram(spread),
        "whole": len(nearest) < SPREAD,
        "more_url": _more_url(page, search.request, len(rows)),
        "sql_url": await page.sql_url(search.query()),
    }


async def _rows(page: Page, search: PreparedSearch) -> list[gallery.Row]:
    """The rows that a search finds. Raises NoSuchQuery where its key has expired meanwhile."""
    keep_vector(page, search)
    folder = search.request.filters.folder
    # Who may not see where photos lie may not ask for it either
    if folder and not await permissions.may_view(
        page.datasette, page.request, page.database, "photo_paths"
    ):
        raise Forbidden("Permission denied: view-table photo_paths, in which a folder is looked up")
    if folder and not await page.read(schema.has_tables, "photo_paths"):
        raise BadRequest(f"{page.database} is a catalogue: it knows no folders")
    try:
        return await page.read(gallery.rows, gallery.lean(search.query()))
    except sqlite().OperationalError as error:
        if "face_query()" not in str(error):
            raise
        raise NoSuchQuery(str(error)) from None


async def _form(page: Page, request: SearchRequest) -> dict[str, Any]:
    """What the form needs: who may upload, with which model, and what goes along."""
    known = [model.id for model in await page.read(models.every)]
    model_id = await model_meant(page, request) or next(iter(known), None)
    problem, cold = None, False
    may = await permissions.may_upload(page.datasette, page.request, page.database)
    if may and model_id:
        problem = missing(page, model_id)
        if not problem:
            pool = state_of(page.datasette).pools.get_pool(face_model(page, model_id))
            cold = pool.state != "ready"
    return {
        "models": known,
        "has_folders": await page.read(schema.has_tables, "photo_paths"),
        "may_upload": may,
        "upload_problem": problem,
        "model_is_cold": cold,
        "hidden": search_params(request),
        "search_url": lambda **changes: _address(page, request, **changes),
    }


def _address(page: Page, request: SearchRequest, ending: str = "", /, **changes: Any) -> str:
    """Where a search is found, or would be with changes."""
    return f"{page.url(f'/search{ending}')}?{urlencode(search_params(request, **changes))}"


def _more_url(page: Page, request: SearchRequest, shown: int, ending: str = "") -> str | None:
    if shown < request.k or request.k >= MAX_K:
        return None
    return _address(page, request, ending, k=min(MAX_K, request.k * 2))


async def _examples(page: Page, request: SearchRequest) -> list[dict[str, Any]]:
    """The faces that are searched with: their pictures, and the same search without each."""
    every = [("key", key, request.keys) for key in request.keys]
    every += [("face", face, request.faces) for face in request.faces]
    every += [("not", key, request.unlike) for key in request.unlike]
    whose = await people_of(page, [int(key) for _, key, _ in every if key.isdigit()])
    examples = []
    for name, key, among in every:
        stored = key.isdigit()
        path = f"/crop/{key}.jpg" if stored else f"/search/face/{key}.jpg"
        rest = tuple(other for other in among if other != key)
        examples.append(
            {
                "label": whose.get(int(key), {}).get("name") if stored else _name_upload(page, key),
                "key": key,
                "crop_url": page.url(path),
                "url": page.url(f"/face/{key}") if stored else None,
                "unlike": name == "not",
                "without_url": _address(page, request, **{name: rest}),
            }
        )
    return examples


def _name_upload(page: Page, key: str) -> str:
    """What an uploaded face is called, and what of its photo could not be read."""
    face = uploads_of(page).face(key)
    photo = uploads_of(page).photo(face.photo_key) if face else None
    return f"Your photo ({photo.damage})" if photo and photo.damage else "Your photo"


async def _nearest(page: Page, search: PreparedSearch) -> list[Match]:
    """The most similar faces whatever the threshold: what the slider and the histogram count."""
    searcher = state_of(page.datasette).shared(page.database, None).searcher
    everywhere = search.request.filters.without_threshold()
    return await page.read(
        searcher.nearest, search.embedding, SPREAD, model_id=search.model.id, filters=everywhere
    )


def _histogram(spread: list[Match]) -> list[dict[str, Any]]:
    """The number of faces in each twentieth of similarity, in ascending order."""
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


async def _choose(page: Page, request: SearchRequest) -> Response:
    """The faces of an uploaded picture to choose from. Raises NoSuchQuery."""
    key, rest = request.photos[0], request.photos[1:]
    photo = uploads_of(page).photo(key)
    if photo is None:
        raise NoSuchQuery("This picture is no longer available: it is kept for an hour")
    context = {
        "search_request": request,
        "photo": photo,
        "shown": show(photo.width, photo.height, photo.turned),
        "picture_url": page.url(f"/search/photo/{key}.jpg"),
        "faces": _choices(page, replace(request, photos=rest), photo),
        "rest_url": _address(page, request, photo=rest),
        **await _form(page, replace(request, photos=rest)),
    }
    return await page.html("choose.html", context)


def _choices(page: Page, request: SearchRequest, photo: QueryPhoto) -> list[dict[str, Any]]:
    """The faces of an uploaded picture, each with the search to which it is added."""
    choices, shown = [], show(photo.width, photo.height, photo.turned)
    for place, key in enumerate(photo.face_keys, 1):
        face = uploads_of(page).face(key)
        if face is None:
            continue
        url = _address(page, request, key=(*request.keys, key), model=photo.model_id)
        crop_url = page.url(f"/search/face/{key}.jpg")
        box = shown.place(face.box)
        choices.append({"place": place, "box": box, "crop_url": crop_url, "url": url})
    return choices


async def _data(
    page: Page, request: SearchRequest, photos: list[dict[str, Any]] | None = None
) -> Response:
    """The search as JSON or CSV."""
    search = await prepare(page, request)
    if search is None:
        raise BadRequest(
            "Name what to search with: ?face=<id> or ?key=<key of an upload>, or POST a picture"
        )
    rows = await with_people(page, await with_missing(page, await _rows(page, search)))
    results = [_with_photo(page, named_in_json(row)) for row in rows]
    if page.format == "csv":
        return _csv(results)
    more, query = _more_url(page, request, len(results), ".json"), search.query()
    absolute = page.datasette.absolute_url
    return Response.json(
        {
            "ok": True,
            "model": search.model.id,
            "model_threshold": search.model.threshold,
            **({"photos": photos} if photos is not None else {}),
            "url": absolute(page.request, _address(page, request)),
            "results": results,
            "next_url": more and absolute(page.request, more),
            "sql": query.sql,
            "params": query.params,
        }
    )


def _with_photo(page: Page, row: gallery.Row) -> gallery.Row:
    return {**with_links(page, row), "photo_url": page.absolute(f"/photo/{row['photo_id']}")}


def _csv(results: list[dict[str, Any]]) -> Response:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(results)
    headers = {"content-disposition": 'attachment; filename="faces.csv"'}
    return Response(out.getvalue(), headers=headers, content_type="text/csv; charset=utf-8")


async def _upload(page: Page) -> Response:
    """Pictures → query faces in memory → the search with them. Nothing is read for who may not."""
    if not await permissions.may_upload(page.datasette, page.request, page.database):
        raise Forbidden("Permission denied: faces-upload")
    request = SearchRequest()
    try:
        with occupy_slot(page) as count_bytes:
            check_rate(page)
            pictures, request = await _read(page, count_bytes)
            check_rate(page, len(pictures) - 1)
            photos = await analyse(page, request, pictures)
    except (Base400, Busy) as error:
        problem = Overloaded(str(error)) if isinstance(error, Busy) else error
        if page.format != "html":
            raise problem from None
        if isinstance(problem, NothingUploaded):
            request, problem = read_request(problem.fields), BadRequest("Choose a photo first")
        return await _show(page, request, problem)
    request = _with_photos(page, request, photos, choose=page.format == "html")
    if page.format == "html":
        return Response.redirect(_address(page, request), status=303)
    shown = [described(page, key) for key in photos]
    if not request.keys and not request.faces:
        raise NoFace("; ".join(f"{photo['file_name']}: {photo['reason']}" for photo in shown))
    return await _data(page, request, shown)


async def _read(page: Page, count_bytes: CountBytes) -> tuple[Pictures, SearchRequest]:
    """The pictures of a request, and what its form and its address ask for besides."""
    try:
        upload = await read_pictures(page.request, count_bytes=count_bytes)
    except NothingUploaded as error:
        compat.check_csrf(page.request, error.fields)
        raise
    compat.check_csrf(page.request, upload.fields)
    in_address = {name: page.request.args.getlist(name) for name in page.request.args}
    request = read_request(in_address | upload.fields)
    return upload.pictures, replace(request, model=await model_meant(page, request))


def _with_photos(
    page: Page, request: SearchRequest, photos: list[str], *, choose: bool
) -> SearchRequest:
    """The search with these pictures: their one face, or the largest; or a page to choose on."""
    uploads = uploads_of(page)
    keys, open_photos = list(request.keys), []
    model = request.model
    for key in photos:
        photo = uploads.photo(key)
        if photo is None:
            continue
        model = model or photo.model_id
        if choose and len(photo.face_keys) != 1:
            open_photos.append(key)
        else:
            keys += photo.face_keys[:1]
    every = (*request.photos, *open_photos)
    return replace(request, keys=tuple(keys), photos=every, model=model)


def _query_picture(page: Page, body: bytes | None) -> Response:
    if body is None:
        raise NotFound("This picture is no longer available: it is kept for an hour")
    headers = {"cache-control": "private, no-store", **csp.picture_headers(page.datasette)}
    return Response(body, headers=headers, content_type="image/jpeg")


@page_view("faces", "photos", "face_embeddings")
async def query_face(page: Page) -> Response:
    """The crop of an uploaded face, while it is kept."""
    face = uploads_of(page).face(page.request.url_vars["key"])
    return _query_picture(page, face.crop if face else None)


@page_view("faces", "photos", "face_embeddings")
async def query_photo(page: Page) -> Response:
    """An uploaded picture, small, while it is kept."""
    photo = uploads_of(page).photo(page.request.url_vars["key"])
    return _query_picture(page, say_turned(photo.thumbnail, photo.turned) if photo else None)
