"""A photo whose file is missing is marked on pages, in JSON and in results, and is not exported unasked."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from publishing import NAMED, make_private
from running import faces, rows
from serving import Site, site

from datasette_faces.algorithms import vectors
from datasette_faces.app.cli.tables import FORMATS
from datasette_faces.search.query_photos import MatchOptions, PhotoQuery, find_matches
from datasette_faces.search.searcher import Searcher
from datasette_faces.store import gallery, models
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import reading, writing

SINCE = "2024-02-29T12:00:00+00:00"
BADGE = "file missing since 2024-02-29"


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of seven faces; the file of the first one is missing."""
    path = make_private(faces_db, tmp_path_factory.mktemp("missing") / "faces.db")
    lose(path, 1)
    return path


def lose(path: Path, *photo_ids: int, since: str = SINCE) -> None:
    """Mark photos as missing, as an ingest does."""
    with writing(str(path)) as conn, transaction(conn):
        for photo_id in photo_ids:
            conn.execute("update photos set missing_since = ? where id = ?", [since, photo_id])


@pytest.fixture(scope="module")
def served(private: Path) -> Iterator[Site]:
    with site(private) as it:
        yield it


def one_face(private: Path, photo_id: int) -> int:
    return int(rows(private, "select min(id) from faces where photo_id = ?", photo_id)[0][0])


def person_with(private: Path, photo_id: int) -> int:
    sql = "select person_id from faces where photo_id = ? and person_id is not null limit 1"
    return int(rows(private, sql, photo_id)[0][0])


@pytest.mark.parametrize("photo_id", [1, 2])
def test_each_page_marks_the_faces_of_missing_photos_alone(
    served: Site, private: Path, photo_id: int
) -> None:
    face, person = one_face(private, photo_id), person_with(private, photo_id)
    base = f"/{private.stem}/-/faces"
    marked = photo_id == 1
    of_photo = served.get(f"{base}/photo/{photo_id}").text
    assert ("missing since 2024-02-29" in of_photo) == marked
    of_face = served.get(f"{base}/face/{face}").text
    assert (BADGE in of_face.partition('id="nearest"')[0]) == marked
    shown = served.json(f"{base}/face/{face}.json")["face"]
    assert shown.get("missing_since") == (SINCE if marked else None)
    wanted = {"1": SINCE, "2": None}
    for path, field in (
        ("", "faces"),
        (f"/people/{person}", "faces"),
        (f"/face/{face}", "nearest"),
        ("/search", "results"),
    ):
        asked = f"?face={face}" if path == "/search" else ""
        found = served.json(f"{base}{path}.json{asked}")[field]
        assert found
        assert all(row.get("missing_since") == wanted[str(row["photo_id"])] for row in found)
        text = served.get(f"{base}{path}{asked}").text
        some = any(row["photo_id"] == 1 for row in found)
        assert (BADGE in text) == (some or (marked and path.startswith("/face")))


def test_results_of_the_command_line_say_so_in_each_format(private: Path) -> None:
    with reading(str(private)) as conn:
        model = models.every(conn)[0]
        _, vector = gallery.embedding(conn, 1) or ("", b"")
        query = PhotoQuery(model, (), vectors.decode(vector))
        found = find_matches(conn, Searcher(), query, MatchOptions(k=9))
    shown = {name: show(query, found) for name, show in FORMATS.items()}
    matches = json.loads(shown["json"])["matches"]
    assert {row.get("missing_since") for row in matches if row["photo_id"] == 1} == {SINCE}
    assert all("missing_since" not in row for row in matches if row["photo_id"] == 2)
    table = shown["table"].splitlines()
    assert sum(f"({BADGE})" in line for line in table) == sum(row.photo_id == 1 for row in found)
    for row in csv.DictReader(io.StringIO(shown["csv"])):
        assert row["missing_since"] == (SINCE if row["photo_id"] == "1" else "")


class TestExport:
    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        return tmp_path / "out.db"

    def export(self, private: Path, out: Path, *options: object) -> dict[str, Any]:
        result = faces("export", private, out, "--no-model-check", "--json", *options)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    def test_missing_photos_are_left_out_and_counted(self, private: Path, out: Path) -> None:
        named = rows(
            private,
            "select count(*) from faces join people on people.id = person_id "
            "where photo_id = 1 and name is not null and not hidden",
        )[0][0]
        made = self.export(private, out)
        assert made["left_out"]["missing"] == named > 0
        assert rows(out, "select count(*) from photos") == [(1,)]
        assert "missing" not in made["notes"]
        said = faces("export", private, out, "--replace", "--no-model-check").stdout
        assert "in photos whose files are missing (--missing)" in said

    def test_asked_for_they_are_there(self, private: Path, out: Path) -> None:
        made = self.export(private, out, "--missing")
        assert "missing" not in made["left_out"]
        assert made["notes"]["missing"] == "yes"
        assert rows(out, "select count(*) from photos") == [(2,)]
        assert faces("audit", out, "--against", private, "--no-model-check").exit_code == 0

    def test_a_catalogue_that_has_what_went_missing_since_is_no_leak(
        self, faces_db: Path, tmp_path: Path, out: Path
    ) -> None:
        path = make_private(faces_db, tmp_path / "faces.db")
        self.export(path, out)
        lose(path, 1, since="2999-01-01T00:00:00Z")
        assert faces("audit", out, "--against", path, "--no-model-check").exit_code == 0

    @pytest.mark.parametrize("options", [(), ("--people", NAMED), ("--unnamed",)])
    def test_where_all_are_missing_the_mend_is_said(
        self, private: Path, tmp_path: Path, out: Path, options: tuple[object, ...]
    ) -> None:
        path = Path(shutil.copy(private, tmp_path / "faces.db"))
        lose(path, 1, 2)
        result = faces("export", path, out, *options)
        assert result.exit_code == 1
        assert "are missing from their places; bring their files back" in result.stderr
        assert "--missing" in result.stderr
        assert not out.exists()
