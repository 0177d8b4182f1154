"""A search is prepared as a value: what it is by, its SQL, and nothing kept by the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasette_faces.app.sql import functions
from datasette_faces.errors import SearchError, UnknownFace
from datasette_faces.search import prepared_search
from datasette_faces.search.prepared_search import PreparedSearch, SearchRequest, prepare_search
from datasette_faces.search.searcher import fuse
from datasette_faces.search.upload_cache import DatabaseUploads, UploadCache
from datasette_faces.store import embeddings, gallery
from datasette_faces.store.database import reading


@pytest.fixture
def uploads() -> DatabaseUploads:
    return DatabaseUploads(UploadCache(), "faces")


@pytest.fixture
def conn(faces_db: Path, uploads: DatabaseUploads) -> Iterator[Any]:
    with reading(str(faces_db)) as connection:
        functions.register(connection, functions.SharedState(query_vector=uploads.vector))
        yield connection


def prepared(conn: Any, uploads: DatabaseUploads, **request: Any) -> PreparedSearch:
    search = prepare_search(conn, SearchRequest(**request), uploads)
    assert search
    return search


def test_preparing_a_search_by_several_faces_keeps_nothing(
    conn: Any, uploads: DatabaseUploads
) -> None:
    search = prepared(conn, uploads, faces=("1", "2"))
    assert uploads.store.size_bytes == 0
    assert uploads.vector(str(search.fused_key)) is None
    assert uploads.keep_fused(search.model.id, search.embedding) == search.fused_key
    _, both = embeddings.of_faces(conn, "sface", [1, 2])
    found = uploads.vector(str(search.fused_key))
    assert found
    assert found[0] == "sface"
    np.testing.assert_allclose(found[1], fuse(both), atol=1e-6)


def test_the_sql_of_a_search_by_several_faces_runs_once_its_vector_is_kept(
    conn: Any, uploads: DatabaseUploads
) -> None:
    search = prepared(conn, uploads, faces=("1", "2"), k=3)
    uploads.keep_fused(search.model.id, search.embedding)
    rows = gallery.rows(conn, search.query())
    assert len(rows) == 3
    assert not {row["face_id"] for row in rows} & {1, 2}


def test_the_sql_of_a_search_by_one_face_names_it(conn: Any, uploads: DatabaseUploads) -> None:
    search = prepared(conn, uploads, faces=("1",))
    assert search.fused_key is None
    assert search.query().params == {"model": "sface", "face": 1, "k": 48}
    assert 1 not in {row["face_id"] for row in gallery.rows(conn, search.query())}


def test_a_request_that_names_no_face_gives_no_search(conn: Any, uploads: DatabaseUploads) -> None:
    assert prepare_search(conn, SearchRequest(), uploads) is None


@pytest.mark.parametrize(
    "request_", [SearchRequest(faces=("999",)), SearchRequest(keys=("A" * 16,))], ids=["id", "key"]
)
def test_what_is_not_there_is_said_and_left_out(
    conn: Any, uploads: DatabaseUploads, request_: SearchRequest
) -> None:
    with pytest.raises(UnknownFace):
        prepare_search(conn, request_, uploads)
    assert prepared_search.without_missing(conn, request_, uploads) == SearchRequest()


def test_faces_of_a_model_that_the_file_does_not_hold_are_refused(
    conn: Any, uploads: DatabaseUploads
) -> None:
    key = uploads.keep_fused("other", np.ones(128, np.float32))
    with pytest.raises(SearchError, match="by the model other; it cannot be compared"):
        prepare_search(conn, SearchRequest(faces=("1",), keys=(key,), model="sface"), uploads)
