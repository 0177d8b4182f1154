"""Who may see and do what: one function for each kind of thing that the plugin shows."""

from __future__ import annotations

import json
from typing import Any

from datasette.utils import StartupError, actor_matches_allow

from . import derived_tables
from .compat import V1, allowed

PLUGIN = "datasette-faces"
ATTRIBUTE = "datasette_faces.may_view"
"""Where the scope of a request caches what its actor may see."""
ANY_TABLE = ""
"""Stands for the right to see faces at all, whatever the table."""

VIEW, UPLOAD, EDIT, ORIGINALS = "faces-view", "faces-upload", "faces-edit", "faces-originals"
RIGHTS = {
    VIEW: "See the pages, pictures and JSON about faces",
    UPLOAD: "Search by the faces of an uploaded picture",
    EDIT: "Decide who is who: name, merge, correct, hide and undo",
    ORIGINALS: "See original photo files",
}
OPEN = (VIEW, UPLOAD)
"""Rights of everyone who may see the tables, unless a rule says otherwise; only root, and actors that a
rule names, have the others."""
SEARCHED = ("faces", "photos", "face_embeddings")
"""The tables whose content a search by an uploaded face shows."""


async def may_view(datasette: Any, request: Any, database: str, *tables: str) -> bool:
    """Whether the actor of a request may see what the plugin shows of all these tables."""
    # A page asks for each of its parts, and Datasette 0.65 runs a query each time
    known = request.scope.setdefault(ATTRIBUTE, {})
    for table in (*tables, ANY_TABLE):
        question = database, table
        if question not in known:
            known[question] = await _may_view_table(datasette, request.actor, database, table)
        if not known[question]:
            return False
    return True


async def may_actor_view(datasette: Any, actor: Any, database: str, *tables: str) -> bool:
    """Whether an actor has `faces-view` in a database, and may see all these tables of it."""
    for table in (*tables, ANY_TABLE):
        if not await _may_view_table(datasette, actor, database, table):
            return False
    return True


async def _may_view_table(datasette: Any, actor: Any, database: str, table: str) -> bool:
    if table == ANY_TABLE:
        return await has_right(datasette, actor, VIEW, database)
    return await derived_tables.may_view_table(datasette, actor, database, table)


async def may_run_sql(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may run SQL of their own."""
    return await allowed(datasette, request.actor, "execute-sql", database=database)


async def may_upload(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may search a database with pictures of their own."""
    if not await may_view(datasette, request, database, *SEARCHED):
        return False
    return await has_right(datasette, request.actor, UPLOAD, database)


async def may_edit(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may edit people; never in an immutable database."""
    if not datasette.get_database(database).is_mutable:
        return False
    return await has_right(datasette, request.actor, EDIT, database)


async def may_view_originals(datasette: Any, request: Any, database: str) -> bool:
    """Whether the actor of a request may see full pictures from the disk.

    The setting `serve_originals: true` is short for the rule `faces-originals: true`.
    """
    if not await may_view(datasette, request, database, "photos", "photo_paths"):
        return False
    return await has_right(datasette, request.actor, ORIGINALS, database)


async def has_right(datasette: Any, actor: Any, action: str, database: str) -> bool:
    """Whether an actor has one of the plugin's RIGHTS in a database that they may see.

    Datasette 1.0 collects all plugins' rules: `resources_sql` has ours. On 0.65 what another plugin
    denies is denied, and what it allows is allowed unless our settings deny it.
    """
    if V1:
        return await allowed(datasette, actor, action, database=database)
    others = await datasette.permission_allowed(actor, action, resource=database, default=None)
    ours = _own_decision(datasette, actor, action, database)
    if others is False or ours is False or not (others or ours):
        return False
    return await allowed(datasette, actor, "view-database", database=database)


def explain_denied_edit(datasette: Any, database: str) -> str:
    """Why an actor may not edit."""
    if datasette.get_database(database).is_mutable:
        return f"Permission denied: {EDIT}"
    return (
        f"{database} is served as immutable, so no decisions can be made here. "
        "Serve the file without -i to name and correct people"
    )


def _own_decision(datasette: Any, actor: Any, action: str, database: str) -> bool | None:
    """What the plugin's settings say about a right; None where they say nothing."""
    rule = _rule(datasette, action, database)
    if rule is None:
        return True if action in OPEN else _is_root(actor)
    if actor_matches_allow(actor, rule):
        return True
    if action in OPEN or rule is False:
        return False
    return _is_root(actor)


def _is_root(actor: Any) -> bool | None:
    # On 1.0 Datasette knows whether there is a root, and gives every right to it
    return True if not V1 and (actor or {}).get("id") == "root" else None


def _rule(datasette: Any, action: str, database: str) -> Any:
    """The `allow` block of a right: the database's before the general one; None without any."""
    for settings in _settings(datasette, database):
        rule = (settings.get("permissions") or {}).get(action)
        if rule is not None:
            return rule
        if action == ORIGINALS and "serve_originals" in settings:
            return settings["serve_originals"] is True
    return None


def check_rules(datasette: Any) -> None:
    """Raise StartupError where the settings name an unknown right or an invalid rule.

    A typo would leave open what a rule should close.
    """
    every = [("", datasette.plugin_config(PLUGIN) or {})]
    every += [(f" of {name}", _settings(datasette, name)[0]) for name in datasette.databases]
    for where, settings in every:
        rules = settings.get("permissions") or {}
        known = ", ".join(RIGHTS)
        if not isinstance(rules, dict):
            raise StartupError(f"{PLUGIN}: permissions{where} takes rules for: {known}")
        for action, rule in rules.items():
            if action not in RIGHTS:
                raise StartupError(f"{PLUGIN}: no permission{where} is {action}; known: {known}")
            if not isinstance(rule, dict | bool | None):
                raise StartupError(
                    f"{PLUGIN}: {action}{where} takes true, false or an allow block like {{id: ann}}"
                )


def list_actions() -> list[Any]:
    """Datasette 1.0: the RIGHTS, so that its `permissions:` and tokens can name them."""
    from datasette.permissions import Action
    from datasette.resources import DatabaseResource

    return [
        Action(
            name=name,
            description=description,
            resource_class=DatabaseResource,
            also_requires="view-database",
        )
        for name, description in RIGHTS.items()
    ]


def resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    """Datasette 1.0: a PermissionSQL of what the plugin's settings say of one of the RIGHTS.

    OPEN ones are allowed also with `--default-deny`: without a permission to see the tables there is
    nothing to see. What the settings close stays closed whatever else allows it.
    """
    from datasette.permissions import PermissionSQL

    decisions = {
        name: _own_decision(datasette, actor, action, name) for name in datasette.databases
    }
    parameter = f"{action.replace('-', '_')}_said"
    if action not in OPEN:
        rows = json.dumps(
            [(name, int(allow)) for name, allow in decisions.items() if allow is not None]
        )
        return PermissionSQL(sql=_ROWS.format(parameter), params={parameter: rows})
    if all(decisions.values()):
        return PermissionSQL.allow(reason=f"default allow for {action}")
    rows = json.dumps([(name, 1) for name, allow in decisions.items() if allow])
    return PermissionSQL(
        sql="select null as parent, null as child, 1 as allow, 'datasette-faces' as reason",
        restriction_sql=f"select parent, child from ({_ROWS.format(parameter)})",
        params={parameter: rows},
    )


_ROWS = (
    "select json_extract(value, '$[0]') as parent, null as child, json_extract(value, '$[1]') "
    "as allow, 'datasette-faces: permissions' as reason from json_each(:{})"
)


async def is_as_open(datasette: Any, database: str, table: str, *, than: list[str]) -> bool:
    """Datasette 0.65: whether every actor who may see one of some tables may see this one as well.

    True where everyone may see it, and where no rule names any of the tables themselves.
    """
    if await allowed(datasette, None, "view-table", database=database, table=table):
        return True
    for name in (table, *than):
        rule = await datasette.permission_allowed(
            None, "view-table", resource=(database, name), default=None
        )
        if rule is not None:
            return False
    return True


def originals_folders(datasette: Any, database: str) -> list[str]:
    """The folders of the setting `originals_folders`, outside which no original is read; none: anywhere."""
    folders = read_setting(datasette, database, "originals_folders") or []
    return [folders] if isinstance(folders, str) else [str(it) for it in folders]


def read_setting(datasette: Any, database: str, name: str) -> Any:
    """A setting of the plugin, the database's before the general one."""
    for settings in _settings(datasette, database):
        if name in settings:
            return settings[name]
    return None


def _settings(datasette: Any, database: str) -> list[dict[str, Any]]:
    """The plugin's settings: those of a database, then the general ones."""
    own = datasette.plugin_config(PLUGIN, database=database, fallback=False)
    return [own or {}, datasette.plugin_config(PLUGIN) or {}]
