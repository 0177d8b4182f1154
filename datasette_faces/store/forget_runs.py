"""The runs of `forget`: when each began and how much it removed, but not what; and which are not finished.

A run that is not finished removed its rows, but the bytes of the file may still hold them. What they
were is known to that run alone: no later one can search for them.
"""

from __future__ import annotations

from .connection import Connection
from .photos import now
from .schema import read_schema

_STOPPED = "finished_at is null and found is null"
_FOUND = "finished_at is null and found > 0"


def begin_run(conn: Connection, photos: int, faces: int) -> int:
    """Keep that a run has begun, which the file's bytes are not yet searched after; its number."""
    cursor = conn.execute(
        "insert into forget_runs(started_at, photos, faces) values (?, ?, ?)",
        [now(), photos, faces],
    )
    return int(cursor.lastrowid)


def keep_found(conn: Connection, run_id: int, count: int) -> None:
    """Keep how much the search of a run found: it is finished if that is nothing."""
    conn.execute(
        "update forget_runs set found = ?1, finished_at = case when ?1 then null else ?2 end "
        "where id = ?3",
        [count, now(), run_id],
    )


def finish_earlier(conn: Connection, run_id: int, *, even_found: bool = False) -> int:
    """Keep that other runs, which were stopped, are finished, without a search; how many they are.

    even_found: also those whose search found something.
    """
    where = f"({_STOPPED} or {_FOUND})" if even_found else _STOPPED
    cursor = conn.execute(
        f"update forget_runs set finished_at = ? where {where} and id != ?", [now(), run_id]
    )
    return int(cursor.rowcount)


def count_stopped(conn: Connection) -> int:
    """How many runs were stopped before the search."""
    return _count(conn, _STOPPED)


def count_found(conn: Connection) -> int:
    """How many runs found what they had removed among the file's bytes, and are not finished."""
    return _count(conn, _FOUND)


def _count(conn: Connection, where: str) -> int:
    if not read_schema(conn, "forget_runs").has("forget_runs"):
        return 0
    return int(conn.execute(f"select count(*) from forget_runs where {where}").fetchone()[0])
