"""An audit holds a catalogue against the private file as it is now, and its file against its own rows."""

from __future__ import annotations

import shutil
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from publishing import HIDDEN, NAMED, OTHER, make_private
from running import faces

from datasette_faces.library.audit import model_check, run
from datasette_faces.people import decide
from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

ROOM = "free pages, and bytes that belong to no row"
FAULTS = "unused or inconsistent pages"
HEADER = "numbers in the header"
PEOPLE = "people"
SEAL = "the seal of the export"
PICTURES = "pictures of what is not published"
BLURRED = "faces to blur that are not blurred"


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


@pytest.fixture(scope="module")
def exported(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out.db"
    result = faces("export", private, out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def out(exported: Path, tmp_path: Path) -> Path:
    shutil.copy(exported, tmp_path / "out.db")
    return tmp_path / "out.db"


def found(out: Path, private: Path) -> dict[str, int]:
    """The checks that found something."""
    return {it.check: it.found for it in run.audit(str(out), str(private)).findings if it.found}


def changed(out: Path, *statements: str) -> None:
    with closing(sqlite().connect(str(out), isolation_level=None)) as conn:
        for statement in statements:
            conn.execute(statement)


RECOGNISED = model_check.CHECK


def overwrite(out: Path, place: int, content: bytes) -> None:
    data = bytearray(out.read_bytes())
    data[place : place + len(content)] = content
    out.write_bytes(data)


def test_somebody_hidden_since_is_a_leak_also_in_the_background(out, private, tmp_path):
    """OTHER has no face in the photo in which NAMED is; there a face of nobody becomes one to hide."""
    later = tmp_path / "later.db"
    shutil.copy(private, later)
    with writing(str(later)) as conn, transaction(conn):
        decide.move(conn, [4], None)
        [(person,)] = conn.execute("select person_id from faces where id = 4").fetchall()
        decide.hide(conn, person)
    assert found(out, private) == {}
    assert set(found(out, later)) == {SEAL, PICTURES, BLURRED, f"{RECOGNISED} (sface)"}


def test_what_lies_between_rows_is_found_whatever_it_is(out, private):
    with closing(sqlite().connect(str(out))) as conn:
        [(size,)] = conn.execute("pragma page_size").fetchall()
        [(page,)] = conn.execute(
            "select rootpage from sqlite_master where name = 'people'"
        ).fetchall()
    start = (page - 1) * size
    raw = out.read_bytes()[start : start + size]
    # After the header of 8 bytes and two bytes for each cell
    free = start + 8 + 2 * struct.unpack(">H", raw[3:5])[0] + 20
    overwrite(out, free, b"q")
    assert found(out, private) == {ROOM: 1}


def test_a_page_that_nobody_knows_is_found(out, private):
    with closing(sqlite().connect(str(out))) as conn:
        [(size,)] = conn.execute("pragma page_size").fetchall()
    data = bytearray(out.read_bytes())
    pages = len(data) // size + 1
    data[28:32] = struct.pack(">I", pages)
    out.write_bytes(bytes(data) + b"q" * size)
    assert {ROOM, FAULTS} <= set(found(out, private))


@pytest.mark.parametrize("nulls", [0, 1, 40])
@pytest.mark.parametrize("table", ["photos", "faces", "people"])
def test_a_value_behind_the_last_column_is_found(out, private, table, nulls):
    with closing(sqlite().connect(str(out))) as conn:
        [(sql,)] = conn.execute("select sql from sqlite_master where name = ?", [table]).fetchall()
    changed(
        out,
        *(f"alter table {table} add column nothing_{number}" for number in range(nulls)),
        f"alter table {table} add column more",
        f"update {table} set more = 'q' where id = (select min(id) from {table})",
        "pragma writable_schema = on",
        f"update sqlite_master set sql = '{sql.replace(chr(39), 2 * chr(39))}' where name = '{table}'",
    )
    changed(out, "vacuum")
    assert found(out, private) == {ROOM: 1}


def test_a_column_with_a_quote_in_its_name_is_found(out, private):
    changed(out, """alter table photos add column 'a"b'""")
    assert "tables, columns, triggers, views" in found(out, private)


def test_a_table_without_its_key_is_found(out, private):
    changed(
        out,
        "create table other as select * from photos",
        "drop table photos",
        "alter table other rename to photos",
        "update photos set id = null where rowid = 1",
    )
    assert {"tables, columns, triggers, views", SEAL, PICTURES} <= set(found(out, private))


def test_an_index_that_says_something_else_is_found(out, private):
    changed(
        out,
        "drop index photos_taken_at",
        "create index photos_taken_at on photos(taken_at || 'secret')",
        "pragma writable_schema = on",
        "update sqlite_master set sql = 'create index photos_taken_at on photos(taken_at)' "
        "where name = 'photos_taken_at'",
    )
    assert FAULTS in found(out, private)


@pytest.mark.parametrize("place", [48, 60, 64, 68, 72, 91])
def test_the_header_keeps_nothing(out, private, place):
    overwrite(out, place, b"\1")
    assert HEADER in found(out, private)


@pytest.mark.parametrize(
    "statement",
    [
        f"update people set faces = 1559305391 where name = '{NAMED}'",
        f"delete from people where name = '{OTHER}'",
        "update people set cover_face_id = (select cover_face_id from people p where p.id != people.id)",
        "update people set hidden = 1",
        "update people set cover_face_id = null",
    ],
)
def test_a_person_of_whom_something_else_is_said_is_found(out, private, statement):
    changed(out, statement)
    assert PEOPLE in found(out, private)


@pytest.mark.parametrize(
    "statement",
    [
        f"insert into catalogue values ('watermark', '{HIDDEN}')",
        "insert into catalogue values ('unnamed', 'yes')",
        "update catalogue set value = '2001-01-01' where name = 'made_on'",
    ],
)
def test_a_note_that_came_later_breaks_the_seal(out, private, statement):
    changed(out, statement)
    assert SEAL in found(out, private)


def test_a_file_in_a_folder_that_cannot_be_written_is_audited(
    out: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasette_faces.errors import CatalogueError
    from datasette_faces.library import atomic_file

    def refuse(*args: Any, **options: Any) -> Any:
        raise CatalogueError("cannot be written")

    monkeypatch.setattr(atomic_file, "temporary_folder_beside", refuse)
    assert found(out, private) == {}
