"""Galleries of made-up faces, written straight into a database, and the exact answers to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasette_faces.search.indexes.base import FaceIndex
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.shapes import Match, ModelInfo
from datasette_faces.store import models
from datasette_faces.store.connection import load_vector_extension, sqlite, transaction
from datasette_faces.store.database import writing

Vectors = npt.NDArray[np.float32]

KINDS: dict[str, list[FaceIndex]] = {
    "sqlite-vec": [SqliteVec()],
    "pq": [Pq(least_values=0, least_faces=16)],
    "no index": [],
}
"""What serves a Searcher in these tests; small galleries suffice for `pq`."""
CLOSE = 2e-6
"""Similarities that differ less are the same: float32 knows six digits or seven."""
FOLDERS = ("/photos/2019", "/photos/2019b", "/photos/20%", "/photos/20_9", "/photos/2019/sub", "/é")
"""Photos lie in these in turn."""


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_vectors(faces: int, dimensions: int, seed: int = 1) -> Vectors:
    """Unit vectors of every direction."""
    return unit(np.random.default_rng(seed).standard_normal((faces, dimensions)))


def model_info(dimensions: int, model_id: str = "toy") -> ModelInfo:
    """A model of this size."""
    return ModelInfo(model_id, model_id, dimensions, 0.4, "none", model_id)


def blob(vector: Any) -> bytes:
    """A vector as the file keeps it."""
    return np.asarray(vector, "<f4").tobytes()


def make_gallery(path: Path, vectors: Vectors, *kinds: FaceIndex, model_id: str = "toy") -> Path:
    """A database of faces 1, 2, … with these vectors, a photo each, and with these indexes.

    Photo n was taken on day n from 2001-01-01 on, in a folder of FOLDERS. Face n is of person
    n % 5 + 1; of five people nobody is hidden.
    """
    info = model_info(vectors.shape[1], model_id)
    with writing(str(path)) as conn:
        conn.execute("pragma synchronous = off")
        conn.execute("begin")
        models.register(conn, info)
        conn.execute("insert into people(id, name) select value, 'p' from json_each('[1,2,3,4,5]')")
        add_faces(conn, range(1, len(vectors) + 1), vectors, model_id)
        conn.execute("commit")
        keep_indexes(conn, info, *kinds)
    return path


def keep_indexes(conn: Any, info: ModelInfo, *kinds: FaceIndex) -> None:
    """Have the file keep these indexes, as an ingest would."""
    for kind in kinds:
        conn.execute("begin")
        kind.follow(conn, info)
        conn.execute("commit")
        kind.settle(conn, info)


def add_faces(conn: Any, ids: Iterable[int], vectors: Iterable[Any], model_id: str = "toy") -> None:
    """Photos, faces and their vectors, by SQL alone, in one transaction."""
    ids = list(ids)
    with nullcontext() if conn.in_transaction else transaction(conn):
        _add_photos(conn, ids)
        _add_faces(conn, ids)
        conn.executemany(
            "insert into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
            [(n, model_id, blob(vector)) for n, vector in zip(ids, vectors, strict=True)],
        )


def _add_photos(conn: Any, ids: list[int]) -> None:
    conn.executemany(
        "insert into photos(id, path, sha256, bytes, width, height, format, taken_at, ingested_at, "
        "thumbnail) values (?1, ?2, 'sha' || ?1, 1, 9, 9, 'JPEG', "
        "date('2001-01-01', (?1 - 1) || ' days'), '', x'00')",
        [(n, path_of(n)) for n in ids],
    )
    conn.executemany(
        "insert into photo_paths(path, photo_id, bytes, modified_ns, sha256) values (?, ?, 1, 1, '')",
        [(path_of(n), n) for n in ids],
    )


def _add_faces(conn: Any, ids: list[int]) -> None:
    conn.executemany(
        "insert into faces(id, photo_id, x, y, width, height, landmarks, detection_score, sharpness,"
        " yaw, pitch, roll, person_id, photo_taken_at, crop) values (?1, ?1, 0, 0, 9, 9, '[]', 1, 1, "
        "0, 0, 0, ?1 % 5 + 1, date('2001-01-01', (?1 - 1) || ' days'), x'00')",
        [(n,) for n in ids],
    )


def path_of(number: int) -> str:
    """Where photo n lies."""
    return f"{FOLDERS[number % len(FOLDERS)]}/{number}.jpg"


@contextmanager
def opened(path: Path | str, *, vec: bool = True, uri: bool = False) -> Iterator[Any]:
    """A connection in autocommit, as a program of its own would open it."""
    conn = sqlite().connect(str(path), isolation_level=None, uri=uri, timeout=30)
    with closing(conn):
        conn.execute("pragma synchronous = off")
        if vec:
            load_vector_extension(conn)
        yield conn


class Stored(dict[int, Vectors]):
    """Vectors by face, as they are stored; they stay as they are."""

    @cached_property
    def exact(self) -> npt.NDArray[np.float64]:
        """All at unit length, in double precision, a row each."""
        rows = np.stack(list(self.values())).astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stored(conn: Any, where: str = "1", *values: object, model: str = "toy") -> Stored:
    """The vectors of the faces that a condition on `faces` lets through, as they are stored."""
    sql = (
        "select faces.id, embedding from faces join face_embeddings on face_id = faces.id "
        f"where model_id = ? and ({where})"
    )
    rows = conn.execute(sql, [model, *values]).fetchall()
    if len({len(row[1]) for row in rows}) != 1:
        return Stored((row[0], np.frombuffer(row[1], "<f4")) for row in rows)
    vectors = np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(len(rows), -1)
    return Stored(zip((row[0] for row in rows), vectors, strict=True))


def similarities(among: dict[int, Vectors], query: Vectors) -> dict[int, float]:
    """Every face's cosine similarity, in double precision."""
    if not among:
        return {}
    exact = among.exact if isinstance(among, Stored) else Stored(among).exact
    found = exact @ (query.astype(np.float64) / np.linalg.norm(query.astype(np.float64)))
    return dict(zip(among, found.tolist(), strict=True))


def assert_exact(
    matches: Sequence[Match],
    among: dict[int, Vectors],
    query: Vectors,
    k: int,
    threshold: float = -2.0,
) -> None:
    """Fail unless these are the k best among faces: faces that are equally good may change places."""
    exact = similarities(among, query)
    ids = [match.face_id for match in matches]
    assert len(set(ids)) == len(ids)
    assert exact.keys() >= set(ids), "proposes what is not there"
    found = np.array([match.similarity for match in matches])
    assert_close(found, np.array([exact[face] for face in ids]))
    order = np.lexsort((ids, -found))
    assert order.tolist() == list(range(len(ids)))
    every = np.array(list(exact.values()))
    sure, most = every[every >= threshold + CLOSE], every[every >= threshold - CLOSE]
    assert min(len(sure), k) <= len(matches) <= min(len(most), k)
    best = np.sort(most)[::-1][: len(matches)]
    assert_close(found, best, "misses a better one")


def assert_close(one: npt.NDArray[Any], other: npt.NDArray[Any], otherwise: str = "") -> None:
    """Fail unless two rows of similarities are the same."""
    assert (np.abs(one - other) <= CLOSE).all(), otherwise
