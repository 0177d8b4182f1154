"""The pages in a real browser: what a person sees and reaches, on wide and narrow screens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from browser import serving

from datasette_faces.app.datasette.compat import V1

WIDE, NARROW, LOW = (1280, 900), (390, 844), (844, 400)
PAGES = {
    "gallery": "/faces/-/faces",
    "gallery, filtered": "/various/-/faces?min_size=30&taken_from=2018&model=toy",
    "gallery, nothing found": "/faces/-/faces?min_score=1&taken_from=2020-01-01",
    "photo": "/faces/-/faces/photo/1",
    "photo, wide as a panorama": "/various/-/faces/photo/2",
    "face": "/faces/-/faces/face/3",
    "face with many neighbours": "/various/-/faces/face/7?model=toy",
    "search, nothing asked": "/faces/-/faces/search",
    "search": "/various/-/faces/search?face=7&face=9&not=90&k=6&model=toy",
    "search with all there is": "/faces/-/faces/search?face=3&threshold=0",
    "search, nothing found": "/faces/-/faces/search?face=3&taken_from=2001",
    "Datasette's faces": "/faces/faces",
    "Datasette's photo": "/faces/photos/1",
    "Datasette's database": "/faces",
}
OURS = [name for name in PAGES if not name.startswith("Datasette")]
NUMBER_WHAT_CAN_BE_PRESSED = """() => {
    const pressed = "section.content :is(a[href], button, input:not([type=hidden]), select)";
    window.lookOf = (element) => {
        const style = getComputedStyle(element);
        const box = element.querySelector("rect");
        return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.borderColor,
            style.boxShadow, style.backgroundColor, box && getComputedStyle(box).stroke].join("|");
    };
    window.reached = {};
    document.addEventListener("focusin", ({target}) => {
        if (target.dataset.place) reached[target.dataset.place] = lookOf(target);
    });
    return [...document.querySelectorAll(pressed)].map((element, place) => {
        element.dataset.place = place;
        return lookOf(element);
    });
}"""
"""How each of them looks without the focus; `reached` has how they look with it, when they get it."""


@pytest.fixture(scope="module")
def address(
    chromium: Any, faces_db: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Two databases of faces, served by a process of its own, originals and all."""
    metadata = tmp_path_factory.mktemp("served") / "metadata.json"
    metadata.write_text(json.dumps({"plugins": {"datasette-faces": {"serve_originals": True}}}))
    with serving(faces_db, archive, "-m", metadata) as it:
        yield it


@contextmanager
def opened(
    chromium: Any, size: tuple[int, int] = WIDE, *, alone: bool = False, **options: Any
) -> Iterator[tuple[Any, list[str]]]:
    """A page, and a list of what goes wrong on it.

    A page that an earlier test was done with is emptied and used again, unless it is to be alone: to
    begin a process for each costs more than most of what is looked at.
    """
    idle = _IDLE.setdefault(chromium, {}).setdefault((size, repr(options)), [])
    page = idle.pop() if idle and not alone else _new_page(chromium, size, options)
    wrong: list[str] = []

    def failed(request: Any) -> None:
        # Aborted: a picture that was still to come when one went on to another page
        if "ERR_ABORTED" not in str(request.failure):
            wrong.append(f"{request.failure} {request.url}")

    listeners = {
        "console": lambda said: said.type in ("error", "warning") and wrong.append(said.text),
        "pageerror": lambda error: wrong.append(str(error)),
        "requestfailed": failed,
        "response": lambda it: it.status >= 400 and wrong.append(f"{it.status} {it.url}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield page, wrong
    # Not after a failure: nobody knows how that leaves a page
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    if alone:
        page.context.close()
        return
    page.mouse.move(0, 0)
    page.goto("about:blank")
    page.context.clear_cookies()
    idle.append(page)


_IDLE: WeakKeyDictionary[Any, dict[tuple[tuple[int, int], str], list[Any]]] = WeakKeyDictionary()
"""Pages that nobody looks at, by the browser and by what they were opened with."""


def _new_page(chromium: Any, size: tuple[int, int], options: dict[str, Any]) -> Any:
    width, height = size
    return chromium.new_context(viewport={"width": width, "height": height}, **options).new_page()


def show(page: Any, url: str) -> None:
    """Open an address and wait for all that it loads, pictures below the fold too."""
    page.goto(url)
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
    page.evaluate(
        "Promise.all([...document.images].map(image => image.decode().catch(() => null)))"
    )


def follow(page: Any, link: Any) -> None:
    """Press what leads to another page, and wait until the whole of it has come."""
    with page.expect_navigation(wait_until="load"):
        link.click()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("size", "scripts"),
    [(WIDE, True), (NARROW, True), (NARROW, False)],
    ids=["wide", "narrow", "narrow, no scripts"],
)
def test_a_page_shows_everything_without_a_complaint(
    chromium: Any, address: str, name: str, size: tuple[int, int], scripts: bool
) -> None:
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        show(page, address + PAGES[name])
        pictures = page.evaluate(
            "[...document.images].map(i => [i.currentSrc, i.complete && i.naturalWidth, i.alt])"
        )
        across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wrong == []
        assert across[0] <= across[1]
        assert [picture for picture in pictures if not picture[1] or not picture[2].strip()] == []
        if name in OURS and "nothing" not in name:
            assert pictures


@pytest.mark.parametrize("name", OURS)
def test_a_page_says_what_everything_is(chromium: Any, address: str, name: str) -> None:
    with opened(chromium) as (page, _):
        show(page, address + PAGES[name])
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
                title: document.title,
                lang: document.documentElement.lang,
            };
        }""")
    assert found["headings"] == 1
    assert found["unlabelled"] == []
    assert found["unnamed"] == 0
    assert found["repeated"] == 0
    assert not found["jumps"]
    assert found["title"].strip()
    assert found["lang"] == ("en" if V1 else "")  # of Datasette's own base.html


@pytest.mark.parametrize(
    "name", ["gallery, filtered", "photo", "face", "search", "search, nothing asked"]
)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_all_that_can_be_pressed_is_reached_by_tab_and_shows_it(
    chromium: Any, address: str, name: str, size: tuple[int, int]
) -> None:
    with opened(chromium, size, reduced_motion="reduce") as (page, _):
        show(page, address + PAGES[name])
        check_that_all_is_reached_by_tab(page)


def check_that_all_is_reached_by_tab(page: Any) -> None:
    page.add_style_tag(content="* { transition: none !important }")
    # Datasette's own menu is a closed <details>: what is in it is not on the page yet
    unfocused = page.evaluate(NUMBER_WHAT_CAN_BE_PRESSED)
    reached: dict[str, str] = {}
    for _ in range(5):
        # Held down, it goes on and on; what is around our part of the page is gone through as well
        for _ in range(len(unfocused) + 20):
            page.keyboard.down("Tab")
        reached = page.evaluate("reached")
        if len(reached) == len(unfocused):
            break
    page.keyboard.up("Tab")
    assert {int(place) for place in reached} == set(range(len(unfocused)))
    assert [place for place, look in reached.items() if look == unfocused[int(place)]] == []


@pytest.mark.parametrize("tag", ["<a href=/ style='outline: none'>", "<a href=/ tabindex=-1>"])
def test_what_hides_the_focus_or_is_passed_over_is_found(chromium: Any, tag: str) -> None:
    sound = "<section class=content><button>One</button><a href=/>Two</a>"
    with opened(chromium) as (page, _):
        page.set_content(sound)
        check_that_all_is_reached_by_tab(page)
        page.set_content(f"{sound}{tag}Three</a>")
        with pytest.raises(AssertionError):
            check_that_all_is_reached_by_tab(page)


@pytest.mark.parametrize("size", [WIDE, NARROW, LOW], ids=["wide", "narrow", "low"])
@pytest.mark.parametrize(
    "url", ["/faces/-/faces/photo/1", "/various/-/faces/photo/3", "/faces/-/faces/face/3"]
)
def test_boxes_lie_on_the_faces(
    chromium: Any, address: str, url: str, size: tuple[int, int]
) -> None:
    with opened(chromium, size) as (page, _):
        show(page, address + url)
        answer = page.request.get(address + url + ".json").json()
        photo = answer.get("photo")
        if photo is None:
            photo_url = f"{url.rsplit('/', 2)[0]}/photo/{answer['face']['photo_id']}.json"
            photo = page.request.get(address + photo_url).json()["photo"]
        faces = answer.get("faces") or [answer["face"]]
        picture = rectangle(page, ".faces-picture img")
        scale = picture["width"] / photo["width"]
        assert picture["height"] / photo["height"] == pytest.approx(scale, rel=0.01)
        assert page.locator(".faces-boxes rect").count() == len(faces)
        for face in faces:
            drawn = rectangle(page, f".faces-boxes a[data-face='{face['face_id']}'] rect")
            assert drawn["x"] == pytest.approx(picture["x"] + face["x"] * scale, abs=1.5)
            assert drawn["y"] == pytest.approx(picture["y"] + face["y"] * scale, abs=1.5)
            assert drawn["width"] == pytest.approx(face["width"] * scale, abs=1.5)
            assert drawn["height"] == pytest.approx(face["height"] * scale, abs=1.5)


def rectangle(page: Any, selector: str) -> dict[str, float]:
    rect: dict[str, float] = page.eval_on_selector(
        selector, "it => it.getBoundingClientRect().toJSON()"
    )
    return rect


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_filters_and_pages_work(chromium: Any, address: str, scripts: bool) -> None:
    with opened(chromium, java_script_enabled=scripts) as (page, wrong):
        page.goto(f"{address}/various/-/faces")
        page.get_by_label("Minimum size").fill("30")
        page.get_by_label("Taken from").fill("2018-11-01")
        page.get_by_label("Model").select_option("toy")
        follow(page, page.get_by_role("button", name="Filter"))
        assert "min_size=30" in page.url
        assert page.get_by_label("Minimum size").input_value() == "30"
        assert page.get_by_label("Taken from").input_value() == "2018-11-01"
        first = shown_faces(page)
        assert len(first) == 60
        follow(page, page.get_by_role("link", name="Next page"))
        assert "min_size=30" in page.url
        second = shown_faces(page)
        assert second
        assert not set(first) & set(second)
        follow(page, page.get_by_role("link", name="First page"))
        assert shown_faces(page) == first
        follow(page, page.get_by_role("link", name="Show all"))
        assert page.get_by_label("Minimum size").input_value() == ""
        assert shown_faces(page) != first
        assert wrong == []


def shown_faces(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        ".faces-grid a", "links => links.map(it => it.pathname)"
    )
    return found


def test_one_goes_from_photo_to_photo_to_face_and_to_sql(chromium: Any, address: str) -> None:
    with opened(chromium) as (page, wrong):
        page.goto(f"{address}/faces")
        page.locator(".actions-menu-links summary").click()
        follow(page, page.get_by_text("Browse faces"))
        assert page.url == f"{address}/faces/-/faces"
        page.goto(f"{address}/faces/-/faces/photo/1")
        follow(page, page.get_by_role("link", name="Next photo"))
        assert page.url.endswith("/photo/2")
        assert page.get_by_role("link", name="Next photo").count() == 0
        follow(page, page.get_by_role("link", name="Previous photo"))
        assert page.url.endswith("/photo/1")
        assert page.get_by_role("link", name="Previous photo").count() == 0
        follow(page, page.locator(".faces-boxes a").first)
        assert "/face/" in page.url
        follow(page, page.get_by_role("link", name="View and edit SQL"))
        page.wait_for_load_state("networkidle")
        assert page.locator("table.rows-and-columns tbody tr").count() == 6
        assert page.locator("table.rows-and-columns img").count() == 6
        assert wrong == []


def test_a_crop_lights_its_box_and_a_box_its_crop(chromium: Any, address: str) -> None:
    with opened(chromium) as (page, _):
        show(page, f"{address}/faces/-/faces/photo/1")
        crops, lit = page.locator(".faces-side .faces-grid a"), page.locator(".faces-boxes a.lit")
        for place in (0, 5):
            crops.nth(place).hover()
            assert lit.count() == 1
            face_id = crops.nth(place).get_attribute("href").rsplit("/", 1)[1]
            assert lit.get_attribute("data-face") == face_id
        page.locator(".faces-boxes a").nth(2).hover()
        assert page.locator(".faces-grid a.lit").count() == 1
        page.mouse.move(1, 1)
        assert page.locator(".lit").count() == 0
        crops.nth(1).focus()
        assert lit.count() == 1
