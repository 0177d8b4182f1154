"""SQL functions of the plugin: thin, thread-safe, quick to register. What they compute lies below."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...algorithms import vectors
from ...errors import NoVectorExtension, SearchError
from ...search import probability
from ...search.filters import parse_filters_json
from ...search.indexes.vec0 import was_stopped
from ...search.probability import CurveCache
from ...search.searcher import MAX_K, Searcher
from ...search.vector_models import VectorModels, model_of_vector
from ...shapes import FloatArray, Match
from ...store import gallery, vec_tables
from ...store.connection import Connection, load_vector_extension, sqlite
from .errors import named

Answer = TypeVar("Answer")
QueryVector = Callable[[str], "tuple[str, FloatArray] | None"]


@dataclass(frozen=True)
class SharedState:
    """What the connections of one database share.

    query_vector: gives the model and the vector of a query face, by its key.
    """

    searcher: Searcher = field(default_factory=Searcher)
    query_vector: QueryVector = lambda key: None
    vector_models: VectorModels = field(default_factory=VectorModels)


class Functions:
    """The SQL functions of one connection, by their names there."""

    def __init__(self, caller_of: Callable[[], Connection], shared: SharedState) -> None:
        self._caller_of, self._shared, self._curves = caller_of, shared, CurveCache()

    @named("face_embedding")
    def face_embedding(self, face_id: int, model_id: str | None = "") -> bytes | None:
        """That face's vector; of the first model that has one, if none is named."""
        if model_id is None:
            return None
        caller = self._caller_of()
        found = _unless_timed_out(
            caller, lambda: gallery.embedding(caller, face_id, model_id or None)
        )
        return self._shared.vector_models.note(found[1], found[0]) if found else None

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
        return self._shared.vector_models.note(vectors.encode(found[1]), found[0])

    @named("face_similarity")
    def face_similarity(self, first: bytes | None, second: bytes | None) -> float | None:
        """Cosine similarity of two vectors, -1..1; NULL where one is NULL."""
        if first is None or second is None:
            return None
        similarity = vectors.cosine(_decode_vector(first), _decode_vector(second))
        known = self._shared.vector_models
        known.check(second, known.find(first))
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
        caller, known = self._caller_of(), self._shared.vector_models
        count, embedding, filters = _parse_k(k), _decode_vector(vector), parse_filters_json(options)

        def ask() -> list[Match]:
            model = model_of_vector(caller, embedding, model_id or known.find(vector)).id
            known.check(vector, model)
            nearest = self._shared.searcher.nearest
            return nearest(caller, embedding, count, model_id=model, filters=filters)

        found = _unless_timed_out(caller, ask) or ()
        return json.dumps(
            [{"face_id": match.face_id, "similarity": match.similarity} for match in found]
        )

    @named("face_probability")
    def face_probability(self, similarity: float | None, model_id: str | None = "") -> float | None:
        """The chance that two faces of this similarity are one person; NULL where one is NULL."""
        if similarity is None or model_id is None:
            return None
        caller = self._caller_of()
        curve = _unless_timed_out(caller, lambda: self._curves.read(caller, model_id or None))
        return None if curve is None else probability.estimate(curve, similarity)


def register(conn: Connection, shared: SharedState | None = None) -> None:
    """Register every function on a connection."""
    functions = Functions(_uncounted_reference(conn), shared or SharedState())
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


def _parse_k(k: int | str) -> int:
    try:
        if isinstance(k, bool | bytes) or int(k) != float(k):
            raise ValueError
        return int(k)
    except (TypeError, ValueError, OverflowError):
        shown = "a blob" if isinstance(k, bytes) else repr(k)
        raise SearchError(f"k is a whole number, 1 to {MAX_K:,}, not {shown}") from None


def _decode_vector(vector: bytes) -> FloatArray:
    if not isinstance(vector, bytes):
        kind = "text" if isinstance(vector, str) else "a number"
        raise SearchError(f"a vector is a blob of float32 values, not {kind}")
    return vectors.decode(vector)


def _unless_timed_out(caller: Connection, ask: Callable[[], Answer]) -> Answer | None:
    """The answer; None where the time limit ended it, and the query that asked is stopped."""
    try:
        return ask()
    except sqlite().OperationalError as error:
        if not was_stopped(error):
            raise
        caller.interrupt()
        return None


def _uncounted_reference(conn: Connection) -> Callable[[], Connection]:
    """The connection, by a reference that does not count.

    SQLite holds a function until its connection is closed, out of the garbage collector's sight: a
    function that held the connection would keep it, and its file, open for ever; and connections
    take no weak references. Only a query of that connection calls the function, so it is there.
    """
    address = id(conn)
    return lambda: ctypes.cast(address, ctypes.py_object).value


def prepare(conn: Connection, path: str | None, shared: SharedState | None = None) -> None:
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
