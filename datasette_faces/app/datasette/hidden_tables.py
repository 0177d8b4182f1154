"""Tables that the plugin keeps: hidden in Datasette's lists, as private as the tables they derive from."""

from __future__ import annotations

from typing import Any

from ...store import gallery, table_privacy
from . import derived_tables, permissions
from .compat import V1

DONE = "_datasette_faces_hides"


def hide_everywhere(datasette: Any) -> None:
    """Hide the plugin's own tables in every database, also in those added since."""
    for database in list(datasette.databases.values()):
        hide(datasette, database)


def hide(datasette: Any, database: Any) -> None:
    """Hide the tables of vec0 and of migrations in a database, and show nothing of private ones by others.

    Datasette 0.65 hides no virtual table's own tables, and 1.0 does not know all of vec0's; neither
    has a hook for it that leaves the rest of the configuration alone.
    """
    if database.name == "_internal" or hasattr(database, DONE):
        return
    setattr(database, DONE, True)
    _wrap_hidden(database)
    if V1:
        _wrap_derived(database)
    else:
        _wrap_labels(datasette, database)


def _wrap_hidden(database: Any) -> None:
    listed = database.hidden_table_names

    async def hidden_table_names() -> list[str]:
        hidden = await listed()
        ours = await database.execute_fn(lambda conn: table_privacy.unlisted_tables(conn, hidden))
        return [*hidden, *(table for table in ours if table not in hidden)]

    database.hidden_table_names = hidden_table_names


def _wrap_derived(database: Any) -> None:
    """Datasette 1.0: the dependencies of `derived_tables.depend_on_one`."""
    known = getattr(database, "derived_table_dependencies", None)
    if known is None:
        return

    async def derived_table_dependencies() -> dict[str, str]:
        ours = await database.execute_fn(table_privacy.derived_tables)
        return {**await known(), **derived_tables.depend_on_one(ours)}

    database.derived_table_dependencies = derived_table_dependencies


def _wrap_labels(datasette: Any, database: Any) -> None:
    """Datasette 0.65: what points to a private table of faces shows numbers, not names out of it.

    1.0 checks whether the actor may see that table. 0.65 checks nothing and does not name the
    actor: where not everyone who sees the one table sees the other, there are no labels.
    """
    labels = database.label_column_for_table

    async def label_column_for_table(table: str) -> str | None:
        label: str | None = await labels(table)
        if label is None or not await database.execute_fn(gallery.is_faces_database):
            return label
        pointing = await database.execute_fn(lambda conn: table_privacy.pointing_to(conn, table))
        as_open = await permissions.is_as_open(datasette, database.name, table, than=pointing)
        return label if as_open else None

    database.label_column_for_table = label_column_for_table
