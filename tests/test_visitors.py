"""What visitors of a published catalogue are shown, and what only its owner needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from publishing import DAY, NAMED, OTHER, make_private
from running import rows
from serving import Site, copied, site
from test_browser import NARROW, WIDE, opened, show

from datasette_faces.app.web.people_of_faces import photo_title
from datasette_faces.library.export import export
from datasette_faces.library.publish.options import ExportOptions

pytestmark = pytest.mark.slow

BASE = "/catalogue/-/faces"
EMPTY = {"face_embeddings", "models"}
"""What a catalogue without embeddings has for nothing."""


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven faces: two people with a name, one who is hidden, and three faces of nobody."""
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


def published(private: Path, folder: Path, **wanted: object) -> Path:
    out = folder / "catalogue.db"
    export(str(private), str(out), ExportOptions(**wanted))  # type: ignore[arg-type]
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


class TestNames:
    def test_results_of_a_search_say_who_it_is(self, searched: Site, searched_db: Path) -> None:
        face = one(searched_db, "faces")
        [(mine, other)] = rows(
            searched_db,
            "select a.id, b.id from people as a join people as b on a.name = ? and b.name = ?",
            NAMED,
            OTHER,
        )
        answer = searched.json(f"{BASE}/search.json?face={face}")
        found = {(it["person_id"], it["name"]) for it in answer["results"]}
        assert found == {(mine, NAMED), (other, OTHER)}
        text = searched.get(f"{BASE}/search?face={face}").text
        for person, name in found:
            assert f'href="{BASE}/people/{person}"><bdi>{name}</bdi></a>' in text
        table = searched.get(f"{BASE}/search.csv?face={face}").text.splitlines()
        assert table[0].split(",")[3:5] == ["person_id", "name"]
        assert f",{other},{OTHER}," in table[1] + table[2]

    def test_who_may_not_see_people_learns_no_names(self, searched_db: Path) -> None:
        told = {"databases": {"catalogue": {"tables": {"people": {"allow": False}}}}}
        face, photo = one(searched_db, "faces"), one(searched_db, "photos")
        with site(immutables=[str(searched_db)], metadata=told) as served:
            answer = served.json(f"{BASE}/search.json?face={face}")
            assert {(it["person_id"], it["name"]) for it in answer["results"]} == {(None, None)}
            for path in ("", f"/photo/{photo}", f"/face/{face}", f"/search?face={face}"):
                text = served.get(BASE + path).text
                assert NAMED not in text
                assert OTHER not in text

    def test_a_private_file_names_who_is_found_and_still_says_where_photos_lie(
        self, private: Path
    ) -> None:
        with site(private) as served:
            for path in ("", "/face/1", "/search?face=1"):
                text = served.get(f"/private/-/faces{path}").text
                assert f"<bdi>{NAMED}</bdi></a>" in text
                assert "t1.jpg" in text
            assert "Detection score" in served.get("/private/-/faces/face/1").text
            assert "Row 1 of photos" in served.get("/private/-/faces/photo/1").text

    def test_no_page_shows_a_made_up_name(self, searched: Site, searched_db: Path) -> None:
        made_up = [row[0] for row in rows(searched_db, "select path from photos")]
        people = [row[0] for row in rows(searched_db, "select id from people")]
        pages = ["", f"/search?face={one(searched_db, 'faces')}"]
        for kind, table in (("photo", "photos"), ("face", "faces")):
            pages += [f"/{kind}/{row[0]}" for row in rows(searched_db, f"select id from {table}")]
        for path in (*pages, *(f"/people/{it}" for it in people)):
            text = searched.get(BASE + path).text
            assert not [name for name in made_up if name in text], path
            for word in ("Row", "Detection score", "Sharpness<"):
                assert f">{word}" not in text, path

    def test_a_photo_is_called_after_its_day_and_who_is_in_it(
        self, searched: Site, searched_db: Path
    ) -> None:
        [(dated,)] = rows(searched_db, "select id from photos where taken_at is not null")
        assert title(searched.get(f"{BASE}/photo/{dated}").text) == f"{DAY}: {NAMED}"
        [(undated,)] = rows(searched_db, "select id from photos where taken_at is null")
        assert title(searched.get(f"{BASE}/photo/{undated}").text) == OTHER

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ([], "A photograph"),
            ([None, "Ada", "Ada"], "Ada"),
            (["Ada", "Eve"], "Ada and Eve"),
            (["a", "b", "c", "d"], "a, b, c and d"),
            (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        ],
    )
    def test_a_title_names_no_more_than_four(self, names: list[str], expected: str) -> None:
        faces = [{"person": {"name": name}} for name in names]
        assert photo_title({"taken_at": None}, [*faces, {"person": None}]) == expected

    def test_a_face_is_called_after_its_person(self, searched: Site, searched_db: Path) -> None:
        for face, name in rows(
            searched_db, "select faces.id, name from faces join people on people.id = person_id"
        ):
            text = searched.get(f"{BASE}/face/{face}").text
            assert title(text) == name
            assert str(face) not in re.sub(r"<[^>]+>", "", text)

    def test_a_face_without_a_name_is_one(self, private: Path, tmp_path: Path) -> None:
        out = published(private, tmp_path, unnamed=True)
        [(face,)] = rows(out, "select max(id) from faces where person_id is null")
        with site(immutables=[str(out)]) as served:
            assert title(served.get(f"{BASE}/face/{face}").text) == "A face without a name"


class TestWhatOnlyTheOwnerNeeds:
    @pytest.mark.parametrize("path", ["", "/people", "/people/{}", "/calibration"])
    def test_visitors_are_told_of_nothing_that_they_cannot_do(
        self, searched: Site, searched_db: Path, path: str
    ) -> None:
        text = searched.get(BASE + path.format(one(searched_db, "people"))).text
        assert "immutable" not in text
        assert "datasette faces " not in text

    def test_an_owner_who_serves_the_private_file_so_is_told(self, private: Path) -> None:
        with site(immutables=[str(private)]) as served:
            assert "served as immutable" in served.get("/private/-/faces/people").text
            assert "datasette faces calibrate" in served.get("/private/-/faces/calibration").text

    def test_a_persons_cover_is_not_shown_twice(
        self, searched: Site, searched_db: Path, private: Path
    ) -> None:
        text = searched.get(f"{BASE}/people/{one(searched_db, 'people')}").text
        assert "faces-portrait" not in text
        with site(private) as served:
            assert "faces-portrait" in served.get("/private/-/faces/people/1").text

    def test_tabs_are_there_where_they_differ(
        self, searched: Site, private: Path, tmp_path: Path
    ) -> None:
        def tabs(served: Site, name: str, show: str = "") -> list[str]:
            text = served.get(f"/{name}/-/faces/people?show={show}").text
            found = re.findall(r"/people\?show=(\w+)", text)
            assert text.count('aria-current="page"') == bool(found)
            return found

        assert tabs(searched, "catalogue") == []
        with site(private) as served:
            assert tabs(served, "private") == ["all", "hidden"]
            assert tabs(served, "private", "named") == ["all", "hidden"]
            assert tabs(served, "private", "hidden") == ["all", "hidden"]
        mixed = copied(
            private,
            tmp_path / "mixed.db",
            "update people set name = null where name = 'Eve Armstrong'",
        )
        with site(mixed) as served:
            assert tabs(served, "mixed") == ["all", "named", "unnamed", "hidden"]


def test_a_photo_without_an_original_has_no_link_to_one(private: Path, tmp_path: Path) -> None:
    """In one of the two photos somebody is blurred, and would not be in the original."""
    out = published(private, tmp_path, originals_url="https://photos.example.org/{id}.jpg")
    found = rows(out, "select id, original_url from photos")
    assert sorted(url is None for _, url in found) == [False, True]
    with site(out) as served:
        for photo_id, url in found:
            page = served.get(f"/{out.stem}/-/faces/photo/{photo_id}").text
            assert ('rel="noopener">original</a>' in page) is (url is not None)
            assert "<dt>Full size</dt>" in page


def title(text: str) -> str:
    """A page's heading."""
    found = re.search(r"<h1[^>]*>(.*?)</h1>", text, re.S)
    assert found
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


@pytest.fixture(scope="module")
def address(searched_db: Path, private: Path) -> Iterator[str]:
    """The catalogue and the private file, served by a process of its own."""
    with serving(searched_db, private) as it:
        yield it


class TestLooks:
    @pytest.mark.parametrize("path", ["", "/search", "/search?face={}", "/people"])
    def test_buttons_stand_out_and_look_alike(
        self, chromium: Any, address: str, searched_db: Path, path: str
    ) -> None:
        with opened(chromium) as (page, _):
            show(page, address + BASE + path.format(one(searched_db, "faces")))
            found = page.evaluate(COLOURS)
            assert {tuple(it) for it in found} == {("rgb(255, 255, 255)", "rgb(39, 104, 144)")}

    def test_a_small_photo_is_shown_no_larger_than_it_bears(
        self, chromium: Any, address: str, searched_db: Path
    ) -> None:
        for size in (WIDE, NARROW):
            with opened(chromium, size) as (page, _):
                for (photo,) in rows(searched_db, "select id from photos"):
                    show(page, f"{address}{BASE}/photo/{photo}")
                    box = page.locator("figure.faces-picture").bounding_box()
                    assert 300 < max(box["width"], box["height"]) <= 450
                show(page, f"{address}/private/-/faces/photo/1")
                box = page.locator("figure.faces-picture").bounding_box()
                assert box["width"] > (450 if size == WIDE else 300)

    def test_a_long_name_has_two_lines(self, chromium: Any, address: str) -> None:
        with opened(chromium) as (page, _):
            show(page, f"{address}{BASE}/people")
            lines = """it => {
                it.textContent = "Zoë de la Fontaine-Saint-Exupéry von und zu Hohenstein";
                return Math.round(it.clientHeight / parseFloat(getComputedStyle(it).lineHeight));
            }"""
            assert page.locator(".faces-wall bdi").first.evaluate(lines) == 2


COLOURS = """() => [...document.querySelectorAll("section.content :is(button, [type=submit])")]
    .map(it => [getComputedStyle(it).color, getComputedStyle(it).backgroundColor])"""
