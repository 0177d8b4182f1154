"""What every page asks of its request (database, permissions, JSON or HTML), and its footer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode, urlsplit

from datasette.utils import sqlite_timelimit, tilde_decode
from datasette.utils.asgi import Base400, Forbidden, NotFound, Response

from ...errors import SearchError
from ...store import coerce, gallery, table_privacy
from ...store.connection import is_busy, sqlite, was_interrupted
from ...store.file_facts import fact_key
from ...store.gallery import Query, Row
from ..datasette import compat, csp, permissions
from ..datasette.state import state_of

Answer = TypeVar("Answer")

PAGE_MS = 5_000
"""A page's query is stopped after this; Datasette's own limit holds for SQL that people write."""
OUR_FUNCTION = re.compile(r"faces?_\w+\(\): ", re.ASCII)
"""How the error of one of our SQL functions begins."""


class BadRequest(Base400):  # type: ignore[misc]
    """The request makes no sense; the message says what would."""


class Conflict(Base400):  # type: ignore[misc]
    """What was decided meanwhile, or a name that is taken, stands against it."""

    status = 409


class TooSlow(Base400):  # type: ignore[misc]
    """The query took longer than PAGE_MS."""

    status = 503


class FileInUse(TooSlow):
    """Another process uses the file, for longer than a request waits."""


@dataclass(frozen=True)
class Page:
    """One request for one database that holds faces, and an actor who may see its tables."""

    datasette: Any
    request: Any
    database: str
    format: Literal["html", "json", "csv"]

    @property
    def as_json(self) -> bool:
        """Whether the request is for JSON."""
        return self.format == "json"

    async def read(
        self, function: Callable[..., Answer], *arguments: Any, **options: Any
    ) -> Answer:
        """Run a function of the store in one of Datasette's threads. Raises TooSlow after PAGE_MS.

        A fact of the whole file (`store.file_facts`) is read once where the file cannot change.
        """
        database = self.datasette.get_database(self.database)

        def run(conn: Any) -> Answer:
            try:
                with sqlite_timelimit(conn, PAGE_MS):
                    return function(conn, *arguments, **options)
            except sqlite().OperationalError as error:
                if not was_interrupted(error):
                    raise
                raise TooSlow(f"This took longer than {PAGE_MS / 1000:g} seconds") from error

        key = fact_key(function, arguments)
        if key is None or database.is_mutable or options:
            result: Answer = await database.execute_fn(run)
            return result
        facts = state_of(self.datasette).cache_of(database)
        if key not in facts:
            facts[key] = await database.execute_fn(run)
        known: Answer = facts[key]
        return known

    @cached_property
    def _address(self) -> str:
        return f"{self.datasette.urls.database(self.database)}/-/faces"

    def url(self, path: str = "", **params: Any) -> str:
        """The address of a page of this database: `url("/face/1")`."""
        address = f"{self._address}{path}"
        if not params:
            return address
        given = {name: value for name, value in params.items() if value not in (None, "")}
        return f"{address}?{urlencode(given)}" if given else address

    @cached_property
    def _absolute(self) -> str:
        return str(self.datasette.absolute_url(self.request, self._address))

    def absolute(self, path: str) -> str:
        """The absolute address of a page of this database, for JSON."""
        return f"{self._absolute}{path}"

    async def sql_url(self, query: Query) -> str | None:
        """Where a query can be edited, if this actor may run SQL."""
        if not await permissions.may_run_sql(self.datasette, self.request, self.database):
            return None
        address = compat.query_url(self.datasette, self.database)
        return f"{address}?{urlencode({'sql': query.sql, **query.params})}"

    async def html(
        self, template: str, context: dict[str, Any], error: Base400 | None = None
    ) -> Response:
        """A rendered page; error: one that the page shows, which gives the status."""
        allowed = csp.AllowedSources()
        rendered = await self.datasette.render_template(
            f"faces/{template}",
            {
                "allow_scripts": allowed.note,
                "database": self.database,
                "database_color": compat.database_color(self.datasette, self.database),
                "faces_url": self.url,
                "static_url": lambda name: self.datasette.urls.static_plugins(
                    "datasette_faces", name
                ),
                "json_url": self._json_url(),
                **await self.read(table_privacy.describe_file),
                **context,
            },
            request=self.request,
            view_name="faces",
        )
        status, more = (error.status, getattr(error, "headers", {})) if error else (200, {})
        csp_headers = await csp.page_headers(self.datasette, self.database, allowed)
        return Response.html(rendered, status=status, headers={**csp_headers, **more})

    def _json_url(self) -> str:
        # Behind a proxy the request's own path may or may not begin with base_url
        path = self.request.scope.get("route_path") or self.request.path
        address = str(self.datasette.urls.path(f"{path.rstrip('/')}.json"))
        query = self.request.query_string
        return f"{address}?{query}" if query else address


async def page_for(datasette: Any, request: Any, *tables: str) -> Page:
    """Check that the database exists, holds faces, and that the actor may see these tables.

    Raises NotFound and Forbidden.
    """
    name = tilde_decode(request.url_vars["database"])
    if name not in datasette.databases:
        raise NotFound(f"There is no database {name}")
    if not await permissions.may_view(datasette, request, name, *tables):
        raise Forbidden("Permission denied: view-table")
    page = Page(datasette, request, name, _format(request))
    if not await page.read(gallery.is_faces_database):
        raise NotFound(f"{name} holds no faces; datasette faces ingest makes a database that does")
    return page


def _format(request: Any) -> Literal["html", "json", "csv"]:
    ending = request.url_vars.get("format")
    if request.method == "POST" and "application/json" in request.headers.get("accept", ""):
        return "json"
    return "json" if ending == ".json" else "csv" if ending == ".csv" else "html"


def row_id(request: Any) -> int:
    """The id in the address; one that SQLite could not hold is not found."""
    value = coerce.parse_id(request.url_vars["id"])
    if value is None:
        raise NotFound("Nothing has that id")
    return value


def read_id(request: Any, name: str, what: str) -> int | None:
    """An id of the query string, or None. Raises BadRequest; what: the kind of id, for its message."""
    text = request.args.get(name) or ""
    value = coerce.parse_id(text)
    if text and value is None:
        raise BadRequest(f"{name} takes {what}, not {text[:40]!r}")
    return value


def read_number(request: Any, name: str) -> float | None:
    """A number of the query string, or None. Raises BadRequest."""
    text = (request.args.get(name) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadRequest(f"{name} takes a number, not {text[:40]!r}") from None
    if not abs(value) <= coerce.MAX_ID:
        raise BadRequest(f"{name} takes a number up to {coerce.MAX_ID}, not {text[:40]!r}")
    # 50 stays 50 in the form and in addresses
    return int(value) if value.is_integer() else value


def page_view(*tables: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a view of a function that takes a Page: checks first, errors in the format of the request."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        async def view(datasette: Any, request: Any) -> Response:
            try:
                with _say_in_use(request):
                    page = await page_for(datasette, request, *tables)
                    return await _explain_errors(function, page)
            except (Base400, Forbidden) as error:
                if _format(request) == "html":
                    raise
                status = 403 if isinstance(error, Forbidden) else error.status
                return _json_error(str(error), status, getattr(error, "headers", {}))

        view.__name__, view.__doc__ = function.__name__, function.__doc__
        return view

    return decorate


@contextmanager
def _say_in_use(request: Any) -> Iterator[None]:
    """Raise FileInUse where SQLite gave up waiting for another process."""
    try:
        yield
    except sqlite().OperationalError as error:
        if not is_busy(error):
            raise
        database = tilde_decode(request.url_vars["database"])
        raise FileInUse(
            f"{database} is in use by another process; try again when it has ended"
        ) from error


async def _explain_errors(function: Callable[..., Any], page: Page) -> Response:
    """The answer; where the file itself holds what cannot be searched, BadRequest that says so."""
    try:
        return await function(page)
    except SearchError as error:
        raise BadRequest(str(error)) from error
    except sqlite().OperationalError as error:
        if not OUR_FUNCTION.match(str(error)):
            raise
        raise BadRequest(str(error)) from error


def _json_error(message: str, status: int, headers: dict[str, str]) -> Response:
    answer = {"ok": False, "error": message, "status": status}
    return Response.json(answer, status=status, headers=headers)


def web_address(text: str | None) -> str | None:
    """An address of the web, to be linked; None for what leads elsewhere, or does something."""
    try:
        scheme = urlsplit(text or "").scheme
    except ValueError:
        return None
    return text if scheme in ("http", "https") else None


def with_links(page: Page, row: Row) -> Row:
    """A row of JSON with the addresses of its face's page and crop."""
    face_id = row["face_id"]
    return {
        **row,
        "url": page.absolute(f"/face/{face_id}"),
        "crop_url": page.absolute(f"/crop/{face_id}.jpg"),
    }


def with_name(row: Row) -> Row:
    """A row with the name of its photo's file, for titles and alternative texts."""
    return {**row, "file_name": os.path.basename(row.get("path") or "")}


async def with_missing(page: Page, rows: list[Row]) -> list[Row]:
    """Rows, those of photos whose file is missing with `missing_since`: when that was found."""
    known = await page.read(gallery.missing_since, [row["photo_id"] for row in rows])
    return [
        {**row, "missing_since": known[row["photo_id"]]} if row["photo_id"] in known else row
        for row in rows
    ]


def add_footer(env: Any, datasette: Any) -> None:
    """Give templates `faces_footer()`, also to error pages, which get no other variables."""

    async def faces_footer() -> dict[str, str] | None:
        """The takedown address and the licence; None where no `site` is configured."""
        site = _configured_site(datasette)
        if not site:
            return None
        metadata = await compat.instance_metadata(datasette)
        licence = {name: str(metadata.get(name) or "") for name in ("license", "license_url")}
        return {"takedown": str(site.get("takedown") or "").strip(), **licence}

    env.globals["faces_footer"] = faces_footer


def _configured_site(datasette: Any) -> dict[str, Any]:
    for database in datasette.databases:
        if found := permissions.read_setting(datasette, database, "site"):
            return dict(found)
    return {}
