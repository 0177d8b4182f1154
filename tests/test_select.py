"""Select statements are put together from columns and clauses; no text of SQL is edited."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datasette_faces
from datasette_faces.store import gallery, people_pages
from datasette_faces.store.connection import connect_to_read
from datasette_faces.store.database import writing
from datasette_faces.store.gallery import GalleryFilters, lean, rows
from datasette_faces.store.select import Select

PACKAGE = Path(datasette_faces.__file__).parent
LIKE_SQL = ["sface order by", " order by x, faces.crop", "x' limit 1 --", ", thumbnail"]
"""Values that an edit of the text would have hit, or that would break out of a literal."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of three faces and two people; what names things looks like SQL."""
    database = tmp_path_factory.mktemp("select") / "filled.db"
    with writing(str(database)) as conn:
        conn.execute(
            "insert into photos(id, path, sha256, bytes, width, height, format, ingested_at, thumbnail) "
            "values (1, ' order by x, faces.crop', 'ab', 1, 100, 100, 'JPEG', '2020-01-01', x'00')"
        )
        conn.execute(
            "insert into people(id, key, name, hidden, faces) values "
            "(1, 'a', ' order by x, faces.crop', 0, 2), (2, 'b', 'Bob', 1, 1)"
        )
        conn.executemany(
            "insert into faces(id, photo_id, x, y, width, height, landmarks, detection_score, sharpness, "
            "yaw, pitch, roll, person_id, person_source, crop) "
            "values (?, 1, ?, 1, 50, 50, '[]', 0.9, ?, 0, 0, 0, ?, 'cluster', x'ff')",
            [(1, 30.0, 100, 1), (2, 20.0, 10, 1), (3, 10.0, 100, 2)],
        )
        conn.execute("update people set cover_face_id = 1 where id = 1")
    return database


@pytest.fixture
def conn(filled: Path) -> Iterator[Any]:
    with closing(connect_to_read(str(filled))) as connection:
        yield connection


def test_a_select_is_written_clause_by_clause() -> None:
    select = Select(
        ("a.id", "b.x as y"), "a join b using (id)", ("a.id = :id",), "y desc", ":limit"
    )
    assert select.filtered("y > 1").sql == (
        "select a.id, b.x as y\nfrom a join b using (id)\nwhere a.id = :id\n    and y > 1\n"
        "order by y desc\nlimit :limit"
    )
    assert select.without("y", "nothing").sql.startswith("select a.id\nfrom")
    assert Select(("1",), "a").nested == "(\n    select 1\n    from a\n)"


def test_hidden_people_are_left_out_of_a_photo_and_the_gallery(conn: Any) -> None:
    assert [row["face_id"] for row in rows(conn, gallery.photo_query(conn, 1))] == [2, 1]
    shown = rows(conn, gallery.photo_query(conn, 1, hidden=True))
    assert [row["face_id"] for row in shown] == [3, 2, 1]
    query = gallery.gallery_query(conn, GalleryFilters(min_size=10), after=3, limit=9)
    assert [row["face_id"] for row in rows(conn, query)] == [2, 1]


@pytest.mark.parametrize("value", LIKE_SQL)
def test_values_that_look_like_sql_are_values(conn: Any, value: str) -> None:
    query = gallery.gallery_query(conn, GalleryFilters(model=value), after=None, limit=9)
    assert value not in query.sql
    assert query.params["model"] == value
    assert rows(conn, query) == rows(conn, lean(query)) == []
    people = people_pages.people_query("all", name=value, after=None, limit=9)
    assert value not in people.sql
    found = people_pages.read_people(conn, people)
    assert [row["person_id"] for row in found] == ([1] if value == LIKE_SQL[1] else [])


def test_pages_read_no_pictures_and_their_sql_does(conn: Any) -> None:
    people = people_pages.people_query("all", name="", after=None, limit=9)
    queries = [
        gallery.gallery_query(conn, GalleryFilters(), after=None, limit=9),
        gallery.photo_query(conn, 1),
        people,
        people_pages.faces_query(1, after=None, limit=9),
    ]
    for query in queries:
        with_pictures, without = rows(conn, query), rows(conn, lean(query))
        assert all("crop" in row for row in with_pictures)
        assert [{**row, "crop": None} for row in without] == [
            {**row, "crop": None} for row in with_pictures
        ]
        assert not any("crop" in row for row in without)
    assert "join" not in lean(people).sql


def test_a_page_begins_after_the_last_face_of_the_one_before(conn: Any) -> None:
    first = rows(conn, people_pages.faces_query(1, after=None, limit=1))
    assert [(row["face_id"], row["doubtful"]) for row in first] == [(1, 0)]
    second = rows(conn, people_pages.faces_query(1, after=1, limit=1))
    assert [(row["face_id"], row["doubtful"]) for row in second] == [(2, 1)]


def replaced_literals(path: Path) -> list[str]:
    """The literals that a module's calls of `replace` and `sub` look for."""
    return [
        str(node.args[0].value)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("replace", "sub")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


def test_no_sql_is_edited_as_text() -> None:
    sql = re.compile(r"\s*(order by|where|limit|(left )?join)\b|, \w", re.IGNORECASE)
    edited = {
        path.name: [literal for literal in replaced_literals(path) if sql.match(literal)]
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: literals for name, literals in edited.items() if literals} == {}
