"""`index`: the indexes can be removed and made again, and every answer stays what it was."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running import beside, faces, ingest, rows
from toy_model import RED, draw

import datasette_faces
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.store.connection import load_vector_extension, sqlite

pytestmark = pytest.mark.slow

TABLE = "vec_faces_toy"


@pytest.fixture
def database(toy, photos, tmp_path) -> Path:
    """30 faces of random colours."""
    choose = random.Random(3)
    for number in range(30):
        draw(photos / f"{number:02}.png", tuple(choose.randint(0, 254) for _ in range(3)))
    database = tmp_path / "x.db"
    ingest(database, photos)
    return database


@pytest.fixture
def small_pq():
    """An index of kind `pq` that does not wait for millions of faces."""
    from datasette.plugins import pm

    class Plugin:
        @datasette_faces.hookimpl
        def register_face_indexes(self, register):
            register(Pq(least_values=1, least_faces=16))

    plugin = Plugin()
    pm.register(plugin)
    yield
    pm.unregister(plugin)


def index(database: Path, *options: str) -> dict[str, Any]:
    """What `index --json` prints."""
    result = faces("index", database, *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert beside(database) == []
    return dict(json.loads(result.stdout))


def listed(database: Path) -> list[str]:
    return list(json.loads(faces("status", database, "--json").stdout)["indexes"])


def answer(database: Path, tmp_path: Path) -> Any:
    query = draw(tmp_path / "query.png", RED)
    return json.loads(faces("search", database, query, "--format", "json").stdout)["matches"]


def test_what_was_made_is_said_by_name_kind_model_and_faces(database):
    done = index(database)
    assert done.pop("seconds") >= 0
    (made,) = done.pop("indexes")
    assert made.pop("built_at").endswith("Z")
    assert made == {"name": TABLE, "kind": "sqlite-vec", "model": "toy", "faces": 30}
    assert done == {"removed": []}


def test_what_was_made_is_said_in_words(database):
    result = faces("index", database)
    assert result.stderr == "Indexing 30 embeddings…\n"
    assert result.stdout.startswith(f"{TABLE}: 30 faces\n(")


def test_a_file_without_indexes_gives_the_same_answers(database, tmp_path):
    wanted = answer(database, tmp_path)
    assert index(database, "--drop")["removed"] == [TABLE]
    assert listed(database) == []
    assert rows(database, "select name from sqlite_master where name like 'vec_faces%'") == []
    assert answer(database, tmp_path) == wanted
    assert [item["name"] for item in index(database)["indexes"]] == [TABLE]
    assert listed(database) == [TABLE]
    assert answer(database, tmp_path) == wanted


def test_removed_indexes_are_said_to_be_dispensable(database):
    out = faces("index", database, "--drop").stdout
    assert out.startswith(f"{TABLE}: removed\nSearches work without indexes: ")
    assert f"They come back with: datasette faces index {database}" in out
    assert faces("index", database, "--drop").stdout.startswith("There are no indexes.\n")


def test_the_next_ingest_brings_a_removed_index_back(database, photos):
    index(database, "--drop")
    ingest(database, draw(photos / "new.png", RED))
    assert rows(database, f"select count(*) from {TABLE}") == [(31,)]


def test_a_damaged_index_is_made_anew(database, tmp_path):
    wanted = answer(database, tmp_path)
    with closing(sqlite().connect(database)) as conn, conn:
        load_vector_extension(conn)
        conn.execute(f"delete from {TABLE} where face_id < 20")
    index(database)
    assert rows(database, f"select count(*) from {TABLE}") == [(30,)]
    assert answer(database, tmp_path) == wanted


def test_a_fast_index_that_is_kept_is_listed_by_kind_and_model(small_pq, database, tmp_path):
    wanted = answer(database, tmp_path)
    made = index(database)["indexes"]
    assert [(item["name"], item["faces"]) for item in made] == [("pq toy", 30), (TABLE, 30)]
    assert listed(database) == [TABLE, "pq toy"]
    assert answer(database, tmp_path) == wanted
    assert index(database, "--drop")["removed"] == [TABLE, "pq toy"]
    assert rows(database, "select count(*) from face_index_parts") == [(0,)]


def test_a_database_that_is_none_is_not_made(tmp_path, photos):
    for options in ([], ["--drop"]):
        result = faces("index", tmp_path / "no.db", *options)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: There is no file ")
        assert result.stderr.count("\n") == 1
        assert not (tmp_path / "no.db").exists()
    other = draw(photos / "a.png", RED)
    assert "is not an SQLite database" in faces("index", other).stderr
