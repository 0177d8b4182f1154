"""What differs between Datasette 0.65 and 1.0 alphas, and only that."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from datasette.utils import tilde_decode
from datasette.utils.asgi import Forbidden

try:
    from datasette.resources import DatabaseResource, TableResource

    V1 = True
except ImportError:
    V1 = False

CSRF_BY_HEADERS = find_spec("datasette.csrf") is not None
"""Newer 1.0 alphas refuse another site's requests by their headers, before us; older ones need a token,
but cannot read one in a form with files (asgi-csrf 0.11)."""

_UPLOAD_PATH = re.compile(r"/(?P<database>[^/]+)/-/faces/search(\.json|\.csv)?")

DEFAULT_COLOR = "ff0000"
"""What Datasette 0.65 gives to every database."""


async def allowed(
    datasette: Any, actor: Any, action: str, *, database: str, table: str | None = None
) -> bool:
    """Whether an actor may view a database or a table, or run SQL, as the core decides it.

    On 1.0 also whether they have one of our own rights.
    """
    if V1:
        resource = TableResource(database, table) if table else DatabaseResource(database)
        return bool(await datasette.allowed(action=action, resource=resource, actor=actor))
    checks: list[Any] = [("view-table", (database, table))] if table else []
    checks += [("view-database", database), "view-instance"]
    if action == "execute-sql":
        checks.insert(0, ("execute-sql", database))
    try:
        await datasette.ensure_permissions(actor, checks)
    except Forbidden:
        return False
    return True


def skips_csrf(datasette: Any, scope: Any) -> bool:
    """Whether a request goes where pictures are uploaded: `check_csrf` checks it there.

    Compares the whole path, as the router sees it: no other page may lose its protection.
    """
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    base_url = datasette.setting("base_url")
    if base_url != "/" and path.startswith(base_url):
        path = f"/{path[len(base_url) :]}"
    found = _UPLOAD_PATH.fullmatch(path)
    return found is not None and tilde_decode(found["database"]) in datasette.databases


def check_csrf(request: Any, fields: Mapping[str, list[str]]) -> None:
    """Refuse a request that another site made a browser send. Raises Forbidden.

    Does what asgi-csrf does where `skips_csrf` sends it past: the token of the form (a field
    `csrftoken`, or the header x-csrftoken) has to be the one in the browser's cookie.
    """
    if CSRF_BY_HEADERS or not request.headers.get("cookie"):
        return
    if request.headers.get("authorization", "").startswith("Bearer "):
        return
    sent = request.headers.get("x-csrftoken") or next(iter(fields.get("csrftoken", [])), "")
    if not secrets.compare_digest(sent.encode(), request.scope["csrftoken"]().encode()):
        raise Forbidden(
            "The form's token is missing or too old (CSRF): reload the page and try again"
        )


def query_url(datasette: Any, database: str) -> str:
    """Where SQL is run and edited."""
    url = str(datasette.urls.database(database))
    return f"{url}/-/query" if V1 else url


def database_color(datasette: Any, database: str) -> str:
    """The colour of a database's pages, as Datasette gives it."""
    return str(getattr(datasette.get_database(database), "color", DEFAULT_COLOR))


async def instance_metadata(datasette: Any) -> dict[str, Any]:
    """The metadata of the whole site: title, description, license, …"""
    if V1:
        return dict(await datasette.get_instance_metadata())
    return dict(datasette.metadata() or {})
