"""The pages about people in a real browser: name, merge, split, reject, and all of it undone and redone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from serving import asked
from test_browser import (
    NARROW,
    WIDE,
    check_that_all_is_reached_by_tab,
    follow,
    opened,
    show,
)

from datasette_faces.store import people as store
from datasette_faces.store import review_queue
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

with_and_without = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
PAGES = {
    "wall": "/people",
    "wall, nobody": "/people?q=nobody",
    "person": "/people/1",
    "person, in doubt": "/people/2",
    "history": "/history",
    "review": "/review",
    "review, several": "/review?several=1",
    "photo": "/photo/1",
    "face": "/face/1",
}
SECRET = "of-the-tests"
FAINT = """() => {
    const numbers = (colour) => (colour.match(/[0-9.]+/g) || []).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map(it => it / 255)
            .map(it => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (it) => {
        for (; it; it = it.parentElement) {
            const colour = getComputedStyle(it).backgroundColor;
            if ((numbers(colour)[3] ?? 1) > 0.5) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const words = "section.content :is(a, p, span, button, input, h1, h2, dd, dt, label)";
    const contrast = (it) => {
        const [more, less] = [light(getComputedStyle(it).color), light(behind(it))]
            .sort((a, b) => b - a);
        return (more + 0.05) / (less + 0.05);
    };
    return [...document.querySelectorAll(words)]
        .filter(it => it.offsetParent && (it.value || it.textContent).trim())
        .filter(it => !it.querySelector("img, input") && contrast(it) < 4.5)
        .map(it => it.outerHTML.slice(0, 120));
}"""
"""What has less contrast than WCAG 2 asks for."""


@pytest.fixture(scope="module")
def pictures(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with real crops: 150 faces in fifteen clusters, ten to a photo."""
    path = Path(shutil.copy(archive, tmp_path_factory.mktemp("pictures") / "people.db"))
    with writing(str(path)) as conn, transaction(conn):
        # Not as the ingest has grouped them: by number, so that everybody is in several photos
        conn.execute("update faces set person_id = null, person_source = null")
        conn.execute("delete from people")
        faces = [row[0] for row in conn.execute("select id from faces order by id")]
        store.propose(conn, {face: f"cluster-{face * 7 % 15:02}" for face in faces})
        store.rebuild(conn)
    return path


@pytest.fixture
def database(pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    shutil.copy(pictures, path)
    return path


@pytest.fixture
def address(chromium: Any, database: Path) -> Iterator[str]:
    with serving(database, "--root", "--secret", SECRET) as it:
        yield f"{it}/people/-/faces"


def as_root(page: Any, address: str) -> None:
    """Be root from here on, as `--root` lets who has the secret."""
    from itsdangerous import URLSafeSerializer

    signed = URLSafeSerializer(SECRET, "actor").dumps({"a": {"id": "root"}})
    root = address.split("/people/-/faces")[0]
    page.context.add_cookies([{"name": "ds_actor", "value": signed, "url": root}])


def everybody(database: Path) -> dict[frozenset[int], tuple[str | None, bool]]:
    """Who is together with whom, under which name, hidden or not; and whose nobody is."""
    rows = asked(
        database,
        "select coalesce(person_id, -faces.id), name, hidden, faces.id "
        "from faces left join people on people.id = person_id",
    )
    members: dict[Any, set[int]] = {}
    for person, name, hidden, face in rows:
        members.setdefault((person, name, bool(hidden)), set()).add(face)
    return {frozenset(ids): key[1:] for key, ids in members.items()}


def name_person(page: Any, name: str) -> None:
    page.get_by_label("Who is this?").fill(name)
    follow(page, page.get_by_role("button", name="Name", exact=True))


@pytest.mark.parametrize(
    ("scripts", "size"),
    [(True, WIDE), (False, NARROW)],
    ids=["scripts, wide", "no scripts, narrow"],
)
def test_people_are_named_merged_split_and_rejected_and_all_of_it_is_undone_and_redone(
    chromium: Any, address: str, database: Path, size: tuple[int, int], scripts: bool
) -> None:
    first = everybody(database)
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people")
        follow(page, page.locator(".faces-wall a").first)
        for name in ("Ada", "Grace", "Emmy"):
            name_person(page, name)
            assert page.locator("h1").inner_text() == name
            follow(page, page.get_by_role("link", name="Next unnamed person"))
        named = {name for name, _ in everybody(database).values() if name}
        assert named == {"Ada", "Grace", "Emmy"}
        # Merge, by name
        page.get_by_label("The same as").fill("ada")
        follow(page, page.get_by_role("button", name="Merge"))
        assert page.locator("h1").inner_text() == "Ada"
        # Split two off, reject one, and one is no face
        for face, button in ((2, "Split off"), (1, "Not this person"), (1, "Not a face")):
            for place in range(face):
                page.locator(".faces-tick input").nth(place).check()
            follow(page, page.get_by_role("button", name=button))
            assert page.get_by_role("button", name="Undo").is_visible()
        last = everybody(database)
        assert last != first
        undo_everything(page, address)
        assert everybody(database) == first
        redo_everything(page, address)
        assert everybody(database) == last
        assert wrong == []


def press(page: Any, key: str) -> None:
    """Press a key that leads to another page, and wait for it."""
    with page.expect_navigation():
        page.keyboard.press(key)


def test_three_are_named_by_keyboard_alone(chromium: Any, address: str, database: Path) -> None:
    with opened(chromium, WIDE) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people")
        follow(page, page.locator(".faces-wall a").first)
        for name in ("Nan", "Una", "Sy"):
            page.locator("[name=name]:focus").wait_for()
            page.keyboard.type(name)
            press(page, "Enter")
            press(page, "n")
        assert {name for name, _ in everybody(database).values() if name} == {"Nan", "Una", "Sy"}
        assert wrong == []


def test_pairs_are_answered_by_keyboard(chromium: Any, address: str, database: Path) -> None:
    with writing(str(database)) as conn, transaction(conn):
        model = conn.execute("select id from models").fetchone()[0]
        names = [f"cluster-{n:02}" for n in range(4)]
        pairs = [(names[0], names[1], 0.35), (names[2], names[3], 0.34), (names[0], names[2], 0.3)]
        review_queue.save_pairs(conn, model, pairs, replace=True)
    first = everybody(database)
    with opened(chromium, WIDE) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people")
        follow(page, page.get_by_role("link", name="Review 3 pairs"))
        press(page, "s")
        assert page.get_by_text("0.34").count() == 1
        press(page, "y")
        assert len(everybody(database)) == len(first) - 1
        press(page, "u")
        assert everybody(database) == first
        page.goto(f"{address}/review")
        for key in ("n", "y"):
            press(page, key)
        assert asked(database, "select kind from decisions") == [
            ("merge",),
            ("undo",),
            ("apart",),
            ("merge",),
        ]
        assert wrong == []


def undo_everything(page: Any, address: str) -> None:
    page.goto(f"{address}/history")
    while (button := page.get_by_role("button", name="Undo decision")).count():
        follow(page, button.first)


def redo_everything(page: Any, address: str) -> None:
    page.goto(f"{address}/history")
    while (button := page.get_by_role("button", name="Redo decision")).count():
        follow(page, button.last)


def test_strangers_are_chosen_by_a_range_and_hidden_at_once(
    chromium: Any, address: str, database: Path
) -> None:
    first = everybody(database)
    with opened(chromium) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people")
        ticks = page.locator(".faces-tick input")
        ticks.nth(2).click()
        ticks.nth(6).click(modifiers=["Shift"])
        assert page.locator(".faces-chosen").inner_text() == "5 chosen"
        page.get_by_role("button", name="Select all on this page").click()
        assert page.locator(".faces-chosen").inner_text() == "15 chosen"
        page.get_by_role("button", name="Select none").press(" ")
        assert page.locator(".faces-chosen").inner_text() == ""
        ticks.nth(6).click()
        ticks.nth(9).click(modifiers=["Shift"])
        follow(page, page.get_by_role("button", name="Hide as strangers"))
        assert ticks.count() == 11
        assert sum(hidden for _, hidden in everybody(database).values()) == 4
        follow(page, page.get_by_role("button", name="Undo"))
        assert everybody(database) == first
        follow(page, page.get_by_role("button", name="Redo"))
        assert ticks.count() == 11
        assert wrong == []


def test_all_on_a_page_are_chosen_without_scripts(
    chromium: Any, address: str, database: Path
) -> None:
    with opened(chromium, java_script_enabled=False) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people")
        follow(page, page.get_by_role("link", name="Select all on this page"))
        follow(page, page.get_by_role("button", name="Merge"))
        assert len(everybody(database)) == 1
        follow(page, page.get_by_role("button", name="Undo"))
        assert len(everybody(database)) == 15
        assert wrong == []


def test_a_name_that_is_taken_offers_a_merge(chromium: Any, address: str, database: Path) -> None:
    with opened(chromium) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/people/1")
        name_person(page, "Ada")
        page.goto(f"{address}/people/2")
        name_person(page, "ada")
        assert (
            page.get_by_role("alert")
            .inner_text()
            .startswith("There is already a person called ada")
        )
        follow(page, page.get_by_role("button", name="merge"))
        assert page.locator("h1").inner_text() == "Ada"
        assert [it for it in wrong if "409" not in it] == []


def test_the_second_of_two_editors_decides_again_with_what_was_entered(
    chromium: Any, address: str, database: Path
) -> None:
    with opened(chromium) as (one, _), opened(chromium) as (other, _):
        for page in (one, other):
            as_root(page, address)
            page.goto(f"{address}/people/1")
        name_person(one, "Ada")
        name_person(other, "Grace")
        assert "root named 10 faces Ada" in other.locator("section.content").inner_text()
        assert other.get_by_label("Name").input_value() == "Grace"
        follow(other, other.get_by_role("button", name="Do it anyway"))
        assert other.locator("h1").inner_text() == "Grace"


def test_a_face_is_named_from_its_own_page_by_keyboard(
    chromium: Any, address: str, database: Path
) -> None:
    first = everybody(database)
    with opened(chromium) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/face/1")
        page.get_by_label("Who is this?").focus()
        page.keyboard.type("Ada")
        with page.expect_navigation(wait_until="load"):
            page.keyboard.press("Enter")
        assert everybody(database)[frozenset({1})] == ("Ada", False)
        follow(page, page.get_by_role("button", name="Not Ada"))
        # Not Ada: then it is whose the machine has it to be
        assert everybody(database) == first
        assert wrong == []


@pytest.fixture(scope="module")
def busy(chromium: Any, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which something was decided already, to look at."""
    from datasette_faces.people import decide

    path = tmp_path_factory.mktemp("busy") / "people.db"
    shutil.copy(pictures, path)
    long = "Maximiliana Konstantinopolitanska von und zu Hohenstein-Zollern"
    with writing(str(path)) as conn, transaction(conn):
        decide.name(conn, 1, long)
        decide.name(conn, 3, "\u05e2\u05d3\u05d4 \u200f\u05dc\u05d1")
        decide.merge(conn, 1, 4)
        decide.hide(conn, 5)
        decide.mark_not_a_face(conn, [1])
        decide.undo(conn)
        model = conn.execute("select id from models").fetchone()[0]
        pairs = [(f"cluster-{n:02}", f"cluster-{n + 1:02}", 0.7 - n / 100) for n in range(6, 14)]
        review_queue.save_pairs(conn, model, pairs, replace=True)
    with serving(path, "--root", "--secret", SECRET) as it:
        yield f"{it}/people/-/faces"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("size", "root"),
    [(WIDE, True), (NARROW, True), (NARROW, False)],
    ids=["wide, editor", "narrow, editor", "narrow, reader"],
)
def test_a_page_shows_everything_without_a_complaint(
    chromium: Any, busy: str, name: str, size: tuple[int, int], root: bool
) -> None:
    with opened(chromium, size) as (page, wrong):
        if root:
            as_root(page, busy)
        show(page, busy + PAGES[name])
        across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        pictures = page.evaluate(
            "[...document.images].map(i => [i.currentSrc, i.complete && i.naturalWidth, i.alt])"
        )
        assert wrong == []
        assert across[0] <= across[1]
        assert [picture for picture in pictures if not picture[1] or not picture[2].strip()] == []
        assert bool(pictures) == (name != "wall, nobody")
        assert (page.locator("section.content form[method=post]").count() > 0) == (
            root and name not in ("photo", "wall, nobody")
        )


@pytest.mark.parametrize("name", [*PAGES, "taken"])
def test_a_page_says_what_everything_is(chromium: Any, busy: str, name: str) -> None:
    with opened(chromium) as (page, _):
        as_root(page, busy)
        show(page, busy + PAGES.get(name, "/people/2"))
        if name == "taken":
            name_person(page, "\u05e2\u05d3\u05d4 \u200f\u05dc\u05d1")
        found = page.evaluate("""() => {
            const all = (what) => [...document.querySelectorAll(what)];
            const label = (it) => it.getAttribute("aria-label") || it.textContent.trim()
                || [...it.querySelectorAll("img")].map(image => image.alt).join("");
            const fields = all("section.content :is(input:not([type=submit], [type=hidden]), select)");
            const named = all("section.content [id]").map(it => it.id);
            return {
                headings: all("h1").length,
                unlabelled: fields.filter(it => !it.labels.length).map(it => it.name),
                unnamed: all("section.content a, section.content button").filter(it => !label(it)).length,
                repeated: named.length - new Set(named).size,
                jumps: all("h1, h2, h3").map(it => +it.tagName[1])
                    .some((it, i, levels) => i && it > levels[i - 1] + 1),
            };
        }""")
    assert found == {
        "headings": 1,
        "unlabelled": [],
        "unnamed": 0,
        "repeated": 0,
        "jumps": False,
    }


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_all_that_can_be_pressed_is_reached_by_tab_and_shows_it(
    chromium: Any, busy: str, name: str, size: tuple[int, int]
) -> None:
    with opened(chromium, size, reduced_motion="reduce") as (page, _):
        as_root(page, busy)
        show(page, busy + PAGES[name])
        page.evaluate("document.activeElement.blur()")
        check_that_all_is_reached_by_tab(page)


@pytest.mark.parametrize("name", PAGES)
def test_words_can_be_read_where_the_screen_is_dark(chromium: Any, busy: str, name: str) -> None:
    with opened(chromium, color_scheme="dark") as (page, _):
        as_root(page, busy)
        show(page, busy + PAGES[name])
        faint = page.evaluate(FAINT)
        assert faint == []
