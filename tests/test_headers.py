"""What browsers are told: which scripts may run, who may embed, what no other site learns."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from datasette import __version__, hookimpl
from datasette.plugins import pm
from serving import QUERY, Site, copied, metadata_with, site
from test_browser import opened, show

pytestmark = pytest.mark.slow

ADDRESSES = {
    "gallery": "",
    "photo": "/photo/1",
    "face": "/face/1",
    "people": "/people",
    "history": "/history",
    "review": "/review",
    "calibration": "/calibration",
    "search": "/search?face=1",
    "a search that fails": "/search?face=999",
}
ERRORS = {"no such face": "/face/999", "no such page": "/nothing", "a wrong filter": "?min_size=x"}
DATA = ("/crop/1.jpg", "/thumbnail/1.jpg", "/search/face/x.jpg", ".json", "/face/999.json")
DATA += ("/search.csv?face=1",)
BASE = "/faces/-/faces"
INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.S)


def policy_of(response: Any) -> dict[str, list[str]]:
    """A Content-Security-Policy by its parts."""
    parts = response.headers["content-security-policy"].split(";")
    return {name: sources for name, *sources in (part.split() for part in parts)}


def hashed(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@pytest.mark.parametrize("name", [*ADDRESSES, *ERRORS])
def test_a_page_lets_no_script_run_but_those_that_datasette_put_there(
    served: Site, name: str
) -> None:
    response = served.get(BASE + {**ADDRESSES, **ERRORS}[name])
    policy = policy_of(response)
    scripts = [hashed(script) for script in INLINE.findall(response.text)]
    assert scripts
    # Datasette 1.0 tells its version in one of them, which pages of errors do not know
    allowed = {hashed(f"window.datasetteVersion = '{it}';") for it in ("", __version__)}
    assert set(scripts) <= set(policy["script-src"]) <= {"'self'", *scripts, *allowed}
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'self'"]
    assert policy["base-uri"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_page_of_ours_has_a_script_or_a_handler_within_it(served: Site, name: str) -> None:
    text = served.get(BASE + ADDRESSES[name]).text
    content = text.partition('<section class="content">')[2].partition("</section>\n</div>")[0]
    assert "<h1" in content
    assert not INLINE.findall(content)
    assert not re.search(r"<[^>]*\son[a-z]+\s*=", content)
    assert "javascript:" not in content


@pytest.mark.parametrize("path", DATA)
def test_pictures_and_data_do_nothing_where_they_are_opened_by_themselves(
    served: Site, path: str
) -> None:
    response = served.get(BASE + path)
    if response.headers["content-type"].startswith("text/html"):
        assert "default-src" in policy_of(response)
    else:
        assert policy_of(response) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


def test_a_header_is_never_sent_twice(served: Site) -> None:
    for path in (*ADDRESSES.values(), *ERRORS.values(), *DATA):
        names = [name.lower() for name, _ in served.get(BASE + path).headers.multi_items()]
        once = [it for it in names if it != "set-cookie"]
        assert len(once) == len(set(once)), path


@pytest.mark.parametrize(("cors", "who"), [(False, "same-origin"), (True, "cross-origin")])
def test_other_sites_may_show_pictures_only_where_cors_is_on(
    faces_db: Path, cors: bool, who: str
) -> None:
    with site(faces_db, cors=cors) as served:
        for path in ("/crop/1.jpg", "/thumbnail/1.jpg"):
            picture = served.get(BASE + path)
            assert picture.headers["cross-origin-resource-policy"] == who
            again = served.get(BASE + path, if_none_match=picture.headers["etag"])
            assert again.status_code == 304
            assert again.headers["cross-origin-resource-policy"] == who


@pytest.mark.parametrize("cors", [False, True])
def test_other_sites_may_read_data_only_where_cors_is_on(faces_db: Path, cors: bool) -> None:
    with site(faces_db, cors=cors) as served:
        for path in (".json", "/face/999.json", "/search.csv?face=1", "/crop/1.jpg"):
            names = served.get(BASE + path).headers
            assert names.get("access-control-allow-origin") == ("*" if cors else None), path
        assert "access-control-allow-origin" not in served.get(BASE).headers
        written = served.post(f"{BASE}/people.json", b"{}", "application/json")
        assert "access-control-allow-origin" not in written.headers


def test_a_picture_is_asked_for_anew_once_somebody_else_looks(served: Site) -> None:
    for path in ("/crop/1.jpg", "/thumbnail/1.jpg"):
        picture = served.get(BASE + path)
        again = served.get(BASE + path, if_none_match=picture.headers["etag"])
        for answer in (picture, again):
            assert answer.headers["vary"] == "Cookie, Authorization"


def test_pages_of_datasette_itself_are_left_alone(served: Site) -> None:
    for path in ("/", "/faces", "/faces/faces"):
        assert "content-security-policy" not in served.get(path).headers


def test_a_gallery_of_any_query_has_the_policy_too(served: Site) -> None:
    response = served.get("/faces/faces.faces")
    assert "'unsafe-inline'" not in policy_of(response)["script-src"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_gallery_of_a_query_that_names_no_face_has_the_policy_too(served: Site) -> None:
    for path in ("/faces/photos.faces", f"/faces{QUERY}.faces?sql=select+1"):
        response = served.get(path)
        assert response.status_code == 400
        assert policy_of(response)["default-src"] == ["'none'"]
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("chosen", [False, "default-src 'self'"])
@pytest.mark.parametrize("base_url", ["/", "/a/b/"])
def test_a_site_may_choose_its_own_policy_or_none(
    faces_db: Path, chosen: Any, base_url: str
) -> None:
    general = metadata_with(content_security_policy=chosen)
    own = {"databases": {"faces": general}, **metadata_with(content_security_policy="img-src *")}
    for metadata in (general, own):
        with site(faces_db, metadata=metadata, settings={"base_url": base_url}) as served:
            for path in ("", *ERRORS.values()):
                headers = served.get(base_url + BASE[1:] + path).headers
                assert headers.get("content-security-policy", False) == chosen, path
                assert headers["x-content-type-options"] == "nosniff"


@contextmanager
def plugin_of_another(hook: Any) -> Iterator[None]:
    pm.register(hook)
    try:
        yield
    finally:
        pm.unregister(hook)


class Decorated:
    """A plugin that adds what it may: a script within each page, and files on another server."""

    __name__ = "Decorated"

    @hookimpl
    def extra_body_script(self, database: str | None) -> str:
        return f"window.decorated = '{database}';"

    @hookimpl
    def extra_js_urls(self) -> list[str]:
        return ["https://cdn.example/a;b,c.js?v=1", "/-/static/local.js"]

    @hookimpl
    def extra_css_urls(self) -> list[str]:
        return ["https://cdn.example/style.css"]


def test_what_other_plugins_add_to_a_page_is_allowed_by_its_hash_and_address(
    faces_db: Path,
) -> None:
    with plugin_of_another(Decorated()), site(faces_db) as served:
        for path in ADDRESSES.values():
            response = served.get(BASE + path)
            scripts = [hashed(script) for script in INLINE.findall(response.text)]
            policy = policy_of(response)
            assert set(scripts) <= set(policy["script-src"])
            assert hashed("window.decorated = 'faces';") in policy["script-src"]
            assert "https://cdn.example/a%3Bb%2Cc.js" in policy["script-src"]
            assert "https://cdn.example/style.css" in policy["style-src"]
            assert set(policy) >= {"default-src", "script-src", "frame-ancestors"}


PATHS_SHOWN = ("", "/photo/1", "/face/1", "/search?face=1")


def test_no_value_of_a_database_can_add_a_script_to_what_is_allowed(
    faces_db: Path, tmp_path: Path
) -> None:
    opening, hostile = "<script>alert(1)", "<script>alert(1)</script>"
    change = "update photos set path = ?, camera = ?"
    harmed = copied(faces_db, tmp_path / "faces.db", (change, [f"/{opening}.jpg", hostile]))
    with site(harmed) as served:
        for path in ADDRESSES.values():
            response = served.get(BASE + path)
            assert hashed("alert(1)") not in response.headers["content-security-policy"]
            assert opening not in response.text
            # It stands on the page all the same, as text
            if path in PATHS_SHOWN:
                assert opening in unescape(response.text), path
            if path == "/photo/1":
                assert hostile in unescape(response.text)


@pytest.fixture(scope="module")
def address(chromium: Any, faces_db: Path) -> Iterator[str]:
    with serving(faces_db, "--secret", "of-this-test") as it:
        yield it


VIOLATIONS = """() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", it =>
        window.violations.push(`${it.violatedDirective} ${it.blockedURI} ${it.sample}`));
}"""


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_browser_finds_nothing_on_our_pages_that_their_policy_forbids(
    chromium: Any, address: str, name: str
) -> None:
    with opened(chromium, alone=True) as (page, wrong):
        page.add_init_script(f"({VIOLATIONS})()")
        show(page, address + BASE + ADDRESSES[name])
        page.keyboard.press("Tab")
        page.wait_for_timeout(50)
        assert page.evaluate("window.violations") == []
        assert [it for it in wrong if not it.startswith(("404", "Failed to load"))] == []


HARM = """() => {
    const script = document.createElement("script");
    script.textContent = "window.harmed = 'script'";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend",
        "<img src='/-/nothing' onerror=\\"window.harmed = 'handler'\\">");
    const other = document.createElement("script");
    other.src = "https://evil.example/x.js";
    document.body.append(other);
    const frame = document.createElement("iframe");
    frame.src = "https://evil.example/";
    document.body.append(frame);
}"""


def test_a_browser_runs_no_script_that_gets_into_a_page(chromium: Any, address: str) -> None:
    with opened(chromium, alone=True) as (page, _wrong):
        page.add_init_script(f"({VIOLATIONS})()")
        page.goto(address + BASE)
        page.evaluate(HARM)
        page.wait_for_timeout(300)
        assert page.evaluate("window.harmed") is None
        said = " ".join(page.evaluate("window.violations"))
        for directive in ("script-src-elem", "script-src-attr", "frame-src"):
            assert directive in said
