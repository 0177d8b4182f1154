"""Vectors of some faces: the same ones, wherever their rows lie in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import model_info, unit
from test_clusters import add

from datasette_faces.store import embeddings, models
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.once

DIMENSIONS, FACES = 8, 300
MODEL, OTHER = model_info(DIMENSIONS), model_info(DIMENSIONS, "other")
SWAP = "update face_embeddings set rowid = rowid + 1000 where face_id between 100 and 200"
GONE = "delete from face_embeddings where face_id % 7 = 0"
BROKEN = "update face_embeddings set embedding = x'00' where face_id = 50"
INTERLEAVED = (
    "insert into face_embeddings(rowid, face_id, model_id, embedding) "
    "select rowid + 50, face_id, 'other', zeroblob(32) from face_embeddings where rowid > 250"
)
WITHOUT_ROWID = (
    "create table kept (face_id integer, model_id text, embedding blob, "
    "primary key (face_id, model_id)) without rowid;"
    "insert into kept select face_id, model_id, embedding from face_embeddings;"
    "drop table face_embeddings; alter table kept rename to face_embeddings;"
)


def gallery(path: Path) -> tuple[Any, Any]:
    vectors = unit(np.random.default_rng(3).standard_normal((FACES, DIMENSIONS)))
    with writing(str(path)) as conn, transaction(conn):
        for model in (MODEL, OTHER):
            models.register(conn, model)
        add(conn, dict(enumerate(vectors)))
    return vectors, path


@pytest.mark.parametrize("change", ["", SWAP, GONE, BROKEN, INTERLEAVED, WITHOUT_ROWID])
@pytest.mark.parametrize("asked", [FACES, 80, 10], ids="{} faces".format)
def test_vectors_are_those_of_the_faces_however_their_rows_lie(
    tmp_path: Path, change: str, asked: int
) -> None:
    vectors, path = gallery(tmp_path / "rows.db")
    with writing(str(path)) as conn:
        conn.executescript(change)
        whole = conn.execute(
            "select face_id from face_embeddings where model_id = ? and length(embedding) = ?",
            [MODEL.id, 4 * DIMENSIONS],
        )
        there = {row[0] for row in whole}
        wanted = [int(it) + 1 for it in np.random.default_rng(4).permutation(FACES)[:asked]]
        ids, found = embeddings.of_faces(conn, MODEL.id, [*wanted, 10_000])
    assert sorted(ids.tolist()) == sorted(there & set(wanted))
    assert np.allclose(found, vectors[ids - 1], atol=1e-6)
