"""What becomes of a photo's faces when its picture was edited: those found again move, the others go.

A face that moves keeps its id, its person and all decisions about it, which are known by both contents
then. Of one that is not found again, `former_faces` keeps where it was and whose; its decisions stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..algorithms import face_matching, geometry, vectors
from ..algorithms.face_matching import FaceMatches, PlacedFace, Version
from ..errors import FacesError
from ..shapes import Analysis, Detection, Face, FloatArray, ModelInfo, Photo
from . import coerce, faces, former_faces, manual_faces, models
from .connection import Connection
from .photos import FormerPicture

Look = Callable[[Sequence[Detection]], Sequence[Face]]
"""Measures faces of the edited picture whose landmarks are given. Raises FacesError."""
MAX_LOOKS = 200
"""Places in one picture that are looked at for faces that the detector did not find again."""


@dataclass(frozen=True, slots=True)
class _FormerFace:
    """A face as it is stored: where it was in the former picture, and how sure the detector was."""

    id: int
    placed: PlacedFace
    score: float


def save_faces(
    conn: Connection,
    photo_id: int,
    model: ModelInfo,
    analysis: Analysis,
    before: FormerPicture,
    look: Look,
) -> set[str]:
    """Store what a model found in an edited picture; the keys of people who lost a face by the edit.

    before: the picture that was there. look: for faces that are where they should be, though the
    detector did not find them, as in a picture that was turned.
    """
    photo, found = analysis.photo, analysis.faces
    former = _read_former(conn, photo_id, model.id)
    matches = face_matching.match_faces(
        Version(before.width, before.height, [face.placed for face in former]),
        Version(photo.width, photo.height, [_placed(face) for face in found]),
        model.threshold,
    )
    moved = {former[row].id: found[column] for row, column in matches.pairs}
    lost = [face for face in former if face.id not in moved]
    seen = _look_again(lost, matches, photo, model.threshold, look)
    for face_id in moved:
        # Found after all, if it was drawn: it stays if the drawing is undone
        conn.execute("delete from face_drawings where face_id = ?", [face_id])
    for face_id, face in (moved | seen).items():
        faces.update_face(conn, face_id, face)
        faces.save_embedding(conn, face_id, model.id, vectors.encode(face.embedding))
    matched = {column for _, column in matches.pairs}
    for column, face in enumerate(found):
        # A detector sees something in a face that lies on its side, but not what it is
        if column not in matched and not _is_among(face, seen.values()):
            face_id = faces.insert_face(conn, photo_id, face)
            faces.save_embedding(conn, face_id, model.id, vectors.encode(face.embedding))
    gone = [face.id for face in lost if face.id not in seen]
    return {key for face_id in gone for key in _part_with(conn, face_id, before.sha256)}


def move_stale_faces(conn: Connection, photo_id: int, stale: Sequence[int]) -> set[str]:
    """Move faces that are where they were in a former picture onto those found in the present one.

    So an earlier version left them. A face that is none of the present ones leaves the photo. The keys of
    people who lost a face, or whose face is another one.
    """
    former_faces.part_with_picture(conn, photo_id, stale)
    taken: set[int] = set()
    touched: set[str] = set()
    left = set(stale)
    for model in models.every(conn):
        every = _read_former(conn, photo_id, model.id)
        there = [face for face in every if face.id in left]
        present = [face for face in every if face.id not in {*stale, *taken}]
        # What size the former picture had is not known: embeddings alone tell
        pairs = face_matching.match_faces(
            Version(1, 1, [face.placed for face in there]),
            Version(1, 2, [face.placed for face in present]),
            model.threshold,
        ).pairs
        for row, column in pairs:
            touched |= _take_over(conn, there[row].id, present[column].id)
            left.discard(there[row].id)
            taken.add(present[column].id)
    contents = former_faces.former_contents(conn, photo_id)
    for face_id in sorted(left):
        touched.update(_part_with(conn, face_id, contents[-1]))
    return touched


def _take_over(conn: Connection, face_id: int, present_id: int) -> set[str]:
    """Put a face where another row has it in the present picture, in place of that row."""
    columns = ", ".join((*faces.MEASURES, "crop"))
    conn.execute(
        f"update faces set ({columns}) = (select {columns} from faces where id = ?) where id = ?",
        [present_id, face_id],
    )
    conn.execute("delete from face_drawings where face_id = ?", [face_id])
    conn.execute("delete from face_embeddings where face_id = ?", [face_id])
    conn.execute("update face_embeddings set face_id = ? where face_id = ?", [face_id, present_id])
    return set(faces.delete_face(conn, present_id))


def _read_former(conn: Connection, photo_id: int, model_id: str) -> list[_FormerFace]:
    """The faces of a photo as they are stored."""
    rows = conn.execute(
        """
        select id, detection_score, x, y, width, height, landmarks, embedding from faces
        left join face_embeddings on face_id = id and model_id = ?
        where photo_id = ? order by id
        """,
        [model_id, photo_id],
    )
    found: list[_FormerFace] = []
    for face_id, score, *box, text, embedding in rows:
        landmarks = geometry.parse_landmarks(text)
        placed = PlacedFace(coerce.box(*box), landmarks, _decode(embedding))
        found.append(_FormerFace(face_id, placed, coerce.number(score) or 0.0))
    return found


def _decode(embedding: Any) -> FloatArray | None:
    try:
        return vectors.decode(embedding) if isinstance(embedding, bytes) else None
    except ValueError:
        return None


def _placed(face: Face) -> PlacedFace:
    return PlacedFace(face.detection.box, face.detection.landmarks, face.embedding)


def _look_again(
    lost: Sequence[_FormerFace], matches: FaceMatches, photo: Photo, threshold: float, look: Look
) -> dict[int, Face]:
    """The faces, by id, that are where they should be in the edited picture, by the model's word."""
    expected = [
        (face, placed)
        for face in lost
        for way in matches.ways
        if face.placed.embedding is not None
        and (placed := face_matching.expect_at(face.placed, way, photo.width, photo.height))
    ][:MAX_LOOKS]
    if not expected:
        return {}
    try:
        faces_there = look([Detection(it.box, it.landmarks, face.score) for face, it in expected])
    except FacesError:
        return {}  # they stay facts of the former content, as any that is not found
    seen: dict[int, Face] = {}
    likest: dict[int, float] = {}
    for (face, placed), there in zip(expected, faces_there, strict=True):
        assert placed.embedding is not None
        likeness = float(np.dot(placed.embedding, there.embedding))
        if likeness >= max(threshold, likest.get(face.id, -1.0)):
            seen[face.id], likest[face.id] = there, likeness
    return seen


def _is_among(face: Face, others: Iterable[Face]) -> bool:
    """Whether a face is one of these, as their boxes say."""
    box = face.detection.box
    return any(
        geometry.intersection_over_union(box, other.detection.box) >= face_matching.SAME_PLACE
        for other in others
    )


def _part_with(conn: Connection, face_id: int, former_sha256: str) -> list[str]:
    """Remove a face that is not in the picture any more; the key of whose it was, if anybody's."""
    former_faces.part_with(conn, face_id)
    drawn_by = manual_faces.of_face(conn, face_id)
    if drawn_by is None:
        return faces.delete_face(conn, face_id)
    # It comes back with the content that it was drawn in
    return manual_faces.put_away(conn, drawn_by, face_id, former_sha256)
