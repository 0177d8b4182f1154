"""The house stays in order: imports go down only, serving stays light, every command has help."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest

import datasette_faces

PACKAGE = Path(datasette_faces.__file__).parent
FLOORS = (
    ("shapes", "errors", "hookspecs"),
    ("algorithms",),
    ("media",),
    ("store",),
    ("models",),
    ("search",),
    ("people",),
    ("library",),
    ("app",),
    ("__init__",),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
HEAVY = (
    "cv2",
    "onnxruntime",
    "onnx",
    "insightface",
    "faiss",
    "pillow_heif",
    "skimage",
    "scipy",
    "pebble",
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def home(path: Path) -> str:
    """The module or package at the top level to which a file belongs."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """What a file imports of this package when it is imported, by its home at the top level."""
    tree = ast.parse(path.read_text())
    package = ["datasette_faces", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in at_import(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        found.update(name.split(".")[1] for name in names if name.startswith("datasette_faces."))
    return found


def at_import(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """Import statements that run on import: not those for type checkers, nor in functions."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += at_import(node)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_floor_and_below(path):
    floor = FLOOR_OF[home(path)]
    above = {name for name in imported(path) if FLOOR_OF.get(name, floor) > floor}
    assert above == set()


def test_every_module_has_its_floor():
    assert {home(path) for path in modules()} <= set(FLOOR_OF)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_holds_in_under_400_lines(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") < 400


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after some code."""
    program = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import datasette_faces",
        "import datasette_faces.app.cli",
        "from datasette.app import Datasette; Datasette()",
        "from datasette_faces.models import registry; registry.models()",
    ],
)
def test_serving_loads_nothing_heavy(code):
    assert loaded_by(code) & set(HEAVY) == set()


def test_the_plugin_itself_loads_neither_pillow_nor_numpy():
    assert (
        loaded_by("import datasette_faces")
        & {"PIL", "numpy", "sqlite_vec", "sqlite_utils", "click"}
        == set()
    )


def commands(group: click.Group, before: str = "faces") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        found.append((f"{before} {name}", command))
        if isinstance(command, click.Group):
            found += commands(command, f"{before} {name}")
    return found


def all_commands() -> list[tuple[str, click.Command]]:
    from datasette_faces.app.cli import faces

    return [("faces", faces), *commands(faces)]


@pytest.mark.parametrize(
    "command", [pytest.param(command, id=name) for name, command in all_commands()]
)
def test_every_command_and_option_has_help(command):
    assert command.help
    options = [item for item in command.params if isinstance(item, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize(
    ("name", "command"), all_commands(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_wrong_usage_is_status_2(name, command):
    from click.testing import CliRunner
    from datasette.cli import cli

    result = CliRunner().invoke(cli, [*name.split(), "--no-such-option"])
    assert result.exit_code == 2
