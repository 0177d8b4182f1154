"""Who may see a table that carries what others hold: only who may see all of those, on both versions."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

from ...store import table_privacy
from .compat import allowed

_asking: ContextVar[bool] = ContextVar("asking", default=False)
"""Whether a permission is asked for right now of a table that carries nothing of others."""
_DENIED = """
select json_extract(value, '$[0]') as parent, json_extract(value, '$[1]') as child, 0 as allow,
    'it carries what a table holds that may not be seen' as reason from json_each(:faces_carried)
"""


async def may_view_table(datasette: Any, actor: Any, database: str, table: str) -> bool:
    """Whether an actor may see a table, as the core decides it with all that the table carries."""
    if table_privacy.may_be_derived(table):
        return await allowed(datasette, actor, "view-table", database=database, table=table)
    # It carries nothing: Datasette 1.0 need not ask what others carry, which takes longer than all else
    asked = _asking.set(True)
    try:
        return await allowed(datasette, actor, "view-table", database=database, table=table)
    finally:
        _asking.reset(asked)


async def may_view(datasette: Any, actor: Any, database: str, table: str) -> bool | None:
    """Datasette 0.65: False for a table that carries what the actor may not see; else None.

    What carries itself is a secret.
    """
    tables = await datasette.get_database(database).execute_fn(table_privacy.derived_tables)
    for source in tables.get(table, ()):
        if source == table:
            return False
        if not await may_view_table(datasette, actor, database, source):
            return False
    return None


async def deny(datasette: Any, actor: Any) -> Any:
    """Datasette 1.0: a PermissionSQL that denies tables that carry what an actor may not see.

    It looks at the BASES, which carry nothing themselves; `depend_on_one` does the rest.
    """
    from datasette.permissions import PermissionSQL

    if _asking.get():
        return None
    denied: list[tuple[str, str]] = []
    for name, database in list(datasette.databases.items()):
        tables = await database.execute_fn(table_privacy.derived_tables)
        bases = table_privacy.BASES if tables else ()
        private = {it for it in bases if not await may_view_table(datasette, actor, name, it)}
        denied += [(name, it) for it, held in tables.items() if private.intersection(held)]
    if not denied:
        return None
    return PermissionSQL(sql=_DENIED, params={"faces_carried": json.dumps(denied)})


def depend_on_one(tables: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Of each derived table the one that is derived as well, as Datasette 1.0 takes dependencies.

    It takes one of each table, which depends on no other. A secret depends on itself: that shows it to
    no one.
    """
    return {
        table: source
        for table, held in tables.items()
        for source in held
        if source not in table_privacy.BASES
    }
