"""What the command line says fits what it talks about, and names the mend."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from running import faces, ingest
from toy_model import RED, draw

from datasette_faces.cli.group import counted
from datasette_faces.connections import sqlite

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
