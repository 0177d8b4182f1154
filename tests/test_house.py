"""The house stays in order: imports go down only, serving stays light, every command has help."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
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
BESIDE = {"static", "templates", "__pycache__"}
MOST_LINES, LEAST_LINES = 400, 30
SQL = re.compile(r"\s*(select|with|insert|update|delete|create|drop)\s")
OF_ANOTHER_SIZE = {
    "app/former_paths/calibration.py": "a documented import path, which leads on",
    "app/former_paths/indexes/base.py": "a documented import path, which leads on",
    "app/cli/__init__.py": "the table of commands",
    "app/datasette/upload_options.py": "numbers alone, as media/limits.py has those of an ingest",
    "library/ingest/demo.py": "three paths, and where they are",
    "store/migrations.py": "the history of the schema: no step is ever taken out",
    "search/indexes/registry.py": "the hook's answers, as models/registry.py has the other hook's",
}
"""Modules that are longer or shorter than the house has them, each with its reason."""
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


def modules(package: Path = PACKAGE) -> list[Path]:
    return sorted(package.rglob("*.py"))


def room(path: Path, package: Path = PACKAGE) -> str:
    """The room to which a file belongs, or its own name at the top level."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imported(path: Path, package: Path = PACKAGE) -> set[tuple[str, ...]]:
    """What a file imports of this package when it is imported: the parts of each dotted name."""
    here = ["datasette_faces", *path.relative_to(package).parts[:-1]]
    found: set[tuple[str, ...]] = set()
    for node in imports_in(path.read_text()):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        found |= {
            tuple(name.split(".")[1:]) for name in names if name.startswith("datasette_faces.")
        }
    return found


@cache
def imports_in(source: str) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a source, of which copies of the package hold the same again."""
    return at_import(ast.parse(source))


def at_import(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """Import statements but those for type checkers; those in functions count as well."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            found += at_import(node)
    return found


def imports_upwards(package: Path) -> list[str]:
    """Each import that leads to a higher floor, as "file -> room"."""
    found = []
    for path in modules(package):
        floor = FLOOR_OF[room(path, package)]
        above = {name[0] for name in imported(path, package) if FLOOR_OF.get(name[0], -1) > floor}
        found += [f"{path.relative_to(package)} -> {name}" for name in sorted(above)]
    return found


def circles(package: Path, depth: int) -> list[set[str]]:
    """Rooms (depth 1) or the rooms in them (depth 2) that import each other, in a circle."""
    leads: dict[str, set[str]] = {}
    for path in modules(package):
        place = "/".join(path.relative_to(package).parts[:depth])
        for name in imported(path, package):
            file = package.joinpath(*name[:depth])
            target = "/".join(name[:depth])
            # A name of a module is none of its rooms
            if file.is_dir() and package.joinpath(place).is_dir() and target != place:
                leads.setdefault(place, set()).add(target)
    reached = {place: _reached(place, leads) for place in leads}
    return [
        {place, other}
        for place in leads
        for other in reached[place]
        if place in reached.get(other, ())
    ]


def _reached(place: str, leads: dict[str, set[str]]) -> set[str]:
    found, waiting = set(), [place]
    while waiting:
        new = leads.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_imports_go_down_only():
    assert imports_upwards(PACKAGE) == []


@pytest.mark.parametrize("depth", [1, 2])
def test_no_two_rooms_are_in_a_circle(depth):
    assert circles(PACKAGE, depth) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("store/photos.py", "from ..people import decide"),
        ("algorithms/vectors.py", "from datasette_faces.media import files"),
        ("media/files.py", "def read_later():\n    from ..app.cli import group"),
        ("shapes.py", "import datasette_faces.store.photos"),
    ],
)
def test_an_import_upwards_is_found(tmp_path, file, line):
    package = shutil.copytree(PACKAGE, tmp_path / "datasette_faces")
    with (package / file).open("a") as source:
        source.write(f"\n{line}\n")
    assert [it.partition(" -> ")[0] for it in imports_upwards(package)] == [file]


def test_no_check_of_an_audit_calls_the_code_that_exports():
    """All but the one module that exports once more, and compares."""
    audit = PACKAGE / "library/audit"
    exporting = ("library", "publish")
    calling = [path.stem for path in modules(audit) if exporting in {n[:2] for n in imported(path)}]
    assert calling == ["compare_exports"]
    assert ("library", "audit") not in {
        name[:2] for path in modules(PACKAGE / "library/publish") for name in imported(path)
    }


@pytest.mark.slow
def test_a_circle_is_found(tmp_path):
    package = shutil.copytree(PACKAGE, tmp_path / "datasette_faces")
    with (package / "library/ingest/lock.py").open("a") as source:
        source.write("\nfrom ..health import checks\n")
    with (package / "library/health/checks.py").open("a") as source:
        source.write("\nfrom ..ingest import lock\n")
    assert {"library/ingest", "library/health"} in circles(package, 2)


def test_the_root_holds_the_rooms_and_four_files():
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()} - BESIDE
    assert there == set(FLOOR_OF)
    assert len([path for path in PACKAGE.iterdir() if path.is_dir() and path.name in FLOOR_OF]) == 8


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_holds_in_30_to_400_lines(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    lines = text.count("\n")
    # A room says in one line what it is
    if str(path.relative_to(PACKAGE)) not in OF_ANOTHER_SIZE and not (
        path.name == "__init__.py" and lines == 1
    ):
        assert LEAST_LINES <= lines <= MOST_LINES


@pytest.mark.parametrize("path", modules(PACKAGE / "app" / "web"), ids=lambda path: path.name)
def test_a_view_holds_no_sql(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    assert [it for it in texts if isinstance(it, str) and SQL.match(it)] == []


def test_what_is_of_another_size_is_there():
    assert [name for name in OF_ANOTHER_SIZE if not (PACKAGE / name).is_file()] == []


def walked_again(tree: ast.AST) -> list[str]:
    """Parameters of type Iterable that a function reads twice, as given: an iterator ends at the first."""
    found = []
    functions = (it for it in ast.walk(tree) if isinstance(it, ast.FunctionDef))
    for function in functions:
        nodes = list(ast.walk(function))
        # Whether it is given is no walk; an argument that is made a list first is walked at will
        asked = {node.left for node in nodes if isinstance(node, ast.Compare)}
        names = [it for it in nodes if isinstance(it, ast.Name) and it not in asked]
        again = {it.id for it in names if isinstance(it.ctx, ast.Store)}
        reads = Counter(it.id for it in names if isinstance(it.ctx, ast.Load))
        for argument in (*function.args.args, *function.args.kwonlyargs):
            name, kind = argument.arg, ast.unparse(argument.annotation or ast.Constant(""))
            if "Iterable" in kind and reads[name] > 1 and name not in again:
                found.append(f"{function.name}({name})")
    return found


@pytest.mark.slow
def test_no_function_walks_an_iterable_twice():
    walks_twice = "def f(a: Iterable[int] | None): return set() if a is None else {*a} - {*a}"
    assert walked_again(ast.parse(walks_twice)) == ["f(a)"]
    assert walked_again(ast.parse("def f(a: Iterable[int]):\n    a = [*a]\n    return a + a")) == []
    found = {path: walked_again(ast.parse(path.read_text())) for path in modules()}
    assert {path: names for path, names in found.items() if names} == {}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after some code."""
    program = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.slow
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
