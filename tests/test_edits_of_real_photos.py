"""Real photographs that are edited on disk: faces move with their people, and who is hidden stays so."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from pathlib import Path

import pytest
import seen_before
from edits import EDITS, save
from pictures import encoded, shipped
from PIL import Image
from running import faces, ingest, rows

from datasette_faces.algorithms import vectors
from datasette_faces.errors import CatalogueError, Leak
from datasette_faces.library.audit import allow_list, model_check
from datasette_faces.library.export import export
from datasette_faces.library.publish import selection
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.models.base import Engine
from datasette_faces.models.orientations import see_in_all_orientations
from datasette_faces.models.sface import SFace
from datasette_faces.people import decide
from datasette_faces.shapes import Box, FloatArray
from datasette_faces.store import people
from datasette_faces.store.catalogue import PICTURE_COLUMNS
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = [pytest.mark.once, pytest.mark.slow]

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


@pytest.fixture(scope="module")
def sface() -> Engine:
    return seen_before.load(SFace())


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


def best_similarity(
    catalogue: Path, sface: Engine, hidden: FloatArray, scales: tuple[int, ...] = (1, 2, 4)
) -> float:
    """How similar the likest face is that a model sees in any published picture, at these sizes."""
    shown = [rows(catalogue, f"select {it} from {of}") for of, it in PICTURE_COLUMNS.items()]
    best = -1.0
    for (data,) in itertools.chain(*shown):
        with Image.open(io.BytesIO(data)) as picture:
            sizes = [
                picture.resize((picture.width * scale, picture.height * scale)) for scale in scales
            ]
        for larger in sizes:
            for seen in see_in_all_orientations(encoded(larger, "BMP"), sface):
                best = max(best, float(seen.embedding @ hidden))
    return best


@pytest.mark.parametrize("name", EDITS)
def test_every_placed_face_sits_on_its_face_and_who_is_hidden_is_nowhere_in_an_export(
    library, sface, tmp_path, name
):
    database, photo = library
    [(blob,)] = rows(database, "select embedding from face_embeddings where face_id = 1")
    with writing(str(database)) as conn, transaction(conn):
        decide.hide(conn, 1)
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
    out = tmp_path / "catalogue.db"
    if name == "one edited away":
        # Nobody knows whether they are in the picture: it is left out, and it says so
        with pytest.raises(CatalogueError, match="not found any more"):
            export(str(database), str(out))
        return
    assert export(str(database), str(out)).report.leaks == 0
    assert rows(out, "select count(*) from faces") == [(5,)]
    assert best_similarity(out, sface, vectors.decode(blob)) < sface.info.threshold


def test_an_audit_sees_who_is_hidden_when_the_export_forgets_them(library, tmp_path, monkeypatch):
    """Its check by the model shares nothing with the export: not the boxes, not the rules."""
    database, _ = library
    out = tmp_path / "catalogue.db"
    with writing(str(database)) as conn, transaction(conn):
        decide.hide(conn, 3)
    monkeypatch.setattr(selection, "find_boxes_to_blur", lambda conn, others: {})
    monkeypatch.setattr(allow_list, "boxes_to_blur", lambda catalogue: {})
    with pytest.raises(Leak) as caught:
        export(str(database), str(out))
    [finding] = [it for it in caught.value.report.findings if it.found]
    assert finding.check == f"{model_check.CHECK} (sface)"
    made = export(str(database), str(out), with_models=False)
    assert [it.check for it in made.report.findings if "--no-model-check" in it.check]


def test_a_face_of_nobody_that_resembles_somebody_hidden_is_blurred(library, sface, tmp_path):
    """Two photos of the same faces: in one somebody is hidden, in the other nobody placed them."""
    database, photo = library
    with Image.open(photo) as image:
        save(EDITS["mirrored"](image.convert("RGB"), [])[0], photo.parent / "b.jpg")
    ingest(database, photo.parent, "--no-cluster", model="sface")
    [(blob,)] = rows(database, "select embedding from face_embeddings where face_id = 3")
    with writing(str(database)) as conn, transaction(conn):
        decide.hide(conn, 3)
        # One of the second photo is somebody to publish
        decide.move(conn, [7], 1)
    made = export(str(database), str(tmp_path / "all.db"), ExportOptions(unnamed=True))
    assert made.left_out["resembling"] >= 1
    assert best_similarity(tmp_path / "all.db", sface, vectors.decode(blob), (2,)) < 0.363


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


@pytest.mark.parametrize("name", ["cropped", "resized", "mirrored"])
def test_the_doctor_moves_what_an_earlier_version_left_in_place(library, name):
    """That version left placed faces where they were; what was found in the new picture was nobody's."""
    database, photo = library
    with writing(str(database)) as conn:
        before = conn.execute("select * from faces order by id").fetchall()
        vectors_before = conn.execute("select * from face_embeddings order by face_id").fetchall()
    with Image.open(photo) as image:
        edited, follow = EDITS[name](
            image.convert("RGB"), [box for box, _ in faces_of(database).values()]
        )
    save(edited, photo)
    expected = {
        face_id: (follow(centre(box)), called)
        for face_id, (box, called) in faces_of(database).items()
    }
    ingest(database, photo.parent, "--no-cluster", model="sface")
    with writing(str(database)) as conn, transaction(conn):
        # As the earlier version would have it
        conn.execute("pragma defer_foreign_keys = on")
        conn.execute("update faces set id = id + 100, person_id = null, person_source = null")
        conn.execute("update face_embeddings set face_id = face_id + 100")
        conn.execute("delete from former_faces")
        conn.execute("delete from former_pictures")
        marks = ", ".join("?" * len(before[0]))
        conn.executemany(f"insert into faces values ({marks})", before)
        conn.executemany("insert into face_embeddings values (?, ?, ?)", vectors_before)
    found = faces("doctor", database, "--json")
    [finding] = [
        it for it in json.loads(found.stdout)["problems"] if it["check"] == "former pixels"
    ]
    assert finding["count"] == 6
    fixed = faces("doctor", database, "--fix")
    assert fixed.exit_code == 0, fixed.output
    after = faces_of(database)
    assert after.keys() == expected.keys()
    for face_id, (place, called) in expected.items():
        assert after[face_id][1] == called
        assert is_inside(place, after[face_id][0])
    with writing(str(database)) as conn, transaction(conn):
        people.rebuild(conn)
    assert {it: name for it, (_, name) in faces_of(database).items()} == {
        it: name for it, (_, name) in after.items()
    }


def test_a_hidden_person_is_known_though_all_their_faces_were_edited_away(library, sface, tmp_path):
    """Their face is cut out of the only photo that had it; then another photo shows them again."""
    database, photo = library
    original = photo.read_bytes()
    [(blob,)] = rows(database, "select embedding from face_embeddings where face_id = 1")
    with writing(str(database)) as conn, transaction(conn):
        decide.hide(conn, 1)
    with Image.open(photo) as image:
        picture = image.convert("RGB")
    edited, _ = EDITS["one edited away"](picture, [box for box, _ in faces_of(database).values()])
    save(edited, photo)
    ingest(database, photo.parent, "--no-cluster", model="sface")
    save(EDITS["mirrored"](picture, [])[0], photo.parent / "again.jpg")
    ingest(database, photo.parent, "--no-cluster", model="sface")
    [(shown,)] = rows(database, "select count(*) from lost_faces where person_key is not null")
    assert shown == 1
    with writing(str(database)) as conn, transaction(conn):
        [(other,)] = conn.execute(
            "select id from faces where photo_id = 2 order by x desc limit 1"
        ).fetchall()
        decide.move(conn, [other], 2)
    out = tmp_path / "catalogue.db"
    export(str(database), str(out), ExportOptions(edited=True))
    assert rows(out, "select count(*) from photos") == [(2,)]
    assert best_similarity(out, sface, vectors.decode(blob), (2,)) < sface.info.threshold
    # A new face of that name is theirs, not a namesake's who would be shown
    drawn = faces("people", database, "draw", 1, 100, 700, 60, 80, "--name", "Person 1")
    assert drawn.exit_code == 0, drawn.output
    assert rows(database, "select count(*), sum(hidden) from people where name = 'Person 1'") == [
        (1, 1)
    ]
    # The photo as it was: they are found again, and nothing is missing
    photo.write_bytes(original)
    ingest(database, photo.parent, "--no-cluster", model="sface")
    made = export(str(database), str(tmp_path / "restored.db"))
    assert made.unaccounted == []


def test_a_photo_that_was_overwritten_and_restored_is_published_again(library, tmp_path):
    """A hidden person was in what lay in its place for a time."""
    database, photo = library
    original = photo.read_bytes()
    with Image.open(photo) as image:
        picture = image.convert("RGB")
    first = faces_of(database)[1][0]
    with Image.open(shipped("one face")) as stranger:
        stranger.convert("RGB").resize(picture.size).save(photo, "JPEG")
    ingest(database, photo.parent, "--no-cluster", model="sface")
    [(face_id,)] = rows(database, "select id from faces")
    with writing(str(database)) as conn, transaction(conn):
        moved = decide.move(conn, [face_id], None)
        hidden = people.by_key(conn, moved.person_key or "")
        assert hidden
        decide.hide(conn, hidden.id)
    photo.write_bytes(original)
    ingest(database, photo.parent, "--no-cluster", model="sface")
    assert faces_of(database)[1][0] == first
    made = export(str(database), str(tmp_path / "catalogue.db"))
    assert (made.faces, made.unaccounted) == (6, [])
