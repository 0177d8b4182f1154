"""What the command line says fits what it talks about, and names the mend."""

from __future__ import annotations

import re
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest
from running import faces, ingest
from toy_model import RED, draw

from datasette_faces.app.cli.group import counted
from datasette_faces.store.connection import sqlite

LOOKING = (
    ("status",),
    ("doctor",),
    ("people", "list"),
    ("people", "name", "1", "Ada"),
    ("cluster",),
)
"""Commands of a file that has to be there; its name comes second."""


def said(*arguments: object) -> str:
    """The one line of a command that could do nothing."""
    result = faces(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def database(toy, photos, tmp_path) -> Path:
    """Two photos of one person, who has no name yet."""
    for number in range(2):
        draw(photos / f"{number}.png", RED, note=str(number))
    ingest(tmp_path / "x.db", photos)
    return tmp_path / "x.db"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((1, "face"), "1 face"),
        ((0, "face"), "0 faces"),
        ((2, "face"), "2 faces"),
        ((1, "person", "people"), "1 person"),
        ((1_234, "person", "people"), "1,234 people"),
    ],
)
def test_what_is_counted_fits_its_number(words, told):
    assert counted(*words) == told


@pytest.mark.slow
def test_a_published_catalogue_is_called_one_and_what_looks_at_it_is_named(database, photos):
    assert faces("people", database, "name", "1", "Ada").exit_code == 0
    out = database.with_name("cat.db")
    assert faces("export", database, out).exit_code == 0
    picture = photos / "0.png"
    others = (
        ("search", out, picture),
        ("export", out, database.with_name("again.db")),
        ("ingest", out, photos, "--model", "toy"),
    )
    for command in (*((first, out, *rest) for first, *rest in LOOKING), *others):
        assert (
            f"{out} is a published catalogue; look at it with: datasette -i {out}; "
            f"check it with: datasette faces audit {out} --against FACES.db"
        ) in said(*command)


@pytest.mark.parametrize("content", [b"", b"no database"])
@pytest.mark.parametrize(("command", "rest"), [(first, rest) for first, *rest in LOOKING])
def test_only_what_would_make_a_file_says_to_choose_another_name(tmp_path, content, command, rest):
    path = tmp_path / "mine.db"
    path.write_bytes(content)
    if not content:
        with closing(sqlite().connect(path)) as conn:
            conn.execute("create table catalogue (isbn, title)")
    assert said(command, path, *rest).endswith("; name a file that datasette faces ingest made\n")


ONE_OF_IT = re.compile(
    r"\b1 (faces|people|photos|files|names|decisions|embeddings|crops|sidecars|pairs|were|say|are)\b"
)


@pytest.mark.slow
def test_of_one_the_commands_speak_as_of_one(database, tmp_path, photos):
    (photos / "1.png").unlink()
    one = tmp_path / "one.db"
    picture = photos / "0.png"
    told = [
        faces(*command).output
        for command in (
            ("ingest", one, photos, "--model", "toy"),
            ("cluster", one),
            ("status", one),
            ("index", one),
            ("people", one, "move", "1"),
            ("people", one, "name", "1", "Ada"),
            ("people", one, "history"),
            ("people", one, "reject", "Ada", "1"),
            ("people", one, "undo"),
            ("people", one, "not-a-face", "1"),
            ("people", one, "undo"),
            ("people", one, "rebuild"),
            ("people", one, "import-names"),
            ("people", one, "write-xmp"),
            ("people", one, "export", tmp_path / "log"),
            ("people", one, "import", tmp_path / "log"),
            ("calibrate", one),
            ("embed", one, "--model", "toy"),
            ("search", one, picture, "--crops", tmp_path / "crops", "--model", "toy"),
            ("find", picture, photos, "--model", "toy"),
        )
    ]
    assert not [line for line in told if "Error" in line], told
    assert not [line for output in told for line in output.splitlines() if ONE_OF_IT.search(line)]
    every = "".join(told)
    for words in (
        "1 face found in 1 file (",
        "1 of 1 file\n",
        "0 people in 1 face, 1 face by itself (",
        "1 face by toy, ",
        "Indexing 1 embedding…",
        "1 of them is no face (",
        "1 face is a new person (",
        "1 face is not Ada (",
        "1 crop: ",
        "1 sidecar written, 0 were up to date",
    ):
        assert words in every, (words, every)
    many = faces("ingest", database, photos, "--model", "toy").output
    assert "No new faces in 1 file (" in many


def test_the_plugin_says_which_version_it_is() -> None:
    told = faces("--version").stdout
    assert told == f"datasette-faces, version {metadata.version('datasette-faces')}\n"
