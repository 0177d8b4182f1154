"""What an index over embeddings is. How one works inside lies in the modules beside this one.

An index only proposes candidates. `search/rerank.py` scores them exactly against `face_embeddings`, adds
the faces that changed since the index was built, and applies the filters: so an index may be stale, and
may propose faces that are gone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from ...shapes import FloatArray, IdArray, ModelInfo
from ...store.connection import Connection

MOST_ADDED = 100_000
"""So many changed faces are read at once, to be added to an index: 200 MB of 512 dimensions."""


@dataclass(frozen=True)
class Snapshot:
    """An index as it was after one change, for queries from several threads at once.

    seen: the last change (`face_changes.id`) that it holds.
    candidates: a query of unit length (dimensions,) and a number -> so many face ids, the likeliest
    first; fewer only where there are no more; None where it can, for this connection, propose none.
    wanted: how many candidates make it all but certain that the k best are among them.
    most: how many it proposes at once; None where it knows no limit.
    extended: the same with more faces in it, ids (n,) and vectors (n, dimensions), up to a later
    change; None where an index cannot be added to, or is better rebuilt.
    """

    seen: int
    candidates: Callable[[Connection, FloatArray, int], IdArray | None]
    wanted: Callable[[int], int] = lambda k: k
    most: int | None = None
    extended: Callable[[IdArray, FloatArray, int], Snapshot | None] | None = None


class FaceIndex(ABC):
    """A kind of index, by its id; it holds no state of its own."""

    id: str
    least_values: int = 0
    """The size of a gallery, faces times dimensions, from which on this kind is the better one."""

    @abstractmethod
    def open(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """What the file keeps of a model's index; None where it keeps none that can be used."""

    def build(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """An index made from `face_embeddings`, in memory; None where this kind lives in the file."""
        return None

    def follow(self, conn: Connection, model: ModelInfo) -> None:  # noqa: B027
        """Bring what the file keeps up to date, in a transaction that changed embeddings."""

    def settle(self, conn: Connection, model: ModelInfo) -> None:  # noqa: B027
        """Put what is to be kept into the file when many changes have ended.

        In transactions of its own: what takes long is done before one begins.
        """

    def drop(self, conn: Connection, model: ModelInfo) -> None:  # noqa: B027
        """Remove from the file all that is kept of a model's index, in a transaction."""
