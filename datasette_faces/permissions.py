"""Who may see what: one question for each kind of thing that the plugin shows."""

from __future__ import annotations

import json
from typing import Any

from datasette.utils import actor_matches_allow

from .compat import V1, allowed, permitted
from .store import browse

PLUGIN = "datasette-faces"

UPLOAD, EDIT = "faces-upload", "faces-edit"
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


async def may_edit(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may decide who is who in a database.

    Root, and whom the plugin's setting `permissions`, Datasette's own `permissions` (1.0) or another
    plugin allows it; nobody where the database is served as immutable.
    """
    if not datasette.get_database(database).is_mutable:
        return False
    if V1:
        return await permitted(datasette, request.actor, EDIT, database=database)
    said = await datasette.permission_allowed(request.actor, EDIT, resource=database, default=None)
    if said is not None or not await allowed(
        datasette, request.actor, "view-database", database=database
    ):
        return bool(said)
    if (request.actor or {}).get("id") == "root":
        return True
    rule = _own_rule(datasette, EDIT, database)
    return rule is not None and bool(actor_matches_allow(request.actor, rule))


def why_not(datasette: Any, database: str) -> str:
    """What to tell somebody who may not edit."""
    if datasette.get_database(database).is_mutable:
        return f"Permission denied: {EDIT}"
    return (
        f"{database} is served as immutable: nobody can decide anything here. "
        "Serve the file without -i to name and correct people"
    )


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
        ),
        Action(
            name=EDIT,
            description="Decide who is who: name, merge, correct, hide and undo",
            resource_class=DatabaseResource,
            also_requires="view-database",
        ),
    ]


def by_default(datasette: Any, actor: Any, action: str) -> Any:
    """Datasette 1.0: our actions as the plugin's settings have them; a denial elsewhere is stronger.

    Uploads are allowed where nothing is said, also with `--default-deny`: without a permission to see
    the tables there is nothing to search. Editing is allowed to whom the settings name.
    """
    from datasette.permissions import PermissionSQL

    if action == UPLOAD:
        return PermissionSQL.allow(reason=f"default allow for {action}")
    if action != EDIT:
        return None
    allowing = {name: _own_rule(datasette, EDIT, name) for name in datasette.databases}
    names = [
        name
        for name, rule in allowing.items()
        if rule is not None and actor_matches_allow(actor, rule)
    ]
    if not names:
        return None
    sql = (
        "select value as parent, null as child, 1 as allow, 'datasette-faces: permissions' as reason "
        "from json_each(:faces_edit_databases)"
    )
    return PermissionSQL(sql=sql, params={"faces_edit_databases": json.dumps(names)})


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
