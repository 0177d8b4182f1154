"""Who may see what: one question for each kind of thing that the plugin shows."""

from __future__ import annotations

from typing import Any

from datasette.utils import actor_matches_allow

from .compat import allowed, permitted
from .store import browse

PLUGIN = "datasette-faces"

UPLOAD = "faces-upload"
SEARCHED = ("faces", "photos", "face_embeddings")
"""The tables whose content a search by an uploaded face shows."""


async def may_view(datasette: Any, request: Any, database: str, *tables: str) -> bool:
    """Whether the actor of a request may see all these tables of a database."""
    for table in tables:
        if not await allowed(
            datasette, request.actor, "view-table", database=database, table=table
        ):
            return False
    return True


async def may_run_sql(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may run SQL of their own."""
    return await allowed(datasette, request.actor, "execute-sql", database=database)


async def may_upload(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may search a database with pictures of their own.

    Everyone who may see what a search shows; unless the plugin's setting `permissions`, Datasette's
    own `permissions` (1.0) or another plugin keeps `faces-upload` from them.
    """
    if not await may_view(datasette, request, database, *SEARCHED):
        return False
    if not actor_matches_allow(request.actor, _own_rule(datasette, UPLOAD, database)):
        return False
    return await permitted(datasette, request.actor, UPLOAD, database=database)


def _own_rule(datasette: Any, action: str, database: str) -> Any:
    """The `allow` of an action in the plugin's settings, the database's before the general ones."""
    for settings in _settings(datasette, database):
        rules = settings.get("permissions") or {}
        if action in rules:
            return rules[action]
    return None


def actions() -> list[Any]:
    """Datasette 1.0: the actions that are ours, so that `permissions:` and tokens can name them."""
    from datasette.permissions import Action
    from datasette.resources import DatabaseResource

    return [
        Action(
            name=UPLOAD,
            description="Search by the faces of an uploaded picture",
            resource_class=DatabaseResource,
            also_requires="view-database",
        )
    ]


def by_default(action: str) -> Any:
    """Datasette 1.0: our actions are allowed where nothing is said of them; a denial is stronger.

    Also with `--default-deny`: without a permission to see the tables there is nothing to search.
    """
    from datasette.permissions import PermissionSQL

    return PermissionSQL.allow(reason=f"default allow for {action}") if action == UPLOAD else None


async def of_vectors(datasette: Any, actor: Any, database: str, table: str) -> bool | None:
    """Datasette 0.65: who may not see the embeddings may not see vec0's copies; else no opinion.

    On 1.0 `hiding` says so.
    """
    copies = await datasette.get_database(database).execute_fn(browse.vector_tables)
    if table not in copies:
        return None
    may = await allowed(datasette, actor, "view-table", database=database, table=browse.VECTORS)
    return None if may else False


def serves_originals(datasette: Any, database: str) -> bool:
    """Whether the plugin setting `serve_originals` allows full pictures from the disk."""
    return setting(datasette, database, "serve_originals") is True


def setting(datasette: Any, database: str, name: str) -> Any:
    """A setting of the plugin, the database's before the general one."""
    for settings in _settings(datasette, database):
        if name in settings:
            return settings[name]
    return None


def _settings(datasette: Any, database: str) -> list[dict[str, Any]]:
    """The plugin's settings: those of a database, then the general ones."""
    own = datasette.plugin_config(PLUGIN, database=database, fallback=False)
    return [own or {}, datasette.plugin_config(PLUGIN) or {}]
