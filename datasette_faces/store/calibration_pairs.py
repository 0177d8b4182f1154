"""Pairs of faces of which it is known whether they are one person: what a calibration learns from.

Named people give pairs that match, and, two by two, pairs that do not; so do two faces of one photo.
Of each kind a sample, bounded however large the file is, and the same each time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..algorithms.calibration import LabelledPairs
from ..shapes import FloatArray, IdArray
from . import embeddings
from .connection import Connection
from .people import NOT_A_FACE

MOST_PEOPLE = 2_000
FACES_OF_PERSON = 12
"""66 pairs: a person with many faces counts no more than others. All of them: 50 MB of 512 dimensions."""
MOST_PHOTOS = 20_000
FACES_OF_PHOTO = 5
"""10 pairs: nor does a picture of a crowd, or a sheet of portraits of one person."""
CHUNK_PHOTOS = 1_000
MOST_PEOPLE_PAIRS = 100_000
"""As many other pairs as a false accept rate of 1e-4 asks for ten times over."""
DIGITS = 6
SEED = 1

# Rows in an order that has nothing to do with when they came, and is the same each time
_SHUFFLED = "({0} % 1000003) * 7919 % 1000003, {0}"
_EMBEDDED = "exists (select 1 from face_embeddings where face_id = faces.id and model_id = :model)"


@dataclass(frozen=True)
class KnownPairs:
    """The sample: matching of one person; of two, by one photo, or by their names."""

    matching: LabelledPairs
    of_photos: LabelledPairs
    of_people: LabelledPairs

    @property
    def other(self) -> LabelledPairs:
        """All pairs that do not match."""
        both = (self.of_photos, self.of_people)
        return LabelledPairs(
            np.concatenate([it.similarities for it in both]),
            np.concatenate([it.groups for it in both]),
        )


def read_pairs(conn: Connection, model_id: str) -> KnownPairs:
    """The pairs that a file knows of a model's embeddings."""
    people, vectors = _named(conn, model_id)
    # One photo may show somebody twice, in a mirror: still a pair of that person
    first, second = _within(people)
    matching = LabelledPairs(_compared(vectors, first, second), people[first])
    first, second = _across(people)
    of_people = LabelledPairs(_compared(vectors, first, second), people[first])
    return KnownPairs(matching, _of_photos(conn, model_id), of_people)


def _named(conn: Connection, model_id: str) -> tuple[IdArray, FloatArray]:
    """Some faces of each named person: whose (n,), and vectors (n, d); person by person."""
    people = conn.execute(
        "select id from people where name is not null and not hidden "
        f"order by {_SHUFFLED.format('id')} limit ?",
        [MOST_PEOPLE],
    ).fetchall()
    sql = (
        f"select id from faces where person_id = :person and {_EMBEDDED} "
        f"order by {_SHUFFLED.format('id')} limit {FACES_OF_PERSON}"
    )
    person_of = {
        int(face): int(person)
        for (person,) in people
        for (face,) in conn.execute(sql, {"person": person, "model": model_id})
    }
    ids, vectors = embeddings.of_faces(conn, model_id, person_of)
    owners = np.array([person_of[face] for face in ids.tolist()], np.int64)
    order = np.lexsort((ids, owners))
    return owners[order], vectors[order]


def _within(people: IdArray) -> tuple[IdArray, IdArray]:
    """Places of all pairs of one person; people: (n,), each one's faces side by side."""
    starts = np.flatnonzero(np.diff(people, prepend=-1)).tolist()
    ends = [*starts, len(people)][1:]
    spans = zip(starts, ends, strict=True)
    return _places(pair for start, end in spans for pair in combinations(range(start, end), 2))


def _across(people: IdArray) -> tuple[IdArray, IdArray]:
    """Places of pairs of two people: all, where they are not too many, or as many by chance."""
    count = len(people)
    if count * count <= 2 * MOST_PEOPLE_PAIRS:
        first, second = np.triu_indices(count, 1)
    else:
        rng = np.random.default_rng(SEED)
        first, second = rng.integers(0, count, (2, 2 * MOST_PEOPLE_PAIRS))
    two = np.flatnonzero(people[first] != people[second])[:MOST_PEOPLE_PAIRS]
    return first[two].astype(np.int64), second[two].astype(np.int64)


def _of_photos(conn: Connection, model_id: str) -> LabelledPairs:
    """Pairs of two faces of one photo, but for those that somebody called one person."""
    photos = conn.execute(
        f"select photo_id from faces where {_EMBEDDED} group by photo_id having count(*) > 1 "
        f"order by {_SHUFFLED.format('photo_id')} limit {MOST_PHOTOS}",
        {"model": model_id},
    ).fetchall()
    chosen = [int(row[0]) for row in photos]
    similarities, groups = [np.empty(0)], [np.empty(0, np.int64)]
    for start in range(0, len(chosen), CHUNK_PHOTOS):
        part = list(_pairs_in(conn, model_id, chosen[start : start + CHUNK_PHOTOS]))
        faces = sorted({face for _, *pair in part for face in pair})
        ids, vectors = embeddings.of_faces(conn, model_id, faces)
        place = {face: number for number, face in enumerate(ids.tolist())}
        # A vector may be broken
        sound = [it for it in part if it[1] in place and it[2] in place]
        first, second = _places((place[one], place[other]) for _, one, other in sound)
        similarities.append(_compared(vectors, first, second))
        groups.append(np.array([photo for photo, _, _ in sound], np.int64))
    return LabelledPairs(np.concatenate(similarities), np.concatenate(groups))


def _pairs_in(conn: Connection, model_id: str, photos: list[int]) -> Iterator[tuple[int, int, int]]:
    """A photo, and two faces in it who are not known to be one person; few of each photo."""
    rows = conn.execute(
        f"select photo_id, id, person_id from faces where {_EMBEDDED} "
        "and photo_id in (select value from json_each(:photos)) "
        "and coalesce(person_id not in (select id from people where key = :none), 1) "
        f"order by photo_id, {_SHUFFLED.format('id')}",
        {"model": model_id, "photos": json.dumps(photos), "none": NOT_A_FACE},
    )
    shown: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for photo, face, person in rows:
        if len(shown[photo]) < FACES_OF_PHOTO:
            shown[photo].append((int(face), person))
    for photo, faces in shown.items():
        for (one, first), (other, second) in combinations(faces, 2):
            if first is None or first != second:
                yield photo, one, other


def _places(pairs: Iterable[tuple[int, int]]) -> tuple[IdArray, IdArray]:
    both = np.array(list(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _compared(vectors: FloatArray, first: IdArray, second: IdArray) -> npt.NDArray[np.float64]:
    """The cosine of each pair, as a search tells it: (n,)."""
    parts = [np.empty(0)]
    # In parts: a hundred thousand pairs of 512 dimensions would take 400 MB
    for start in range(0, len(first), embeddings.CHUNK_ROWS):
        part = slice(start, start + embeddings.CHUNK_ROWS)
        parts.append(np.einsum("ij,ij->i", vectors[first[part]], vectors[second[part]]))
    return np.clip(np.round(np.concatenate(parts).astype(np.float64), DIGITS), -1.0, 1.0)
