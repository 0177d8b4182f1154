"""What a marker promises holds: tests that run with one version of Datasette do not depend on it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

HERE = Path(__file__).parent
BY_COMMANDS = (
    "test_clustering",
    "test_clusters",
    "test_edits_of_real_photos",
    "test_embeddings",
    "test_ingest_killed",
    "test_shared_photos",
)
"""They begin with commands, which Datasette only hands on to click: tests of commands run with both."""
DEPENDS = ("datasette", "datasette_faces.app")
FIXTURES = {"chromium", "desk", "served"}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ways_to_datasette(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The files of tests by which a file of tests gets to Datasette, itself among them."""
    found: set[str] = set()
    for module in imported(HERE / f"{name}.py"):
        if module in DEPENDS or module.startswith(tuple(f"{way}." for way in DEPENDS)):
            found.add(name)
        elif module not in seen and (HERE / f"{module}.py").is_file():
            found |= ways_to_datasette(module, seen | {name})
    return found


def once() -> list[str]:
    """The files whose tests have the marker."""
    paths = sorted(HERE.glob("test_*.py"))
    return [path.stem for path in paths if "pytest.mark.once" in path.read_text()]


@pytest.mark.parametrize("name", once())
def test_what_runs_with_one_version_does_not_depend_on_datasette(name: str) -> None:
    assert ways_to_datasette(name) <= ({"running"} if name in BY_COMMANDS else set())
    functions = ast.walk(ast.parse((HERE / f"{name}.py").read_text()))
    arguments = {argument.arg for argument in functions if isinstance(argument, ast.arg)}
    assert not arguments & FIXTURES


@pytest.mark.parametrize("name", ["test_sql", "test_pages", "test_people_command"])
def test_what_depends_on_datasette_is_seen_to(name: str) -> None:
    assert ways_to_datasette(name)


DRIVING = """
import pytest

@pytest.fixture
def chromium(): ...

@pytest.fixture
def page(chromium): ...

def test_drives(page): ...

def test_does_not(): ...
"""


@pytest.mark.slow
def test_what_drives_chromium_gets_its_marker(tmp_path: Path) -> None:
    """By whatever fixture it does so."""
    file = tmp_path / "test_both.py"
    file.write_text(DRIVING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--co",
        "-n0",
        "-p",
        "conftest",
        "-c",
        HERE.parent / "pyproject.toml",
    ]
    command += ["-p", "no:cacheprovider", "-m", "browser", f"--rootdir={tmp_path}", file]
    done = subprocess.run(
        [str(part) for part in command], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert "test_drives" in done.stdout, done.stdout + done.stderr
    assert "test_does_not" not in done.stdout
