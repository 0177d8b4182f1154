"""The glossary's terms are in use, and the words that it retires are gone from texts and names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "datasette_faces"
GLOSSARY = ROOT / "docs" / "glossary.md"
TERMS_PART, REST = GLOSSARY.read_text().split("\n## Words not to use\n")
RETIRED_PART, NAMES_PART = REST.split("\n## Names not to use\n")
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \|$", re.M)
HEADS = {"term", "---", "instead of"}
TERMS = [cell for cell in ROW.findall(TERMS_PART) if cell not in HEADS]
RETIRED = [
    word for cell in ROW.findall(RETIRED_PART) if cell not in HEADS for word in cell.split(", ")
]
RETIRED_NAMES = re.findall(r"^\| `(\w+)` \|", NAMES_PART, re.M)
SCHEMA_COMMENT = re.compile(r"\bcreate table\b", re.I)
"""The schema's own text stays: migrations are never edited, audits compare it word for word."""


def pages() -> list[Path]:
    """What users read: the documentation, templates and scripts."""
    docs = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "metadata.yml",
    ]
    docs += [path for path in (ROOT / "docs").glob("*.md") if path != GLOSSARY]
    own = [*PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.js")]
    return [*docs, *(ROOT / "templates").rglob("*.html"), *own]


@cache
def modules() -> list[tuple[Path, ast.AST]]:
    """The modules of the package, parsed once."""
    return [(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


@cache
def all_texts() -> list[tuple[str, str]]:
    """Every text of the package that users may read, and where it is."""
    return [(f"{path}:{line}", text) for path, tree in modules() for line, text in texts(tree)]


@cache
def all_names() -> list[tuple[str, str]]:
    """Every name of the package, with its words apart, and where it is."""
    return [
        (f"{path}:{line}", name)
        for path, tree in modules()
        for line, name in [(0, words_of(path.stem)), *names(tree)]
    ]


@cache
def definitions() -> list[tuple[str, str]]:
    """Every function and class of the package, and where it is."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [
        (f"{path}:{node.lineno}", node.name)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a module that users may read: all but docstrings; of commands, those too."""
    internal = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
        is_command = any(".command" in one or ".group" in one for one in decorators)
        if isinstance(body, list) and not is_command:
            internal |= {id(line.value) for line in body if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or id(node) in internal:
            continue
        if " " in text and not SCHEMA_COMMENT.search(text):
            yield node.lineno, text


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The names of functions, classes and parameters, with their words apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, words_of(node.name)
        elif isinstance(node, ast.arg):
            yield 0, words_of(node.arg)


def words_of(name: str) -> str:
    """The words of a name: "AtHand" and "at_hand" are "at hand"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("_", " ").strip().lower()


def has_word(word: str, text: str) -> bool:
    """Whether a text has a word or words by themselves, in capitals or not, over the end of a line too."""
    if word.split()[0].lower() not in text.lower():
        return False
    pattern = r"\s+".join(re.escape(part) for part in word.split())
    return re.search(rf"\b{pattern}\b", text, re.I) is not None


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_in_use(term: str) -> None:
    used = [*pages(), *PACKAGE.rglob("*.py")]
    forms = rf"\b{term.replace(' ', '[ _]').replace('-', '-?')}(s|es|d|ed|ing)?\b"
    assert any(re.search(forms, path.read_text().replace("\n", " "), re.I) for path in used)


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_in_no_page(word: str) -> None:
    found = [path.name for path in pages() if has_word(word, path.read_text())]
    assert found == []


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_in_no_message(word: str) -> None:
    assert [f"{where} {text[:60]}" for where, text in all_texts() if has_word(word, text)] == []


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_in_no_name(word: str) -> None:
    assert [f"{where} {name}" for where, name in all_names() if has_word(word, name)] == []


@pytest.mark.parametrize("name", RETIRED_NAMES)
def test_a_retired_name_names_nothing(name: str) -> None:
    assert [where for where, defined in definitions() if defined == name] == []


def test_words_are_found_by_themselves() -> None:
    assert has_word("at hand", "weights: at\nhand")
    assert not has_word("told", "untold")
    assert not has_word("told", "test_who_is_told_so")
    assert words_of("AtHand") == words_of("at_hand") == "at hand"
    tree = ast.parse('"""A doc."""\ndef f(told):\n    """Told."""\n    return "a b"')
    assert list(texts(tree)) == [(4, "a b")]
    assert [name for _, name in names(tree)] == ["f", "told"]


def test_the_glossary_has_its_tables() -> None:
    assert len(TERMS) > 40
    assert len(set(TERMS)) == len(TERMS)
    assert len(RETIRED) > 8
    assert len(RETIRED_NAMES) > 4
