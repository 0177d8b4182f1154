"""The runs of `forget`: when each began and how much it removed, but not what; and which are not finished.

A run that is not finished removed its rows, but the bytes of the file may still hold them.
"""

from __future__ import annotations

from .connection import Connection
from .photos import now
from .schema import read_schema


def begin_run(conn: Connection, photos: int, faces: int) -> int:
    """Keep that a run has begun, which the file's bytes are not yet searched after; its number."""
    cursor = conn.execute(
        "insert into forget_runs(started_at, photos, faces) values (?, ?, ?)",
        [now(), photos, faces],
    )
    return int(cursor.lastrowid)


def finish_runs(conn: Connection) -> None:
    """Keep that all runs are finished."""
    conn.execute("update forget_runs set finished_at = ? where finished_at is null", [now()])


def count_unfinished(conn: Connection) -> int:
    """How many runs were stopped before their end."""
    if not read_schema(conn, "forget_runs").has("forget_runs"):
        return 0
    sql = "select count(*) from forget_runs where finished_at is null"
    return int(conn.execute(sql).fetchone()[0])
