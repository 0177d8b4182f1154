"""The search page in a real browser: upload, choose, fuse, slide, and the same rows as SQL."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from pictures import shipped
from test_browser import (
    NARROW,
    WIDE,
    check_that_all_is_reached_by_tab,
    follow,
    opened,
    rectangle,
    show,
)

SEARCH = "/faces/-/faces/search"
ONE, SIX = shipped("one face"), shipped("six faces")
both_sizes = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
with_and_without = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
with_and_without_on_both = pytest.mark.parametrize(
    ("size", "scripts"),
    [(WIDE, True), (NARROW, True), (NARROW, False)],
    ids=["wide", "narrow", "narrow, no scripts"],
)
HAND_OVER = """([how, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], name, {type}));
    const to = document.querySelector("section.content");
    const options = {bubbles: true, cancelable: true};
    if (how === "paste") {
        to.dispatchEvent(new ClipboardEvent("paste", {...options, clipboardData: given}));
        return;
    }
    for (const step of ["dragenter", "dragover", "drop"])
        to.dispatchEvent(new DragEvent(step, {...options, dataTransfer: given}));
}"""
WORDS = """() => {
    const words = new DataTransfer();
    words.setData("text/plain", "/photos/1998");
    const event = new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: words});
    return document.querySelector("section.content").dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def address(chromium: Any, faces_db: Path, archive: Path) -> Iterator[str]:
    """Seven faces by the built-in model, and 150 by one that this server does not know."""
    with serving(faces_db, archive) as it:
        yield it


def pick(page: Any, *pictures: Path, scripts: bool = True) -> None:
    """Choose files in the page's form, and wait for what comes of them."""
    with page.expect_navigation(wait_until="load"):
        page.locator("input[type=file]").set_input_files([str(path) for path in pictures])
        if not scripts:
            page.get_by_role("button", name="Search", exact=True).click()


def hand_over(page: Any, how: str, picture: Path) -> None:
    """Drop or paste a file, as far as a page sees it."""
    kind = mimetypes.guess_type(picture.name)[0] or ""
    data = base64.b64encode(picture.read_bytes()).decode()
    page.evaluate(HAND_OVER, [how, picture.name, kind, data])


def found(page: Any) -> list[int]:
    """The faces of the results that can be seen."""
    links: list[str] = page.eval_on_selector_all(
        ".faces-results > li",
        "cards => cards.filter(it => it.offsetParent).map(it => it.querySelector('a').pathname)",
    )
    return [int(link.rsplit("/", 1)[1]) for link in links]


def check_that_it_fits(page: Any) -> None:
    """Nothing reaches beyond the sides, and every picture is there."""
    page.wait_for_load_state()
    across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert across[0] <= across[1]
    pictures = page.evaluate(
        """Promise.all([...document.images].map(async (image) => {
            image.loading = "eager";
            await image.decode().catch(() => null);
            return [image.currentSrc, image.naturalWidth, image.alt];
        }))"""
    )
    assert [picture for picture in pictures if not picture[1] or not picture[2]] == []


def check_that_sql_gives_the_same(page: Any) -> None:
    """The link to the SQL page leads to the same faces in the same order."""
    here = found(page)
    follow(page, page.get_by_role("link", name="View and edit SQL"))
    cells = page.locator("table.rows-and-columns td.col-face_id")
    assert [int(text) for text in cells.all_inner_texts()] == here


@with_and_without_on_both
def test_a_photo_that_is_picked_finds_the_same_faces_as_its_sql(
    chromium: Any, address: str, size: tuple[int, int], scripts: bool
) -> None:
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        show(page, address + SEARCH)
        check_that_it_fits(page)
        pick(page, ONE, scripts=scripts)
        assert re.search(r"[?&]key=[\w-]{16}", page.url)
        assert page.locator(".faces-examples li").count() == 1
        assert found(page)[0] == 7
        assert len(found(page)) == 7
        assert page.locator(".faces-results strong").first.inner_text() == "1.000"
        check_that_it_fits(page)
        check_that_sql_gives_the_same(page)
        assert wrong == []


@both_sizes
@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(
    chromium: Any, address: str, how: str, size: tuple[int, int]
) -> None:
    with opened(chromium, size) as (page, wrong):
        show(page, address + SEARCH)
        assert page.get_by_text("or drop it here, or paste it").is_visible()
        with page.expect_navigation(wait_until="load"):
            hand_over(page, how, ONE)
        assert found(page)[0] == 7
        # Onto results as well: it is added to what is searched with
        with page.expect_navigation(wait_until="load"):
            hand_over(page, how, SIX)
        assert page.get_by_role("heading", name="Which face?").is_visible()
        follow(page, page.locator(".faces-boxes a").first)
        assert page.locator(".faces-examples li").count() == 2
        assert wrong == []


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_what_is_dropped_and_is_no_picture_says_so_and_goes_nowhere(
    chromium: Any, address: str, how: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary")
    with opened(chromium) as (page, wrong):
        show(page, address + SEARCH)
        hand_over(page, how, tmp_path / "notes.txt")
        assert page.locator(".faces-status").inner_text() == "That is not a picture."
        assert page.locator("form.faces-upload.over").count() == 0
        assert page.url == address + SEARCH
        assert wrong == []


def test_words_that_are_dragged_into_a_field_are_left_to_the_browser(
    chromium: Any, address: str
) -> None:
    with opened(chromium) as (page, _):
        show(page, f"{address}{SEARCH}?face=1")
        assert page.evaluate(WORDS) is True
        assert page.locator(".faces-status").inner_text() != "That is not a picture."


@with_and_without_on_both
def test_one_chooses_among_the_faces_of_a_photo(
    chromium: Any, address: str, size: tuple[int, int], scripts: bool
) -> None:
    with opened(chromium, size, java_script_enabled=scripts) as (page, wrong):
        show(page, address + SEARCH)
        pick(page, SIX, scripts=scripts)
        assert page.get_by_role("heading", name="Which face?").is_visible()
        check_that_it_fits(page)
        photo = page.request.get(f"{address}/faces/-/faces/photo/1.json").json()
        picture = rectangle(page, ".faces-picture img")
        scale = picture["width"] / photo["photo"]["width"]
        boxes = page.locator(".faces-boxes a")
        assert boxes.count() == page.locator(".faces-side .faces-grid a").count() == 6
        for place in range(6):
            rect = (
                boxes.nth(place)
                .locator("rect")
                .evaluate("it => it.getBoundingClientRect().toJSON()")
            )
            (face,) = [
                face
                for face in photo["faces"]
                if abs(picture["x"] + face["x"] * scale - rect["x"]) < 2
                and abs(picture["y"] + face["y"] * scale - rect["y"]) < 2
            ]
            if place == 3:
                chosen = face["face_id"]
        follow(page, boxes.nth(3))
        assert found(page)[0] == chosen
        page.go_back()
        follow(page, page.locator(".faces-side .faces-grid a").nth(3))
        assert found(page)[0] == chosen
        check_that_sql_gives_the_same(page)
        assert wrong == []


def test_two_people_are_chosen_between_and_found(chromium: Any, address: str, shared: Path) -> None:
    with opened(chromium) as (page, wrong):
        show(page, address + SEARCH)
        pick(page, shared / "photos" / "snapshots" / "two_people.jpg")
        assert page.locator(".faces-boxes a").count() == 2
        follow(page, page.locator(".faces-boxes a").nth(1))
        assert len(found(page)) == 7
        check_that_sql_gives_the_same(page)
        assert wrong == []


@with_and_without
def test_two_photos_of_a_person_are_fused_and_one_taken_out_again(
    chromium: Any, address: str, scripts: bool
) -> None:
    with opened(chromium, java_script_enabled=scripts) as (page, wrong):
        show(page, f"{address}{SEARCH}?face=2&threshold=-1&folder=/")
        pick(page, ONE, scripts=scripts)
        assert page.locator(".faces-examples li").count() == 2
        assert page.get_by_label("Folder").input_value() == "/"
        alone = page.locator(".faces-results strong").all_inner_texts()
        assert "2" not in map(str, found(page))
        follow(page, page.get_by_role("link", name="is not the person").last)
        assert page.locator(".faces-examples li.unlike").count() == 1
        assert len(found(page)) == 5
        check_that_it_fits(page)
        follow(page, page.get_by_role("link", name=re.compile("Search without Face 2$")))
        assert page.locator(".faces-examples li").count() == 2
        assert page.locator(".faces-results strong").all_inner_texts() != alone
        check_that_sql_gives_the_same(page)
        assert wrong == []


@both_sizes
def test_the_threshold_slides_with_a_live_count_and_hides_cards(
    chromium: Any, address: str, size: tuple[int, int]
) -> None:
    url = f"{address}/various/-/faces/search?face=3&face=9&not=140&k=200"
    with opened(chromium, size) as (page, wrong):
        show(page, url)
        every = found(page)
        assert len(every) == 147
        assert count(page) == 147
        slider = page.get_by_role("slider")
        similarities = page.locator(".faces-results > li").evaluate_all(
            "cards => cards.map(it => +it.dataset.similarity)"
        )
        for least in (0.5, 0.9, 0.97, 1):
            slide(page, least)
            left = [face for face, it in zip(every, similarities, strict=True) if it >= least]
            assert found(page) == left
            assert count(page) == len(left)
            assert page.locator(".faces-threshold output").inner_text() == f"{least:.2f}"
        slide(page, 0.9)
        slider.press("ArrowRight")
        assert count(page) == len([it for it in similarities if it >= 0.91])
        slide(page, 0.9)
        follow(page, page.get_by_role("button", name="Refine"))
        assert "threshold=0.9" in page.url
        assert found(page) == every[: sum(it >= 0.9 for it in similarities)]
        assert count(page) == len(found(page))
        check_that_it_fits(page)
        slide(page, -1)
        follow(page, page.get_by_role("button", name="Refine"))
        assert "threshold" not in page.url
        check_that_sql_gives_the_same(page)
        assert wrong == []


def slide(page: Any, least: float) -> None:
    page.get_by_role("slider").evaluate(
        "(it, least) => { it.value = least; it.dispatchEvent(new Event('input')) }", least
    )


def count(page: Any) -> int:
    said = page.locator(".faces-count").inner_text()
    return int(re.sub(r"\D", "", said.partition(" face")[0]))


def test_without_scripts_a_threshold_is_a_number_and_any_will_do(
    chromium: Any, address: str
) -> None:
    with opened(chromium, java_script_enabled=False) as (page, wrong):
        show(page, f"{address}{SEARCH}?face=3&threshold=0.0123")
        follow(page, page.get_by_role("button", name="Refine"))
        assert "threshold=0.0123" in page.url
        page.get_by_label("Minimum similarity").fill("0")
        follow(page, page.get_by_role("button", name="Refine"))
        assert "threshold=0&" in page.url
        assert page.get_by_label("Minimum similarity").input_value() in ("0", "0.0")
        assert wrong == []


@with_and_without
def test_more_results_can_be_loaded(chromium: Any, address: str, scripts: bool) -> None:
    with opened(chromium, java_script_enabled=scripts) as (page, wrong):
        show(page, f"{address}/various/-/faces/search?face=3&k=60")
        first = found(page)
        follow(page, page.get_by_role("link", name="Load more"))
        assert len(found(page)) == 120
        assert found(page)[:60] == first
        assert wrong == []


@both_sizes
def test_a_photo_without_a_face_says_why_and_another_can_be_tried(
    chromium: Any, address: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    from PIL import Image

    nobody = tmp_path / "nobody.png"
    Image.new("RGB", (300, 200), "white").save(nobody)
    with opened(chromium, size) as (page, wrong):
        show(page, address + SEARCH)
        pick(page, nobody)
        assert "no face was found" in page.get_by_role("alert").inner_text()
        check_that_it_fits(page)
        pick(page, ONE)
        assert found(page)[0] == 7
        assert wrong == []


def test_a_broken_photo_says_so_and_the_search_goes_on(
    chromium: Any, address: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(SIX.read_bytes()[:20_000])
    with opened(chromium) as (page, _):
        show(page, f"{address}{SEARCH}?face=3")
        pick(page, broken)
        assert "broken.jpg: the picture is damaged" in page.get_by_role("alert").inner_text()
        assert len(found(page)) == 6
        pick(page, ONE)
        assert page.locator(".faces-examples li").count() == 2


def test_the_page_says_that_it_looks_and_is_as_before_when_one_comes_back(
    chromium: Any, address: str
) -> None:
    with opened(chromium) as (page, _):
        show(page, address + SEARCH)
        page.locator("form.faces-upload").evaluate("it => it.dispatchEvent(new Event('submit'))")
        assert "inding faces…" in page.locator(".faces-status").inner_text()
        assert page.locator("form.faces-upload.busy").count() == 1
        pick(page, ONE)
        page.go_back()
        assert page.locator("form.faces-upload.busy").count() == 0
        pick(page, ONE)
        assert found(page)[0] == 7


@both_sizes
@pytest.mark.parametrize("picture", [ONE, SIX], ids=["results", "choice"])
def test_after_an_upload_all_is_reached_by_tab(
    chromium: Any, address: str, size: tuple[int, int], picture: Path
) -> None:
    with opened(chromium, size, reduced_motion="reduce") as (page, _):
        show(page, address + SEARCH)
        pick(page, picture)
        check_that_all_is_reached_by_tab(page)


def test_one_comes_from_a_face_to_the_search_with_it(chromium: Any, address: str) -> None:
    with opened(chromium) as (page, wrong):
        show(page, f"{address}/faces/-/faces/face/3")
        follow(page, page.get_by_role("link", name="Search with this face"))
        assert len(found(page)) == 6
        assert 3 not in found(page)
        assert wrong == []
