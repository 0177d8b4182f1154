"""One search, scored exactly: candidates are looked at until none of the best can be missing.

What proposes them is an index (`indexes.base.Snapshot`); what is compared lies in `face_embeddings`.
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

FIRST_LOOK = 64
"""With a threshold, how many matches are looked for at first; more where as many reach it."""
DIGITS = 6
"""A similarity is told in so many decimals; float32 knows no more. Equal ones are ordered by id."""
TIE = 2e-6
"""Similarities less than this apart may come in another order once they are computed another way."""
GROWTH = 4
"""Where filters or a threshold leave too few candidates, so many times more are looked at."""

Found = tuple[IdArray, npt.NDArray[np.float64]]
"""Faces and their similarities: (n,) each."""
NOTHING: Found = (np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class Question:
    """One search: query has unit length. hasty: faces that may not be found are found, too."""

    conn: Connection
    model_id: str
    query: FloatArray
    k: int
    filters: SearchFilters
    hasty: bool = False

    def those(self, face_ids: Iterable[int]) -> Found:
        """Of these faces, those that may be found, compared as they are now."""
        filters = None if self.hasty else self.filters
        return self.scored(*embeddings.of_faces(self.conn, self.model_id, face_ids, filters))

    def may_find(self, matches: Collection[Match]) -> bool:
        """Whether the filters let all of these through."""
        return embeddings.all_pass(self.conn, [it.face_id for it in matches], self.filters)

    def scored(self, ids: IdArray, among: FloatArray) -> Found:
        """Faces with their similarities; among: unit vectors (n, dimensions)."""
        if not len(ids):
            return NOTHING
        # Not by BLAS, whose last digit differs with a row's place: one vector has one similarity
        similarities = np.einsum("ij,j->i", among, self.query).astype(np.float64)
        return ids, np.clip(np.round(similarities, DIGITS), -1.0, 1.0)

    def gathered(self, source: Snapshot, without: frozenset[int] = frozenset()) -> Found | None:
        """Enough of an index's candidates to hold the k best; None where it proposes too few."""
        k = self.k if self.filters.threshold is None else min(self.k, FIRST_LOOK)
        # One more than may be wanted shows where these end
        count = source.wanted(k) + 1
        while True:
            count = count if source.most is None else min(count, source.most)
            proposed = source.candidates(self.conn, self.query, count)
            if proposed is None:
                return None
            found = self.those({int(item) for item in proposed} - without)
            if len(proposed) < count or self._enough(found, proposed, source.wanted):
                return found
            if count == source.most:
                return None
            count *= GROWTH

    def _enough(self, found: Found, proposed: IdArray, wanted: Callable[[int], int]) -> bool:
        """Whether candidates reach so far beyond the k best, or the threshold, that none is missed."""
        ids, similarities = found
        least = self._least()
        needed = min(self.k, int((similarities >= least).sum()) + 1)
        if len(ids) <= max(wanted(needed), needed):
            return False
        last = proposed[np.isin(proposed, ids)][-1]
        # Of faces that are as similar as the last of the answer, all have to be at hand: ids decide
        floor = max(np.partition(similarities, -needed)[-needed], least)
        return bool(similarities[ids == last][0] < floor - TIE)

    def _least(self) -> float:
        return -1.0 if self.filters.threshold is None else self.filters.threshold

    def best(self, *sources: Found) -> list[Match]:
        """The k best of what was found, those under the threshold left out."""
        ids = np.concatenate([source[0] for source in sources])
        similarities = np.concatenate([source[1] for source in sources])
        passed = similarities >= self._least()
        ids, similarities = ids[passed], similarities[passed]
        order = np.lexsort((ids, -similarities))[: self.k]
        return [Match(int(ids[place]), float(similarities[place])) for place in order]

    def among_all(self) -> list[Match]:
        """The k best of all faces, each compared."""
        best: list[Match] = []
        for ids, among in embeddings.everything(self.conn, self.model_id, self.filters):
            found = self.best(self.scored(ids, among))
            best = sorted(best + found, key=lambda item: (-item.similarity, item.face_id))
            del best[self.k :]
        return best
