"""What the history reads: decisions with those whom they are about, the newest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from . import coerce, decisions
from .connection import Connection
from .decisions import ACTIVE, EXAMPLE, OTHER, FaceRef
from .gallery import Query, Row, has_table, rows

_ALL = f"""
select decisions.id, uid, made_at, actor, kind, person_key, other_key, value, target,
    {ACTIVE} as active,
    (select count(*) from decision_faces where decision_id = decisions.id
        and role not in ('{EXAMPLE}', '{OTHER}')) as faces
from decisions
""".strip()


def history_query(*, before: int | None, limit: int) -> Query:
    """Decisions as a query, the newest first, those before one of them."""
    earlier = "" if before is None else "\nwhere decisions.id < :before"
    params = {"limit": limit} if before is None else {"before": before, "limit": limit}
    return Query(f"{_ALL}{earlier}\norder by decisions.id desc limit :limit", params)


def last(conn: Connection) -> int:
    """The number of the last decision: what somebody who looks now has seen; 0 before the first."""
    if not has_table(conn, "decisions"):
        return 0  # a catalogue
    return int(conn.execute("select coalesce(max(id), 0) from decisions").fetchone()[0])


def read_history(conn: Connection, query: Query, *, hidden: bool = False) -> list[Row]:
    """The decisions of a query with their people, a face of theirs, and what they take back.

    person, other: a row of `people`, or None. target: such a decision, whose face is shown, too.
    face_id: None where the face is gone, or is of somebody hidden and `hidden` does not ask for those.
    """
    found = rows(conn, query)
    targets = _by_uid(conn, [row["target"] for row in found if row["target"]])
    every = [*found, *targets.values()]
    known = _people(conn, [key for row in every for key in (row["person_key"], row["other_key"])])
    faces = _faces(conn, [row["id"] for row in every], hidden=hidden)
    for row in every:
        row["active"] = bool(row["active"])
        row["person"] = known.get(row.pop("person_key"))
        row["other"] = known.get(row.pop("other_key"))
        row["face_id"] = faces.get(row["id"])
    for row in found:
        row["target"] = targets.get(row["target"])
        if row["target"] and row["face_id"] is None:
            row["face_id"] = row["target"]["face_id"]
    return found


def of_ids(conn: Connection, ids: Sequence[int], *, hidden: bool = False) -> list[Row]:
    """These decisions, the first one first."""
    among = {"ids": json.dumps(list(ids))}
    where = "where decisions.id in (select value from json_each(:ids)) order by decisions.id"
    return read_history(conn, Query(f"{_ALL}\n{where}", among), hidden=hidden)


def since(conn: Connection, seen: int, keys: Iterable[str], *, limit: int) -> list[int]:
    """The first decisions after one that name these people, or take back what names them."""
    about = "person_key in (select value from json_each(:keys))"
    about += " or other_key in (select value from json_each(:keys))"
    found = conn.execute(
        f"""
        select id from decisions where id > :seen
            and ({about} or target in (select uid from decisions where {about}))
        order by id limit :limit
        """,
        {"seen": seen, "keys": json.dumps(sorted(keys)), "limit": limit},
    )
    return [row[0] for row in found]


def _by_uid(conn: Connection, uids: list[str]) -> dict[str, Row]:
    where = "where uid in (select value from json_each(:uids))"
    found = rows(conn, Query(f"{_ALL}\n{where}", {"uids": json.dumps(uids)}))
    return {row["uid"]: {**row, "target": None} for row in found}


def _people(conn: Connection, keys: Iterable[str | None]) -> dict[str | None, Row]:
    wanted = sorted({key for key in keys if key})
    found = rows(
        conn,
        Query(
            "select key, id as person_id, name, faces, hidden, cover_face_id as face_id from people "
            "where key in (select value from json_each(:keys))",
            {"keys": json.dumps(wanted)},
        ),
    )
    return {row.pop("key"): row for row in found}


def _faces(conn: Connection, ids: list[int], *, hidden: bool) -> dict[int, int]:
    """The first face of each decision that is there now: decision's id -> face's."""
    found = conn.execute(
        """
        select decision_id, role, sha256, x, y, width, height from decision_faces
        where rowid in (
            select (
                select rowid from decision_faces where decision_id = value
                order by role in (:example, :other), rowid limit 1
            ) from json_each(:ids)
        )
        """,
        {"ids": json.dumps(ids), "example": EXAMPLE, "other": OTHER},
    ).fetchall()
    refs = [
        FaceRef(role, coerce.text(sha256) or "", coerce.box(*box))
        for _, role, sha256, *box in found
    ]
    faces = decisions.found_again(conn, refs)
    there = {row[0]: face for row, face in zip(found, faces, strict=True) if face is not None}
    return there if hidden else _without_hidden(conn, there)


def _without_hidden(conn: Connection, faces: dict[int, int]) -> dict[int, int]:
    gone: set[Any] = {
        row[0]
        for row in conn.execute(
            "select faces.id from faces join people on people.id = person_id "
            "where hidden and faces.id in (select value from json_each(?))",
            [json.dumps(sorted(faces.values()))],
        )
    }
    return {decision_id: face for decision_id, face in faces.items() if face not in gone}
