"""What a file has of the tables that an older file, a catalogue or a copy may lack, as one value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .connection import Connection, sqlite
from .file_facts import file_fact

NO_TABLE = re.compile(r"no such table: (main\.)?(?P<table>.+)")
"""What SQLite says of a table that is not there."""


def quote_name(name: str) -> str:
    """The name of a table or column as SQL takes it, whatever is in it."""
    return '"{}"'.format(name.replace('"', '""'))


def find_missing_table(error: Exception) -> str | None:
    """The name of the table that an error of SQLite says is not there; None of any other error."""
    if not isinstance(error, sqlite().OperationalError):
        return None
    found = NO_TABLE.fullmatch(str(error))
    return found and found["table"]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables and views that a file has, each with the names of its columns in their order."""

    tables: Mapping[str, tuple[str, ...]]

    def has(self, *tables: str) -> bool:
        """Whether all of these tables are there."""
        return all(table in self.tables for table in tables)

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table; none where it is not there."""
        return self.tables.get(table, ())

    def has_columns(self, table: str, *columns: str) -> bool:
        """Whether a table is there and has all of these columns."""
        return self.has(table) and set(columns) <= set(self.columns(table))


def read_schema(conn: Connection, *tables: str) -> Schema:
    """What a file has of these tables. Only those are read: a file may hold others that are broken."""
    found = {
        table: tuple(row[1] for row in conn.execute(f"pragma table_info({quote_name(table)})"))
        for table in tables
    }
    return Schema({table: columns for table, columns in found.items() if columns})


@file_fact
def has_tables(conn: Connection, *tables: str) -> bool:
    """Whether a file has all of these tables: an older one, a catalogue or a copy may lack some."""
    # Names alone are read: pages ask this often
    found = conn.execute(
        "select count(*) from sqlite_master where type in ('table', 'view') "
        "and name in (select value from json_each(?))",
        [json.dumps(tables)],
    )
    return bool(found.fetchone()[0] == len(set(tables)))
