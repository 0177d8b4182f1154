"""Manual faces: a box that a person drew is checked, measured by every available model, and saved.

The drawing is a decision; the face follows from it, the photo's file and the models. So it comes back
after a redo, in another database, and with another model. No HTTP, no click.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np

from ..algorithms import geometry
from ..errors import DecisionError, EditedMeanwhile, FacesError, FaceThere, ModelError
from ..media.files import as_path, find_file_size, read_verified
from ..search import index_upkeep
from ..shapes import Box, Face, FloatArray, Landmarks, ManualBox, ModelInfo
from ..store import decisions, gallery, manual_faces, metadata_faces
from ..store import people as store
from ..store.connection import Connection, transaction
from ..store.decisions import DRAWN, Decision, FaceRef
from ..store.manual_faces import Waiting
from .decide import NOBODY, Editor

MIN_SIDE_PX = 8
"""Of a box; a face of fewer pixels is a blot, even to a person who knows whose it is."""
MIN_INSIDE = 0.5
"""The least part of a box that is inside the picture; the rest is cut off at the edge."""

Look = Callable[[ModelInfo, bytes, ManualBox], Face]
"""Measures the face in a box of a picture by a model. Raises ModelError, PictureError, Busy."""


@dataclass(frozen=True)
class DrawablePhoto:
    """A photo in which a face can be drawn: its upright size, its faces, and where its file should be."""

    id: int
    sha256: str
    width: int
    height: int
    boxes: dict[int, Box]
    places: tuple[tuple[str, int], ...]
    """Paths, each with the size of the file in bytes."""
    turned: int = 0
    """By how many degrees clockwise it is shown, for its faces to stand upright."""

    @property
    def path(self) -> str:
        """A name for the photo in messages: its path, if there is one."""
        return self.places[0][0] if self.places else f"photo {self.id}"


@dataclass(frozen=True)
class ManualFace:
    """A drawn face as models measured it; failures: by model id, why a model could not."""

    face: Face
    embeddings: dict[str, FloatArray]
    failures: dict[str, str]


@dataclass
class CatchUpReport:
    """How many drawings got their face or an embedding; photos of those that did not, and why."""

    added: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def read_drawable_photo(conn: Connection, photo_id: int) -> DrawablePhoto:
    """A photo for drawing in it. Raises DecisionError where there is none, or its size is unknown."""
    row = gallery.photo(conn, photo_id)
    if row is None:
        raise DecisionError(f"There is no photo {photo_id}")
    places = tuple(
        (as_path(row["path"], row["path_bytes"]), int(row["bytes"]))
        for row in gallery.original_paths(conn, photo_id)
    )
    size = (row["width"], row["height"])
    if None in size:
        raise DecisionError(f"The size of photo {photo_id} is not known: ingest it again")
    boxes = metadata_faces.boxes(conn, photo_id)
    return DrawablePhoto(photo_id, row["sha256"], *size, boxes, places, row["turned"] or 0)


def check_box(photo: DrawablePhoto, numbers: Sequence[float]) -> Box:
    """x, y, width, height in pixels as a box, clipped to the picture. Raises DecisionError."""
    x, y, width, height = numbers
    size = f"the picture has {photo.width:,} by {photo.height:,} pixels"
    if not all(map(math.isfinite, numbers)):
        raise DecisionError("A box takes four numbers of pixels: x, y, width, height")
    if width <= 0 or height <= 0:
        raise DecisionError("The box has no size: give it a width and a height")
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(photo.width)), min(y + height, float(photo.height))
    inside = max(right - left, 0.0) / width * (max(bottom - top, 0.0) / height)
    if inside < MIN_INSIDE:
        raise DecisionError(f"All or most of the box is outside the picture: {size}")
    if min(right - left, bottom - top) < MIN_SIDE_PX:
        raise DecisionError(f"A face needs at least {MIN_SIDE_PX} pixels a side; {size}")
    return Box(*(round(value, 2) for value in (left, top, right - left, bottom - top)))


def make_manual_box(photo: DrawablePhoto, box: Box) -> ManualBox:
    """A box, with the photo's other faces, as models take it. Raises FaceThere where a face is there."""
    face_id = geometry.find_same_face(box, photo.boxes)
    if face_id is not None:
        raise FaceThere("There is already a face in this box", face_id)
    return ManualBox(box, tuple(photo.boxes.values()), turned=photo.turned)


def has_original(photo: DrawablePhoto, within: Sequence[str] = ()) -> bool:
    """Whether a file of the photo's size is where it was; reads file sizes, but no content."""
    return any(find_file_size(path, within) == size_bytes for path, size_bytes in photo.places)


def read_original(photo: DrawablePhoto, within: Sequence[str] = ()) -> bytes:
    """The photo's bytes. Raises DecisionError where its file is gone or has changed.

    within: folders outside which no file is read; none: anywhere.
    """
    for path, size_bytes in photo.places:
        data = read_verified(path, size_bytes, photo.sha256, within=within)
        if data is not None:
            return data
    if any(find_file_size(path, within) is not None for path, _ in photo.places):
        raise DecisionError(
            "The photo's file has changed since it was ingested: ingest it again, then draw"
        )
    raise DecisionError(
        "Drawing a face needs the photo's file, which is not where it was: "
        "ingest the folder where it is now"
    )


def measure_face(
    look: Look, infos: Sequence[ModelInfo], data: bytes, manual_box: ManualBox
) -> ManualFace:
    """The face in a box, by every available model. Raises ModelError where none is available."""
    faces: dict[str, Face] = {}
    failures: dict[str, str] = {}
    for info in infos:
        try:
            faces[info.id] = look(info, data, manual_box)
        except ModelError as error:
            failures[info.id] = str(error)
    if not faces:
        why = "; ".join(failures.values()) or "this file knows no model yet: ingest photographs"
        raise ModelError(f"No face can be drawn here: {why}")
    detected = next((face for face in faces.values() if face.detection.score > 0), None)
    if detected is not None:
        # Models whose detector sees no face take the landmarks of the one that does
        with_landmarks = replace(manual_box, landmarks=detected.detection.landmarks)
        for info in infos:
            if info.id in faces and faces[info.id].detection.score == 0:
                faces[info.id] = look(info, data, with_landmarks)
    embeddings = {model_id: face.embedding for model_id, face in faces.items()}
    return ManualFace(detected or next(iter(faces.values())), embeddings, failures)


def save_manual_face(
    conn: Connection,
    photo: DrawablePhoto,
    manual: ManualFace,
    *,
    by: Editor = NOBODY,
    uid: str = "",
) -> tuple[Decision, int]:
    """Save a drawn face, in a transaction; returns the decision, and the face's id.

    uid: the decision's, where it has to be the same each time. Raises FaceThere where the box has got
    a face in the meantime, EditedMeanwhile where the photo has changed.
    """
    present, box = read_drawable_photo(conn, photo.id), manual.face.detection.box
    if present.sha256 != photo.sha256:
        raise EditedMeanwhile("The photo has been ingested again with other content: look again")
    make_manual_box(present, box)
    drawn = Decision("draw", actor=by.actor, faces=(FaceRef(DRAWN, photo.sha256, box),), uid=uid)
    decision = decisions.append(conn, drawn)
    return decision, _add_face(conn, photo.id, decision.uid, manual)


def _add_face(conn: Connection, photo_id: int, uid: str, manual: ManualFace) -> int:
    face_id = manual_faces.add(conn, photo_id, uid, manual.face, manual.embeddings)
    store.update_faces(conn, [face_id])
    index_upkeep.keep_up(conn)
    return face_id


def add_missing_faces(conn: Connection, look: Look, infos: Sequence[ModelInfo]) -> CatchUpReport:
    """Add the drawn faces that are missing, and the embeddings by these models that they lack.

    In transactions of its own; a face that cannot be added now waits, with a reason in the report.
    """
    follow_decisions(conn)
    report = CatchUpReport()
    waiting = manual_faces.waiting(conn, [info.id for info in infos])
    for photo_id, drawings in groupby(waiting, key=lambda drawing: drawing.photo_id):
        photo = read_drawable_photo(conn, photo_id)
        try:
            data = read_original(photo)
            for drawing in drawings:
                wanted = [info for info in infos if info.id in drawing.models]
                measure = partial(measure_face, look, wanted, data)
                report.added += _complete_drawing(conn, measure, drawing)
        except FacesError as error:
            report.faults.append((photo.path, str(error)))
    return report


def follow_decisions(conn: Connection) -> None:
    """Remove the faces whose drawing was undone, and bring back those redone."""
    with transaction(conn):
        came, left = manual_faces.settle(conn)
        store.update_faces(conn, came)
        store.show(conn, left)
        if came or left:
            index_upkeep.keep_up(conn)


def _complete_drawing(
    conn: Connection, measure: Callable[[ManualBox], ManualFace], drawing: Waiting
) -> bool:
    """Add what one drawing lacks; False where another face is there already."""
    photo = read_drawable_photo(conn, drawing.photo_id)
    others = {face_id: box for face_id, box in photo.boxes.items() if face_id != drawing.face_id}
    if geometry.find_same_face(drawing.box, others) is not None:
        return False  # drawn twice, in two files
    landmarks = _read_landmarks(conn, drawing.face_id)
    boxes = tuple(others.values())
    manual = measure(ManualBox(drawing.box, boxes, landmarks, photo.turned))
    with transaction(conn):
        if drawing.face_id is None:
            _add_face(conn, photo.id, drawing.uid, manual)
        else:
            manual_faces.embed(conn, drawing.face_id, manual.embeddings)
            index_upkeep.keep_up(conn)
    return True


def _read_landmarks(conn: Connection, face_id: int | None) -> Landmarks | None:
    row = None if face_id is None else gallery.face(conn, face_id)
    return None if row is None else np.asarray(row["landmarks"], np.float32)
