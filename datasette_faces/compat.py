"""What differs between Datasette 0.65 and 1.0 alphas, and only that."""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import Forbidden

try:
    from datasette.resources import DatabaseResource, TableResource

    V1 = True
except ImportError:
    V1 = False

DEFAULT_COLOR = "ff0000"
"""What Datasette 0.65 gives to every database."""


async def allowed(
    datasette: Any, actor: Any, action: str, *, database: str, table: str | None = None
) -> bool:
    """Whether an actor may view a database or a table, or run SQL, as the core decides it."""
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


def query_url(datasette: Any, database: str) -> str:
    """Where SQL is run and edited."""
    url = str(datasette.urls.database(database))
    return f"{url}/-/query" if V1 else url


def database_color(datasette: Any, database: str) -> str:
    """The colour of a database's pages, as Datasette gives it."""
    return str(getattr(datasette.get_database(database), "color", DEFAULT_COLOR))
