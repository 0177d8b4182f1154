"""A drawn face is a face like any other, and comes back whatever happens to its row."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from running import faces, ingest, rows, with_a_missed_face
from toy_model import GREEN, RED, SHY, WHITE, ToyModel, draw

from datasette_faces.library.ingest import run
from datasette_faces.models.base import Engine
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

FACES = """
    select faces.id, x, y, width, height, detection_score, name, person_source
    from faces left join people on people.id = person_id order by photo_id, x, faces.id
"""
VECTORS = "select face_id, model_id from face_embeddings order by 1, 2"


@dataclass
class LoggingModel(ToyModel):
    """The toy model, which writes down that it was loaded."""

    loads: str = os.devnull

    def load(self) -> Engine:
        with open(self.loads, "a") as log:
            log.write("loaded\n")
        return super().load()


@pytest.fixture
def database(toy: ToyModel, photos: Path, tmp_path: Path) -> Path:
    return with_a_missed_face(tmp_path / "x.db", photos)


@pytest.fixture
def other(toy: ToyModel) -> Iterator[ToyModel]:
    """A second model, which finds what the first one does."""
    from datasette.plugins import pm

    model = replace(toy, id="other", weights="other")
    plugin = model.as_plugin()
    pm.register(plugin)
    yield model
    pm.unregister(plugin)


def drawn(database: Path, *arguments: object, photo: object = 1, code: int = 0) -> str:
    """What `draw` says, of the shy face unless other numbers are given."""
    box = arguments if arguments and isinstance(arguments[0], int | float) else (42, 1, 38, 38)
    options = [it for it in arguments if it not in box]
    result = faces("people", database, "draw", photo, *box, *options)
    assert result.exit_code == code, result.output
    return result.output


def shy(database: Path) -> list[tuple[Any, ...]]:
    """The rows of the face that was drawn: id, name, who said so."""
    found = [row for row in rows(database, FACES) if row[1] == 42]
    return [(row[0], *row[6:]) for row in found]


def vectors_of(database: Path, face_id: int) -> list[str]:
    return [model for face, model in rows(database, VECTORS) if face == face_id]


def decide(database: Path, *arguments: object) -> str:
    result = faces("people", database, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_missed_face_is_drawn_and_embedded_like_any_other(database: Path) -> None:
    said = drawn(database)
    [row] = [it for it in rows(database, FACES) if it[1] == 42]
    assert row[1:6] == (42, 1, 38, 38, 0.3)
    assert f"Face {row[0]} added (decision 1" in said
    [(landmarks, crop)] = rows(database, "select landmarks, crop from faces where id = ?", row[0])
    assert landmarks.startswith("[[5")
    assert crop.startswith(b"\xff\xd8")
    [(like,)] = rows(
        database,
        "select 1 - vec_distance_cosine(embedding, vec_f32(?)) from vec_faces_toy where face_id = ?",
        f"[{','.join(map(str, SHY))}]",
        row[0],
    )
    assert like == pytest.approx(1, abs=1e-4)
    [decision] = rows(
        database,
        "select kind, person_key, role, x, y, width, height from decisions "
        "join decision_faces on decision_id = decisions.id",
    )
    assert decision == ("draw", None, "drawn", 42, 1, 38, 38)


def test_a_face_that_no_detector_sees_is_placed_by_its_box(database: Path) -> None:
    assert "no detector sees it" in drawn(database, 80, 0, 40, 40)
    [row] = [it for it in rows(database, FACES) if it[1] == 80]
    assert row[5] == 0
    assert vectors_of(database, row[0]) == ["toy"]


def test_a_face_is_named_as_it_is_drawn(database: Path) -> None:
    drawn(database, "--name", "Ada")
    [(_, name, source)] = shy(database)
    assert (name, source) == ("Ada", "person")
    drawn(database, 80, 0, 40, 40, "--name", "ada")
    assert rows(database, "select faces from people where name = 'Ada'") == [(2,)]


def test_a_photo_is_named_by_its_path_too(database: Path, photos: Path) -> None:
    drawn(database, photo=photos / "0.png")
    assert len(shy(database)) == 1
    assert "ingest it first" in drawn(database, photo=photos / "none.png", code=1)
    assert "There is no photo 77" in drawn(database, photo=77, code=1)


def test_where_a_face_is_already_it_is_named_instead(database: Path) -> None:
    before = rows(database, FACES)
    said = drawn(database, 3, 2, 37, 36, code=1)
    assert "There is already a face" in said
    assert "face 1" in said
    drawn(database)
    assert f"face {shy(database)[0][0]}" in drawn(database, 44, 2, 35, 38, code=1)
    assert len(rows(database, FACES)) == len(before) + 1
    assert rows(database, "select count(*) from decisions") == [(1,)]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0, 0, 0, 40), "has no size"),
        ((0, 0, 40, 0), "has no size"),
        ((500, 0, 40, 40), "outside"),
        ((150, 30, 40, 40), "outside"),
        ((0, 0, 1e300, 1e300), "outside"),
        ((42, 1, 5, 38), "at least 8 pixels"),
        (("inf", 1, 38, 38), "four numbers"),
        ((42, 1, "inf", 38), "four numbers"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused(database: Path, box: Any, why: str) -> None:
    result = faces("people", database, "draw", 1, *box)
    assert result.exit_code == 1, result.output
    assert why in result.output
    assert rows(database, "select count(*) from decisions") == [(0,)]


@pytest.mark.parametrize("word", ["nan", "x", ""])
def test_what_is_no_number_is_wrong_usage(database: Path, word: str) -> None:
    assert faces("people", database, "draw", 1, word, 1, 38, 38).exit_code == 2


def test_a_box_that_hangs_over_the_edge_is_cut_off_there(database: Path) -> None:
    drawn(database, 42, 5, 38, 60, code=0)
    assert rows(database, "select y, height from faces where x = 42") == [(5, 35)]


def test_it_takes_the_photos_file_as_it_was(database: Path, photos: Path) -> None:
    shutil.move(photos / "0.png", photos / "elsewhere")
    assert "not where it was" in drawn(database, code=1)
    draw(photos / "0.png", RED, SHY, WHITE, GREEN)
    assert "has changed since it was ingested" in drawn(database, code=1)
    assert rows(database, "select count(*) from decisions") == [(0,)]


def test_undone_it_goes_and_redone_it_is_what_it_was(database: Path) -> None:
    first = rows(database, FACES)
    drawn(database, "--name", "Ada")
    last, vectors = rows(database, FACES), rows(database, VECTORS)
    whole = rows(database, "select * from faces order by id")
    for _ in range(3):
        decide(database, "undo")
    assert rows(database, FACES) == first
    table = "select face_id from vec_faces_toy order by 1"
    assert rows(database, table) == [(row[0],) for row in sorted(first)]
    assert [it for it in rows(database, "select name from people") if it[0]] == []
    for _ in range(3):
        decide(database, "redo")
    assert (rows(database, FACES), rows(database, VECTORS)) == (last, vectors)
    assert rows(database, "select * from faces order by id") == whole
    assert len(rows(database, table)) == len(last)
    assert rows(database, "pragma foreign_key_check") == []


def test_the_drawing_can_be_undone_under_its_name(database: Path) -> None:
    drawn(database, "--name", "Ada")
    decide(database, "undo", 1)
    assert shy(database) == []
    assert rows(database, "select faces, cover_face_id from people where name = 'Ada'") == [
        (0, None)
    ]
    decide(database, "redo", 1)
    [(face_id, name, source)] = shy(database)
    assert (name, source) == ("Ada", "person")
    assert rows(database, "select faces, cover_face_id from people where name = 'Ada'") == [
        (1, face_id)
    ]


def test_it_gets_another_number_where_its_own_was_given_away(database: Path, photos: Path) -> None:
    drawn(database)
    [(face_id, *_)] = shy(database)
    decide(database, "undo")
    draw(photos / "2.png", GREEN)
    ingest(database, photos, "--no-cluster")
    assert (face_id,) in rows(database, "select id from faces where photo_id = 3")
    decide(database, "redo")
    [(now, *_)] = shy(database)
    assert now != face_id
    assert vectors_of(database, now) == ["toy"]


def test_it_survives_moved_photos_another_model_and_people_made_anew(
    database: Path, photos: Path, other: ToyModel, tmp_path: Path
) -> None:
    drawn(database, "--name", "Ada")
    before = shy(database)
    moved = tmp_path / "moved"
    shutil.move(photos, moved)
    ingest(database, moved)
    assert shy(database) == before
    result = faces("embed", database, "--model", "other", "--workers", 1, "--json")
    assert result.exit_code == 0, result.output
    assert vectors_of(database, before[0][0]) == ["other", "toy"]
    assert faces("cluster", database, "--model", "other").exit_code == 0
    assert shy(database) == before
    with writing(str(database)) as conn, transaction(conn):
        conn.execute("drop table people")
    decide(database, "rebuild")
    assert [row[1:] for row in shy(database)] == [("Ada", "person")]


def test_a_row_that_was_deleted_is_made_again(database: Path, photos: Path) -> None:
    drawn(database, "--name", "Ada")
    before = rows(database, FACES)
    for again in (lambda: decide(database, "rebuild"), lambda: ingest(database, photos)):
        with writing(str(database)) as conn, transaction(conn):
            conn.execute("delete from faces where x = 42")
        assert shy(database) == []
        again()
        assert [row[1:] for row in rows(database, FACES)] == [row[1:] for row in before]


def test_decisions_draw_it_in_another_file(database: Path, photos: Path, tmp_path: Path) -> None:
    drawn(database, "--name", "Ada")
    drawn(database, 80, 0, 40, 40)
    decide(database, "undo", 4)
    lines = tmp_path / "decisions.jsonl"
    decide(database, "export", lines)
    late, early = tmp_path / "late.db", tmp_path / "early.db"
    ingest(late, photos)
    assert "1 face made again" in decide(late, "import", lines)
    ingest(early, photos / "1.png")
    decide(early, "import", lines)
    assert shy(early) == []
    report = ingest(early, photos)
    assert report["drawn"] == 1
    for file in (late, early):
        assert [row[1:] for row in shy(file)] == [("Ada", "person")]
        assert len(rows(file, FACES)) == 4
        # Imported again, or ingested again: nothing more comes
        assert ingest(file, photos)["drawn"] == 0


def test_an_ingest_that_makes_a_drawn_face_again_loads_its_model_once(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    drawn(database)
    lines, early = tmp_path / "decisions.jsonl", tmp_path / "early.db"
    decide(database, "export", lines)
    ingest(early, photos / "1.png")
    decide(early, "import", lines)
    loads = tmp_path / "loads"
    model = LoggingModel(log=str(tmp_path / "toy.log"), loads=str(loads))
    report = run.ingest(str(early), [str(photos)], model, worker_count=1)
    assert (report.new, report.drawn) == (1, 1)
    assert loads.read_text() == "loaded\n"


def test_what_was_drawn_in_two_files_is_one_face(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    second, lines = tmp_path / "second.db", tmp_path / "decisions.jsonl"
    ingest(second, photos)
    drawn(second, 41, 0, 39, 40)
    decide(second, "export", lines)
    drawn(database)
    before = shy(database)
    decide(database, "import", lines)
    assert shy(database) == before
    decide(database, "undo", 1)
    assert shy(database) == before, "the other drawing holds"
    decide(database, "undo", 2)
    assert shy(database) == []
    decide(database, "redo", 1)
    assert len(shy(database)) == 1


def test_a_redo_without_the_photo_waits_for_it_only_if_the_face_was_never_here(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    drawn(database)
    lines = tmp_path / "decisions.jsonl"
    decide(database, "undo")
    shutil.move(photos, tmp_path / "away")
    decide(database, "redo")
    assert len(shy(database)) == 1
    decide(database, "export", lines)
    waiting = tmp_path / "waiting.db"
    shutil.move(tmp_path / "away", photos)
    ingest(waiting, photos)
    shutil.move(photos, tmp_path / "away")
    assert "not where it was" in decide(waiting, "import", lines)
    ingest(waiting, tmp_path / "away")
    assert len(shy(waiting)) == 1


def test_a_face_that_another_model_finds_is_not_there_twice_and_stays(
    database: Path, other: ToyModel
) -> None:
    other.sees_shy = True
    # Drawn so wide that the boxes overlap by less than a half
    drawn(database, 30, 0, 70, 40)
    [(face_id,)] = rows(database, "select id from faces where x = 30")
    count = len(rows(database, FACES))
    result = faces("embed", database, "--model", "other", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert len(rows(database, FACES)) == count
    assert vectors_of(database, face_id) == ["other", "toy"]
    decide(database, "undo")
    assert len(rows(database, FACES)) == count, "a detector found it"


def test_a_photo_that_was_edited_keeps_what_was_drawn(database: Path, photos: Path) -> None:
    drawn(database)
    draw(photos / "0.png", RED, SHY, WHITE, GREEN)
    report = ingest(database, photos)
    assert (report["edited"], report["drawn"]) == (1, 0)
    assert len(shy(database)) == 1
    decide(database, "undo")
    assert shy(database) == []
    decide(database, "redo")
    assert len(shy(database)) == 1


def test_a_model_that_is_not_available_is_reported_and_another_one_will_do(
    database: Path, other: ToyModel
) -> None:
    from datasette.plugins import pm

    assert faces("embed", database, "--model", "other", "--workers", 1).exit_code == 0
    plugin = next(it for it in pm.get_plugins() if "toy model" in getattr(it, "__name__", ""))
    known = [it for it in pm.get_plugins() if type(it).__name__ == "Plugin"]
    [gone] = [it for it in known if it is not plugin]
    names = {it: pm.get_name(it) for it in known}
    for it in known:
        pm.unregister(it)
    try:
        assert "No face can be drawn here: the model toy is not known" in drawn(database, code=1)
    finally:
        pm.register(plugin, name=names[plugin])
    said = drawn(database)
    assert "No embedding by" in said
    pm.register(gone, name=names[gone])
    [(face_id, *_)] = shy(database)
    decide(database, "rebuild")
    assert vectors_of(database, face_id) == ["other", "toy"]


def test_a_model_of_other_weights_draws_nothing(database: Path, toy: ToyModel) -> None:
    toy.weights = "others"
    assert "The weights of toy here are not those" in drawn(database, code=1)
