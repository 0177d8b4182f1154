"""Each connection that Datasette opens: made ready for faces, with its errors and its logs in order."""

from __future__ import annotations

import os
from typing import Any

import click

from ...errors import NoVectorExtension
from ...store import vec_tables
from ...store.connection import Connection, explain_damage, is_damaged, sqlite
from ..sql import errors, functions
from . import hidden_tables, log_filter
from .state import state_of


def prepare(datasette: Any, conn: Any, name: str) -> None:
    """Make a connection to the database of that name ready.

    Raises ClickException where the file cannot be read without sqlite-vec, or is damaged: Datasette opens
    every database on starting, and its command line shows this one as a line.
    """
    database = datasette.databases.get(name)
    path = getattr(database, "path", None)
    state = state_of(datasette)
    try:
        functions.prepare(conn, path, state.shared(name, path))
    except NoVectorExtension as error:
        raise click.ClickException(str(error)) from error
    # Pages show this to anyone: the file's name alone
    _check_schema(conn, os.path.basename(path or name))
    # Here and not on starting: databases that are added later come by here as well
    if database is not None:
        errors.show_reasons(database)
        hidden_tables.hide(datasette, database)
        log_filter.keep_failed_queries_out(database, state.upload_cache)


def _check_schema(conn: Connection, file_name: str) -> None:
    try:
        vec_tables.open_all(conn)
    except (sqlite().DatabaseError, UnicodeDecodeError) as error:
        # Whatever else is wrong, as a file in use, is for whoever asks for something
        if is_damaged(error):
            raise click.ClickException(explain_damage(file_name, error)) from error
