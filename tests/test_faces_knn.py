"""faces_knn() as it is written in SQL: what it gives, what it refuses and why, and when it stops."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from datasette.utils import sqlite_timelimit
from galleries import (
    KINDS,
    add_faces,
    assert_exact,
    blob,
    make_gallery,
    model_info,
    opened,
    random_vectors,
    stored,
)
from serving import QUERY, Site, site

from datasette_faces.app.sql import functions
from datasette_faces.shapes import Match
from datasette_faces.store import models
from datasette_faces.store.connection import sqlite
from datasette_faces.store.database import writing

DIMENSIONS = 16


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 faces by the model toy, of which other and third, of another length, have seen 20."""
    path = tmp_path_factory.mktemp("knn") / "knn.db"
    make_gallery(path, random_vectors(300, DIMENSIONS), *KINDS["sqlite-vec"])
    with writing(str(path)) as conn:
        for model, dimensions in (("other", DIMENSIONS), ("third", 8)):
            models.register(conn, model_info(dimensions, model))
            sql = "insert into face_embeddings values (?, ?, ?)"
            for face, vector in enumerate(random_vectors(20, dimensions, seed=3), 1):
                conn.execute(sql, [face, model, blob(vector)])
        conn.execute("update people set hidden = 1 where id = 5")
    return path


@pytest.fixture(scope="module")
def served(gallery: Path) -> Iterator[Site]:
    with site(gallery) as it:
        yield it


@pytest.fixture
def conn(gallery: Path) -> Iterator[Any]:
    """A connection to the database as Datasette prepares its own."""
    with closing(sqlite().connect(str(gallery))) as it:
        functions.prepare(it, str(gallery))
        yield it


def matches(text: str) -> list[Match]:
    return [Match(item["face_id"], item["similarity"]) for item in json.loads(text)]


def error(served: Site, sql: str, **params: Any) -> str:
    """What the SQL page's JSON says of a query, after a check that it says 400."""
    address = f"/knn{QUERY}.json?{urlencode({'sql': sql, **params})}"
    answer = served.json(address, status=400)
    assert answer["ok"] is False
    return str(answer["error"])


class TestGives:
    @pytest.mark.parametrize("k", [1, 20, 299, 300, 301, 4096])
    def test_the_nearest_faces_as_json(self, conn: Any, k: int) -> None:
        query = random_vectors(1, DIMENSIONS, seed=8)[0]
        found = conn.execute("select faces_knn(?, ?, 'toy')", [blob(query), k]).fetchone()[0]
        assert_exact(matches(found), stored(conn, "person_id != 5"), query, k)

    @pytest.mark.parametrize("k", ["20", 20.0, " 20 "])
    def test_as_many_for_a_number_that_is_text(self, conn: Any, k: Any) -> None:
        sql = "select json_array_length(faces_knn(face_embedding(1), ?))"
        assert conn.execute(sql, [k]).fetchone() == (20,)

    @pytest.mark.parametrize(
        "call",
        [
            "faces_knn(null, 5)",
            "faces_knn(null, 'x')",
            "faces_knn(face_embedding(999), 5, 'toy', '{}')",
        ],
    )
    def test_null_for_no_vector(self, conn: Any, call: str) -> None:
        assert conn.execute(f"select {call}").fetchone() == (None,)

    @pytest.mark.parametrize(
        ("call", "model"),
        [
            ("face_embedding(1), 5", "toy"),
            ("face_embedding(1, 'toy'), 5, null", "toy"),
            ("face_embedding(1, 'toy'), 5, ''", "toy"),
            ("face_embedding(1, 'other'), 5", "other"),
            ("face_embedding(1, 'other'), 5, 'other'", "other"),
            ("face_embedding(1, 'third'), 5", "third"),
            ("face_embedding(1, 'third'), 5, 'third', null", "third"),
        ],
    )
    def test_the_faces_of_the_model_that_made_the_vector(
        self, conn: Any, call: str, model: str
    ) -> None:
        found = matches(conn.execute(f"select faces_knn({call})").fetchone()[0])
        among = stored(conn, "person_id != 5", model=model)
        assert_exact(found, among, among[1], 5)
        assert found[0] == Match(1, 1.0)

    @pytest.mark.parametrize(
        ("options", "where"),
        [
            ({}, "person_id != 5"),
            ({"person_id": 3}, "person_id = 3"),
            ({"person_id": 5}, "0"),
            ({"person_id": 5, "hidden": True}, "person_id = 5"),
            ({"hidden": True}, "1"),
            ({"taken_to": "2001-01"}, "person_id != 5 and id <= 31"),
            ({"folder": "/photos/20%"}, "person_id != 5 and id % 6 = 2"),
        ],
    )
    def test_those_that_options_let_through(
        self, conn: Any, options: dict[str, Any], where: str
    ) -> None:
        query, sql = random_vectors(1, DIMENSIONS, seed=8)[0], "select faces_knn(?, 40, 'toy', ?)"
        found = conn.execute(sql, [blob(query), json.dumps(options)]).fetchone()[0]
        assert_exact(matches(found), stored(conn, where), query, 40)

    @pytest.mark.parametrize("hidden", [2, -1])
    def test_nobody_hidden_whatever_number_says_so(
        self, gallery: Path, tmp_path: Path, hidden: int
    ) -> None:
        copy = Path(shutil.copy(gallery, tmp_path / "copy.db"))
        with closing(sqlite().connect(str(copy), isolation_level=None)) as conn:
            functions.prepare(conn, str(copy))
            conn.execute("update people set hidden = ? where hidden", [hidden])
            query, sql = random_vectors(1, DIMENSIONS, seed=8)[0], "select faces_knn(?, 40, 'toy')"
            found = conn.execute(sql, [blob(query)]).fetchone()[0]
            assert_exact(matches(found), stored(conn, "person_id != 5"), query, 40)

    def test_those_from_a_threshold_on(self, conn: Any) -> None:
        query, sql = random_vectors(1, DIMENSIONS, seed=8)[0], "select faces_knn(?, 4096, 'toy', ?)"
        found = conn.execute(sql, [blob(query), '{"threshold": 0.3}']).fetchone()[0]
        assert 5 < len(matches(found)) < 100
        assert_exact(matches(found), stored(conn, "person_id != 5"), query, 4096, 0.3)

    def test_faces_to_join_with(self, served: Site) -> None:
        sql = """
            select faces.id, json_extract(knn.value, '$.similarity') as similarity
            from json_each(faces_knn(face_embedding(:face), :k)) as knn
            join faces on faces.id = json_extract(knn.value, '$.face_id')
        """
        rows = served.sql("knn", sql, face=7, k=4)
        assert rows[0] == {"id": 7, "similarity": 1.0}
        assert len(rows) == 4

    def test_the_same_for_equal_vectors_of_two_models(self, tmp_path: Path) -> None:
        """Whichever of them was asked for last."""
        path = make_gallery(tmp_path / "twins.db", random_vectors(30, 8))
        with writing(str(path)) as conn:
            models.register(conn, model_info(8, "twin"))
            conn.execute("insert into face_embeddings select face_id, 'twin', embedding "
                         "from face_embeddings")  # fmt: skip
        with closing(sqlite().connect(str(path))) as conn:
            functions.prepare(conn, str(path))
            for model in ("toy", "twin", "toy"):
                sql = "select json_array_length(faces_knn(face_embedding(1, ?1), 5, ?1))"
                assert conn.execute(sql, [model]).fetchone() == (5,)
            sql = "select face_similarity(face_embedding(1, 'toy'), face_embedding(1, 'twin'))"
            assert conn.execute(sql).fetchone()[0] == pytest.approx(1)


VECTOR = "face_embedding(1)"
OK = "x'" + struct.pack(f"<{DIMENSIONS}f", *[1] * DIMENSIONS).hex() + "'"
NAN = "x'" + struct.pack(f"<{DIMENSIONS}f", np.nan, *[1] * (DIMENSIONS - 1)).hex() + "'"
K = "k is a whole number, 1 to 4,096, not "
OPTION = f"{VECTOR}, 5, 'toy', "


class TestRefuses:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (f"{VECTOR}, 0", "k is 1 to 4,096, not 0"),
            (f"{VECTOR}, -1", "k is 1 to 4,096, not -1"),
            (f"{VECTOR}, 5000", "k is 1 to 4,096, not 5,000"),
            (f"{VECTOR}, 9223372036854775807", "k is "),
            (f"{VECTOR}, 'x'", f"{K}'x'"),
            (f"{VECTOR}, 2.5", f"{K}2.5"),
            (f"{VECTOR}, '2.5'", f"{K}'2.5'"),
            (f"{VECTOR}, null", f"{K}None"),
            (f"{VECTOR}, ''", f"{K}''"),
            (f"{VECTOR}, x'35'", f"{K}a blob"),
            (f"{VECTOR}, 9e999", K),
            ("zeroblob(8), 5", "the vector has 2 values, those of toy have 16"),
            ("zeroblob(63), 5", "a multiple of 4 bytes"),
            ("x'', 5", "a multiple of 4 bytes"),
            ("zeroblob(64), 5, 'toy'", "the vector is all zeros"),
            ("zeroblob(64), 5", "name the model: toy, other"),
            (f"{NAN}, 5", "NaN"),
            ("'text', 5", "a vector is a blob of float32 values, not text"),
            ("'[1, 0, 0]', 5", "a vector is a blob of float32 values, not text"),
            ("7, 5", "a vector is a blob of float32 values, not a number"),
            (f"{OK}, 5, 'nobody'", "no faces by the model 'nobody'; it holds: toy, other, third"),
            (f"{OK}, 5, 'third'", "the vector has 16 values, those of third have 8"),
            (
                "face_embedding(1, 'other'), 5, 'toy'",
                "this vector is by other; it cannot be compared",
            ),
            (
                "face_embedding(2, 'toy'), 5, 'other'",
                "this vector is by toy; it cannot be compared",
            ),
            (f"{OPTION}'no json'", "the options are a JSON object"),
            (f"{OPTION}'[1]'", "the options are a JSON object"),
            (f"{OPTION}5", "the options are a JSON object"),
            (f"{OPTION}x'ff'", "the options are a JSON object"),
            (f"{OPTION}'{'[' * 9000}'", "the options are a JSON object"),
            (f"{OPTION}'{{\"treshold\": 1}}'", "unknown option 'treshold'; known: folder"),
            (f'{OPTION}\'{{"threshold": "x"}}\'', 'the options make no sense: {"threshold": "x"}'),
            (f"{OPTION}'{{\"threshold\": NaN}}'", "the options make no sense"),
            (f"{OPTION}'{{\"taken_from\": 2019}}'", "the options make no sense"),
            (f"{OPTION}'{{\"folder\": []}}'", "the options make no sense"),
            (f"{OPTION}'{{\"person_id\": {10**40}}}'", "the options make no sense"),
            (f'{OPTION}\'{{"hidden": "so so"}}\'', "the options make no sense"),
        ],
    )
    def test_what_makes_no_sense_and_says_why(
        self, served: Site, arguments: str, reason: str
    ) -> None:
        told = error(served, f"select faces_knn({arguments})")
        assert told.startswith("faces_knn(): ")
        assert reason in told

    def test_vectors_of_two_models_in_face_similarity(self, served: Site) -> None:
        told = error(
            served, "select face_similarity(face_embedding(1), face_embedding(1, 'other'))"
        )
        assert told.startswith("face_similarity(): this vector is by other")

    def test_a_raw_vector_is_of_the_only_model_of_its_length(self, conn: Any) -> None:
        sql = (
            "select faces_knn(embedding, 1) from face_embeddings where model_id = ? and face_id = 3"
        )
        found = conn.execute(sql, ["third"]).fetchone()[0]
        assert matches(found) == [Match(3, 1.0)]

    def test_a_database_without_faces(self, tmp_path: Path) -> None:
        empty = tmp_path / "knn.db"
        with opened(empty) as conn:
            conn.execute("create table t (a)")
        with site(empty) as served:
            told = error(served, f"select faces_knn({OK}, 5)")
            assert told == "faces_knn(): this database holds no faces"

    def test_numbers_that_come_as_parameters_are_read(self, served: Site) -> None:
        sql = f"select json_array_length(faces_knn({VECTOR}, :k)) as n"
        assert served.sql("knn", sql, k="12") == [{"n": 12}]
        assert "not 'x'" in error(served, sql, k="x")


class TestTime:
    ENDLESS = """
        with recursive n(i) as (select 1 union all select i + 1 from n)
        select sum(length(faces_knn(face_embedding(1 + i % 200), 5))) from n
    """

    def test_a_limit_that_falls_into_it_stops_the_query(self, conn: Any) -> None:
        for _ in range(5):
            with (
                pytest.raises(sqlite().OperationalError, match="interrupted"),
                sqlite_timelimit(conn, 60),
            ):
                conn.execute(self.ENDLESS).fetchone()
            found = conn.execute("select faces_knn(face_embedding(1), 5)").fetchone()[0]
            assert matches(found)[0] == Match(1, 1.0)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["sqlite-vec", "no index"])
    def test_a_limit_ends_a_single_long_search(self, tmp_path: Path, kind: str) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(20_000, 64), *KINDS[kind])
        with closing(sqlite().connect(str(path))) as conn:
            functions.prepare(conn, str(path))
            query = blob(random_vectors(1, 64, seed=2)[0])
            many = "select faces_knn(?, 4096 - value) from json_each('[0,1,2,3,4]')"
            for milliseconds in (1, 2, 5):
                with (
                    pytest.raises(sqlite().OperationalError, match="interrupted"),
                    sqlite_timelimit(conn, milliseconds),
                ):
                    conn.execute(many, [query]).fetchall()
            sql = "select json_array_length(faces_knn(?, 4096))"
            assert conn.execute(sql, [query]).fetchone() == (4096,)

    def test_datasette_says_that_such_a_query_was_interrupted(self, gallery: Path) -> None:
        with site(gallery, settings={"sql_time_limit_ms": 50}) as served:
            told = error(served, self.ENDLESS)
            assert "interrupted" in told.lower() or "time limit" in told.lower()

    def test_one_statement_sees_one_moment(self, tmp_path: Path) -> None:
        """Though the function asks with statements of its own, and somebody writes meanwhile."""
        path = make_gallery(tmp_path / "g.db", random_vectors(50, 8), *KINDS["sqlite-vec"])
        with (
            writing(str(path)),
            opened(path) as other,
            closing(sqlite().connect(str(path))) as conn,
        ):
            functions.prepare(conn, str(path))
            sql = "select json_array_length(faces_knn(?, 4000 + value)) from json_each('[1,2,3]')"
            cursor = conn.execute(f"{sql}, faces limit 120", [blob([1] * 8)])
            counts = [cursor.fetchone()[0]]
            add_faces(other, range(1001, 1011), random_vectors(10, 8, seed=4))
            counts += [row[0] for row in cursor]
            assert set(counts) == {50}
            assert conn.execute(sql, [blob([1] * 8)]).fetchone() == (60,)
