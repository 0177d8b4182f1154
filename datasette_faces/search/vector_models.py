"""Which model made a vector that comes without its model: vectors of two models look alike."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ..errors import SearchError
from ..shapes import FloatArray, ModelInfo
from ..store import models
from ..store.connection import Connection
from . import searcher

MAX_VECTORS = 4_096


class VectorModels:
    """The models of the vectors that were handed out lately. Safe for use by several threads."""

    def __init__(self) -> None:
        self._models: OrderedDict[bytes, frozenset[str]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, vector: bytes, model_id: str) -> bytes:
        """Note the model of a vector; the vector."""
        with self._lock:
            self._models[vector] = self._models.get(vector, frozenset()) | {model_id}
            self._models.move_to_end(vector)
            if len(self._models) > MAX_VECTORS:
                self._models.popitem(last=False)
        return vector

    def find(self, vector: bytes) -> str | None:
        """The model of a vector; None where it is unknown, or several models made this vector."""
        with self._lock:
            made_by = self._models.get(vector, frozenset())
        return next(iter(made_by)) if len(made_by) == 1 else None

    def check(self, vector: bytes, model_id: str | None) -> None:
        """Raise SearchError where a vector is known to be another model's."""
        made_by = self.find(vector)
        if made_by and model_id and made_by != model_id:
            raise SearchError(
                f"this vector is by {made_by}; it cannot be compared with those of {model_id}"
            )


def model_of_vector(conn: Connection, embedding: FloatArray, model_id: str | None) -> ModelInfo:
    """The model that is named, or the one whose vectors have this length. Raises SearchError.

    embedding: (dimensions,). Where no model fits, the file's first one.
    """
    model = searcher.model_of(conn, model_id)
    if model_id is not None:
        return model
    fitting = [known for known in models.every(conn) if known.dimensions == embedding.size]
    if len(fitting) > 1:
        names = ", ".join(known.id for known in fitting)
        raise SearchError(f"vectors of several models have this length; name the model: {names}")
    return fitting[0] if fitting else model
