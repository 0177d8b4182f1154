"""Files that give no photo are rows with a reason; the rest is ingested, and the status is 0."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from running import beside, errors, faces, ingest, paths, rows
from toy_model import BLUE, EATS, GREEN, HANGS, KILLS, RAISES, RED, WHITE, DeadlyModel, draw

from datasette_faces.errors import ModelError, PictureError
from datasette_faces.library.ingest.run import ingest as run
from datasette_faces.media.files import as_path, read_file
from datasette_faces.media.scan import RejectedPath, Scan, walk_paths
from datasette_faces.models import subprocesses, worker_pool
from datasette_faces.shapes import File

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has such files")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def bomb() -> bytes:
    """A PNG that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(750_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        # A socket's path may have 100 bytes
        os.chdir(path.parent)
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


BROKEN = {
    "empty.jpg": (lambda path: path.write_bytes(b""), "the file is empty (0 bytes)"),
    "text.jpg": (lambda path: path.write_text("Dear diary"), "the file holds text, not a picture"),
    "truncated.png": (lambda path: path.write_bytes(draw(path, RED).read_bytes()[:60]), "the picture is"),
    "bomb.png": (lambda path: path.write_bytes(bomb()), "the picture is too large: 3,600,000,000 pixels"),
    "noise.webp": (lambda path: path.write_bytes(bytes(range(256)) * 4), "the file is not a picture"),
    "dangling.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "a link to a file that does not exist"),
    "loop.jpg": (lambda path: path.symlink_to("loop.jpg"), "it cannot be accessed: "),
    "pipe.jpg": (os.mkfifo, "not a file but a pipe (FIFO); it was not opened"),
    "socket.jpg": (make_socket, "not a file but a socket; it was not opened"),
    "kills.png": (lambda path: draw(path, KILLS), "it crashed the decoder"),
    "eats.png": (lambda path: draw(path, EATS), "analysing it takes more memory than is allowed"),
    "raises.png": (lambda path: draw(path, RAISES), "analysing it failed: ZeroDivisionError: the toy"),
}  # fmt: skip


@posix
def test_each_broken_file_is_a_row_with_a_reason_and_the_rest_is_ingested(toy, photos, database):
    for name, (make, _) in BROKEN.items():
        make(photos / name)
    draw(photos / "first.png", RED, BLUE)
    draw(photos / "zlast.png", GREEN)
    report = ingest(database, photos)
    assert (report["photos"], report["faces"]) == (2, 3)
    found = errors(database)
    assert sorted(found) == sorted(BROKEN)
    for name, (_, reason) in BROKEN.items():
        assert found[name].startswith(reason), found[name]
    assert {os.path.basename(item["path"]) for item in report["errors"]} == set(BROKEN)


@posix
def test_broken_files_say_so_again_and_are_forgotten_once_mended_or_gone(toy, photos, database):
    for name in ("text.jpg", "kills.png", "empty.jpg"):
        BROKEN[name][0](photos / name)
    draw(photos / "good.png", RED)
    ingest(database, photos)
    assert sorted(errors(database)) == ["empty.jpg", "kills.png", "text.jpg"]
    assert len(ingest(database, photos)["errors"]) == 3
    draw(photos / "kills.png", GREEN)
    (photos / "text.jpg").unlink()
    ingest(database, photos)
    assert sorted(errors(database)) == ["empty.jpg"]


def test_the_note_stays_with_the_photo_until_its_file_is_whole(toy, photos, database):
    whole = draw(photos / "a.png", RED, BLUE).read_bytes()
    (photos / "a.png").write_bytes(whole[: whole.index(b"IEND") - 12])
    draw(photos / "b.png", BLUE)
    report = ingest(database, photos)
    assert (report["photos"], report["faces"], report["errors"]) == (2, 3, [])
    (noted,) = report["damaged"]
    assert (noted["path"], errors(database)) == (str(photos / "a.png"), {})
    assert "damaged" not in ingest(database, photos), "nothing is new"
    query = "select damage from photos where path like '%a.png'"
    assert rows(database, query) == [(noted["reason"],)]
    assert f"{noted['path']}\n    {noted['reason']}" in faces("status", database).stdout
    doctor = faces("doctor", database)
    assert "1 photo was damaged when it was ingested" in doctor.stdout
    assert doctor.exit_code == 0
    (photos / "a.png").write_bytes(whole)
    assert ingest(database, photos)["edited"] == 1
    assert rows(database, query) == [(None,)]
    assert "damaged" not in faces("status", database).stdout


def test_a_picture_that_hangs_is_given_up_and_the_rest_goes_on(toy, photos, database, monkeypatch):
    monkeypatch.setattr(worker_pool, "PICTURE_SECONDS", 1)
    draw(photos / "a.png", RED)
    draw(photos / "hangs.png", HANGS)
    draw(photos / "z.png", BLUE)
    assert ingest(database, photos)["photos"] == 2
    assert errors(database) == {"hangs.png": "decoding it took over 1 seconds"}


@posix
def test_many_crashes_in_a_row_cost_only_themselves(toy, photos, database):
    for number in range(12):
        draw(photos / f"{number:02}.png", KILLS if number % 2 else RED, note=str(number))
    report = ingest(database, photos)
    assert (report["photos"], len(report["errors"])) == (6, 6)
    assert sorted(errors(database)) == [f"{number:02}.png" for number in range(1, 12, 2)]


@posix
def test_a_picture_that_kills_before_its_worker_is_heard_of_costs_only_itself(
    toy, photos, database, monkeypatch
):
    """On a machine that is busy, Pebble hears which picture a worker took when that is dead already."""
    from pebble.pool.process import TaskManager

    def hear_late(self, *of, hear=TaskManager.task_start):
        time.sleep(0.3)
        hear(self, *of)

    monkeypatch.setattr(TaskManager, "task_start", hear_late)
    for number in range(6):
        draw(photos / f"{number}.png", KILLS if number % 2 else RED, note=str(number))
    report = ingest(database, photos)
    assert (report["photos"], len(report["errors"])) == (3, 3)
    assert sorted(errors(database)) == ["1.png", "3.png", "5.png"]


def test_one_pixel_and_odd_pictures_are_photos_without_faces(photos, database):
    from PIL import Image

    Image.new("RGB", (1, 1)).save(photos / "one.png")
    Image.new("1", (1, 300)).save(photos / "thin.gif")
    report = ingest(database, photos, model="sface")
    assert (report["photos"], report["faces"], report["errors"]) == (2, 0, [])


def test_a_jpeg_named_png_is_ingested_as_what_it_is(toy, photos, database):
    from PIL import Image

    Image.new("RGB", (64, 64), RED).save(photos / "really.jpg", "JPEG")
    (photos / "really.jpg").rename(photos / "jpeg.png")
    assert ingest(database, photos)["photos"] == 1
    assert rows(database, "select format from photos") == [("JPEG",)]


def test_what_is_no_picture_at_all_is_skipped_silently(toy, photos, database):
    for name in ("notes.txt", "film.mp4", "Thumbs.db", ".hidden.jpg", "noending"):
        (photos / name).write_text("no picture")
    (photos / "@eaDir").mkdir()
    draw(photos / "@eaDir" / "thumbnail.png", RED)
    draw(photos / "good.PNG", RED)
    report = ingest(database, photos)
    assert (report["found"], report["photos"], report["errors"]) == (1, 1, [])


def test_a_folder_named_like_a_picture_is_entered(toy, photos, database):
    (photos / "x.jpg").mkdir()
    draw(photos / "x.jpg" / "inside.png", RED)
    assert paths_and_errors(database, photos, toy) == (["inside.png"], [])


def paths_and_errors(database: Path, folder: Path, toy: object) -> tuple[list[str], list[str]]:
    ingest(database, folder)
    return sorted(paths(database)), sorted(errors(database))


@posix
@pytest.mark.parametrize(
    "name",
    [
        "it's.png",
        'say "cheese".png',
        "line\nbreak.png",
        "<img src=x onerror=alert(1)>.png",
        "50% off; drop table photos--.png",
        "Grüße 👪 家族.png",
        " leading and trailing .png",
        "-rf.png",
        "[a-z]*?.png",
        "back\\slash.png",
    ],
)
def test_names_are_kept_as_they_are(toy, photos, database, name):
    draw(photos / name, RED)
    assert paths_and_errors(database, photos, toy) == ([name], [])
    named = ingest(database, photos / name)
    assert (named["unchanged"], named["photos"]) == (1, 1)
    assert faces("status", database).exit_code == 0


@posix
def test_names_that_are_not_utf8_can_be_read_again_by_their_bytes(toy, photos, database):
    good, broken = os.fsencode(photos) + b"/caf\xe9.png", os.fsencode(photos) + b"/bad\xff.jpg"
    try:
        shutil.copy(draw(photos / "a.png", RED), good)
        Path(os.fsdecode(broken)).write_text("no picture")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (photos / "a.png").unlink()
    report = ingest(database, photos)
    assert report["photos"] == 1
    assert rows(database, "select path, path_bytes from photo_paths") == [
        (f"{photos}/caf\\xe9.png", good)
    ]
    assert errors(database) == {"bad\\xff.jpg": "the file holds text, not a picture"}
    assert ingest(database, photos)["unchanged"] == 1
    for options in ([], ["--json"]):
        for arguments in (("status", database), ("ingest", database, photos, "--model", "toy")):
            assert faces(*arguments, *options).exit_code == 0
    os.unlink(good)
    assert ingest(database, photos)["missing"] == 1


@contextmanager
def without_rights() -> Iterator[None]:
    """Read files as nobody, where the tests run as root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@posix
def test_an_unreadable_file_and_folder_have_a_reason():
    # Not in tmp_path, whose parents are closed to everybody else
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir()
        draw(folder / "closed" / "a.png", RED)
        (folder / "closed").chmod(0)
        draw(folder / "b.png", BLUE).chmod(0)
        scan = Scan()
        with without_rights():
            file, rejected = walk_paths([name], scan)
            assert rejected == RejectedPath(
                f"{name}/closed", "the folder cannot be read: Permission denied"
            )
            assert scan.unreadable == [f"{name}/closed"]
            with pytest.raises(PictureError, match="the file cannot be read: Permission denied"):
                read_file(file)


def test_photos_in_a_folder_that_cannot_be_read_are_not_missing(toy, photos, database, monkeypatch):
    (photos / "closed" / "deep").mkdir(parents=True)
    draw(photos / "closed" / "deep" / "a.png", RED)
    draw(photos / "closed.png", BLUE)
    ingest(database, photos)
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        report = ingest(database, photos)
    assert (report["missing"], report["unchanged"]) == (0, 1)
    assert errors(database) == {"closed": "the folder cannot be read: Permission denied"}
    assert ingest(database, photos)["errors"] == []
    assert errors(database) == {}


def test_a_file_that_vanishes_before_it_is_read_has_a_reason(photos):
    path = draw(photos / "a.png", RED)
    (found,) = walk_paths([str(path)], Scan())
    path.unlink()
    with pytest.raises(PictureError, match="vanished"):
        read_file(found)


def test_a_file_that_changes_before_it_is_read_has_a_reason(photos):
    path = draw(photos / "a.png", RED)
    (found,) = walk_paths([str(path)], Scan())
    draw(path, BLUE, note="longer than it was")
    with pytest.raises(PictureError, match="changed while it was being read"):
        read_file(found)


@posix
def test_a_pipe_in_the_place_of_a_file_does_not_stop_the_ingest(photos):
    path = draw(photos / "a.png", RED)
    (found,) = walk_paths([str(path)], Scan())
    path.unlink()
    os.mkfifo(path)
    done = threading.Event()

    def try_it() -> None:
        with pytest.raises(PictureError, match="changed while it was being read"):
            read_file(found)
        done.set()

    threading.Thread(target=try_it, daemon=True).start()
    assert done.wait(10)


def test_a_folder_in_the_place_of_a_file_has_a_reason(photos):
    path = draw(photos / "a.png", RED)
    (found,) = walk_paths([str(path)], Scan())
    path.unlink()
    path.mkdir()
    with pytest.raises(PictureError, match=r"the file cannot be read|changed while"):
        read_file(found)


def test_a_file_over_the_limit_is_not_read(photos):
    huge = File(str(photos / "huge.tif"), 500_000_001, 0)
    with pytest.raises(PictureError, match="larger than 500 MB"):
        read_file(huge)


@posix
def test_folders_that_link_to_each_other_are_entered_once(toy, photos, database):
    (photos / "a").mkdir()
    (photos / "b").mkdir()
    draw(photos / "a" / "one.png", RED)
    (photos / "a" / "to_b").symlink_to(photos / "b")
    (photos / "b" / "to_a").symlink_to(photos / "a")
    (photos / "b" / "up").symlink_to(photos)
    report = ingest(database, photos)
    assert (report["found"], report["new"]) == (1, 1)


def test_a_path_that_is_not_there_is_a_row_beside_others(toy, photos, database):
    draw(photos / "a.png", RED)
    result = faces("ingest", database, photos / "nowhere.jpg", photos, "--model", "toy")
    assert result.exit_code == 0
    assert errors(database) == {"nowhere.jpg": "no such file"}


def test_nothing_but_a_mistyped_path_makes_no_database(toy, photos, database):
    result = faces("ingest", database, photos / "nowhere.jpg", "--model", "toy")
    assert result.exit_code == 1
    assert "There is no such file or folder" in result.output
    assert not database.exists()


@pytest.mark.parametrize("what", ["empty folder", "text only", "broken only"])
def test_nothing_that_can_be_ingested_is_status_1(toy, photos, database, what):
    if what == "text only":
        (photos / "notes.txt").write_text("hello")
    if what == "broken only":
        (photos / "a.jpg").write_bytes(b"")
    result = faces("ingest", database, photos, "--model", "toy", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["photos"] == 0
    assert beside(database) == []


def test_a_glob_that_the_shell_left_alone_is_expanded(toy, photos, database):
    for name in ("a1.png", "a2.png", "b1.png"):
        draw(photos / name, RED, note=name)
    assert ingest(database, photos / "a*.png")["photos"] == 2


def test_paths_named_twice_are_looked_at_once(toy, photos, database):
    draw(photos / "a.png", RED)
    report = ingest(database, photos, photos, photos / "a.png", str(photos) + "/.")
    assert (report["found"], report["new"], report["photos"]) == (1, 1, 1)


def test_a_broken_copy_of_a_broken_file_has_the_same_reason(toy, photos, database):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (photos / name).write_text("the same words")
    ingest(database, photos)
    assert set(errors(database).values()) == {"the file holds text, not a picture"}


def test_a_model_that_cannot_be_loaded_is_one_line_and_leaves_no_database(photos, database):
    draw(photos / "a.png", RED)
    result = faces("ingest", database, photos, "--model", "nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Unknown model 'nonsense'; known: sface, ")
    assert result.stderr.count("\n") == 1
    assert not database.exists()


def test_a_model_that_kills_whoever_loads_it_is_one_line(photos, database):
    """Its load cannot be found in a worker, or ends it: both are said of the model."""
    draw(photos / "a.png", RED)
    with pytest.raises(ModelError, match="The model deadly could not be loaded"):
        run(str(database), [str(photos)], DeadlyModel(), worker_count=1)
    assert beside(database) == []


def test_white_is_nobody(toy, photos, database):
    draw(photos / "a.png", WHITE)
    report = ingest(database, photos)
    assert (report["photos"], report["faces"], report["errors"]) == (1, 0, [])


def test_a_rejected_path_is_text(photos):
    (found,) = walk_paths([str(photos / "nowhere.jpg")], Scan())
    assert found == RejectedPath(str(photos / "nowhere.jpg"), "no such file")


@posix
def test_the_bytes_of_a_name_open_the_file(photos):
    raw = os.fsencode(photos) + b"/\xff.png"
    try:
        with open(raw, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (found,) = walk_paths([str(photos)], Scan())
    assert os.fsencode(as_path(found.path, found.path_bytes)) == raw


@posix
def test_interrupting_is_left_to_the_parent():
    """Ctrl-C in a terminal reaches all processes: a worker goes on, its parent is as before."""
    before = signal.getsignal(signal.SIGINT)
    with subprocesses.open_worker("datasette_faces.models.subprocesses") as process:
        worker = process.submit(os.getpid).result()
        os.kill(worker, signal.SIGINT)
        assert process.submit(os.getpid).result() == worker
    assert signal.getsignal(signal.SIGINT) is before
