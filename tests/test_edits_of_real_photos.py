"""Real photographs that are edited on disk: faces move with their people, and who is hidden stays so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from edits import EDITS, save
from PIL import Image
from running import ingest, rows

from datasette_faces.people import decide
from datasette_faces.shapes import Box
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

FACES = "select faces.id, x, y, width, height, name from faces left join people on people.id = person_id"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, t1_jpg: Path) -> Path:
    """A database of six faces in one photo, each of a person of its own with a name; photos beside it."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "photos").mkdir()
    shutil.copy(t1_jpg, folder / "photos" / "a.jpg")
    ingest(folder / "x.db", folder / "photos", "--no-cluster", model="sface")
    with writing(str(folder / "x.db")) as conn, transaction(conn):
        for face_id in range(1, 7):
            decide.place_faces(conn, [face_id], None, f"Person {face_id}", by=decide.NOBODY)
    return folder


@pytest.fixture
def library(named: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of it: the database, and the photo."""
    shutil.copytree(named, tmp_path / "copy")
    moved = "update {} set path = replace(path, ?, ?)"
    with writing(str(tmp_path / "copy" / "x.db")) as conn, transaction(conn):
        for table in ("photos", "photo_paths"):
            conn.execute(moved.format(table), [str(named), str(tmp_path / "copy")])
    return tmp_path / "copy" / "x.db", tmp_path / "copy" / "photos" / "a.jpg"


def centre(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def faces_of(database: Path) -> dict[int, tuple[Box, str | None]]:
    return {face_id: (Box(*box), name) for face_id, *box, name in rows(database, FACES)}


def is_inside(point: tuple[float, float], box: Box) -> bool:
    return 0 <= point[0] - box.x <= box.width and 0 <= point[1] - box.y <= box.height


@pytest.mark.parametrize("name", EDITS)
def test_every_placed_face_sits_on_its_face(library, name):
    database, photo = library
    before = faces_of(database)
    with Image.open(photo) as image:
        edited, follow = EDITS[name](image.convert("RGB"), [box for box, _ in before.values()])
    save(edited, photo)
    assert ingest(database, photo.parent, "--no-cluster", model="sface")["edited"] == 1
    after = faces_of(database)
    expected = {
        face_id: (place, called)
        for face_id, (box, called) in before.items()
        if (place := follow(centre(box)))
    }
    assert len(expected) == (5 if name == "one edited away" else 6)
    assert after.keys() == expected.keys()
    for face_id, (place, called) in expected.items():
        assert after[face_id][1] == called
        assert is_inside(place, after[face_id][0])


@pytest.mark.parametrize(
    ("quality", "orientation"), [(20, None), (92, 6), (92, 3), (92, 2)], ids=str
)
def test_a_photo_that_is_saved_anew_or_turned_by_exif_keeps_all(library, quality, orientation):
    database, photo = library
    with Image.open(photo) as image:
        small = image.convert("RGB").resize((image.width * 2 // 3, image.height * 2 // 3))
    save(small, photo, quality=quality, orientation=orientation)
    ingest(database, photo.parent, "--no-cluster", model="sface")
    called = {face_id: name for face_id, (_, name) in faces_of(database).items()}
    assert called == {face_id: f"Person {face_id}" for face_id in range(1, 7)}


def test_all_edits_in_a_row_lose_nobody(library):
    database, photo = library
    with Image.open(photo) as image:
        edited = image.convert("RGB")
    for name in ("mirrored", "with a border", "grey", "resized", "turned"):
        boxes = [box for box, _ in faces_of(database).values()]
        edited, _ = EDITS[name](edited, boxes)
        save(edited, photo)
        ingest(database, photo.parent, "--no-cluster", model="sface")
    called = {face_id: name for face_id, (_, name) in faces_of(database).items()}
    assert called == {face_id: f"Person {face_id}" for face_id in range(1, 7)}
