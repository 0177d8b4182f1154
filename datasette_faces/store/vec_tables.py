"""The vec0 tables of sqlite-vec: what they are called, and which a file has. An index fills them."""

from __future__ import annotations

import re

from ..shapes import ModelInfo
from .connection import Connection
from .schema import quote_name

PREFIX = "vec_faces_"
MAX_K = 4096
"""The most neighbours that vec0 returns: `SQLITE_VEC_VEC0_K_MAX` of sqlite-vec 0.1."""
INDEX_ID = "sqlite-vec"
"""The kind of index that keeps its vectors in these tables, as `face_indexes` names it."""


def table_name(model_id: str) -> str:
    """The vec0 table of a model: `vec_faces_` and its id, other characters than a-z, 0-9 as _."""
    return PREFIX + re.sub(r"[^a-z0-9]+", "_", model_id.lower())


def list_tables(conn: Connection) -> list[str]:
    """The names of all vec0 tables, whatever else the file knows of them."""
    rows = conn.execute(
        "select name from sqlite_master where type = 'table' and sql like '%using vec0%' order by 1"
    )
    return [row[0] for row in rows]


def open_all(conn: Connection) -> None:
    """Have SQLite read the schema, and make each vec0 table ready: raises what it says of damaged ones."""
    for table in list_tables(conn):
        conn.execute(f"pragma table_info({quote_name(table)})")


def has_table(conn: Connection, model: ModelInfo) -> bool:
    """Whether the table is there, for vectors of this length."""
    found = conn.execute(
        "select 1 from sqlite_master where type = 'table' and name = ? and instr(sql, ?)",
        [table_name(model.id), f" float[{model.dimensions}] "],
    )
    return found.fetchone() is not None
