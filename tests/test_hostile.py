"""Hostile input: names, paths and parameters that mean harm are shown as they are, or refused in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from desks import Desk, make_clustered
from galleries import opened
from serving import Site
from serving import plain_site as site

from datasette_faces.app.web import page
from datasette_faces.people import decide
from datasette_faces.store import review_queue
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

BASE = "/people/-/faces"
MARK = "h0st1le"
NAMES = {
    "a script": f"<script>{MARK}</script>",
    "an attribute": f'" onmouseover="{MARK}" x="',
    "an attribute with apostrophes": f"' onfocus='{MARK}' autofocus x='",
    "a template": f"{{{{ {MARK} }}}}{{% raw %}}",
    "an address": f"javascript:{MARK}",
    "an entity": f"&lt;img src=x onerror={MARK}&gt;",
    "the end of an element": f"</option></datalist></title></textarea><svg onload={MARK}>",
    "a line": f"{MARK}\r\nset-cookie: a=b",
    "a turn": f"\u202e{MARK}\u202c",
    "a format": f"%s%n{{0}}{MARK}",
}
PAGES = ("", "/photo/1", "/face/1", "/people", "/people/1", "/history", "/review", "/calibration")
PAGES += ("/search?face=1", "/people?q=a", "/people?done=1-9")
DATASETTE = (
    "/people/faces.faces",
    "/people/people",
    "/people/faces",
    "/people/people_together?person=",
)


class Parsed(HTMLParser):
    """What a browser would make of a page: elements, and what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.harm: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note attributes and addresses that run."""
        self._script = tag == "script"
        for name, value in attrs:
            runs = name.startswith("on")
            if name in ("href", "src", "action", "formaction", "xlink:href"):
                runs = (value or "").strip().lower().startswith("javascript:")
            if runs and MARK in (value or ""):
                self.harm.append(f"{tag} {name}={value}")
            if MARK in name or MARK in tag:
                self.harm.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a script."""
        self._script = False

    def handle_data(self, data: str) -> None:
        """Note what is run."""
        if self._script and MARK in data:
            self.harm.append(data)


def harm(text: str) -> list[str]:
    """What of the mark a browser would run."""
    if MARK not in unescape(text).lower():
        return []
    parsed = Parsed()
    parsed.feed(text)
    return parsed.harm


def test_the_test_sees_harm() -> None:
    for text in (
        NAMES["a script"],
        f"""<a x="{NAMES["an attribute"]}">""",
        f'<a href="{NAMES["an address"]}">',
    ):
        assert harm(text), text


def harmed(folder: Path, name: str) -> Path:
    """A database in which everything that is text is hostile."""
    path = make_clustered(folder / "people.db")
    with writing(str(path)) as conn, transaction(conn):
        by = decide.Editor(name)
        decide.name(conn, 1, "once", by=by)
        decide.name(conn, 2, "other", by=by)
        decide.hide(conn, 3, by=by)
        conn.execute("update people set name = ? || id where name is not null", [name])
        conn.execute("update decisions set value = ? where value is not null", [name])
        conn.execute("update photos set path = '/' || ? || id || '.jpg', camera = ?", [name, name])
        conn.execute("update photos set taken_at = ?, format = ?", [name, name])
        conn.execute("alter table photos add column original_url text")  # as a catalogue has it
        conn.execute("update photos set original_url = ?", [name])
        conn.execute("update photo_paths set path = '/' || ? || photo_id || '.jpg'", [name])
        conn.execute("update faces set landmarks = ?, photo_taken_at = ?", [name, name])
        conn.execute("update models set name = ?, licence = ?", [name, name])
        conn.execute(
            "insert into ingest_errors(path, reason, seen_at) values (?, ?, '')", [name, name]
        )
    return path


@pytest.mark.parametrize("name", NAMES)
def test_what_is_hostile_in_a_database_is_shown_as_text(tmp_path: Path, name: str) -> None:
    with site(harmed(tmp_path, NAMES[name])) as served:
        desk, seen = Desk(served), 0
        for path in PAGES:
            page = desk.get(path)
            assert page.status_code == 200, path
            assert harm(page.text) == [], path
            seen += page.text.count(MARK)
            assert "set-cookie: a=b" not in str(page.headers)
            address, _, query = path.partition("?")
            data = desk.get(f"{address}.json?{query}")
            assert data.headers["content-type"].startswith("application/json")
            json.loads(data.text)
        assert seen > 10
        for path in DATASETTE:
            page = served.get(path, actor="root")
            assert page.status_code == 200, path
            assert harm(page.text) == [], path
        table = desk.get("/search.csv?face=1")
        assert table.headers["content-type"] == "text/csv; charset=utf-8"


WRONG = {
    "text": f"<b>{MARK}",
    "bytes": b"\xff\x00<i>",
    "infinity": 1e999,
    "infinity in JSON": "[1e999]",
    "zero": 0,
    "nothing": None,
}
READ = {
    "photos": ("", "/photo/1", "/face/1", "/people/1", "/search?face=1"),
    "photo_paths": ("/photo/1", "/search?face=1"),
    "faces": ("", "/photo/1", "/face/1", "/people/1", "/history", "/search?face=1"),
    "people": ("/photo/1", "/face/1", "/people", "/people/1", "/history", "/review"),
    "models": ("", "/face/1", "/review", "/calibration", "/search?face=1"),
    "face_embeddings": ("/face/1", "/search?face=1", "/photo/1"),
    "decisions": ("/people/1", "/history", "/face/1", "/people?done=1-9"),
    "decision_faces": ("/people/1", "/history", "/face/1", "/people?done=1-9"),
    "likely_pairs": ("/people", "/review", "/review?several=1"),
}
"""The pages that read a table."""
ID = ("id", "integer")
PICTURES = ("/crop/1.jpg", "/thumbnail/1.jpg", "/image/1.jpg")


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose tables take anything anywhere, as another program could have made them."""
    path = harmed(tmp_path_factory.mktemp("unbound"), "Ada")
    with writing(str(path)) as conn:
        with transaction(conn):
            pairs = [("cluster-0", "cluster-1", 0.3), ("cluster-1", "cluster-2", 0.2)]
            review_queue.save_pairs(conn, "toy", pairs, replace=True)
            conn.execute("update people set hidden = 0")
        conn.execute("pragma writable_schema = on")
        anything = (
            "update sqlite_master set sql = replace(sql, ' not null', '') where type = 'table'"
        )
        conn.execute(anything)
        conn.execute("pragma writable_schema = reset")
    return path


def columns(conn: Any, table: str) -> list[str]:
    """A table's columns without those by which this test finds its rows again."""
    found = conn.execute(f"pragma table_info({table})").fetchall()
    return [
        name for _, name, kind, *_ in found if name != "first_key" and (name, kind.lower()) != ID
    ]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("table", READ)
def test_a_value_of_another_kind_breaks_no_page(unbound: Path, table: str, value: str) -> None:
    with site(unbound) as served, opened(unbound) as conn:
        desk = Desk(served)
        for column in columns(conn, table):
            row = "first_key" if table == "likely_pairs" else "rowid"
            before = conn.execute(f"select {column}, {row} from {table}").fetchall()
            conn.execute(f"update or ignore {table} set {column} = ?", [WRONG[value]])
            try:
                assert_answered(desk, READ[table], f"{table}.{column}")
            finally:
                conn.executemany(f"update {table} set {column} = ? where {row} = ?", before)


def assert_answered(desk: Desk, pages: tuple[str, ...], what: str) -> None:
    """Fail unless each page, its JSON and every picture is there, or is refused in words."""
    for path in pages:
        address, _, query = path.partition("?")
        page, data = desk.get(path), desk.get(f"{address}.json?{query}")
        assert page.status_code in (200, 400, 404), (what, path)
        assert harm(page.text) == [], (what, path)
        assert data.status_code == page.status_code, (what, path)
        json.loads(data.text, parse_constant=pytest.fail)
    for path in PICTURES:
        assert desk.get(path).status_code in (200, 404), (what, path)


def test_in_a_photo_of_no_size_nobody_can_be_drawn_and_it_says_why(tmp_path: Path) -> None:
    with site(harmed(tmp_path, "Ada")) as served, opened(tmp_path / "people.db") as conn:
        conn.execute("update photos set width = 'x'")
        desk = Desk(served)
        page = desk.get("/photo/1")
        assert "The size of photo 1 is not known: ingest it again." in page.text
        box = {"x": "1", "y": "1", "width": "5", "height": "5"}
        answer = desk.send("/photo/1.json", page, action="draw", photo="1", **box)
        assert answer.status_code == 400
        assert "is not known" in answer.json()["error"]


def test_only_an_address_of_the_web_is_an_original(tmp_path: Path) -> None:
    address = "https://example.org/1.jpg"
    with site(harmed(tmp_path, address)) as served:
        assert f'href="{address}"' in Desk(served).get("/photo/1").text


@pytest.mark.parametrize("embedding", [b"\0" * 4, b"\0\0\xc0\x7f" * 8, b"", "x"])
def test_a_vector_that_is_none_leaves_the_face_s_page(unbound: Path, embedding: object) -> None:
    with site(unbound) as served, opened(unbound) as conn:
        [before] = conn.execute("select embedding from face_embeddings where face_id = 1")
        change = "update face_embeddings set embedding = ? where face_id = 1"
        conn.execute(change, [embedding])
        assert_answered(Desk(served), ("/face/1", "/face/2", "/search?face=2"), "embedding")
        conn.execute(change, before)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_hostile_in_a_request_is_shown_as_text(served: Site, name: str) -> None:
    value = NAMES[name]
    for path, parameter in PARAMETERS:
        answer = served.get(f"{BASE}{path}?{urlencode({parameter: value})}", actor="root")
        assert answer.status_code in (200, 400, 404), (path, parameter)
        if answer.headers["content-type"].startswith("text/html"):
            assert harm(answer.text) == [], (path, parameter)
    for path in (f"/{quote(value, safe='')}/-/faces", f"{BASE}/{quote(value, safe='')}"):
        answer = served.get(path, follow=True)
        assert answer.status_code == 404
        assert harm(answer.text) == []


PARAMETERS = [
    *[("", name) for name in ("min_size", "min_score", "min_sharpness", "taken_from", "taken_to")],
    *[("", name) for name in ("model", "hidden", "after", "unknown")],
    *[("/photo/1", "hidden"), ("/face/1", "model"), ("/calibration", "model")],
    *[("/people", name) for name in ("show", "q", "after", "hidden", "done", "all")],
    *[("/people/1", name) for name in ("after", "hidden", "done")],
    *[("/history", name) for name in ("before", "done")],
    *[("/review", name) for name in ("after", "several", "done")],
    *[("/search", name) for name in ("face", "key", "not", "photo", "model", "k", "threshold")],
    *[("/search", name) for name in ("taken_from", "taken_to", "folder", "person_id", "hidden")],
    *[("/search.json", "face"), ("/search.csv", "face"), ("/people.json", "q"), (".json", "after")],
]
VALUES = {
    "nothing": "",
    "a blank": " ",
    "a null": "\x00",
    "half a character": "\ud800",
    "minus one": "-1",
    "zero": "0",
    "a fraction": "1.5",
    "no number": "nan",
    "without end": "inf",
    "too large": "1e999",
    "over 64 bits": str(2**63),
    "20 digits": "9" * 20,
    "5000 zeros": "0" * 5000,
    "5000 digits": "9" * 5000,
    "60000 letters": "a" * 60_000,
    "other digits": "٣٤",
    "superscript": "²",
    "several": "1,2,3",
    "a range": "1-99999999",
    "a range backwards": "9-1",
    "points": "1.2.3",
    "commas": "0.5,a,b",
    "commas and no number": "nan,a,b",
    "dates": "2019-02-31",
    "SQL": "1' or '1'='1",
    "a pattern": "%_\\",
    "JSON": '{"a": [1]}',
    "deep JSON": "[" * 20_000,
}


@pytest.mark.parametrize("value", VALUES)
def test_no_parameter_breaks_a_page(served: Site, value: str) -> None:
    given = quote(VALUES[value].encode("utf-8", "surrogatepass"))
    for path, parameter in PARAMETERS:
        answer = served.get(f"{BASE}{path}?{parameter}={given}", actor="root")
        assert answer.status_code in (200, 400, 404), (path, parameter)
        # Nothing long comes back but in the addresses of the page itself
        if answer.status_code != 200 and path.endswith(".json"):
            assert len(answer.text) < 2_000


def test_many_values_of_a_parameter_break_no_page(served: Site) -> None:
    for path, parameter in PARAMETERS:
        many = "&".join(f"{parameter}={n}" for n in range(1, 3_000))
        answer = served.get(f"{BASE}{path}?{many}", actor="root")
        assert answer.status_code in (200, 400, 404), (path, parameter)


ACTIONS = (
    "name",
    "merge",
    "merge-pairs",
    "apart",
    "split",
    "move",
    "reject",
    "not-a-face",
    "cover",
)
ACTIONS += ("hide", "unhide", "undo", "redo", "", "nothing")
FIELDS = ("name", "to", "to_person", "person", "face", "decision", "pair", "seen", "same", "action")


IN_FORMS = ("a null", "half a character", "minus one", "over 64 bits", "5000 digits")
IN_FORMS += ("60000 letters", "a range", "deep JSON")


@pytest.mark.parametrize("value", IN_FORMS)
def test_no_field_of_a_form_breaks_a_decision(tmp_path: Path, value: str) -> None:
    with site(make_clustered(tmp_path / "people.db")) as served:
        desk = Desk(served)
        page = desk.get("/people")
        for action in ACTIONS:
            for field in FIELDS:
                fields = {"action": action, "person": "1", "face": "1", "name": "x", "to": "y"}
                fields[field] = VALUES[value].encode("utf-8", "surrogatepass")  # type: ignore[assignment]
                answer = desk.send("/people.json", page, **fields)
                assert answer.status_code in (200, 400, 409), (action, field, answer.text[:300])
                assert len(answer.text) < 100_000


BODIES = {
    "no object": b"[]",
    "a number": b"1",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "a large number": b'{"action":"hide","person":' + b"9" * 5_000 + b"}",
    "a large fraction": b'{"action":"hide","person":1e999}',
    "objects": b'{"action":{"a":1},"person":[{"b":[1]}]}',
    "nothing": b"",
    "half": b'{"action":',
    "no text": b"\xff\xfe",
    "a null": b'{"action":"name","person":1,"name":"\\u0000"}',
    "half a character": b'{"action":"name","person":1,"name":"\\ud800"}',
    "too much": b'{"a":"' + b"x" * 1_100_000 + b'"}',
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_no_body_breaks_a_decision(served: Site, body: str, kind: str) -> None:
    for path in ("/people.json", "/people/1.json", "/face/1.json", "/history.json", "/review.json"):
        answer = served.post(
            BASE + path, BODIES[body], kind, actor="root", authorization="Bearer none"
        )
        assert answer.status_code in (200, 400, 409, 413), (path, answer.text[:300])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(make_clustered(tmp_path_factory.mktemp("hostile") / "people.db")) as it:
        it.datasette.root_enabled = True
        yield it


def test_every_parameter_that_a_view_reads_is_tried() -> None:
    views = Path(page.__file__).parent
    read = set()
    for module in views.glob("*.py"):
        text = module.read_text()
        read |= set(re.findall(r'args\.get(?:list)?\("(\w+)"', text))
        read |= set(re.findall(r'(?:read_number|_day|read_id)\((?:page\.)?request, "(\w+)"', text))
    assert {"after", "min_size", "model"} <= read
    assert read <= {parameter for _, parameter in PARAMETERS} | {"_sort", "_sort_desc"}
