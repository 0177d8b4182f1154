"""The labelled photographs of `../shared`, clustered with the vectors of a real model."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from measures import Quality, quality

from datasette_faces.algorithms import constrained_clustering, knn_graph, merge_thresholds, vectors
from datasette_faces.library.ingest.run import ingest
from datasette_faces.models.registry import model as find_model
from datasette_faces.store.connection import load_vector_extension, sqlite

SQL = """
    select min(photo_paths.path), faces.photo_id, faces.width * faces.height, embedding
    from faces join face_embeddings on face_id = faces.id join photo_paths using (photo_id)
    where model_id = ? group by faces.id order by 1, faces.x, faces.y
"""


def real(photos: Path, pack: str, folder: Path) -> tuple[str, int, Quality]:
    """The model's id, how many faces are labelled, and how good their clusters are.

    Every face of every photo is clustered; those with a label count, the largest of each photo.
    """
    model = find_model(pack)
    database = folder / "real.db"
    ingest(str(database), [str(photos)], model)
    with closing(sqlite().connect(str(database))) as conn:
        load_vector_extension(conn)
        rows = conn.execute(SQL, [model.id]).fetchall()
        threshold = conn.execute(
            "select threshold from models where id = ?", [model.id]
        ).fetchone()[0]
    found = np.stack([vectors.decode(row[3]) for row in rows])
    constraints = constrained_clustering.constrain_by_photo([row[1] for row in rows])
    thresholds = merge_thresholds.estimate_thresholds(found, threshold)
    labels = constrained_clustering.cluster_faces(
        found, knn_graph.build_graph(found), constraints, thresholds
    )
    main = _main_faces(rows, os.path.abspath(photos))
    labelled = list(_labelled(photos, main))
    places = np.array([place for place, _ in labelled])
    _, people = np.unique([person for _, person in labelled], return_inverse=True)
    return model.id, len(places), quality(labels[places], people.astype(np.int64))


def _main_faces(rows: list[tuple[str, int, float, bytes]], photos: str) -> dict[str, int]:
    """The place of the largest face of each photo, by the photo's path within the folder."""
    main: dict[str, int] = {}
    for place, (path, _, area, _) in enumerate(rows):
        file = os.path.relpath(path, photos)
        if file not in main or rows[main[file]][2] < area:
            main[file] = place
    return main


def _labelled(photos: Path, main: dict[str, int]) -> Iterator[tuple[int, str]]:
    several = {row["file"] for row in _table(photos / "counts.csv")}
    for row in _table(photos / "labels.csv"):
        if row["file"] in main and row["file"] not in several:
            yield main[row["file"]], row["person"]


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
