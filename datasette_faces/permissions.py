"""Who may see what: one question for each kind of thing that the plugin shows."""

from __future__ import annotations

from typing import Any

from .compat import allowed
from .store import browse

PLUGIN = "datasette-faces"


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
    own = datasette.plugin_config(PLUGIN, database=database)
    settings = own or datasette.plugin_config(PLUGIN) or {}
    return settings.get("serve_originals") is True
