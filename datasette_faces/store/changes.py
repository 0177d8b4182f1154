"""The log of changed embeddings, which triggers write: how far it reaches, what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .connection import Connection

KEPT_BY = (
    "face_changes",
    "face_indexes",
    "face_index_parts",
    "face_embeddings_inserted",
    "face_embeddings_rekeyed",
    "face_embeddings_updated",
    "face_embeddings_deleted",
    "sqlite_sequence",
)
"""What migration 0002 makes; a table that was rebuilt by another tool has lost its triggers."""


def is_kept(conn: Connection) -> bool:
    """Whether the file has the log, and what writes it: a copy for publishing may be without."""
    found = conn.execute(
        "select count(*) from sqlite_master where type in ('table', 'trigger') "
        "and name in (select value from json_each(?))",
        [json.dumps(KEPT_BY)],
    )
    return bool(found.fetchone()[0] == len(KEPT_BY))


def position(conn: Connection) -> int:
    """The id of the last change; 0 before the first."""
    row = conn.execute("select seq from sqlite_sequence where name = 'face_changes'").fetchone()
    return int(row[0]) if row else 0


def since(conn: Connection, model_id: str, seen: int) -> tuple[int, list[int] | None]:
    """The log's end, and the faces whose vector by a model changed after `seen`.

    None in place of the faces where the log begins later, or ends before: it is another file's, or
    this connection still reads what another has seen change.
    """
    # One statement: what another process drops meanwhile is either all there, or known to be gone
    upto, first, ids = conn.execute(
        """
        select coalesce((select seq from sqlite_sequence where name = 'face_changes'), 0),
            (select min(id) from face_changes),
            (select json_group_array(distinct face_id) from face_changes
                where id > :seen and model_id = :model)
        """,
        {"seen": seen, "model": model_id},
    ).fetchone()
    begins = upto + 1 if first is None else first
    return upto, json.loads(ids) if begins <= seen + 1 and seen <= upto else None


def forget_all_seen(conn: Connection, index_ids: Iterable[str] | None = None) -> None:
    """Drop what every index that is kept in the file holds already, or every one of these kinds."""
    among = None if index_ids is None else json.dumps(sorted(index_ids))
    conn.execute(
        "delete from face_changes where id <= (select coalesce(min(seen), 0) from face_indexes "
        "where :kinds is null or index_id in (select value from json_each(:kinds)))",
        {"kinds": among},
    )
