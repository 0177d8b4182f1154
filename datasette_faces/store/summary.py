"""What is in a file, in a few numbers."""

from __future__ import annotations

from typing import Any

from . import vec_tables
from .connection import Connection
from .schema import has_tables, read_schema


def counts(conn: Connection) -> dict[str, Any]:
    """Photos, faces, people, errors, missing photos, models, indexes: what `status --json` prints.

    And photos that are damaged, if any are.
    """
    count = len(damaged(conn))
    return {
        "photos": _count(conn, "photos"),
        "faces": _count(conn, "faces"),
        "people": _people(conn),
        "errors": _count(conn, "ingest_errors"),
        "missing": _count(conn, "photos where missing_since is not null"),
        "models": models(conn),
        "indexes": indexes(conn),
        **({"damaged": count} if count else {}),
    }


def models(conn: Connection) -> list[dict[str, Any]]:
    """The models whose embeddings are in the file, the first one ingested first.

    `waiting`: photos that the model has not looked at since they came, or since they were edited.
    """
    rows = conn.execute(
        """
        select id,
            (select count(*) from face_embeddings where model_id = models.id) as faces,
            dimensions, licence, threshold,
            (select count(*) from photos)
                - (select count(*) from analyses where model_id = models.id) as waiting
        from models order by rowid
        """
    )
    names = ("id", "faces", "dimensions", "licence", "threshold", "waiting")
    return [dict(zip(names, row, strict=True)) for row in rows]


def indexes(conn: Connection) -> list[str]:
    """The indexes in the file by name: vec0 tables, then others by kind and model (`pq sface`)."""
    tables = vec_tables.list_tables(conn)
    return tables + [item["name"] for item in indexed(conn) if item["name"] not in tables]


def indexed(conn: Connection) -> list[dict[str, Any]]:
    """What each index in the file holds: its name, kind, model, faces, and when it was made."""
    if not has_tables(conn, "face_indexes"):
        return []
    rows = conn.execute(
        "select index_id, model_id, faces, built_at from face_indexes order by model_id, index_id"
    )
    return [
        {
            "name": vec_tables.table_name(model)
            if kind == vec_tables.INDEX_ID
            else f"{kind} {model}",
            "kind": kind,
            "model": model,
            "faces": faces,
            "built_at": built_at,
        }
        for kind, model, faces, built_at in rows
    ]


def errors(conn: Connection) -> list[dict[str, str]]:
    """The files that gave no photo, and why."""
    rows = conn.execute("select path, reason, seen_at from ingest_errors order by path")
    return [dict(zip(("path", "reason", "seen_at"), row, strict=True)) for row in rows]


def damaged(conn: Connection) -> list[dict[str, str]]:
    """The photos whose picture could not be read as a whole: their paths, and what is missing."""
    if not read_schema(conn, "photos").has_columns("photos", "damage"):
        return []  # an older file
    rows = conn.execute("select path, damage from photos where damage is not null order by path")
    return [dict(zip(("path", "reason"), row, strict=True)) for row in rows]


def _count(conn: Connection, what: str) -> int:
    return int(conn.execute(f"select count(*) from {what}").fetchone()[0])


def _people(conn: Connection) -> int:
    sql = (
        "select count(*) from people where exists (select 1 from faces where person_id = people.id)"
    )
    return int(conn.execute(sql).fetchone()[0])
