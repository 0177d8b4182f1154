"""The ready-made site: its front page, its page about itself, and what visitors may not do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import serving
from desks import make_clustered
from serving import Site, site
from test_browser import NARROW, WIDE, opened, show

from datasette_faces.app.datasette.compat import V1
from datasette_faces.people import decide
from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parent.parent
TEMPLATES, METADATA = HOUSE / "templates", HOUSE / "metadata.yml"
PUBLIC = ("--setting", "allow_download", "off", "--setting", "default_allow_sql", "off")
HOSTILE = "<img src=x onerror=alert(1)> {{ 7*7 }} \"'"


def metadata(**changes: Any) -> dict[str, Any]:
    """The metadata that ships, with changes of what it says of the publisher."""
    told: dict[str, Any] = yaml.safe_load(METADATA.read_text())
    told["plugins"]["datasette-faces"]["site"] |= changes
    return told


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Twelve faces: Ada, Grace, and four of somebody without a name."""
    path = make_clustered(tmp_path / "catalogue.db")
    with writing(str(path)) as conn, transaction(conn):
        decide.name(conn, 1, "Ada")
        decide.name(conn, 2, "Grace")
    return path


@pytest.fixture
def served(database: Path) -> Iterator[Site]:
    with site(database, metadata=metadata(), template_dir=str(TEMPLATES)) as it:
        yield it


def test_the_front_page_is_a_wall_of_those_who_have_a_name(served: Site) -> None:
    page = served.get("/")
    assert page.status_code == 200
    assert re.findall(r'title="([^"]*)">\1</bdi>', page.text) == ["Ada", "Grace"]
    assert "<strong>2</strong> people" in page.text
    assert "<strong>12</strong> faces" in page.text
    for link in re.findall(r'(?:href|src|action)="(/catalogue/-/faces[^"]*)"', page.text):
        assert served.get(link).status_code == 200, link


def test_hidden_people_are_not_on_it(database: Path, served: Site) -> None:
    with writing(str(database)) as conn, transaction(conn):
        decide.hide(conn, 1)
    text = served.get("/").text
    assert "Ada" not in text
    assert "Grace" in text


def test_where_nobody_has_a_name_it_shows_faces(tmp_path: Path) -> None:
    path = make_clustered(tmp_path / "catalogue.db")
    with site(path, metadata=metadata(), template_dir=str(TEMPLATES)) as it:
        page = it.get("/")
        assert page.text.count('href="/catalogue/-/faces/face/') == 12
        assert "</strong> people" not in page.text
        assert "</strong> person" not in page.text


def test_a_visitor_who_may_not_see_faces_gets_a_front_page_without(database: Path) -> None:
    told = metadata()
    told["plugins"]["datasette-faces"]["permissions"]["faces-view"] = False
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        for path in ("/", "/about"):
            page = it.get(path)
            assert page.status_code == 200
            assert "Ada" not in page.text
            assert "crop" not in page.text


def test_a_database_of_something_else_has_the_site_too(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.db"
    with sqlite3.connect(path) as conn:
        conn.execute("create table cats (name)")
    with site(path, metadata=metadata(), template_dir=str(TEMPLATES)) as it:
        assert 'href="/other"' in it.get("/").text
        assert "no faces here" in it.get("/about").text


def test_the_page_about_the_site_says_who_and_where_to_write(served: Site) -> None:
    text = served.get("/about").text
    assert 'href="mailto:takedown@example.org"' in text
    assert 'href="mailto:archive@example.org"' in text
    assert "CC BY 4.0" in text
    assert "biometric data" in text


def test_the_page_about_the_site_tells_how_many_people_have_a_name(
    database: Path, served: Site
) -> None:
    def told(path: str) -> str:
        return re.sub(r"<[^>]+>", "", served.get(path).text)

    assert "12 faces in 12 photographs. 3 people are shown, 2 of them with a name." in told(
        "/about"
    )
    assert "2 people with a name, 12 faces" in told("/")
    with writing(str(database)) as conn, transaction(conn):
        decide.name(conn, 3, "Emmy")
    assert "12 faces in 12 photographs, of 3 people." in told("/about")
    assert "3 people, 12 faces" in told("/")


FOOT = re.compile(r"<footer.*?</footer>", re.S)


@pytest.mark.parametrize(
    "path",
    ["/about", "/catalogue", "/catalogue/faces", "/nowhere"]
    + [
        f"/catalogue/-/faces{it}"
        for it in ("", "/people", "/people/1", "/photo/1", "/face/1", "/search", "/face/99999")
    ],
)
def test_every_page_says_where_to_write_and_the_licence(served: Site, path: str) -> None:
    page = served.get(path)
    assert page.status_code == (
        404 if path in ("/nowhere", "/catalogue/-/faces/face/99999") else 200
    )
    (foot,) = FOOT.findall(page.text)
    assert 'href="/about"' in foot
    assert 'href="/about#taken-out"' in foot
    assert foot.count("CC BY 4.0") == 1
    assert "Powered by" in foot
    assert 'id="taken-out"' in served.get("/about").text


def test_the_end_of_a_page_leads_below_a_prefix(database: Path) -> None:
    told = {"metadata": metadata(), "template_dir": str(TEMPLATES)}
    with site(database, settings={"base_url": "/prefix/"}, **told) as it:
        assert 'href="/prefix/about#taken-out"' in it.get("/prefix/catalogue/-/faces/face/99").text


def test_what_stands_at_the_end_is_text_and_nothing_without_a_site(database: Path) -> None:
    told = metadata() | {"license": HOSTILE}
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        assert "<img src=x" not in FOOT.findall(it.get("/nowhere").text)[0]
    with site(database, template_dir=str(TEMPLATES)) as it:
        for path in ("/nowhere", "/catalogue/-/faces"):
            (foot,) = FOOT.findall(it.get(path).text)
            assert "about" not in foot
            assert "Powered by" in foot


def test_what_the_publisher_wrote_is_text(database: Path) -> None:
    told = metadata(about=HOSTILE, publisher=HOSTILE, contact=HOSTILE, takedown="javascript:x")
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        text = it.get("/about").text
        assert "<img src=x" not in text
        assert "49" not in re.sub(r"\d{3,}", "", text.split("<h1>")[1].split("</section>")[0])
        assert 'href="javascript' not in text


@pytest.mark.parametrize("base_url", ["/", "/archive/"])
def test_its_pages_carry_the_policy_and_lead_within_the_site(database: Path, base_url: str) -> None:
    options = {"template_dir": str(TEMPLATES), "settings": {"base_url": base_url}}
    with site(database, metadata=metadata(), **options) as it:
        for path in ("", "about"):
            page = it.get(base_url + path)
            assert page.status_code == 200
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["referrer-policy"] == "same-origin"
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
            assert [link for link in links if not link.startswith(base_url)] == []
            for link in links:
                assert it.get(link).status_code == 200, link


def test_a_site_may_do_without_the_policy(database: Path) -> None:
    told = metadata()
    told["plugins"]["datasette-faces"]["content_security_policy"] = False
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        headers = it.get("/").headers
        assert "content-security-policy" not in headers
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_of_datasette_itself_are_left_alone_on_it(served: Site) -> None:
    for path in ("/catalogue", "/catalogue/faces", "/-/plugins"):
        assert "content-security-policy" not in served.get(path).headers


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//[", 7])
def test_a_licence_that_leads_to_no_page_is_text(database: Path, address: object) -> None:
    told = metadata() | {"license_url": address}
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        page = it.get("/about")
        assert page.status_code == 200
        content = page.text.partition("<h2>Licence</h2>")[2].partition("</p>")[0]
        assert "CC BY 4.0" in content
        assert "href" not in content


def test_visitors_decide_nothing_and_write_no_sql(database: Path) -> None:
    options = {"allow_download": False, "default_allow_sql": False}
    with site(
        immutables=[str(database)],
        metadata=metadata(),
        template_dir=str(TEMPLATES),
        settings=options,
    ) as it:
        query = "/catalogue/-/query.json?sql=select+1" if V1 else "/catalogue.json?sql=select+1"
        assert it.get(query).status_code == 403
        assert it.get("/catalogue.db").status_code == 403
        page = it.get("/catalogue/-/faces/people/1")
        assert page.status_code == 200
        assert "View and edit SQL" not in page.text
        assert 'method="post"' not in page.text
        assert it.get("/catalogue/-/faces/image/1.jpg").status_code in (403, 404)


@pytest.mark.parametrize("contact", ["http://[x", "a b", "tel:+1", "@", ""])
def test_a_contact_that_leads_nowhere_is_text(database: Path, contact: str) -> None:
    with site(database, metadata=metadata(contact=contact), template_dir=str(TEMPLATES)) as it:
        assert it.get("/about").status_code == 200


def test_a_setting_of_the_site_that_is_none_stops_the_server(database: Path) -> None:
    from datasette.utils import StartupError

    told = metadata()
    told["plugins"]["datasette-faces"]["site"] = "the archive"
    with pytest.raises(StartupError, match="site takes publisher"), site(database, metadata=told):
        pass


def test_embeddings_are_told_of_also_to_who_may_not_search(database: Path) -> None:
    told = metadata()
    told["databases"] = {"catalogue": {"tables": {"face_embeddings": {"allow": False}}}}
    with site(database, metadata=told, template_dir=str(TEMPLATES)) as it:
        assert "biometric data" in it.get("/about").text
        assert "/-/faces/search" not in it.get("/").text


@pytest.fixture(scope="module")
def address(
    chromium: Any, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    path = folder / "catalogue.db"
    shutil.copy(archive, path)
    with writing(str(path)) as conn, transaction(conn):
        faces = [row[0] for row in conn.execute("select id from faces order by id")]
        store.propose(conn, {face: f"cluster-{face % 5}" for face in faces})
        store.rebuild(conn)
        for person in range(1, 5):
            long = "Maximiliana Konstantinopolitanska von Hohenstein " * person
            decide.name(conn, person, "Ada" if person == 1 else long)
    with serving(path, "-m", str(METADATA), "--template-dir", str(TEMPLATES), *PUBLIC) as it:
        yield it


@pytest.mark.parametrize("path", ["/", "/about"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_its_pages_fit_and_show_everything(
    chromium: Any, address: str, path: str, size: tuple[int, int], scripts: bool
) -> None:
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        show(page, address + path)
        across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert across[0] <= across[1]
        pictures = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
        assert all(wide and alt.strip() for wide, alt in pictures)
        assert bool(pictures) == (path == "/")
        assert wrong == []


def test_somebody_is_found_by_name_from_the_front_page(chromium: Any, address: str) -> None:
    with opened(chromium) as (page, wrong):
        page.goto(f"{address}/")
        page.get_by_label("Find a person by name").fill("ada")
        with page.expect_navigation(wait_until="load"):
            page.keyboard.press("Enter")
        assert page.locator(".faces-wall bdi").inner_text() == "Ada"
        assert wrong == []
