"""The output renderer `.faces`: rows of tables and queries as a gallery, on both Datasette versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from browser import serving
from serving import QUERY, Site, asked, copied, site
from test_browser import NARROW, WIDE, opened, show

ONLY_ANN = {"id": "ann"}
HOSTILE = "<img src=x onerror=alert(1)>"
NEAREST = """
select faces.id as face_id, face_similarity(embedding, face_embedding(1)) as similarity,
    photos.path, photos.taken_at, 2019 as year, 0.25 as share, faces.crop
from face_embeddings join faces on faces.id = face_id join photos on photos.id = photo_id
order by similarity desc
"""
PAIRS = """
select 1 as face_id, 2 as other_face_id, 0.5 as similarity, '/a/one.jpg' as path,
    '/b/other.jpg' as other_path
"""


def address(sql: str, database: str = "faces", extension: str = ".faces", **params: Any) -> str:
    return f"/{database}{QUERY}{extension}?{urlencode({'sql': sql, **params})}"


def shown(text: str) -> list[int]:
    """The faces whose crops a page shows."""
    return [int(face_id) for face_id in re.findall(r"/-/faces/crop/(\d+)\.jpg", text)]


def links(text: str) -> list[str]:
    """The addresses of what the page's own part links to or shows."""
    content = text.split('<section class="content"')[1]
    return [unescape(link) for link in re.findall(r'(?:href|src)="(/[^"]*)"', content)]


def facts(text: str) -> list[tuple[str, str]]:
    """Names and values under the pictures."""
    return [
        (unescape(name), unescape(value))
        for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    ]


class TestWhatItShows:
    def test_a_query_becomes_a_gallery_in_its_own_order(self, served: Site, faces_db: Path) -> None:
        page = served.get(address(NEAREST))
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        rows = served.sql("faces", NEAREST)
        assert shown(page.text) == [row["face_id"] for row in rows]
        assert "<strong>7</strong> faces" in page.text
        for row in rows:
            assert f'href="/faces/-/faces/face/{row["face_id"]}"' in page.text
            assert f">{row['similarity']:.3f}</strong>" in page.text
        assert 'alt="Face 1 in t1.jpg"' in page.text
        assert facts(page.text)[:2] == [("year", "2019"), ("share", "0.25")]

    @pytest.mark.parametrize("path", ["/faces/faces.faces", "/faces/faces.faces?_labels=on"])
    def test_the_table_faces_is_a_gallery_with_the_names_of_its_photos(
        self, served: Site, path: str
    ) -> None:
        page = served.get(path)
        assert shown(page.text) == [1, 2, 3, 4, 5, 6, 7]
        assert page.text.count('alt="Face 1 in t1.jpg"') == 1
        assert facts(page.text) == []

    def test_filters_and_sorting_of_a_table_hold(self, served: Site, faces_db: Path) -> None:
        page = served.get("/faces/faces.faces?photo_id=1&_sort_desc=sharpness")
        right = asked(
            faces_db, "select id, sharpness from faces where photo_id = 1 order by sharpness desc"
        )
        assert shown(page.text) == [face_id for face_id, _ in right]
        assert [float(value) for _, value in facts(page.text)] == [
            pytest.approx(sharpness, abs=1e-3) for _, sharpness in right
        ]

    @pytest.mark.parametrize("path", ["/faces/face_embeddings", "/faces/vec_faces_sface"])
    def test_any_table_with_a_face_id_is_one(self, served: Site, path: str) -> None:
        assert shown(served.get(f"{path}.faces").text) == [1, 2, 3, 4, 5, 6, 7]

    def test_a_persons_name_stands_for_the_number_where_labels_are_on(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        path = copied(
            faces_db,
            tmp_path / "named.db",
            f"insert into people(id, name) values (5, '{HOSTILE}')",
            "update faces set person_id = 5 where id = 3",
        )
        with site(path) as served:
            text = served.get("/named/faces.faces?_labels=on").text
            assert facts(text) == [("person", HOSTILE)]
            assert HOSTILE not in text
            assert facts(served.get("/named/faces.faces").text) == [("person_id", "5")]

    def test_one_row_is_a_gallery_of_one(self, served: Site) -> None:
        page = served.get("/faces/faces/3.faces")
        assert shown(page.text) == [3]
        assert "<strong>1</strong> face<" in page.text

    def test_pairs_lie_side_by_side(self, served: Site) -> None:
        text = served.get(address(PAIRS)).text
        assert shown(text) == [1, 2]
        assert text.count("<li>\n    <a href") == 1
        assert "<strong>1</strong> pair<" in text
        assert 'alt="Face 2 in other.jpg"' in text

    def test_rows_of_no_face_are_passed_over_and_counted(self, served: Site) -> None:
        values = "(1), (null), (99), ('x'), (-1), (1.5), (x'00ff'), (9223372036854775807), ('2')"
        text = served.get(address(f"with t(face_id) as (values {values}) select * from t")).text
        assert shown(text) == [1, 2]
        assert "7 rows have no face in this database" in text
        one = served.get(address("select null as face_id")).text
        assert "1 row has no face in this database" in one
        assert "No row has a face" in one

    def test_a_query_of_no_rows_says_so(self, served: Site) -> None:
        assert (
            "No row has a face"
            in served.get(address("select id as face_id from faces limit 0")).text
        )

    def test_more_rows_than_a_query_may_give_are_said_to_be_cut(self, faces_db: Path) -> None:
        with site(faces_db, settings={"max_returned_rows": 5}) as served:
            text = served.get(address("select id as face_id from faces")).text
            assert len(shown(text)) == 5
            assert "only the first 5 rows of the query" in text
        with site(faces_db) as served:
            assert "only the first" not in served.get(address("select 1 as face_id")).text

    def test_long_values_and_pictures_are_no_captions(self, served: Site) -> None:
        sql = (
            "select 1 as face_id, crop, landmarks, x, photo_id, hex(zeroblob(100)) as long, "
            "'' as empty, null as none, '2019-05-31T10:20:30+01:00' as at, 3 as count, 1234567.5 as big, "
            "1e300 as huge, 7 as fifth from faces limit 1"
        )
        assert facts(served.get(address(sql)).text) == [
            ("at", "2019-05-31 10:20"),
            ("count", "3"),
            ("big", "1234567.5"),
            ("huge", "1e+300"),
        ]

    def test_two_columns_of_one_name_give_the_first(self, served: Site) -> None:
        assert shown(served.get(address("select 3 as face_id, 4 as face_id")).text) == [3]

    def test_what_rows_hold_is_text_and_never_html(self, served: Site) -> None:
        sql = (
            f"""select 1 as face_id, '{HOSTILE}' as "<b>name", '{HOSTILE}' as similarity, """
            f"""'/x/{HOSTILE}".jpg' as path"""
        )
        text = served.get(address(sql)).text
        content = text.split('<section class="content"')[1]
        assert "<b>" not in content
        assert "<img src=x" not in content
        assert ("<b>name", HOSTILE) in facts(text)
        assert f'alt="Face 1 in {HOSTILE}".jpg"' in unescape(content)


class TestWhereItIsOffered:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("path", "offered"),
        [
            ("/faces/faces", True),
            ("/faces/face_embeddings", True),
            ("/faces/photos", False),
            ("/faces/models", False),
            (address("select 1 as face_id", extension=""), True),
            (address("select 1 as id", extension=""), False),
        ],
    )
    def test_pages_with_a_face_id_link_to_it(self, served: Site, path: str, offered: bool) -> None:
        found = [link for link in links(served.get(path).text) if ".faces" in link]
        assert bool(found) == offered
        for link in found:
            assert served.get(link).status_code == 200

    def test_a_database_without_faces_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").touch()
        plants = copied(
            tmp_path / "x.db", tmp_path / "plants.db", "create table faces (id integer, face_id)"
        )
        with site(plants) as served:
            assert ".faces" not in served.get("/plants/faces").text
            assert served.get("/plants/faces.faces").status_code == 404

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("/faces/photos.faces", "A gallery needs a column face_id"),
            (address("select 1 as x"), "The columns here: x"),
            (address("select nowhere"), "no such column: nowhere"),
        ],
    )
    def test_rows_without_a_face_id_are_400_and_say_what_would_do(
        self, served: Site, path: str, says: str
    ) -> None:
        page = served.get(path)
        assert page.status_code == 400
        assert says in unescape(page.text)

    def test_who_may_not_see_the_faces_is_refused_with_a_sentence(self, faces_db: Path) -> None:
        tables = {"tables": {"faces": {"allow": ONLY_ANN}}}
        with site(faces_db, metadata={"databases": {"faces": tables}}) as served:
            for path in (address("select 1 as face_id"), "/faces/face_embeddings.faces"):
                page = served.get(path)
                assert page.status_code == 403
                assert "You may not see the faces of faces" in page.text
                assert shown(served.get(path, actor="ann").text)[0] == 1
            page = served.get("/faces/face_embeddings")
            assert ".faces" not in page.text
            assert ".faces" in served.get("/faces/face_embeddings", actor="ann").text

    def test_who_may_not_see_the_photos_is_not_told_their_names(self, faces_db: Path) -> None:
        tables = {"tables": {"photos": {"allow": ONLY_ANN}}}
        with site(faces_db, metadata={"databases": {"faces": tables}}) as served:
            text = served.get("/faces/faces.faces").text
            assert 'alt="Face 1"' in text
            assert "t1.jpg" not in text
            assert "t1.jpg" in served.get("/faces/faces.faces", actor="ann").text


class TestItsLinks:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "query", ["", "?_size=20", "?_sort_desc=sharpness&_size=30", "?_labels=on&photo_id__gt=2"]
    )
    def test_following_next_page_visits_every_face_once(self, archive: Path, query: str) -> None:
        visited: list[int] = []
        with site(archive) as served:
            url = f"/various/faces.faces{query}"
            while url:
                text = served.get(url).text
                visited += shown(text)
                found = re.search(r'rel="next"[^>]*href="([^"]+)"', text)
                url = unescape(found[1]) if found else ""
                assert not url or ".faces?" in url
        assert len(visited) == (130 if "photo_id" in query else 150)
        assert len(set(visited)) == len(visited)

    def test_lead_back_and_to_json_with_the_same_filters(self, served: Site) -> None:
        for path in (address(NEAREST, x="a b&c"), "/faces/faces.faces?photo_id=1&_labels=on"):
            found = links(served.get(path).text)
            back = path.replace(".faces?", "?").replace("&_labels=on", "")
            json_url = path.replace(".faces?", ".json?").replace("&_labels=on", "")
            assert back in found
            assert json_url in found
            assert served.get(back).status_code == 200
            assert served.json(json_url)["rows"]

    @pytest.mark.slow
    @pytest.mark.parametrize("keeps_prefix", [True, False])
    def test_all_hold_under_a_base_url(self, archive: Path, keeps_prefix: bool) -> None:
        with site(archive, settings={"base_url": "/a/b/"}) as served:
            prefix = "/a/b" if keeps_prefix else ""
            for path in ("/various/faces.faces", address("select 1 as face_id", "various")):
                found = links(served.get(prefix + path).text)
                assert len(found) > 3
                assert all(re.match("/a/b/(?!a/b/)", link) for link in found)
                for link in (*found[:10], *found[-4:]):
                    assert served.get(link).status_code == 200, link

    def test_hold_for_strange_names_of_databases(self, faces_db: Path, tmp_path: Path) -> None:
        path = copied(faces_db, tmp_path / "a.b c'<i>.db")
        with site(path) as served:
            base = str(served.datasette.urls.database("a.b c'<i>"))
            found = links(served.get(f"{base}/faces.faces").text)
            assert shown(" ".join(found))
            assert all(served.get(link).status_code == 200 for link in found)


@pytest.fixture(scope="module")
def running(chromium: Any, faces_db: Path, archive: Path) -> Iterator[str]:
    with serving(faces_db, archive) as it:
        yield it


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "path", ["/various/faces.faces?_sort=sharpness", address(NEAREST), address(PAIRS)]
)
def test_it_fits_every_screen_and_shows_every_picture(
    chromium: Any, running: str, path: str, size: tuple[int, int], scripts: bool
) -> None:
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        show(page, running + path)
        sizes = page.eval_on_selector_all(
            ".faces-grid img", "all => all.map(it => [it.naturalWidth, it.clientWidth])"
        )
        assert sizes
        if scripts:
            assert all(natural for natural, _ in sizes)
        assert all(60 < width < 400 for _, width in sizes)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert wrong == []
