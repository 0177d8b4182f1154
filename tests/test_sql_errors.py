"""Errors of SQL functions as a person at the SQL page, and a program, reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.database import Database
from datasette.plugins import pm
from serving import QUERY, Site, site

import datasette_faces
from datasette_faces.app.sql.errors import named
from datasette_faces.errors import FacesError

VECTOR = struct.pack("<4f", 0.25, -0.5, 0.75, 1.0)


@named("toy_knn")
def knn(vector: bytes | None, k: int) -> str:
    if k > 4096:
        raise FacesError(f"k is 1 to 4,096, not {k}")
    if isinstance(vector, str):
        return str(float(vector))
    if k < 0:
        return str(int(vector or 0))
    if k == 0:
        raise ValueError("<script>alert(1)</script> is no k")
    if k == 1:
        raise ZeroDivisionError("the toy broke")
    if k == 2:
        raise FacesError("long " * 1000)
    return "[]"


def strange(value: Any) -> Any:
    raise FacesError("nobody hears this")


class Toys:
    __name__ = "toys"  # Datasette asks every plugin for it

    @datasette_faces.hookimpl
    def prepare_connection(self, conn: Any, database: str, datasette: Any) -> None:
        conn.create_function("toy_knn", 2, knn)
        conn.create_function("strange", 1, strange)


@contextmanager
def toys() -> Iterator[None]:
    plugin = Toys()
    pm.register(plugin)
    try:
        yield
    finally:
        pm.unregister(plugin)


@pytest.fixture
def served(faces_db: Path) -> Iterator[Site]:
    with toys(), site(faces_db) as it:
        yield it


def address(sql: str, database: str = "faces", extension: str = "", **params: Any) -> str:
    return f"/{database}{QUERY}{extension}?{urlencode({'sql': sql, **params})}"


def error(served: Site, sql: str, **params: Any) -> str:
    answer = served.json(address(sql, extension=".json", **params), status=400)
    assert answer["ok"] is False
    return str(answer["error"])


def test_the_sql_page_and_its_json_name_the_function_and_the_reason(served: Site) -> None:
    sql = "select * from json_each(toy_knn(face_embedding(1), cast(:k as integer)))"
    page = served.get(address(sql, k=5000))
    assert page.status_code == (200 if QUERY else 400)  # as Datasette answers to wrong SQL
    assert "toy_knn(): k is 1 to 4,096, not 5000" in unescape(page.text)
    assert error(served, sql, k=5000) == "toy_knn(): k is 1 to 4,096, not 5000"
    assert served.json(address(sql, extension=".json", k=20))["rows"] == []


def test_the_first_query_of_all_is_told_too(faces_db: Path) -> None:
    with toys(), site(faces_db) as served:
        assert "k is 1 to 4,096" in error(served, "select toy_knn(null, 9999)")


def test_a_reason_is_text_and_never_html(served: Site) -> None:
    page = served.get(address("select toy_knn(null, 0)")).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is no k" in page
    assert "<script>alert(1)" not in page


def test_an_error_that_nobody_foresaw_is_told_by_its_kind_alone(served: Site) -> None:
    assert error(served, "select toy_knn(null, 1)") == (
        "toy_knn(): it cannot work with these arguments (ZeroDivisionError)"
    )
    assert len(error(served, "select toy_knn(null, 2)")) < 350


@pytest.mark.parametrize(
    ("sql", "harm"),
    [
        (f"select toy_knn(x'{VECTOR.hex()}', -1)", "invalid literal for int() with base 10"),
        (f"select toy_knn('{json.dumps([0.25] * 128)}', 5)", "could not convert string to float"),
    ],
)
def test_values_of_vectors_are_never_repeated(
    served: Site, capfd: pytest.CaptureFixture[str], sql: str, harm: str
) -> None:
    assert error(served, sql) == "toy_knn(): it cannot work with these arguments (ValueError)"
    assert harm not in served.get(address(sql)).text
    assert harm not in capfd.readouterr().err


def test_other_errors_stay_as_they_are(served: Site) -> None:
    error(served, "select toy_knn(null, 5000)")
    for sql, says in (
        ("select strange(1)", "user-defined function raised exception"),
        ("select unheard_of()", "no such function: unheard_of"),
        ("select * from nowhere", "no such table: nowhere"),
    ):
        # Threads that have told an error before do not tell it again
        for _ in range(6):
            assert error(served, sql) == says


def test_a_canned_query_tells_them_too(faces_db: Path) -> None:
    queries = {"one": {"sql": "select toy_knn(null, cast(:k as integer))"}}
    settings = {"databases": {"faces": {"queries": queries}}}
    options = {"config" if QUERY else "metadata": settings}
    with toys(), site(faces_db, **options) as served:
        answer = served.json("/faces/one.json?k=5000", status=400)
        assert answer["error"] == "toy_knn(): k is 1 to 4,096, not 5000"


def test_a_database_that_is_added_later_tells_them_too(served: Site) -> None:
    served.datasette.add_database(Database(served.datasette, memory_name="later"), name="later")
    served.get("/later")
    asked = address("select toy_knn(null, 5000)", "later", ".json")
    assert "k is 1 to 4,096" in served.json(asked, status=400)["error"]


def test_queries_without_threads_tell_them_too(faces_db: Path) -> None:
    with toys(), site(faces_db, settings={"num_sql_threads": 0}) as served:
        assert "k is 1 to 4,096" in error(served, "select toy_knn(null, 5000)")
        served.datasette.executor = ThreadPoolExecutor()  # to be shut down by `site`


def test_a_decorated_function_raises_what_is_told() -> None:
    with pytest.raises(FacesError, match=r"toy_knn\(\): k is 1 to 4,096"):
        knn(None, 5000)
    assert knn.__name__ == "knn"
