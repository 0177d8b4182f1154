"""One contender of `search.py` in a process of its own: opens a gallery, answers, tells what it cost.

    python search_contenders.py CONTENDER FOLDER FACES DIMENSIONS

Prints a line of JSON after its first answer; then one for each line that it reads: a number asks
for so many seconds of queries, `new` for the nearest faces of the vector in new.npy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from search_gallery import MODEL, Gallery, K
from watching import busy_seconds, cores

from datasette_faces.shapes import FloatArray

Ask = Callable[[FloatArray], list[int]]

OURS, FLAT, FLAT_ALL, SCAN, VEC0 = "this", "IndexFlatIP", "IndexFlatIP, as is", "scan", "vec0"
NUMPY = "numpy"
CONTENDERS = (OURS, NUMPY, FLAT, FLAT_ALL, SCAN, VEC0)
WARM_UP = 10
"""So many queries are not counted, if they take no more than a second."""
FEWEST = 3


def ours(gallery: Gallery) -> Ask:
    """faces_knn on a connection as Datasette opens and prepares it."""
    from datasette_faces.app.sql import functions
    from datasette_faces.search.indexes import registry
    from datasette_faces.search.searcher import Searcher

    registry.indexes()
    conn = _connection(gallery)
    path = str(gallery.database)
    functions.prepare(conn, path, functions.SharedState(Searcher(path)))
    sql = (
        "select value ->> 'face_id', value ->> 'similarity' "
        f"from json_each(faces_knn(:vector, {K}, :model))"
    )
    return lambda query: _ids(conn, sql, query)


def scan(gallery: Gallery) -> Ask:
    """sqlite-vec's function on every row of a table."""
    conn = _connection(gallery, vectors=True)
    sql = (
        "select face_id, vec_distance_cosine(embedding, :vector) as distance from face_embeddings "
        f"where model_id = :model order by distance limit {K}"
    )
    return lambda query: _ids(conn, sql, query)


def vec0(gallery: Gallery) -> Ask:
    """sqlite-vec's virtual table."""
    from datasette_faces.store.vec_tables import table_name

    conn = _connection(gallery, vectors=True)
    sql = (
        f"select face_id, distance from {table_name(MODEL)} "
        f"where embedding match :vector and k = {K} order by distance"
    )
    return lambda query: _ids(conn, sql, query)


def numpy(gallery: Gallery) -> Ask:
    """A matrix times a vector."""
    among = np.fromfile(gallery.folder / "vectors.f32", np.float32).reshape(gallery.faces, -1)

    def ask(query: FloatArray) -> list[int]:
        scores = among @ query
        best = np.argpartition(-scores, K)[:K]
        return [int(place) + 1 for place in best[np.argsort(-scores[best])]]

    return ask


def flat(gallery: Gallery, threads: int = 1) -> Ask:
    """faiss, exact; threads: 0 leaves them to faiss."""
    import faiss

    if threads:
        faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(gallery.dimensions)
    rows = 10_000
    with open(gallery.folder / "vectors.f32", "rb") as file:
        while len(part := np.fromfile(file, np.float32, rows * gallery.dimensions)):
            index.add(part.reshape(-1, gallery.dimensions))
    return lambda query: [int(place) + 1 for place in index.search(query[np.newaxis], K)[1][0]]


def _connection(gallery: Gallery, *, vectors: bool = False) -> Any:
    from datasette_faces.store.connection import load_vector_extension, sqlite

    conn = sqlite().connect(f"file:{gallery.database}?mode=ro", uri=True, check_same_thread=False)
    if vectors:
        load_vector_extension(conn)
    return conn


def _ids(conn: Any, sql: str, query: FloatArray) -> list[int]:
    rows = conn.execute(sql, {"vector": query.tobytes(), "model": MODEL}).fetchall()
    return [row[0] for row in rows]


OPEN: dict[str, Callable[[Gallery], Ask]] = {
    OURS: ours,
    NUMPY: numpy,
    FLAT: flat,
    FLAT_ALL: lambda gallery: flat(gallery, threads=0),
    SCAN: scan,
    VEC0: vec0,
}


def _asked(ask: Ask, queries: FloatArray, seconds: float) -> dict[str, Any]:
    """Times and answers of as many queries as fit into so many seconds; others: their share (0..1)."""
    ends = time.perf_counter() + min(seconds, 1.0)
    for query in queries[-WARM_UP:]:
        if time.perf_counter() < ends:
            ask(query)
    times, answers = [], []
    busy_s, own_s, started = busy_seconds(), time.process_time(), time.perf_counter()
    for query in queries:
        before = time.perf_counter()
        answers.append(ask(query))
        times.append((time.perf_counter() - before) * 1_000)
        if time.perf_counter() - started > seconds and len(times) >= FEWEST:
            break
    took_s = time.perf_counter() - started
    others_s = busy_seconds() - busy_s - (time.process_time() - own_s)
    others = max(0.0, others_s / took_s / cores())
    return {"ms": times, "ids": answers, "others": others}


def _megabytes() -> tuple[float, float]:
    """This process's resident memory now, and the most it ever had: Linux only."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        known = dict(line.split(":", 1) for line in lines)
        now, peak = (float(known[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now * 1.024e-3, peak * 1.024e-3
    return 0.0, 0.0


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main() -> None:
    """Open the gallery, answer once, then do as told."""
    name, folder, faces, dimensions = sys.argv[1:]
    gallery = Gallery(Path(folder), int(faces), int(dimensions))
    queries = gallery.queries
    if name in (OURS, FLAT, FLAT_ALL):
        import faiss  # noqa: F401

        from datasette_faces.app.sql import functions  # noqa: F401
        from datasette_faces.search.indexes import registry  # noqa: F401
    # What a library takes by itself does not grow with the gallery
    before_mb, _ = _megabytes()
    ask = OPEN[name](gallery)
    ask(queries[0])
    now_mb, peak_mb = _megabytes()
    _say({"mb": now_mb - before_mb, "peak_mb": peak_mb - before_mb})
    for line in sys.stdin:
        if line.strip() == "new":
            _say({"ids": ask(np.load(gallery.folder / "new.npy")[0])})
        else:
            _say(_asked(ask, queries, float(line)))


if __name__ == "__main__":
    main()
