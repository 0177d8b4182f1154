"""`search` and `find`: by one or several photos of one person, with answers worked out by hand."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures import encoded, small
from running import beside, faces, ingest, rows, start
from toy_model import BLUE, EATS, GREEN, KILLS, RAISES, RED, WHITE, YELLOW, ToyModel, draw

from datasette_faces.models.sface import SFace
from datasette_faces.search import query_photos
from datasette_faces.search.query_photos import MatchOptions
from datasette_faces.search.searcher import Searcher
from datasette_faces.store.database import reading

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")

ORANGE = (255, 128, 0)
MATCH = ["face_id", "similarity", "probability", "photo_id", "path"]
MATCH += ["x", "y", "width", "height", "taken_at"]


@pytest.fixture
def album(photos: Path) -> Path:
    """Four photos of one face each, and one of two."""
    for name, colour in (("red", RED), ("orange", ORANGE), ("green", GREEN), ("blue", BLUE)):
        draw(photos / f"{name}.png", colour)
    draw(photos / "two.png", YELLOW, BLUE)
    return photos


@pytest.fixture
def database(toy, album, tmp_path) -> Path:
    database = tmp_path / "x.db"
    ingest(database, album)
    return database


@pytest.fixture
def query(tmp_path) -> Path:
    """A photo of the red one that is not in the album."""
    return draw(tmp_path / "query.png", RED, note="another picture")


def search(database: Path, *arguments: object) -> dict[str, Any]:
    """What `search --format json` prints."""
    result = faces("search", database, *arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def names(found: dict[str, Any]) -> list[str]:
    return [Path(match["path"]).stem for match in found["matches"]]


def failure(*arguments: object) -> str:
    """The one line that a command ends with that could not do anything."""
    result = faces(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_best_matches_come_first_with_their_photos_and_boxes(database, album, query):
    found = search(database, query, "-k", 3)
    assert (found["model"], found["threshold"]) == ("toy", 0.9)
    assert found["queries"] == [
        {
            "path": str(query),
            "faces": 1,
            "box": {"x": 0.0, "y": 0.0, "width": 40.0, "height": 40.0},
            "not": False,
            "reason": None,
        }
    ]
    assert names(found) == ["red", "orange", "two"]
    red = found["matches"][0]
    assert list(red) == MATCH
    assert (red["path"], red["similarity"]) == (str(album / "red.png"), 1.0)
    assert (red["x"], red["y"], red["width"], red["height"]) == (0, 0, 40, 40)
    assert [match["similarity"] for match in found["matches"][1:]] == [
        pytest.approx(0.8934, abs=1e-3),
        pytest.approx(0.7071, abs=1e-3),
    ]


def test_a_table_marks_where_the_model_begins_to_see_two_persons(database, query):
    lines = faces("search", database, query).stdout.splitlines()
    assert lines[0].split() == ["similarity", "chance", "face", "box", "photo"]
    assert lines[1].split()[:2] == ["1.000", "83%"]
    assert lines[1].endswith("red.png")
    assert "40x40 at 0,0" in lines[1]
    assert lines[2] == "--- below the threshold of toy, 0.9 ---"
    assert len(lines) == 2 + 6


def test_a_table_of_matches_over_the_threshold_has_no_mark(database, query):
    assert "---" not in faces("search", database, query, "-k", 1).stdout


def test_csv_has_the_columns_and_values_of_json(database, query):
    wanted = search(database, query)["matches"]
    out = faces("search", database, query, "--format", "csv").stdout
    found = list(csv.DictReader(io.StringIO(out)))
    assert list(found[0]) == MATCH
    assert [row["path"] for row in found] == [match["path"] for match in wanted]
    assert [float(row["similarity"]) for row in found] == [it["similarity"] for it in wanted]
    assert {row["taken_at"] for row in found} == {""}


def test_several_query_photos_are_fused(database, tmp_path):
    """Red and green together are yellow."""
    red, green = draw(tmp_path / "1.png", RED), draw(tmp_path / "2.png", GREEN)
    found = search(database, red, green, "-k", 1)
    assert (names(found), found["matches"][0]["similarity"]) == (["two"], 1.0)
    assert [item["faces"] for item in found["queries"]] == [1, 1]


def test_a_counter_example_pushes_those_who_look_alike_down(database, tmp_path):
    """Yellow is as near to red as to green."""
    yellow, green = draw(tmp_path / "1.png", YELLOW), draw(tmp_path / "2.png", GREEN)
    found = search(database, yellow, "--not", green)
    places = names(found)
    assert places.index("orange") < places.index("red") < places.index("green")
    assert [item["not"] for item in found["queries"]] == [False, True]
    both = search(database, yellow, "--not", green, "--not", draw(tmp_path / "3.png", RED))
    assert len(both["queries"]) == 3


def test_of_several_faces_the_largest_is_taken_and_that_is_said(faces_db, t1_jpg, tmp_path):
    result = faces("search", faces_db, t1_jpg, "-k", 1, "--format", "json")
    assert result.stderr == (
        f"{t1_jpg}: 6 faces; the largest is taken; --face N takes another, counted from the left\n"
    )
    found = json.loads(result.stdout)
    area = "select max(width * height) from faces where photo_id = 1"
    box = found["matches"][0]
    assert rows(faces_db, area)[0][0] == pytest.approx(box["width"] * box["height"])
    assert found["queries"][0]["box"] == {name: box[name] for name in ("x", "y", "width", "height")}


@pytest.mark.parametrize("number", range(1, 7))
def test_face_n_is_the_nth_from_the_left_and_finds_itself(faces_db, t1_jpg, number):
    result = faces("search", faces_db, t1_jpg, "-k", 1, "--face", number, "--format", "json")
    (match,) = json.loads(result.stdout)["matches"]
    order = [row[0] for row in rows(faces_db, "select id from faces where photo_id = 1 order by x")]
    assert match["face_id"] == order[number - 1]
    assert match["similarity"] >= 0.999
    assert result.stderr == ""


def test_a_face_that_is_not_there_cannot_be_chosen(database, album):
    said = failure("search", database, album / "two.png", "--face", 3)
    assert "shows 2 faces: there is no face 3" in said


def test_others_leaves_out_the_query_photo_under_all_its_names(database, album, query):
    shutil.copy(album / "red.png", album / "copy of red.png")
    ingest(database, album)
    assert names(search(database, album / "red.png", "-k", 1)) == ["red"]
    copy = shutil.copy(album / "red.png", query)
    assert names(search(database, copy, "-k", 1, "--others")) == ["orange"]


def test_k_matches_are_found_though_the_query_photo_holds_more_of_the_best(toy, album, tmp_path):
    crowd = draw(album / "crowd.png", *[RED] * 9)
    database = tmp_path / "x.db"
    ingest(database, album)
    assert names(search(database, crowd, "-k", 2, "--others")) == ["red", "orange"]


def test_a_threshold_ends_the_list(database, query):
    assert names(search(database, query, "--threshold", 0.8)) == ["red", "orange"]


def test_nothing_found_is_a_sentence_and_no_failure(database, query):
    draw(query, (10, 200, 255))
    found = faces("search", database, query, "--threshold", 0.99, "--others")
    assert found.stdout == "No face of a similarity of 0.99 or more in another photo was found.\n"
    assert found.exit_code == 0
    assert search(database, query, "--threshold", 0.99)["matches"] == []


def test_min_face_holds_for_the_query_photo(database, query):
    said = failure("search", database, query, "--min-face", 41)
    assert "too small: 40 px; 41 are needed" in said


def test_min_face_leaves_small_faces_out_of_the_matches(faces_db, t1_jpg):
    ((large,),) = rows(faces_db, "select count(*) from faces where min(width, height) >= 100")
    assert 0 < large < 7
    found = search(faces_db, t1_jpg, "--min-face", 100)["matches"]
    assert len(found) == large
    assert all(min(match["width"], match["height"]) >= 100 for match in found)


def test_a_search_leaves_the_database_as_it_is(database, query):
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    search(database, query)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert beside(database) == []


# PhotoQuery photos that give no face


def test_a_query_photo_without_a_face_says_why(faces_db, tmp_path):
    dark = tmp_path / "dark.jpg"
    dark.write_bytes(encoded(small().point(lambda value: value // 40), "JPEG"))
    assert f"{dark}: the picture is too dark" in failure("search", faces_db, dark)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: draw(path, WHITE), "no face was found"),
        (lambda path: path.write_text("no picture"), "the file holds text, not a picture"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.mkdir(), "a folder; name the query photos themselves"),
        (lambda path: None, "no such file"),
        (lambda path: draw(path, KILLS), "it crashed the decoder"),
        (lambda path: draw(path, EATS), "analysing it takes more memory"),
        (lambda path: draw(path, RAISES), "analysing it failed: ZeroDivisionError"),
    ],
)
def test_a_query_photo_that_gives_nothing_is_left_out_and_said(
    database, query, tmp_path, make, reason
):
    bad = tmp_path / "bad.png"
    make(bad)
    assert failure("search", database, bad).startswith(f"Error: {bad}: {reason}")
    result = faces("search", database, bad, query, "-k", 1, "--format", "json")
    assert result.stderr.startswith(f"{bad}: {reason}")
    assert result.stderr.endswith("; it is left out\n")
    found = json.loads(result.stdout)
    assert names(found) == ["red"]
    assert found["queries"][0]["reason"].startswith(reason)
    assert found["queries"][0]["box"] is None


def test_a_file_whose_name_is_a_pattern_is_that_file(database, tmp_path):
    query = draw(tmp_path / "[a-z] *.png", RED)
    draw(tmp_path / "b x.png", GREEN)
    assert names(search(database, query, "-k", 1)) == ["red"]


def test_names_are_shown_on_one_line(toy, album, tmp_path):
    draw(album / "a\nb.png", RED)
    ingest(tmp_path / "x.db", album)
    lines = faces("search", tmp_path / "x.db", album / "a\nb.png", "-k", 1).stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("a\\nb.png")


# Models


def test_a_model_with_other_weights_is_refused(database, toy, query):
    toy.weights = "other"
    said = failure("search", database, query)
    assert "The weights of toy here are not those that made this file's embeddings" in said
    assert "--model FOLDER" in said


def test_the_first_model_of_the_file_searches_unless_another_is_named(
    faces_db, toy, astronaut_png, tmp_path
):
    database = tmp_path / "two.db"
    shutil.copy(faces_db, database)
    ingest(database, draw(tmp_path / "red.png", RED))
    assert search(database, astronaut_png, "-k", 1)["model"] == "sface"
    found = search(database, tmp_path / "red.png", "--model", "toy")
    assert (found["model"], names(found)) == ("toy", ["red"])


def test_a_model_that_is_not_in_the_file_is_refused(database, query, tmp_path):
    assert "by the model 'sface'; it holds: toy" in failure(
        "search", database, query, "--model", "sface"
    )
    assert "Unknown model 'nonsense'" in failure("search", database, query, "--model", "nonsense")


def test_a_model_of_the_file_that_is_not_known_here_asks_for_its_folder(photos, query, tmp_path):
    from datasette.plugins import pm

    stranger = ToyModel(id="stranger")
    plugin = stranger.as_plugin()
    pm.register(plugin)
    try:
        ingest(tmp_path / "x.db", draw(photos / "red.png", RED), model="stranger")
    finally:
        pm.unregister(plugin)
    for named in ([], ["--model", "stranger"]):
        said = failure("search", tmp_path / "x.db", query, *named)
        assert "'stranger', which is not known here; name the folder of that pack" in said


def test_weights_that_are_not_installed_are_not_downloaded_unless_named(database, toy, query):
    toy.missing = lambda: "the toy is in the attic"  # type: ignore[method-assign]
    said = failure("search", database, query)
    assert "the toy is in the attic; or name it here: --model toy" in said


# Databases, usage


def test_a_database_that_is_none_is_said_in_one_line(query, tmp_path, toy, photos):
    assert "There is no file" in failure("search", tmp_path / "no.db", query)
    assert not (tmp_path / "no.db").exists()
    assert "is not an SQLite database" in failure("search", query, tmp_path / "no.db")
    ingest(tmp_path / "x.db", photos / "none.jpg", photos)
    assert "is still empty" in failure("search", tmp_path / "x.db", query) or "no faces yet" in (
        failure("search", tmp_path / "x.db", query)
    )


@pytest.mark.parametrize("command", ["search", "find"])
@pytest.mark.parametrize(
    "options",
    [
        ("-k", 0),
        ("-k", -1),
        ("-k", 4097),
        ("-k", "x"),
        ("--threshold", "nan"),
        ("--threshold", 1.1),
        ("--min-face", -1),
        ("--min-face", "nan"),
        ("--format", "xml"),
        ("--face", 0),
        ("again.png", "--face", 1),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(command, options):
    one, two = ("x.db", "a.png") if command == "search" else ("a.png", "folder")
    result = faces(command, one, *options[:-2], two, *options[-2:])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_no_query_photo_is_wrong_usage():
    assert faces("search", "x.db").exit_code == 2
    assert faces("find", "folder").exit_code == 2


# Crops


def test_crops_are_named_so_that_they_sort_by_similarity(database, query, tmp_path):
    out = tmp_path / "made" / "on the way"
    result = faces("search", database, query, "-k", 3, "--crops", out)
    assert result.stderr == f"3 crops: {out}\n"
    query_ids = "select path, faces.id from faces join photos on photos.id = photo_id where x = 0"
    ids = {Path(path).stem: face for path, face in rows(database, query_ids)}
    assert sorted(item.name for item in out.iterdir()) == [
        f"001-1.000-face{ids['red']}-red.jpg",
        f"002-0.894-face{ids['orange']}-orange.jpg",
        f"003-0.707-face{ids['two']}-two.jpg",
    ]
    crop = next(out.glob("001-*")).read_bytes()
    assert rows(database, "select crop from faces where id = ?", ids["red"]) == [(crop,)]


def test_crops_stay_in_their_folder_and_leave_other_files_alone(database, query, tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside.txt"
    out.mkdir()
    (out / "mine.jpg").write_text("mine")
    outside.write_text("outside")
    faces("search", database, query, "-k", 1, "--crops", out)
    (crop,) = out.glob("001-*")
    crop.unlink()
    crop.symlink_to(outside)
    faces("search", database, query, "-k", 1, "--crops", out)
    assert outside.read_text() == "outside"
    assert crop.read_bytes()[:2] == b"\xff\xd8"
    assert not crop.is_symlink()
    assert (out / "mine.jpg").read_text() == "mine"
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("name", ["..", "a/../b", "\n", "ü" * 200, "...", "-rf", 'a"b|c?', "C:\\x"])
def test_a_crops_name_is_safe_whatever_the_photos_is(name):
    from datasette_faces.search.query_photos import PhotoMatch
    from datasette_faces.search.save_crops import file_name

    made = file_name(PhotoMatch(7, -0.25, 0.0, 1, f"/photos/{name}.jpg", 0, 0, 1, 1, None))
    assert made.startswith("-0.250-face7-")
    assert made.endswith(".jpg")
    assert not set(made) & set('/\\\n:*?"<>|')
    assert len(made.encode()) < 200


def test_a_folder_for_crops_that_cannot_be_made_is_said_before_the_search(database, query):
    said = failure("search", database, query, "--crops", query)
    assert f"The folder {query} cannot be made" in said


# find


@pytest.fixture
def moments(tmp_path, monkeypatch) -> Path:
    """Where temporary folders are made while the test runs."""
    folder = tmp_path / "moments"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def left(folder: Path) -> list[str]:
    """What of ours is left in a folder of temporary files."""
    return [item.name for item in folder.iterdir() if item.name.startswith("datasette-faces")]


def test_find_gives_what_ingest_and_search_give_and_keeps_nothing(
    database, album, query, tmp_path, moments
):
    wanted = search(database, query)
    result = faces("find", query, album, "--model", "toy", "--format", "json", "--workers", 1)
    assert json.loads(result.stdout) == wanted
    assert result.stderr == ""
    assert left(moments) == []
    assert [item.name for item in tmp_path.rglob("*.db*")] == ["x.db"]


def test_find_shows_its_progress_and_what_it_could_not_read(toy, album, query, moments):
    (album / "bad.jpg").write_text("no picture")
    result = faces("find", query, album, "--model", "toy")
    assert "6 of 6 files\n" in result.stderr
    assert f"{album / 'bad.jpg'}: the file holds text, not a picture" in result.stderr
    assert len(result.stdout.splitlines()) == 8
    assert left(moments) == []


def test_find_takes_several_query_photos_and_saves_crops(toy, album, tmp_path, moments):
    one, two = draw(tmp_path / "1.png", RED), draw(tmp_path / "2.png", GREEN)
    out = tmp_path / "out"
    faces("find", one, two, album, "--model", "toy", "-k", 1, "--crops", out)
    (crop,) = out.iterdir()
    assert crop.name.startswith("001-1.000-face")
    assert crop.name.endswith("-two.jpg")


def test_find_in_a_folder_without_pictures_says_so(toy, photos, query, moments):
    assert "There is no picture in" in failure("find", query, photos, "--model", "toy")
    assert left(moments) == []
    (photos / "bad.jpg").write_text("no picture")
    said = faces("find", query, photos, "--model", "toy")
    assert said.exit_code == 1
    assert "that can be read; " in said.stderr
    assert left(moments) == []


def test_find_names_the_folder_that_is_none(toy, query, tmp_path):
    assert "There is no folder" in failure("find", query, tmp_path / "no", "--model", "toy")
    assert "is not a folder; name the folder to search last" in failure("find", query, query)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for temporary files; its name is short, as a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        yield Path(folder)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_find_keeps_nothing_when_it_is_stopped(tmp_path, short_folder, photos, query, number):
    for place in range(60):
        draw(photos / f"{place:02}.png", RED, note=str(place))
    slow = ToyModel(log=str(tmp_path / "slow.log"), seconds=0.1)
    process = start(
        slow,
        *("find", query, photos, "--model", "toy", "--workers", 1, "--crops", tmp_path / "out"),
        env={**os.environ, "TMPDIR": str(short_folder)},
    )
    patience = time.monotonic() + 60
    while len(slow.looked_at()) < 5:
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.01)
    assert left(short_folder)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (1 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert "Stopped; nothing was kept." in err
    assert left(short_folder) == []


# The use case without the command


def test_the_vector_of_a_query_is_that_of_ingest(faces_db, astronaut_png):
    info, (example,) = query_photos.find_faces([str(astronaut_png)], SFace())
    assert example.face is not None
    query = query_photos.build_query(info, [example])
    with reading(str(faces_db)) as conn:
        query_photos.check_weights(conn, info)
        (best,) = query_photos.find_matches(conn, Searcher(), query, MatchOptions(k=1))
    assert best.path == str(astronaut_png)
    assert best.similarity >= 0.999
