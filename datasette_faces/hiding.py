"""Tables that the plugin keeps: left out of Datasette's lists, as private as those they are made of."""

from __future__ import annotations

from typing import Any

from .store import browse, traits


def hide_internal_tables(datasette: Any) -> None:
    """Have every database leave out the tables that vec0 and the migrations keep for themselves.

    Datasette 0.65 hides no virtual table's own tables, and 1.0 does not know all of vec0's; neither
    has a hook for it that leaves the rest of the configuration alone.
    """
    for name, database in datasette.databases.items():
        if name != "_internal":
            _wrap_hidden(database)
            _wrap_derived(database)


def _wrap_hidden(database: Any) -> None:
    listed = database.hidden_table_names

    async def hidden_table_names() -> list[str]:
        hidden = await listed()
        ours = await database.execute_fn(browse.internal_tables)
        ours += await database.execute_fn(traits.unused_tables)
        return [*hidden, *(table for table in ours if table not in hidden)]

    database.hidden_table_names = hidden_table_names


def _wrap_derived(database: Any) -> None:
    """Datasette 1.0: who may not see a table may not see what is derived from it.

    On 0.65 `permissions.of_vectors` says so.
    """
    known = getattr(database, "derived_table_dependencies", None)
    if known is None:
        return

    async def derived_table_dependencies() -> dict[str, str]:
        return {**await known(), **await database.execute_fn(browse.derived_tables)}

    database.derived_table_dependencies = derived_table_dependencies
