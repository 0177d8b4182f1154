"""Older files, catalogues and copies lack tables: each place reads the schema, and does without."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datasette_faces
from datasette_faces.errors import SearchError
from datasette_faces.library.health import checks
from datasette_faces.library.publish import selection
from datasette_faces.search import searcher
from datasette_faces.store import (
    calibrations,
    catalogue,
    gallery,
    history,
    people_pages,
    photo_names,
    review_queue,
    summary,
)
from datasette_faces.store.connection import (
    connect_to_read,
    connect_to_write,
    load_vector_extension,
)
from datasette_faces.store.database import writing
from datasette_faces.store.schema import has_tables, read_schema

PACKAGE = Path(datasette_faces.__file__).parent


@pytest.fixture(scope="module")
def empty_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of today's schema, without a row."""
    database = tmp_path_factory.mktemp("schema") / "empty.db"
    with writing(str(database)):
        return database


def without(database: Path, to: Path, table: str) -> Path:
    """A copy of a file, as if it had been made before there was a table."""
    shutil.copy(database, to)
    with closing(connect_to_write(str(to))) as conn:
        load_vector_extension(conn)
        conn.execute("pragma foreign_keys = off")
        conn.execute("pragma legacy_alter_table = on")
        conn.execute(f"drop table {table}")
    return to


READERS: tuple[tuple[str, str, Callable[[Any], Any], Any], ...] = (
    ("the gallery", "models", gallery.is_faces_database, False),
    ("hidden people", "people", gallery.anyone_hidden, False),
    ("a photo's paths", "photo_paths", lambda conn: gallery.photo_paths(conn, 1), []),
    ("the wall", "people", people_pages.has_people, False),
    ("the wall", "decisions", people_pages.has_people, False),
    ("merged people", "decisions", lambda conn: people_pages.merged_into(conn, "x"), None),
    ("the history", "decisions", history.last, 0),
    ("proposals", "name_proposals", lambda conn: photo_names.proposal_of_person(conn, 1), None),
    (
        "a calibration",
        "calibrations",
        lambda conn: calibrations.read_calibration(conn, "toy"),
        None,
    ),
    ("a curve", "calibrations", lambda conn: calibrations.read_curve(conn, "toy"), None),
    ("indexes", "face_indexes", summary.indexed, []),
    ("the review queue", "likely_pairs", lambda conn: review_queue.queue(conn, limit=9), []),
    ("the review queue", "decisions", lambda conn: review_queue.queue(conn, limit=9), []),
    ("the export's key", "face_keys", selection.read_secret, None),
)


@pytest.mark.parametrize(
    ("table", "read", "result"),
    [pytest.param(*row, id=f"{what} without {row[0]}") for what, *row in READERS],
)
def test_what_an_older_file_lacks_is_not_there(
    empty_db: Path, tmp_path: Path, table: str, read: Callable[[Any], Any], result: Any
) -> None:
    older = without(empty_db, tmp_path / "older.db", table)
    with closing(connect_to_read(str(older))) as conn:
        assert read(conn) == result


def test_a_search_in_a_file_without_models_says_that_it_holds_no_faces(
    empty_db: Path, tmp_path: Path
) -> None:
    older = without(empty_db, tmp_path / "older.db", "models")
    with (
        closing(connect_to_read(str(older))) as conn,
        pytest.raises(SearchError, match="holds no faces"),
    ):
        searcher.model_of(conn, None)


@pytest.mark.parametrize("table", ["people", "likely_pairs", "photo_paths"])
def test_the_doctor_reports_missing_tables_once(empty_db: Path, tmp_path: Path, table: str) -> None:
    older = without(empty_db, tmp_path / "older.db", table)
    with closing(connect_to_read(str(older))) as conn:
        load_vector_extension(conn)
        findings = checks.examine(conn)
    assert [finding.check for finding in findings] == ["schema"]


def test_a_schema_says_which_columns_there_are(empty_db: Path) -> None:
    with closing(connect_to_read(str(empty_db))) as conn:
        schema = read_schema(conn, "people", "photos", "nothing")
        assert not catalogue.is_catalogue(conn)
        assert has_tables(conn, "people", "photos")
        assert not has_tables(conn, "people", "nothing")
    assert schema.has("people", "photos")
    assert schema.has_columns("people", "id", "name")
    assert not schema.has_columns("people", "id", "nothing")
    assert schema.columns("nothing") == ()


def test_nothing_else_asks_whether_a_table_is_there() -> None:
    asked = re.compile(
        r"no such table|pragma table_info|pragma_table_info|select 1 from sqlite_master"
    )
    # The audit calls nothing that it checks; a vec0 table is one by its SQL
    own = {"store/schema.py", "store/vec_tables.py"}
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if asked.search(path.read_text()) and "audit" not in path.parts
    }
    assert found <= own
