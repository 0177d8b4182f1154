"""What the machine proposes: who belongs together, under all that people decided.

Reads embeddings and decisions, has `clustering` group them, keeps the proposal and brings the people up
to date. Each function is called within a transaction. No HTTP, no click.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..algorithms import constrained_clustering, knn_graph, merge_thresholds, review_pairs
from ..algorithms.constrained_clustering import ALONE, Constraints
from ..algorithms.review_pairs import ReviewPairs
from ..search.searcher import Searcher
from ..shapes import FloatArray, IdArray, ModelInfo
from ..store import decisions, embeddings, face_quality, people, review_queue
from ..store.connection import Connection
from ..store.embeddings import SearchFilters
from ..store.face_quality import Measures
from ..store.people import NOT_A_FACE
from ..store.standings import Standing, read_standings
from .kinds import cannot_link_roles

NOBODY = -1
FEW_NEW = 0.1
"""Up to this share of new faces only these and their neighbours are looked at."""
DIGITS = 4
FACES_A_PERSON = 100
"""So many faces of a person tell what a new face of them looks like."""


@dataclass(frozen=True)
class Clustered:
    """What a clustering did: faces it looked at, people it found, faces that belong to nobody."""

    faces: int
    people: int
    alone: int


def cluster(conn: Connection, model: ModelInfo) -> Clustered:
    """Group all faces of a model again; whoever was placed by a person stays there."""
    known = _Known(conn, read_standings(conn))
    order, vectors = _load_vectors(conn, model, known)
    thresholds = merge_thresholds.estimate_thresholds(vectors, model.threshold)
    constraints, names = known.constraints(order)
    graph = knn_graph.build_graph(vectors)
    labels = constrained_clustering.cluster_faces(vectors, graph, constraints, thresholds)
    done = _keep(conn, order.ids, _named(labels, names), known)
    found = review_pairs.find_review_pairs(
        vectors, graph, labels, order.photos, threshold=model.threshold
    )
    _keep_review_pairs(conn, model, order.ids, found, replace=True)
    return done


def grow(conn: Connection, model: ModelInfo) -> Clustered:
    """Group the faces that are new, with those that they resemble; all others stay as they are.

    Where many are new, all are grouped again.
    """
    new = people.proposes_nothing_for(conn, model.id)
    if not new:
        return Clustered(0, 0, 0)
    count = embeddings.count(conn, model.id)
    if len(new) > FEW_NEW * count:
        return cluster(conn, model)
    near = _neighbourhood(conn, model, new)
    known = _Known(conn, read_standings(conn, near), _grouped(conn, near, new))
    order, vectors = _load_vectors(conn, model, known, near)
    thresholds = merge_thresholds.estimate_thresholds(
        embeddings.sample(conn, model.id), model.threshold, faces=count
    )
    constraints, names = known.constraints(order)
    graph = knn_graph.build_graph_of(
        vectors, np.flatnonzero(np.isin(order.ids, new)).astype(np.int32)
    )
    before = known.numbers(order.ids, known.grouped, names)
    labels = constrained_clustering.grow_clusters(
        vectors, graph, constraints, thresholds, labels=before
    )
    done = _keep(conn, order.ids, _named(labels, names), known)
    found = review_pairs.find_review_pairs(
        vectors, graph, labels, order.photos, threshold=model.threshold
    )
    _keep_review_pairs(conn, model, order.ids, found, replace=False)
    return done


def _keep_review_pairs(
    conn: Connection, model: ModelInfo, ids: IdArray, found: ReviewPairs, *, replace: bool
) -> None:
    """Keep the pairs for the review queue, by the keys that their people have."""
    faces = ids[found.faces]
    keys = people.proposed(conn, np.unique(faces).tolist())
    named = [(keys.get(one), keys.get(other)) for one, other in faces.tolist()]
    review_queue.save_pairs(
        conn,
        model.id,
        [
            (one, other, round(float(mean), DIGITS))
            for (one, other), mean in zip(named, found.similarities, strict=True)
            if one and other
        ],
        replace=replace,
    )


class _Known:
    """What is settled before the machine begins: who is placed where, and who must stay apart.

    grouped: whom the machine proposed faces for that are to stay as they are.
    """

    def __init__(
        self,
        conn: Connection,
        standings: dict[int, Standing],
        grouped: dict[int, str] | None = None,
    ) -> None:
        self.placed = {it: said.placed for it, said in standings.items() if said.placed}
        self.excluded = [it for it, key in self.placed.items() if key == NOT_A_FACE]
        self.grouped = grouped or {}
        self.apart = {it: said.apart for it, said in standings.items() if said.apart}
        self.pairs = list(find_pairs_apart(conn))

    @property
    def taken(self) -> set[str]:
        """The keys that no new group gets."""
        return {*self.placed.values(), *self.grouped.values()}

    def numbers(self, ids: IdArray, keys: dict[int, str], names: list[str]) -> IdArray:
        """The number of each face's person, NOBODY where it has none."""
        number = {key: place for place, key in enumerate(names)}
        found = [number[keys[it]] if it in keys else NOBODY for it in ids.tolist()]
        return np.array(found, np.int64)

    def constraints(self, order: Measures) -> tuple[Constraints, list[str]]:
        """What clustering has to keep to, and the key of each person by number."""
        place = {face_id: row for row, face_id in enumerate(order.ids.tolist())}
        both = {**self.grouped, **self.placed}
        # Only those who are among these faces: the numbers after them are for who is new
        names = sorted({both[face_id] for face_id in both.keys() & place.keys()})
        number = {key: place for place, key in enumerate(names)}
        apart = {(place[a], place[b]) for a, b in self.pairs if {a, b} <= place.keys() and a != b}
        people_apart = {
            (place[face_id], number[key])
            for face_id, keys in self.apart.items()
            for key in keys
            if face_id in place and key in number
        }
        found = Constraints(
            photo=order.photos,
            key=np.arange(len(order.ids)),
            pinned=self.numbers(order.ids, self.placed, names),
            cannot_link=_two_columns(apart),
            cannot_link_people=_two_columns(people_apart),
            bridging=order.bridging,
        )
        return found, names


def _two_columns(pairs: set[tuple[int, int]]) -> IdArray:
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def find_pairs_apart(conn: Connection) -> Iterator[tuple[int, int]]:
    """Faces that decisions told apart, by the examples that they name."""
    roles = cannot_link_roles()
    for batch in decisions.active_of_kinds(conn, roles):
        for decision, faces in zip(batch, decisions.faces_by_role(conn, batch), strict=True):
            first, second = roles[decision.kind]
            yield from product(faces[first], faces[second])


def _load_vectors(
    conn: Connection, model: ModelInfo, known: _Known, face_ids: list[int] | None = None
) -> tuple[Measures, FloatArray]:
    """The faces that have a vector, in the order that lasts, with their vectors."""
    if face_ids is None:
        ids, vectors = embeddings.whole(conn, model)
    else:
        ids, vectors = embeddings.of_faces(conn, model.id, face_ids)
    found = face_quality.of_faces(conn, face_ids)
    usable = np.isin(found.ids, ids) & ~np.isin(found.ids, known.excluded)
    order = Measures(found.ids[usable], found.photos[usable], found.bridging[usable])
    by_id = np.argsort(ids)
    rows = by_id[np.searchsorted(ids[by_id], order.ids)]
    return order, vectors[rows]


def _named(labels: IdArray, names: list[str]) -> list[str | None]:
    """The key of each face's person; of those who are new, "=" and a number."""
    return [
        None if label == ALONE else names[label] if label < len(names) else f"={label}"
        for label in labels.tolist()
    ]


def _keep(conn: Connection, ids: IdArray, labels: list[str | None], known: _Known) -> Clustered:
    """Keep the proposal, new groups under the key that most of their faces had."""
    face_ids = ids.tolist()
    before = people.proposed(conn, face_ids)
    members: dict[str, list[int]] = {}
    for face_id, label in zip(face_ids, labels, strict=True):
        if label is not None and label.startswith("="):
            members.setdefault(label, []).append(face_id)
    keys = _kept_keys(members, before, known.taken)
    firsts = {label: min_rank[0] for label, min_rank in members.items() if label not in keys}
    fresh = face_quality.keys_of(conn, firsts.values())
    keys |= {label: fresh[face_id] for label, face_id in firsts.items()}
    proposal = {
        face_id: keys.get(label, label) if label else None
        for face_id, label in zip(face_ids, labels, strict=True)
    }
    people.propose(conn, {it: key for it, key in proposal.items() if before.get(it, "") != key})
    touched = [it for it, key in proposal.items() if before.get(it, "") != key]
    people.update_faces(conn, touched)
    found = {key for key in proposal.values() if key}
    return Clustered(len(face_ids), len(found), sum(key is None for key in proposal.values()))


def _kept_keys(
    members: dict[str, list[int]], before: dict[int, str | None], taken: set[str]
) -> dict[str, str]:
    """Each new group's key: the one that most of its faces had, each key once."""
    votes = [
        (-count, key, label)
        for label, face_ids in members.items()
        for key, count in Counter(map(before.get, face_ids)).items()
        if key and key not in taken
    ]
    keys: dict[str, str] = {}
    used: set[str] = set()
    for _, key, label in sorted(votes):
        if label not in keys and key not in used:
            keys[label] = key
            used.add(key)
    return keys


def _neighbourhood(conn: Connection, model: ModelInfo, new: list[int]) -> list[int]:
    """The new faces, what they resemble, some more faces of those people, and of the same photos."""
    searcher, found = Searcher(), set(new)
    _, vectors = embeddings.of_faces(conn, model.id, new)
    filters = SearchFilters(threshold=model.threshold, hidden=True)
    for vector in vectors:
        near = searcher.nearest(
            conn, vector, knn_graph.NEIGHBOURS, model_id=model.id, filters=filters
        )
        found.update(match.face_id for match in near)
    beside = people.in_photos_of(conn, new)
    keys = {key for key in people.proposed(conn, found | beside).values() if key}
    return sorted(found | beside | set(people.some_of(conn, keys, FACES_A_PERSON)))


def _grouped(conn: Connection, near: list[int], new: list[int]) -> dict[int, str]:
    fresh = set(new)
    found = people.proposed(conn, near)
    return {it: key for it, key in found.items() if key and it not in fresh}
