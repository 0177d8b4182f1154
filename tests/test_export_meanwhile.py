"""What else goes on while a catalogue is made: other exports, other writers, files in its way."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from publishing import NAMED, make_private
from running import faces, rows

from datasette_faces.algorithms.geometry import ARCFACE_TEMPLATE
from datasette_faces.library import atomic_file, export
from datasette_faces.library.publish import build, public_rows, writer
from datasette_faces.media.crop import crop_face
from datasette_faces.media.decode import Picture, decode_picture
from datasette_faces.media.exif import Exif
from datasette_faces.people import decide
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")


@pytest.fixture
def private(faces_db: Path, tmp_path: Path) -> Path:
    return make_private(faces_db, tmp_path / "private.db")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("options", [(), ("--replace",)])
def test_a_log_that_sqlite_would_take_for_the_catalogues_is_refused(
    private: Path, tmp_path: Path, ending: str, options: tuple[str, ...]
) -> None:
    out = tmp_path / "out.db"
    if options:
        assert faces("export", private, out).exit_code == 0
    (tmp_path / f"out.db{ending}").write_bytes(b"x")
    result = faces("export", private, out, *options)
    assert result.exit_code == 1
    assert f"out.db{ending} exists" in result.output


@pytest.mark.slow
def test_where_out_is_a_link_its_target_is_replaced(private: Path, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    target, link = tmp_path / "served" / "a.db", tmp_path / "link.db"
    assert faces("export", private, target).exit_code == 0
    link.symlink_to(target)
    assert faces("export", private, link, "--replace", "--unnamed").exit_code == 0
    assert link.is_symlink()
    assert rows(target, "select count(*) from faces") == [(6,)]


@needs_locks
def test_folders_of_ended_exports_go_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    to = tmp_path / "a[1].db"
    with atomic_file.temporary_folder_beside(str(to)) as running:
        left = tmp_path / f".a[1].db.left{atomic_file.FOLDER_SUFFIX}"
        left.mkdir()
        (left / atomic_file.LOCK).touch()
        with atomic_file.temporary_folder_beside(str(to)) as other:
            assert running.is_dir()
            assert other.is_dir()
            assert not left.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_people_are_named_while_an_export_goes_on(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writer.write_catalogue

    def slowly(conn: Any, *args: Any) -> None:
        with writing(str(private)) as other, transaction(other):
            other.execute("pragma busy_timeout = 100")
            decide.move(other, [5], None)
        write(conn, *args)

    monkeypatch.setattr(build, "write_catalogue", slowly)
    # Not somebody who is published, nor in a photo that is: nothing of it is in the catalogue
    result = faces("export", private, tmp_path / "out.db", "--people", NAMED)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_somebody_who_is_hidden_while_an_export_goes_on_is_not_published(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writer.write_catalogue

    def slowly(conn: Any, *args: Any) -> None:
        write(conn, *args)
        with writing(str(private)) as other, transaction(other):
            [(person,)] = other.execute("select id from people where name = ?", [NAMED]).fetchall()
            decide.hide(other, person)

    monkeypatch.setattr(build, "write_catalogue", slowly)
    result = faces("export", private, tmp_path / "out.db")
    assert result.exit_code == 1
    assert "changed while it was exported" in result.output
    assert not (tmp_path / "out.db").exists()


@pytest.mark.slow
def test_a_private_file_that_nobody_can_write_is_exported(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faces("export", private, tmp_path / "first.db").exit_code == 0

    def refuse(path: str) -> Any:
        raise export.DatabaseError("cannot be written")

    monkeypatch.setattr(export, "writing", refuse)
    assert faces("export", private, tmp_path / "out.db").exit_code == 0


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update faces set x = '<b>' where id = 1", "face 1"),
        ("update faces set sharpness = 9e999 where id = 1", "face 1"),
        ("update faces set crop = 'x' where id = 1", "face 1"),
        ("update faces set crop = 5 where id = 1", "face 1"),
        ("update photos set width = 0 where id = 1", "photo 1"),
        ("update photos set thumbnail = x'ffd8' where id = 1", "photo 1"),
    ],
)
def test_what_cannot_be_printed_is_named_with_what_helps(
    private: Path, tmp_path: Path, statement: str, said: str
) -> None:
    with writing(str(private)) as conn, transaction(conn):
        conn.execute(statement)
    result = faces("export", private, tmp_path / "out.db")
    assert result.exit_code == 1
    assert f"{said} cannot be published" in result.output
    assert "datasette faces doctor" in result.output


RED, GREY = (230, 20, 20), (120, 120, 120)


def crop_with_two(landmarks: Any) -> tuple[dict[str, Any], tuple[float, ...]]:
    """A face upright at (100, 100), 112 px wide, and another one close to its right, in stripes."""
    image = Image.new("RGB", (400, 400), GREY)
    other = (215.0, 130.0, 40.0, 40.0)
    for x in range(215, 255, 10):
        image.paste(RED, (x, 130, x + 5, 170))
    points = (ARCFACE_TEMPLATE + 100).astype(np.float32)
    crop = crop_face(Picture(image, 400, 400, 1.0, "JPEG", Exif()), points)
    own = {"x": 100.0, "y": 100.0, "width": 112.0, "height": 112.0}
    facts = {"public_id": 5, "public_photo": 6, "public_person": 7, "photo_taken_at": None}
    row = {"id": 1, "crop": crop, "landmarks": landmarks, "detection_score": 1, "sharpness": 1}
    if landmarks is None:
        row["landmarks"] = str(points.tolist())
    return {**row, **own, **facts}, other


def steepest(data: bytes) -> float:
    """The largest step from a pixel of a picture to the next one."""
    pixels = np.asarray(decode_picture(data).image, np.float32)
    return float(np.abs(np.diff(pixels, axis=1)).max())


def test_somebody_hidden_beside_a_face_is_blurred_in_its_crop() -> None:
    row, other = crop_with_two(None)
    seen = public_rows.export_face(row, (), notes={}, secret=b"k")
    hidden = public_rows.export_face(row, (other,), notes={}, secret=b"k")
    assert steepest(seen["crop"]) > 40
    assert steepest(hidden["crop"]) < 20


@pytest.mark.parametrize("landmarks", ["[[NaN, 1], [1, 2], [3, 4], [5, 6], [7, 8]]", "[]", "x"])
def test_a_crop_of_which_nobody_knows_what_it_shows_is_blurred_whole(landmarks: str) -> None:
    row, other = crop_with_two(landmarks)
    assert steepest(public_rows.export_face(row, (), notes={}, secret=b"k")["crop"]) > 40
    assert steepest(public_rows.export_face(row, (other,), notes={}, secret=b"k")["crop"]) < 20


def test_errors_while_filling_name_the_catalogue_and_not_the_private_file(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer.tables, "PEOPLE", "create table nonsense")
    result = faces("export", private, tmp_path / "out.db")
    assert result.exit_code == 1
    assert "private.db" not in result.output


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing tells who still writes")
def test_what_killed_exports_left_goes_and_what_is_somebody_elses_stays(
    private: Path, tmp_path: Path
) -> None:
    import fcntl

    left, live, no_lock, no_export = (
        tmp_path / f".{name}.export"
        for name in ("n.csv.abcd_123", "live.db.abcd1234", "x.db.abcd1234", "photos")
    )
    for folder in (left, live, no_lock, no_export):
        folder.mkdir()
        (folder / "names").write_text("private")
    for folder in (left, live, no_export):
        (folder / "lock").touch()
    with (live / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert faces("export", private, tmp_path / "out.db").exit_code == 0
    assert not left.exists()
    assert all((it / "names").exists() for it in (live, no_lock, no_export))


def test_names_of_photos_are_long_enough_for_a_million() -> None:
    from datasette_faces.library.publish import public_ids

    names = {public_ids.make_photo_name(b"k", f"{n:064x}", None) for n in range(2000)}
    assert len(names) == 2000
    assert {len(name) for name in names} == {len("undated-") + 13}
    assert 8 * public_ids.NAME_BYTES >= 64
