"""The search page through Datasette's own client: what it finds, what it takes, what it refuses."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest
from archive import FACES, make_archive
from odd_models import AbsentModel, TellingModel
from pictures import encoded, shipped, small, with_exif
from PIL import Image
from serving import (
    QUERY,
    Site,
    asked,
    assert_links_work,
    copied,
    ids,
    links_of,
    metadata_with,
    plain_site,
    site,
)
from test_pages import sql_link
from test_pictures import png
from test_uploads import FORM, form, part
from toy_model import BLUE, EATS, GREEN, HANGS, KILLS, RED, WHITE, Colour, ToyModel

from datasette_faces.algorithms import vectors
from datasette_faces.app.datasette.compat import CSRF_BY_HEADERS, V1
from datasette_faces.app.datasette.state import state_of
from datasette_faces.app.datasette.upload_options import make_upload_options
from datasette_faces.models.model_pools import ModelPool, QueuePolicy
from datasette_faces.models.worker_pool import WorkerLimits
from datasette_faces.search.upload_cache import UploadCache

PAGE = "/various/-/faces/search"
HOSTILE = "<img src=x onerror=alert(1)> \"double\" 'single' & {{ 7*7 }}"
HARM = ("<img src=x", "onerror=alert(1)>", "& 49")
ANN = {"id": "ann"}
IN_PHOTO_4 = (10 + 16 * 3, 5 + 20 * 6, 250 - 16 * 3)
"""The colour of face 37 of the archive."""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and limits")


@pytest.fixture(scope="module")
def toy_plugin() -> Iterator[None]:
    """The toy model, known to Datasette."""
    from datasette.plugins import pm

    plugin = ToyModel().as_plugin()
    pm.register(plugin)
    yield
    pm.unregister(plugin)


@pytest.fixture(scope="module")
def various(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 faces by the toy model; faces 141 to 143 are of Ann, 145 and 146 of somebody hidden."""
    folder = tmp_path_factory.mktemp("archive")
    made = make_archive(folder)
    (folder / "whole").mkdir()
    return copied(
        made,
        folder / "whole" / "various.db",
        "insert into people (id, name, hidden) values (1, 'Ann', 0), (2, 'Bob', 1)",
        "update faces set person_id = 1 where id in (141, 142, 143)",
        "update faces set person_id = 2 where id in (145, 146)",
    )


UNLIMITED = metadata_with(uploads_per_minute=0)
"""The tests of one module upload more in a minute than a visitor may."""


@pytest.fixture(scope="module")
def served(various: Path, toy_plugin: None) -> Iterator[Site]:
    with site(various, metadata=UNLIMITED) as it:
        yield it
        state_of(it.datasette).close()


@pytest.fixture(scope="module")
def portraits(faces_db: Path) -> Iterator[Site]:
    """Six faces and one by the built-in model."""
    with site(faces_db, metadata=UNLIMITED) as it:
        yield it
        state_of(it.datasette).close()


def drawn(*colours: Colour) -> bytes:
    """A toy picture."""
    image = Image.new("RGB", (40 * len(colours), 40))
    for place, colour in enumerate(colours):
        image.paste(colour, (place * 40, 0, (place + 1) * 40, 40))
    return encoded(image, "PNG")


def upload(
    it: Site,
    *pictures: bytes,
    to: str = PAGE,
    names: tuple[str, ...] = (),
    actor: str | None = None,
    **fields: Any,
) -> Any:
    """The response to a form with these pictures."""
    parts = [
        part(name, str(value).encode())
        for name, values in fields.items()
        for value in (values if isinstance(values, list | tuple) else [values])
    ]
    named = [*names, *(f"{place}.png" for place in range(len(pictures)))]
    parts += [part("picture", data, file=name) for data, name in zip(pictures, named, strict=False)]
    return it.post(to, form(*parts), FORM, actor=actor)


def found_by(it: Site, *pictures: bytes, to: str = PAGE, **fields: Any) -> Any:
    """What the JSON says to these pictures."""
    answer = upload(it, *pictures, to=f"{to}.json", **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def content(text: str) -> str:
    """The page's own part."""
    return text.split('<section class="content"')[1]


def shown(text: str) -> list[tuple[int, float]]:
    """The faces and similarities of a page's results."""
    cards = re.findall(r'<li data-similarity="([^"]+)"><a href="[^"]*/face/(\d+)"', text)
    return [(int(face), float(similarity)) for similarity, face in cards]


def pairs(rows: Any) -> list[tuple[int, float]]:
    return [(int(row["face_id"]), float(row["similarity"])) for row in rows]


def message(page: Any) -> str:
    """What a page says went wrong."""
    told = re.search(r'role="alert">(.*?)</p>', page.text, re.S)
    return unescape(told[1] if told else page.text)


def exactly(
    database: Path, positive: list[int], negative: list[int], model: str
) -> dict[int, float]:
    """The similarity of each face, worked out by hand."""
    rows = asked(
        database, "select face_id, embedding from face_embeddings where model_id = ?", model
    )
    of = {face: vectors.decode(vector) for face, vector in rows}
    query = vectors.normalise(np.mean([of[face] for face in positive], axis=0))
    if negative:
        apart = np.mean([of[face] for face in negative], axis=0)
        query = vectors.normalise(query - 0.5 * apart)
    return {face: float(vector @ query) for face, vector in of.items()}


class TestWhatIsFound:
    SEARCHES = (
        "face=1",
        "face=1&face=2",
        "face=1&not=90",
        "face=1&face=2&not=148&not=150&k=7",
        "face=1&model=other",
        "face=140&threshold=0.99",
        "face=140&threshold=0&k=9",
        "face=3&taken_from=2019-01&taken_to=2019-06",
        "face=3&taken_from=2019&taken_to=2019-03-31&k=5",
        "face=3&person_id=1",
        "face=3&person_id=2&hidden=1",
        "face=144&hidden=1&k=10",
        "face=144&k=10",
        "face=5&k=4096",
        "face=1&not=1&face=2",
        "face=5&folder=/nowhere",
    )

    @pytest.mark.slow
    @pytest.mark.parametrize("search", SEARCHES)
    def test_page_json_csv_and_sql_give_the_same_rows_in_the_same_order(
        self, served: Site, search: str
    ) -> None:
        page = served.get(f"{PAGE}?{search}")
        assert page.status_code == 200
        rows = pairs(served.json(f"{PAGE}.json?{search}")["results"])
        assert shown(page.text) == rows
        as_csv = served.get(f"{PAGE}.csv?{search}")
        assert pairs(csv.DictReader(io.StringIO(as_csv.text))) == rows
        assert pairs(served.follow_sql(sql_link(page.text))) == rows
        links = re.findall(r'href="([^"]*search\.(?:json|csv)[^"]*)"', page.text)
        assert len(links) == 2
        assert all(served.get(unescape(link)).status_code == 200 for link in links)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("search", "positive", "negative", "model"),
        [
            ("face=1", [1], [], "toy"),
            ("face=1&face=20&face=33", [1, 20, 33], [], "toy"),
            ("face=1&face=2&not=148&not=40", [1, 2], [148, 40], "toy"),
            ("face=1&face=12&model=other", [1, 12], [], "other"),
        ],
    )
    def test_the_most_similar_come_first_without_those_searched_with(
        self, served: Site, various: Path, search: str, positive: Any, negative: Any, model: str
    ) -> None:
        similarity = exactly(various, positive, negative, model)
        left = set(similarity) - {*positive, *negative, 145, 146}
        best = sorted((similarity[face] for face in left), reverse=True)[:12]
        rows = pairs(served.json(f"{PAGE}.json?{search}&k=12")["results"])
        assert len(rows) == len(best)
        assert {face for face, _ in rows} <= left
        assert [told for _, told in rows] == pytest.approx(best, abs=1e-5)
        for face, told in rows:
            assert told == pytest.approx(similarity[face], abs=1e-5)

    @pytest.mark.slow
    @pytest.mark.parametrize("k", [1, 2, 47, 48, 100])
    @pytest.mark.parametrize(
        "search", ["face=1", "face=1&face=2", "face=1&not=150", "face=1&not=2"]
    )
    def test_k_results_are_k_without_those_searched_with(
        self, served: Site, search: str, k: int
    ) -> None:
        assert len(served.json(f"{PAGE}.json?{search}&k={k}")["results"]) == k
        assert len(shown(served.get(f"{PAGE}?{search}&k={k}").text)) == k

    @pytest.mark.parametrize(
        ("search", "sql"),
        [
            ("threshold=0.97", None),
            ("taken_from=2019-02&taken_to=2019-04", "taken_at between '2019-02' and '2019-04~'"),
            ("taken_from=2019-12-31", "taken_at >= '2019-12-31' and faces.id not in (145, 146)"),
            ("person_id=1", "person_id = 1"),
            ("person_id=2", "0"),
            ("person_id=2&hidden=1", "person_id = 2"),
            ("person_id=2&hidden=0", "0"),
            ("person_id=2&hidden=no", "0"),
            ("hidden=true", "1"),
        ],
    )
    def test_filters_keep_what_they_say(
        self, served: Site, various: Path, search: str, sql: str | None
    ) -> None:
        rows = served.json(f"{PAGE}.json?face=141&k=4096&{search}")["results"]
        if sql is None:
            similarity = exactly(various, [141], [], "toy")
            left = {face for face, it in similarity.items() if it >= 0.97} - {141, 145, 146}
        else:
            of = f"select faces.id from faces join photos on photos.id = photo_id where {sql}"
            left = {face for (face,) in asked(various, of)} - {141}
        assert set(ids(rows)) == left

    def test_a_folder_keeps_its_own_photos(self, served: Site, various: Path) -> None:
        path = asked(various, "select path from photos where id = 1")[0][0]
        folder = path.rpartition("/")[0]
        rows = served.json(f"{PAGE}.json?{urlencode({'face': 5, 'folder': folder})}&k=200")
        assert len(rows["results"]) == FACES - 1 - 2
        none = served.json(f"{PAGE}.json?{urlencode({'face': 5, 'folder': folder[:-1]})}")
        assert none["results"] == []

    def test_more_can_be_loaded_until_all_are_there(self, served: Site) -> None:
        url = f"{PAGE}?face=1&face=2&not=9&threshold=0&taken_from=2018"
        counts = []
        while url:
            text = served.get(url).text
            counts.append(len(shown(text)))
            more = re.search(r'href="([^"]+)">Load more', text)
            url = unescape(more[1]) if more else ""
        assert counts[:2] == [48, 96]
        assert (
            counts[-1]
            == served.json(
                f"{PAGE}.json?{urlsplit(url).query}face=1&face=2&not=9"
                "&threshold=0&taken_from=2018&k=4096"
            )["results"].__len__()
        )
        answer = served.json(f"{PAGE}.json?face=1&k=100")
        after = served.json(answer["next_url"].partition("localhost")[2] or answer["next_url"])
        assert len(after["results"]) == FACES - 3
        assert after["next_url"] is None

    def test_loading_more_ends_at_4096(self, served: Site) -> None:
        assert served.json(f"{PAGE}.json?face=1&k=4096")["next_url"] is None

    def test_what_was_asked_stays_in_every_link(self, served: Site) -> None:
        asked_for = "face=141&face=142&not=90&threshold=0&taken_from=2018&person_id=1&hidden=1&k=1"
        text = content(served.get(f"{PAGE}?{asked_for}&model=toy").text)
        wanted = parse_qs(f"{asked_for}&model=toy")
        for words in ("JSON", "CSV", "Load more"):
            link = re.search(rf'href="([^"]+)">{words}<', text)
            assert link, words
            got = parse_qs(urlsplit(unescape(link[1])).query)
            got["threshold"] = [f"{float(got['threshold'][0]):g}"]
            assert got == (wanted | {"k": ["2"]} if words == "Load more" else wanted)
        same = re.search(r'href="([^"]+)" aria-label="Face \d+ is the same person"', text)
        assert same
        got = parse_qs(urlsplit(unescape(same[1])).query)
        assert got["face"][:2] == ["141", "142"]
        assert len(got["face"]) == 3
        for form_of in ("faces-upload", "faces-refine"):
            inside = re.search(rf'<form class="[^"]*{form_of}.*?</form>', text, re.S)
            assert inside
            for name, value in (
                ("face", 141),
                ("face", 142),
                ("not", 90),
                ("person_id", 1),
                ("hidden", 1),
            ):
                assert f'name="{name}" value="{value}"' in inside[0], (form_of, name)

    def test_an_example_can_be_taken_out_again(self, served: Site) -> None:
        text = served.get(f"{PAGE}?face=1&face=2&not=90").text
        links = [unescape(it) for it in re.findall(r'class="faces-remove" href="([^"]+)"', text)]
        assert [parse_qs(urlsplit(link).query) for link in links] == [
            {"face": ["2"], "not": ["90"]},
            {"face": ["1"], "not": ["90"]},
            {"face": ["1", "2"]},
        ]

    def test_the_slider_and_the_histogram_count_what_can_be_found_and_no_more(
        self, served: Site
    ) -> None:
        import json

        page = served.get(f"{PAGE}?face=1&face=2&not=90&k=4096&threshold=0.5")
        told = re.search(r'data-similarities="([^"]+)" data-whole="1"', page.text)
        assert told
        similarities = json.loads(unescape(told[1]))
        everything = served.json(f"{PAGE}.json?face=1&face=2&not=90&k=4096")["results"]
        assert similarities == [row["similarity"] for row in everything]
        bins = re.findall(r"<title>(-?[\d.]+) to (-?[\d.]+): (\d+)</title>", page.text)
        assert sum(int(count) for _, _, count in bins) == len(everything)

    def test_without_anything_the_page_asks_for_a_photo(self, served: Site) -> None:
        page = served.get(PAGE)
        assert page.status_code == 200
        assert 'type="file"' in page.text
        assert shown(page.text) == []
        assert served.get(f"{PAGE}/").status_code in (200, 302, 404)

    @pytest.mark.parametrize("ending", [".json", ".csv"])
    def test_without_anything_a_program_is_told_what_to_name(
        self, served: Site, ending: str
    ) -> None:
        answer = served.json(f"{PAGE}{ending}", status=400)
        assert answer["ok"] is False
        assert "POST a picture" in answer["error"]

    def test_a_csv_has_a_line_for_each_face_whatever_is_in_its_path(
        self, various: Path, tmp_path: Path
    ) -> None:
        name = 'a "b", c;\nd\r\n=1+1 é.png'
        hostile = copied(various, tmp_path / "h.db", ("update photos set path = ?", [name]))
        with site(hostile) as it:
            answer = it.get("/h/-/faces/search.csv?face=1&k=3")
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            assert "attachment" in answer.headers["content-disposition"]
            lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
            assert [line["path"] for line in lines] == [name] * 3
            assert it.get(lines[0]["photo_url"]).status_code == 200

    def test_a_database_without_faces_says_so(self, various: Path, tmp_path: Path) -> None:
        empty = copied(
            various, tmp_path / "e.db", "delete from face_embeddings", "delete from models"
        )
        with site(empty) as it:
            assert it.get("/e/-/faces/search").status_code == 200
            answer = upload(it, drawn(RED), to="/e/-/faces/search.json")
            assert answer.status_code == 400
            assert "none yet" in answer.json()["error"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "broken", [b"", b"abc", b"\0" * 12, b"\xff" * 12, b"\0\0\x80?", "text"]
    )
    def test_a_broken_embedding_is_said_not_raised(
        self, various: Path, tmp_path: Path, broken: Any
    ) -> None:
        sql = "update face_embeddings set embedding = ? where face_id = 1"
        harmed = copied(various, tmp_path / "b.db", (sql, [broken]))
        with site(harmed) as it:
            for search in ("face=1", "face=1&face=2", "face=2&not=1"):
                assert it.json(f"/b/-/faces/search.json?{search}", status=400)["error"]
                assert it.get(f"/b/-/faces/search?{search}").status_code == 400
            assert len(it.json("/b/-/faces/search.json?face=2&k=5")["results"]) == 5


class TestUploads:
    @pytest.mark.parametrize("raw", [True, False], ids=["raw", "form"])
    def test_a_photo_leads_to_an_address_that_shows_what_it_found(
        self, served: Site, raw: bool
    ) -> None:
        data = drawn(IN_PHOTO_4)
        sent = served.post(PAGE, data, "image/png") if raw else upload(served, data)
        assert sent.status_code == 303
        page = served.get(sent.headers["location"])
        assert page.status_code == 200
        assert shown(page.text)[0][0] == 37
        key = parse_qs(urlsplit(sent.headers["location"]).query)["key"][0]
        crop = served.get(f"{PAGE}/face/{key}.jpg")
        assert Image.open(io.BytesIO(crop.content)).size == (160, 160)
        assert pairs(served.follow_sql(sql_link(page.text))) == shown(page.text)

    @pytest.mark.parametrize("raw", [True, False], ids=["raw", "form"])
    def test_the_json_is_as_documented(self, served: Site, raw: bool) -> None:
        data = drawn(IN_PHOTO_4)
        to = f"{PAGE}.json?k=5"
        answer = (served.post(to, data, "image/png") if raw else upload(served, data, to=to)).json()
        assert set(answer) == {
            "ok", "model", "model_threshold", "photos", "url", "results", "next_url", "sql", "params",
        }  # fmt: skip
        assert (answer["ok"], answer["model"], answer["model_threshold"]) == (True, "toy", 0.9)
        (photo,) = answer["photos"]
        assert set(photo) == {"file_name", "width", "height", "turned", "reason", "faces"}
        assert (photo["width"], photo["height"], photo["reason"]) == (40, 40, None)
        assert photo["file_name"] == ("picture" if raw else "0.png")
        (face,) = photo["faces"]
        assert set(face) == {"key", "x", "y", "width", "height", "detection_score", "sharpness"}
        assert len(answer["results"]) == 5
        first = answer["results"][0]
        assert set(first) == {
            "face_id", "similarity", "probability", "photo_id", "path", "taken_at",
            "person_id", "name", "x", "y", "width", "height", "url", "crop_url", "photo_url",
        }  # fmt: skip
        assert (first["face_id"], first["similarity"] >= 0.999) == (37, True)
        for url in (answer["url"], first["url"], first["crop_url"], first["photo_url"]):
            assert url.startswith("http")
            assert served.get(url).status_code == 200
        again = served.json(f"{PAGE}.json?key={face['key']}&k=5")
        assert again["results"] == answer["results"]
        assert again["params"] == answer["params"]
        assert pairs(served.sql("various", answer["sql"], **answer["params"])) == pairs(
            answer["results"]
        )

    def test_an_upload_may_be_answered_as_csv(self, served: Site) -> None:
        answer = upload(served, drawn(IN_PHOTO_4), to=f"{PAGE}.csv?k=2")
        assert ids(list(csv.DictReader(io.StringIO(answer.text))))[0] == "37"

    def test_among_several_faces_one_chooses_on_a_page(self, served: Site) -> None:
        sent = upload(served, drawn(RED, WHITE, IN_PHOTO_4), threshold="0", k="7", face="3")
        page = served.get(sent.headers["location"])
        assert page.status_code == 200
        assert "Which face?" in page.text
        text = content(page.text)
        assert text.count("<rect ") == 2
        picture = re.search(r'src="([^"]*/search/photo/[^"]+)"', text)
        assert picture
        assert served.get(unescape(picture[1])).headers["content-type"] == "image/jpeg"
        boxes = re.findall(r'<a href="([^"]+)"[^>]*>(?:<title>|<img)', text)
        assert len(boxes) == 4
        assert boxes[0] == boxes[2]
        wanted = parse_qs(urlsplit(unescape(boxes[1])).query)
        assert (wanted["k"], wanted["face"]) == (["7"], ["3"])
        assert float(wanted["threshold"][0]) == 0
        chosen = served.get(unescape(boxes[1]))
        assert len(shown(chosen.text)) == 7
        assert "photo" not in wanted

    def test_several_photos_are_chosen_in_turn(self, served: Site) -> None:
        sent = upload(served, drawn(RED, BLUE), drawn(WHITE), drawn(IN_PHOTO_4), drawn(GREEN, RED))
        url, seen = sent.headers["location"], []
        for _ in range(3):
            text = content(served.get(url).text)
            seen.append(text.count("<rect "))
            link = re.search(r'<a href="([^"]+)"[^>]*><title>', text) or re.search(
                r'<a href="([^"]+)">Continue without', text
            )
            assert link
            url = unescape(link[1])
        assert seen == [2, 0, 2]
        assert len(parse_qs(urlsplit(url).query)["key"]) == 3
        assert len(shown(served.get(url).text)) == 48

    def test_a_better_photo_in_place_of_one_without_a_face_keeps_those_still_to_come(
        self, served: Site
    ) -> None:
        sent = upload(served, drawn(WHITE), drawn(RED, GREEN), face="1")
        text = content(served.get(sent.headers["location"]).text)
        hidden = dict(re.findall(r'type="hidden" name="(face|photo)" value="([^"]+)"', text))
        assert hidden["face"] == "1"
        again = upload(served, drawn(BLUE), **hidden)
        text = content(served.get(again.headers["location"]).text)
        assert "Which face?" in text
        assert text.count("<rect ") == 2

    @pytest.mark.slow
    def test_of_several_faces_json_takes_the_largest_and_describes_all(
        self, portraits: Site
    ) -> None:
        answer = found_by(portraits, shipped("six faces").read_bytes(), to="/faces/-/faces/search")
        faces = answer["photos"][0]["faces"]
        sizes = [face["width"] * face["height"] for face in faces]
        assert len(faces) == 6
        assert sizes == sorted(sizes, reverse=True)
        assert answer["params"]["key"] == faces[0]["key"]
        assert answer["results"][0]["similarity"] >= 0.999
        for face in faces:
            one = portraits.json(f"/faces/-/faces/search.json?key={face['key']}")["results"][0]
            assert one["similarity"] >= 0.999
            assert one["x"] == pytest.approx(face["x"], abs=1)

    def test_several_photos_are_fused(self, served: Site) -> None:
        answer = found_by(served, drawn(RED), drawn(GREEN))
        assert len(answer["photos"]) == 2
        page = served.get(answer["url"])
        assert shown(page.text) == pairs(answer["results"])
        assert pairs(served.follow_sql(sql_link(page.text))) == pairs(answer["results"])
        best = served.get(f"{PAGE}.json?face=1").json()["results"]
        middle = vectors.normalise(np.array([1, 1, 0], np.float32))
        row = answer["results"][0]
        colour = asked_embedding(served, row["face_id"])
        assert row["similarity"] == pytest.approx(float(colour @ middle), abs=1e-5)
        assert best

    def test_what_was_asked_before_stays_when_a_photo_is_added(self, served: Site) -> None:
        fields = {"face": "3", "not": "90", "threshold": "0", "k": "6", "taken_from": "2019"}
        sent = upload(served, drawn(IN_PHOTO_4), **fields)
        got = parse_qs(urlsplit(sent.headers["location"]).query)
        assert len(got.pop("key")) == 1
        assert float(got.pop("threshold")[0]) == 0
        assert got == {"face": ["3"], "not": ["90"], "k": ["6"], "taken_from": ["2019"],
                       "model": ["toy"]}  # fmt: skip
        answer = found_by(served, drawn(IN_PHOTO_4), **fields)
        assert len(answer["results"]) == 6
        assert 3 not in ids(answer["results"])

    def test_a_photo_is_looked_at_by_the_model_of_the_face_it_is_added_to(
        self, various: Path, tmp_path: Path, toy_plugin: None
    ) -> None:
        only = copied(
            various,
            tmp_path / "o.db",
            "delete from face_embeddings where face_id = 2 and model_id = 'toy'",
        )
        with site(only) as it:
            page = it.get("/o/-/faces/search?face=2")
            assert "the model other, which this server does not know" in page.text
            answer = upload(it, drawn(RED), to="/o/-/faces/search.json", face="2")
            assert answer.status_code == 501
            assert "the model other" in answer.json()["error"]

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["one face", "six faces"])
    def test_a_photo_of_the_database_finds_itself(self, portraits: Site, name: str) -> None:
        data = shipped(name).read_bytes()
        answer = found_by(portraits, data, to="/faces/-/faces/search")
        best = answer["results"][0]
        assert best["similarity"] >= 0.999
        assert best["path"].endswith(shipped(name).name)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (small(long_px=64), "the face is too small: 10 px; 20 are needed"),
            (small().point(lambda value: value // 40), "the picture is too dark"),
            (Image.new("RGB", (300, 200), "white"), "no face was found"),
        ],
        ids=["small", "dark", "white"],
    )
    def test_a_photo_without_a_face_says_why(
        self, portraits: Site, image: Image.Image, reason: str
    ) -> None:
        data, to = encoded(image, "PNG"), "/faces/-/faces/search"
        answer = upload(portraits, data, to=f"{to}.json", names=("me.png",))
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(f"me.png: {reason}")
        sent = upload(portraits, data, to=to, names=("me.png",))
        assert sent.status_code == 303
        page = portraits.get(sent.headers["location"])
        assert reason in unescape(page.text)
        assert "me.png" in page.text
        beside = found_by(portraits, data, shipped("one face").read_bytes(), to=to)
        assert [photo["reason"] is None for photo in beside["photos"]] == [False, True]
        assert len(beside["results"]) == 7

    @pytest.mark.slow
    def test_pictures_of_every_kind_are_taken(self, portraits: Site) -> None:
        portrait = small("one face", 512)
        cut = portrait.crop((0, 0, 500, 400))
        grey = np.asarray(portrait.convert("L")).astype(np.uint16) * 257
        kinds = {
            "CMYK": encoded(portrait.convert("CMYK"), "JPEG", quality=95),
            "16 bit": encoded(Image.fromarray(grey), "PNG"),
            "GIF": encoded(portrait, "GIF", save_all=True, append_images=[Image.new("RGB", portrait.size)]),
            "turned": with_exif(cut.transpose(Image.Transpose.ROTATE_90), {0x0112: 6}),
            "AVIF": encoded(portrait, "AVIF"),
        }  # fmt: skip
        out = io.BytesIO()
        pytest.importorskip("pillow_heif").from_pillow(portrait).save(out, quality=90)
        kinds["HEIC"] = out.getvalue()
        for kind, data in kinds.items():
            answer = found_by(portraits, data, to="/faces/-/faces/search")
            best = answer["results"][0]
            assert (kind, best["path"].endswith("astronaut.png")) == (kind, True)
            assert best["similarity"] > 0.6, kind
            photo = answer["photos"][0]
            size = cut.size if kind == "turned" else portrait.size
            assert (photo["width"], photo["height"]) == size, kind
            assert len(photo["faces"]) == 1

    @pytest.mark.slow
    def test_two_people_are_chosen_between(self, portraits: Site, shared: Path) -> None:
        data = (shared / "photos" / "snapshots" / "two_people.jpg").read_bytes()
        answer = found_by(portraits, data, to="/faces/-/faces/search")
        assert len(answer["photos"][0]["faces"]) == 2


def asked_embedding(it: Site, face: int) -> Any:
    path = it.datasette.databases["various"].path
    sql = "select embedding from face_embeddings where model_id = 'toy' and face_id = ?"
    return vectors.decode(asked(path, sql, face)[0][0])


def zeros(number_of: int) -> bytes:
    return bytes(number_of)


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty (0 bytes)"),
    "text": (b"Dear diary, no picture today", "the file holds text, not a picture"),
    "truncated": (encoded(small(), "JPEG")[:3000], "the picture is damaged: "),
    "0 x 0": (png(0, 0), "the file is not a picture"),
    "noise": (bytes(range(256)) * 8, "the file is not a picture"),
    "10,000 x 10,000": (png(10_000, 10_000, rows=bytes(1251 * 10_000)),
                        "the picture is too large: 100,000,000 pixels; 67,108,864 are allowed"),
    "60,000 x 60,000": (png(60_000, 60_000, rows=bytes(100)), "the picture is too large: "),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "the file holds text, not a picture"),
}  # fmt: skip


class TestWhatIsRefused:
    @pytest.mark.parametrize("what", BROKEN)
    def test_a_broken_picture_is_400_and_named(self, served: Site, what: str) -> None:
        data, reason = BROKEN[what]
        answer = upload(served, data, to=f"{PAGE}.json", names=("my.jpg",))
        assert answer.status_code == 400
        said = answer.json()
        assert said["error"].startswith(f"my.jpg: {reason}")
        assert (said["ok"], said["status"]) == (False, 400)
        page = upload(served, data, names=("my.jpg",), face="1")
        assert page.status_code == 400
        assert message(page).startswith(f"my.jpg: {reason}")
        # One goes on from there: with the form, and with what was searched with before
        assert 'type="file"' in page.text
        assert 'name="face" value="1"' in page.text
        assert len(shown(page.text)) == 48

    def test_one_broken_picture_among_good_ones_is_named(self, served: Site) -> None:
        answer = upload(served, drawn(RED), b"text", to=f"{PAGE}.json", names=("a.png", "b.png"))
        assert (answer.status_code, answer.json()["error"][:6]) == (400, "b.png:")

    @pytest.mark.parametrize("ending", ["", ".json", ".csv"])
    def test_nothing_uploaded_says_how_to(self, served: Site, ending: str) -> None:
        for body, kind in (
            (form(part("picture", b"", file="")), FORM),
            (form(part("face", b"1")), FORM),
            (b"", "image/jpeg"),
        ):
            answer = served.post(f"{PAGE}{ending}", body, kind)
            assert answer.status_code == 400
            if ending:
                assert "curl -F picture=@" in answer.json()["error"]
            else:
                assert message(answer) == "Choose a photo first"

    def test_an_empty_form_keeps_what_was_searched_with(self, served: Site) -> None:
        page = served.post(PAGE, form(part("face", b"1"), part("picture", b"", file="")), FORM)
        assert page.status_code == 400
        assert len(shown(page.text)) == 48

    def test_50_mb_are_refused_before_they_are_read(self, served: Site) -> None:
        read = []

        async def body() -> AsyncIterator[bytes]:
            for _ in range(50):
                read.append(1)
                yield bytes(1_000_000)

        for to in (f"{PAGE}.json", PAGE):
            answer = served.post(to, body(), "image/jpeg", content_length="50000000")
            assert answer.status_code == 413
            assert "32 MB" in answer.text
        assert read == []

    @pytest.mark.parametrize("said", [None, "10"])
    def test_a_body_that_never_ends_is_refused_in_the_middle(
        self, served: Site, said: str | None
    ) -> None:
        read = []

        async def body() -> AsyncIterator[bytes]:
            yield form(part("picture", b"x", file="a.jpg")).partition(b"x\r\n--")[0]
            while True:
                read.append(1)
                yield bytes(1_000_000)

        headers = {"content_length": said} if said else {}
        answer = served.post(f"{PAGE}.json", body(), FORM, **headers)
        assert answer.status_code == 413
        assert "32 MB" in answer.json()["error"]
        assert len(read) < 40

    def test_10000_parts_are_refused(self, served: Site) -> None:
        body = form(*(part("face", b"1") for _ in range(10_000)))
        answer = served.post(f"{PAGE}.json", body, FORM)
        assert (answer.status_code, "parts" in answer.json()["error"]) == (413, True)

    @pytest.mark.parametrize(
        ("kind", "status"), [("text/plain", 415), ("multipart/form-data", 400), ("", 415)]
    )
    def test_what_is_neither_a_form_nor_a_picture_is_refused(
        self, served: Site, kind: str, status: int
    ) -> None:
        answer = served.post(f"{PAGE}.json", b"hello", kind)
        assert answer.status_code == status
        assert answer.json()["error"]
        assert served.post(PAGE, b"hello", kind).status_code == status

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("search", "status", "says"),
        [
            ("face=1&k=0", 400, "k takes a whole number, 1 to 4,096, not '0'"),
            ("face=1&k=-1", 400, "k takes a whole number, 1 to 4,096, not '-1'"),
            ("face=1&k=5000", 400, "k takes a whole number, 1 to 4,096, not '5000'"),
            ("face=1&k=x", 400, "k takes a whole number"),
            ("face=1&k=1.5", 400, "k takes a whole number"),
            ("face=1&k=²", 400, "k takes a whole number"),
            (f"face=1&k=000000001{'0' * 5000}", 400, "k takes a whole number"),
            ("face=1&threshold=x", 400, "threshold takes a number, -1 to 1, not 'x'"),
            ("face=1&threshold=2", 400, "threshold takes a number, -1 to 1, not '2'"),
            ("face=1&threshold=nan", 400, "threshold takes a number"),
            ("face=1&taken_from=yesterday", 400, "taken_from takes a day like 2019-05-31"),
            ("face=1&taken_to=2019-02-30", 400, "taken_to takes a day like 2019-05-31"),
            ("face=1&taken_to=2019-13", 400, "taken_to takes a day like 2019-05-31"),
            ("face=1&person_id=x", 400, "person_id takes the id of a person"),
            (f"face=1&person_id={2**63}", 400, "person_id takes the id of a person"),
            ("face=x", 400, "face takes the id of a face, not 'x'"),
            ("face=-1", 400, "face takes the id of a face"),
            (f"face={2**63}", 400, "face takes the id of a face"),
            (f"face={'9' * 5000}", 400, "face takes the id of a face"),
            ("face=²", 400, "face takes the id of a face"),
            ("&".join(f"face={face}" for face in range(1, 102)), 400, "at most 100 faces"),
            ("face=999", 404, "There is no face 999"),
            ("face=1&not=999", 404, "There is no face 999"),
            ("face=50&model=other", 404, "There is no face 50 with an embedding by other"),
            ("face=1&model=nope", 400, "no faces by the model 'nope'; it holds: toy, other"),
            ("model=nope", 400, "no faces by the model 'nope'; it holds: toy, other"),
            ("key=wrong", 404, "in memory for an hour"),
            ("key=5", 404, "in memory for an hour"),
            ("key=²", 404, "in memory for an hour"),
            ("face=1&key=wrong", 404, "in memory for an hour"),
            ("face=1&not=wrong", 404, "in memory for an hour"),
            ("face=1&not=" + "9" * 5000, 404, "in memory for an hour"),
            ("face=1&face=2&not=1&not=2&face=1", 400, None),
        ],
    )
    def test_what_makes_no_sense_says_what_would(
        self, served: Site, search: str, status: int, says: str | None
    ) -> None:
        answer = served.get(f"{PAGE}.json?{search}")
        assert answer.status_code == status
        assert answer.json()["status"] == status
        assert (says or "") in answer.json()["error"]
        assert len(answer.json()["error"]) < 300
        assert served.get(f"{PAGE}.csv?{search}").json()["ok"] is False
        page = served.get(f"{PAGE}?{search}")
        assert page.status_code == (status if says else 200)
        assert (says or "") in unescape(page.text)

    def test_nothing_but_who_is_not_meant_is_said(self, served: Site) -> None:
        assert served.get(f"{PAGE}.json?not=5").status_code == 400
        page = served.get(f"{PAGE}?not=5")
        assert page.status_code == 200
        assert shown(page.text) == []

    def test_faces_that_cancel_each_other_out_are_said(self, various: Path, tmp_path: Path) -> None:
        against = vectors.encode(np.array([-1, 0, 0], np.float32))
        along = vectors.encode(np.array([1, 0, 0], np.float32))
        sql = "update face_embeddings set embedding = ? where face_id = ?"
        opposed = copied(various, tmp_path / "c.db", (sql, [along, 1]), (sql, [against, 2]))
        with site(opposed) as it:
            answer = it.json("/c/-/faces/search.json?face=1&face=2", status=400)
            assert "cancel each other out" in answer["error"]
            assert it.get("/c/-/faces/search?face=1&face=2").status_code == 400

    def test_a_fresh_upload_goes_on_from_the_page_that_says_a_key_expired(
        self, served: Site
    ) -> None:
        page = served.get(f"{PAGE}?key=gone&face=2&face=999&not=gone&photo=gone&model=toy")
        assert page.status_code == 404
        assert "for an hour" in message(page)
        text = content(page.text)
        fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text)
        assert {name: value for name, value in fields if name != "csrftoken"} == {
            "face": "2",
            "model": "toy",
        }
        assert "gone" not in text
        for image in re.findall(r'<img src="([^"]+)"', text):
            assert served.get(unescape(image)).status_code == 200
        sent = upload(served, drawn(RED), face="2", model="toy")
        assert served.get(sent.headers["location"]).status_code == 200

    def test_a_picture_to_choose_on_that_expired_says_so(self, served: Site) -> None:
        page = served.get(f"{PAGE}?photo=gone")
        assert page.status_code == 404
        assert "for an hour" in message(page)
        assert 'type="file"' in page.text


class TestKeys:
    @pytest.fixture
    def two(self, various: Path, tmp_path: Path, toy_plugin: None) -> Iterator[Site]:
        with site(various, copied(various, tmp_path / "second.db")) as it:
            yield it
            state_of(it.datasette).close()

    def refused(self, it: Site, database: str, key: str, fused: str, photo: str) -> None:
        page = f"/{database}/-/faces/search"
        for search in (f"key={key}", f"face=1&not={key}", f"face=1&key={key}", f"key={fused}"):
            assert it.json(f"{page}.json?{search}", status=404)["ok"] is False
            told = it.get(f"{page}?{search}")
            assert told.status_code == 404
            assert "an hour" in message(told)
        assert it.get(f"{page}?photo={photo}").status_code == 404
        for path in (f"face/{key}", f"face/{fused}", f"photo/{photo}", f"photo/{key}"):
            answer = it.get(f"{page}/{path}.jpg")
            assert answer.status_code == 404
            assert not answer.headers["content-type"].startswith("image")
        for one in (key, fused):
            asked_for = urlencode({"sql": "select face_query(:key)", "key": one})
            answer = it.get(f"/{database}{QUERY}.json?{asked_for}")
            assert answer.status_code == 400
            assert "face_query(): " in answer.text

    def made(self, it: Site) -> tuple[str, str, str]:
        """The keys of a face, of a fused query and of a picture."""
        answer = found_by(it, drawn(RED))
        key = answer["photos"][0]["faces"][0]["key"]
        fused = it.json(f"{PAGE}.json?key={key}&face=1")["params"]["key"]
        location = upload(it, drawn(RED, GREEN)).headers["location"]
        return key, fused, parse_qs(urlsplit(location).query)["photo"][0]

    def test_of_another_database_are_unknown(self, two: Site) -> None:
        keys = self.made(two)
        self.refused(two, "second", *keys)
        for key in keys[:2]:
            assert two.json(f"{PAGE}.json?key={key}")["results"]
            (row,) = two.sql("various", "select length(face_query(:key)) as n", key=key)
            assert row["n"] == 12

    def test_expire_after_an_hour(self, two: Site) -> None:
        now = [0.0]
        state_of(two.datasette).upload_cache = UploadCache(clock=lambda: now[0])
        keys = self.made(two)
        now[0] = 3599
        assert two.json(f"{PAGE}.json?key={keys[0]}")["results"]
        now[0] = 3600
        self.refused(two, "various", *keys)

    def test_of_another_model_are_not_mixed(self, two: Site) -> None:
        key, _, _ = self.made(two)
        answer = two.json(f"{PAGE}.json?face=1&key={key}&model=other", status=400)
        assert "cannot be compared" in answer["error"]
        assert two.get(f"{PAGE}?key={key}&model=other").status_code == 400

    def test_pictures_of_a_query_are_kept_nowhere(self, two: Site) -> None:
        key, _, photo = self.made(two)
        for path in (f"face/{key}", f"photo/{photo}"):
            answer = two.get(f"{PAGE}/{path}.jpg")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "image/jpeg"
            assert "no-store" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"

    def test_a_fused_query_follows_a_face_that_is_embedded_anew(
        self, various: Path, tmp_path: Path
    ) -> None:
        path = copied(various, tmp_path / "anew.db")
        with site(path) as it:
            before = it.json("/anew/-/faces/search.json?face=1&face=2")
            vector = vectors.encode(np.array([0, 0, 1], np.float32))
            sql = "update face_embeddings set embedding = ? where face_id in (1, 2)"
            other = copied(path, tmp_path / "changed.db", (sql, [vector]))
            path.write_bytes(other.read_bytes())
        with site(path) as it:
            after = it.json("/anew/-/faces/search.json?face=1&face=2")
        assert ids(after["results"]) != ids(before["results"])

    def test_nothing_of_an_upload_is_written_or_logged(
        self, two: Site, various: Path, capfd: Any, caplog: Any
    ) -> None:
        before = hashlib.sha256(various.read_bytes()).hexdigest()
        data = drawn((17, 201, 93))
        answer = upload(two, data, to=f"{PAGE}.json", names=("Aunt-Secret.jpg",)).json()
        key = answer["photos"][0]["faces"][0]["key"]
        upload(two, b"no picture", names=("Aunt-Secret.jpg",))
        upload(two, drawn(WHITE), to=f"{PAGE}.json", names=("Aunt-Secret.jpg",))
        two.get(f"{PAGE}?key={key}&face=1")
        vector = vectors.encode(state_of(two.datasette).upload_cache.vector("various", key)[1])
        out, err = capfd.readouterr()
        kept = out + err + caplog.text
        if hasattr(two.datasette, "get_internal_database"):
            internal = two.datasette.get_internal_database()
            kept += two.run(internal.execute_fn(everything_in))
        for secret in ("Aunt-Secret", key, vector.hex(), repr(vector)[2:-1]):
            assert secret not in kept
        assert hashlib.sha256(various.read_bytes()).hexdigest() == before
        assert [path for path in various.parent.iterdir() if path != various] == []


def everything_in(conn: Any) -> str:
    """All rows of a database, as text."""
    names = [row[0] for row in conn.execute("select name from sqlite_master where type = 'table'")]
    return str([tuple(row) for name in names for row in conn.execute(f"select * from [{name}]")])


def begin(it: Site, **options: Any) -> None:
    """Have the toy model at work within other limits."""
    model = options.pop("model", ToyModel())
    pool = ModelPool(model, replace(make_upload_options(), **{"workers": 1, **options}))
    state_of(it.datasette).pools._pools[model.id, "None"] = pool


class TestHarm:
    @pytest.fixture
    def fresh(self, various: Path, toy_plugin: None) -> Iterator[Site]:
        with site(various) as it:
            yield it
            state_of(it.datasette).close()

    @pytest.mark.slow
    @posix
    @pytest.mark.parametrize(
        ("colour", "reason"),
        [
            (KILLS, "it crashed the decoder"),
            (HANGS, "decoding it took over 1 seconds"),
            (EATS, "takes more memory than is allowed"),
        ],
        ids=["kills", "hangs", "eats memory"],
    )
    def test_a_picture_that_does_harm_is_400_and_the_server_goes_on(
        self, fresh: Site, colour: Colour, reason: str
    ) -> None:
        begin(fresh, limits=WorkerLimits(seconds=1, memory_bytes=1024**3))
        answer = upload(fresh, drawn(colour), to=f"{PAGE}.json", names=("bad.png",))
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("bad.png: ")
        assert reason in answer.json()["error"]
        page = upload(fresh, drawn(colour), names=("bad.png",))
        assert (page.status_code, reason in message(page)) == (400, True)
        assert ids(found_by(fresh, drawn(IN_PHOTO_4))["results"])[0] == 37

    @pytest.mark.slow
    def test_more_than_the_server_takes_at_once_is_503_with_when_to_try_again(
        self, fresh: Site
    ) -> None:
        begin(
            fresh, model=ToyModel(seconds=1), queue=QueuePolicy(max_waiting=0, when_full="refuse")
        )
        body = form(part("picture", drawn(RED), file="a.png"))
        headers = {"content-type": FORM, "authorization": "Bearer none"}

        async def at_once() -> list[Any]:
            # Of three people: of one there are never three at once
            async def one(actor: str | None, to: str, seconds: float) -> Any:
                await asyncio.sleep(seconds)
                return await fresh.asking("POST", to, actor, dict(headers), content=body)

            asks = (
                one(None, f"{PAGE}.json", 0),
                one("ann", f"{PAGE}.json", 0.3),
                one("bob", PAGE, 0.3),
                page(),
            )
            return list(await asyncio.gather(*asks))

        async def page() -> Any:
            await asyncio.sleep(0.3)
            began = time.monotonic()
            answer = await fresh.asking("GET", f"{PAGE}?face=1", None, {})
            return answer, time.monotonic() - began

        first, as_json, as_html, (beside, seconds) = fresh.run(at_once())
        assert first.status_code == 200
        for refused in (as_json, as_html):
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
        assert "try again" in as_json.json()["error"]
        assert "try again" in message(as_html)
        assert beside.status_code == 200
        assert seconds < 1
        assert found_by(fresh, drawn(RED))["results"]


class TestModelsThatAreNotThere:
    def made(self, various: Path, tmp_path: Path, *statements: str) -> Path:
        return copied(various, tmp_path / "m.db", *statements)

    def stored_works_and_uploads_say(self, it: Site, reason: str) -> None:
        page = it.get("/m/-/faces/search?face=1")
        assert page.status_code == 200
        assert len(shown(page.text)) == 48
        assert 'type="file"' not in page.text
        empty = it.get("/m/-/faces/search")
        assert reason in unescape(page.text)
        assert reason in unescape(empty.text)
        assert "You can still search with a stored face" in empty.text
        answer = upload(it, drawn(RED), to="/m/-/faces/search.json")
        assert answer.status_code == 501
        assert reason in answer.json()["error"]
        as_html = upload(it, drawn(RED), to="/m/-/faces/search")
        assert as_html.status_code == 501
        assert reason in unescape(as_html.text)

    def test_an_unknown_model_is_named_with_the_mend(self, various: Path, tmp_path: Path) -> None:
        renamed = [
            "update models set id = 'stranger' where id = 'toy'",
            "update face_embeddings set model_id = 'stranger' where model_id = 'toy'",
        ]
        strange = self.made(various, tmp_path, "pragma foreign_keys = off", *renamed)
        with site(strange) as it:
            self.stored_works_and_uploads_say(it, "plugin's setting `packs`")

    def test_a_model_that_lacks_something_says_what_to_install(
        self, various: Path, tmp_path: Path
    ) -> None:
        from datasette.plugins import pm

        renamed = [
            "update models set id = 'absent' where id = 'toy'",
            "update face_embeddings set model_id = 'absent' where model_id = 'toy'",
        ]
        plugin = AbsentModel().as_plugin()
        pm.register(plugin)
        try:
            absent = self.made(various, tmp_path, "pragma foreign_keys = off", *renamed)
            with site(absent) as it:
                self.stored_works_and_uploads_say(it, "the model absent needs pip install absent")
        finally:
            pm.unregister(plugin)

    @pytest.mark.parametrize("packs", ["one", ["one"]])
    def test_a_pack_in_a_folder_is_found_by_the_setting(
        self, various: Path, tmp_path: Path, packs: Any
    ) -> None:
        renamed = [
            "update models set id = 'one' where id = 'toy'",
            "update face_embeddings set model_id = 'one' where model_id = 'toy'",
        ]
        (tmp_path / "one").mkdir()
        folders = [str(tmp_path / "one")]
        setting = metadata_with(packs=folders[0] if packs == "one" else folders)
        with site(self.made(various, tmp_path, *renamed), metadata=setting) as it:
            self.stored_works_and_uploads_say(it, "the folder of one holds no model pack (*.onnx)")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "reason",
        [
            "/srv/secret place/x.onnx is broken",
            "cannot be loaded: [Load from '/srv/secret/x.onnx' failed]",
            "see C:\\secret\\x.onnx",
            "~/secret is empty",
            "file:secret/x.onnx",
        ],
    )
    @pytest.mark.parametrize("when", ["missing", "load"])
    def test_where_files_of_the_server_lie_is_told_to_its_log_alone(
        self,
        various: Path,
        tmp_path: Path,
        reason: str,
        when: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from datasette.plugins import pm

        renamed = [
            "update models set id = 'telling' where id = 'toy'",
            "update face_embeddings set model_id = 'telling' where model_id = 'toy'",
        ]
        told_of = self.made(various, tmp_path, "pragma foreign_keys = off", *renamed)
        plugin = TellingModel(reason=reason, when=when).as_plugin()
        pm.register(plugin)
        with site(told_of) as it:
            answer = upload(it, drawn(RED), to="/m/-/faces/search.json")
            pages = [it.get("/m/-/faces/search"), upload(it, drawn(RED), to="/m/-/faces/search")]
            state_of(it.datasette).close()
        pm.unregister(plugin)
        for told in (answer, *pages):
            assert "secret" not in told.text
        assert (answer.status_code, pages[1].status_code) == (501, 501)
        assert answer.json()["error"] == (
            "the model telling cannot be used on this server; its log says why"
        )
        assert "its log says why" in pages[1].text
        assert caplog.text.count(reason) == 1

    def test_a_folder_of_packs_is_named_to_nobody(self, various: Path, tmp_path: Path) -> None:
        folder = tmp_path / "secret" / "toy"
        folder.mkdir(parents=True)
        with site(self.made(various, tmp_path), metadata=metadata_with(packs=str(folder))) as it:
            answer = upload(it, drawn(RED), to="/m/-/faces/search.json")
            assert answer.json()["error"] == "the folder of toy holds no model pack (*.onnx)"
            assert "secret" not in it.get("/m/-/faces/search").text

    def test_other_weights_are_refused(
        self, various: Path, tmp_path: Path, toy_plugin: None
    ) -> None:
        other = self.made(various, tmp_path, "update models set weights_sha256 = 'other'")
        with site(other) as it:
            answer = upload(it, drawn(RED), to="/m/-/faces/search.json")
            assert answer.status_code == 501
            assert "weights" in answer.json()["error"]
            assert state_of(it.datasette).upload_cache.size_bytes == 0
            state_of(it.datasette).close()


def private(database: Path, settings: dict[str, Any], **top: Any) -> Any:
    metadata = {"databases": {"various": settings}, **top}
    return plain_site(database, **({"config": metadata} if V1 else {"metadata": metadata}))


class TestPermissions:
    @pytest.mark.parametrize("rule", [False, ANN])
    def test_who_may_not_upload_sees_no_form_and_is_not_read(
        self, various: Path, toy_plugin: None, rule: Any
    ) -> None:
        read = []

        async def body() -> AsyncIterator[bytes]:
            read.append(1)
            yield form(part("picture", drawn(RED), file="a.png"))

        with private(various, metadata_with(permissions={"faces-upload": rule})) as it:
            page = it.get(f"{PAGE}?face=1")
            assert page.status_code == 200
            assert len(shown(page.text)) == 48
            assert 'type="file"' not in page.text
            assert "You do not have permission to upload photos here" in it.get(PAGE).text
            for ending in ("", ".json", ".csv"):
                answer = it.post(f"{PAGE}{ending}", body(), FORM)
                assert answer.status_code == 403
            assert it.post(f"{PAGE}.json", body(), FORM).json()["ok"] is False
            assert it.post(f"{PAGE}.json", body(), FORM, actor="bob").status_code == 403
            assert read == []
            state = state_of(it.datasette)
            assert state.pools._pools == {}
            if rule:
                assert 'type="file"' in it.get(PAGE, actor="ann").text

    @pytest.mark.slow
    @pytest.mark.parametrize("table", ["faces", "photos", "face_embeddings", None])
    def test_what_shows_private_tables_is_refused(
        self, various: Path, toy_plugin: None, table: str | None
    ) -> None:
        allow: dict[str, Any] = {"allow": ANN}
        with private(various, {"tables": {table: allow}} if table else allow) as it:
            for path in (
                "?face=1",
                "",
                ".json?face=1",
                ".csv?face=1",
                "/face/x.jpg",
                "/photo/x.jpg",
            ):
                assert it.get(f"{PAGE}{path}").status_code == 403, path
                assert it.get(f"{PAGE}{path}", actor="bob").status_code == 403, path
                assert it.get(f"{PAGE}{path}", actor="ann").status_code in (200, 404), path
            refused = it.json(f"{PAGE}.json?face=1", status=403)
            assert refused == {**refused, "ok": False, "status": 403}
            assert upload(it, drawn(RED), to=f"{PAGE}.json").status_code == 403
            assert upload(it, drawn(RED), to=f"{PAGE}.json", actor="bob").status_code == 403

    def test_the_link_to_sql_is_not_there_for_who_may_not_run_it(self, various: Path) -> None:
        with site(various, settings={"default_allow_sql": False}) as it:
            page = it.get(f"{PAGE}?face=1&face=2")
            assert len(shown(page.text)) == 48
            assert "View and edit SQL" not in page.text

    @pytest.mark.skipif(CSRF_BY_HEADERS, reason="this Datasette asks for no token")
    def test_a_browser_s_form_needs_its_token(self, served: Site) -> None:
        page = served.get(PAGE)
        token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
        assert token
        cookie = f"ds_csrftoken={page.cookies['ds_csrftoken']}"
        picture = part("picture", drawn(RED), file="a.png")
        signed = form(part("csrftoken", token[1].encode()), picture)
        assert served.post(PAGE, signed, FORM, cookie=cookie).status_code == 303
        assert served.post(f"{PAGE}.json", signed, FORM, cookie=cookie).status_code == 200
        assert served.post(PAGE, form(picture), FORM, cookie=cookie).status_code == 403
        refused = served.post(f"{PAGE}.json", form(picture), FORM, cookie=cookie)
        assert (refused.status_code, refused.json()["ok"]) == (403, False)
        wrong = form(part("csrftoken", b"x"), picture)
        assert served.post(PAGE, wrong, FORM, cookie=cookie).status_code == 403
        nothing = form(part("face", b"1"))
        assert served.post(PAGE, nothing, FORM, cookie=cookie).status_code == 403

    @pytest.mark.skipif(not CSRF_BY_HEADERS, reason="this Datasette looks at tokens")
    @pytest.mark.parametrize("from_where", ["cross-site", "same-site"])
    def test_another_site_s_form_is_refused(self, served: Site, from_where: str) -> None:
        body = form(part("picture", drawn(RED), file="a.png"))
        for to in (PAGE, f"{PAGE}.json"):
            answer = served.post(to, body, FORM, cookie="ds_actor=x", sec_fetch_site=from_where)
            assert answer.status_code == 403
        own = served.post(PAGE, body, FORM, cookie="ds_actor=x", sec_fetch_site="same-origin")
        assert own.status_code == 303


class TestHostileWords:
    def is_tame(self, page: Any) -> None:
        for harm in HARM:
            assert harm not in content(page.text), harm

    @pytest.mark.parametrize(
        "name", ["folder", "key", "model", "not", "photo", "face", "k", "threshold"]
    )
    def test_in_the_address_are_text(self, served: Site, name: str) -> None:
        for search in ({"face": "1", name: HOSTILE}, {name: HOSTILE}):
            page = served.get(f"{PAGE}?{urlencode(search)}")
            assert page.status_code < 500
            self.is_tame(page)
            assert served.get(f"{PAGE}.json?{urlencode(search)}").status_code < 500

    def test_in_the_form_are_text(self, served: Site) -> None:
        for name in ("folder", "key", "model", "threshold"):
            page = upload(served, drawn(RED), **{name: HOSTILE})
            if page.status_code == 303:
                page = served.get(page.headers["location"])
            self.is_tame(page)

    @pytest.mark.parametrize("colours", [(RED,), (RED, GREEN), (WHITE,)])
    def test_in_the_name_of_a_file_are_text(
        self, served: Site, colours: tuple[Colour, ...]
    ) -> None:
        name = "<img src=x onerror=alert(1)> & {{ 7*7 }}.jpg"
        sent = upload(served, drawn(*colours), names=(name,))
        self.is_tame(served.get(sent.headers["location"]))
        self.is_tame(upload(served, b"text", names=(name,)))

    def test_in_a_photo_s_path_are_text(self, various: Path, tmp_path: Path) -> None:
        sql = "update photos set path = ?"
        with site(copied(various, tmp_path / "p.db", (sql, [f"/{HOSTILE}.png"]))) as it:
            self.is_tame(it.get("/p/-/faces/search?face=1&face=2"))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["two words", "a.b", "50%", "über", "a'b\"c<i>", "search"])
    def test_in_a_database_s_name_are_encoded_in_every_link(
        self, various: Path, tmp_path: Path, toy_plugin: None, name: str
    ) -> None:
        with plain_site(copied(various, tmp_path / f"{name}.db")) as it:
            base = f"{it.datasette.urls.database(name)}/-/faces/search"
            sent = upload(it, drawn(RED, GREEN), to=base)
            pages = base, f"{base}?face=1&face=2&k=3", sent.headers["location"]
            assert_links_work(it, self.links_of(it, *pages))
            state_of(it.datasette).close()

    @pytest.mark.slow
    @pytest.mark.parametrize("prefix", ["", "/a/b"])
    def test_behind_a_prefix_every_link_works(
        self, various: Path, toy_plugin: None, prefix: str
    ) -> None:
        with plain_site(various, settings={"base_url": "/a/b/"}) as it:
            sent = upload(it, drawn(RED, GREEN), to=f"{prefix}{PAGE}")
            assert sent.headers["location"].startswith("/a/b/various")
            pages = f"{prefix}{PAGE}?face=1&face=2&k=3", sent.headers["location"]
            links = self.links_of(it, *pages)
            for link in links:
                assert link.startswith("/a/b/")
                assert not link.startswith("/a/b/a/b")
            assert_links_work(it, links)
            state_of(it.datasette).close()

    def links_of(self, it: Site, *pages: str) -> set[str]:
        every = set()
        for page in pages:
            links = links_of(it.get(page).text)
            assert len(links) > 3
            every |= links
        return every
