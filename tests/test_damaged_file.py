"""A file whose bytes are damaged says so, whichever command or page reads it, and what to do."""

from __future__ import annotations

import random
import re
import shutil
from contextlib import closing
from pathlib import Path

import click.testing
import pytest
from desks import make_clustered
from running import faces
from serving import site

from datasette_faces.errors import NotAFacesDatabase
from datasette_faces.store.connection import sqlite
from datasette_faces.store.database import reading

pytestmark = pytest.mark.slow

PAGES = (
    "/file",
    "/file/faces",
    "/file/-/faces",
    "/file/-/faces/people.json",
    "/file/-/faces/photo/1",
)
COMMANDS: tuple[tuple[object, ...], ...] = (
    ("status", "{}"),
    ("status", "{}", "--json"),
    ("doctor", "{}"),
    ("doctor", "{}", "--fix"),
    ("cluster", "{}"),
    ("calibrate", "{}"),
    ("index", "{}"),
    ("index", "{}", "--drop"),
    ("embed", "{}", "--model", "sface"),
    ("people", "{}", "list"),
    ("people", "{}", "history"),
    ("people", "{}", "rebuild"),
    ("people", "{}", "name", "1", "Ada"),
    ("people", "{}", "export", "{}.jsonl"),
    ("ingest", "{}", "{}.jpg"),
    ("search", "{}", "{}.jpg"),
    ("export", "{}", "{}.out"),
    ("audit", "{}.copy", "--against", "{}"),
)
CHANGES, SCHEMA_COOKIE = 27, 43
"""Where the last bytes of both counters are in the header of an SQLite file."""
PLACES = ("after update of", "create index former_faces_photo", "primary key, -- of the decision")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_clustered(tmp_path_factory.mktemp("whole") / "file.db")
    with closing(sqlite().connect(str(path))) as conn:
        conn.execute("pragma journal_mode = delete")
        # Nothing is left of what tables were before
        conn.execute("vacuum")
    return path


def schema_of(file: Path) -> list[tuple[int, int]]:
    """Where the SQL of each thing in the file is: offset and length."""
    data = file.read_bytes()
    with closing(sqlite().connect(str(file))) as conn:
        made = [
            row[0].encode() for row in conn.execute("select sql from sqlite_master where sql != ''")
        ]
    # A page may have an older copy, which is not read
    return [(it.start(), len(sql)) for sql in made for it in re.finditer(re.escape(sql), data)]


def with_byte(file: Path, to: Path, place: int, byte: int) -> Path:
    data = bytearray(file.read_bytes())
    data[place] = byte
    to.write_bytes(data)
    return to


def damaged(file: Path, folder: Path, words: str = PLACES[0]) -> Path:
    """A copy with a byte in its schema that is no text; whoever has it open reads the schema again."""
    data = bytearray(file.read_bytes())
    spans = [
        (start, bytes(data[start : start + length]).lower()) for start, length in schema_of(file)
    ]
    [first, *_] = [sql for _, sql in spans if words.encode() in sql]
    for start, sql in spans:
        if sql == first:
            data[start + sql.index(words.encode()) + 1] = 0xFF
    for counter in CHANGES, SCHEMA_COOKIE:
        data[counter] += 1
    to = folder / "file.db"
    to.write_bytes(data)
    return to


@pytest.mark.parametrize(
    ("command", "words"),
    [*((it, PLACES[0]) for it in COMMANDS), *((COMMANDS[0], it) for it in PLACES[1:])],
    ids=str,
)
def test_every_command_says_that_a_schema_is_damaged_and_the_way_out(
    whole: Path, tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    file = damaged(whole, tmp_path, words)
    before = file.read_bytes()
    Path(f"{file}.jpg").write_bytes(b"no picture")
    if command[0] == "audit":
        shutil.copy(file, f"{file}.copy")
    result = faces(*[part.format(file) for part in command])
    assert result.exit_code == 1
    said = result.stderr.strip().splitlines()[-1]
    assert said.startswith((f"Error: {file} is damaged (", f"Error: {file}.copy is damaged ("))
    assert "malformed database schema" in said
    assert f"datasette faces doctor {file}" in said
    assert "--recover" in said
    assert file.read_bytes() == before


def test_a_type_of_a_column_that_is_no_text_is_damage_too(whole: Path, tmp_path: Path) -> None:
    file = damaged(whole, tmp_path, "text not null unique, -- of the file's bytes")
    with pytest.raises(NotAFacesDatabase), reading(str(file)) as conn:
        conn.execute("pragma table_info(photos)").fetchall()


@pytest.mark.parametrize("words", PLACES)
def test_every_page_says_so_without_the_folder(whole: Path, tmp_path: Path, words: str) -> None:
    file = Path(shutil.copy(whole, tmp_path / "file.db"))
    with site(file) as served:
        assert served.get(PAGES[0]).status_code == 200
        damaged(whole, tmp_path, words)
        for page in PAGES:
            answer = served.get(page)
            assert answer.status_code == 500, page
            assert "file.db is damaged (malformed database schema" in answer.text
            assert "doctor file.db --recover file-recovered.db" in answer.text
            assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("words", PLACES)
def test_a_server_does_not_start_with_it_and_says_why(
    whole: Path, tmp_path: Path, words: str
) -> None:
    from datasette.cli import cli

    file = damaged(whole, tmp_path, words)
    result = click.testing.CliRunner().invoke(cli, ["serve", str(file), "--get", "/"])
    assert result.exit_code == 1
    assert "Error: file.db is damaged (malformed database schema" in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("seed", range(5))
def test_no_byte_of_the_schema_gives_a_traceback(whole: Path, tmp_path: Path, seed: int) -> None:
    rng, spans = random.Random(seed), schema_of(whole)
    for _ in range(10):
        start, length = rng.choice(spans)
        # In the SQL, or around it: numbers of pages, lengths, types
        place = start + rng.randrange(-24, length)
        file = with_byte(whole, tmp_path / "file.db", place, rng.choice((0xFF, 0xFE, 0x80, 0, 65)))
        for command in (("status",), ("doctor",), ("people", "history")):
            result = faces(command[0], file, *command[1:])
            assert result.exception is None or isinstance(result.exception, SystemExit), (
                place,
                command,
                result.exception,
            )
            assert "Traceback" not in result.output


def test_bad_json_in_a_row_is_no_damaged_file(whole: Path) -> None:
    with site(whole) as served:
        answer = served.get("/file/faces.json?_where=json_extract('{',+'$')+is+null")
    assert "malformed JSON" in answer.text
    assert "damaged" not in answer.text
