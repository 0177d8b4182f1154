"""What every page asks of its request: which database, may this actor, as JSON or HTML."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from datasette.utils import sqlite_timelimit, tilde_decode
from datasette.utils.asgi import Base400, Forbidden, NotFound, Response

from .. import compat, headers, permissions
from ..connections import sqlite
from ..store import browse, traits
from ..store.browse import Query, Row

Answer = TypeVar("Answer")

MAX_ID = 2**63 - 1
PAGE_MS = 5_000
"""A page's query is stopped after this; Datasette's own limit holds for SQL that people write."""
INTERRUPTED = ("interrupted", "chunks iter error")
"""What SQLite and sqlite-vec say of a query that was stopped."""


class BadRequest(Base400):  # type: ignore[misc]
    """What was asked for makes no sense; the message says what would."""


class Conflict(Base400):  # type: ignore[misc]
    """What was decided meanwhile, or a name that is taken, stands against it."""

    status = 409


class TooSlow(Base400):  # type: ignore[misc]
    """The query took longer than PAGE_MS."""

    status = 503


@dataclass(frozen=True)
class Page:
    """One request for one database that holds faces, and an actor who may see its tables."""

    datasette: Any
    request: Any
    database: str
    format: Literal["html", "json", "csv"]

    @property
    def as_json(self) -> bool:
        """Whether JSON was asked for."""
        return self.format == "json"

    async def read(
        self, function: Callable[..., Answer], *arguments: Any, **options: Any
    ) -> Answer:
        """Run a function of the store in one of Datasette's threads. Raises TooSlow after PAGE_MS."""

        def run(conn: Any) -> Answer:
            try:
                with sqlite_timelimit(conn, PAGE_MS):
                    return function(conn, *arguments, **options)
            except sqlite().OperationalError as error:
                if not any(sign in str(error) for sign in INTERRUPTED):
                    raise
                raise TooSlow(f"This took longer than {PAGE_MS / 1000:g} seconds") from error

        answer: Answer = await self.datasette.get_database(self.database).execute_fn(run)
        return answer

    def url(self, path: str = "", **params: Any) -> str:
        """The address of a page of this database: `url("/face/1")`."""
        address = f"{self.datasette.urls.database(self.database)}/-/faces{path}"
        given = {name: value for name, value in params.items() if value not in (None, "")}
        return f"{address}?{urlencode(given)}" if given else str(address)

    async def sql_url(self, query: Query) -> str | None:
        """Where a query can be edited, if this actor may run SQL."""
        if not await permissions.may_run_sql(self.datasette, self.request, self.database):
            return None
        address = compat.query_url(self.datasette, self.database)
        return f"{address}?{urlencode({'sql': query.sql, **query.params})}"

    async def html(
        self, template: str, context: dict[str, Any], error: Base400 | None = None
    ) -> Response:
        """A page in the house's look; with the status of an error that it tells of."""
        allowed = headers.Allowed()
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
                **await self.read(traits.of_file),
                **context,
            },
            request=self.request,
            view_name="faces",
        )
        status, more = (error.status, getattr(error, "headers", {})) if error else (200, {})
        told = await headers.of_page(self.datasette, self.database, allowed)
        return Response.html(rendered, status=status, headers={**told, **more})

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
    try:
        database = datasette.get_database(name)
    except KeyError:
        raise NotFound(f"There is no database {name}") from None
    if not await permissions.may_view(datasette, request, name, *tables):
        raise Forbidden("Permission denied: view-table")
    if not await database.execute_fn(browse.is_faces_database):
        raise NotFound(f"{name} holds no faces; datasette faces ingest makes a database that does")
    return Page(datasette, request, name, _format(request))


def _format(request: Any) -> Literal["html", "json", "csv"]:
    ending = request.url_vars.get("format")
    if request.method == "POST" and "application/json" in request.headers.get("accept", ""):
        return "json"
    return "json" if ending == ".json" else "csv" if ending == ".csv" else "html"


def row_id(request: Any) -> int:
    """The id in the address; one that SQLite could not hold is not found."""
    value = int(request.url_vars["id"])
    if value > MAX_ID:
        raise NotFound("There is nothing of that id")
    return value


def number(request: Any, name: str) -> float | None:
    """A number of the query string, or None. Raises BadRequest."""
    text = (request.args.get(name) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadRequest(f"{name} takes a number, not {text[:40]!r}") from None
    if not abs(value) <= MAX_ID:
        raise BadRequest(f"{name} takes a number up to {MAX_ID}, not {text[:40]!r}")
    # 50 stays 50 in the form and in addresses
    return int(value) if value.is_integer() else value


def page_view(*tables: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a view of a function that takes a Page: checks first, errors as JSON where that is asked."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        async def view(datasette: Any, request: Any) -> Response:
            try:
                return await function(await page_for(datasette, request, *tables))
            except (Base400, Forbidden) as error:
                if _format(request) == "html":
                    raise
                status = 403 if isinstance(error, Forbidden) else error.status
                return _json_error(str(error), status, getattr(error, "headers", {}))

        view.__name__, view.__doc__ = function.__name__, function.__doc__
        return view

    return decorate


def _json_error(message: str, status: int, headers: dict[str, str]) -> Response:
    answer = {"ok": False, "error": message, "status": status}
    return Response.json(answer, status=status, headers=headers)


def with_links(page: Page, row: Row) -> Row:
    """A row of JSON with the addresses of its face's page and crop."""
    absolute = page.datasette.absolute_url
    return {
        **row,
        "url": absolute(page.request, page.url(f"/face/{row['face_id']}")),
        "crop_url": absolute(page.request, page.url(f"/crop/{row['face_id']}.jpg")),
    }


def with_name(row: Row) -> Row:
    """A row with the name of its photo's file, for titles and alternative texts."""
    return {**row, "file_name": os.path.basename(row.get("path") or "")}
