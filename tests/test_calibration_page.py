"""The page of a calibration, and the chance beside each similarity, through Datasette's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from browser import serving
from galleries import model_info
from serving import QUERY, Site, copied, site
from test_browser import opened
from test_calibration import DIMENSIONS, database, named_db  # noqa: F401
from test_pages import sql_link

from datasette_faces.search import probability
from datasette_faces.store import models
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

PAGE = "/named/-/faces/calibration"
PERCENT = re.compile(r'class="faces-chance"[^>]*>(?:&gt;|&lt;)?(\d+)%<')
ANN = {"id": "ann"}


@pytest.fixture
def calibrated(database: Path) -> Path:  # noqa: F811
    with writing(str(database)) as conn:
        probability.calibrate(conn, "toy")
    return database


@pytest.fixture
def served(calibrated: Path) -> Iterator[Site]:
    with site(calibrated) as it:
        yield it


def plots(text: str) -> list[Any]:
    """The page's plots, which have to be well-formed."""
    found = re.findall(r'<figure class="faces-plot">\s*(<svg.*?</svg>)', text, re.S)
    return [ElementTree.fromstring(unescape(it).replace("&", "&amp;")) for it in found]


def only_for_ann(table: str) -> dict[str, Any]:
    return {"databases": {"named": {"tables": {table: {"allow": ANN}}}}}


class TestThePage:
    def test_shows_the_curve_its_reliability_and_the_accept_rates(self, served: Site) -> None:
        page = served.get(PAGE)
        assert page.status_code == 200
        curve, reliability = plots(page.text)
        for plot in (curve, reliability):
            title, told = plot.find("title"), plot.find("desc")
            assert title.text
            assert "%" in told.text
            assert plot.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
        assert len(curve.findall("polyline")) == 2
        assert reliability.findall("circle")
        assert page.text.count("<tr>") == 1 + 4
        assert "too few pairs" in page.text
        assert "datasette faces calibrate named.db" in page.text
        assert "Fitted to" in page.text

    def test_json_has_what_the_page_shows(self, served: Site) -> None:
        answer = served.json(f"{PAGE}.json")
        assert (answer["model"], answer["source"], answer["people"]) == ("toy", "library", 10)
        assert answer["ece"] <= 0.02
        assert [rate["far"] for rate in answer["rates"]] == [0.1, 0.01, 0.001, 0.0001]
        curve = [row["probability"] for row in answer["curve"]]
        assert curve == sorted(curve)
        assert (answer["curve"][0]["similarity"], answer["curve"][-1]["similarity"]) == (-1, 1)
        page = served.get(PAGE).text
        assert (
            f"{answer['threshold']:.3f}</strong> or more, two faces are more likely one person"
            in page
        )

    def test_view_and_edit_sql_gives_the_curve(self, served: Site) -> None:
        page = served.get(PAGE).text
        assert served.follow_sql(sql_link(page)) == served.json(f"{PAGE}.json")["curve"]

    @pytest.mark.parametrize("statement", ["delete from calibrations", "drop table calibrations"])
    def test_without_a_calibration_shows_the_published_curve(
        self, calibrated: Path, tmp_path: Path, statement: str
    ) -> None:
        with site(copied(calibrated, tmp_path / "older.db", statement)) as older:
            page = older.get("/older/-/faces/calibration")
            assert page.status_code == 200
            assert "it has not been calibrated" in page.text
            assert len(plots(page.text)) == 1
            answer = older.json("/older/-/faces/calibration.json")
            assert (answer["source"], answer["ece"], answer["people"]) == ("published", None, None)
            assert answer["threshold"] == pytest.approx(0.4, abs=0.001)

    def test_of_an_immutable_older_file_works(self, calibrated: Path, tmp_path: Path) -> None:
        older = copied(calibrated, tmp_path / "older.db", "drop table calibrations")
        with site(immutables=[str(older)]) as it:
            assert it.get("/older/-/faces/calibration").status_code == 200
            nearest = it.json("/older/-/faces/face/1.json")["nearest"]
            assert all(0 < row["probability"] < 1 for row in nearest)

    def test_after_a_calibration_with_too_few_names_says_so(self, database: Path) -> None:  # noqa: F811
        with writing(str(database)) as conn:
            conn.execute("update people set name = null where id > 2")
            probability.calibrate(conn, "toy")
        with site(database) as it:
            page = it.get(PAGE).text
            assert "too few people had a name" in page
            assert it.json(f"{PAGE}.json")["people"] == 2

    def test_an_unknown_model_is_400(self, served: Site) -> None:
        assert served.get(f"{PAGE}?model=<b>").status_code == 400
        answer = served.json(f"{PAGE}.json?model=else", status=400)
        assert answer["error"].endswith("it holds: toy")

    def test_each_model_has_its_own(self, calibrated: Path) -> None:
        with writing(str(calibrated)) as conn:
            models.register(conn, model_info(DIMENSIONS, "other"))
        with site(calibrated) as it:
            assert "Model: <strong>toy</strong>" in it.get(PAGE).text
            page = it.get(f"{PAGE}?model=other").text
            assert "published curve of other" in page

    @pytest.mark.parametrize("table", ["faces", "photos", "face_embeddings", "calibrations"])
    def test_is_for_those_alone_who_may_see_its_tables(self, calibrated: Path, table: str) -> None:
        with site(calibrated, metadata=only_for_ann(table)) as it:
            assert it.get(PAGE).status_code == 403
            assert it.json(f"{PAGE}.json", status=403)["ok"] is False
            assert it.get(PAGE, actor="ann").status_code == 200

    def test_who_may_not_see_it_is_not_led_there(self, calibrated: Path) -> None:
        with site(calibrated, metadata=only_for_ann("calibrations")) as it:
            link = f'href="{PAGE}?model=toy"'
            for page in ("/named/-/faces/face/1", "/named/-/faces/search?face=1"):
                assert link not in it.get(page).text
                assert link in it.get(page, actor="ann").text

    def test_a_hostile_row_breaks_no_page(self, calibrated: Path, tmp_path: Path) -> None:
        for column, value in (
            ("evaluation", '{"ece": "<b>", "bins": [], "rates": []}'),
            ("evaluation", "[]"),
            ("evaluation", '{"ece": 0.1, "bins": [{"x": 1}], "rates": []}'),
            (
                "evaluation",
                '{"ece": 0.1, "bins": [], "rates": [{"far": "a", "threshold": 1, '
                '"tar": "<b>", "accepted_matching": 1, "accepted_other": 1}]}',
            ),
            (
                "evaluation",
                '{"ece": null, "bins": [{"predicted": 1, "observed": 1, "share": 1, '
                '"matching": 1, "other": 1}], "rates": []}',
            ),
            ("threshold", "<b>"),
            ("source", "<b>"),
            ("people", "many"),
        ):
            change = (f"update calibrations set {column} = ?", [value])
            broken = copied(calibrated, tmp_path / "broken.db", change)
            with site(broken) as it:
                page = it.get("/broken/-/faces/calibration")
                assert page.status_code == 200, (column, value)
                assert "<b>" not in page.text


class TestBesideASimilarity:
    @pytest.mark.parametrize("page", ["/face/1", "/search?face=1"])
    def test_pages_show_the_chance_and_lead_to_what_it_is(self, served: Site, page: str) -> None:
        text = served.get(f"/named/-/faces{page}").text
        name = "nearest" if page == "/face/1" else "results"
        path, _, query = page.partition("?")
        rows = served.json(f"/named/-/faces{path}.json?{query}")[name]
        grid = text.partition('<section id="nearest">')[2] or text
        shown = [int(it) for it in PERCENT.findall(grid)]
        assert len(shown) == len(rows) > 10
        for percent, row in zip(shown, rows, strict=True):
            expected = min(99, max(1, round(100 * row["probability"])))
            assert abs(percent - expected) <= 1
        assert f'href="{PAGE}?model=toy"' in text

    def test_is_the_same_on_the_sql_page(self, served: Site) -> None:
        nearest = served.json("/named/-/faces/face/1.json")["nearest"]
        by_sql = served.follow_sql(sql_link(served.get("/named/-/faces/face/1").text))
        assert [row["probability"] for row in by_sql] == [row["probability"] for row in nearest]
        assert nearest[0]["probability"] > 0.9 > 0.1 > nearest[-1]["probability"]

    def test_csv_has_it(self, served: Site) -> None:
        lines = served.get("/named/-/faces/search.csv?face=1").text.splitlines()
        assert lines[0].startswith("face_id,similarity,probability,")

    def test_an_error_of_the_function_names_it_and_the_reason(self, served: Site) -> None:
        for expression, says in (
            ("face_probability('alike')", "face_probability(): a similarity is a number, -1 to 1"),
            ("face_probability(2)", "face_probability(): a similarity is a number, -1 to 1, not 2"),
            ("face_probability(0.5, 'x')", "no faces by the model 'x'; it holds: toy"),
        ):
            address = f"/named{QUERY}.json?{urlencode({'sql': f'select {expression}'})}"
            assert says in served.json(address, status=400)["error"]


class TestARowsGallery:
    SQL = "select 1 as face_id, {} as similarity"

    def gallery(self, it: Site, sql: str) -> str:
        return str(it.get(f"/named{QUERY}.faces?{urlencode({'sql': sql})}").text)

    def test_shows_the_chance_of_a_similarity(self, served: Site) -> None:
        for similarity, shown in (
            (0.99, ["99"]),
            (-0.5, ["1"]),
            (7, []),
            ("'x'", []),
            ("null", []),
        ):
            text = self.gallery(served, self.SQL.format(similarity))
            assert PERCENT.findall(text) == shown

    def test_shows_a_rows_own_chance_before_that(self, served: Site) -> None:
        sql = f"{self.SQL.format(0.99)}, 0.25 as probability"
        text = self.gallery(served, sql)
        assert PERCENT.findall(text) == ["25"]
        assert "<dt>probability</dt>" not in text

    def test_of_a_file_with_two_models_shows_none_that_nobody_asked_for(
        self, calibrated: Path
    ) -> None:
        with writing(str(calibrated)) as conn:
            models.register(conn, model_info(DIMENSIONS, "other"))
        with site(calibrated) as it:
            assert PERCENT.findall(self.gallery(it, self.SQL.format(0.99))) == []


@pytest.mark.parametrize("width_px", [390, 1280])
def test_the_page_fits_a_phone_and_a_screen(chromium: Any, calibrated: Path, width_px: int) -> None:
    with serving(calibrated) as address, opened(chromium, (width_px, 800)) as (page, wrong):
        page.goto(f"{address}/named/-/faces/face/1#nearest")
        page.click("text=chance that it is the same person")
        page.wait_for_selector(".faces-plot svg")
        page.wait_for_load_state()  # the stylesheet too
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        for plot in page.query_selector_all(".faces-plot svg"):
            box = plot.bounding_box()
            assert 300 < box["width"] <= width_px
        assert page.get_by_role("img", name="Reliability").count() == 1
        assert wrong == []
