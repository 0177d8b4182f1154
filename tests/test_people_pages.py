"""The pages about people without a browser: what they show, what they decide, what they refuse."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from desks import FORM, Desk, make_clustered, message
from serving import Site, asked, copied, metadata_with, site

from datasette_faces.app.datasette.compat import CSRF_BY_HEADERS, V1
from datasette_faces.store import gallery, history, people_pages
from datasette_faces.store.people_pages import After

HOSTILE = "<img src=x onerror=alert(1)> \"double\" 'single' & {{ 7*7 }}"
HEBREW = "\u05e2\u05d3\u05d4 \u200f\u05dc\u05d1"
ONLY_ANN = {"id": "ann"}


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clustered(tmp_path_factory.mktemp("clustered") / "people.db")


@pytest.fixture
def database(clustered: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    shutil.copy(clustered, path)
    return path


def wall_of(desk: Desk, query: str = "?show=all") -> list[tuple[int, str | None, int]]:
    found = desk.get(f"/people.json{query}").json()["people"]
    return [(row["person_id"], row["name"], row["faces"]) for row in found]


def faces_of(desk: Desk, person_id: int, query: str = "") -> list[int]:
    found = desk.get(f"/people/{person_id}.json{query}").json()["faces"]
    return [row["face_id"] for row in found]


def person_of(database: Path, face_id: int) -> int | None:
    return asked(database, "select person_id from faces where id = ?", face_id)[0][0]


NOBODY = [(1, None, 4), (2, None, 4), (3, None, 4)]


class TestTheWall:
    def test_everybody_is_there_with_a_cover_and_a_number(self, desk: Desk) -> None:
        page = desk.get("/people")
        assert page.status_code == 200
        for number in (1, 2, 3):
            assert f'href="/people/-/faces/people/{number}"' in page.text
        assert page.text.count('<span class="faces-number">4</span></span></a>') == 3
        assert wall_of(desk) == NOBODY

    def test_an_editor_begins_with_those_without_a_name_others_with_those_who_have_one(
        self, desk: Desk
    ) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        assert shown(desk.get("/people").text) == [2, 3, 1]
        assert shown(Desk(desk.site, None).get("/people").text) == [1]
        assert wall_of(desk, "?show=unnamed") == NOBODY[1:]
        assert wall_of(desk, "?show=named") == [(1, "Ada", 4)]

    @pytest.mark.slow
    @pytest.mark.parametrize("part", ["åsa", "Åsa", "ÅSA", "l%", "_x", "back\\"])
    def test_a_name_is_found_by_a_part_of_it(self, desk: Desk, part: str) -> None:
        desk.decide("/people/1", action="name", person=1, name=r"Åsa l% _x back\slash")
        desk.decide("/people/2", action="name", person=2, name="Axel lx")
        found = desk.site.get("/people/-/faces/people.json", actor="root")
        assert len(found.json()["people"]) == 3
        from urllib.parse import quote

        assert wall_of(desk, f"?q={quote(part)}") == [(1, r"Åsa l% _x back\slash", 4)]

    def test_its_pages_hold_everybody_once(self, desk: Desk, monkeypatch: Any) -> None:
        from datasette_faces.app.web import people

        desk.decide("/people/2", action="name", person=2, name="Ada")
        desk.decide("/people/3", action="move", person=3, face=9, to="Grace")
        monkeypatch.setattr(people, "PAGE_PEOPLE", 1)
        for show in ("all", "named", "unnamed"):
            found, url = [], f"/people/-/faces/people.json?show={show}"
            while url:
                answer = desk.site.get(url, actor="root").json()
                assert len(answer["people"]) == 1
                found += [row["person_id"] for row in answer["people"]]
                url = answer["next_url"] and answer["next_url"].replace("http://localhost", "")
            monkeypatch.setattr(people, "PAGE_PEOPLE", 60)
            assert found == [row[0] for row in wall_of(desk, f"?show={show}")]
            monkeypatch.setattr(people, "PAGE_PEOPLE", 1)

    @pytest.mark.parametrize(
        "query", ["show=x", "after=1", "after=a.b.c", "after=1.2.9999999999999999999999"]
    )
    def test_what_makes_no_sense_is_a_400(self, desk: Desk, query: str) -> None:
        answer = desk.get(f"/people.json?{query}")
        assert (answer.status_code, answer.json()["ok"]) == (400, False)
        assert desk.get(f"/people?{query}").status_code == 400

    def test_several_are_hidden_at_once_and_come_back(self, desk: Desk) -> None:
        page = desk.decide("/people", action="hide", person=[1, 3])
        assert message(page).startswith("root hid person 1, and 1 more.")
        assert wall_of(desk) == NOBODY[1:2]
        assert wall_of(desk, "?show=hidden") == [NOBODY[0], NOBODY[2]]
        page = desk.decide("/people", action="undo", decision="1-2")
        assert message(page).startswith("Undone: root hid person 1")
        assert wall_of(desk) == NOBODY
        desk.decide("/people", action="redo", decision="1-2")
        assert wall_of(desk) == NOBODY[1:2]

    def test_several_are_merged_into_the_best_known(self, desk: Desk) -> None:
        desk.decide("/people/2", action="name", person=2, name="Grace")
        desk.decide("/people", action="merge", person=[1, 2, 3])
        assert wall_of(desk) == [(2, "Grace", 12)]
        desk.decide("/people", action="undo", decision="2-3")
        assert wall_of(desk) == [NOBODY[0], NOBODY[2], (2, "Grace", 4)]

    def test_all_on_the_page_can_be_ticked_without_scripts(self, desk: Desk) -> None:
        assert desk.get("/people").text.count(" checked") == 0
        page = desk.get("/people?show=all&all=1")
        assert page.text.count(" checked") == 3
        assert 'action="/people/-/faces/people?show=all"' in page.text


def shown(text: str) -> list[int]:
    found = re.findall(r'name="person" value="(\d+)" aria|<li><a href="[^"]*/people/(\d+)', text)
    return [int(a or b) for a, b in found]


class TestAPerson:
    def test_their_faces_come_by_date_and_those_in_doubt_last(
        self, database: Path, tmp_path: Path
    ) -> None:
        changed = copied(
            database,
            tmp_path / "dated.db",
            "update faces set width = 200, height = 200, sharpness = 100",
            "update photos set taken_at = '1990-01-01' where id = 3",
            "update photos set taken_at = null where id = 1",
            "update faces set sharpness = 1 where id = 2",
        )
        with site(changed) as it:
            desk = Desk(it, database="dated")
            assert faces_of(desk, 1) == [3, 4, 1, 2]
            page = desk.get("/people/1").text
            assert page.index("In doubt") > page.index('value="1" aria-label="Choose face 1"')
            desk.decide("/people/1", action="name", person=1, name="Ada")
            # Photo 2 was taken the day before photo 4
            assert faces_of(desk, 1) == [3, 2, 4, 1]
            assert "In doubt" not in desk.get("/people/1").text

    def test_pages_hold_each_face_once(self, desk: Desk, monkeypatch: Any) -> None:
        from datasette_faces.app.web import people

        monkeypatch.setattr(people, "PAGE_FACES", 3)
        first = desk.get("/people/1.json").json()
        second = desk.site.get(urlsplit(first["next_url"]).path + "?after=3", actor="root").json()
        found = [row["face_id"] for row in first["faces"] + second["faces"]]
        assert (found, second["next_url"]) == ([1, 2, 3, 4], None)

    def test_those_in_the_same_photos_are_seen_together(
        self, database: Path, tmp_path: Path
    ) -> None:
        together = copied(
            database,
            tmp_path / "together.db",
            "update faces set photo_id = 1, x = id * 20 where id in (5, 9)",
        )
        with site(together) as it:
            desk = Desk(it, database="together")
            found = desk.get("/people/1.json").json()["together"]
            assert [(row["person_id"], row["photos"]) for row in found] == [(2, 1), (3, 1)]
            desk.decide("/people/2", action="hide", person=2)
            found = desk.get("/people/1.json").json()["together"]
            assert [row["person_id"] for row in found] == [3]
            assert "Seen together with" in desk.get("/people/1").text

    def test_a_name_is_given_told_and_undone(self, desk: Desk, database: Path) -> None:
        page = desk.decide("/people/1", action="name", person=1, name="  Ada   Lovelace ")
        assert message(page).startswith("root named 4 faces Ada Lovelace.")
        assert "<bdi>Ada Lovelace</bdi></h1>" in page.text
        assert asked(database, "select actor, kind, value from decisions") == [
            ("root", "name", "Ada Lovelace")
        ]
        page = desk.decide("/people/1", action="undo", decision=1)
        assert "<bdi>Person 1</bdi></h1>" in page.text
        assert "Redo" in page.text

    def test_faces_move_to_somebody_by_name(self, desk: Desk) -> None:
        desk.decide("/people/2", action="name", person=2, name="Ada")
        desk.decide("/people/1", action="move", person=1, face=[1, 2], to="ada")
        assert faces_of(desk, 2) == [1, 2, 5, 6, 7, 8]
        assert faces_of(desk, 1) == [3, 4]

    def test_faces_move_to_somebody_new_by_name(self, desk: Desk) -> None:
        page = desk.decide("/people/1", action="move", person=1, face=[1, 2], to="Grace")
        assert "and 1 more" in message(page)
        assert (4, "Grace", 2) in wall_of(desk)
        desk.decide("/people/1", action="undo", decision="1-2")
        assert wall_of(desk) == NOBODY

    def test_faces_are_split_off_and_rejected_and_no_faces(
        self, desk: Desk, database: Path
    ) -> None:
        desk.decide("/people/1", action="split", person=1, face=[1, 2])
        assert person_of(database, 1) == person_of(database, 2) not in (1, None)
        desk.decide("/people/1", action="reject", person=1, face=3)
        assert person_of(database, 3) is None
        desk.decide("/people/2", action="not-a-face", face=[5])
        assert wall_of(desk, "?show=hidden")[0][1:] == ("Not a face", 1)
        desk.decide("/people/2", action="cover", person=2, face=8)
        assert desk.get("/people/2.json").json()["person"]["face_id"] == 8

    def test_a_face_of_somebody_called_not_a_face_has_every_button(self, desk: Desk) -> None:
        reject = 'name="action" value="reject"'
        desk.decide("/people/2", action="not-a-face", face=[5])
        desk.decide("/people/1", action="name", person=1, name="Not a face")
        desk.decide("/people/1", action="hide", person=1)
        assert reject in desk.get("/face/1").text
        assert reject in desk.get("/people/1?hidden=1").text
        assert reject not in desk.get("/face/5").text

    def test_json_says_of_a_face_s_person_what_it_always_said(self, desk: Desk) -> None:
        keys = {"person_id", "name", "faces", "hidden", "face_id"}
        assert set(desk.get("/face/1.json").json()["face"]["person"]) == keys
        for face in desk.get("/photo/1.json").json()["faces"]:
            assert set(face["person"]) == keys

    def test_somebody_merged_away_is_found_where_they_went(self, desk: Desk) -> None:
        desk.decide("/people/2", action="name", person=2, name="Ada")
        page = desk.decide("/people/1", action="merge", person=1, to="Ada")
        assert page.url.path == "/people/-/faces/people/2"
        assert "root merged person 1 into Ada" in message(page)
        for ending in ("", ".json"):
            answer = desk.get(f"/people/1{ending}")
            assert answer.status_code == 302
            assert answer.headers["location"] == f"/people/-/faces/people/2{ending}"

    def test_somebody_without_faces_says_so(self, desk: Desk) -> None:
        desk.decide("/people/1", action="not-a-face", face=[1, 2, 3, 4])
        page = desk.get("/people/1")
        assert page.status_code == 200
        assert "moved to other people" in page.text

    def test_nobody_of_that_number_is_not_found(self, desk: Desk) -> None:
        for number in (99, 2**63, "9" * 19):
            assert desk.get(f"/people/{number}").status_code == 404


class TestHiddenPeople:
    @pytest.fixture(autouse=True)
    def hidden(self, desk: Desk) -> None:
        desk.decide("/people/1", action="hide", person=1)

    def test_they_are_merged_with_nobody_who_is_shown(self, desk: Desk) -> None:
        answer = desk.send("/people", action="merge", person=[1, 2])
        assert answer.status_code == 400
        assert "is hidden" in answer.text

    @pytest.mark.slow
    @pytest.mark.parametrize("path", ["/people/1", "/people?show=all", "", "/photo/1", "/photo/2"])
    def test_they_do_not_show_unless_asked_for(self, desk: Desk, path: str) -> None:
        reader = Desk(desk.site, None)
        mark = "crop/1.jpg" if path != "/photo/2" else "crop/2.jpg"
        assert mark not in reader.get(path).text
        there = f"{path}{'&' if '?' in path else '?'}hidden=1"
        asked_for = reader.get(there)
        assert asked_for.status_code == 200
        assert mark in asked_for.text or path == "/people?show=all"

    def test_a_photo_says_how_many_of_its_faces_are_left_out(self, desk: Desk) -> None:
        told = "more belongs to hidden people"
        assert f"1 {told}" in desk.get("/photo/1").text
        assert told not in desk.get("/photo/5").text
        assert told not in desk.get("/photo/1?hidden=1").text

    def test_the_nearest_faces_and_the_history_leave_them_out(self, desk: Desk) -> None:
        reader = Desk(desk.site, None)
        nearest = reader.get("/face/5.json").json()["nearest"]
        assert {1, 2, 3, 4}.isdisjoint(row["face_id"] for row in nearest)
        assert "crop/1.jpg" not in reader.get("/history").text
        assert "crop/1.jpg" in desk.get("/history").text

    def test_the_gallery_s_sql_gives_what_it_shows(self, desk: Desk) -> None:
        for path in ("/photo/1", "/photo/5", ""):
            link = unescape(re.search(r'href="([^"]+)">View and edit', desk.get(path).text)[1])
            rows = desk.site.follow_sql(link)
            ids = [row["face_id"] for row in desk.get(f"{path or '/'}.json").json()["faces"]]
            assert [row["face_id"] for row in rows] == ids, path
            assert {1, 2, 3, 4}.isdisjoint(ids)


class TestTheHistory:
    @pytest.mark.slow
    def test_every_decision_is_a_sentence_the_newest_first(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        desk.decide("/people/2", action="merge", person=2, to="Ada")
        desk.decide("/people/1", action="split", person=1, face=1)
        desk.decide("/people/1", action="reject", person=1, face=2)
        desk.decide("/people/1", action="not-a-face", face=3)
        desk.decide("/people/1", action="cover", person=1, face=4)
        desk.decide("/people/1", action="hide", person=1)
        desk.decide("/history", action="undo", decision=7)
        desk.decide("/people/3", action="move", face=9, to="Ada")
        told = desk.get("/history.json").json()["decisions"]
        assert [row["sentence"] for row in told] == [
            "root said that 1 face is Ada",
            "root undid #7: hid Ada",
            "root hid Ada",
            "root chose another cover for Ada",
            "root said that 1 face is no face",
            "root said that 1 face is not Ada",
            "root took 1 face out of Ada: they are person 4",
            "root merged person 2 into Ada",
            "root named 4 faces Ada",
        ]
        assert [row["active"] for row in told][2] is False
        page = desk.get("/history").text
        assert page.count(">Undo</button>") == 7
        assert page.count(">Redo</button>") == 1

    def test_what_takes_a_decision_back_shows_its_face(self, desk: Desk) -> None:
        desk.decide("/people/1", action="not-a-face", face=3)
        desk.decide("/history", action="undo", decision=1)
        desk.decide("/history", action="redo", decision=1)
        told = desk.get("/history.json").json()["decisions"]
        assert [(row["kind"], row["face_id"]) for row in told] == [
            ("redo", 3),
            ("undo", 3),
            ("not-a-face", 3),
        ]
        assert desk.get("/history").text.count('/crop/3.jpg"') == 3

    def test_its_pages_hold_each_decision_once(self, desk: Desk, monkeypatch: Any) -> None:
        from datasette_faces.app.web import people

        monkeypatch.setattr(people, "PAGE_DECISIONS", 2)
        for number in range(5):
            desk.decide("/people/1", action="name", person=1, name=f"Ada {number}")
        found, url = [], "/people/-/faces/history.json"
        while url:
            answer = desk.site.get(url).json()
            found += [row["id"] for row in answer["decisions"]]
            url = answer["next_url"] and answer["next_url"].replace("http://localhost", "")
        assert found == [5, 4, 3, 2, 1]

    def test_a_decision_cannot_be_undone_twice(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        looked_at = desk.get("/history")
        assert desk.send("/history", looked_at, action="undo", decision=1).status_code == 303
        again = desk.send("/history", looked_at, action="undo", decision=1)
        assert again.status_code == 409
        assert "root undid #1" in unescape(re.sub("<[^>]+>", "", again.text))
        assert desk.send("/history", action="undo", decision=1).status_code == 400


class TestBadInput:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["", "   ", "x" * 10_000, "A\x00da"])
    def test_a_name_that_is_none_is_refused_and_kept_in_the_form(
        self, desk: Desk, name: str
    ) -> None:
        answer = desk.send("/people/1", action="name", person=1, name=name)
        assert answer.status_code == 400
        assert 'name="name"' in answer.text
        assert name in unescape(answer.text) or "\x00" in name
        assert wall_of(desk) == NOBODY

    @pytest.mark.slow
    @pytest.mark.parametrize("name", [HOSTILE, HEBREW, "👩\u200d👧", "O'Neill-Ñúñez"])
    def test_names_of_all_kinds_are_shown_as_they_are(self, desk: Desk, name: str) -> None:
        desk.decide("/people/1", action="name", person=1, name=name)
        for path in ("/people", "/people/1", "/history", "/photo/1", "/face/1", "/people/2"):
            text = desk.get(path).text
            assert "<img src=x" not in text
            assert "& 49" not in text
            if path != "/people/2":
                assert name in unescape(text), path
        assert wall_of(desk, "?show=named") == [(1, name, 4)]
        answer = desk.send("/people/2", action="name", person=2, name=name)
        assert (answer.status_code, "<img src=x" in answer.text) == (409, False)

    def test_a_name_that_is_taken_offers_a_merge_with_both_covers(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        answer = desk.send("/people/2", action="name", person=2, name="ADA")
        assert answer.status_code == 409
        covers = [desk.get(f"/people/{it}.json").json()["person"]["face_id"] for it in (1, 2)]
        assert all(f"/crop/{face}.jpg" in answer.text for face in covers)
        merge = form_of(answer, "merge")
        page = desk.site.post(
            "/people/-/faces/people/2", *encoded(merge), cookie=desk.cookies(answer)
        )
        assert page.status_code == 303
        assert wall_of(desk) == [(3, None, 4), (1, "Ada", 8)]

    def test_two_people_may_have_one_name_and_are_told_apart(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        desk.decide("/people/2", action="name", person=2, name="Ada", same=1)
        answer = desk.send("/people/3", action="move", person=3, face=9, to="Ada")
        assert answer.status_code == 409
        assert "2 people are called Ada" in message(answer)
        desk.decide("/people/3", action="move", person=3, face=9, to_person=2)
        assert 9 in faces_of(desk, 2)

    def test_the_second_of_two_editors_is_told_and_nothing_is_lost(self, desk: Desk) -> None:
        looked_at = desk.get("/people/1")
        desk.decide("/people/1", action="name", person=1, name="Ada")
        answer = desk.send("/people/1", looked_at, action="name", person=1, name="Grace")
        assert answer.status_code == 409
        assert "root named 4 faces Ada" in unescape(re.sub("<[^>]+>", "", answer.text))
        assert 'value="Grace"' in answer.text
        assert wall_of(desk, "?show=named") == [(1, "Ada", 4)]
        again = desk.send("/people/1", answer, action="name", person=1, name="Grace")
        assert again.status_code == 303
        assert wall_of(desk, "?show=named") == [(1, "Grace", 4)]

    def test_what_was_decided_of_others_meanwhile_does_not_matter(self, desk: Desk) -> None:
        looked_at = desk.get("/people/1")
        desk.decide("/people/2", action="name", person=2, name="Grace")
        answer = desk.send("/people/1", looked_at, action="name", person=1, name="Ada")
        assert answer.status_code == 303

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("path", "fields", "says"),
        [
            ("/people/1", {"action": "split", "person": 1, "face": [1, 2, 3, 4]}, "leave one"),
            ("/people/1", {"action": "split", "person": 1}, "No face is chosen"),
            (
                "/people/1",
                {"action": "split", "person": 1, "face": 5},
                "no longer belongs to person 1",
            ),
            ("/people/1", {"action": "move", "person": 1, "to": "Ada"}, "No face is chosen"),
            ("/people/1", {"action": "move", "face": 99, "to": "Ada"}, "no longer exists"),
            ("/people/1", {"action": "move", "face": 1, "to": ""}, "A name is needed"),
            ("/people/1", {"action": "merge", "person": 1, "to": "Nobody"}, "No one is called"),
            ("/people/1", {"action": "merge", "person": 1, "to_person": 1}, "the same person"),
            ("/people", {"action": "merge", "person": 1}, "two people at least"),
            ("/people", {"action": "merge"}, "No person is chosen"),
            ("/people", {"action": "hide", "person": 99}, "no person 99"),
            ("/people/1", {"action": "cover", "person": 1, "face": [1, 2]}, "one face"),
            ("/history", {"action": "undo", "decision": 99}, "no decision 99"),
            ("/history", {"action": "redo"}, "No decision is chosen"),
            ("/people", {"action": "burn", "person": 1}, "action takes one of these"),
            ("/people", {"person": 1}, "action takes one of these"),
        ],
    )
    def test_what_cannot_be_is_refused_in_words(
        self, desk: Desk, database: Path, path: str, fields: dict[str, Any], says: str
    ) -> None:
        answer = desk.send(path, **fields)
        assert answer.status_code in (400, 409)
        assert says in message(answer)
        as_json = desk.send(f"{path}.json", **fields)
        assert (as_json.status_code, as_json.json()["ok"]) == (answer.status_code, False)
        assert says in as_json.json()["error"]
        assert asked(database, "select count(*) from decisions") == [(0,)]

    def test_all_of_several_or_nothing(self, desk: Desk) -> None:
        assert desk.send("/people", action="hide", person=[1, 2, 99]).status_code == 400
        assert wall_of(desk) == NOBODY

    @pytest.mark.parametrize("value", ["x", "-1", "1-", "9" * 30, "1-999999999", "1.5", "²"])
    def test_numbers_that_are_none_are_refused(self, desk: Desk, value: str) -> None:
        answer = desk.send("/people.json", action="hide", person=value)
        assert (answer.status_code, answer.json()["ok"]) == (400, False)

    def test_bodies_that_are_no_form_are_refused(self, desk: Desk) -> None:
        cookie = desk.cookies(desk.get("/people"))
        token = desk.fields(desk.get("/people")).get("csrftoken", "")
        for kind, body, status in (
            ("text/plain", b"action=hide", 415),
            ("application/json", b"[1]", 400),
            ("application/json", b"{", 400),
            ("application/json", b"[" * 100_000, 400),
            ("application/json", b" " * 1_000_001, 413),
        ):
            page = desk.get("/people")
            cookie, token = desk.cookies(page), desk.fields(page).get("csrftoken", "")
            answer = desk.site.post(
                "/people/-/faces/people.json", body, kind, cookie=cookie, x_csrftoken=token
            )
            assert answer.status_code == status, (kind, body[:10])
            assert answer.json()["ok"] is False

    def test_a_message_of_what_was_done_that_makes_no_sense_is_left_out(self, desk: Desk) -> None:
        for done in ("x", "99", "1-99999999999", "<b>"):
            page = desk.get(f"/people?done={done}")
            assert (page.status_code, "faces-flash" in page.text) == (200, False)


def form_of(page: Any, action: str) -> list[tuple[str, str]]:
    """The hidden fields of the page's form for an action."""
    for form in re.findall(r"<form.*?</form>", page.text, re.S):
        fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        if ("action", action) in fields:
            return [(name, unescape(value)) for name, value in fields]
    raise AssertionError(f"no form for {action}")


def encoded(fields: list[tuple[str, str]]) -> tuple[bytes, str]:
    from urllib.parse import urlencode

    return urlencode(fields).encode(), FORM


class TestJson:
    def test_a_decision_is_answered_with_itself(self, desk: Desk) -> None:
        for path, headers in (
            ("/people/1.json", {}),
            ("/people/1", {"accept": "application/json"}),
        ):
            page = desk.get("/people/1")
            token = desk.fields(page).get("csrftoken", "")
            body = json.dumps({"action": "name", "person": 1, "name": "Ada"}).encode()
            answer = desk.site.post(
                f"/people/-/faces{path}",
                body,
                "application/json",
                cookie=desk.cookies(page),
                x_csrftoken=token,
                **headers,
            )
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert told["ok"] is True
            assert told["decision"]["sentence"] == "root named 4 faces Ada"
            assert told["decision"]["person_id"] == 1
            assert told["decisions"] == [told["decision"]]

    def test_a_name_that_is_taken_names_who_has_it(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        answer = desk.send("/people/2.json", action="name", person=2, name="Ada")
        assert (answer.status_code, answer.json()["people"]) == (409, [1])

    @pytest.mark.parametrize("path", ["/people?show=all", "/people/1", "/history"])
    def test_every_page_links_to_its_json_and_to_its_sql(self, desk: Desk, path: str) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        text = desk.get(path).text
        link = unescape(re.search(r'This data as <a href="([^"]+)"', text)[1])
        answer = desk.site.get(link, actor="root").json()
        rows = desk.site.follow_sql(unescape(re.search(r'href="([^"]+)">View and edit', text)[1]))
        key, ours = {"/people/1": ("face_id", "faces"), "/history": ("id", "decisions")}.get(
            path, ("person_id", "people")
        )
        assert rows
        assert [row[key] for row in rows] == [row[key] for row in answer[ours]]


class TestWhoMay:
    @pytest.mark.slow
    @pytest.mark.parametrize("path", ["/people", "/people/1", "/history", "/face/1"])
    def test_without_permission_there_are_no_forms_and_a_post_is_403(
        self, served: Site, database: Path, path: str
    ) -> None:
        for actor in (None, "bob"):
            desk = Desk(served, actor)
            assert 'method="post"' not in desk.get(path).text.split("</header>")[-1].replace(
                '<form action="/-/logout" method="post">', ""
            ).replace('<form class="nav-menu-logout" action="/-/logout" method="post">', "")
            for ending in ("", ".json"):
                page = desk.get("/search")
                answer = desk.send(path + ending, page, action="hide", person=1)
                assert answer.status_code == 403
                assert ending == "" or answer.json()["ok"] is False
        assert asked(database, "select count(*) from decisions") == [(0,)]

    def test_the_next_without_a_name_is_for_those_who_may_name(self, served: Site) -> None:
        link = "Next unnamed person"
        assert link in Desk(served).get("/people/1").text
        assert link not in Desk(served, None).get("/people/1").text

    def test_whom_the_settings_name_may_edit(self, database: Path) -> None:
        rule = metadata_with(permissions={"faces-edit": ONLY_ANN})
        with site(database, metadata=rule) as it:
            assert Desk(it, "ann").decide("/people/1", action="name", person=1, name="Ada")
            assert (
                Desk(it, "bob")
                .send("/people/1", it.get("/people/-/faces/search"), action="hide", person=1)
                .status_code
                == 403
            )
            assert asked(database, "select actor from decisions") == [("ann",)]

    def test_whom_the_settings_name_may_not_edit_a_database_they_may_not_see(
        self, database: Path
    ) -> None:
        rule = metadata_with(permissions={"faces-edit": ONLY_ANN})
        private = {**rule, "databases": {"people": {"allow": {"id": "bob"}}}}
        with site(database, metadata=private) as it:
            page = Desk(it, "bob").get("/search")
            answer = Desk(it, "ann").send("/people", page, action="hide", person=1)
            assert answer.status_code == 403

    @pytest.mark.skipif(CSRF_BY_HEADERS, reason="this Datasette asks for no token")
    @pytest.mark.parametrize("token", [None, "x"])
    def test_a_form_without_its_token_is_refused(
        self, desk: Desk, database: Path, token: str | None
    ) -> None:
        page = desk.get("/people")
        fields = [("action", "hide"), ("person", "1")] + [("csrftoken", token)] * bool(token)
        for path in ("/people", "/people.json", "/people/1", "/history"):
            answer = desk.site.post(
                f"/people/-/faces{path}", *encoded(fields), cookie=desk.cookies(page)
            )
            assert answer.status_code == 403
        assert asked(database, "select count(*) from decisions") == [(0,)]

    @pytest.mark.skipif(not CSRF_BY_HEADERS, reason="this Datasette looks at tokens")
    def test_another_site_s_form_is_refused(self, desk: Desk, database: Path) -> None:
        fields = [("action", "hide"), ("person", "1")]
        cookie = desk.cookies(desk.get("/people"))
        for where in ("cross-site", "same-site"):
            answer = desk.site.post(
                "/people/-/faces/people", *encoded(fields), cookie=cookie, sec_fetch_site=where
            )
            assert answer.status_code == 403
        assert asked(database, "select count(*) from decisions") == [(0,)]

    def test_an_immutable_database_says_so(self, database: Path) -> None:
        from datasette.app import Datasette

        with site(database) as it:
            it.datasette = Datasette([], immutables=[str(database)])
            it.run(it.datasette.invoke_startup())
            desk = Desk(it)
            page = desk.get("/people")
            assert "served as immutable" in page.text
            assert "checkbox" not in page.text
            for ending in ("", ".json"):
                answer = desk.send("/people" + ending, desk.get("/search"), action="hide", person=1)
                assert answer.status_code == 403
                assert "served as immutable" in answer.text

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("table", "refused"),
        [
            ("people", {"/people", "/people/1", "/history"}),
            ("faces", {"/people", "/people/1", "/history", "/face/1"}),
            ("photos", {"/people/1", "/history", "/face/1"}),
            ("decisions", {"/history"}),
        ],
    )
    def test_who_may_not_see_a_table_sees_nothing_of_it(
        self, database: Path, table: str, refused: set[str]
    ) -> None:
        rule = {"databases": {"people": {"tables": {table: {"allow": ONLY_ANN}}}}}
        editors = metadata_with(permissions={"faces-edit": ONLY_ANN})
        with site(database, metadata={**editors, **rule}) as it:
            desk, ann = Desk(it, "bob"), Desk(it, "ann")
            ann.decide("/people/1", action="name", person=1, name="Ada Lovelace")
            for path in ("/people", "/people/1", "/history", "/face/1"):
                statuses = {desk.get(path + ending).status_code for ending in ("", ".json")}
                assert statuses == ({403} if path in refused else {200}), path
                assert ann.get(path).status_code == 200
            if table == "people":
                for path in ("/photo/1", "/face/1", ""):
                    assert "Ada Lovelace" not in desk.get(path).text
                    assert "/people/-/faces/people" not in desk.get(path).text
                assert ">People<" not in desk.site.get("/people", actor="bob").text

    def test_reading_never_writes(self, desk: Desk, database: Path) -> None:
        before = database.read_bytes()
        for path in ("/people", "/people/1", "/history", "/face/1", "/photo/1", ""):
            assert desk.get(path).status_code == 200
        assert database.read_bytes() == before


class TestOtherPages:
    def test_photos_and_faces_name_who_is_on_them(self, desk: Desk) -> None:
        desk.decide("/people/1", action="name", person=1, name="Ada")
        for path in ("/photo/1", "/face/1"):
            text = desk.get(path).text
            assert 'href="/people/-/faces/people/1"><bdi>Ada</bdi></a>' in text
        face = desk.get("/face/1.json").json()["face"]
        assert (face["person"]["name"], face["person"]["person_id"]) == ("Ada", 1)

    def test_a_face_is_named_rejected_and_none_on_its_own_page(
        self, desk: Desk, database: Path
    ) -> None:
        page = desk.decide("/face/1", action="move", face=1, person=1, to="Ada")
        assert page.url.path == "/people/-/faces/face/1"
        assert wall_of(desk, "?show=named") == [(4, "Ada", 1)]
        desk.decide("/face/2", action="reject", face=2, person=1)
        assert person_of(database, 2) is None
        desk.decide("/face/3", action="not-a-face", face=3, person=1)
        assert "hidden" in desk.get("/face/3").text

    def test_menus_and_the_gallery_lead_to_people(self, desk: Desk) -> None:
        link = 'href="/people/-/faces/people"'
        assert link in desk.get("").text
        assert link in desk.site.get("/people", actor="root").text

    def test_cells_of_datasette_s_own_tables_lead_to_people(self, desk: Desk) -> None:
        assert 'href="/people/-/faces/people/1"><img' in desk.site.get("/people/people").text
        sql = "select id as face_id, person_id from faces where id = 5"
        query = "/people/-/query" if V1 else "/people"
        found = desk.site.get(f"{query}?sql={sql.replace(' ', '+')}").text
        assert 'href="/people/-/faces/people/2">2</a>' in found

    @pytest.mark.parametrize("keeps_prefix", [True, False])
    def test_behind_a_prefix_forms_lead_back_to_their_page(
        self, database: Path, keeps_prefix: bool
    ) -> None:
        with site(database, settings={"base_url": "/a/b/"}) as it:
            desk = Desk(it)
            desk.base = f"{'/a/b' if keeps_prefix else ''}{desk.base}"
            for path in ("/people?show=all", "/people/1", "/history"):
                text = desk.get(path).text
                links = {
                    unescape(link) for link in re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
                }
                assert all(re.match("/a/b/(?!a/b)", link) for link in links), links
            answer = desk.send("/people?show=all", action="hide", person=1)
            assert answer.headers["location"] == "/a/b/people/-/faces/people?show=all&done=1"
            assert "root hid person 1" in message(it.get(answer.headers["location"], actor="root"))

    def test_after_a_decision_the_filters_are_as_they_were(self, database: Path) -> None:
        with site(database) as it:
            answer = Desk(it).send("/people?q=a.json", action="hide", person=1)
            assert answer.headers["location"] == "/people/-/faces/people?q=a.json&done=1"

    def test_a_file_without_people_still_shows_its_faces(
        self, database: Path, tmp_path: Path
    ) -> None:
        bare = copied(database, tmp_path / "bare.db", "drop table decisions")
        with site(bare) as it:
            desk = Desk(it, database="bare")
            for path in ("", "/photo/1", "/face/1"):
                assert desk.get(path).status_code == 200
            for path in ("/people", "/people/1", "/history"):
                assert desk.get(path).status_code == 404


def plan(conn: Any, query: gallery.Query) -> list[str]:
    return [row[3] for row in conn.execute(f"explain query plan {query.sql}", query.params)]


def test_no_page_scans_the_faces_or_sorts_all_people(clustered: Path) -> None:
    from galleries import opened

    after = After(0, 4, 1)
    with opened(clustered) as conn:
        walls = [
            people_pages.people_query(show, name=name, after=it, limit=60)
            for show in people_pages.SHOWN
            for name in ("", "ada")
            for it in (None, after)
        ]
        for query in walls:
            steps = plan(conn, query)
            assert any("people_wall" in step for step in steps), steps
            assert not any(step.startswith("SCAN faces") for step in steps), steps
            assert not any("TEMP B-TREE" in step for step in steps), steps
        others = [
            people_pages.faces_query(1, after=None, limit=90),
            people_pages.faces_query(1, after=2, limit=90),
            gallery.Query(people_pages.TOGETHER, {"person_id": 1, "limit": 12}),
            history.history_query(before=None, limit=40),
            history.history_query(before=9, limit=40),
        ]
        for query in others:
            steps = plan(conn, query)
            scans = [step for step in steps if step.startswith("SCAN") and "faces" in step]
            assert not scans, steps


def test_a_filter_that_has_json_in_it_is_kept_by_a_decision(desk: Desk) -> None:
    answer = desk.send("/people?show=all&q=a.json", desk.get("/people"), action="hide", person="1")
    assert answer.headers["location"].endswith("/people?show=all&q=a.json&done=1")
