"""What can be read of a damaged file is saved into a new, sound one, and the rest is said to be lost."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from galleries import make_gallery, random_vectors
from running import beside, faces, rows

from datasette_faces.library.health.recover import MADE_ANEW, RecoveredFile, recover
from datasette_faces.store import people as store
from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import writing
from datasette_faces.store.migrations import migrations

FACES = 60
"""So many that their tables have several pages."""
THUMBNAIL = b"long" * 5000
NAMED = 5
PAGE = 8192
SCHEMA = (
    "CREATE TABLE photos",
    "CREATE TABLE faces",
    "CREATE TABLE decisions",
    "CREATE TABLE decision_faces",
    "CREATE TABLE analyses",
    "CREATE TABLE models",
    'CREATE TABLE "_sqlite_migrations"',
    "CREATE VIRTUAL TABLE",
    "CREATE INDEX decisions_person",
    "CREATE INDEX faces_gallery",
    "CREATE TRIGGER faces_moved",
    "CREATE TRIGGER photos_taken_at",
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People of four faces, some with names; and a table, a view and an index of somebody else's."""
    path = tmp_path_factory.mktemp("whole") / "file.db"
    make_gallery(path, random_vectors(FACES, 8))
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("update faces set person_id = null")
        conn.execute("delete from people")
        store.propose(conn, {n: f"cluster-{(n - 1) // 4}" for n in range(1, FACES + 1)})
        store.rebuild(conn)
        conn.execute("insert into analyses select id, 'toy' from photos")
        # A picture that goes on on other pages
        conn.execute("update faces set crop = ?", [b"crop" * 200])
        conn.execute("update photos set thumbnail = ?", [b"thumbnail" * 90])
        conn.execute("update photos set thumbnail = ? where id = 7", [THUMBNAIL])
        conn.execute("create table notes (at text, note text)")
        conn.executemany("insert into notes values (?, ?)", [(str(n), "seen") for n in range(9)])
        conn.execute("create view named as select id from people where name is not null")
        conn.execute("create index notes_at on notes(at)")
    for person in range(1, NAMED + 1):
        assert faces("people", path, "name", person, f"Name {person}").exit_code == 0
    assert faces("index", path).exit_code == 0
    with closing(sqlite().connect(str(path))) as conn:
        conn.execute("pragma journal_mode = delete")
        conn.execute("vacuum")
    return path


def rows_of(file: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows of each ordinary table, but of those that an index rebuilds."""
    found = rows(
        file,
        "select name from sqlite_master where type = 'table' and name not like 'sqlite~_%' escape '~' "
        "and name not like 'vec~_%' escape '~'",
    )
    names = {row[0] for row in found} - {*MADE_ANEW, "_sqlite_migrations"}
    return {name: Counter(rows(file, f"select * from {name}")) for name in names}


def recovered(data: bytes, folder: Path) -> tuple[RecoveredFile, Path]:
    """What is saved of these bytes; they stay, and nothing comes beside them."""
    file, out = folder / "file.db", folder / "out.db"
    file.write_bytes(data)
    result = recover(str(file), str(out))
    assert file.read_bytes() == data
    assert sorted(item.name for item in folder.iterdir()) == ["file.db", "out.db"]
    [(sound,)] = rows(out, "pragma integrity_check")
    assert sound == "ok"
    assert not rows(out, "pragma foreign_key_check")
    return result, out


def with_bytes(file: Path, place: int, data: bytes) -> bytes:
    whole = bytearray(file.read_bytes())
    whole[place : place + len(data)] = data
    return bytes(whole)


def places_of(data: bytes | bytearray, part: bytes) -> list[int]:
    """Everywhere: SQLite leaves older copies of its schema in the file."""
    return [found.start() for found in re.finditer(re.escape(part), data)]


def root_of(file: Path, name: str) -> int:
    [(root,)] = rows(file, "select rootpage from sqlite_master where name = ?", name)
    return int(root)


def leaves_of(file: Path, name: str) -> list[int]:
    """The pages of a table that has one page above them."""
    data, root = file.read_bytes(), root_of(file, name)
    page = data[(root - 1) * PAGE : root * PAGE]
    assert page[0] == 5
    cells = [
        int.from_bytes(page[12 + 2 * n : 14 + 2 * n]) for n in range(int.from_bytes(page[3:5]))
    ]
    children = [int.from_bytes(page[cell : cell + 4]) for cell in cells]
    return [*children, int.from_bytes(page[8:12])]


def lost_of(result: RecoveredFile) -> dict[str, int]:
    return {table.table: table.lost for table in result.tables if table.lost}


def test_a_sound_file_is_saved_as_it_is(whole: Path, tmp_path: Path) -> None:
    result, out = recovered(whole.read_bytes(), tmp_path)
    assert result.is_complete
    assert rows_of(out) == rows_of(whole)
    assert rows(out, "select count(*) from named") == [(NAMED,)]
    assert rows(out, "select 1 from sqlite_master where name = 'notes_at'") == [(1,)]
    assert rows(out, "select count(*) from vec_faces_toy") == [(FACES,)]
    made = "select type, name, sql from sqlite_master where name not like 'vec%' order by 1, 2"
    assert rows(out, made) == rows(whole, made)


@pytest.mark.parametrize("where", [-1, 9, 30], ids=["page", "word", "column"])
def test_everything_comes_back_of_a_file_with_bytes_of_its_schema_damaged(
    whole: Path, tmp_path: Path, where: int
) -> None:
    data = whole.read_bytes()
    for sql in SCHEMA:
        for place in places_of(data, sql.encode()):
            data = data[: place + where] + b"\xff" + data[place + where + 1 :]
    result, out = recovered(data, tmp_path)
    assert result.is_complete
    assert rows_of(out) == rows_of(whole)


@pytest.mark.parametrize("seed", range(2))
def test_so_it_does_wherever_that_byte_is(whole: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    made = [row[0] for row in rows(whole, "select sql from sqlite_master where sql is not null")]
    for n in range(3):
        sql = rng.choice(made).encode()
        # In the SQL, or around it: numbers of pages, lengths, types
        where, byte = rng.randrange(-24, len(sql)), rng.choice((0xFF, 0x80, 0, 65))
        data = bytearray(whole.read_bytes())
        for place in places_of(data, sql):
            data[place + where] = byte
        folder = tmp_path / str(n)
        folder.mkdir()
        _, out = recovered(bytes(data), folder)
        ours = rows_of(whole)
        assert rows_of(out) | {"notes": ours["notes"]} == ours, (sql, where, byte)


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    from sqlite_utils import Database

    file = tmp_path / "early.db"
    with closing(sqlite().connect(str(file), isolation_level=None)) as conn:
        migrations.apply(Database(conn), stop_before="0003_people_decisions")
        conn.execute("insert into people(name) values ('Ada'), ('Bob')")
    place = file.read_bytes().index(b"CREATE TABLE people")
    data = with_bytes(file, place, b"\xff")
    file.unlink()
    result, out = recovered(data, tmp_path)
    assert result.is_complete
    assert rows(out, "select name, length(key) from people") == [("Ada", 16), ("Bob", 16)]
    assert not rows(
        out, "select 1 from sqlite_master where name = 'people' and sql not like '%key%'"
    )


@pytest.mark.parametrize("place", [16, 20, 47, 59, 100])
def test_everything_comes_back_of_a_file_with_a_damaged_header(
    whole: Path, tmp_path: Path, place: int
) -> None:
    result, out = recovered(with_bytes(whole, place, b"\x07"), tmp_path)
    assert result.is_complete
    assert rows_of(out) == rows_of(whole)


def test_everything_comes_back_where_the_whole_header_is_zeroed(
    whole: Path, tmp_path: Path
) -> None:
    result, out = recovered(with_bytes(whole, 0, bytes(100)), tmp_path)
    assert result.is_complete
    assert rows_of(out) == rows_of(whole)


def zeroed(size: int) -> bytes:
    return bytes(size)


def garbled(size: int) -> bytes:
    return random.Random(3).randbytes(size)


@pytest.mark.parametrize("fill", [zeroed, garbled])
@pytest.mark.parametrize("table", ["faces", "photos"])
def test_all_but_a_damaged_page_comes_back_and_the_loss_is_counted(
    whole: Path, tmp_path: Path, table: str, fill: Callable[[int], bytes]
) -> None:
    page = leaves_of(whole, table)[1]
    result, out = recovered(with_bytes(whole, (page - 1) * PAGE, fill(PAGE)), tmp_path)
    [(left,)] = rows(out, f"select count(*) from {table}")
    assert 0 < left < FACES
    assert lost_of(result)[table] == FACES - left
    before, after = rows_of(whole), rows_of(out)
    # Nothing that somebody did is lost, and no row is another one's
    for kept in "decisions", "decision_faces", "notes", "models":
        assert after[kept] == before[kept]
    assert after[table] <= before[table]
    assert rows(out, "select count(*) from named") == [(NAMED,)]
    assert not result.is_complete


@pytest.mark.parametrize("table", ["faces", "photos"])
def test_nothing_is_lost_with_the_page_that_leads_to_the_others(
    whole: Path, tmp_path: Path, table: str
) -> None:
    page = root_of(whole, table)
    result, out = recovered(with_bytes(whole, (page - 1) * PAGE, bytes(PAGE)), tmp_path)
    assert result.is_complete
    assert rows_of(out) == rows_of(whole)


def test_people_are_made_anew_of_decisions_and_clusters(whole: Path, tmp_path: Path) -> None:
    page = root_of(whole, "people")
    result, out = recovered(with_bytes(whole, (page - 1) * PAGE, bytes(PAGE)), tmp_path)
    assert not lost_of(result)
    named = (
        "select people.name, faces.id from faces join people on people.id = person_id order by 2"
    )
    assert rows(out, named) == rows(whole, named)


@pytest.mark.parametrize("table", ["decisions", "decision_faces", "face_clusters", "models"])
def test_a_small_table_that_is_lost_is_said_to_be(whole: Path, tmp_path: Path, table: str) -> None:
    page = root_of(whole, table)
    result, out = recovered(with_bytes(whole, (page - 1) * PAGE, bytes(PAGE)), tmp_path)
    assert not result.is_complete
    assert table in {found.table for found in result.tables if not found.is_complete}
    assert rows(out, "select count(*) from face_embeddings") == [(FACES,)]


def test_a_photo_stays_whose_thumbnail_is_cut_off(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    # A page that holds nothing else: not the one with the beginning of the row
    place = data.index(THUMBNAIL[:8000]) // PAGE * PAGE
    result, out = recovered(with_bytes(whole, place, bytes(PAGE)), tmp_path)
    assert rows(out, "select count(*) from photos") == [(FACES,)]
    assert {table.table: table.incomplete for table in result.tables if table.incomplete} == {
        "photos": 1
    }
    assert not result.is_complete


@pytest.mark.parametrize("pages", [1, 3, 8, 0.5])
def test_the_rest_of_a_file_comes_back_that_is_cut_off(
    whole: Path, tmp_path: Path, pages: float
) -> None:
    data = whole.read_bytes()
    result, out = recovered(data[: -int(pages * PAGE)], tmp_path)
    before, after = rows_of(whole), rows_of(out)
    lost = lost_of(result)
    for table in before:
        assert after[table].total() == before[table].total() - lost.get(table, 0), table
    assert after["decisions"] == before["decisions"]


def test_what_was_deleted_does_not_come_back(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "less.db"
    file.write_bytes(whole.read_bytes())
    with closing(sqlite().connect(str(file))) as conn, conn:
        conn.execute("delete from faces where id > 60")
        conn.execute("delete from notes")
    before = rows_of(file)
    data = with_bytes(file, (root_of(file, "faces") - 1) * PAGE, bytes(PAGE))
    file.unlink()
    _, out = recovered(data, tmp_path)
    assert rows_of(out)["faces"] == before["faces"]
    assert not rows_of(out)["notes"]


@pytest.mark.parametrize("damage", ["", "create trigger faces_moved", "header"])
def test_what_is_only_in_the_log_is_saved_too(whole: Path, tmp_path: Path, damage: str) -> None:
    file, out = tmp_path / "file.db", tmp_path / "out.db"
    file.write_bytes(whole.read_bytes())
    with closing(sqlite().connect(str(file))) as conn:
        conn.execute("pragma journal_mode = wal")
        conn.execute("pragma wal_autocheckpoint = 0")
        with conn:
            conn.execute("update people set name = 'Ada' where id = 1")
        copy = tmp_path / "copy.db"
        for end in "", "-wal":
            Path(f"{copy}{end}").write_bytes(Path(f"{file}{end}").read_bytes())
        if damage:
            found = copy.read_bytes().lower().find(damage.encode())
            copy.write_bytes(with_bytes(copy, max(found, 0) + 3, b"\xff"))
        data, log = copy.read_bytes(), Path(f"{copy}-wal").read_bytes()
        recover(str(copy), str(out))
    assert rows(out, "select name from people where id = 1") == [("Ada",)]
    assert (copy.read_bytes(), Path(f"{copy}-wal").read_bytes()) == (data, log)
    assert beside(copy) == ["copy.db-wal"]


def test_the_command_says_what_was_saved_and_the_doctor_finds_the_new_file_sound(
    whole: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "file.db", tmp_path / "out.db"
    place = whole.read_bytes().index(b"CREATE TABLE faces")
    file.write_bytes(with_bytes(whole, place + 20, b"\xff"))
    result = faces("doctor", file, "--recover", out)
    assert result.exit_code == 0, result.output
    assert f"faces: {FACES} rows saved" in result.stdout
    assert f"{out} has all that was in the file." in result.stdout
    report = json.loads(faces("doctor", out, "--json").stdout)
    assert {item["check"] for item in report["problems"]} <= {"pictures", "landmarks"}
    [(found,)] = rows(
        out,
        "select face_id from vec_faces_toy where k = 1 and embedding match "
        "(select embedding from face_embeddings where face_id = 9)",
    )
    assert found == 9


def test_the_report_as_json_counts_what_is_lost(whole: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file.db", tmp_path / "out.db"
    page = leaves_of(whole, "faces")[0]
    file.write_bytes(with_bytes(whole, (page - 1) * PAGE, bytes(PAGE)))
    result = faces("doctor", file, "--recover", out, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    [row] = [row for row in report["tables"] if row["table"] == "faces"]
    assert row["saved"] + row["lost"] == FACES
    assert 0 < row["lost"] < FACES
    again = faces("doctor", file, "--recover", tmp_path / "again.db")
    assert f"faces: {row['saved']} rows saved, {row['lost']} lost" in again.stdout


def make_catalogue(folder: Path, whole: Path) -> bytes:
    out = folder / "catalogue.db"
    with closing(sqlite().connect(str(out))) as conn, conn:
        for table in "photos", "faces", "face_embeddings":
            conn.execute(f"create table {table} (id integer primary key)")
        conn.execute("create table catalogue (name text primary key, value text)")
    data = out.read_bytes()
    out.unlink()
    return data


def make_other(folder: Path, whole: Path) -> bytes:
    out = folder / "other.db"
    with closing(sqlite().connect(str(out))) as conn, conn:
        conn.execute("create table photos (id integer primary key)")
    data = out.read_bytes()
    out.unlink()
    return data


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder, whole: b"no database" * 999, "is not an SQLite database"),
        (lambda folder, whole: b"", "is empty"),
        (lambda folder, whole: whole.read_bytes()[:50], "can be read"),
        (lambda folder, whole: bytes(PAGE * 9), "can be read"),
        (make_other, "of something else"),
        (make_catalogue, "is a published catalogue"),
    ],
)
def test_what_is_no_faces_database_is_refused(
    whole: Path, tmp_path: Path, make: Callable[[Path, Path], bytes], reason: str
) -> None:
    file, out = tmp_path / "file.db", tmp_path / "out.db"
    file.write_bytes(make(tmp_path, whole))
    result = faces("doctor", file, "--recover", out)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["file.db"]


def test_nothing_is_written_over(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.db"
    out.write_bytes(b"mine")
    result = faces("doctor", whole, "--recover", out)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert out.read_bytes() == b"mine"
    before = whole.read_bytes()
    assert faces("doctor", whole, "--recover", whole).exit_code == 1
    assert whole.read_bytes() == before
    assert faces("doctor", whole, "--recover", tmp_path / "no" / "out.db").exit_code == 1
    assert faces("doctor", tmp_path / "none.db", "--recover", tmp_path / "new.db").exit_code == 1


def test_recover_and_fix_are_two_commands(whole: Path, tmp_path: Path) -> None:
    result = faces("doctor", whole, "--recover", tmp_path / "out.db", "--fix")
    assert result.exit_code == 2
    assert not (tmp_path / "out.db").exists()
