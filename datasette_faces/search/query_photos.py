"""Query photos of one person → one query vector → the faces most like it. No click, no HTTP.

A query photo goes the one path of every face: `pipeline` in a process of `model_pools`, with its limits.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

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
from ..store.embeddings import Filters
from . import probability as probabilities
from . import searcher as search
from .searcher import Searcher

GROWTH = 4
"""Where too few matches are of the kind that is wanted, so many times more are looked at."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query photo: its faces from left to right, and the one that is meant.

    unlike: whether it shows who is not meant. reason: why there is no face; None where there is one.
    """

    path: str
    unlike: bool = False
    sha256: str = ""
    faces: tuple[Face, ...] = field(default=(), repr=False)
    face: Face | None = field(default=None, repr=False)
    reason: str | None = None


@dataclass(frozen=True)
class Query:
    """What is searched for: one vector, the model that made it, and the photos that it is of."""

    model: ModelInfo
    examples: tuple[Example, ...]
    embedding: FloatArray = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which matches: at most k, of at least that similarity and of faces of at least that size.

    others: not those of photos that hold the very bytes of a query photo.
    """

    k: int = 20
    threshold: float | None = None
    min_face_px: float = 0
    others: bool = False


@dataclass(frozen=True, slots=True)
class Found:
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


def model_for(
    conn: Connection, named: str | None, *, fetch: Callable[[FaceModel], None] = FaceModel.fetch
) -> FaceModel:
    """The model to search a file with, ready to be loaded: the named one, or the file's first.

    fetch: brings weights that are missing; asked only of a model that is named. Raises FacesError.
    """
    ids = [info.id for info in models.every(conn)]
    if not ids:
        raise SearchError("This file holds no faces yet; fill it with: datasette faces ingest")
    if named is None:
        model = _known(ids[0])
        if reason := model.missing():
            raise MissingWeights(f"{reason}; or name it here: --model {model.id}")
        return model
    # One in the file that is not known here needs its folder; what else is unknown is a slip
    model = _known(named) if named in ids else registry.model(named)
    search.model_of(conn, model.id)
    fetch(model)
    return model


def _known(model_id: str) -> FaceModel:
    try:
        return registry.model(model_id)
    except UnknownModel:
        raise UnknownModel(
            f"This file's faces are by {model_id!r}, which is not known here; "
            "name the folder of that pack: --model FOLDER"
        ) from None


def check_weights(conn: Connection, info: ModelInfo) -> None:
    """Raise WrongWeights where a file's embeddings were not made by this very model."""
    base.check_weights(search.model_of(conn, info.id), info)


def look_at(
    like: Sequence[str],
    model: FaceModel,
    *,
    unlike: Sequence[str] = (),
    min_face_px: float = MIN_FACE_PX,
    check: Callable[[ModelInfo], None] = lambda info: None,
) -> tuple[ModelInfo, list[Example]]:
    """Find the faces in query photos; one that gives none says why. Raises ModelError.

    check: asked before the first photo, once the model is loaded; it may raise FacesError.
    """
    named = [(path, False) for path in like] + [(path, True) for path in unlike]
    # One photo after another: where a worker dies, it is known by which
    with ModelPool(model, PoolOptions(min_face_px=min_face_px)) as pool:
        info = pool.load()
        check(info)
        return info, [_example(path, away, pool) for path, away in named]


def _example(path: str, unlike: bool, pool: ModelPool) -> Example:
    shown = files.as_text(path)[0]
    try:
        data = _read(path)
    except PictureError as error:
        return Example(shown, unlike, reason=str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        looked = pool.submit_query(data).result()
    except PictureError as error:
        return Example(shown, unlike, sha256, reason=str(error))
    faces = looked.analysis.faces
    from_left = tuple(sorted(faces, key=lambda face: face.detection.box.x))
    # An analysis gives the largest first
    return Example(shown, unlike, sha256, from_left, faces[0] if faces else None, looked.reason)


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise PictureError("a folder; name the query photos themselves")
    for found in walk_paths([glob.escape(path)], Scan()):
        if isinstance(found, RejectedPath):
            raise PictureError(found.reason)
        return files.read_file(found)
    raise PictureError("no such file")


def choose(example: Example, number: int) -> Example:
    """The same photo with another of its faces, counted from 1 at the left. Raises SearchError."""
    count = len(example.faces)
    if number > count:
        raise SearchError(
            f"{example.path} shows {count} {'face' if count == 1 else 'faces'}: there is no face {number}"
        )
    return replace(example, face=example.faces[number - 1])


def query_of(info: ModelInfo, examples: Sequence[Example]) -> Query:
    """One query of all that were found. Raises SearchError where no query photo shows a face."""
    like = [item for item in examples if not item.unlike]
    positives = [item.face.embedding for item in like if item.face]
    negatives = [item.face.embedding for item in examples if item.face and item.unlike]
    if not positives:
        raise SearchError("; ".join(f"{item.path}: {item.reason}" for item in like))
    return Query(info, tuple(examples), search.fuse(positives, negatives))


def found(conn: Connection, searcher: Searcher, query: Query, wanted: Wanted) -> list[Found]:
    """The faces most like a query, best first. Raises SearchError."""
    filters = Filters(threshold=wanted.threshold)
    count = wanted.k
    while True:
        best = searcher.nearest(
            conn, query.embedding, count, model_id=query.model.id, filters=filters
        )
        kept = _kept(conn, best, query, wanted)
        if len(kept) >= wanted.k or len(best) < count or count == search.MAX_K:
            return kept[: wanted.k]
        count = min(count * GROWTH, search.MAX_K)


def _kept(conn: Connection, best: list[Match], query: Query, wanted: Wanted) -> list[Found]:
    """Of the matches, those of the kind that is wanted."""
    rows = faces.describe_faces(conn, [match.face_id for match in best])
    own = {item.sha256 for item in query.examples if item.sha256} if wanted.others else set()
    curve = probabilities.curve_of(conn, query.model)
    kept = []
    for match in best:
        # Another process may have removed it since
        row = rows.get(match.face_id)
        if row is None or row.pop("sha256") in own:
            continue
        if min(row["width"], row["height"]) >= wanted.min_face_px:
            chance = probabilities.of(curve, match.similarity)
            kept.append(Found(similarity=match.similarity, probability=chance, **row))
    return kept
