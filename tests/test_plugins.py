"""Beside other plugins: our cells are there, and the gate (plugin_server) sees what is wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import plugin_server
import pytest
from datasette import hookimpl
from datasette.plugins import pm
from markupsafe import Markup
from serving import Site, site

pytestmark = pytest.mark.slow


class ShowsPictures:
    """As datasette-render-images does, for any bytes that begin as a JPEG."""

    @staticmethod
    @hookimpl
    def render_cell(value: Any) -> Markup | None:
        if not isinstance(value, bytes) or not value.startswith(b"\xff\xd8"):
            return None
        return Markup('<img src="data:image/jpeg;base64,{}">').format(
            base64.b64encode(value).decode()
        )


class AddsScripts:
    """As datasette-leaflet and datasette-vega do."""

    @staticmethod
    @hookimpl
    def extra_body_script() -> str:
        return "window.added = '</b>';"

    @staticmethod
    @hookimpl
    def extra_js_urls() -> list[str]:
        return ["https://example.org/a.js?v=1"]


class Fails:
    """As datasette-graphql 2.2 did."""

    @staticmethod
    @hookimpl
    def table_actions(table: str) -> list[Any]:
        raise KeyError(table)


class RemovesPictures:
    """A plugin that hides what we show."""

    @staticmethod
    @hookimpl(tryfirst=True)
    def render_cell(value: Any) -> str | None:
        return "gone" if isinstance(value, bytes) else None


@contextmanager
def beside(database: Path, plugin: Any) -> Iterator[Site]:
    """A Datasette that has another plugin as well."""
    pm.register(plugin, name=plugin.__name__)
    try:
        with site(database) as served:
            yield served
    finally:
        pm.unregister(plugin)


def wrong(served: Site, *addresses: str) -> list[str]:
    return [line for address in addresses for line in plugin_server.look_at(served, address, set())]


CELLS = ("/faces/faces?_size=1", "/faces/faces", "/faces/photos", "/faces/face_embeddings")


def test_our_pictures_come_before_those_of_a_plugin_that_shows_any(faces_db: Path) -> None:
    with beside(faces_db, ShowsPictures) as served:
        assert wrong(served, *CELLS) == []
        rows = served.get("/faces?sql=select+crop+as+other+from+faces", follow=True).text
    assert 'src="data:image/jpeg' in rows


def test_scripts_of_others_may_run_on_our_pages(faces_db: Path) -> None:
    with beside(faces_db, AddsScripts) as served:
        page = served.get("/faces/-/faces/search")
        assert wrong(served, "/faces/-/faces", "/faces/-/faces/search") == []
    assert "window.added" in page.text
    assert "https://example.org/a.js?v=1" in page.text


@pytest.mark.parametrize(
    ("plugin", "address", "said"),
    [
        (Fails, "/faces/faces", "/faces/faces: 500"),
        (RemovesPictures, "/faces/faces", "/faces/faces has no <img"),
        (RemovesPictures, "/faces/face_embeddings", "/faces/face_embeddings has no -d<"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_gate_sees_what_is_wrong(
    faces_db: Path, plugin: Any, address: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with beside(faces_db, plugin) as served:
        [line] = wrong(served, address)
    assert line.startswith(said)


POLICY = "default-src 'none'; script-src 'self' https://a.example/x.js {}; style-src 'self'"


@pytest.mark.parametrize(
    ("page", "refused"),
    [
        ("<script>1</script>", ["the script '1'"]),
        ('<script src="/a.js"></script><script src="https://a.example/x.js?v=2"></script>', []),
        ('<script type="module" src="//a.example/y.js"></script>', ["//a.example/y.js"]),
        ('<link rel="stylesheet" href="https://b.example/c.css">', ["https://b.example/c.css"]),
        ('<link rel="stylesheet" href="c.css">', []),
    ],
)
def test_the_gate_reads_a_policy_as_a_browser_does(page: str, refused: list[str]) -> None:
    assert list(plugin_server.refused(POLICY.format(""), page)) == refused


def test_a_script_is_known_by_its_hash() -> None:
    digest = base64.b64encode(sha256(b"1").digest()).decode()
    policy = POLICY.format(f"'sha256-{digest}'")
    assert list(plugin_server.refused(policy, "<script>1</script>")) == []
    assert list(plugin_server.refused(policy, "<script>2</script>")) == ["the script '2'"]
