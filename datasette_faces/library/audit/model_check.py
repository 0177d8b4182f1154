"""The check of an audit by the model: no hidden person is recognised in a published picture.

The file's own models look at every picture, upright and turned, as anyone could. Of what is
known of faces only the private file's rows are used, and nothing of the code that exports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ...algorithms import geometry
from ...errors import FacesError, ModelError, PictureError
from ...media.crop import CROP_PX, onto_crop
from ...models import registry
from ...models.base import Engine, FaceModel, check_weights
from ...models.orientations import see_in_all_orientations
from ...shapes import Area, Box, FloatArray, ModelInfo, Sighting
from ...store import coerce, embeddings, hidden_people, models
from ...store.people import BY_CLUSTER
from .findings import AuditFinding, Catalogue

CHECK = "hidden people whom a model recognises in pictures"
OFF = "--no-model-check"
STRANGER_MARGIN = 0.05
"""So far below the threshold the photo itself says that a face is not a hidden person, whatever its
small picture says."""
CHUNK_PICTURES = 64
"""Pictures that are in memory at once."""
SAME_PLACE = 0.3
"""The IoU from which on what is seen is a known face of the photo."""


@dataclass(frozen=True, slots=True)
class _KnownFace:
    """A face of the private file: its box, whether it is barred, placed by hand, and its likeness."""

    box: Box
    is_barred: bool
    is_placed: bool
    likeness: float
    """Its highest cosine to a hidden face, as it was ingested; 1 where that is not known."""


@dataclass(frozen=True)
class _Hidden:
    """A model that is at hand, and the embeddings of hidden people's faces by it: (n, d)."""

    info: ModelInfo
    engine: Engine
    vectors: FloatArray


def check_with_models(catalogue: Catalogue) -> list[AuditFinding]:
    """No model that is installed here recognises a hidden person in a published picture."""
    hidden_keys = hidden_people.keys_of_hidden(catalogue.private)
    if not hidden_keys:
        return [AuditFinding.of(CHECK, 0, [])]
    if not catalogue.with_models:
        return [AuditFinding(f"{CHECK}: not looked for ({OFF})", 0)]
    findings: list[AuditFinding] = []
    looked_for: set[str] = set()
    for info, engine in _load_models(catalogue):
        known = hidden_people.read_vectors(catalogue.private, info)
        if known.keys:
            looked_for.update(known.keys)
            findings.append(_check_with(catalogue, _Hidden(info, engine, known.vectors)))
    if unknown := len(hidden_keys - looked_for):
        why = "no model that is here has an embedding of them"
        findings.append(AuditFinding(f"{CHECK}: {unknown:,} people not looked for, as {why}", 0))
    return findings


def _load_models(catalogue: Catalogue) -> Iterator[tuple[ModelInfo, Engine]]:
    """The models of the private file that are installed here with the same weights."""
    available = registry.models()
    for info in models.every(catalogue.private):
        model = available.get(info.id)
        if model is None or model.missing() is not None:
            continue
        try:
            engine = load(model)
            check_weights(info, engine.info)
        except FacesError:
            continue
        yield info, engine


def load(model: FaceModel) -> Engine:
    """Load a model in this process: the pictures are an export's own, and small."""
    return model.load()


def _check_with(catalogue: Catalogue, hidden: _Hidden) -> AuditFinding:
    leaks, count = [], 0
    pictures = catalogue.pictures()
    # A thread for each processor: the model's own work needs no lock of Python's
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="model check") as threads:
        while chunk := list(islice(pictures, CHUNK_PICTURES)):
            found = threads.map(partial(_see_alike, hidden), [data for _, _, data in chunk])
            for (table, row_id, _), alike in zip(chunk, found, strict=True):
                count += 1
                if leak := _describe_leak(catalogue, hidden, table, row_id, alike):
                    leaks.append(leak)
    return AuditFinding.of(f"{CHECK} ({hidden.info.id})", count, leaks)


def _see_alike(hidden: _Hidden, data: Any) -> list[tuple[Sighting, float]]:
    """Whom a model takes for a hidden person in a picture, each with the highest cosine."""
    try:
        seen = see_in_all_orientations(data, hidden.engine) if isinstance(data, bytes) else ()
    except PictureError:
        return []  # `check_jpegs` reports it
    # A stranger's model may raise what it likes
    except Exception as error:
        raise ModelError(
            f"The model {hidden.info.id} cannot look at a picture ({type(error).__name__}): {error}; "
            f"to leave it out: {OFF}"
        ) from None
    alike = [(sighting, _likeness(sighting.embedding, hidden)) for sighting in seen]
    return [pair for pair in alike if pair[1] >= hidden.info.threshold]


def _describe_leak(
    catalogue: Catalogue,
    hidden: _Hidden,
    table: str,
    row_id: Any,
    alike: list[tuple[Sighting, float]],
) -> str | None:
    """Where a picture shows somebody who is like a hidden person and not another one; None if nowhere."""
    if not alike:
        return None
    photo_id, boxes = _locate(catalogue, table, row_id, [sighting for sighting, _ in alike])
    known = _known_faces(catalogue, hidden, photo_id)
    shown = [
        likeness
        for (_, likeness), box in zip(alike, boxes, strict=True)
        if not _is_another_person(box, known, hidden.info.threshold)
    ]
    if not shown:
        return None
    path = catalogue.private.execute("select path from photos where id = ?", [photo_id]).fetchone()
    where = coerce.text(path and path[0]) or "no photo of the private file"
    return f"{table} {row_id}, of {where}: a hidden person, similarity {max(shown):.2f}"


def _likeness(embedding: FloatArray, hidden: _Hidden) -> float:
    return float((hidden.vectors @ embedding).max())


def _locate(
    catalogue: Catalogue, table: str, row_id: Any, seen: list[Sighting]
) -> tuple[int | None, list[Box | None]]:
    """The private photo of a picture, and the boxes in it of what is seen in the picture."""
    if table == "photos":
        sql = (
            "select id, width, height from photos join public_photos using (id) where public_id = ?"
        )
        row = catalogue.private.execute(sql, [row_id]).fetchone()
        if row is None:
            return None, [None] * len(seen)
        photo_id, width, height = row
        return photo_id, [geometry.box_of(it.area, width, height) for it in seen]
    sql = "select photo_id, landmarks from faces join public_faces using (id) where public_id = ?"
    row = catalogue.private.execute(sql, [row_id]).fetchone()
    if row is None:
        return None, [None] * len(seen)
    landmarks = geometry.parse_landmarks(row[1])
    return row[0], [_box_in_photo(it.area, landmarks) for it in seen]


def _box_in_photo(area: Area, landmarks: FloatArray) -> Box | None:
    """The box in a photo around an area of a face's crop; None where that is not known."""
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        return None
    onto_photo = geometry.invert_transform(onto_crop(landmarks))
    return geometry.transform_box(onto_photo, geometry.box_of(area, CROP_PX, CROP_PX))


def _known_faces(catalogue: Catalogue, hidden: _Hidden, photo_id: int | None) -> list[_KnownFace]:
    """The faces of a photo as the private file has them."""
    rows = catalogue.private.execute(
        """
        select faces.id, x, y, faces.width, faces.height,
            person_id is not null and person_source is not ?, coalesce(people.hidden, 0) != 0
        from faces left join people on people.id = person_id where photo_id = ?
        """,
        [BY_CLUSTER, photo_id],
    ).fetchall()
    ids, vectors = embeddings.of_faces(catalogue.private, hidden.info.id, [row[0] for row in rows])
    likeness = {
        face_id: _likeness(vector, hidden)
        for face_id, vector in zip(ids.tolist(), vectors, strict=True)
    }
    return [
        _KnownFace(coerce.box(*box), bool(barred), bool(placed), likeness.get(face_id, 1.0))
        for face_id, *box, placed, barred in rows
    ]


def _is_another_person(box: Box | None, known: list[_KnownFace], threshold: float) -> bool:
    """Whether what is seen is another person's face, by a person's word or by the photo's pixels."""
    if box is None:
        return False
    there = [
        face for face in known if geometry.intersection_over_union(box, face.box) >= SAME_PLACE
    ]
    return bool(there) and all(
        not face.is_barred and (face.is_placed or face.likeness < threshold - STRANGER_MARGIN)
        for face in there
    )
