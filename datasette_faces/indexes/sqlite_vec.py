"""The exact index: one vec0 table of sqlite-vec for each model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..connections import Connection
from ..shapes import Match

MAX_K = 4096
"""The most neighbours that vec0 gives: `SQLITE_VEC_VEC0_K_MAX` of sqlite-vec 0.1."""
PREFIX = "vec_faces_"
CHUNK_FACES = 256
"""vec0 allots space for so many vectors at once; its 1,024 would be half of a small file."""


def table_name(model_id: str) -> str:
    """The vec0 table of a model: `vec_faces_` and its id, other characters than a-z, 0-9 as _."""
    return PREFIX + re.sub(r"[^a-z0-9]+", "_", model_id.lower())


def create(conn: Connection, model_id: str, dimensions: int) -> None:
    """Make a model's table where there is none."""
    conn.execute(
        f"create virtual table if not exists {table_name(model_id)} using vec0("
        f"face_id integer primary key, embedding float[{int(dimensions)}] distance_metric=cosine, "
        f"chunk_size={CHUNK_FACES})"
    )


def put(conn: Connection, model_id: str, face_id: int, embedding: bytes) -> None:
    """Add a face, or replace its vector."""
    table = table_name(model_id)
    conn.execute(f"delete from {table} where face_id = ?", [face_id])
    conn.execute(f"insert into {table}(face_id, embedding) values (?, ?)", [face_id, embedding])


def remove(conn: Connection, model_ids: Iterable[str], face_id: int) -> None:
    """Take a face out of every model's table."""
    for model_id in model_ids:
        conn.execute(f"delete from {table_name(model_id)} where face_id = ?", [face_id])


def nearest(conn: Connection, model_id: str, embedding: bytes, k: int) -> list[Match]:
    """The k most similar faces, exactly, best first; k is at most MAX_K."""
    rows = conn.execute(
        f"select face_id, distance from {table_name(model_id)} "
        "where embedding match :embedding and k = :k order by distance, face_id",
        {"embedding": embedding, "k": min(k, MAX_K)},
    )
    return [Match(face_id, 1.0 - distance) for face_id, distance in rows]
