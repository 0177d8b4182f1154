"""Files that change places: after every ingest, a path leads to the photo that its file holds."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import errors, faces, ingest, paths, rows
from toy_model import BLUE, GREEN, KILLS, RED, YELLOW, ToyModel, draw

from datasette_faces.errors import ModelError
from datasette_faces.store import models

pytestmark = pytest.mark.slow

NAMES = ("a.png", "b.png", "c.png")
PICTURES = ((RED,), (GREEN,), (BLUE, RED), (YELLOW,))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def check(database: Path, photos: Path) -> None:
    """Every file on the disk is a photo with its content, every photo's faces are its own."""
    known = dict(
        rows(
            database,
            "select photo_paths.path, photos.sha256 from photo_paths join photos on photos.id = "
            "photo_id where photo_paths.missing_since is null",
        )
    )
    on_disk = {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in photos.iterdir()
    }
    assert known == on_disk
    present = rows(database, "select sha256 from photos where missing_since is null")
    assert {sha256 for (sha256,) in present} == set(on_disk.values())
    of_other_size = """
        select photos.id from photos left join faces on photo_id = photos.id
        group by photos.id having count(faces.id) != photos.width / 40
    """
    assert rows(database, of_other_size) == []
    without_vector = "select id from faces where id not in (select face_id from face_embeddings)"
    assert rows(database, without_vector) == []


def test_a_new_picture_under_the_name_of_one_that_moved_over_another(toy, photos, database):
    draw(photos / "a.png", RED)
    draw(photos / "b.png", GREEN)
    ingest(database, photos)
    (photos / "b.png").rename(photos / "c.png")
    (photos / "a.png").rename(photos / "b.png")
    draw(photos / "a.png", YELLOW)
    ingest(database, photos)
    assert paths(database) == {"a.png": 3, "b.png": 1, "c.png": 2}
    check(database, photos)


def test_a_copy_over_another_whose_origin_is_then_edited(toy, photos, database):
    draw(photos / "a.png", RED)
    draw(photos / "b.png", GREEN)
    ingest(database, photos)
    shutil.copy(photos / "a.png", photos / "b.png")
    draw(photos / "a.png", YELLOW)
    ingest(database, photos)
    check(database, photos)


def test_a_copy_that_was_away_while_the_other_was_edited_is_not_taken_for_it(
    toy, photos, database, tmp_path
):
    draw(photos / "a.png", RED)
    shutil.copy2(photos / "a.png", photos / "b.png")
    ingest(database, photos)
    shutil.move(photos / "b.png", tmp_path / "away.png")
    ingest(database, photos)
    draw(photos / "a.png", YELLOW)
    ingest(database, photos)
    shutil.move(tmp_path / "away.png", photos / "b.png")
    ingest(database, photos)
    check(database, photos)


def test_a_file_that_a_folder_does_not_show_is_not_missing(toy, photos, database):
    odd = draw(photos / "odd.png", RED).rename(photos / "odd.bak")
    hidden = draw(photos / "hidden.png", GREEN).rename(photos / ".hidden")
    draw(photos / "a.png", BLUE)
    ingest(database, odd, hidden)
    ingest(database, photos)
    assert rows(database, "select count(*) from photos where missing_since is not null") == [(0,)]


def test_an_edited_caption_keeps_what_every_model_found(toy, photos, database):
    draw(photos / "a.png", RED, GREEN)
    ingest(database, photos)
    before = rows(database, "select id, crop from faces order by id")
    draw(photos / "a.png", RED, GREEN, note="At the beach")
    assert ingest(database, photos)["edited"] == 1
    assert rows(database, "select id, crop from faces order by id") == before
    assert rows(database, "select count(*) from analyses") == [(1,)]
    check(database, photos)


def test_a_broken_file_is_tried_again_only_when_it_changes(toy, photos, database):
    draw(photos / "a.png", RED)
    broken = photos / "b.png"
    broken.write_bytes((photos / "a.png").read_bytes()[:60])
    reason = errors_after(database, photos)
    # Its bytes are not even opened: a file of the same size and time would be taken for it
    before = broken.stat()
    broken.write_bytes(bytes(before.st_size))
    os.utime(broken, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert errors_after(database, photos) == reason
    assert len(ingest(database, photos)["errors"]) == 1
    draw(broken, GREEN)
    assert errors_after(database, photos) == {}
    check(database, photos)


def test_a_picture_that_crashed_its_decoder_is_tried_again_each_time(toy, photos, database):
    draw(photos / "a.png", RED)
    draw(photos / "b.png", KILLS)
    assert "crashed" in errors_after(database, photos)["b.png"]
    toy.forget()
    assert "crashed" in errors_after(database, photos)["b.png"]
    assert [KILLS] in toy.looked_at()


def errors_after(database: Path, photos: Path) -> dict[str, str]:
    assert faces("ingest", database, photos, "--model", "toy").exit_code == 0
    return errors(database)


def test_a_broken_file_that_is_put_right_by_an_old_copy_is_no_error_any_more(toy, photos, database):
    draw(photos / "a.png", RED)
    draw(photos / "b.png", GREEN)
    good = shutil.copy2(photos / "a.png", photos.parent / "good.png")
    ingest(database, photos)
    (photos / "a.png").write_bytes(b"no picture\0")
    assert errors_after(database, photos)
    shutil.move(good, photos / "a.png")
    assert errors_after(database, photos) == {}
    check(database, photos)


def test_two_models_that_would_share_a_table_are_refused(toy, photos, database, tmp_path):
    from datasette_faces.store.connection import transaction
    from datasette_faces.store.database import writing

    ingest(database, draw(photos / "a.png", RED))
    with writing(str(database)) as conn:
        conn.execute("insert into models values ('my_m', 'Mine', 3, 0.5, 'MIT', 'x')")
        info = ToyModel(log=str(tmp_path / "log"), id="my-m").load().info
        with pytest.raises(ModelError, match="share the table"), transaction(conn):
            models.register(conn, info)


OPERATIONS = st.one_of(
    st.tuples(st.just("draw"), st.sampled_from(NAMES), st.sampled_from(PICTURES)),
    st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("copy"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.none()),
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), min_size=2, max_size=4))
def test_whatever_happens_to_files_a_path_leads_to_its_own_photo(toy, rounds) -> None:
    with tempfile.TemporaryDirectory() as folder:
        photos, database = Path(folder) / "photos", Path(folder) / "x.db"
        photos.mkdir()
        draw(photos / "keep.png", RED, RED)
        for index, name in enumerate(NAMES):
            draw(photos / name, *PICTURES[index])
        ingest(database, photos)
        for operations in rounds:
            for operation in operations:
                carry_out(photos, *operation)
            ingest(database, photos)
            check(database, photos)


def carry_out(photos: Path, what: str, name: str, detail: object) -> None:
    source = photos / name
    if what == "draw":
        draw(source, *detail)
    elif source.exists() and what == "delete":
        source.unlink()
    elif source.exists() and what == "move":
        os.replace(source, photos / str(detail))
    elif source.exists() and what == "copy" and name != detail:
        shutil.copy2(source, photos / str(detail))
