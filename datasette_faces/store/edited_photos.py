"""What becomes of a photo's faces when its picture was edited: those found again move, the others go.

A face that moves keeps its id, its person and all decisions about it, which are known by both contents
then. Of one that is not found again `former_faces` keeps where it was, `lost_faces` whose it was and
what it is known by; its decisions stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..algorithms import face_matching, geometry, vectors
from ..algorithms.face_matching import FaceMatches, PlacedFace, Version
from ..errors import FacesError
from ..shapes import Analysis, Box, Detection, Face, FloatArray, ModelInfo, Photo
from . import coerce, faces, forgotten_faces, former_faces, lost_faces, manual_faces, models
from .connection import Connection
from .lost_faces import LostFace
from .photos import Picture

Look = Callable[[Sequence[Detection]], Sequence[Face]]
"""Measures faces of the edited picture whose landmarks are given. Raises FacesError."""
MAX_LOOKS = 200
"""Places in one picture that are looked at for faces that the detector did not find again."""
NOWHERE = Version(1, 1, ())


@dataclass(frozen=True, slots=True)
class _FormerFace:
    """A face as it is stored: where it was in the former picture, and how sure the detector was.

    known_to_others: by an embedding of another model alone.
    """

    id: int
    placed: PlacedFace
    score: float
    known_to_others: bool


@dataclass(frozen=True)
class Moves:
    """Which face of an edited picture is which of before; found: positions in what a model found.

    before: the picture that was there. moved: by a face's id, its position. seen: by a face's id, the
    face where it should be, which the detector did not find. found_again: by position, a face that an
    earlier edit took away.
    """

    photo_id: int
    before: Picture
    moved: dict[int, int]
    seen: dict[int, Face]
    found_again: dict[int, LostFace]


def find_moves(
    conn: Connection,
    photo_id: int,
    model: ModelInfo,
    analysis: Analysis,
    before: Picture,
    look: Look | None = None,
) -> Moves:
    """Find which faces of an edited photo moved where; reads alone.

    look: for faces that are where they should be, though the detector did not find them, as in a
    picture that was turned; it may take its time.
    """
    photo, found = analysis.photo, analysis.faces
    former = _read_former(conn, photo_id, model)
    # Of a face that this model never saw, only that one can say where it is
    known = [face for face in former if not face.known_to_others]
    matches = face_matching.match_faces(
        Version(before.width, before.height, [face.placed for face in known]),
        Version(photo.width, photo.height, [_placed(face) for face in found]),
        model.threshold,
    )
    moved = {known[row].id: column for row, column in matches.pairs}
    missing = [face for face in known if face.id not in moved]
    seen = _look_again(missing, matches, photo, model.threshold, look) if look else {}
    rest = [column for column in range(len(found)) if column not in moved.values()]
    again = _match_lost(conn, photo_id, model, [found[column] for column in rest])
    return Moves(
        photo_id, before, moved, seen, {rest[place]: lost for place, lost in again.items()}
    )


def save_moves(
    conn: Connection, moves: Moves, model: ModelInfo, found: Sequence[Face], *, is_undone: bool
) -> list[str]:
    """Store what a model found in an edited picture; for each face that is lost the key of its person.

    is_undone: whether the photo had this picture before.
    """
    there = [
        row[0] for row in conn.execute("select id from faces where photo_id = ?", [moves.photo_id])
    ]
    for face_id in moves.moved:
        # Found after all, if it was drawn: it stays if the drawing is undone
        conn.execute("delete from face_drawings where face_id = ?", [face_id])
    measured = {face_id: found[place] for face_id, place in moves.moved.items()} | moves.seen
    for face_id, face in measured.items():
        faces.update_face(conn, face_id, face)
        faces.save_embedding(conn, face_id, model.id, vectors.encode(face.embedding))
    bereft = [
        key
        for face_id in there
        if face_id not in measured
        for key in _part_with(conn, face_id, moves.before.sha256)
    ]
    before = moves.before
    watched = forgotten_faces.follow_edit(
        conn, moves.photo_id, before.width, before.height, before.sha256
    )
    for place, face in enumerate(found):
        # A detector sees something in a face that lies on its side, but not what it is
        if place not in moves.moved.values() and not _is_among(face, moves.seen.values()):
            lost = moves.found_again.get(place)
            if watched and lost is None:
                # It may be the face that was forgotten
                forgotten_faces.mark_present(conn, moves.photo_id, face.detection.box)
                continue
            number = lost.face_id if lost else None
            face_id = faces.insert_face(conn, moves.photo_id, face, number)
            faces.save_embedding(conn, face_id, model.id, vectors.encode(face.embedding))
            if lost:
                lost_faces.find_again(conn, lost.id, face_id)
    if watched:
        forgotten_faces.redact_pictures(conn, moves.photo_id)
    lost_faces.forget_unplaced(conn, moves.photo_id)
    if is_undone:
        lost_faces.expect_no_longer(conn, moves.photo_id)
    return bereft


def find_lost_faces(
    conn: Connection, photo_id: int, model: ModelInfo, saved: Sequence[tuple[int, Face]]
) -> None:
    """Say which of the faces that a model found, by id, are ones that an edit took away."""
    again = _match_lost(conn, photo_id, model, [face for _, face in saved])
    for place, lost in again.items():
        lost_faces.find_again(conn, lost.id, saved[place][0])


def _match_lost(
    conn: Connection, photo_id: int, model: ModelInfo, found: Sequence[Face]
) -> dict[int, LostFace]:
    """By position in what a model found, the face that an earlier edit took away."""
    lost = lost_faces.of_photo(conn, photo_id, model.id)
    if not lost:
        return {}
    nowhere = Box(0, 0, 0, 0)
    former = [PlacedFace(nowhere, geometry.parse_landmarks(None), it.embedding) for it in lost]
    pairs = face_matching.match_faces(
        replace(NOWHERE, faces=former),
        Version(1, 2, [_placed(face) for face in found]),
        model.threshold,
    ).pairs
    return {column: lost[row] for row, column in pairs}


def move_stale_faces(conn: Connection, photo_id: int, stale: Sequence[int]) -> set[str]:
    """Move faces that are where they were in a former picture onto those found in the present one.

    So an earlier version left them. A face that is none of the present ones leaves the photo. The keys of
    people who lost a face, or whose face is another one.
    """
    former_sha256 = former_faces.part_with_picture(conn, photo_id)
    if former_sha256 is None:
        return set()
    taken: set[int] = set()
    touched: set[str] = set()
    left = set(stale)
    for model in models.every(conn):
        every = _read_former(conn, photo_id, model)
        there = [face for face in every if face.id in left]
        present = [face for face in every if face.id not in {*stale, *taken}]
        # What size the former picture had is not known: embeddings alone tell
        pairs = face_matching.match_faces(
            replace(NOWHERE, faces=[face.placed for face in there]),
            Version(1, 2, [face.placed for face in present]),
            model.threshold,
        ).pairs
        for row, column in pairs:
            touched |= _take_over(conn, there[row].id, present[column].id)
            left.discard(there[row].id)
            taken.add(present[column].id)
    for face_id in sorted(left):
        touched.update(_part_with(conn, face_id, former_sha256))
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


def _read_former(conn: Connection, photo_id: int, model: ModelInfo) -> list[_FormerFace]:
    """The faces of a photo as they are stored."""
    rows = conn.execute(
        """
        select id, detection_score, x, y, width, height, landmarks, embedding,
            exists (select 1 from face_embeddings as others where others.face_id = faces.id)
        from faces left join face_embeddings on face_id = id and model_id = ?
        where photo_id = ? order by id
        """,
        [model.id, photo_id],
    )
    found: list[_FormerFace] = []
    for face_id, score, *box, text, raw, is_known in rows:
        embedding = _decode(raw, model.dimensions)
        placed = PlacedFace(coerce.box(*box), geometry.parse_landmarks(text), embedding)
        others = bool(is_known) and embedding is None
        found.append(_FormerFace(face_id, placed, coerce.number(score) or 0.0, others))
    return found


def _decode(embedding: Any, dimensions: int) -> FloatArray | None:
    """A stored embedding, of unit length; None where it is broken."""
    with suppress(ValueError):
        vector = vectors.decode(embedding) if isinstance(embedding, bytes) else None
        if vector is not None and len(vector) == dimensions and vector.any():
            return vectors.normalise(vector)
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
    lost_faces.keep(conn, face_id)
    drawn_by = manual_faces.of_face(conn, face_id)
    if drawn_by is None:
        return faces.delete_face(conn, face_id)
    # It comes back with the content that it was drawn in
    return manual_faces.put_away(conn, drawn_by, face_id, former_sha256)
