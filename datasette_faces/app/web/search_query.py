"""What a search page's address asks for ↔ a search: read, prepared, written as an address again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from datasette.utils.asgi import Base400

from ...errors import SearchError, UnknownFace
from ...search import prepared_search, searcher
from ...search.filters import parse_filters
from ...search.prepared_search import RESULTS, PreparedSearch, SearchRequest
from ...search.upload_cache import DatabaseUploads
from ...store import coerce
from ...store.embeddings import SearchFilters
from ..datasette.state import state_of
from .page import BadRequest, Page

MAX_EXAMPLES = 100
"""Faces that are searched with at once: an address has room for thousands, each of which is looked up."""
FILTERS = {item.name: item.default for item in fields(SearchFilters)}
TAKES = {
    "threshold": "a number, -1 to 1",
    "taken_from": "a day like 2019-05-31, a month or a year",
    "taken_to": "a day like 2019-05-31, a month or a year",
    "folder": "the path of a folder",
    "person_id": "the id of a person",
    "hidden": "1, or nothing",
}
NO = ("0", "no", "false", "off")


class NoSuchQuery(Base400):  # type: ignore[misc]
    """A key of no query face: wrong, of another database, or expired."""

    status = 404


def search_params(request: SearchRequest, **changes: Any) -> list[tuple[str, str]]:
    """The query string of a search, with changes, as names and values."""
    values: dict[str, Any] = {
        "face": request.faces,
        "key": request.keys,
        "not": request.unlike,
        "photo": request.photos,
        "model": request.model,
        "k": request.k if request.k != RESULTS else None,
        **{name: getattr(request.filters, name) for name in FILTERS},
        **changes,
    }
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        # 0 is a threshold; what is the default is left out
        if value != FILTERS.get(name):
            every = value if isinstance(value, tuple | list) else [value]
            pairs += [(name, str(int(it) if it is True else it)) for it in every if it is not None]
    return pairs


def read_request(values: dict[str, list[str]]) -> SearchRequest:
    """The search that names and values, of an address or of a form, ask for. Raises BadRequest."""

    def one(name: str) -> str | None:
        given = [value.strip() for value in values.get(name, []) if value.strip()]
        return given[-1] if given else None

    def several(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for value in values.get(name, []) if value))

    request = SearchRequest(
        faces=several("face"),
        keys=several("key"),
        unlike=several("not"),
        photos=several("photo"),
        model=one("model"),
        k=_parse_k(one("k") or str(RESULTS)),
        filters=_parse_filters({name: value for name in FILTERS if (value := one(name))}),
    )
    for face in request.faces:
        if coerce.parse_id(face) is None:
            raise BadRequest(f"face takes the id of a face, not {_shortened(face)}")
    if len(request.faces) + len(request.keys) + len(request.unlike) > MAX_EXAMPLES:
        raise BadRequest(f"Name at most {MAX_EXAMPLES} faces to search with")
    return request


def _parse_k(text: str) -> int:
    if not (
        text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= searcher.MAX_K
    ):
        raise BadRequest(f"k takes a whole number, 1 to {searcher.MAX_K:,}, not {_shortened(text)}")
    return int(text)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _parse_filters(given: dict[str, str]) -> SearchFilters:
    """The filters of these names and values. Raises BadRequest."""
    if given.get("hidden", "").lower() in NO:
        del given["hidden"]
    for name, value in given.items():
        try:
            parse_filters({name: value})
        except SearchError:
            raise BadRequest(f"{name} takes {TAKES[name]}, not {_shortened(value)}") from None
    return parse_filters(given)


def uploads_of(page: Page) -> DatabaseUploads:
    """The query faces of a page's database."""
    return DatabaseUploads(state_of(page.datasette).upload_cache, page.database)


async def prepare(page: Page, request: SearchRequest) -> PreparedSearch | None:
    """The search of a request; None where no face is named. Raises BadRequest and NoSuchQuery."""
    try:
        return await page.read(prepared_search.prepare_search, request, uploads_of(page))
    except UnknownFace as error:
        raise NoSuchQuery(str(error)) from None
    except SearchError as error:
        raise BadRequest(str(error)) from None


def keep_vector(page: Page, search: PreparedSearch) -> None:
    """Keep the vector of several faces where the search's SQL finds it."""
    if search.fused_key is not None:
        uploads_of(page).keep_fused(search.model.id, search.embedding)


async def model_meant(page: Page, request: SearchRequest) -> str | None:
    """The id of the model that a search is by: the one it names, or that of its first face."""
    return await page.read(prepared_search.model_of_request, request, uploads_of(page))


async def without_missing(page: Page, request: SearchRequest) -> SearchRequest:
    """What is left of a request without the faces, pictures and models that are not there."""
    return await page.read(prepared_search.without_missing, request, uploads_of(page))
