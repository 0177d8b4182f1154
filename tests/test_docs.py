"""What a user can name is documented, and the documentation's examples run."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_faces import hookspecs
from datasette_faces.app.cli import faces
from datasette_faces.app.datasette import csp, permissions
from datasette_faces.app.sql import functions
from datasette_faces.app.web import upload_limits
from datasette_faces.library.health import checks
from datasette_faces.media.decode import FORMATS_BY_SUFFIX
from datasette_faces.store import embeddings, models
from datasette_faces.store.connection import sqlite
from datasette_faces.store.database import reading

ROOT = Path(__file__).parent.parent
DOCS = {file.stem: file.read_text() for file in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("command", sorted(faces.commands))
def test_every_command_is_documented(command: str) -> None:
    assert f"## datasette faces {command}\n" in DOCS["commands"]
    assert faces.commands[command].help


def test_every_hook_is_documented() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert hooks
    for name in hooks:
        assert any(f"`{name}`" in text for text in DOCS.values()), name
        assert getattr(hookspecs, name).__doc__


def test_every_table_and_column_is_documented(faces_db: Path) -> None:
    with reading(str(faces_db)) as conn:
        tables = [
            row[0]
            for row in conn.execute("select name from sqlite_master where type = 'table'")
            if not row[0].startswith(("sqlite_", "_sqlite", "vec_faces_"))
        ]
        for table in tables:
            section = DOCS["schema"].split(f"\n## {table}\n")[1].split("\n## ")[0]
            columns = [row[1] for row in conn.execute(f"pragma table_info({table})")]
            assert columns
            missing = [column for column in columns if f"`{column}`" not in section]
            assert not missing, f"{table}: {missing}"


def test_every_sql_function_is_documented() -> None:
    with closing(sqlite().connect(":memory:")) as conn:
        known = {row[0] for row in conn.execute("select name from pragma_function_list")}
        functions.register(conn)
        ours = {row[0] for row in conn.execute("select name from pragma_function_list")} - known
    assert ours
    for name in ours:
        assert f"`{name}(" in DOCS["sql"]


@pytest.mark.parametrize("example", re.findall(r"```sql\n(.*?)```", DOCS["sql"], re.S))
def test_the_documentations_queries_run(example: str, faces_db: Path) -> None:
    with reading(str(faces_db)) as conn:
        functions.register(conn)
        conn.execute(example, {"photo_id": 1}).fetchall()


def test_the_documentations_index_proposes_the_nearest_faces(faces_db: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS["indexes"], re.S)
    names: dict[str, Any] = {}
    exec(example, names)
    with reading(str(faces_db)) as conn:
        (model,) = models.every(conn)
        snapshot = names["Flat"]().build(conn, model)
        for ids, vectors in embeddings.everything(conn, model.id):
            found = [int(snapshot.candidates(conn, vector, 1)[0]) for vector in vectors]
            assert found == list(ids)


def test_every_format_is_documented() -> None:
    for name in set(FORMATS_BY_SUFFIX.values()):
        assert name in DOCS["ingest"].upper(), name


def test_links_between_the_documents_lead_somewhere() -> None:
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOCS["security"]))
    source = "".join(file.read_text() for file in (ROOT / "tests").glob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", source))
    assert len(named) > 20
    assert named <= there, named - there
    rows = [line for line in DOCS["security"].splitlines() if line.startswith("| ")]
    assert all("`test_" in row for row in rows[2:])


def test_every_check_of_the_doctor_is_documented() -> None:
    for check in checks.CHECKS:
        assert f"`{check.name}`" in DOCS["doctor"], check.name


def test_every_permission_and_setting_is_documented() -> None:
    for right in permissions.RIGHTS:
        assert f"| `{right}` |" in DOCS["permissions"]
    source = "".join(file.read_text() for file in (ROOT / "datasette_faces").rglob("*.py"))
    settings = set(re.findall(r'setting\([^()]*, "(\w+)"\)', source))
    settings |= {csp.SETTING, upload_limits.PER_MINUTE_SETTING, upload_limits.HEADER_SETTING}
    assert len(settings) > 4
    for name in settings:
        assert any(f"`{name}" in text or f"{name}:" in text for text in DOCS.values()), name
