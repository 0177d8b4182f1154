"""Face quality has one owner: numbers that say small, blurred, turned or doubtful are defined once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from serving import site

import datasette_faces
from datasette_faces.store import face_quality

PACKAGE = Path(datasette_faces.__file__).parent
TEMPLATES = sorted((PACKAGE / "templates").rglob("*.html"))
DEFINED_ONCE = {
    "MIN_SIZE_PX",
    "MAX_TURN_DEGREES",
    "MIN_SHARPNESS",
    "SHARP",
    "MIN_SCORE",
    "MIN_FACE_PX",
    "MAX_K",
    "STALE_SHARE",
    "INTERRUPTED",
}
MEASURED = r"(?:score|sharpness|size|width|height|yaw|pitch|roll)"
JUDGED = re.compile(rf"\b{MEASURED}\b(?:\|\w+)*\s*[<>]=?\s*(\d[\d.]*)")
SUGGESTED = re.compile(r'placeholder="([\d.]+)"')


@cache
def constants() -> dict[str, list[str]]:
    """The modules in which each constant is defined, by its name."""
    found = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[target.id].append(str(path.relative_to(PACKAGE)))
    return found


def literals(text: str) -> list[str]:
    """The numbers that a template compares a face's measures with, or suggests for them."""
    return [*JUDGED.findall(text), *SUGGESTED.findall(text)]


@pytest.mark.parametrize("name", sorted(DEFINED_ONCE))
def test_a_limit_is_defined_in_one_module(name: str) -> None:
    assert len(constants()[name]) == 1


def test_no_parameter_has_the_smallest_face_as_a_literal() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args]
            defaults = [*zip(reversed(arguments), reversed(node.args.defaults), strict=False)]
            defaults += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            found += [
                f"{path.name}: {node.name}"
                for argument, default in defaults
                if argument.arg == "min_face_px"
                and isinstance(default, ast.Constant)
                and default.value
            ]
    assert found == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_judge_no_face_by_a_number_of_their_own(path: Path) -> None:
    # The sign of an angle says left or right; a style's width is none of a face's
    assert [number for number in literals(path.read_text()) if float(number)] == []


def test_a_number_in_a_template_is_found() -> None:
    assert literals("{% if face.sharpness < 30 %}") == ["30"]
    assert literals('<input name="min_score" placeholder="0.7">') == ["0.7"]


def test_the_docs_say_which_face_is_blurred() -> None:
    schema = (PACKAGE.parent / "docs" / "schema.md").read_text()
    assert f"below about {face_quality.MIN_SHARPNESS:g}: blurred" in schema


@pytest.mark.parametrize(
    ("measures", "faults"),
    [
        ((40, 30, 45, 0.6), ()),
        ((39, 30, 45, 0.6), ("small",)),
        ((40, 29, 46, 0.6), ("blurred", "turned away")),
        ((40, 30, 45, 0.59), ("barely recognizable as a face",)),
        ((None, None, None, None), ()),
    ],
)
def test_faults_begin_beyond_the_limits(
    measures: tuple[float | None, ...], faults: tuple[str, ...]
) -> None:
    assert face_quality.name_faults(*measures) == faults


@pytest.mark.parametrize(
    ("sharpness", "words"),
    [(29.9, "blurred or very small"), (30, "sharp enough"), (150, "sharp"), (None, None)],
)
def test_a_sharpness_has_words(sharpness: float | None, words: str | None) -> None:
    assert face_quality.describe_sharpness(sharpness) == words


def test_pages_show_the_limits_of_the_module(
    faces_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_quality, "MIN_SHARPNESS", 1e9)
    with site(faces_db) as pages:
        assert "blurred or very small" in pages.get("/faces/-/faces/face/1").text
        gallery = pages.get("/faces/-/faces").text
    assert f'placeholder="{face_quality.MIN_SCORE}"' in gallery
