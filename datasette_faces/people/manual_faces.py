"""A face that somebody drew a box round: checked, made by every model at hand, and made again.

What was drawn is a decision; the face follows from it, the photo's file and the models. So it comes
back after an undo that was undone, in another file, with another model. No HTTP, no click.
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
from ..shapes import Box, Face, FloatArray, Landmarks, ModelInfo, Outline
from ..store import decisions, gallery, manual_faces, metadata_faces
from ..store import people as store
from ..store.connection import Connection, transaction
from ..store.decisions import DRAWN, Decision, FaceRef
from ..store.manual_faces import Waiting
from .decide import NOBODY, Editor

LEAST_PX = 8
"""Of a side: a face of fewer pixels is a blot, whoever knows whose it is."""
IN_PICTURE = 0.5
"""At least this part of a box lies in the picture; what hangs over an edge is cut off."""

Look = Callable[[ModelInfo, bytes, Outline], Face]
"""Has a model measure the face in a box of a picture. Raises ModelError, PictureError, Busy."""


@dataclass(frozen=True)
class Subject:
    """A photo in which somebody draws: its upright size, its faces, and where its file should be."""

    id: int
    sha256: str
    width: int
    height: int
    boxes: dict[int, Box]
    places: tuple[tuple[str, int], ...]
    """Paths, and how many bytes the file has."""

    @property
    def path(self) -> str:
        """Where the photo is, for a person to read."""
        return self.places[0][0] if self.places else f"photo {self.id}"


@dataclass(frozen=True)
class Made:
    """A face as the models see it; lacking: why some of them do not, by their ids."""

    face: Face
    embeddings: dict[str, FloatArray]
    lacking: dict[str, str]


@dataclass
class Caught:
    """How many drawings got their face, or an embedding; photos of those that did not, and why."""

    made: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def subject(conn: Connection, photo_id: int) -> Subject:
    """What is known of a photo. Raises DecisionError where there is none."""
    found = gallery.photo(conn, photo_id)
    if found is None:
        raise DecisionError(f"There is no photo {photo_id}")
    places = tuple(
        (as_path(row["path"], row["path_bytes"]), int(row["bytes"]))
        for row in gallery.original_paths(conn, photo_id)
    )
    size = (found["width"], found["height"])
    if None in size:
        raise DecisionError(f"The size of photo {photo_id} is not known: ingest it again")
    return Subject(photo_id, found["sha256"], *size, metadata_faces.boxes(conn, photo_id), places)


def checked_box(about: Subject, numbers: Sequence[float]) -> Box:
    """x, y, width, height as a box within the picture. Raises DecisionError."""
    x, y, width, height = numbers
    size = f"the picture has {about.width:,} by {about.height:,} pixels"
    if not all(map(math.isfinite, numbers)):
        raise DecisionError("A box takes four numbers of pixels: x, y, width, height")
    if width <= 0 or height <= 0:
        raise DecisionError("The box has no size: give it a width and a height")
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(about.width)), min(y + height, float(about.height))
    inside = max(right - left, 0.0) / width * (max(bottom - top, 0.0) / height)
    if inside < IN_PICTURE:
        raise DecisionError(f"The box lies outside the picture, or most of it: {size}")
    if min(right - left, bottom - top) < LEAST_PX:
        raise DecisionError(f"A face has at least {LEAST_PX} pixels a side; {size}")
    return Box(*(round(value, 2) for value in (left, top, right - left, bottom - top)))


def outline(about: Subject, box: Box) -> Outline:
    """A box as a model is asked for it. Raises FaceThere where it meets a face."""
    there = geometry.find_same_face(box, about.boxes)
    if there is not None:
        raise FaceThere("There is a face already where this box is", there)
    return Outline(box, tuple(about.boxes.values()))


def is_at_hand(about: Subject, within: Sequence[str] = ()) -> bool:
    """Whether a file of the photo's size lies where it was: a look at the names, not at the bytes."""
    return any(find_file_size(path, within) == size_bytes for path, size_bytes in about.places)


def original(about: Subject, within: Sequence[str] = ()) -> bytes:
    """The photo's bytes. Raises DecisionError where its file is gone, or is another one by now.

    within: folders outside which no file is looked at; none: anywhere.
    """
    for path, size_bytes in about.places:
        data = read_verified(path, size_bytes, about.sha256, within=within)
        if data is not None:
            return data
    if any(find_file_size(path, within) is not None for path, _ in about.places):
        raise DecisionError(
            "The photo's file has changed since it was ingested: ingest it again, then draw"
        )
    raise DecisionError(
        "Drawing a face takes the photo's file, which is not where it was: "
        "ingest the folder in which it lies now"
    )


def make(look: Look, infos: Sequence[ModelInfo], data: bytes, drawn: Outline) -> Made:
    """The face in a box, by every model that is at hand. Raises ModelError where none is."""
    faces: dict[str, Face] = {}
    lacking: dict[str, str] = {}
    for info in infos:
        try:
            faces[info.id] = look(info, data, drawn)
        except ModelError as error:
            lacking[info.id] = str(error)
    if not faces:
        why = "; ".join(lacking.values()) or "this file knows no model yet: ingest photographs"
        raise ModelError(f"No face can be drawn here: {why}")
    seen = next((it for it in faces.values() if it.detection.score > 0), None)
    if seen is not None:
        told = replace(drawn, landmarks=seen.detection.landmarks)
        for info in infos:
            if info.id in faces and faces[info.id].detection.score == 0:
                faces[info.id] = look(info, data, told)
    embeddings = {model_id: face.embedding for model_id, face in faces.items()}
    return Made(seen or next(iter(faces.values())), embeddings, lacking)


def draw(
    conn: Connection, about: Subject, made: Made, *, by: Editor = NOBODY, uid: str = ""
) -> tuple[Decision, int]:
    """Keep a face that somebody drew, in a transaction: the decision, and the face's id.

    uid: what the decision is known by, where it is always the same one.

    Raises FaceThere and EditedMeanwhile where another one was quicker.
    """
    present, box = subject(conn, about.id), made.face.detection.box
    if present.sha256 != about.sha256:
        raise EditedMeanwhile("The photo was ingested with another content meanwhile: look again")
    outline(present, box)
    drawn = Decision("draw", actor=by.actor, faces=(FaceRef(DRAWN, about.sha256, box),), uid=uid)
    decision = decisions.append(conn, drawn)
    return decision, _keep(conn, about.id, decision.uid, made)


def _keep(conn: Connection, photo_id: int, uid: str, made: Made) -> int:
    face_id = manual_faces.add(conn, photo_id, uid, made.face, made.embeddings)
    store.bring_up(conn, [face_id])
    index_upkeep.keep_up(conn)
    return face_id


def catch_up(conn: Connection, look: Look, infos: Sequence[ModelInfo]) -> Caught:
    """Make the faces that were drawn and are not there, and embeddings by these models they lack.

    In transactions of its own; what cannot be made now waits, with a reason.
    """
    settle(conn)
    done = Caught()
    waiting = manual_faces.waiting(conn, [info.id for info in infos])
    for photo_id, of_photo in groupby(waiting, key=lambda it: it.photo_id):
        about = subject(conn, photo_id)
        try:
            data = original(about)
            for it in of_photo:
                wanted = [info for info in infos if info.id in it.models]
                done.made += _catch_up(conn, partial(make, look, wanted, data), it)
        except FacesError as error:
            done.faults.append((about.path, str(error)))
    return done


def settle(conn: Connection) -> None:
    """Have the faces that were drawn come and go with their decisions, as far as they are kept."""
    with transaction(conn):
        came, left = manual_faces.settle(conn)
        store.bring_up(conn, came)
        store.show(conn, left)
        if came or left:
            index_upkeep.keep_up(conn)


def _catch_up(conn: Connection, making: Callable[[Outline], Made], waiting: Waiting) -> bool:
    """Make what one drawing lacks; whether there was anything to make."""
    about = subject(conn, waiting.photo_id)
    beside = {it: box for it, box in about.boxes.items() if it != waiting.face_id}
    if geometry.find_same_face(waiting.box, beside) is not None:
        return False  # drawn twice, in two files
    made = making(Outline(waiting.box, tuple(beside.values()), _landmarks(conn, waiting.face_id)))
    with transaction(conn):
        if waiting.face_id is None:
            _keep(conn, about.id, waiting.uid, made)
        else:
            manual_faces.embed(conn, waiting.face_id, made.embeddings)
            index_upkeep.keep_up(conn)
    return True


def _landmarks(conn: Connection, face_id: int | None) -> Landmarks | None:
    found = None if face_id is None else gallery.face(conn, face_id)
    return None if found is None else np.asarray(found["landmarks"], np.float32)
