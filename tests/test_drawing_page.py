"""A face that was missed, drawn on the photo's page: by a form, by JSON, by mouse, by keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from desks import Desk, message
from running import faces, rows, with_a_missed_face
from serving import Site, metadata_with, site
from test_browser import NARROW, WIDE, follow, opened, show
from test_people_browser import SECRET, with_and_without
from toy_model import BLUE, GREEN, RED, SHY, WHITE, ToyModel, draw

pytestmark = pytest.mark.slow

BOX = {"x": 42, "y": 1, "width": 38, "height": 38}
DRAWN = "select id, x, y, width, height, person_id is not null from faces where x = 42"


@pytest.fixture
def database(toy: ToyModel, photos: Path, tmp_path: Path) -> Path:
    return with_a_missed_face(tmp_path / "people.db", photos)


def send(desk: Desk, **changes: Any) -> Any:
    """The answer to the form on the page of photo 1."""
    return desk.send("/photo/1", **{"action": "draw", "photo": 1, **BOX, **changes})


def test_a_missed_face_is_drawn_named_undone_and_redone(desk: Desk, database: Path) -> None:
    page = desk.decide("/photo/1", action="draw", photo=1, to="Ada", **BOX)
    assert message(page).startswith("root drew a box around a face")
    [(face_id, *box, whose)] = rows(database, DRAWN)
    assert (box, whose) == ([42, 1, 38, 38], 1)
    assert f"/people/-/faces/face/{face_id}" in page.text
    page = desk.decide("/photo/1", action="undo", decision="1-3")
    assert rows(database, DRAWN) == []
    assert f'data-face="{face_id}"' not in page.text
    page = desk.decide("/photo/1", action="redo", decision="1-3")
    assert rows(database, DRAWN) == [(face_id, 42, 1, 38, 38, 1)]
    assert "<bdi>Ada</bdi>" in page.text


def test_without_a_name_it_is_nobodys(desk: Desk, database: Path) -> None:
    desk.decide("/photo/1", action="draw", photo=1, **BOX)
    [(*_, whose)] = rows(database, DRAWN)
    assert whose == 0
    assert rows(database, "select kind from decisions") == [("draw",)]


def test_where_a_face_is_already_the_page_shows_it(desk: Desk, database: Path) -> None:
    page = send(desk, x=2, y=2)
    assert page.status_code == 409
    assert "There is already a face" in message(page)
    assert 'src="/people/-/faces/crop/1.jpg"' in page.text
    answer = desk.send("/photo/1.json", action="draw", photo=1, **{**BOX, "x": 2})
    assert (answer.status_code, answer.json()["face_id"]) == (409, 1)
    assert rows(database, "select count(*) from decisions") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"x": "nan"}, 400, "four numbers"),
        ({"x": "inf"}, 400, "four numbers"),
        ({"x": "1e400"}, 400, "four numbers"),
        ({"width": "wide"}, 400, "width takes a number of pixels, not 'wide'"),
        ({"width": ""}, 400, "width takes a number of pixels"),
        ({"width": 0}, 400, "no size"),
        ({"height": -40}, 400, "no size"),
        ({"width": 5}, 400, "at least 8 pixels"),
        ({"x": 5000}, 400, "outside the picture"),
        ({"photo": 77}, 400, "There is no photo 77"),
        ({"photo": ""}, 400, "photo takes the number"),
        ({"photo": "1 2"}, 400, "photo takes one number"),
        ({"photo": "../1"}, 400, "numbers of rows"),
        ({"to": "x" * 10_000}, 400, "up to 200 characters"),
        ({"to_person": 99}, 400, "no person 99"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_kept(
    desk: Desk, database: Path, changes: dict[str, Any], status: int, why: str
) -> None:
    answer = send(desk, **changes)
    assert answer.status_code == status
    assert why in answer.text.replace("&#39;", "'")
    assert rows(database, "select count(*) from decisions") == [(0,)]
    assert rows(database, DRAWN) == []


def test_a_name_of_several_people_is_asked_for(desk: Desk, database: Path) -> None:
    for face in (1, 2):
        desk.decide(f"/face/{face}", action="split", face=face)
    persons = [row[0] for row in rows(database, "select id from people order by id")][-2:]
    for person in persons:
        desk.decide(f"/people/{person}", action="name", person=person, name="Ada", same=1)
    page = send(desk, to="ada")
    assert page.status_code == 409
    assert page.text.count('name="to_person"') == 2
    assert rows(database, DRAWN) == []
    desk.decide("/photo/1", action="draw", photo=1, to_person=persons[1], **BOX)
    assert rows(database, "select person_id from faces where x = 42") == [(persons[1],)]


def test_the_photos_file_is_needed_and_the_page_says_so(
    desk: Desk, photos: Path, database: Path
) -> None:
    draw(photos / "0.png", RED, SHY, WHITE, GREEN, BLUE)
    assert "has changed since it was ingested" in message(send(desk))
    shutil.move(photos, photos.parent / "away")
    page = desk.get("/photo/1")
    assert "not where it was" in page.text
    assert 'value="draw"' not in page.text
    assert "not where it was" in message(send(desk))
    assert rows(database, "select count(*) from decisions") == [(0,)]


def test_a_server_without_the_model_says_what_to_do(
    desk: Desk, database: Path, toy: ToyModel, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ToyModel, "missing", lambda _: "pip install toys", raising=False)
    page = desk.get("/photo/1")
    assert "pip install toys" in page.text
    assert 'value="draw"' not in page.text
    answer = desk.send("/photo/1.json", action="draw", photo=1, **BOX)
    assert (answer.status_code, "pip install toys" in answer.json()["error"]) == (501, True)
    assert rows(database, "select count(*) from decisions") == [(0,)]


def test_who_may_not_edit_draws_nothing_and_no_model_is_asked(
    served: Site, database: Path, toy: ToyModel
) -> None:
    root, ann = Desk(served), Desk(served, "ann")
    looked_at = root.get("/photo/1")
    before = Path(toy.log).read_text()
    for desk in (ann, Desk(served, None)):
        page = desk.get("/photo/1")
        assert 'value="draw"' not in page.text
        answer = desk.send("/photo/1", looked_at, action="draw", photo=1, **BOX)
        assert answer.status_code == 403
    assert Path(toy.log).read_text() == before
    assert rows(database, "select count(*) from decisions") == [(0,)]


def test_a_program_draws_by_json(database: Path) -> None:
    allowed = metadata_with(permissions={"faces-edit": {"id": "ann"}})
    with site(database, metadata=allowed) as it:
        body = json.dumps({"action": "draw", "photo": 1, "to": "Ada", **BOX}).encode()
        path = "/people/-/faces/photo/1.json"
        looked_at = Desk(it, "ann").get("/photo/1")
        cookie = Desk(it, "ann").cookies(looked_at)
        token = looked_at.cookies.get("ds_csrftoken") or ""
        answer = it.post(path, body, "application/json", cookie=cookie, x_csrftoken=token)
        assert answer.status_code == 200, answer.text
        kinds = [made["kind"] for made in answer.json()["decisions"]]
        assert kinds == ["draw", "move", "name"]
        assert rows(database, "select actor from decisions where kind = 'draw'") == [("ann",)]


@pytest.fixture
def portrait(chromium: Any, tmp_path: Path, astronaut_png: Path) -> Iterator[tuple[str, Path]]:
    """A server of one photo of 512 x 512 pixels, whose face is hidden from it."""
    database = tmp_path / "people.db"
    result = faces("ingest", database, astronaut_png, "--workers", 1)
    assert result.exit_code == 0, result.output
    with serving(database, "--root", "--secret", SECRET) as it:
        yield f"{it}/people/-/faces", database


def as_root(page: Any, address: str) -> None:
    from test_people_browser import as_root

    as_root(page, address)


def drag(page: Any, left: float, top: float, right: float, bottom: float) -> None:
    """Draw a box, in parts of the picture."""
    page.wait_for_selector(".faces-marking")
    shown = page.locator(".faces-picture img").bounding_box()
    places = [
        (shown["x"] + across * shown["width"], shown["y"] + down * shown["height"])
        for across, down in ((left, top), (right, bottom))
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_box_is_dragged_named_by_keyboard_and_undone(
    chromium: Any, portrait: tuple[str, Path], size: tuple[int, int]
) -> None:
    address, database = portrait
    before = rows(database, "select id from faces")
    with opened(chromium, size) as (page, wrong):
        as_root(page, address)
        show(page, f"{address}/photo/1")
        page.get_by_text("A face is missing").click()
        drag(page, 0.75, 0.5, 0.95, 0.8)
        page.wait_for_function("document.activeElement.name == 'to'")
        page.keyboard.type("Ada")
        across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert across[0] <= across[1]
        page.keyboard.press("Escape")
        page.wait_for_selector(".faces-marking", state="detached")
        assert page.evaluate("document.activeElement.textContent") == "A face is missing"
        page.keyboard.press("Enter")
        assert page.locator("input[name=to]").input_value() == ""
        # From below, too
        drag(page, 0.95, 0.8, 0.75, 0.5)
        page.keyboard.type("Ada")
        with page.expect_navigation(wait_until="load"):
            page.keyboard.press("Enter")
        [box] = rows(
            database,
            "select x, y, width, height from faces join people on people.id = person_id "
            "where name = 'Ada'",
        )
        assert box == pytest.approx((384, 256, 102.4, 153.6), abs=2)
        assert page.locator(".faces-boxes a").count() == len(before) + 1
        assert page.get_by_role("link", name="Ada").count() >= 1
        follow(page, page.get_by_role("button", name="Undo"))
        assert rows(database, "select id from faces") == before
        assert wrong == []


@with_and_without
def test_a_box_is_typed(chromium: Any, portrait: tuple[str, Path], scripts: bool) -> None:
    address, database = portrait
    with opened(chromium, java_script_enabled=scripts) as (page, wrong):
        as_root(page, address)
        page.goto(f"{address}/photo/1")
        page.get_by_text("A face is missing").click()
        for label, value in (("Left", "380"), ("Top", "250.5"), ("Width", "90"), ("Height", "120")):
            page.get_by_label(label).fill(value)
        follow(page, page.get_by_role("button", name="Add this face"))
        assert rows(database, "select y, height from faces where x = 380") == [(250.5, 120)]
        assert wrong == []
