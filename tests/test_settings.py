"""Settings: each is documented, takes what it should, and a slip stops the server from starting."""

from __future__ import annotations

import re
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from datasette.utils import StartupError
from serving import Site, metadata_with, site

from datasette_faces.app.datasette.settings import SETTINGS

TAKEN: dict[str, list[Any]] = {
    "permissions": [{"faces-view": True}, {}, None],
    "serve_originals": [True, False],
    "originals_folders": ["/photos", ["/photos", "/more"], []],
    "packs": ["/models/my-pack", ["/models/my-pack"], []],
    "uploads_per_minute": [10, 0.5, 0, 0.001, 1_000_000, True, False],
    "client_header": ["fly-client-ip", "X-Real-IP"],
    "content_security_policy": [True, False, "default-src 'self'"],
    "site": [{"publisher": "An archive", "about": None}, {"contact": 5551234}, {}, None],
}
REFUSED: dict[str, list[Any]] = {
    "permissions": [["faces-view"], "faces-view"],
    "serve_originals": ["no", "true", 1, None],
    "originals_folders": [{"a": 1}, "", " ", [""], [1], 1, True, None],
    "packs": [{"a": 1}, "", [""], [None], 1, None],
    "uploads_per_minute": ["10", -1, inf, -inf, nan, 10**400, 1e-300, [10], {}, None],
    "client_header": ["", "X-Real-IP:", "x real ip", "é", "a\n", 1, True, ["a"], None],
    "content_security_policy": ["", "default-src 'self'\n", "a\r\nb: c", "é", 1, [], None],
    "site": ["An archive", [], {"publischer": "An archive"}, {"about": ["a", "b"]}],
}


def start(database: Path, settings: Any, where: str = "") -> Site:
    plugins = {"plugins": {"datasette-faces": settings}}
    metadata = {"databases": {"faces": plugins}} if where else plugins
    return Site(database, metadata=metadata)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["", " of faces"])
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_a_value_that_a_setting_does_not_take_stops_the_server_from_starting(
    faces_db: Path, name: str, value: Any, where: str
) -> None:
    with pytest.raises(StartupError, match=f"datasette-faces: {name}{where} takes "):
        start(faces_db, {name: value}, where)


@pytest.mark.parametrize("where", ["", " of faces"])
def test_a_setting_that_is_none_stops_the_server_and_the_known_ones_are_named(
    faces_db: Path, where: str
) -> None:
    with pytest.raises(StartupError, match=f"no setting{where} is originals_folder; ") as told:
        start(faces_db, {"originals_folder": ["/photos"]}, where)
    assert str(told.value).endswith(f"known: {', '.join(SETTINGS)}")


@pytest.mark.parametrize("settings", [["serve_originals"], "serve_originals", True])
def test_settings_that_are_no_names_with_values_stop_the_server(
    faces_db: Path, settings: Any
) -> None:
    with pytest.raises(StartupError, match="the settings are names with values"):
        start(faces_db, settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_setting_takes_is_taken_and_pages_are_shown(faces_db: Path, name: str) -> None:
    for value in TAKEN[name]:
        with site(faces_db, metadata=metadata_with(**{name: value})) as served:
            assert served.get("/faces/-/faces").status_code == 200
            sent = served.post("/faces/-/faces/search.json", b"x", "text/plain")
            assert sent.status_code in (415, 429)


def test_each_setting_is_documented_with_what_it_takes() -> None:
    text = (ROOT / "docs" / "pages.md").read_text()
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))
    assert list(rows) == list(SETTINGS)
    assert set(TAKEN) == set(REFUSED) == set(SETTINGS)


def test_no_page_of_the_docs_has_a_setting_that_is_none() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "metadata.yml"]
    named = set()
    for page in pages:
        blocks = re.findall(r"^( *)datasette-faces:\n((?:\1 +.*\n)+)", page.read_text(), re.M)
        for indent, block in blocks:
            named |= set(re.findall(rf"^{indent}  (\w+):", block, re.MULTILINE))
    assert named
    assert named <= set(SETTINGS)
