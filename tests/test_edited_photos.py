"""What becomes of faces, people and decisions when a photo is edited on disk and ingested again."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from running import faces, ingest, rows
from toy_model import BLUE, GREEN, RED, SHY, WHITE, YELLOW, ToyModel, draw

from datasette_faces.people import decide, decision_log
from datasette_faces.store import people
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

IDS = "select id from faces where photo_id = 1 order by x"
CALLED = """
    select name from faces left join people on people.id = person_id
    where photo_id = 1 order by x
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw(folder / "a.png", RED, GREEN, BLUE)
    return folder


@pytest.fixture
def database(toy: ToyModel, tmp_path: Path, photos: Path) -> Path:
    """One photo of Red, Green and Blue, who were named face by face."""
    path = tmp_path / "x.db"
    ingest(path, photos, "--no-cluster")
    for face_id, name in ((1, "Red"), (2, "Green"), (3, "Blue")):
        with writing(str(path)) as conn, transaction(conn):
            moved = decide.move(conn, [face_id], None)
            person = people.by_key(conn, moved.person_key or "")
            assert person
            decide.name(conn, person.id, name)
    return path


def edit(database: Path, photos: Path, *colours, **options) -> dict:
    draw(photos / "a.png", *colours, **options)
    return ingest(database, photos, "--no-cluster")


def seen(database: Path) -> list[tuple[int, str | None]]:
    """The faces of the photo from left to right: id, name."""
    return [
        (face[0], name[0])
        for face, name in zip(rows(database, IDS), rows(database, CALLED), strict=True)
    ]


def undo(database: Path, kind: str = "undo") -> None:
    with writing(str(database)) as conn, transaction(conn):
        getattr(decide, kind)(conn)


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ((GREEN, RED, BLUE), [(2, "Green"), (1, "Red"), (3, "Blue")]),
        ((GREEN, BLUE), [(2, "Green"), (3, "Blue")]),
        ((WHITE, RED, GREEN, BLUE), [(1, "Red"), (2, "Green"), (3, "Blue")]),
        ((BLUE, WHITE, WHITE, RED), [(3, "Blue"), (1, "Red")]),
        ((RED, YELLOW, BLUE), [(1, "Red"), (4, None), (3, "Blue")]),
        ((YELLOW, WHITE), [(4, None)]),
    ],
    ids=["swapped", "cropped", "with a border", "far apart", "one is another one", "all gone"],
)
def test_faces_move_with_their_people(database, photos, edited, expected):
    assert edit(database, photos, *edited)["edited"] == 1
    assert seen(database) == expected
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert seen(database) == expected, "the decisions say the same"


def test_somebody_who_was_edited_away_comes_back_with_the_picture(database, photos):
    original = (photos / "a.png").read_bytes()
    edit(database, photos, GREEN, YELLOW)
    assert seen(database) == [(2, "Green"), (4, None)]
    (photos / "a.png").write_bytes(original)
    ingest(database, photos, "--no-cluster")
    assert [name for _, name in seen(database)] == ["Red", "Green", "Blue"]
    assert rows(database, "select count(*) from photos") == [(1,)]


def test_edits_in_a_row_lose_nobody(database, photos):
    for colours in ((GREEN, BLUE, RED), (WHITE, BLUE, RED, GREEN), (RED, WHITE, BLUE, GREEN)):
        edit(database, photos, *colours)
        edit(database, photos, *colours, note="a caption")
    assert seen(database) == [(1, "Red"), (3, "Blue"), (2, "Green")]
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert seen(database) == [(1, "Red"), (3, "Blue"), (2, "Green")]


def test_what_was_decided_before_an_edit_is_undone_and_redone_after_it(database, photos):
    edit(database, photos, GREEN, BLUE, RED)
    undo(database)  # the name Blue
    assert [name for _, name in seen(database)] == ["Green", None, "Red"]
    undo(database, "redo")
    assert [name for _, name in seen(database)] == ["Green", "Blue", "Red"]


def test_who_is_new_in_a_picture_is_not_whom_the_place_was(database, photos):
    """A decision is about a face of a picture, not about a place in whatever comes there."""
    edit(database, photos, YELLOW, GREEN, BLUE)
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert seen(database) == [(4, None), (2, "Green"), (3, "Blue")]
    [(kept,)] = rows(database, "select count(*) from decisions")
    assert kept == 6


def test_a_decision_is_known_by_both_contents(toy, database, photos, tmp_path):
    edit(database, photos, GREEN, WHITE, RED)
    with writing(str(database)) as conn:
        log = list(decision_log.export_log(conn))
    # A file that knows the edited picture alone
    other = tmp_path / "other.db"
    ingest(other, photos, "--no-cluster")
    with writing(str(other)) as conn, transaction(conn):
        decision_log.import_log(conn, log)
    assert [name for _, name in seen(other)] == ["Green", "Red"]
    # And one that knows the former one alone
    former = tmp_path / "former"
    former.mkdir()
    draw(former / "a.png", RED, GREEN, BLUE)
    third = tmp_path / "third.db"
    ingest(third, former, "--no-cluster")
    with writing(str(third)) as conn, transaction(conn):
        decision_log.import_log(conn, log)
    assert [name for _, name in seen(third)] == ["Red", "Green", "Blue"]
    with writing(str(other)) as conn:
        assert list(decision_log.export_log(conn)) == log


def test_the_cover_of_a_person_is_a_face_that_is_there(database, photos):
    draw(photos / "b.png", RED, note="b")
    ingest(database, photos, "--no-cluster")
    [(red,)] = rows(database, "select id from people where name = 'Red'")
    with writing(str(database)) as conn, transaction(conn):
        decide.move(conn, [4], red)
        decide.cover(conn, red, 1)
    edit(database, photos, GREEN)
    assert rows(database, "select cover_face_id from people where name = 'Red'") == [(4,)]


@pytest.mark.parametrize(
    ("edited", "left"),
    [
        ((RED, SHY, GREEN), 40.0),
        ((WHITE, RED, SHY, YELLOW), 80.0),
        ((RED, YELLOW, GREEN), None),
    ],
    ids=["a neighbour is new", "with a border", "another one is there"],
)
def test_a_drawn_face_that_no_detector_sees_moves_too(toy, tmp_path, photos, edited, left):
    database = tmp_path / "drawn.db"
    draw(photos / "a.png", RED, SHY, BLUE)
    ingest(database, photos, "--no-cluster")
    drawn = faces("people", database, "draw", 1, 40, 0, 40, 40, "--name", "Shy")
    assert drawn.exit_code == 0, drawn.output
    [(face_id,)] = rows(database, "select face_id from face_drawings")
    before = (photos / "a.png").read_bytes()
    edit(database, photos, *edited)
    shy = "select faces.id, x from faces join people on people.id = person_id where name = 'Shy'"
    assert rows(database, shy) == ([] if left is None else [(face_id, left)])
    undo(database), undo(database)
    undo(database, "redo"), undo(database, "redo")
    assert rows(database, shy) == ([] if left is None else [(face_id, left)])
    (photos / "a.png").write_bytes(before)
    ingest(database, photos, "--no-cluster")
    assert rows(database, shy) == [(face_id, 40.0)]


def test_a_file_of_before_edits_were_followed_reads_as_it_did(database, photos):
    edit(database, photos, RED, GREEN, BLUE, note="a caption")
    with writing(str(database)) as conn:
        conn.execute("drop table former_faces")
        with transaction(conn):
            people.rebuild(conn)
    assert [name for _, name in seen(database)] == ["Red", "Green", "Blue"]


def test_a_log_names_each_face_once_where_nothing_was_edited(database):
    with closing(open(database, "rb")), writing(str(database)) as conn:
        entries = [json.loads(line) for line in decision_log.export_log(conn)]
    assert [len(entry["faces"]) for entry in entries] == [1] * 6
