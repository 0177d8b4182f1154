"""The page on the architecture names files that exist, and its picture shows the rooms as they are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
OUTSIDE = ("tests/", "docs/")
"""How paths begin that do not lie in the package."""


def named_paths(text: str) -> set[str]:
    """The files and folders that a page names in backticks."""
    spans = re.findall(r"`([^`\s]+)`", text)
    return {span for span in spans if re.search(r"\.(py|md|html|js|css)$", span) or span[-1] == "/"}


def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_rooms", ROOT / "docs" / "draw_rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(named_paths(PAGE)))
def test_a_path_on_the_page_exists(path: str) -> None:
    start = ROOT if path.startswith(OUTSIDE) else ROOT / "datasette_faces"
    assert (start / path).exists()


def test_paths_are_found_in_the_text() -> None:
    assert named_paths("`a/b.py` and `c/`, not `d`, `e/f`, or g.py") == {"a/b.py", "c/"}
    assert len(named_paths(PAGE)) > 60


def test_every_room_is_on_the_page() -> None:
    assert [room for room in drawing().ROOMS if f"| `{room}/` |" not in PAGE] == []


@pytest.mark.slow
def test_the_picture_shows_the_rooms_as_they_are() -> None:
    rooms = drawing()
    assert rooms.PICTURE.read_text() == rooms.draw(), "run python docs/draw_rooms.py"
