"""A search as a page asks for it, prepared: its model, its vector, and the SQL that gives its rows.

Nothing is kept here: a search by several faces says under which key its vector has to be cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ..algorithms import vectors
from ..errors import SearchError, UnknownFace
from ..shapes import FloatArray, ModelInfo
from ..store import coerce, gallery, models
from ..store.connection import Connection
from ..store.embeddings import SearchFilters
from ..store.gallery import MATCH_COLUMNS, MATCH_JOINS, Query, as_query
from ..store.select import Select
from ..store.vec_tables import MAX_K
from . import searcher
from .filters import filters_as_json
from .upload_cache import DatabaseUploads

RESULTS = 48

_COLUMNS = (
    *MATCH_COLUMNS,
    "faces.x",
    "faces.y",
    "faces.width",
    "faces.height",
    "faces.crop",
)
_SOURCE = "json_each(faces_knn({vector}, {k}, :model{options})) as knn\n" + MATCH_JOINS


@dataclass(frozen=True)
class SearchRequest:
    """Which faces to search with, and which results are wanted.

    faces: ids of stored faces. keys: of uploaded ones. unlike: either, of people who are not meant.
    photos: keys of uploaded pictures of which a face is still to be chosen.
    """

    faces: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    model: str | None = None
    k: int = RESULTS
    filters: SearchFilters = field(default_factory=SearchFilters)

    def examples(self) -> Iterator[tuple[str, bool]]:
        """Each id or key that is searched with, and whether that is the id of a stored face."""
        yield from ((key, False) for key in self.keys)
        yield from ((face, True) for face in self.faces)
        yield from ((key, _is_id(key)) for key in self.unlike)

    def own_faces(self) -> frozenset[int]:
        """The stored faces that are searched with: they find themselves, and are no results."""
        return frozenset(int(key) for key in (*self.faces, *self.unlike) if _is_id(key))

    def is_fused(self) -> bool:
        """Whether the vector is made of several faces."""
        return bool(self.unlike) or len(self.faces) + len(self.keys) > 1


@dataclass(frozen=True)
class PreparedSearch:
    """A search that can be run: by one vector of one model.

    fused_key: under which SQL finds the vector once that is cached; None for that of a single face.
    """

    request: SearchRequest
    model: ModelInfo
    embedding: FloatArray = field(repr=False)
    fused_key: str | None = None

    def query(self) -> Query:
        """The SQL that gives the results: a page's own, and that of "View and edit SQL"."""
        vector, named = self._vector()
        options = filters_as_json(self.request.filters)
        params = {"model": self.model.id, **named, **({"options": options} if options else {})}
        # The faces that are searched with find themselves; they are no results
        own = sorted(self.request.own_faces())
        k = f"min(:k + {len(own)}, {MAX_K})" if own else ":k"
        select = Select(
            _COLUMNS,
            _SOURCE.format(vector=vector, k=k, options=", :options" if options else ""),
            (f"faces.id not in ({', '.join(map(str, own))})",) if own else (),
            order_by="similarity desc, face_id",
            limit=":k" if own else "",
        )
        return as_query(select, {**params, "k": self.request.k})

    def _vector(self) -> tuple[str, dict[str, Any]]:
        """The SQL expression of the vector, and its parameter."""
        if self.fused_key is not None:
            return "face_query(:key)", {"key": self.fused_key}
        if self.request.keys:
            return "face_query(:key)", {"key": self.request.keys[0]}
        return "face_embedding(:face, :model)", {"face": int(self.request.faces[0])}


def prepare_search(
    conn: Connection, request: SearchRequest, uploads: DatabaseUploads
) -> PreparedSearch | None:
    """The search of a request, its faces looked up and fused; None where no face is named.

    Raises UnknownFace; SearchError where the faces, or the model, do not go together.
    """
    model = searcher.model_of(conn, request.model) if request.model else None
    positives: list[FloatArray] = []
    negatives: list[FloatArray] = []
    for key, is_stored in request.examples():
        model_id = model.id if model else None
        found = _look_up(conn, uploads, key, is_stored=is_stored, model_id=model_id)
        model = model or searcher.model_of(conn, found[0])
        _check_model(found[0], model)
        # A list each: the same face among both says nothing
        examples = negatives if key in request.unlike else positives
        examples.append(searcher.check_query(found[1], model))
    if not positives or model is None:
        return None
    embedding = searcher.fuse(positives, negatives)
    fused_key = uploads.fused_key(model.id, embedding) if request.is_fused() else None
    return PreparedSearch(request, model, embedding, fused_key)


def model_of_request(
    conn: Connection, request: SearchRequest, uploads: DatabaseUploads
) -> str | None:
    """The id of the model that a search is by: the one it names, or that of its first face."""
    if request.model:
        return request.model
    for key, is_stored in request.examples():
        with suppress(SearchError):
            return _look_up(conn, uploads, key, is_stored=is_stored)[0]
    return None


def without_missing(
    conn: Connection, request: SearchRequest, uploads: DatabaseUploads
) -> SearchRequest:
    """What is left of a request without the faces, pictures and models that are not there."""

    def is_there(key: str, is_stored: bool) -> bool:
        with suppress(SearchError):
            return bool(_look_up(conn, uploads, key, is_stored=is_stored))
        return False

    return replace(
        request,
        faces=tuple(face for face in request.faces if is_there(face, True)),
        keys=tuple(key for key in request.keys if is_there(key, False)),
        unlike=tuple(key for key in request.unlike if is_there(key, _is_id(key))),
        photos=tuple(key for key in request.photos if uploads.photo(key)),
        model=request.model if request.model in {it.id for it in models.every(conn)} else None,
    )


def _is_id(key: str) -> bool:
    return coerce.parse_id(key) is not None


def _check_model(made_by: str, model: ModelInfo) -> None:
    if made_by != model.id:
        raise SearchError(
            f"A face of this search is by the model {made_by}; it cannot be compared with those of "
            f"{model.id}: search with each on its own"
        )


def _look_up(
    conn: Connection,
    uploads: DatabaseUploads,
    key: str,
    *,
    is_stored: bool,
    model_id: str | None = None,
) -> tuple[str, FloatArray]:
    """The model and the vector of a face. Raises UnknownFace, and SearchError for a broken vector."""
    if is_stored:
        return _stored(conn, int(key), model_id)
    uploaded = uploads.vector(key)
    if uploaded is None:
        raise UnknownFace(
            "This query face is no longer available: an uploaded photo is kept in memory for an "
            "hour. Upload it again"
        )
    return uploaded


def _stored(conn: Connection, face_id: int, model_id: str | None) -> tuple[str, FloatArray]:
    found = gallery.embedding(conn, face_id, model_id)
    if found is None:
        by = f" by {model_id}" if model_id else ""
        raise UnknownFace(f"There is no face {face_id} with an embedding{by} here")
    try:
        return found[0], vectors.decode(found[1])
    except (TypeError, ValueError) as error:
        raise SearchError(f"The embedding of face {face_id} is broken: {error}") from None
