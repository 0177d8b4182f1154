"""The exact index: one vec0 table of sqlite-vec for each model."""

from __future__ import annotations

import numpy as np

from ...algorithms import vectors
from ...shapes import FloatArray, IdArray, ModelInfo
from ...store import changes, indexes, vec_tables
from ...store.connection import Connection, sqlite, transaction
from ...store.indexes import Kept
from ...store.photos import now
from .base import FaceIndex, Snapshot

MAX_K = 4096
"""The most neighbours that vec0 gives: `SQLITE_VEC_VEC0_K_MAX` of sqlite-vec 0.1."""
STOPPED = ("interrupted", "chunks iter error")
"""What SQLite and sqlite-vec say of a query that was stopped."""
CHUNK_FACES = 256
"""vec0 allots space for so many vectors at once; its 1,024 would be half of a small file."""


def was_stopped(error: Exception) -> bool:
    """Whether an error of SQLite's only says that a time limit fell into a query."""
    return any(sign in str(error) for sign in STOPPED)


class SqliteVec(FaceIndex):
    """vec0: compares every vector, gives the nearest ones exactly, and can be queried in SQL."""

    id = vec_tables.INDEX_ID

    def open(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """The table in the file, if it is there."""
        kept = indexes.kept(conn, model.id, self.id)
        if kept is None or not vec_tables.is_there(conn, model):
            return None
        seen = kept.seen

        def candidates(conn: Connection, embedding: FloatArray, count: int) -> IdArray | None:
            # The table is the file's: dropped since, or, as this connection still sees it, older
            now = indexes.kept(conn, model.id, self.id)
            if now is None or now.seen < seen or not vec_tables.is_there(conn, model):
                return None
            return _nearest(conn, model, embedding, count)

        return Snapshot(seen=seen, candidates=candidates, most=MAX_K)

    def follow(self, conn: Connection, model: ModelInfo) -> None:
        """Make the table where there is none, and bring the faces that changed into it."""
        kept = indexes.kept(conn, model.id, self.id)
        upto, changed = changes.since(conn, model.id, kept.seen if kept else 0)
        if kept is None or changed is None or not vec_tables.is_there(conn, model):
            self.drop(conn, model)
            _create(conn, model)
            changed = None
        _copy(conn, model, changed)
        rows = f"select count(*) from {vec_tables.table_name(model.id)}_rowids"
        faces = conn.execute(rows).fetchone()[0] if changed != [] else kept.faces if kept else 0
        indexes.keep(conn, model.id, self.id, Kept(upto, faces, now(), None))

    def settle(self, conn: Connection, model: ModelInfo) -> None:
        """Update the table where other programs or an older version have not."""
        kept = indexes.kept(conn, model.id, self.id)
        if (
            kept is None
            or kept.seen != changes.position(conn)
            or not vec_tables.is_there(conn, model)
        ):
            with transaction(conn):
                self.follow(conn, model)

    def drop(self, conn: Connection, model: ModelInfo) -> None:
        """Remove the table."""
        conn.execute(f"drop table if exists {vec_tables.table_name(model.id)}")
        indexes.forget(conn, model.id, self.id)


def _create(conn: Connection, model: ModelInfo) -> None:
    conn.execute(
        f"create virtual table {vec_tables.table_name(model.id)} using vec0("
        f"face_id integer primary key, embedding float[{int(model.dimensions)}] "
        f"distance_metric=cosine, chunk_size={CHUNK_FACES})"
    )


def _copy(conn: Connection, model: ModelInfo, face_ids: list[int] | None) -> None:
    """Bring these faces' vectors as they are now, or everybody's, into the table."""
    table = vec_tables.table_name(model.id)
    # NaN among vec0's vectors spoils the order of all; the distance of what is broken is NULL
    insert = (
        f"insert into {table}(face_id, embedding) select face_id, embedding from face_embeddings "
        "where model_id = :model and case when typeof(embedding) = 'blob' "
        f"and length(embedding) = {vectors.FLOAT32_BYTES * model.dimensions} "
        "then vec_distance_cosine(embedding, embedding) end is not null"
    )
    if face_ids is None:
        conn.execute(f"{insert} order by face_id", {"model": model.id})
        return
    for face_id in face_ids:
        conn.execute(f"delete from {table} where face_id = ?", [face_id])
        conn.execute(f"{insert} and face_id = :face", {"model": model.id, "face": face_id})


def _nearest(
    conn: Connection, model: ModelInfo, embedding: FloatArray, count: int
) -> IdArray | None:
    sql = (
        f"select face_id from {vec_tables.table_name(model.id)} "
        "where embedding match :embedding and k = :k order by distance"
    )
    try:
        rows = conn.execute(sql, {"embedding": vectors.encode(embedding), "k": count}).fetchall()
    except sqlite().DatabaseError as error:
        # sqlite-vec is not loaded, or its own tables are incomplete
        if was_stopped(error):
            raise
        return None
    return np.array([row[0] for row in rows], np.int64)
