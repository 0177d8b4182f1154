"""What `datasette package` builds: the container has what a catalogue needs, and nothing heavy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from datasette.utils import make_dockerfile
from lean_server import EXTRA, HOUSE, SETTINGS
from make_catalogue import make_catalogue
from serving import QUERY, site

from datasette_faces.app.datasette.compat import V1

pytestmark = pytest.mark.slow

OPTIONS = "--setting allow_download off --setting default_allow_sql off"


@pytest.fixture(scope="module")
def catalogue(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_catalogue(tmp_path_factory.mktemp("published") / "catalogue.db", faces_db)


def dockerfile() -> list[str]:
    """The lines that the commands of docs/publishing.md have Datasette write."""
    written = make_dockerfile(
        ["catalogue.db"],
        "metadata.yml",
        OPTIONS,
        None,
        "templates",
        None,
        [],
        ["datasette-faces"],
        False,
        None,
        "a secret",
    )
    return [line for line in written.splitlines() if line.strip()]


def test_the_dockerfile_installs_the_package_without_its_extra_and_opens_the_file_as_it_is() -> (
    None
):
    lines = dockerfile()
    assert lines[0].startswith("FROM python:3.")
    assert "RUN pip install -U datasette datasette-faces" in lines
    assert not any("apt-get" in line for line in lines)
    [serves] = [line for line in lines if line.startswith("CMD")]
    for part in (
        "-i catalogue.db",
        "--metadata metadata.yml",
        "--template-dir templates/",
        OPTIONS,
    ):
        assert part in serves
    version = re.search(r"python:(3\.\d+)", lines[0])
    declared = re.search(r'requires-python = ">=(3\.\d+)"', (HOUSE / "pyproject.toml").read_text())
    assert version
    assert declared
    assert [int(it) for it in version[1].split(".")] >= [int(it) for it in declared[1].split(".")]


def test_the_package_itself_requires_nothing_heavy() -> None:
    core = [it for it in requires("datasette-faces") or [] if "extra ==" not in it]
    names = {re.split(r"[^A-Za-z0-9_-]", it)[0].lower().replace("-", "_") for it in core}
    assert not names & {"onnxruntime", "opencv_python", "opencv_python_headless", "insightface"}


def test_its_steps_end_with_a_site_that_searches(catalogue: Path) -> None:
    script = Path(__file__).parent / "lean_server.py"
    done = subprocess.run(
        [sys.executable, str(script), str(catalogue), "--extra-may-be-there"],
        capture_output=True,
        text=True,
        env=without_extra(catalogue.parent),
    )
    assert done.returncode == 0, done.stderr
    assert "search from a face and SQL work" in done.stdout


def test_a_configuration_directory_serves_the_same_site(catalogue: Path, tmp_path: Path) -> None:
    """The layout of docs/publishing.md."""
    shutil.copy(catalogue, tmp_path / "catalogue.db")
    shutil.copy(HOUSE / "metadata.yml", tmp_path)
    shutil.copytree(HOUSE / "templates", tmp_path / "templates")
    inspect = ["inspect", "catalogue.db", "--inspect-file", "inspect-data.json"]
    subprocess.run([sys.executable, "-m", "datasette", *inspect], cwd=tmp_path, check=True)
    name, told = ("datasette.yml", {"settings": SETTINGS}) if V1 else ("settings.json", SETTINGS)
    (tmp_path / name).write_text(json.dumps(told))
    with site(config_dir=tmp_path) as served:
        assert not served.datasette.get_database("catalogue").is_mutable
        assert "faces-wall" in served.get("/").text
        assert "takedown@example.org" in served.get("/about").text
        assert served.get("/catalogue/-/faces/people").status_code == 200
        query = f"/catalogue{QUERY}.json?sql=select+1"
        for path in ("/catalogue.db", query, "/catalogue/-/faces/history"):
            assert served.get(path).status_code in (403, 404), path


def without_extra(folder: Path) -> dict[str, str]:
    """An environment in which the extra's packages cannot be imported."""
    # None there: neither imported nor found
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({EXTRA!r}))\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}
