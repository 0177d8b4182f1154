"""`people`: decisions by the command line, and in JSON lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from running import beside, faces, ingest, rows
from toy_model import BLUE, GREEN, RED, draw

from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow


@pytest.fixture
def database(toy, photos, tmp_path) -> Path:
    """Six faces of two people whom the machine proposes: 1, 2, 3 and 4, 5, 6."""
    for number, colour in enumerate((RED, RED, RED, BLUE, BLUE, BLUE)):
        draw(photos / f"{number}.png", colour, note=str(number))
    database = tmp_path / "x.db"
    ingest(database, photos, "--no-cluster")
    with writing(str(database)) as conn, transaction(conn):
        store.propose(conn, {n: "a" if n <= 3 else "b" for n in range(1, 7)})
        store.rebuild(conn)
    return database


def people(database: Path, *arguments: str, code: int = 0) -> str:
    """What `people DB …` prints."""
    result = faces("people", database, *arguments)
    assert result.exit_code == code, result.output
    assert beside(database) == []
    return result.stdout if code == 0 else result.stderr


def listed(database: Path) -> list[dict[str, Any]]:
    return list(json.loads(people(database, "list", "--json")))


def groups(database: Path) -> set[tuple[str | None, str]]:
    sql = (
        "select name, group_concat(id, ',') from (select name, faces.id, person_id from faces "
        "join people on people.id = person_id order by faces.id) group by person_id"
    )
    return {tuple(row) for row in rows(database, sql)}


def test_list_tells_who_is_there(database: Path) -> None:
    people(database, "name", "1", "Ada")
    assert [(it["name"], it["faces"]) for it in listed(database)] == [("Ada", 3), (None, 3)]
    assert people(database, "list", "--named").splitlines()[1:] == ["       1        3  Ada"]


def test_every_decision_says_how_it_can_be_undone(database: Path) -> None:
    said = people(database, "name", "1", "Ada")
    assert f"people {database} undo 1" in said
    assert "undone" in people(database, "undo", "1")
    assert groups(database) == {(None, "1,2,3"), (None, "4,5,6")}
    assert "is in effect again" in people(database, "redo")
    assert groups(database) == {("Ada", "1,2,3"), (None, "4,5,6")}


def test_people_are_meant_by_number_or_by_name(database: Path) -> None:
    people(database, "name", "1", "Ada")
    people(database, "name", "2", "Grace")
    people(database, "move", "1", "--to", "grace")
    assert groups(database) == {("Ada", "2,3"), ("Grace", "1,4,5,6")}
    people(database, "merge", "Ada", "Grace")
    assert groups(database) == {("Ada", "1,2,3,4,5,6")}
    people(database, "split", "Ada", "5", "6")
    assert groups(database) == {("Ada", "1,2,3,4"), (None, "5,6")}
    people(database, "reject", "Ada", "4")
    assert groups(database) == {("Ada", "1,2,3"), (None, "5,6")}


def test_hidden_people_and_what_is_no_face(database: Path) -> None:
    people(database, "hide", "1")
    people(database, "not-a-face", "6")
    people(database, "cover", "2", "5")
    assert "(hidden)" in people(database, "list")
    people(database, "unhide", "1")
    people(database, "apart", "1", "2")
    kinds = [it["kind"] for it in json.loads(people(database, "history", "--json"))]
    assert kinds == ["apart", "unhide", "cover", "not-a-face", "hide"]
    assert "not-a-face" in people(database, "history")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("name", "9", "Ada"),
            "There is no person '9'; list people with: datasette faces people {} list",
        ),
        (("name", "1", " "), "A name is needed"),
        (("merge", "1", "1"), "same person"),
        (("split", "1", "1", "2", "3"), "leave one"),
        (("move", "99"), "no longer exists"),
        (("undo",), "nothing to undo"),
        (("undo", "7"), "no decision 7"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(database: Path, arguments: tuple, said: str) -> None:
    assert said.format(database) in people(database, *arguments, code=1)
    assert json.loads(people(database, "history", "--json")) == []


def test_of_two_of_whom_one_is_hidden_none_is_merged(database: Path) -> None:
    people(database, "hide", "1")
    assert "Person 1 is hidden, and person 2 is not" in people(database, "merge", "1", "2", code=1)
    people(database, "hide", "2")
    people(database, "merge", "1", "2")


def test_a_name_of_two_people_has_to_be_told_apart(database: Path) -> None:
    people(database, "name", "1", "Ada")
    merging = f"merge the two (datasette faces people {database} merge 1 2)"
    taken = people(database, "name", "2", "ADA", code=1)
    assert f"There is already a person called ADA (person 1): {merging}, or add --same" in taken
    people(database, "name", "2", "Ada", "--same")
    assert "called Ada (1, 2): say which one is meant" in people(database, "hide", "Ada", code=1)


def test_decisions_go_to_another_file_of_the_same_photos(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    people(database, "name", "1", "Ada")
    people(database, "move", "4")
    people(database, "undo")
    log = tmp_path / "decisions.jsonl"
    people(database, "export", str(log))
    other = tmp_path / "other.db"
    ingest(other, photos, "--no-cluster")
    assert "3 decisions imported, 0 were" in people(other, "import", str(log))
    assert "0 decisions imported, 3 were" in people(other, "import", str(log))
    assert groups(other) == {("Ada", "1,2,3")}
    assert people(other, "export") == log.read_text()


def test_an_import_that_would_show_somebody_hidden_asks_first(
    database: Path, tmp_path: Path
) -> None:
    other, log = tmp_path / "other.db", tmp_path / "decisions.jsonl"
    shutil.copy(database, other)
    people(other, "merge", "1", "2")
    people(other, "export", str(log))
    people(database, "hide", "2")
    said = people(database, "import", str(log), code=1)
    assert "would show faces of people who are hidden here (person 2)" in said
    assert "--show-hidden" in said
    assert groups(database) == {(None, "1,2,3"), (None, "4,5,6")}
    assert "1 decision imported" in people(database, "import", str(log), "--show-hidden")
    assert groups(database) == {(None, "1,2,3,4,5,6")}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"kind": "rename", "uid": "1", "made_at": ""}',
        '{"kind": "name"}',
        "5",
        "[" * 5000,
    ]
    + ['{"kind": "undo", "uid": "1", "made_at": ""}', '{"kind": "name", "uid": 5, "made_at": ""}']
    + [
        json.dumps({"kind": "name", "uid": "1", "made_at": "", "faces": [face]})
        for face in (
            {"role": "member", "photo": "x", "box": [1, 2, 3]},
            {"role": "member", "photo": "x", "box": [1, 2, 3, float("nan")]},
            {"role": "friend", "photo": "x", "box": [1, 2, 3, 4]},
            {"role": "member", "photo": 5, "box": [1, 2, 3, 4]},
        )
    ],
)
def test_what_is_no_decision_is_refused_with_its_line(
    database: Path, tmp_path: Path, line: str
) -> None:
    people(database, "name", "1", "Ada")
    good = people(database, "export").replace('"uid": "', '"uid": "x')
    log = tmp_path / "decisions.jsonl"
    log.write_text(f"{good}{line}\n")
    assert "Line 2 is no decision" in people(database, "import", str(log), code=1)
    assert len(people(database, "export").splitlines()) == 1


def test_names_stand_after_a_move_a_new_ingest_and_without_the_table(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    people(database, "name", "1", "Ada")
    elsewhere = tmp_path / "elsewhere"
    photos.rename(elsewhere)
    ingest(database, elsewhere, "--no-cluster")
    with writing(str(database)) as conn:
        conn.execute("drop table people")
    people(database, "rebuild")
    assert groups(database) == {("Ada", "1,2,3"), (None, "4,5,6")}
    with writing(str(database)) as conn, transaction(conn):
        conn.execute("delete from photos")
    ingest(database, elsewhere, "--no-cluster")
    assert groups(database) == {("Ada", "1,2,3")}


def test_an_edited_photo_keeps_its_people(database: Path, photos: Path) -> None:
    people(database, "name", "1", "Ada")
    draw(photos / "0.png", RED, GREEN, note="another picture")
    draw(photos / "1.png", RED, note="another caption")
    ingest(database, photos, "--no-cluster")
    assert ("Ada", "1,2,3") in groups(database)
    draw(photos / "0.png", GREEN, RED, note="again")
    ingest(database, photos, "--no-cluster")
    assert ("Ada", "1,2,3") in groups(database)
