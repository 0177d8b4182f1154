"""Faces that are there because somebody drew them: added, taken away by an undo, brought back by a redo.

Decisions of the kind `draw` are the truth; `face_drawings` says which face each of them made, and
keeps it while it is undone. A face that a detector found since is a face like any other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..algorithms import vectors
from ..shapes import Box, Face, FloatArray
from . import decisions, faces, former_faces, lost_faces
from .connection import Connection
from .decisions import ACTIVE, DRAWN, FaceRef

_COLUMNS = (*faces.MEASURES, "crop")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A drawing that holds and lacks its face, or an embedding of it.

    face_id: None where the face is to be made; photo_id: of the photo whose present content is meant.
    """

    uid: str
    photo_id: int
    box: Box
    face_id: int | None
    models: tuple[str, ...]


def add(
    conn: Connection, photo_id: int, uid: str, face: Face, embeddings: Mapping[str, FloatArray]
) -> int:
    """Insert the face that a decision drew, with its embeddings by model; its id, as it had one once."""
    if (remade := _remake(conn, uid, photo_id, face, embeddings)) is not None:
        return remade
    face_id = faces.insert_face(conn, photo_id, face)
    for model_id, embedding in embeddings.items():
        faces.save_embedding(conn, face_id, model_id, vectors.encode(embedding))
    conn.execute(
        "insert or replace into face_drawings(uid, face_id, kept) values (?, ?, null)",
        [uid, face_id],
    )
    return face_id


def embed(conn: Connection, face_id: int, embeddings: Mapping[str, FloatArray]) -> None:
    """Give a face that was drawn further models' embeddings."""
    for model_id, embedding in embeddings.items():
        faces.save_embedding(conn, face_id, model_id, vectors.encode(embedding))


def of_face(conn: Connection, face_id: int) -> str | None:
    """The uid of the decision that drew a face; None for one that a detector found."""
    row = conn.execute("select uid from face_drawings where face_id = ?", [face_id]).fetchone()
    return row[0] if row else None


def settle(conn: Connection, uid: str | None = None) -> tuple[list[int], list[str]]:
    """Have the faces that were drawn be those whose decisions hold: of one decision, or of all.

    The faces that came back, and the keys of the people from whom some were taken.
    """
    among = "" if uid is None else "and decisions.uid = ?"
    rows = conn.execute(
        f"""
        select decisions.uid, {ACTIVE}, decision_faces.sha256, x, y, width, height, face_id, kept
        from face_drawings join decisions on decisions.uid = face_drawings.uid
        join decision_faces on decision_id = decisions.id and role = '{DRAWN}'
        where kind = 'draw' {among} order by decisions.id
        """,
        [] if uid is None else [uid],
    ).fetchall()
    came: list[int] = []
    left: list[str] = []
    for drawn, active, sha256, *box, face_id, kept in rows:
        ref = FaceRef(DRAWN, sha256, Box(*box))
        [there] = decisions.found_again(conn, [ref])
        if active and there is None and kept:
            came += _bring_back(conn, drawn, ref, json.loads(kept))
        elif not active and face_id is not None and there == face_id:
            left += _take_away(conn, drawn, face_id)
    return came, left


def waiting(conn: Connection, model_ids: Sequence[str]) -> list[Waiting]:
    """The drawings that hold and lack their face, or an embedding by one of these models, by photo.

    Those of photos whose content is another one by now, and whose face is not there, wait on.
    """
    rows = conn.execute(
        f"""
        select decisions.uid, photos.id, photos.sha256, x, y, decision_faces.width,
            decision_faces.height
        from decisions join decision_faces on decision_id = decisions.id and role = '{DRAWN}'
        join photos on photos.sha256 = decision_faces.sha256
        where kind = 'draw' and {ACTIVE} order by photos.id, decisions.id
        """
    ).fetchall()
    refs = [FaceRef(DRAWN, sha256, Box(*box)) for _, _, sha256, *box in rows]
    there = decisions.found_again(conn, refs)
    # A drawing that is named by two contents makes one face
    made = {row[0] for row, face_id in zip(rows, there, strict=True) if face_id is not None}
    found = {
        uid: Waiting(uid, photo_id, ref.box, None, tuple(model_ids))
        for (uid, photo_id, *_), ref in zip(reversed(rows), reversed(refs), strict=True)
        if uid not in made
    }
    waiting_now = [*found.values(), *_lacking(conn, model_ids)]
    return sorted(waiting_now, key=lambda drawing: drawing.photo_id)


def _lacking(conn: Connection, model_ids: Sequence[str]) -> list[Waiting]:
    """The drawn faces that lack an embedding by one of these models; detected ones need none."""
    rows = conn.execute(
        """
        select uid, photo_id, x, y, width, height, faces.id,
            (select json_group_array(model_id) from face_embeddings where face_id = faces.id)
        from face_drawings join faces on faces.id = face_id order by faces.id
        """
    )
    found: list[Waiting] = []
    for uid, photo_id, *box, face_id, known in rows:
        lacking = tuple(it for it in model_ids if it not in json.loads(known))
        if lacking:
            found.append(Waiting(uid, photo_id, Box(*box), face_id, lacking))
    return found


def _remake(
    conn: Connection, uid: str, photo_id: int, face: Face, embeddings: Mapping[str, FloatArray]
) -> int | None:
    """Bring back the face that a drawing had once, measured anew; its id. None where it had none."""
    row = conn.execute(
        f"""
        select kept, decision_faces.sha256, x, y, width, height from face_drawings
        join decisions on decisions.uid = face_drawings.uid
        join decision_faces on decision_id = decisions.id and role = '{DRAWN}'
        where face_drawings.uid = ? and kept is not null order by decision_faces.rowid
        """,
        [uid],
    ).fetchone()
    if row is None:
        return None
    kept, sha256, *box = row
    packed = json.loads(kept)
    [face_id] = _bring_back(conn, uid, FaceRef(DRAWN, sha256, Box(*box)), packed, photo_id)
    faces.update_face(conn, face_id, face)
    embed(conn, face_id, embeddings)
    return face_id


def _take_away(conn: Connection, uid: str, face_id: int) -> list[str]:
    """Remove the face of a drawing that is undone, and keep it; whom it is taken from."""
    if heir := _other_drawing(conn, uid, face_id):
        conn.execute("delete from face_drawings where uid = ?", [heir])
        conn.execute("update face_drawings set uid = ? where uid = ?", [heir, uid])
        return []
    sha256 = conn.execute(
        "select sha256 from photos join faces on photo_id = photos.id where faces.id = ?", [face_id]
    ).fetchone()[0]
    return put_away(conn, uid, face_id, sha256)


def put_away(conn: Connection, uid: str, face_id: int, sha256: str) -> list[str]:
    """Remove the face of a drawing, and keep it for when it may come back; the key of whose it was.

    sha256: the content in which it is where it is.
    """
    conn.execute(
        "update face_drawings set face_id = null, kept = ? where uid = ?",
        [json.dumps({**_packed(conn, face_id), "sha256": sha256}), uid],
    )
    return faces.delete_face(conn, face_id)


def _other_drawing(conn: Connection, uid: str, face_id: int) -> str | None:
    """Another drawing of the same face that holds: somebody drew it in another file."""
    rows = conn.execute(
        f"""
        select decisions.uid, decision_faces.sha256, x, y, width, height
        from decisions join decision_faces on decision_id = decisions.id and role = '{DRAWN}'
        where kind = 'draw' and decisions.uid != ? and {ACTIVE} and decision_faces.sha256 in (
            select photos.sha256 from photos join faces on photo_id = photos.id
            where faces.id = ?
        ) order by decisions.id
        """,
        [uid, face_id],
    ).fetchall()
    refs = [FaceRef(DRAWN, sha256, Box(*box)) for _, sha256, *box in rows]
    same = decisions.found_again(conn, refs)
    return next((row[0] for row, it in zip(rows, same, strict=True) if it == face_id), None)


def _packed(conn: Connection, face_id: int) -> dict[str, Any]:
    row = conn.execute(
        f"select {', '.join(_COLUMNS)} from faces where id = ?", [face_id]
    ).fetchone()
    face = dict(zip(_COLUMNS, row, strict=True))
    face["crop"] = _as_text(face["crop"])
    embeddings = conn.execute(
        "select model_id, embedding from face_embeddings where face_id = ? order by model_id",
        [face_id],
    )
    proposed = conn.execute("select person_key from face_clusters where face_id = ?", [face_id])
    return {
        "id": face_id,
        "face": face,
        "embeddings": {model_id: _as_text(raw) for model_id, raw in embeddings},
        "proposed": [row[0] for row in proposed],
    }


def _bring_back(
    conn: Connection, uid: str, ref: FaceRef, packed: dict[str, Any], photo_id: int | None = None
) -> list[int]:
    """Insert a face that was kept, in its photo, which may have another id by now.

    Nothing where the photo has another picture than the one that it was kept of.
    """
    if photo_id is None:
        photo_id = former_faces.photo_of_picture(conn, packed.get("sha256", ref.sha256))
    if photo_id is None:
        return []
    face_id = _insert(conn, photo_id, packed)
    lost_faces.find_at(conn, ref.sha256, ref.box, face_id)
    known = _existing(conn, "models", packed["embeddings"])
    for model_id in known:
        raw = base64.b64decode(packed["embeddings"][model_id])
        faces.save_embedding(conn, face_id, model_id, raw)
    conn.executemany(
        "insert into face_clusters(face_id, person_key) values (?, ?)",
        [(face_id, key) for key in packed["proposed"]],
    )
    conn.execute("update face_drawings set face_id = ?, kept = null where uid = ?", [face_id, uid])
    return [face_id]


def _insert(conn: Connection, photo_id: int, packed: dict[str, Any]) -> int:
    values = {**packed["face"], "crop": base64.b64decode(packed["face"]["crop"])}
    # The number that it had, if no other face got it
    face_id = None if _existing(conn, "faces", [packed["id"]]) else packed["id"]
    bound = ", ".join(f":{name}" for name in _COLUMNS)
    cursor = conn.execute(
        f"insert into faces(id, photo_id, {', '.join(_COLUMNS)}, photo_taken_at) "
        f"values (:id, :photo, {bound}, (select taken_at from photos where id = :photo))",
        {**values, "id": face_id, "photo": photo_id},
    )
    return int(cursor.lastrowid)


def _existing(conn: Connection, table: str, ids: Iterable[int | str]) -> list[Any]:
    among = f"select id from {table} where id in (select value from json_each(?))"
    return [row[0] for row in conn.execute(among, [json.dumps(list(ids))])]


def _as_text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
