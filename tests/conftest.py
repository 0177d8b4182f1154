"""Fixtures: pictures that packages ship, a database made of them, the toy model, real photographs."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import seen_before
from archive import make_archive
from browser import browser
from desks import Desk
from pictures import shipped
from serving import Site, site
from toy_model import ToyModel

from datasette_faces.models.base import Engine, FaceModel

ROOT = Path(__file__).parent.parent


# What the packages made stays anyway: looking through it again and again takes a twentieth of the time
gc.freeze()
gc.set_threshold(1_000_000, 50, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in a process for each core, unless `-n` says how many; a file alone in one."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    in_a_worker = hasattr(config, "workerinput")
    if everything and not in_a_worker and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = "auto"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives Chromium as `browser`, and what looks at all the real photographs as `slow`."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "chromium" in fixtures:
            item.add_marker("browser")
        if "real_faces" in fixtures:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all processes share which run tests at the same time."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session", autouse=True)
def answers_of_models(common_folder: Path) -> Iterator[None]:
    """A real model looks at the same pixels once, in this process or in any worker of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(seen_before.FOLDER, str(common_folder / "seen before"))
        yield


@pytest.fixture(scope="session", autouse=True)
def warm_workers(answers_of_models: None) -> None:
    """Workers begin at once: the process that they are forked from has imported what they need."""
    from datasette_faces.models import subprocesses

    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 does not hand its own path over
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        subprocesses.make_context("preloaded")


@pytest.fixture(scope="session", autouse=True)
def remember_what_models_saw(answers_of_models: None) -> Iterator[None]:
    """A model looks at each picture once in a session: hundreds of catalogues show the same few."""
    from datasette_faces.library.audit import model_check

    engines: dict[str, Engine] = {}

    def load_once(model: FaceModel) -> Engine:
        key = repr(model) if isinstance(model, ToyModel) else model.id
        if key not in engines:
            engines[key] = seen_before.load(model)
        return engines[key]

    see = lru_cache(maxsize=None)(model_check.see_in_all_orientations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_check, "load", load_once)
        patch.setattr(model_check, "see_in_all_orientations", see)
        yield


@pytest.fixture(scope="session")
def t1_jpg() -> Path:
    """A JPEG of 1280 x 886 pixels with six faces, from insightface's wheel."""
    return shipped("six faces")


@pytest.fixture(scope="session")
def astronaut_png() -> Path:
    """A PNG of 512 x 512 pixels with one face, from scikit-image's wheel."""
    return shipped("one face")


@pytest.fixture(scope="session")
def faces_db(tmp_path_factory: pytest.TempPathFactory, t1_jpg: Path, astronaut_png: Path) -> Path:
    """A database of two photos and seven faces by sface, photo 1 is t1.jpg; read it only."""
    from datasette_faces.library.ingest.run import ingest
    from datasette_faces.models.sface import SFace

    database = tmp_path_factory.mktemp("faces") / "faces.db"
    ingest(str(database), [str(t1_jpg), str(astronaut_png)], SFace(), worker_count=1)
    return database


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and of a second pack, beside the project where it is at hand."""
    folder = ROOT.parent / "shared"
    if (folder / "photos" / "labels.csv").is_file():
        return folder
    reason = "../shared with its photographs is not at hand"
    if os.environ.get("DATASETTE_FACES_REQUIRE_SHARED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of a file; it ends with them, as no loop of asyncio runs beside it."""
    with browser() as launched:
        yield launched


@pytest.fixture
def desk(served: Site) -> Desk:
    """Root at that Datasette."""
    return Desk(served)


@pytest.fixture(scope="session")
def real_faces(shared: Path, common_folder: Path) -> Callable[[str], Path]:
    """The database of all real photographs by a model, beside the report of its ingest; read it only.

    It is made once, for all processes that run tests at the same time.
    """
    from filelock import FileLock
    from running import ingest

    def make(model: str) -> Path:
        database, making = common_folder / f"real-{model}.db", common_folder / f"making-{model}.db"
        source = model if model == "sface" else str(shared / "models" / model)
        with FileLock(f"{database}.lock"):
            if not database.exists():
                report = ingest(making, shared / "photos", model=source)
                database.with_suffix(".json").write_text(json.dumps(report))
                making.rename(database)
        return database

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[ToyModel]:
    """The toy model, known to `--model toy` while the test runs, which logs what it looks at."""
    from datasette.plugins import pm

    model = ToyModel(log=str(tmp_path / "toy.log"))
    plugin = model.as_plugin()
    pm.register(plugin)
    yield model
    pm.unregister(plugin)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of toy pictures with all that is odd in it; read it only."""
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def database(faces_db: Path) -> Path:
    """What `served` shows where a test file has no `database` of its own: two photos and seven faces."""
    return faces_db


@pytest.fixture
def served(database: Path) -> Iterator[Site]:
    """A Datasette that shows `database`."""
    with site(database) as it:
        yield it
