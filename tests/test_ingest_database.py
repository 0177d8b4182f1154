"""The database file: refused in one line where it is not ours, whole and alone when we are done."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import beside, faces, ingest, rows, start
from toy_model import BLUE, GREEN, RED, ToyModel, draw

from datasette_faces import shapes
from datasette_faces.algorithms import vectors
from datasette_faces.errors import DatabaseBusy, DatabaseNotWritable, NotAFacesDatabase
from datasette_faces.library.ingest import run as ingesting
from datasette_faces.library.ingest.lock import lock_for_ingest
from datasette_faces.search import index_upkeep
from datasette_faces.store import connection
from datasette_faces.store.connection import Connection, sqlite, transaction
from datasette_faces.store.database import reading, writing

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has this")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def some(toy: ToyModel, photos: Path) -> Path:
    """A folder of 30 photos with a face each."""
    for number in range(30):
        draw(photos / f"{number:02}.png", (RED, GREEN, BLUE)[number % 3], note=str(number))
    return photos


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(database: Path, folder: Path) -> str:
    """The one line that an ingest ends with."""
    result = faces("ingest", database, folder, "--model", "toy", "--workers", 1)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    "content", [b"Dear diary", b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_sqlite_is_refused_and_left_as_it_is(some, database, content):
    database.write_bytes(content)
    assert "is not an SQLite database" in refused(database, some)
    assert database.read_bytes() == content
    assert beside(database) == []
    result = faces("status", database)
    assert result.exit_code == 1
    assert "is not an SQLite database" in result.stderr


def test_somebody_elses_sqlite_is_refused_and_left_as_it_is(some, database):
    with closing(sqlite().connect(database)) as conn:
        conn.execute("create table photos (id integer primary key, path text)")
        conn.execute("insert into photos(path) values ('mine')")
        conn.commit()
    before = digest(database)
    assert "is an SQLite database of something else; choose another file name" in refused(
        database, some
    )
    assert digest(database) == before
    assert beside(database) == []
    assert faces("status", database).exit_code == 1
    assert digest(database) == before


def test_somebody_elses_sqlite_with_its_own_migrations_is_refused(some, database):
    with closing(sqlite().connect(database)) as conn:
        conn.execute(
            "create table _sqlite_migrations (id integer, migration_set text, name text, applied_at text)"
        )
        conn.execute("insert into _sqlite_migrations values (1, 'dogs', '0001', '')")
        conn.commit()
    before = digest(database)
    assert "something else" in refused(database, some)
    assert digest(database) == before


def test_an_sqlite_in_wal_mode_of_somebody_else_keeps_its_mode(some, database):
    with closing(sqlite().connect(database)) as conn:
        conn.execute("pragma journal_mode = wal")
        conn.execute("create table t (x)")
    before = digest(database)
    assert "something else" in refused(database, some)
    assert digest(database) == before


def test_an_empty_file_becomes_a_database(some, database):
    database.touch()
    assert ingest(database, some)["photos"] == 30
    assert rows(database, "pragma page_size") == [(8192,)]


def test_a_database_without_a_row_says_what_fills_it(database):
    database.touch()
    result = faces("status", database)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is still empty; fill it with: datasette faces ingest" in result.stderr


def test_a_newer_schema_is_refused_and_left_as_it_is(some, database):
    ingest(database, some)
    with closing(sqlite().connect(database)) as conn:
        conn.execute(
            "insert into _sqlite_migrations(migration_set, name, applied_at) "
            "values ('datasette-faces', '9999_from_the_future', '')"
        )
        conn.commit()
    before = digest(database)
    line = refused(database, some)
    assert "newer version of datasette-faces (9999_from_the_future)" in line
    assert "pip install --upgrade datasette-faces" in line
    assert digest(database) == before
    assert "pip install --upgrade" in faces("status", database).stderr


def test_a_second_ingest_at_the_same_time_is_refused(some, database):
    with lock_for_ingest(str(database)):
        assert "Another ingest into" in refused(database, some)
        assert not database.exists()
    assert ingest(database, some)["photos"] == 30
    assert beside(database) == []


def test_a_lock_that_a_killed_ingest_left_does_not_stop_the_next(some, database):
    Path(f"{database}.lock").touch()
    assert ingest(database, some)["photos"] == 30
    assert beside(database) == []


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_a_killed_process_left_half_written_is_undone(
    some, database, tmp_path, through_a_link
):
    ingest(database, some)
    with closing(sqlite().connect(database, isolation_level=None)) as conn:
        conn.execute("pragma cache_size = 1")
        conn.execute("begin")
        conn.execute("update photos set thumbnail = randomblob(20000)")
        killed = tmp_path / "killed.db"
        killed.write_bytes(database.read_bytes())
        journal = Path(f"{killed}-journal")
        journal.write_bytes(Path(f"{database}-journal").read_bytes())
        conn.execute("rollback")
    assert killed.read_bytes() != database.read_bytes()
    named = killed
    if through_a_link:
        named = tmp_path / "link.db"
        named.symlink_to(killed)
    assert faces("status", named).exit_code == 0
    assert not journal.exists()
    sql = "select id, hex(thumbnail) from photos order by id"
    assert rows(killed, sql) == rows(database, sql)
    assert ingest(killed, some)["new"] == 0


def test_what_another_process_is_writing_is_left_alone(some, database, monkeypatch):
    ingest(database, some)
    with closing(sqlite().connect(database, isolation_level=None)) as conn:
        conn.execute("begin immediate")
        conn.execute("update photos set thumbnail = x'00'")
        with reading(str(database)) as other:
            assert other.execute("select max(thumbnail) from photos").fetchone() != (b"\0",)
        assert Path(f"{database}-journal").exists()
        conn.execute("commit")
    assert rows(database, "select max(thumbnail) from photos") == [(b"\0",)]


def test_a_log_that_a_reader_holds_is_merged_by_the_next(some, database, monkeypatch):
    monkeypatch.setattr(connection, "SETTLE_MS", 50)
    ingest(database, some)
    with ExitStack() as reads:
        with writing(str(database)) as conn:
            reader = reads.enter_context(reading(str(database)))
            reader.execute("begin")
            reader.execute("select count(*) from photos").fetchone()
            with transaction(conn):
                conn.execute("update photos set thumbnail = x'00'")
        assert rows(database, "pragma journal_mode") == [("wal",)]
    with writing(str(database)):
        pass
    assert rows(database, "pragma journal_mode") == [("delete",)]
    assert rows(database, "select max(thumbnail) from photos") == [(b"\0",)]
    assert beside(database) == []


def test_a_database_that_another_program_writes_to_is_busy(some, database, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.2)
    ingest(database, some)
    draw(some / "new.png", RED, note="new")
    with closing(sqlite().connect(database, isolation_level=None)) as conn:
        conn.execute("begin exclusive")
        assert "is in use by another process" in refused(database, some)
        conn.execute("rollback")
    assert ingest(database, some)["new"] == 1


def test_a_folder_that_is_not_there_is_said(some, tmp_path):
    assert "no folder" in refused(tmp_path / "nowhere" / "x.db", some)


def test_a_folder_in_the_place_of_the_database_is_wrong_usage(some, tmp_path):
    result = faces("ingest", some, some, "--model", "toy")
    assert result.exit_code == 2


@posix
def test_a_read_only_folder_is_said_in_one_line(some, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if os.geteuid() != 0:
        assert "cannot be written" in refused(closed / "x.db", some)
        return
    if not Path("/sys/kernel").is_dir():
        pytest.skip("root writes everywhere, and no folder here refuses it")
    # Nobody, not even root, makes a file there
    assert "cannot be written" in refused(Path("/sys/kernel/x.db"), some)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Databases that cannot grow beyond so many pages, as on a disk that is nearly full."""
    disk = SimpleNamespace(pages=10_000)
    connect = sqlite().connect

    def connect_to_small_disk(*arguments: object, **options: object):
        conn = connect(*arguments, **options)
        conn.execute(f"pragma max_page_count = {disk.pages}")
        return conn

    module = SimpleNamespace(
        **{name: getattr(sqlite(), name) for name in dir(sqlite()) if name[0] != "_"}
    )
    module.connect = connect_to_small_disk
    monkeypatch.setattr(connection, "sqlite", lambda: module)
    return disk


@pytest.mark.parametrize("pages", [1, 5, 34])
def test_a_full_disk_is_one_line_and_what_was_saved_is_kept(
    some, database, small_disk, pages, monkeypatch
):
    monkeypatch.setattr(ingesting, "BATCH_PHOTOS", 1)
    small_disk.pages = pages
    assert "is full; free some space and run the same command again" in refused(database, some)
    assert beside(database) == []
    assert rows(database, "pragma integrity_check") == [("ok",)]
    assert rows(database, "pragma journal_mode") == [("delete",)]
    small_disk.pages = 10_000
    assert ingest(database, some)["photos"] == 30
    assert rows(database, "select count(*), count(distinct sha256) from photos") == [(30, 30)]


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.argv.pop(0)
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@posix
@pytest.mark.parametrize("limit_bytes", [20_000, 200_000])
def test_a_file_that_may_not_grow_ends_in_one_line_and_goes_on_later(
    some, toy, database, limit_bytes
):
    program = Path(__file__).parent / "toy_datasette.py"
    command = [sys.executable, "-c", LIMITED, limit_bytes, program, toy.as_argument()]
    command += ["faces", "ingest", database, some, "--model", "toy", "--workers", 1]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert ingest(database, some)["photos"] == 30
    assert rows(database, "pragma integrity_check") == [("ok",)]


def test_the_result_is_one_file_in_delete_mode_that_opens_read_only(some, database):
    ingest(database, some)
    assert beside(database) == []
    address = f"{database.as_uri()}?mode=ro&immutable=1"
    with closing(sqlite().connect(address, uri=True)) as conn:
        assert conn.execute("pragma journal_mode").fetchone() == ("delete",)
        assert conn.execute("pragma page_size").fetchone() == (8192,)
        assert conn.execute("pragma integrity_check").fetchone() == ("ok",)
        assert conn.execute("pragma foreign_key_check").fetchall() == []
    # The header's read and write versions: 1 is a rollback journal, 2 a write-ahead log
    assert database.read_bytes()[18:20] == b"\1\1"


def test_a_file_without_vector_tables_opens_in_any_sqlite(some, database):
    ingest(database, some)
    with closing(sqlite().connect(database)) as conn:
        assert conn.execute("select count(*) from face_embeddings").fetchone() == (30,)


def test_a_reader_meanwhile_is_not_disturbed_and_sees_the_new_rows_afterwards(some, database):
    ingest(database, some)
    with reading(str(database)) as conn:
        assert conn.execute("select count(*) from photos").fetchone() == (30,)
        draw(some / "new.png", RED, note="new")
        assert ingest(database, some)["new"] == 1
        assert conn.execute("select count(*) from photos").fetchone() == (31,)
    ingest(database, some)
    assert beside(database) == []


def test_a_reader_in_the_middle_of_a_query_does_not_stop_an_ingest(some, database, monkeypatch):
    ingest(database, some)
    draw(some / "new.png", RED, note="new")
    with reading(str(database)) as conn:
        cursor = conn.execute("select id from photos")
        cursor.fetchone()
        monkeypatch.setattr(connection, "BUSY_SECONDS", 0.2)
        result = faces("ingest", database, some, "--model", "toy", "--json")
        cursor.fetchall()
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output
    if result.exit_code:
        assert "in use by another process" in result.stderr
    ingest(database, some)
    assert rows(database, "select count(*) from photos") == [(31,)]
    assert beside(database) == []


def test_a_failed_transaction_leaves_nothing(some, database):
    ingest(database, some)
    with writing(str(database)) as conn:
        with pytest.raises(ZeroDivisionError), transaction(conn):
            conn.execute("delete from photos").rowcount / 0
        assert conn.execute("select count(*) from photos").fetchone() == (30,)


def test_reading_what_is_not_there_says_what_makes_it(database):
    with pytest.raises(
        NotAFacesDatabase, match=r"There is no file .*; make it with: datasette faces ingest"
    ):
        reading(str(database)).__enter__()
    assert not database.exists()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("database or disk is full", DatabaseNotWritable),
        ("disk I/O error", DatabaseNotWritable),
        ("database is locked", DatabaseBusy),
        ("attempt to write a readonly database", DatabaseNotWritable),
        ("unable to open database file", DatabaseNotWritable),
        ("file is not a database", NotAFacesDatabase),
        ("database disk image is malformed", NotAFacesDatabase),
    ],
)
def test_each_error_of_sqlite_is_said_in_words(said, kind):
    assert type(connection._explanation("x.db", said, connection.NEW_NAME)) is kind


def test_the_shape_of_ingest_json(some, database):
    (some / "bad.jpg").write_bytes(b"")
    result = faces("ingest", database, some, "--model", "toy", "--json")
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert report.pop("seconds") >= 0
    assert report == {
        "found": 31,
        "photos": 30,
        "new": 30,
        "edited": 0,
        "moved": 0,
        "unchanged": 0,
        "analysed_again": 0,
        "drawn": 0,
        "named": 0,
        "faces": 30,
        "people": 3,
        "missing": 0,
        "errors": [{"path": str(some / "bad.jpg"), "reason": "the file is empty (0 bytes)"}],
        "faults": [],
    }


def test_the_shape_of_status_json(some, database):
    (some / "bad.jpg").write_bytes(b"")
    ingest(database, some)
    status = json.loads(faces("status", database, "--json").stdout)
    (model,) = status.pop("models")
    assert (model["id"], model["faces"], model["dimensions"]) == ("toy", 30, 3)
    assert status == {
        "photos": 30,
        "faces": 30,
        "people": 3,
        "errors": 1,
        "missing": 0,
        "indexes": ["vec_faces_toy"],
    }


def test_status_in_words_names_each_broken_file_on_one_line(some, database):
    (some / "bad\n<b>.jpg").write_bytes(b"")
    ingest(database, some)
    out = faces("status", database).stdout
    assert "bad\\n<b>.jpg\n    the file is empty (0 bytes)\n" in out
    assert out.splitlines()[0].split() == ["photos", "30"]


def test_lines_are_plain_where_there_is_no_terminal(some, database):
    result = faces("ingest", database, some, "--model", "toy")
    assert result.stderr == "30 of 30 files\n"
    assert result.stdout.startswith("30 faces found in 30 files (")
    assert "\x1b" not in result.output


def test_every_vector_is_float32_of_unit_length_with_its_model(faces_db):
    found = rows(faces_db, "select model_id, embedding from face_embeddings")
    assert {(model, len(blob)) for model, blob in found} == {("sface", 128 * 4)}
    lengths = [float(vectors.np.linalg.norm(vectors.decode(blob))) for _, blob in found]
    assert lengths == pytest.approx([1] * 7, abs=1e-5)


def test_the_exact_index_holds_the_same_vectors_as_the_table(faces_db):
    query = """
        select face_id, vec_distance_cosine(vec_faces_sface.embedding, face_embeddings.embedding)
        from vec_faces_sface join face_embeddings using (face_id) order by 1
    """
    found = rows(faces_db, query)
    assert [face for face, _ in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [distance for _, distance in found] == pytest.approx([0] * 7, abs=1e-5)


def test_a_photo_that_was_ingested_finds_itself(faces_db, t1_jpg):
    from datasette_faces.models.pipeline import analyse
    from datasette_faces.models.sface import SFace

    found = analyse(t1_jpg.read_bytes(), SFace().load(), detect_px=SFace.detect_px)
    for face in found.faces:
        blob = vectors.encode(face.embedding)
        query = "select face_id, distance from vec_faces_sface where embedding match ? and k = 1"
        ((face_id, distance),) = rows(faces_db, query, blob)
        assert distance < 0.001
        assert rows(faces_db, "select photo_id from faces where id = ?", face_id) == [(1,)]


@posix
def test_a_killed_ingest_lets_the_next_one_in(tmp_path, some, database):
    slow = ToyModel(log=str(tmp_path / "slow.log"), seconds=0.05)
    process = start(slow, "ingest", database, some, "--model", "toy", "--workers", 1)
    while not slow.looked_at():
        assert process.poll() is None
    result = faces("ingest", database, some, "--model", "toy")
    assert "Another ingest into" in result.stderr
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert ingest(database, some)["photos"] == 30
    assert beside(database) == []


def test_models_of_a_database_are_frozen_values():
    info = shapes.ModelInfo("id", "name", 3, 0.5, "licence", "sha")
    with pytest.raises(AttributeError):
        info.id = "other"


def test_no_worker_stays_in_memory_while_indexes_are_trained(
    toy: ToyModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(photos / "a.png", RED)
    workers: list[int] = []
    settle = index_upkeep.settle

    def count_workers(conn: Connection) -> None:
        workers.append(len(multiprocessing.active_children()))
        settle(conn)

    monkeypatch.setattr(index_upkeep, "settle", count_workers)
    before = len(multiprocessing.active_children())
    assert ingest(tmp_path / "x.db", photos)["new"] == 1
    assert workers == [before]
