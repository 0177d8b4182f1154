"""Links to the pages from Datasette's own: menus of the site, of a database, of a table."""

from __future__ import annotations

from typing import Any

from ...store import gallery as browse
from ...store import people_pages, table_privacy
from ..datasette import permissions
from .page import Page

TABLES = ("faces", "photos", "people", "decisions", "face_embeddings")
"""Tables whose menu leads to the gallery."""


async def menu_links(datasette: Any, request: Any) -> list[dict[str, str]]:
    """A link to the gallery of each database that holds faces."""
    # Datasette 1.0 refuses another site's request with a page that knows no request, nor an actor
    if request is None:
        return []
    return [
        {"href": _gallery(datasette, name), "label": f"Faces in {name}"}
        for name in datasette.databases
        if name != "_internal" and await _has_gallery(datasette, request, name)
    ]


async def database_links(datasette: Any, request: Any, database: str) -> list[dict[str, str]]:
    """Links to the database's gallery, and to the search in it."""
    if not await _has_gallery(datasette, request, database):
        return []
    gallery = _gallery(datasette, database)
    browse_them = "Every face in these photos, with filters"
    links = [{"href": gallery, "label": "Browse faces", "description": browse_them}]
    if await _has_people(datasette, request, database):
        who = "Everyone in these photos, by name"
        links.append({"href": f"{gallery}/people", "label": "People", "description": who})
    if await _has_search(datasette, request, database):
        who = "Find a person with your own photo, or with a face from here"
        links.append({"href": f"{gallery}/search", "label": "Search by a face", "description": who})
    return links


async def table_links(
    datasette: Any, request: Any, database: str, table: str
) -> list[dict[str, str]]:
    """The same from the tables that the gallery shows."""
    return await database_links(datasette, request, database) if table in TABLES else []


async def _has_gallery(datasette: Any, request: Any, database: str) -> bool:
    if not await Page(datasette, request, database, "html").read(browse.is_faces_database):
        return False
    return await permissions.may_view(datasette, request, database, "faces", "photos")


async def _has_people(datasette: Any, request: Any, database: str) -> bool:
    if not await permissions.may_view(datasette, request, database, "people"):
        return False
    return bool(await Page(datasette, request, database, "html").read(people_pages.has_people))


async def _has_search(datasette: Any, request: Any, database: str) -> bool:
    if not await permissions.may_view(datasette, request, database, *permissions.SEARCHED):
        return False
    return bool(await Page(datasette, request, database, "html").read(table_privacy.is_searchable))


def _gallery(datasette: Any, database: str) -> str:
    return f"{datasette.urls.database(database)}/-/faces"
