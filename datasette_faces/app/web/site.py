"""What the templates of a site may show of its faces: `faces_site()`. No routes, no HTML."""

from __future__ import annotations

from typing import Any

from ...errors import FacesError
from ...search import searcher
from ...store import gallery, people_pages
from ...store.gallery import Filters, Row
from ..datasette import compat, csp, permissions
from ..datasette.settings import SHOWN
from .page import Page, web_address
from .upload_analysis import face_model

WALL = 60
"""People on a front page, or faces if no person has a name."""
SETTING = "site"

Site = dict[str, Any]
_KNOWN = "datasette_faces_site"


def template_vars(datasette: Any, request: Any) -> dict[str, Any]:
    """The variables that every template of Datasette gets from the plugin."""

    async def faces_site(database: str | None = None, *, limit: int = WALL) -> Site | None:
        """The faces of a database, the first that this actor may see; None where there is none."""
        if request is None:
            return None
        # Templates ask in several of their blocks
        known = request.scope.setdefault(_KNOWN, {})
        if (database, limit) not in known:
            known[database, limit] = await _first(datasette, request, database, limit)
        found: Site | None = known[database, limit]
        return found

    return {"faces_site": faces_site, "faces_policy": csp.policy_function(request)}


async def _first(datasette: Any, request: Any, database: str | None, limit: int) -> Site | None:
    for name in [database] if database else list(datasette.databases):
        page = await _page(datasette, request, name)
        if page is not None:
            return await _site(page, limit)
    return None


async def _page(datasette: Any, request: Any, name: str) -> Page | None:
    if name not in datasette.databases:
        return None
    if not await permissions.may_view(datasette, request, name, "faces", "photos"):
        return None
    if not await datasette.get_database(name).execute_fn(gallery.is_faces_database):
        return None
    return Page(datasette, request, name, "html")


async def _site(page: Page, limit: int) -> Site:
    settings = permissions.read_setting(page.datasette, page.database, SETTING) or {}
    sees_people = await _may(page, "people") and await page.read(people_pages.has_people)
    people = await _people(page, limit) if sees_people else []
    counts = await page.read(people_pages.count_people) if sees_people else {"named": 0, "all": 0}
    embedded = await page.read(gallery.has_embeddings)
    searched = embedded and await _may(page, *permissions.SEARCHED)
    return {
        "database": page.database,
        "faces_url": page.url,
        "static_url": lambda name: page.datasette.urls.static_plugins("datasette_faces", name),
        "people": people,
        "people_count": counts["named"],
        "people_total": counts["all"],
        "faces": [] if people else await _faces(page, limit),
        "totals": await page.read(gallery.totals),
        "embedded": embedded,
        "searched": searched,
        "may_upload": searched and await _may_upload(page),
        "metadata": await compat.instance_metadata(page.datasette),
        **{name: str(settings.get(name) or "").strip() for name in SHOWN},
        "link": _link,
    }


async def _may_upload(page: Page) -> bool:
    """Whether this actor may search by a photograph, and the server can look for faces in it."""
    if not await permissions.may_upload(page.datasette, page.request, page.database):
        return False
    try:
        info = await page.read(searcher.model_of, None)
        return face_model(page, info.id).missing() is None
    except FacesError:
        return False


async def _may(page: Page, *tables: str) -> bool:
    return await permissions.may_view(page.datasette, page.request, page.database, *tables)


async def _people(page: Page, limit: int) -> list[Row]:
    query = people_pages.people_query("named", name="", after=None, limit=limit)
    return await page.read(people_pages.read_people, query)


async def _faces(page: Page, limit: int) -> list[Row]:
    query = await page.read(gallery.gallery_query, Filters(), after=None, limit=limit)
    return await page.read(gallery.rows, gallery.lean(query))


def _link(address: str) -> str | None:
    """Where a contact leads, if it is an address of the web or of mail; None for words."""
    if web_address(address) or address.startswith("mailto:"):
        return address
    return f"mailto:{address}" if "@" in address and " " not in address else None
