"""The second ingest: what moved is found again, what is known is not analysed, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from running import beside, errors, faces, ingest, paths, rows, start
from toy_model import BLUE, GREEN, RED, WHITE, YELLOW, ToyModel, draw

from datasette_faces.algorithms import vectors

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def ingested(toy: ToyModel, photos: Path, database: Path) -> Path:
    """A database of a.png (red), b.png (green, blue) and c.png (nobody); the log begins after it."""
    draw(photos / "a.png", RED)
    draw(photos / "b.png", GREEN, BLUE)
    draw(photos / "c.png", WHITE)
    report = ingest(database, photos)
    assert (report["new"], report["faces"]) == (3, 3)
    toy.forget()
    return database


def counted(report: dict) -> dict[str, int]:
    """The counts of a report that are not 0."""
    names = ("new", "edited", "moved", "unchanged", "analysed_again", "missing")
    return {name: report[name] for name in names if report[name]}


def face_ids(database: Path) -> dict[str, list[int]]:
    """Ids of the faces by the name of their photo."""
    found: dict[str, list[int]] = {}
    for path, face in rows(
        database,
        "select photos.path, faces.id from faces join photos on photo_id = photos.id order by 2",
    ):
        found.setdefault(os.path.basename(path), []).append(face)
    return found


def test_rows_can_be_worked_out_by_hand(ingested):
    assert paths(ingested) == {"a.png": 1, "b.png": 2, "c.png": 3}
    assert rows(ingested, "select photo_id, x, y, width, height from faces order by id") == [
        (1, 0, 0, 40, 40),
        (2, 0, 0, 40, 40),
        (2, 40, 0, 40, 40),
    ]
    embeddings = [
        row[0] for row in rows(ingested, "select embedding from face_embeddings order by face_id")
    ]
    assert [vectors.decode(blob).tolist() for blob in embeddings] == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    ]
    assert rows(
        ingested, "select width, height, format, missing_since from photos where id = 2"
    ) == [(80, 40, "PNG", None)]


def test_an_unchanged_folder_is_not_looked_at_again(toy, photos, ingested):
    before = rows(ingested, "select * from photos order by id")
    assert counted(ingest(ingested, photos)) == {"unchanged": 3}
    assert toy.looked_at() == []
    assert rows(ingested, "select * from photos order by id") == before


def test_a_touched_file_is_read_but_not_analysed(toy, photos, ingested):
    os.utime(photos / "a.png", (1_000_000_000, 1_000_000_000))
    report = ingest(ingested, photos)
    assert (report["unchanged"], report["edited"], report["new"]) == (2, 0, 0)
    assert toy.looked_at() == []
    assert rows(ingested, "select modified_at from photos where id = 1") == [
        ("2001-09-09T01:46:40Z",)
    ]
    assert counted(ingest(ingested, photos)) == {"unchanged": 3}


@pytest.mark.parametrize("to", ["renamed.png", "folder/b.png", "folder/deeper/other.jpg"])
def test_a_moved_file_keeps_its_photo_and_faces_and_gets_its_path(toy, photos, ingested, to):
    before = face_ids(ingested)["b.png"]
    (photos / to).parent.mkdir(parents=True, exist_ok=True)
    (photos / "b.png").rename(photos / to)
    assert counted(ingest(ingested, photos)) == {"moved": 1, "unchanged": 2}
    assert rows(ingested, "select id, path, missing_since from photos where id = 2") == [
        (2, str(photos / to), None)
    ]
    assert face_ids(ingested)[os.path.basename(to)] == before
    assert toy.looked_at() == []


def test_a_moved_folder_keeps_everything(toy, photos, ingested):
    photos.rename(photos.parent / "elsewhere")
    report = ingest(ingested, photos.parent / "elsewhere")
    assert counted(report) == {"moved": 3}
    assert toy.looked_at() == []
    assert rows(ingested, "select count(*) from photos where missing_since is null") == [(3,)]


def test_a_vanished_file_is_marked_and_kept(toy, photos, ingested):
    (photos / "b.png").unlink()
    assert counted(ingest(ingested, photos)) == {"missing": 1, "unchanged": 2}
    assert rows(ingested, "select id from photos where missing_since is not null") == [(2,)]
    assert len(face_ids(ingested)["b.png"]) == 2
    assert json.loads(faces("status", ingested, "--json").stdout)["missing"] == 1
    since = rows(ingested, "select missing_since from photos where id = 2")
    assert counted(ingest(ingested, photos)) == {"unchanged": 2}
    assert rows(ingested, "select missing_since from photos where id = 2") == since


def test_a_file_that_returns_is_missing_no_longer(toy, photos, ingested):
    (photos / "b.png").rename(photos.parent / "kept.png")
    ingest(ingested, photos)
    (photos.parent / "kept.png").rename(photos / "b.png")
    report = ingest(ingested, photos)
    assert (report["missing"], report["new"], report["photos"]) == (0, 0, 3)
    assert paths(ingested) == {"a.png": 1, "b.png": 2, "c.png": 3}
    assert rows(ingested, "select count(*) from photos where missing_since is not null") == [(0,)]
    assert toy.looked_at() == []


def test_a_vanished_file_that_returns_under_another_name_is_the_same_photo(toy, photos, ingested):
    (photos / "b.png").rename(photos.parent / "kept.png")
    ingest(ingested, photos)
    (photos.parent / "kept.png").rename(photos / "z.png")
    assert counted(ingest(ingested, photos)) == {"moved": 1, "unchanged": 2}
    assert paths(ingested) == {"a.png": 1, "b.png": None, "c.png": 3, "z.png": 2}
    assert toy.looked_at() == []


def test_other_folders_are_left_alone(toy, photos, ingested):
    other = photos.parent / "photos2"
    other.mkdir()
    draw(other / "d.png", YELLOW)
    (photos / "a.png").unlink()
    assert counted(ingest(ingested, other)) == {"new": 1}
    assert paths(ingested)["a.png"] == 1


def test_a_vanished_file_that_is_named_is_marked(toy, photos, ingested):
    (photos / "a.png").unlink()
    report = ingest(ingested, photos / "a.png")
    assert (report["missing"], report["photos"]) == (1, 0)
    assert paths(ingested)["a.png"] is None


def test_a_copy_is_one_photo_with_two_paths(toy, photos, ingested):
    shutil.copy2(photos / "b.png", photos / "b copy.png")
    assert counted(ingest(ingested, photos)) == {"moved": 1, "unchanged": 3}
    assert paths(ingested)["b copy.png"] == paths(ingested)["b.png"] == 2
    assert rows(ingested, "select path from photos where id = 2") == [(str(photos / "b.png"),)]
    assert toy.looked_at() == []


def test_copies_that_come_together_are_analysed_once(toy, photos, database):
    for name in ("a.png", "b.png", "sub/c.png"):
        (photos / "sub").mkdir(exist_ok=True)
        draw(photos / name, RED)
    assert counted(ingest(database, photos)) == {"new": 1, "moved": 2}
    assert toy.looked_at() == [[RED]]
    assert set(paths(database).values()) == {1}


def test_when_one_of_two_copies_goes_the_photo_stays(toy, photos, ingested):
    shutil.copy(photos / "b.png", photos / "z.png")
    ingest(ingested, photos)
    (photos / "b.png").unlink()
    report = ingest(ingested, photos)
    assert report["missing"] == 0
    assert rows(ingested, "select path, missing_since from photos where id = 2") == [
        (str(photos / "z.png"), None)
    ]
    assert paths(ingested) == {"a.png": 1, "b.png": None, "c.png": 3, "z.png": 2}
    (photos / "z.png").unlink()
    assert ingest(ingested, photos)["missing"] == 1


def test_an_edited_file_is_analysed_anew_and_its_faces_keep_their_ids(toy, photos, ingested):
    kept = face_ids(ingested)["b.png"]
    darker = (0, 0, 200)
    draw(photos / "b.png", GREEN, darker, RED)
    report = ingest(ingested, photos)
    assert counted(report) == {"edited": 1, "unchanged": 2}
    assert toy.looked_at() == [[GREEN, darker, RED]]
    assert paths(ingested)["b.png"] == 2
    assert face_ids(ingested)["b.png"][:2] == kept
    assert len(face_ids(ingested)["b.png"]) == 3


def test_faces_that_were_edited_away_leave_every_table(toy, photos, ingested):
    gone = face_ids(ingested)["b.png"][1]
    draw(photos / "b.png", GREEN, WHITE, note="edited")
    ingest(ingested, photos)
    for table, column in (
        ("faces", "id"),
        ("face_embeddings", "face_id"),
        ("vec_faces_toy", "face_id"),
    ):
        assert rows(ingested, f"select 1 from {table} where {column} = ?", gone) == []


def test_two_swapped_names_are_two_moved_photos(toy, photos, ingested):
    before = face_ids(ingested)
    (photos / "a.png").rename(photos / "tmp")
    (photos / "b.png").rename(photos / "a.png")
    (photos / "tmp").rename(photos / "b.png")
    report = ingest(ingested, photos)
    assert (report["new"], report["edited"], report["missing"]) == (0, 0, 0)
    assert toy.looked_at() == []
    assert paths(ingested) == {"a.png": 2, "b.png": 1, "c.png": 3}
    assert face_ids(ingested) == {"b.png": before["a.png"], "a.png": before["b.png"]}


def test_three_names_in_a_ring_are_three_moved_photos(toy, photos, ingested):
    contents = {name: (photos / name).read_bytes() for name in ("a.png", "b.png", "c.png")}
    for old, new in (("a.png", "b.png"), ("b.png", "c.png"), ("c.png", "a.png")):
        (photos / new).write_bytes(contents[old])
        os.utime(photos / new, (1, 1))
    ingest(ingested, photos)
    assert paths(ingested) == {"a.png": 3, "b.png": 1, "c.png": 2}
    assert rows(ingested, "select count(*) from photos where missing_since is not null") == [(0,)]
    assert toy.looked_at() == []


def test_a_new_picture_under_the_name_of_a_moved_one_is_a_new_photo(toy, photos, ingested):
    before = face_ids(ingested)["b.png"]
    (photos / "b.png").rename(photos / "original.png")
    draw(photos / "b.png", YELLOW)
    assert counted(ingest(ingested, photos)) == {"new": 1, "moved": 1, "unchanged": 2}
    assert paths(ingested) == {"a.png": 1, "b.png": 4, "c.png": 3, "original.png": 2}
    assert face_ids(ingested)["original.png"] == before


def test_a_new_picture_under_the_name_of_one_that_moved_to_an_edited_place(toy, photos, ingested):
    """b went to a's place, and b is another picture now: a was replaced, b is the same photo."""
    (photos / "b.png").replace(photos / "a.png")
    draw(photos / "b.png", YELLOW)
    ingest(ingested, photos)
    assert paths(ingested)["a.png"] == 2
    assert paths(ingested)["b.png"] == 4
    assert rows(ingested, "select missing_since is null from photos order by id") == [
        (0,),
        (1,),
        (1,),
        (1,),
    ]
    assert face_ids(ingested)["a.png"][-2:] == [2, 3]


def test_one_of_two_copies_that_is_edited_becomes_a_photo_of_its_own(toy, photos, ingested):
    shutil.copy(photos / "b.png", photos / "z.png")
    ingest(ingested, photos)
    draw(photos / "z.png", YELLOW)
    assert counted(ingest(ingested, photos)) == {"new": 1, "unchanged": 3}
    assert paths(ingested)["b.png"] == 2
    assert paths(ingested)["z.png"] == 4


def test_both_of_two_copies_edited_alike_keep_the_photo(toy, photos, ingested):
    shutil.copy(photos / "b.png", photos / "z.png")
    ingest(ingested, photos)
    for name in ("b.png", "z.png"):
        draw(photos / name, GREEN, RED)
    ingest(ingested, photos)
    now = paths(ingested)
    assert now["b.png"] == now["z.png"]
    assert (
        rows(ingested, "select sha256, count(*) from photos group by 1 having count(*) > 1") == []
    )
    assert len(toy.looked_at()) == 1


def test_an_edit_that_is_undone_brings_no_second_photo(toy, photos, ingested):
    original = (photos / "b.png").read_bytes()
    draw(photos / "b.png", YELLOW)
    ingest(ingested, photos)
    (photos / "b.png").write_bytes(original)
    ingest(ingested, photos)
    assert paths(ingested) == {"a.png": 1, "b.png": 2, "c.png": 3}
    assert rows(ingested, "select count(*) from photos") == [(3,)]


def test_a_file_edited_into_a_copy_of_another_is_a_path_of_that_one(toy, photos, ingested):
    shutil.copy(photos / "a.png", photos / "b.png")
    report = ingest(ingested, photos)
    assert report["new"] == report["edited"] == 0
    assert paths(ingested) == {"a.png": 1, "b.png": 1, "c.png": 3}
    assert rows(ingested, "select id from photos where missing_since is not null") == [(2,)]
    assert toy.looked_at() == []


def test_a_good_file_that_breaks_keeps_its_photo_and_has_a_reason(toy, photos, ingested):
    (photos / "b.png").write_bytes(b"")
    report = ingest(ingested, photos)
    assert len(report["errors"]) == 1
    assert errors(ingested) == {"b.png": "the file is empty (0 bytes)"}
    assert len(face_ids(ingested)["b.png"]) == 2
    draw(photos / "b.png", GREEN, BLUE)
    ingest(ingested, photos)
    assert errors(ingested) == {}
    assert paths(ingested)["b.png"] == 2


def test_a_file_replaced_by_a_link_to_nowhere_is_missing(toy, photos, ingested):
    (photos / "b.png").unlink()
    (photos / "b.png").symlink_to("nowhere")
    report = ingest(ingested, photos)
    assert report["missing"] == 1
    assert list(errors(ingested)) == ["b.png"]


def test_adding_a_photo_analyses_only_that(toy, photos, ingested):
    draw(photos / "new.png", YELLOW)
    assert counted(ingest(ingested, photos)) == {"new": 1, "unchanged": 3}
    assert toy.looked_at() == [[YELLOW]]


@pytest.fixture
def second(toy: ToyModel, tmp_path: Path):
    """Another model, whose weights are others."""
    from datasette.plugins import pm

    model = ToyModel(log=str(tmp_path / "second.log"), id="second", weights="others")
    plugin = model.as_plugin()
    pm.register(plugin)
    yield model
    pm.unregister(plugin)


def test_a_second_model_adds_its_embeddings_to_the_same_faces(toy, second, photos, ingested):
    before = face_ids(ingested)
    report = ingest(ingested, photos, model="second")
    assert counted(report) == {"analysed_again": 3}
    assert face_ids(ingested) == before
    assert len(second.looked_at()) == 3
    assert toy.looked_at() == []
    status = json.loads(faces("status", ingested, "--json").stdout)
    assert [(model["id"], model["faces"]) for model in status["models"]] == [
        ("toy", 3),
        ("second", 3),
    ]
    assert status["indexes"] == ["vec_faces_second", "vec_faces_toy"]
    assert counted(ingest(ingested, photos, model="second")) == {"unchanged": 3}
    assert counted(ingest(ingested, photos)) == {"unchanged": 3}


def test_an_edited_photo_is_seen_anew_by_each_model_as_it_comes(toy, second, photos, ingested):
    ingest(ingested, photos, model="second")
    draw(photos / "b.png", GREEN, RED)
    ingest(ingested, photos)
    count = """
        select count(*) from face_embeddings join faces on faces.id = face_id
        where photo_id = 2 and model_id = ?
    """
    assert rows(ingested, count, "toy") == [(2,)]
    assert rows(ingested, count, "second") == [(0,)]
    assert rows(ingested, "select count(*) from vec_faces_second") == [(1,)]
    assert counted(ingest(ingested, photos, model="second")) == {
        "analysed_again": 1,
        "unchanged": 2,
    }
    assert rows(ingested, count, "second") == [(2,)]


def test_a_moved_photo_that_the_second_model_does_not_know_is_moved_and_analysed(
    toy, second, photos, ingested
):
    (photos / "b.png").rename(photos / "z.png")
    report = ingest(ingested, photos, model="second")
    assert report["missing"] == report["new"] == 0
    assert paths(ingested) == {"a.png": 1, "b.png": None, "c.png": 3, "z.png": 2}
    assert len(second.looked_at()) == 3


def test_other_weights_under_the_same_id_are_refused(toy, photos, ingested):
    toy.weights = "retrained"
    draw(photos / "new.png", YELLOW)
    before = ingested.read_bytes()
    result = faces("ingest", ingested, photos, "--model", "toy")
    assert result.exit_code == 1
    assert "another model named 'toy' (other weights)" in result.stderr
    assert result.stderr.count("\n") == 1
    assert rows(ingested, "select count(*) from photos") == [(3,)]
    assert len(ingested.read_bytes()) == len(before)
    assert beside(ingested) == []


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has SIGINT for one process")
def test_ctrl_c_keeps_what_is_finished_says_how_to_go_on_and_leaves_one_file(
    tmp_path, photos, database
):
    slow = ToyModel(log=str(tmp_path / "log"), seconds=0.05)
    for number in range(200):
        draw(photos / f"{number:03}.png", RED, note=str(number))
    process = start(slow, "ingest", database, photos, "--model", "toy", "--workers", 2)
    while len(slow.looked_at()) < 40:
        assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Stopped; all that was finished is kept. Run the same command to continue." in err
    assert "Traceback" not in out + err
    assert beside(database) == []
    assert rows(database, "pragma journal_mode") == [("delete",)]
    kept = rows(database, "select count(*) from photos")[0][0]
    assert 20 <= kept < 200
    fast = ToyModel(log=str(tmp_path / "log2"))
    process = start(fast, "ingest", database, photos, "--model", "toy", "--json")
    report = json.loads(process.communicate(timeout=60)[0])
    assert (report["unchanged"], report["new"]) == (kept, 200 - kept)
    assert len(fast.looked_at()) == 200 - kept
