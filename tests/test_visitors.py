"""What visitors of a published catalogue are shown, and what only its owner needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import make_private
from running import rows
from serving import Site, copied, site

from datasette_faces.catalogue import Wanted, export

BASE = "/catalogue/-/faces"
EMPTY = {"face_embeddings", "models"}
"""What a catalogue without embeddings has for nothing."""


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven faces: two people with a name, one who is hidden, and three faces of nobody."""
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


def published(private: Path, folder: Path, **wanted: object) -> Path:
    out = folder / "catalogue.db"
    export(str(private), str(out), Wanted(**wanted))  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def plain_db(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(private, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def searched_db(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(private, tmp_path_factory.mktemp("searched"), embeddings=True)


@pytest.fixture(scope="module")
def plain(plain_db: Path) -> Iterator[Site]:
    """A catalogue without embeddings, as it is published."""
    with site(immutables=[str(plain_db)]) as served:
        yield served


@pytest.fixture(scope="module")
def searched(searched_db: Path) -> Iterator[Site]:
    """A catalogue with embeddings, as it is published."""
    with site(immutables=[str(searched_db)]) as served:
        yield served


def one(database: Path, table: str) -> int:
    """The id of a row."""
    return int(rows(database, f"select max(id) from {table}")[0][0])


class TestWithoutASearch:
    def test_nothing_leads_to_one(self, plain: Site, plain_db: Path) -> None:
        face, photo, person = (one(plain_db, table) for table in ("faces", "photos", "people"))
        inner = ("", "/people", f"/people/{person}", f"/photo/{photo}", f"/face/{face}", "/search")
        for path in ("/", "/catalogue", "/catalogue/faces", *(BASE + it for it in inner)):
            text = plain.get(path).text
            assert "/-/faces/search" not in text, path
            assert "nearest" not in text, path
            # Datasette 1.0 tells the columns of every table to those who write SQL
            assert "embedding" not in re.sub(r"<script.*?</script>", "", text, flags=re.S), path

    def test_its_page_says_so_and_takes_no_picture(self, plain: Site) -> None:
        page = plain.get(f"{BASE}/search")
        assert page.status_code == 200
        assert "published without a search" in page.text
        assert "<input" not in page.text
        told = plain.json(f"{BASE}/search.json?face=1", status=404)
        assert told["error"] == "This catalogue was published without a search"
        assert plain.post(f"{BASE}/search", b"x", "image/jpeg").status_code == 404

    def test_there_is_no_calibration(self, plain: Site) -> None:
        page = plain.get(f"{BASE}/calibration")
        assert page.status_code == 404
        assert "published without a search" in page.text

    def test_the_queries_that_compare_and_the_empty_tables_are_not_listed(
        self, plain: Site, searched: Site
    ) -> None:
        compare = {"faces_like_face", "faces_like_query", "near_duplicates"}
        for served, expected in ((plain, set[str]()), (searched, compare)):
            told = served.json("/catalogue.json")
            queries = {it["name"] for it in told["queries"]}
            assert queries & compare == expected
            assert "people_together" in queries
            hidden = {it["name"] for it in told["tables"] if it["hidden"]}
            assert {"face_embeddings", "models"} & hidden == (set() if expected else EMPTY)

    def test_a_private_file_without_embeddings_may_still_get_them(
        self, private: Path, tmp_path: Path
    ) -> None:
        empty = copied(private, tmp_path / "empty.db", "delete from face_embeddings")
        with site(empty) as served:
            assert "/-/faces/search" in served.get("/empty/-/faces").text
            assert re.search(r"<input type=.file", served.get("/empty/-/faces/search").text)
