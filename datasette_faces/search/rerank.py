"""One search, re-ranked exactly: an index over-fetches candidates until none of the k best can be missing.

Candidates come from an index (`indexes.base.Snapshot`); similarities from `face_embeddings`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..shapes import FloatArray, IdArray, Match
from ..store import embeddings
from ..store.connection import Connection
from ..store.embeddings import SearchFilters
from .indexes.base import Snapshot

FIRST_FETCH = 64
"""With a threshold, so many matches are fetched at first; more where as many reach it."""
DIGITS = 6
"""A similarity has so many decimals; float32 has no more. Equal ones are ordered by id."""
TIE = 2e-6
"""Similarities less than this apart may come in another order once they are computed another way."""
OVER_FETCH_GROWTH = 4
"""Where filters or a threshold leave too few candidates, so many times more are fetched."""

Scored = tuple[IdArray, npt.NDArray[np.float64]]
"""Faces and their similarities: (n,) each."""
NONE_SCORED: Scored = (np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class ExactSearch:
    """One search: query has unit length. unfiltered: the filters are left aside."""

    conn: Connection
    model_id: str
    query: FloatArray
    k: int
    filters: SearchFilters
    unfiltered: bool = False

    def score_faces(self, face_ids: Iterable[int]) -> Scored:
        """Those of the faces that the filters let through, with their similarities as of now."""
        filters = None if self.unfiltered else self.filters
        return self.score(*embeddings.of_faces(self.conn, self.model_id, face_ids, filters))

    def filters_pass(self, matches: Collection[Match]) -> bool:
        """Whether the filters let all of these through."""
        return embeddings.all_pass(self.conn, [match.face_id for match in matches], self.filters)

    def score(self, ids: IdArray, vectors: FloatArray) -> Scored:
        """Faces with their similarities: ids (n,), unit vectors (n, dimensions)."""
        if not len(ids):
            return NONE_SCORED
        # Not by BLAS, whose last digit depends on a row's position: one vector has one similarity
        similarities = np.einsum("ij,j->i", vectors, self.query).astype(np.float64)
        return ids, np.clip(np.round(similarities, DIGITS), -1.0, 1.0)

    def over_fetch(self, index: Snapshot, without: frozenset[int] = frozenset()) -> Scored | None:
        """Enough scored candidates to hold the k best; None where the index proposes too few."""
        k = self.k if self.filters.threshold is None else min(self.k, FIRST_FETCH)
        # One more than may be wanted shows where these end
        count = index.wanted(k) + 1
        while True:
            count = count if index.most is None else min(count, index.most)
            proposed = index.candidates(self.conn, self.query, count)
            if proposed is None:
                return None
            found = self.score_faces({int(item) for item in proposed} - without)
            if len(proposed) < count or self._enough(found, proposed, index.wanted):
                return found
            if count == index.most:
                return None
            count *= OVER_FETCH_GROWTH

    def _enough(self, found: Scored, proposed: IdArray, wanted: Callable[[int], int]) -> bool:
        """Whether candidates reach so far beyond the k best, or the threshold, that none is missing."""
        ids, similarities = found
        threshold = self._threshold()
        needed = min(self.k, int((similarities >= threshold).sum()) + 1)
        if len(ids) <= max(wanted(needed), needed):
            return False
        last = proposed[np.isin(proposed, ids)][-1]
        # All faces as similar as the last result have to be among them: ids decide
        floor = max(np.partition(similarities, -needed)[-needed], threshold)
        return bool(similarities[ids == last][0] < floor - TIE)

    def _threshold(self) -> float:
        return -1.0 if self.filters.threshold is None else self.filters.threshold

    def top_k(self, *scored: Scored) -> list[Match]:
        """The k best of the scored faces that reach the threshold."""
        ids = np.concatenate([part[0] for part in scored])
        similarities = np.concatenate([part[1] for part in scored])
        passed = similarities >= self._threshold()
        ids, similarities = ids[passed], similarities[passed]
        order = np.lexsort((ids, -similarities))[: self.k]
        return [Match(int(ids[place]), float(similarities[place])) for place in order]

    def scan_all(self) -> list[Match]:
        """The k best of all faces, without an index."""
        best: list[Match] = []
        for ids, vectors in embeddings.everything(self.conn, self.model_id, self.filters):
            found = self.top_k(self.score(ids, vectors))
            best = sorted(best + found, key=lambda item: (-item.similarity, item.face_id))
            del best[self.k :]
        return best
