"""Query photos of one person → one query vector → the faces most like it. No click, no HTTP.

A query photo goes the one path of every face: `models/pipeline.py`, in a process, with its limits.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..algorithms.quarter_turns import turn_box
from ..errors import MissingWeights, PictureError, SearchError, UnknownModel
from ..media import files
from ..media.scan import RejectedPath, Scan, walk_paths
from ..models import base, registry
from ..models.base import FaceModel
from ..models.model_pools import ModelPool, PoolOptions
from ..models.pipeline import MIN_FACE_PX
from ..shapes import Face, FloatArray, Match, ModelInfo
from ..store import faces, models
from ..store.connection import Connection
from ..store.embeddings import SearchFilters
from ..store.vec_tables import MAX_K
from . import probability
from .searcher import Searcher, fuse, model_of

OVER_FETCH_GROWTH = 4
"""Where the options leave too few matches, so many times more are fetched."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query photo: its faces from left to right, and the one to search with.

    unlike: whether it is a counter-example. reason: why there is no face; None where there is one.
    damage: what of the picture could not be read.
    """

    path: str
    unlike: bool = False
    sha256: str = ""
    faces: tuple[Face, ...] = field(default=(), repr=False)
    face: Face | None = field(default=None, repr=False)
    reason: str | None = None
    damage: str | None = None


@dataclass(frozen=True)
class PhotoQuery:
    """A search by photos: one vector, the model that made it, and the photos."""

    model: ModelInfo
    examples: tuple[Example, ...]
    embedding: FloatArray = field(repr=False)


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """Which matches: at most k, of at least that similarity, of faces of at least that size in pixels.

    others: none of photos with the very bytes of a query photo.
    """

    k: int = 20
    threshold: float | None = None
    min_face_px: float = 0
    others: bool = False


@dataclass(frozen=True, slots=True)
class PhotoMatch:
    """A face of the gallery that resembles the query, and where its photo lies.

    probability: the chance that it is the same person, at equal odds.
    """

    face_id: int
    similarity: float
    probability: float
    photo_id: int
    path: str
    x: float
    y: float
    width: float
    height: float
    taken_at: str | None
    missing_since: str | None = None
    """Since when its file is missing."""


def choose_model(
    conn: Connection, named: str | None, *, fetch: Callable[[FaceModel], None] = FaceModel.fetch
) -> FaceModel:
    """The model to search a file with, its weights fetched: the named one, or the file's first.

    fetch: gets missing weights; called only for a model that is named. Raises FacesError.
    """
    ids = [info.id for info in models.every(conn)]
    if not ids:
        raise SearchError("This file holds no faces yet; fill it with: datasette faces ingest")
    if named is None:
        model = _registered_model(ids[0])
        if reason := model.missing():
            raise MissingWeights(f"{reason}; or name it here: --model {model.id}")
        return model
    # A model of the file that is not registered needs its folder; another unknown name is a typo
    model = _registered_model(named) if named in ids else registry.model(named)
    model_of(conn, model.id)
    fetch(model)
    return model


def _registered_model(model_id: str) -> FaceModel:
    try:
        return registry.model(model_id)
    except UnknownModel:
        raise UnknownModel(
            f"This file's faces are by {model_id!r}, which is not known here; "
            "name the folder of that pack: --model FOLDER"
        ) from None


def check_weights(conn: Connection, info: ModelInfo) -> None:
    """Raise WrongWeights where a file's embeddings were not made by this very model."""
    base.check_weights(model_of(conn, info.id), info)


def find_faces(
    like: Sequence[str],
    model: FaceModel,
    *,
    unlike: Sequence[str] = (),
    min_face_px: float = MIN_FACE_PX,
    check: Callable[[ModelInfo], None] = lambda info: None,
) -> tuple[ModelInfo, list[Example]]:
    """Find the faces in query photos; one without a face has the reason. Raises ModelError.

    check: called before the first photo, once the model is loaded; it may raise FacesError.
    """
    named = [(path, False) for path in like] + [(path, True) for path in unlike]
    # One photo after another: where a worker dies, the photo is known
    with ModelPool(model, PoolOptions(min_face_px=min_face_px)) as pool:
        info = pool.load()
        check(info)
        return info, [_analyse(path, away, pool) for path, away in named]


def _analyse(path: str, unlike: bool, pool: ModelPool) -> Example:
    shown = files.as_text(path)[0]
    try:
        data = _read(path)
    except PictureError as error:
        return Example(shown, unlike, reason=str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        analysed = pool.submit_query(data).result()
    except PictureError as error:
        return Example(shown, unlike, sha256, reason=str(error))
    faces = analysed.analysis.faces
    photo = analysed.analysis.photo

    def left_edge(face: Face) -> float:
        """As the picture is seen upright."""
        box = turn_box(face.detection.box, photo.turned, photo.width, photo.height)
        return box.x

    from_left = tuple(sorted(faces, key=left_edge))
    # An analysis gives the largest first
    return Example(
        shown,
        unlike,
        sha256,
        from_left,
        faces[0] if faces else None,
        analysed.reason,
        analysed.analysis.photo.damage,
    )


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise PictureError("a folder; name the query photos themselves")
    for found in walk_paths([glob.escape(path)], Scan()):
        if isinstance(found, RejectedPath):
            raise PictureError(found.reason)
        return files.read_file(found)
    raise PictureError("no such file")


def choose_face(example: Example, number: int) -> Example:
    """The same photo with another of its faces, counted from 1 at the left. Raises SearchError."""
    count = len(example.faces)
    if number > count:
        raise SearchError(
            f"{example.path} shows {count} {'face' if count == 1 else 'faces'}: there is no face {number}"
        )
    return replace(example, face=example.faces[number - 1])


def build_query(info: ModelInfo, examples: Sequence[Example]) -> PhotoQuery:
    """One query of all examples. Raises SearchError where no query photo shows a face."""
    like = [item for item in examples if not item.unlike]
    positives = [item.face.embedding for item in like if item.face]
    negatives = [item.face.embedding for item in examples if item.face and item.unlike]
    if not positives:
        raise SearchError("; ".join(f"{item.path}: {item.reason}" for item in like))
    return PhotoQuery(info, tuple(examples), fuse(positives, negatives))


def find_matches(
    conn: Connection, searcher: Searcher, query: PhotoQuery, options: MatchOptions
) -> list[PhotoMatch]:
    """The faces most like a query, best first. Raises SearchError."""
    filters = SearchFilters(threshold=options.threshold)
    count = options.k
    while True:
        best = searcher.nearest(
            conn, query.embedding, count, model_id=query.model.id, filters=filters
        )
        kept = _select_matches(conn, best, query, options)
        if len(kept) >= options.k or len(best) < count or count == MAX_K:
            return kept[: options.k]
        count = min(count * OVER_FETCH_GROWTH, MAX_K)


def _select_matches(
    conn: Connection, best: list[Match], query: PhotoQuery, options: MatchOptions
) -> list[PhotoMatch]:
    """The matches that the options let through, with their photos."""
    rows = faces.describe_faces(conn, [match.face_id for match in best])
    own = {item.sha256 for item in query.examples if item.sha256} if options.others else set()
    curve = probability.curve_of(conn, query.model)
    kept = []
    for match in best:
        # Another process may have removed it since
        row = rows.get(match.face_id)
        if row is None or row.pop("sha256") in own:
            continue
        if min(row["width"], row["height"]) >= options.min_face_px:
            chance = probability.estimate(curve, match.similarity)
            kept.append(PhotoMatch(similarity=match.similarity, probability=chance, **row))
    return kept
