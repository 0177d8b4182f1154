"""What becomes of faces, people and decisions when a photo is edited on disk and ingested again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from running import faces, ingest, rows
from toy_model import BLUE, GREEN, RED, SHY, WHITE, YELLOW, ToyModel, draw

from datasette_faces.errors import PictureError
from datasette_faces.library.ingest import edits
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
        ((YELLOW, WHITE), [(1, None)]),
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
    assert [name for _, name in seen(database)] == ["Green", None]
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
    with writing(str(database)) as conn:
        entries = [json.loads(line) for line in decision_log.export_log(conn)]
    assert [len(entry["faces"]) for entry in entries] == [1] * 6


def test_somebody_who_was_edited_away_comes_back_with_other_bytes_too(database, photos):
    edit(database, photos, GREEN, BLUE)
    edit(database, photos, RED, GREEN, BLUE, note="saved anew")
    assert seen(database) == [(1, "Red"), (2, "Green"), (3, "Blue")]
    assert rows(database, "select * from lost_faces") == []


def test_an_ingest_says_that_people_are_gone_from_edited_photos(database, photos):
    draw(photos / "a.png", GREEN, BLUE)
    said = faces("ingest", database, photos, "--model", "toy", "--no-cluster").stdout
    assert "1 face of a person is no longer in its edited photo" in said
    draw(photos / "a.png", WHITE, YELLOW)
    said = faces("ingest", database, photos, "--model", "toy", "--no-cluster").stdout
    assert "2 faces of people are no longer in their edited photos" in said


@pytest.mark.parametrize("named_on", ["first", "caption"])
def test_a_caption_a_crop_and_the_original_again_lose_nobody(toy, photos, tmp_path, named_on):
    database, original = tmp_path / "c.db", (photos / "a.png").read_bytes()
    ingest(database, photos, "--no-cluster")
    if named_on == "caption":
        edit(database, photos, RED, GREEN, BLUE, note="a caption")
    with writing(str(database)) as conn, transaction(conn):
        decide.place_faces(conn, [1], None, "Red", by=decide.NOBODY)
    edit(database, photos, RED, GREEN, BLUE, note="another caption")
    edit(database, photos, GREEN, BLUE)
    (photos / "a.png").write_bytes(original)
    ingest(database, photos, "--no-cluster")
    assert [name for _, name in seen(database)] == ["Red", None, None]


def test_an_original_that_comes_back_beside_its_edited_copy_takes_nothing_from_it(database, photos):
    original = (photos / "a.png").read_bytes()
    edit(database, photos, GREEN, RED, BLUE)
    (photos / "b.png").write_bytes(original)
    ingest(database, photos, "--no-cluster")
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert [name for _, name in seen(database)] == ["Green", "Red", "Blue"]
    called = CALLED.replace("photo_id = 1", "photo_id = 2")
    assert rows(database, called) == [("Red",), ("Green",), ("Blue",)]
    # The copy is edited as well: each keeps where its own faces were
    draw(photos / "b.png", BLUE, RED)
    ingest(database, photos, "--no-cluster")
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert rows(database, called) == [("Blue",), ("Red",)]
    assert rows(database, "select count(*) from lost_faces where photo_id = 2") == [(1,)]


def test_a_file_that_is_renamed_and_edited_then_keeps_its_people(database, photos):
    (photos / "a.png").rename(photos / "renamed.png")
    ingest(database, photos, "--no-cluster")
    draw(photos / "renamed.png", GREEN, RED, BLUE)
    assert ingest(database, photos, "--no-cluster")["edited"] == 1
    assert seen(database) == [(2, "Green"), (1, "Red"), (3, "Blue")]


@pytest.fixture
def other() -> Iterator[ToyModel]:
    from datasette.plugins import pm

    model = ToyModel(id="other", weights="other")
    plugin = model.as_plugin()
    pm.register(plugin)
    yield model
    pm.unregister(plugin)


def test_a_face_that_another_model_knows_waits_for_it(toy, other, photos, tmp_path):
    """A place alone says nothing: in the edited picture another person may be there."""
    database = tmp_path / "two.db"
    ingest(database, photos, "--no-cluster", model="other")
    with writing(str(database)) as conn, transaction(conn):
        decide.place_faces(conn, [1], None, "Red", by=decide.NOBODY)
    report = edit(database, photos, YELLOW, GREEN, RED)
    assert (report["edited"], report["lost"]) == (1, 1)
    assert [name for _, name in seen(database)] == [None, None, None]
    ingest(database, photos, "--no-cluster", model="other")
    assert [name for _, name in seen(database)] == [None, None, "Red"]


@pytest.mark.parametrize("length", [1, 5, 255])
def test_a_vector_that_is_broken_moves_nobody(toy, database, photos, length):
    """Of another size, or of another length than one."""
    vector = [255.0, 0, 0] if length == 255 else [1.0] * length
    with writing(str(database)) as conn, transaction(conn):
        conn.execute(
            "update face_embeddings set embedding = ? where face_id = 1",
            [np.array(vector, "<f4").tobytes()],
        )
    edit(database, photos, YELLOW, GREEN)
    assert [name for _, name in seen(database)] == [None, "Green"]


def test_nothing_is_waited_for_while_a_file_is_written(toy, database, photos, monkeypatch):
    looks: list[bool] = []

    def look_at(pool, file, sha256, placed):
        looks.append(edits_conn.in_transaction)
        raise PictureError("not now")

    edits_conn = None
    find = edits.find_moves

    def find_moves(conn, *rest):
        nonlocal edits_conn
        edits_conn = conn
        return find(conn, *rest)

    monkeypatch.setattr(edits, "_look_at", look_at)
    monkeypatch.setattr(edits, "find_moves", find_moves)
    edit(database, photos, RED, GREEN, YELLOW)
    assert looks == [False]


def test_a_drawing_that_is_named_by_two_contents_makes_one_face(toy, photos, tmp_path):
    database = tmp_path / "drawn.db"
    draw(photos / "a.png", RED, SHY)
    original = (photos / "a.png").read_bytes()
    ingest(database, photos, "--no-cluster")
    assert faces("people", database, "draw", 1, 40, 0, 40, 40).exit_code == 0
    edit(database, photos, WHITE, RED, SHY)
    with writing(str(database)) as conn:
        log = list(decision_log.export_log(conn))
    (photos / "b.png").write_bytes(original)
    other = tmp_path / "other.db"
    ingest(other, photos, "--no-cluster")
    with writing(str(other)) as conn, transaction(conn):
        decision_log.import_log(conn, log)
    assert ingest(other, photos, "--no-cluster")["drawn"] == 1
    undo(other)
    assert rows(other, "select count(*) from faces") == [(2,)]
