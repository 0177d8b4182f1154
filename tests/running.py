"""`datasette faces …` as a user runs it, in this process or in one of its own, and what it left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from toy_model import BLUE, RED, SHY, WHITE, ToyModel, draw
from warm import WarmProcess, begin

from datasette_faces.store.connection import load_vector_extension, sqlite

HERE = Path(__file__).parent


def faces(*arguments: object) -> Result:
    """Run a command in this process; an exception in it is an exception here."""
    from datasette.cli import cli

    result = CliRunner().invoke(cli, ["faces", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ingest(database: Path, *arguments: object, model: str = "toy") -> dict[str, Any]:
    """Ingest with two workers; what `--json` prints."""
    options = ["--model", model, "--workers", 2, "--json"]
    result = faces("ingest", database, *arguments, *options)
    assert result.stderr == "", result.stderr
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["photos"] else 1)
    return dict(report)


def start(
    model: ToyModel, *arguments: object, env: Mapping[str, str] | None = None
) -> WarmProcess | subprocess.Popen[str]:
    """Start a command in a process (and session) of its own, which knows the toy model."""
    script = str(HERE / "toy_datasette.py")
    return begin(script, model.as_argument(), "faces", *arguments, env=env)


def with_a_missed_face(database: Path, photos: Path) -> Path:
    """Ingest two: photo 1 shows red, a shy face that is not seen, white and blue; photo 2 red alone."""
    draw(photos / "0.png", RED, SHY, WHITE, BLUE)
    draw(photos / "1.png", RED, note="1")
    ingest(database, photos)
    return database


def rows(database: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a query gives, read-only."""
    with closing(sqlite().connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as conn:
        load_vector_extension(conn)
        return [tuple(row) for row in conn.execute(query, values).fetchall()]


def errors(database: Path) -> dict[str, str]:
    """Reasons in `ingest_errors` by the names of the files."""
    found = rows(database, "select path, reason from ingest_errors order by path")
    return {os.path.basename(path): reason for path, reason in found}


def paths(database: Path) -> dict[str, int | None]:
    """The photo of each file name; None where that file is missing now."""
    found = rows(database, "select path, photo_id, missing_since from photo_paths")
    return {os.path.basename(path): None if missing else photo for path, photo, missing in found}


def beside(database: Path) -> list[str]:
    """Names of the files that lie beside a database and belong to it."""
    return sorted(item.name for item in database.parent.glob(f"{database.name}?*"))
