"""`doctor` finds each kind of fault that is planted, repairs what it can, and removes no decision."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from datasette.cli import cli
from galleries import KINDS, make_gallery, random_vectors
from PIL import Image
from serving import asked
from toy_model import BLUE, GREEN, RED, YELLOW, ToyModel, draw

from datasette_faces.errors import PictureError
from datasette_faces.library.health import checks as health
from datasette_faces.library.health import row_faults
from datasette_faces.library.health.findings import HealthFinding, report_rows
from datasette_faces.library.ingest.run import ingest
from datasette_faces.media.crop import CROP_PX
from datasette_faces.models import pipeline
from datasette_faces.people import decide
from datasette_faces.store import people as store
from datasette_faces.store.connection import (
    Connection,
    load_vector_extension,
    sqlite,
    transaction,
)
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

DIMENSIONS = 3
DECIDED = "select * from decisions", "select * from decision_faces"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of four photos with two faces each; two people, one with a name."""
    folder = tmp_path_factory.mktemp("sound")
    for number, colours in enumerate(((RED, GREEN), (RED, BLUE), (GREEN, BLUE), (YELLOW, RED))):
        draw(folder / f"{number}.png", *colours)
    database = folder / "faces.db"
    ingest(str(database), [str(folder)], ToyModel(), worker_count=1, clustered=False)
    with writing(str(database)) as conn, transaction(conn):
        by = decide.Editor("ann")
        store.propose(conn, {face: f"cluster-{face % 2}" for face in range(1, 9)})
        store.rebuild(conn)
        decide.name(conn, 1, "Ada", by=by)
        decide.cover(conn, 1, store.faces_of(conn, 1)[0], by=by)
    return database


@pytest.fixture
def database(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "faces.db"))


def plant(database: Path, *statements: str | tuple[str, list[Any]]) -> None:
    """Do harm, with nothing that would prevent it."""
    conn = sqlite().connect(str(database), isolation_level=None)
    load_vector_extension(conn)
    conn.execute("pragma foreign_keys = off")
    for statement in statements:
        conn.execute(*((statement,) if isinstance(statement, str) else statement))
    conn.close()


def run(database: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the JSON."""
    result = CliRunner().invoke(cli, ["faces", "doctor", str(database), "--json", *options])
    assert result.exit_code in (0, 1), result.output
    return result.exit_code, json.loads(result.stdout)


def checks(report: dict[str, Any], kind: str = "problems") -> list[str]:
    return [finding["check"] for finding in report[kind]]


def blob(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def without_triggers(*statements: str | tuple[str, list[Any]]) -> list[str | tuple[str, list[Any]]]:
    """Harm that no trigger sees: as of a program that wrote into the pages, or an older version."""
    drop = [f"drop trigger {name}" for name in TRIGGERS]
    return [*drop, *statements]


TRIGGERS = {"faces_moved", "faces_counted_in", "faces_counted_out", "photos_taken_at"}
NAN = float("nan")
SET_VECTOR = "update face_embeddings set embedding = ? where face_id = 1"
TABLE = "vec_faces_toy"

REPAIRED: dict[str, tuple[str, Any]] = {
    "a trigger that is lacking": ("schema", ["drop trigger face_embeddings_inserted"]),
    "an index of a table that is lacking": ("schema", ["drop index faces_person"]),
    "a vec0 table of another name, and no other": (
        "indexes",
        ["delete from face_indexes", "create virtual table vec_faces_old using vec0(a float[2])"],
    ),
    "embeddings of no face": (
        "references",
        ["insert into face_embeddings values (99, 'toy', x'00')"],
    ),
    "analyses of no photo": ("references", ["insert into analyses values (99, 'toy')"]),
    "a place of no photo": (
        "references",
        [
            "insert into photo_paths(path, photo_id, bytes, modified_ns, sha256)"
            " values ('/x', 99, 1, 1, '')"
        ],
    ),
    "a proposal for no face": (
        "references",
        ["insert into face_clusters values (99, 'cluster-0')"],
    ),
    "an earlier content of no photo": (
        "references",
        ["insert into photo_contents values ('x', 99)"],
    ),
    "a face of a person who is not there": (
        "references",
        ["update faces set person_id = 77 where id = 3"],
    ),
    "a cover that is not there": ("references", ["update people set cover_face_id = 99"]),
    "a drawing of a face that is not there": (
        "references",
        ["insert into face_drawings values ('uid', 99, null)"],
    ),
    "a vector that is too short": ("embeddings", [(SET_VECTOR, [blob(1, 0)])]),
    "a vector that is too long": ("embeddings", [(SET_VECTOR, [blob(1, 0, 0, 0)])]),
    "a vector that is no bytes": ("embeddings", [(SET_VECTOR, ["text"])]),
    "a vector of nothing": ("embeddings", [(SET_VECTOR, [b""])]),
    "a vector with NaN": ("embeddings", [(SET_VECTOR, [blob(1, NAN, 0)])]),
    "a vector without end": ("embeddings", [(SET_VECTOR, [blob(float("inf"), 0, 0)])]),
    "a vector of zeros": ("embeddings", [(SET_VECTOR, [blob(0, 0, 0)])]),
    "a vector that is not of unit length": ("lengths", [(SET_VECTOR, [blob(3, 0, 4)])]),
    "a vector of large numbers": ("lengths", [(SET_VECTOR, [blob(3e30, 0, 4e30)])]),
    "an index that lacks a face": ("indexes", [f"delete from {TABLE} where face_id = 2"]),
    "an index with another vector": (
        "indexes",
        [(f"update {TABLE} set embedding = ? where face_id = 2", [blob(0, 0, 1)])],
    ),
    "an index that is behind": (
        "indexes",
        [(SET_VECTOR, [blob(0, 1, 0)])],
    ),
    "an index from another time": ("indexes", ["update face_indexes set seen = seen + 1000"]),
    "an index without its table": ("indexes", [f"drop table {TABLE}"]),
    "an index that nothing knows of": (
        "indexes",
        [
            "create virtual table vec_faces_old using vec0(face_id integer primary key, embedding float[3])"
        ],
    ),
    "a face with another date": (
        "dates",
        without_triggers("update photos set taken_at = '2001-01-01T00:00:00' where id = 1"),
    ),
    "a person with another number of faces": (
        "counts",
        ["update people set faces = 99 where id = 1"],
    ),
    "a cover that is another's": (
        "covers",
        [
            "update people set cover_face_id = (select id from faces where person_id = 2) where id = 1"
        ],
    ),
    "a crop that is no picture": (
        "pictures",
        [("update faces set crop = ? where id = 1", [b"x" * 99])],
    ),
    "a crop that is cut off": (
        "pictures",
        ["update faces set crop = substr(crop, 1, length(crop) - 50) where id = 1"],
    ),
    "a crop that is broken inside": (
        "pictures",
        [
            "update faces set crop = cast(substr(crop, 1, 300) || x'ffd9' as blob) where id = 1",
        ],
    ),
    "a crop that is text": ("pictures", ["update faces set crop = crop || '' where id = 1"]),
    "a thumbnail of nothing": ("pictures", ["update photos set thumbnail = x'' where id = 1"]),
}
REPORTED: dict[str, tuple[str, Any]] = {
    "a face of no photo": ("references", ["update faces set photo_id = 99 where id = 1"]),
    "an embedding by no model": (
        "references",
        ["insert into face_embeddings values (1, 'nobody', x'00')"],
    ),
    "a face of a decision that is not there": (
        "references",
        ["update decision_faces set decision_id = 99"],
    ),
    "a box outside the picture": ("boxes", ["update faces set x = 5000 where id = 1"]),
    "a box to the left of the picture": ("boxes", ["update faces set x = -500 where id = 1"]),
    "a box without width": ("boxes", ["update faces set width = 0 where id = 1"]),
    "a box that is not a number": ("boxes", ["update faces set x = 'x' where id = 1"]),
    "landmarks that are no JSON": (
        "landmarks",
        ["update faces set landmarks = '[[1' where id = 1"],
    ),
    "four landmarks": ("landmarks", ["update faces set landmarks = '[1,2,3,4]' where id = 1"]),
    "a photo that lies nowhere": ("places", ["delete from photo_paths where photo_id = 1"]),
    "two people of one key": ("keys", ["update people set key = 'same'"]),
    "a person without a key": ("keys", ["update people set key = null where id = 2"]),
}


def decided(database: Path) -> list[Any]:
    return [asked(database, sql) for sql in DECIDED]


def names(database: Path) -> list[Any]:
    return asked(database, "select name, hidden from people where name is not null order by name")


def test_a_file_as_it_was_ingested_is_sound(database: Path) -> None:
    before = database.read_bytes()
    assert run(database)[0] == 0
    status, report = run(database, "--fix")
    assert (status, report["ok"], report["problems"], report["notes"], report["fixed"]) == (
        0,
        True,
        [],
        [],
        [],
    )
    assert database.read_bytes() == before


@pytest.mark.parametrize("fault", REPAIRED)
def test_what_can_be_repaired_is_found_and_repaired(database: Path, fault: str) -> None:
    check, harm = REPAIRED[fault]
    plant(database, *harm)
    before, called = decided(database), names(database)
    status, report = run(database)
    assert (status, report["ok"]) == (1, False)
    assert check in checks(report), report
    assert all(finding["fixable"] for finding in report["problems"]), report
    assert checks(run(database)[1]) == checks(report), "to look changes nothing"
    status, report = run(database, "--fix")
    assert (status, report["problems"]) == (0, [])
    assert check in checks(report, "fixed")
    assert run(database)[1]["ok"]
    assert (decided(database), names(database)) == (before, called)


@pytest.mark.parametrize("fault", REPORTED)
def test_what_cannot_be_repaired_is_reported_and_left_alone(database: Path, fault: str) -> None:
    check, harm = REPORTED[fault]
    plant(database, *harm)
    before, called = decided(database), names(database)
    for options in ((), ("--fix",)):
        status, report = run(database, *options)
        assert status == 1
        assert check in checks(report), report
    assert (decided(database), names(database)) == (before, called)


@pytest.mark.parametrize(
    "table", ["face_embeddings", "photo_paths", "decision_faces", "face_clusters", "analyses"]
)
def test_a_missing_table_is_reported(database: Path, table: str) -> None:
    plant(database, f"drop table {table}")
    status, report = run(database)
    assert status == 1
    assert [it["examples"] for it in report["problems"] if it["check"] == "schema"] == [[table]]


def test_vectors_of_another_length_than_the_models_row_says_are_all_kept(database: Path) -> None:
    before = asked(database, "select count(*) from face_embeddings")
    plant(database, "update models set dimensions = 64")
    status, report = run(database, "--fix")
    assert status == 1
    assert "embeddings" in checks(report)
    assert not any("reshape" in it["message"] for it in report["problems"])
    assert asked(database, "select count(*) from face_embeddings") == before


def test_vectors_that_all_have_a_wrong_length_are_reported_in_words(database: Path) -> None:
    plant(database, "update face_embeddings set embedding = x'0000'")
    report = run(database)[1]
    assert "embeddings" in checks(report)
    assert not any("reshape" in it["message"] for it in report["problems"])


def test_no_index_is_left_when_all_are_dropped(database: Path) -> None:
    plant(database, "create virtual table vec_faces_old using vec0(a float[2])")
    result = CliRunner().invoke(cli, ["faces", "index", str(database), "--drop"])
    assert "vec_faces_old: removed" in result.output
    left = asked(database, "select name from sqlite_master where name like 'vec_faces_%'")
    assert left == []


@pytest.mark.parametrize(
    ("line", "of_an_index"),
    [
        ("row 3 missing from index faces_person", True),
        ("wrong # of entries in index faces_person", True),
        ("NULL value in face_indexes.nn", False),
        ("non-unique entry in index people_key", False),
    ],
)
def test_only_what_sqlite_can_rebuild_counts_as_a_fault_of_an_index(
    line: str, of_an_index: bool
) -> None:
    assert bool(row_faults.INDEX_FAULT.match(line)) is of_an_index


def test_every_check_has_a_fault_that_it_finds() -> None:
    planted = {check for check, _ in [*REPAIRED.values(), *REPORTED.values()]}
    every = {check.name for check in health.CHECKS}
    assert every - planted == {"file", "files", "decisions", "former pixels"}, (
        "these have tests below, and in test_edits_of_real_photos"
    )
    repaired = {check.name for check in health.CHECKS if check.repair}
    assert repaired >= {check for check, _ in REPAIRED.values()}


def test_a_check_is_added_as_one_entry(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_loud_names(conn: Connection) -> Iterator[HealthFinding]:
        sql = "select id from people where name = upper(name)"
        ids = [row[0] for row in conn.execute(sql)]
        yield from report_rows("names", "name shouts", "names shout", ids, fixable=True)

    def repair_names(conn: Connection) -> None:
        with transaction(conn):
            conn.execute("update people set name = 'Ada' where name = 'ADA'")

    added = health.Check("names", find_loud_names, repair_names)
    monkeypatch.setattr(health, "CHECKS", (*health.CHECKS, added))
    plant(database, "update people set name = 'ADA' where name = 'Ada'")
    assert checks(run(database)[1]) == ["names"]
    assert checks(run(database, "--fix")[1], "fixed") == ["names"]
    assert run(database)[0] == 0


def test_a_missing_table_hides_no_other_error(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_by_another_column(conn: Connection) -> Iterator[HealthFinding]:
        yield from report_rows("ages", "age", "ages", conn.execute("select age from people"))

    added = health.Check("ages", find_by_another_column)
    monkeypatch.setattr(health, "CHECKS", (*health.CHECKS, added))
    plant(database, "drop table likely_pairs")
    assert checks(run(database)[1]) == ["schema", "ages"]


def test_indexes_are_repaired_last_and_pictures_after_files_are_marked() -> None:
    stages = {check.name: check.stage for check in health.CHECKS if check.repair}
    assert stages.pop("indexes") == max(stages.values()) + 1
    assert stages.pop("pictures") == max(stages.values()) + 1


def test_a_vector_that_was_removed_comes_back_with_the_next_embedding(
    database: Path, toy: ToyModel
) -> None:
    good = asked(database, "select embedding from face_embeddings where face_id = 1")
    plant(database, (SET_VECTOR, [blob(1, 0)]))
    assert run(database, "--fix")[0] == 0
    assert asked(database, "select count(*) from face_embeddings") == [(7,)]
    done = CliRunner().invoke(cli, ["faces", "embed", str(database), "--model", "toy"])
    assert done.exit_code == 0, done.output
    assert asked(database, "select embedding from face_embeddings where face_id = 1") == good
    assert asked(database, "select count(*) from faces") == [(8,)]
    assert run(database)[0] == 0


def test_a_vector_that_is_too_long_keeps_its_direction(database: Path) -> None:
    plant(database, (SET_VECTOR, [blob(3, 0, 4)]))
    run(database, "--fix")
    [(stored,)] = asked(database, "select embedding from face_embeddings where face_id = 1")
    assert np.frombuffer(stored, "<f4") == pytest.approx([0.6, 0, 0.8])
    assert asked(database, f"select embedding from {TABLE} where face_id = 1") == [(stored,)]


def test_a_face_whose_person_is_gone_gets_that_person_again(database: Path) -> None:
    [(person,)] = asked(database, "select person_id from faces where id = 3")
    plant(database, "update faces set person_id = 77 where id = 3")
    run(database, "--fix")
    assert asked(database, "select person_id from faces where id = 3") == [(person,)]


def test_files_that_are_gone_are_marked_and_a_drive_that_is_away_is_not(
    sound: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        shutil.copy(sound.parent / f"{number}.png", folder)
    database = tmp_path / "faces.db"
    ingest(str(database), [str(folder)], ToyModel(), worker_count=1)
    (folder / "0.png").unlink()
    status, report = run(database)
    assert (status, checks(report)) == (1, ["files"])
    assert report["problems"][0]["examples"] == [str(folder / "0.png")]
    assert run(database, "--fix")[0] == 0
    missing = "select path from photos where missing_since is not null"
    assert asked(database, missing) == [(str(folder / "0.png"),)]
    shutil.move(folder, tmp_path / "elsewhere")
    status, report = run(database, "--fix")
    assert (status, checks(report, "notes")) == (0, ["folders"])
    assert asked(database, missing) == [(str(folder / "0.png"),)]


def test_a_decision_without_its_face_is_reported_and_kept(database: Path) -> None:
    plant(database, "update decision_faces set sha256 = 'elsewhere'")
    before = decided(database)
    status, report = run(database, "--fix")
    assert (status, checks(report, "notes")) == (0, ["decisions"])
    assert decided(database) == before


def test_an_index_of_sqlite_that_lacks_a_row_is_rebuilt(database: Path) -> None:
    plant(
        database,
        "pragma writable_schema = on",
        "update sqlite_master set sql = 'create index faces_photo on faces(id)' where name = 'faces_photo'",
    )
    status, report = run(database)
    assert (status, set(checks(report))) == (1, {"file"})
    assert run(database, "--fix")[0] == 0


def test_a_file_with_a_broken_page_is_reported_and_not_touched(database: Path) -> None:
    data = bytearray(database.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    [(root,)] = asked(database, "select rootpage from sqlite_master where name = 'faces_gallery'")
    data[(root - 1) * page : (root - 1) * page + 200] = b"\xff" * 200
    database.write_bytes(data)
    result = CliRunner().invoke(cli, ["faces", "doctor", str(database), "--fix"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_a_large_index_that_is_not_whole_is_rebuilt(tmp_path: Path) -> None:
    database = make_gallery(tmp_path / "faces.db", random_vectors(64, 8), *KINDS["pq"])
    plant(database, "update face_index_parts set data = x'00' where place = 0")
    _, report = run(database)
    assert "indexes" in checks(report)
    _, report = run(database, "--fix")
    assert "indexes" not in checks(report)


def test_what_it_prints_says_what_to_do(database: Path) -> None:
    plant(database, "update people set faces = 99", "update faces set x = 5000 where id = 1")

    def said(*options: str) -> str:
        result = CliRunner().invoke(cli, ["faces", "doctor", str(database), *options])
        assert result.exit_code == 1
        return result.output

    assert "2 people have a wrong count of faces (1, 2)" in said()
    assert "--fix" in said()
    report = said("--fix")
    assert "fixed: 2 people have a wrong count of faces" in report
    assert "1 face is outside its picture (1)" in report


def in_words(database: Path, *options: str) -> str:
    return CliRunner().invoke(cli, ["faces", "doctor", str(database), *options]).output


@pytest.mark.parametrize(
    ("harm", "one", "many"),
    [
        (
            "update faces set landmarks = '[]' where id",
            "1 face has landmarks that are not five points (1)",
            "2 faces have landmarks that are not five points (1, 2)",
        ),
        (
            f"update face_embeddings set embedding = x'{blob(3, 0, 4).hex()}' where face_id",
            "1 embedding by toy is not of unit length (1)",
            "2 embeddings by toy are not of unit length (1, 2)",
        ),
        (
            f"update face_embeddings set embedding = x'{blob(0, 1, 0).hex()}' where face_id",
            "vec_faces_toy lacks 1 change\n",
            "vec_faces_toy lacks 2 changes\n",
        ),
        (
            f"delete from {TABLE} where face_id",
            "vec_faces_toy differs from the embeddings in 1 face\n",
            "vec_faces_toy differs from the embeddings in 2 faces\n",
        ),
        (
            "update people set key = null where id",
            "1 person has no key (1)",
            "2 people share a key, or have none (1, 2)",
        ),
    ],
)
def test_faults_are_reported_in_words_that_fit_their_number(
    database: Path, harm: str, one: str, many: str
) -> None:
    plant(database, f"{harm} = 1")
    assert one in in_words(database).splitlines(keepends=True)[0]
    plant(database, f"{harm} = 2")
    assert many in in_words(database).splitlines(keepends=True)[0]


def test_it_says_what_fix_would_do_and_then_what_it_did(database: Path) -> None:
    plant(database, (SET_VECTOR, [blob(1, 0)]))
    what = "1 embedding by toy is not 3 numbers with a length above 0 (1)"
    embed = f"datasette faces embed {database} --model toy"
    assert f"{what}: --fix removes it; then: {embed}\n" in in_words(database)
    assert run(database)[1]["problems"][0]["mend"] == f"--fix removes it; then: {embed}"
    assert f"fixed: {what}: removed; now: {embed}\n" in in_words(database, "--fix")


def test_broken_pictures_of_real_photos_are_made_again_and_nothing_else_changes(
    faces_db: Path, tmp_path: Path
) -> None:
    database = Path(shutil.copy(faces_db, tmp_path / "faces.db"))
    rest = (
        "select * from face_embeddings",
        "select id, x, y, width, height, landmarks, sharpness, person_id from faces",
        "select id, path, sha256, missing_since from photos",
        "select crop from faces where id not in (2, 5)",
        "select thumbnail from photos",
    )
    before = [asked(database, sql) for sql in rest]
    crops = asked(database, "select crop from faces where id in (2, 5)")
    plant(
        database,
        "update faces set crop = x'ffd8' where id in (2, 5)",
        "update photos set thumbnail = x'' where id = 1",
    )
    report = in_words(database)
    assert (
        "2 crops cannot be decoded (2, 5): --fix makes what it can again, from the photos'"
        in report
    )
    assert "1 thumbnail cannot be decoded (1): --fix makes" in report
    assert "fixed: 2 crops cannot be decoded (2, 5): made again\n" in in_words(database, "--fix")
    assert run(database)[1]["ok"]
    assert [asked(database, sql) for sql in rest] == before
    for (old,), (new,) in zip(
        crops, asked(database, "select crop from faces where id in (2, 5)"), strict=True
    ):
        # Landmarks are kept to a hundredth of a pixel
        pixels = [np.asarray(Image.open(io.BytesIO(it)), np.float32) for it in (old, new)]
        assert pixels[0].shape == (CROP_PX, CROP_PX, 3)
        assert np.abs(pixels[0] - pixels[1]).mean() < 1


def test_a_broken_crop_waits_until_its_photo_is_back(sound: Path, tmp_path: Path) -> None:
    photo = Path(shutil.copy(sound.parent / "0.png", tmp_path / "0.png"))
    database = tmp_path / "faces.db"
    ingest(str(database), [str(photo)], ToyModel(), worker_count=1)
    plant(database, "update faces set crop = x'' where id = 1")
    photo.rename(tmp_path / "away")
    draw(photo, GREEN)
    for options in ((), ("--fix",)):
        report = in_words(database, *options)
        assert (
            f"1 crop cannot be decoded (1): restore {photo} as it was, or ingest the folder where it is "
            f"now; then: datasette faces doctor {database} --fix\n"
        ) in report
        assert (
            "--fix cannot repair what is left; where something else can, its line says so" in report
        )
    photo.unlink()
    in_words(database, "--fix")
    assert asked(database, "select missing_since is null from photos") == [(0,)]
    (tmp_path / "away").rename(photo)
    assert "fixed: 1 crop cannot be decoded (1): made again\n" in in_words(database, "--fix")
    assert run(database)[1]["ok"]


def test_a_photo_that_gives_no_picture_is_named(
    database: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(database, "update faces set crop = x'' where id = 1")

    def refuse(data: bytes, **options: object) -> None:
        raise PictureError("HEIC needs pillow-heif")

    monkeypatch.setattr(pipeline, "decode_picture", refuse)
    report = in_words(database, "--fix")
    assert "1 crop cannot be decoded (1): --fix could not repair this\n" in report
    assert f"{sound.parent / '0.png'}: HEIC needs pillow-heif" in report


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\0" * 100])
def test_anything_but_a_faces_database_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    result = CliRunner().invoke(cli, ["faces", "doctor", str(path)])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert path.read_bytes() == content


def test_a_large_file_without_a_fault_is_sound(sound: Path, tmp_path: Path) -> None:
    database = make_gallery(
        tmp_path / "faces.db", random_vectors(10_000, 128), *KINDS["sqlite-vec"]
    )
    [(crop,)] = asked(sound, "select crop from faces where id = 1")
    plant(
        database,
        ("update faces set crop = ?, landmarks = '[1,2,3,4,5]'", [crop]),
        ("update photos set thumbnail = ?", [crop]),
    )
    status, report = run(database)
    assert (status, checks(report)) == (0, []), report
