"""Search by a face: the best matches among a database's faces, exact and up to date.

An index proposes candidates (`indexes`); they are re-ranked exactly against `face_embeddings`, with the
faces that changed since the index was built, and with the filters. No HTTP, no click.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from ..algorithms import vectors
from ..errors import FacesError, SearchError
from ..shapes import FloatArray, IdArray, Match, ModelInfo
from ..store import changes, embeddings, models
from ..store.connection import Connection, sqlite
from ..store.database import reading
from ..store.embeddings import SearchFilters
from ..store.schema import find_missing_table
from ..store.vec_tables import MAX_K
from .filters import NO_FILTERS
from .indexes import registry
from .indexes.base import MOST_ADDED, FaceIndex, Snapshot
from .rerank import NONE_SCORED, ExactSearch

FEW_FACES = 2_000
"""Where filters leave no more faces, all are compared: reading them takes about 20 ms."""
MOST_CHANGES = 10_000
"""So many changed faces are compared besides an index; that takes a millisecond or two."""
NEGATIVE_WEIGHT = 0.5
"""How much a negative example weighs against the positives (Rocchio, "Relevance feedback", 1971)."""


def fuse(positives: Sequence[FloatArray], negatives: Sequence[FloatArray] = ()) -> FloatArray:
    """One query of unit length from examples of a person, and counter-examples of other people.

    Raises SearchError.
    """
    if len({item.shape for item in (*positives, *negatives)}) > 1:
        raise SearchError("The examples are by models whose vectors differ in length")
    if not len(positives):
        raise SearchError("There are only counter-examples: name a face that is meant")
    query = vectors.normalise(np.mean([vectors.normalise(item) for item in positives], axis=0))
    if len(negatives):
        apart = np.mean([vectors.normalise(item) for item in negatives], axis=0)
        query = vectors.normalise(query - NEGATIVE_WEIGHT * apart)
    if not query.any():
        raise SearchError("The examples and the counter-examples cancel each other out")
    return query


@dataclass(frozen=True)
class _IndexState:
    """An index of a model's gallery, and what has changed since it was built, after one change.

    seen: the last change (`face_changes.id`). snapshot: None where there is no index, and every face is
    compared. changed, vectors: faces whose vectors are not those in the index: their ids (n,) and their
    vectors now. stale: ids that the index has, or may have, with an older vector.
    """

    seen: int
    snapshot: Snapshot | None = None
    changed: IdArray = field(default_factory=lambda: np.empty(0, np.int64))
    vectors: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    stale: frozenset[int] = frozenset()

    def without_changes(self) -> _IndexState:
        """The state when its index was built."""
        return _IndexState(self.snapshot.seen if self.snapshot else 0, self.snapshot)

    def changed_faces(self) -> Snapshot:
        """The faces that changed, as an index of their own."""

        def candidates(conn: Connection, query: FloatArray, count: int) -> IdArray:
            if not len(self.changed):
                return self.changed
            # Not by BLAS: its threads wait for each other where the machine is busy
            distances = -np.einsum("ij,j->i", self.vectors, query)
            if count < len(distances):
                likeliest = np.argpartition(distances, count)[:count]
                return self.changed[likeliest[np.argsort(distances[likeliest])]]
            return self.changed[np.argsort(distances)]

        return Snapshot(self.seen, candidates)


class Searcher:
    """The indexes of one database: opened on first use, kept up to date, for several threads.

    Connections may see different states of the file, each in a transaction of its own. One that has
    changed embeddings and may yet roll back is not to be searched.
    """

    def __init__(
        self, path: str | None = None, *, kinds: Sequence[FaceIndex] | None = None
    ) -> None:
        """path: with it, an index that the file should have and lacks is built in the background."""
        self._path = path
        self._kinds = kinds
        self._states: dict[ModelInfo, _IndexState] = {}
        self._tried: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def nearest(
        self,
        conn: Connection,
        embedding: FloatArray,
        k: int,
        *,
        model_id: str | None = None,
        filters: SearchFilters = NO_FILTERS,
    ) -> list[Match]:
        """The k most similar faces that the filters let through, best first; of one score, by id.

        embedding: (dimensions,), of any length but 0. model_id: the first in the file, if none is
        named. Raises SearchError.
        """
        model = model_of(conn, model_id)
        query = check_query(embedding, model)
        if not 1 <= k <= MAX_K:
            raise SearchError(f"k is 1 to {MAX_K:,}, not {k:,}")
        search = ExactSearch(conn, model.id, query, k, filters)
        few = embeddings.few(conn, filters, FEW_FACES)
        if few is not None:
            return search.top_k(search.score_faces(few))
        state = self._current_state(conn, model)
        # Mostly the filters let all candidates through; to check the best alone takes half the time
        matches = None
        if not filters.names_some():
            matches = _rerank_candidates(replace(search, unfiltered=True), state)
        if matches is None or not search.filters_pass(matches):
            matches = _rerank_candidates(search, state)
        return search.scan_all() if matches is None else matches

    def _current_state(self, conn: Connection, model: ModelInfo) -> _IndexState:
        """The state after the last change that this connection sees."""
        if not changes.is_kept(conn):
            return _IndexState(0, None)
        state, upto = self._states.get(model), changes.position(conn)
        if state is None or state.seen < upto:
            state = self._catch_up(conn, model, upto)
        if state.seen <= upto:
            return state
        # Another thread sees changes that this connection's transaction does not see yet
        return _with_changes(conn, model.id, state.without_changes()) or _IndexState(upto, None)

    def _catch_up(self, conn: Connection, model: ModelInfo, upto: int) -> _IndexState:
        """A state with all changes up to this one, for all threads."""
        with self._lock:
            state = self._states.get(model)
            if state is not None and state.seen >= upto:
                return state
            state = (state and _with_changes(conn, model.id, state)) or self._open_index(
                conn, model
            )
            # Without an index it is not worth keeping, and an index may be built any time
            if state.snapshot is not None:
                self._states[model] = state
        return state

    def _open_index(self, conn: Connection, model: ModelInfo) -> _IndexState:
        """The index for a gallery of this size; the next best one while there is none."""
        for kind in self._suitable_kinds(conn, model):
            state = self._load_index(conn, kind, model)
            if state:
                return state
            self._build_in_background(kind, model)
        return _IndexState(changes.position(conn), None)

    def _load_index(
        self, conn: Connection, kind: FaceIndex, model: ModelInfo
    ) -> _IndexState | None:
        """The index that the file keeps, with what changed since.

        By a connection of its own where that is possible: under the time limit of a query, loading
        would be stopped, begin again with the next one, and never end.
        """
        with ExitStack() as own:
            if self._path is not None:
                with suppress(FacesError):
                    conn = own.enter_context(reading(self._path))
            snapshot = kind.open(conn, model)
            return (
                _with_changes(conn, model.id, _IndexState(snapshot.seen, snapshot))
                if snapshot
                else None
            )

    def _suitable_kinds(self, conn: Connection, model: ModelInfo) -> list[FaceIndex]:
        kinds = registry.indexes() if self._kinds is None else self._kinds
        values = embeddings.upper_bound(conn) * model.dimensions
        if any(0 < kind.least_values <= values for kind in kinds):
            values = embeddings.count(conn, model.id) * model.dimensions
        suitable = [kind for kind in kinds if kind.least_values <= values]
        return sorted(suitable, key=lambda kind: -kind.least_values)

    def _build_in_background(self, kind: FaceIndex, model: ModelInfo) -> None:
        """Build an index that the file lacks in a thread; until then the next best serves."""
        if self._path is None or (kind.id, model.id) in self._tried:
            return
        self._tried.add((kind.id, model.id))
        name = f"datasette-faces: {kind.id} of {model.id}"
        threading.Thread(target=self._build, args=[kind, model], name=name, daemon=True).start()

    def _build(self, kind: FaceIndex, model: ModelInfo) -> None:
        with suppress(FacesError), reading(str(self._path)) as conn:
            snapshot = kind.build(conn, model)
            # A kind that cannot be built now is not tried again and again
            if snapshot is None:
                return
            with self._lock:
                self._tried.discard((kind.id, model.id))
                state = _with_changes(conn, model.id, _IndexState(snapshot.seen, snapshot))
                if state is not None:
                    self._states[model] = state


def model_of(conn: Connection, model_id: str | None) -> ModelInfo:
    """The model of that id in the file; the first one, if none is named. Raises SearchError."""
    try:
        known = models.every(conn)
    except sqlite().OperationalError as error:
        if find_missing_table(error) != "models":
            raise
        raise SearchError("this database holds no faces") from None
    for model in known:
        if model_id in (None, model.id):
            return model
    names = ", ".join(model.id for model in known) or "none yet"
    raise SearchError(f"This file holds no faces by the model {model_id!r}; it holds: {names}")


def check_query(embedding: FloatArray, model: ModelInfo) -> FloatArray:
    """The query at unit length. Raises SearchError where this model cannot have made it."""
    if not np.isfinite(embedding).all():
        raise SearchError("the vector holds NaN or infinity")
    if embedding.shape != (model.dimensions,):
        raise SearchError(
            f"the vector has {embedding.size:,} values, those of {model.id} have {model.dimensions:,}"
        )
    if not embedding.any():
        raise SearchError("the vector is all zeros: it resembles nothing")
    # The squares of very large and very small values leave float32
    return vectors.normalise(embedding / np.abs(embedding).max())


def _with_changes(conn: Connection, model_id: str, state: _IndexState) -> _IndexState | None:
    """The state with what changed since; None where its index is too old, or missing."""
    if state.snapshot is None:
        return None
    upto, ids = changes.since(conn, model_id, state.seen)
    if not ids:
        return None if ids is None else replace(state, seen=upto)
    stale = state.stale.union(ids)
    if len(stale) > (MOST_ADDED if state.snapshot.extended else MOST_CHANGES):
        return None
    new_ids, new_vectors = embeddings.of_faces(conn, model_id, ids)
    same = ~np.isin(state.changed, ids)
    changed = np.concatenate([state.changed[same], new_ids])
    parts = [part for part in (state.vectors[same], new_vectors) if len(part)]
    now = np.concatenate(parts) if parts else new_vectors
    if len(stale) <= MOST_CHANGES:
        return _IndexState(upto, state.snapshot, changed, now, stale)
    if state.snapshot.extended is None:
        return None
    # Codes of vectors that are gone stay in it: what they propose is scored as of now
    larger = state.snapshot.extended(changed, now, upto) if len(changed) else state.snapshot
    return _IndexState(upto, larger) if larger else None


def _rerank_candidates(search: ExactSearch, state: _IndexState) -> list[Match] | None:
    """The best of an index's candidates and of the changed faces; None where those are too few."""
    if state.snapshot is None:
        return None
    indexed = search.over_fetch(state.snapshot, state.stale)
    if indexed is None:
        return None
    changed = search.over_fetch(state.changed_faces())
    return search.top_k(indexed, changed or NONE_SCORED)
