"""Which tables Datasette leaves out of its lists: those that nobody reads. Decides no permission."""

from __future__ import annotations

from typing import Any

from .store import browse


def hide_internal_tables(datasette: Any) -> None:
    """Have every database leave out the tables that vec0 and the migrations keep for themselves.

    Datasette 0.65 hides no virtual table's own tables, and 1.0 does not know all of vec0's; neither
    has a hook for it that leaves the rest of the configuration alone.
    """
    for name, database in datasette.databases.items():
        if name != "_internal":
            _wrap(database)


def _wrap(database: Any) -> None:
    listed = database.hidden_table_names

    async def hidden_table_names() -> list[str]:
        hidden = await listed()
        ours = await database.execute_fn(browse.internal_tables)
        return [*hidden, *(table for table in ours if table not in hidden)]

    database.hidden_table_names = hidden_table_names
