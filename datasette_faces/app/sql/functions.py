"""SQL functions of the plugin: thin, thread-safe, quick to register. What they compute lies below."""

from __future__ import annotations

import ctypes
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...algorithms import vectors
from ...errors import NoVectorExtension, SearchError
from ...search import probability
from ...search import searcher as search
from ...search.indexes.vec0 import was_stopped
from ...search.probability import Curves
from ...search.searcher import NO_FILTERS, Searcher
from ...shapes import FloatArray, Match, ModelInfo
from ...store import gallery, models, vec_tables
from ...store.connection import Connection, load_vector_extension, sqlite
from ...store.embeddings import Filters
from .errors import named

Answer = TypeVar("Answer")
QueryVector = Callable[[str], "tuple[str, FloatArray] | None"]

REMEMBERED = 4_096


class Origins:
    """Which model made the vectors that were lately handed out: two of one length look alike."""

    def __init__(self) -> None:
        self._models: OrderedDict[bytes, frozenset[str]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, vector: bytes | None, model_id: str) -> bytes | None:
        """Remember the model of a vector, and hand the vector on."""
        if vector is not None:
            with self._lock:
                self._models[vector] = self._models.get(vector, frozenset()) | {model_id}
                self._models.move_to_end(vector)
                if len(self._models) > REMEMBERED:
                    self._models.popitem(last=False)
        return vector

    def of(self, vector: bytes) -> str | None:
        """The model that made a vector, if it was handed out lately, as that of one model only."""
        with self._lock:
            made_by = self._models.get(vector, frozenset())
        return next(iter(made_by)) if len(made_by) == 1 else None

    def compare(self, vector: bytes, model_id: str | None) -> None:
        """Raise SearchError where a vector is known to be another model's."""
        made_by = self.of(vector)
        if made_by and model_id and made_by != model_id:
            raise SearchError(
                f"this vector is by {made_by}; it cannot be compared with those of {model_id}"
            )


@dataclass(frozen=True)
class Shared:
    """What the connections of one database share.

    query_vector: the model and the vector of a query face, by its key.
    """

    searcher: Searcher = field(default_factory=Searcher)
    query_vector: QueryVector = lambda key: None
    origins: Origins = field(default_factory=Origins)


class Functions:
    """The SQL functions of one connection, by their names there."""

    def __init__(self, caller_of: Callable[[], Connection], shared: Shared) -> None:
        self._caller_of, self._shared, self._curves = caller_of, shared, Curves()

    @named("face_embedding")
    def face_embedding(self, face_id: int, model_id: str | None = "") -> bytes | None:
        """That face's vector; of the first model that has one, if none is named."""
        if model_id is None:
            return None
        caller = self._caller_of()
        found = _unless_stopped(
            caller, lambda: gallery.embedding(caller, face_id, model_id or None)
        )
        return self._shared.origins.note(found[1], found[0]) if found else None

    @named("face_query")
    def face_query(self, key: str | None) -> bytes | None:
        """The vector of an uploaded query face; NULL without a key."""
        if key in (None, ""):
            return None
        found = self._shared.query_vector(str(key))
        if found is None:
            raise SearchError(
                "no query face has this key: keys are kept for an hour; upload the photo again"
            )
        return self._shared.origins.note(vectors.encode(found[1]), found[0])

    @named("face_similarity")
    def face_similarity(self, first: bytes | None, second: bytes | None) -> float | None:
        """Cosine similarity of two vectors, -1..1; NULL where one is NULL."""
        if first is None or second is None:
            return None
        similarity = vectors.cosine(_decoded(first), _decoded(second))
        self._shared.origins.compare(second, self._shared.origins.of(first))
        return similarity

    @named("faces_knn")
    def faces_knn(
        self,
        vector: bytes | None,
        k: int | str,
        model_id: str | None = None,
        options: str | None = None,
    ) -> str | None:
        """The k nearest faces as JSON; NULL where the vector is NULL."""
        if vector is None:
            return None
        caller, known = self._caller_of(), self._shared.origins
        wanted, embedding, filters = _whole(k), _decoded(vector), _filters(options)

        def ask() -> list[Match]:
            model = _model(caller, model_id or known.of(vector), embedding).id
            known.compare(vector, model)
            nearest = self._shared.searcher.nearest
            return nearest(caller, embedding, wanted, model_id=model, filters=filters)

        found = _unless_stopped(caller, ask) or ()
        return json.dumps([{"face_id": it.face_id, "similarity": it.similarity} for it in found])

    @named("face_probability")
    def face_probability(self, similarity: float | None, model_id: str | None = "") -> float | None:
        """The chance that two faces of this similarity are one person; NULL where one is NULL."""
        if similarity is None or model_id is None:
            return None
        caller = self._caller_of()
        curve = _unless_stopped(caller, lambda: self._curves.of(caller, model_id or None))
        return None if curve is None else probability.of(curve, similarity)


def register(conn: Connection, shared: Shared | None = None) -> None:
    """Register every function on a connection."""
    functions = Functions(_borrowed(conn), shared or Shared())
    for function, counts in (
        (functions.face_embedding, (1, 2)),
        (functions.face_query, (1,)),
        (functions.face_similarity, (2,)),
        (functions.faces_knn, (2, 3, 4)),
        (functions.face_probability, (1, 2)),
    ):
        for count in counts:
            # Within one statement they are: SQLite then asks once, not for each row
            conn.create_function(function.__name__, count, function, deterministic=True)


def _model(caller: Connection, model_id: str | None, embedding: FloatArray) -> ModelInfo:
    """The model that is named, or the one whose vectors have that length. Raises SearchError."""
    first = search.model_of(caller, model_id)
    if model_id is None:
        fitting = [it for it in models.every(caller) if it.dimensions == embedding.size]
        if len(fitting) > 1:
            names = ", ".join(it.id for it in fitting)
            raise SearchError(
                f"vectors of several models have this length; name the model: {names}"
            )
        return fitting[0] if fitting else first
    return first


def _whole(k: int | str) -> int:
    try:
        if isinstance(k, bool | bytes) or int(k) != float(k):
            raise ValueError
        return int(k)
    except (TypeError, ValueError, OverflowError):
        shown = "a blob" if isinstance(k, bytes) else repr(k)
        raise SearchError(f"k is a whole number, 1 to {search.MAX_K:,}, not {shown}") from None


def _decoded(vector: bytes) -> FloatArray:
    if not isinstance(vector, bytes):
        kind = "text" if isinstance(vector, str) else "a number"
        raise SearchError(f"a vector is a blob of float32 values, not {kind}")
    return vectors.decode(vector)


def _filters(options: str | None) -> Filters:
    if options in (None, ""):
        return NO_FILTERS
    try:
        read = json.loads(str(options))
    except (ValueError, RecursionError):
        read = None
    return search.filters_of(read)


def _unless_stopped(caller: Connection, ask: Callable[[], Answer]) -> Answer | None:
    """The answer; where the time limit fell into it, the query that asked is the one to stop."""
    try:
        return ask()
    except sqlite().OperationalError as error:
        if not was_stopped(error):
            raise
        caller.interrupt()
        return None


def _borrowed(conn: Connection) -> Callable[[], Connection]:
    """The connection, by a reference that does not count.

    SQLite holds a function until its connection is closed, out of the garbage collector's sight: a
    function that held the connection would keep it, and its file, open for ever; and connections
    take no weak references. Only a query of that connection calls the function, so it is there.
    """
    address = id(conn)
    return lambda: ctypes.cast(address, ctypes.py_object).value


def prepare(conn: Connection, path: str | None, shared: Shared | None = None) -> None:
    """Make a Datasette connection ready: sqlite-vec, then the functions.

    Raises NoVectorExtension, with the file's name, where its tables cannot be read without.
    """
    try:
        load_vector_extension(conn)
    except NoVectorExtension as error:
        if vec_tables.every(conn):
            raise NoVectorExtension(
                f"{path or 'This database'} holds face vectors. {error}"
            ) from error
    register(conn, shared)
