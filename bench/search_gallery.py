"""Synthetic galleries for `search.py`: people, their vectors as a plain file, and a faces database."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasette_faces.algorithms import vectors
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.shapes import FloatArray, IdArray, ModelInfo
from datasette_faces.store import changes, models
from datasette_faces.store import photos as store
from datasette_faces.store.connection import Connection, sqlite, transaction
from datasette_faces.store.database import writing

MODEL = "synthetic"
K = 20
FACES_PER_PERSON = 12
SHARES = 0.63, 0.77
"""How much of a face is its person: two faces of one have a similarity of about 0.4 to 0.6."""
QUERIES = 400
BLOCK = 20_000
LANDMARKS = "[[140.5, 280.5], [210.5, 280.5], [175.5, 310.5], [150.5, 350.5], [200.5, 350.5]]"
CROP = bytes.fromhex("ffd8ffd9")
"""A JPEG's first and last marker: no search reads a crop."""


@dataclass(frozen=True)
class Gallery:
    """Where a gallery lies, and how long its indexes took to make.

    vectors: float32 (faces, dimensions), row n is face n + 1. build_s: the index that serves it.
    """

    folder: Path
    faces: int
    dimensions: int
    build_s: float = 0.0
    vec0_s: float = 0.0
    model_id: str = MODEL

    @property
    def database(self) -> Path:
        return self.folder / "faces.db"

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        shape = self.faces, self.dimensions
        return np.memmap(self.folder / "vectors.f32", np.float32, "r", shape=shape)

    @property
    def queries(self) -> FloatArray:
        """Other faces of people in the gallery: (QUERIES, dimensions)."""
        return np.load(self.folder / "queries.npy")

    @property
    def truth(self) -> IdArray:
        """The ids of each query's K nearest faces, by float32: (QUERIES, K)."""
        return np.load(self.folder / "truth.npy")

    def remove(self) -> None:
        """Remove all its files."""
        shutil.rmtree(self.folder)


def made(
    folder: Path,
    face_count: int,
    dimensions: int,
    *,
    vec0: bool = True,
    like: ModelInfo | None = None,
) -> Gallery:
    """The gallery of that size in a folder, made where it is not there yet; like: as by that model."""
    info = like or ModelInfo(MODEL, MODEL, dimensions, 0.363, "none: synthetic", "0" * 64)
    folder = folder / f"{info.id}-{face_count}-{dimensions}"
    about = folder / "about.json"
    if about.exists():
        return Gallery(folder, **json.loads(about.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    gallery = Gallery(folder, face_count, dimensions, model_id=info.id)
    for left in folder.glob("faces.db*"):
        left.unlink()
    _write_vectors(gallery)
    np.save(folder / "truth.npy", nearest(gallery.vectors, gallery.queries))
    build_s, vec0_s = _write_database(gallery, info, vec0=vec0)
    known = replace(gallery, build_s=round(build_s, 2), vec0_s=round(vec0_s, 2))
    about.write_text(json.dumps({k: v for k, v in asdict(known).items() if k != "folder"}))
    return known


def _write_vectors(gallery: Gallery) -> None:
    """Unit vectors of people, whose faces lie scattered, and queries of people drawn from them."""
    rng = np.random.default_rng(gallery.faces + gallery.dimensions)
    people = max(1, gallery.faces // FACES_PER_PERSON)
    centres = vectors.normalise(rng.standard_normal((people, gallery.dimensions), np.float32))
    whose = rng.permutation(gallery.faces) % people
    shape = gallery.faces, gallery.dimensions
    out = np.memmap(gallery.folder / "vectors.f32", np.float32, "w+", shape=shape)
    for start in range(0, gallery.faces, BLOCK):
        out[start : start + BLOCK] = _of(centres[whose[start : start + BLOCK]], rng)
    out.flush()
    np.save(gallery.folder / "queries.npy", _of(centres[rng.integers(0, people, QUERIES)], rng))


def _of(centres: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A face of each of these people: a share of the person, the rest noise of no direction."""
    noise = vectors.normalise(rng.standard_normal(centres.shape, np.float32))
    share = rng.uniform(*SHARES, (len(centres), 1)).astype(np.float32)
    return vectors.normalise(share * centres + np.sqrt(1 - share**2) * noise)


def nearest(among: FloatArray, queries: FloatArray) -> IdArray:
    """The ids of the K nearest of each query, by comparing all."""
    best = np.full((len(queries), K), -2.0, np.float32)
    ids = np.zeros((len(queries), K), np.int64)
    for start in range(0, len(among), BLOCK):
        scores = np.concatenate([best, queries @ among[start : start + BLOCK].T], axis=1)
        block_ids = np.arange(start + 1, start + 1 + scores.shape[1] - K)
        known = np.concatenate([ids, np.broadcast_to(block_ids, (len(ids), len(block_ids)))], 1)
        places = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best = np.take_along_axis(scores, places, 1)
        ids = np.take_along_axis(known, places, 1)
    return ids


def _write_database(gallery: Gallery, info: ModelInfo, *, vec0: bool) -> tuple[float, float]:
    """The gallery as a faces database with its indexes: seconds that pq and vec0 took."""
    with writing(str(gallery.database)) as conn:
        # Nothing of this file is worth a journal
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -500000"):
            conn.execute(f"pragma {pragma}")
        models.register(conn, info)
        among = gallery.vectors
        for start in range(0, gallery.faces, BLOCK * 10):
            with transaction(conn):
                insert(conn, start + 1, among[start : start + BLOCK * 10], gallery.model_id)
        conn.execute("pragma cache_size = -2000")
        started = time.perf_counter()
        if vec0:
            with transaction(conn):
                SqliteVec().follow(conn, info)
        between = time.perf_counter()
        Pq().settle(conn, info)
        ended = time.perf_counter()
        with transaction(conn):
            changes.forget_all_seen(conn)
    return ended - between, between - started


def insert(conn: Connection, first_id: int, embeddings: FloatArray, model_id: str) -> None:
    """Photos, faces and their vectors, as plain SQL writes them; a face a photo."""
    last_id = first_id + len(embeddings) - 1
    numbers = {
        "first": first_id,
        "last": last_id,
        "now": store.now(),
        "crop": CROP,
        "landmarks": LANDMARKS,
    }
    ids = "with recursive n(id) as (select :first union all select id + 1 from n where id < :last)"
    conn.execute(
        f"""
        insert into photos(id, path, sha256, bytes, width, height, format, taken_at, ingested_at,
            thumbnail)
        {ids} select id, '/photos/IMG_' || id || '.jpg', printf('%064x', id), 4000000, 4032, 3024,
            'JPEG', '2020-01-01T00:00:00', :now, :crop from n
        """,
        numbers,
    )
    conn.execute(
        f"""
        insert into faces(id, photo_id, x, y, width, height, landmarks, detection_score, sharpness,
            yaw, pitch, roll, photo_taken_at, crop)
        {ids} select id, id, 100.25, 200.5, 150.25, 190.75, :landmarks, 0.9, 300.5, 1.5, 2.5, -3.5,
            '2020-01-01T00:00:00', :crop from n
        """,
        numbers,
    )
    conn.executemany(
        "insert into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
        (
            (first_id + number, model_id, embedding.tobytes())
            for number, embedding in enumerate(embeddings)
        ),
    )


@contextmanager
def added(gallery: Gallery, embeddings: FloatArray) -> Iterator[None]:
    """The gallery with more faces, inserted from outside; on leaving it is as it was."""
    with closing(sqlite().connect(str(gallery.database), isolation_level=None)) as conn:
        (before,) = conn.execute(
            "select seq from sqlite_sequence where name = 'face_changes'"
        ).fetchone()
        with transaction(conn):
            insert(conn, gallery.faces + 1, embeddings, gallery.model_id)
        try:
            yield
        finally:
            with transaction(conn):
                _remove_after(conn, gallery.faces, before)


def _remove_after(conn: Connection, last_id: int, last_change: int) -> None:
    for table, key in (("face_embeddings", "face_id"), ("faces", "id"), ("photos", "id")):
        conn.execute(f"delete from {table} where {key} > ?", [last_id])
    conn.execute("delete from face_changes where id > ?", [last_change])
    conn.execute("update sqlite_sequence set seq = ? where name = 'face_changes'", [last_change])
