"""What people decided, as rows that are only ever added: append, read, and what of it holds.

A face is named by its photo's content hash and its box, so that a decision finds it again whatever
happened to the row. What decisions make of the people is in `people`.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..shapes import Box
from . import coerce, former_faces
from .connection import Connection
from .photos import now

MEMBER, APART = "member", "apart"
"""A face's part in a decision: it is the person's, it is not."""
EXAMPLE, OTHER, COVER, DRAWN = "example", "other", "cover", "drawn"
"""It shows who the person is, or the other one; stands for the person; was missed by the detector."""

MERGE, HIDE, UNHIDE = "merge", "hide", "unhide"
"""Kinds that the rows of people follow from: the second person is the first; a person is hidden, or not."""
UNDO, REDO = "undo", "redo"
"""Kinds that say whether another decision holds."""

# What is undone is what was undone last and not redone since
ACTIVE = f"""(
    decisions.kind not in ('{UNDO}', '{REDO}') and '{UNDO}' is not (
        select kind from decisions as later
        where later.target = decisions.uid and later.kind in ('{UNDO}', '{REDO}')
        order by later.id desc limit 1
    )
)"""


@dataclass(frozen=True, slots=True)
class FaceRef:
    """A face as a decision names it; box in pixels of the upright, full-size picture."""

    role: str
    sha256: str
    box: Box


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, and the faces that it is about.

    person_key: of whom it is; other_key: with whom, or from whom; value: a name; target: the uid of
    the decision that is undone or redone.
    """

    kind: str
    person_key: str | None = None
    other_key: str | None = None
    value: str | None = None
    target: str | None = None
    actor: str | None = None
    faces: tuple[FaceRef, ...] = ()
    uid: str = ""
    made_at: str = ""
    id: int = 0
    active: bool = True


def append(conn: Connection, decision: Decision) -> Decision:
    """Add a decision, as it is given or with a uid and this moment; the same with its id."""
    uid, made_at = decision.uid or secrets.token_hex(8), decision.made_at or now()
    cursor = conn.execute(
        "insert into decisions(uid, made_at, actor, kind, person_key, other_key, value, target) "
        "values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            uid,
            made_at,
            decision.actor,
            decision.kind,
            decision.person_key,
            decision.other_key,
            decision.value,
            decision.target,
        ],
    )
    decision_id = int(cursor.lastrowid)
    conn.executemany(
        "insert into decision_faces(decision_id, role, sha256, x, y, width, height) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        [
            (decision_id, ref.role, ref.sha256, ref.box.x, ref.box.y, ref.box.width, ref.box.height)
            for ref in decision.faces
        ],
    )
    return _one(conn, "decisions.id = ?", decision_id) or decision


def refs(conn: Connection, role: str, face_ids: Iterable[int]) -> tuple[FaceRef, ...]:
    """Faces as a decision names them, those that are not there left out."""
    return tuple(replace(ref, role=role) for ref in present_refs(conn, face_ids).values())


def present_refs(conn: Connection, face_ids: Iterable[int]) -> dict[int, FaceRef]:
    """How these faces are named in what their photos hold now, without a role, by id."""
    rows = conn.execute(
        """
        select faces.id, sha256, x, y, faces.width, faces.height
        from faces join photos on photos.id = photo_id
        where faces.id in (select value from json_each(?)) order by faces.id
        """,
        [json.dumps(list(face_ids))],
    )
    return {face_id: FaceRef("", sha256, Box(*box)) for face_id, sha256, *box in rows}


def by_id(conn: Connection, decision_id: int) -> Decision | None:
    """A decision by its number in this file."""
    return _one(conn, "decisions.id = ?", decision_id)


def by_uid(conn: Connection, uid: str | None) -> Decision | None:
    """A decision by what it is known by everywhere."""
    return _one(conn, "decisions.uid = ?", uid)


def is_about(conn: Connection, key: str) -> bool:
    """Whether a decision that holds is about the person of a key."""
    sql = f"select 1 from decisions where ? in (person_key, other_key) and {ACTIVE} limit 1"
    return conn.execute(sql, [key]).fetchone() is not None


def last_active(conn: Connection) -> Decision | None:
    """The last decision that holds."""
    return _one(conn, ACTIVE)


def last_undone(conn: Connection) -> Decision | None:
    """The decision that was undone last, and still is."""
    row = conn.execute(
        f"""
        select undoing.target from decisions as undoing
        join decisions on decisions.uid = undoing.target and not {ACTIVE}
        where undoing.kind = '{UNDO}' order by undoing.id desc limit 1
        """
    ).fetchone()
    return by_uid(conn, row[0]) if row else None


def last_about(conn: Connection, keys: Sequence[str]) -> int:
    """The number of the last decision that names one of these people; 0 where there is none."""
    row = conn.execute(
        """
        select coalesce(max(id), 0) from decisions
        where person_key in (select value from json_each(:keys))
            or other_key in (select value from json_each(:keys))
            or target in (
                select uid from decisions
                where person_key in (select value from json_each(:keys))
                    or other_key in (select value from json_each(:keys))
            )
        """,
        {"keys": json.dumps(list(keys))},
    ).fetchone()
    return int(row[0])


def every(conn: Connection) -> Iterator[list[Decision]]:
    """All decisions, the first one first, up to BATCH at a time."""
    return _batches(conn, "1")


def newest(conn: Connection, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """A page of the history, the last decision first; faces: how many each is about."""
    rows = conn.execute(
        f"""
        select decisions.id, uid, made_at, actor, kind, person_key, other_key, value, target,
            {ACTIVE} as active,
            (select count(*) from decision_faces where decision_id = decisions.id
                and role not in ('{EXAMPLE}', '{OTHER}')) as faces
        from decisions where id < coalesce(?, id + 1) order by id desc limit ?
        """,
        [before, limit],
    )
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows]


def active_of_kinds(conn: Connection, kinds: Iterable[str]) -> Iterator[list[Decision]]:
    """The decisions of these kinds that hold, the first one first, up to BATCH at a time."""
    among = "decisions.kind in (select value from json_each(?))"
    return _batches(conn, f"{among} and {ACTIVE}", json.dumps(sorted(kinds)))


def merged_away(conn: Connection) -> dict[str, str]:
    """Where people went who were merged into others: key -> key."""
    went: dict[str, str] = {}
    rows = conn.execute(
        f"select person_key, other_key from decisions where kind = '{MERGE}' and {ACTIVE} order by id"
    )
    for into, gone in rows:
        went.pop(into, None)
        went[gone] = into
    return went


def faces_of(conn: Connection, decision: Decision, *roles: str) -> list[int]:
    """The faces that a decision names, as far as they are there now."""
    wanted = [ref for ref in decision.faces if not roles or ref.role in roles]
    return [face_id for face_id in found_again(conn, wanted) if face_id is not None]


def faces_by_role(conn: Connection, made: Sequence[Decision]) -> list[defaultdict[str, list[int]]]:
    """Of each decision, the faces that are there now, by their role in it."""
    found = iter(found_again(conn, [ref for decision in made for ref in decision.faces]))
    by_role: list[defaultdict[str, list[int]]] = []
    for decision in made:
        faces: defaultdict[str, list[int]] = defaultdict(list)
        for ref, face_id in zip(decision.faces, found, strict=False):
            if face_id is not None:
                faces[ref.role].append(face_id)
        by_role.append(faces)
    return by_role


def found_again(conn: Connection, wanted: Sequence[FaceRef]) -> list[int | None]:
    """The face that each of these is now; None where there is none."""
    boxes = former_faces.boxes_by_content(conn, {ref.sha256 for ref in wanted})
    return [former_faces.find_face(boxes, ref.sha256, ref.box) for ref in wanted]


def name_by_both_contents(conn: Connection, made: Sequence[Decision]) -> list[Decision]:
    """The decisions, with the faces of edited photos named by the present content as well."""
    found = iter(found_again(conn, [ref for decision in made for ref in decision.faces]))
    named: list[Decision] = []
    for decision in made:
        there = [face_id for _, face_id in zip(decision.faces, found, strict=False)]
        present = present_refs(conn, [it for it in there if it is not None])
        known = {(ref.role, ref.sha256) for ref in decision.faces}
        also = [
            replace(present[face_id], role=ref.role)
            for ref, face_id in zip(decision.faces, there, strict=True)
            if face_id is not None and (ref.role, present[face_id].sha256) not in known
        ]
        named.append(replace(decision, faces=(*decision.faces, *also)))
    return named


BATCH = 200
"""Decisions that are read at once: each may be about thousands of faces."""
_COLUMNS = "id, uid, made_at, actor, kind, person_key, other_key, value, target"


def _one(conn: Connection, where: str, *bound: Any) -> Decision | None:
    last = f"select decisions.id from decisions where {where} order by id desc limit 1"
    found = _several(conn, f"decisions.id = ({last})", *bound)
    return found[0] if found else None


def _batches(conn: Connection, where: str, *bound: Any) -> Iterator[list[Decision]]:
    """Decisions with their faces, the first one first, up to BATCH at a time."""
    after, is_full = 0, True
    while is_full:
        ids = f"select id from decisions where {where} and id > ? order by id limit ?"
        batch = _several(conn, f"decisions.id in ({ids})", *bound, after, BATCH)
        if batch:
            yield batch
            after = batch[-1].id
        is_full = len(batch) == BATCH


def _several(conn: Connection, where: str, *bound: Any) -> list[Decision]:
    """Decisions with their faces, the first one first, in two queries however many they are."""
    rows = conn.execute(
        f"select {_COLUMNS}, {ACTIVE} as active from decisions where {where} order by id", bound
    ).fetchall()
    refs = conn.execute(
        "select decision_id, role, sha256, x, y, width, height from decision_faces "
        "where decision_id in (select value from json_each(?)) order by decision_id, rowid",
        [json.dumps([row[0] for row in rows])],
    )
    faces: dict[int, list[FaceRef]] = defaultdict(list)
    for decision_id, role, sha256, *box in refs:
        ref = FaceRef(role, coerce.text(sha256) or "", coerce.box(*box))
        faces[decision_id].append(ref)
    return [_decision(row, tuple(faces[row[0]])) for row in rows]


def _decision(row: Sequence[Any], faces: tuple[FaceRef, ...] = ()) -> Decision:
    number, *texts, active = row
    uid, made_at, actor, kind, person_key, other_key, value, target = map(coerce.text, texts)
    return Decision(
        kind=kind or "",
        person_key=person_key,
        other_key=other_key,
        value=value,
        target=target,
        actor=actor,
        faces=faces,
        uid=uid or "",
        made_at=made_at or "",
        id=number,
        active=bool(active),
    )
