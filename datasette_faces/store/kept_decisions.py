"""Decisions that outlive their photos: how they find a file that comes back."""

from __future__ import annotations

from . import coerce, forget_choice
from .connection import Connection
from .decisions import FaceRef, found_again, present_refs


def name_by_present(conn: Connection) -> None:
    """Name faces of chosen photos by what these hold now, too, in the decisions that stay.

    What tells that a photo was edited goes with it.
    """
    rows = conn.execute(
        forget_choice.fill_in(
            "select decision_id, role, sha256, x, y, width, height from decision_faces where "
            "sha256 in {contents} and rowid not in {refs} and decision_id not in {decisions}"
        )
    ).fetchall()
    refs = [FaceRef(role, sha256, coerce.box(*box)) for _, role, sha256, *box in rows]
    found = found_again(conn, refs)
    present = present_refs(conn, {face_id for face_id in found if face_id is not None})
    wanted: set[tuple[int, str, int]] = set()
    known: set[tuple[int, str, int]] = set()
    for row, ref, face_id in zip(rows, refs, found, strict=True):
        if face_id is not None:
            is_present = ref.sha256 == present[face_id].sha256
            (known if is_present else wanted).add((row[0], ref.role, face_id))
    for number, role, face_id in sorted(wanted - known):
        sha256, box = present[face_id].sha256, present[face_id].box
        conn.execute(
            "insert into decision_faces(decision_id, role, sha256, x, y, width, height) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [number, role, sha256, box.x, box.y, box.width, box.height],
        )
