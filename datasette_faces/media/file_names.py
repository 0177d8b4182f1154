"""File names that are looked up by others: Linux keeps two for é, composed (NFC) and not (NFD).

Paths are stored as they are on the disk; only where one name is looked up by another are both one.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

from ..algorithms.spelling import compose, spellings


def choose_name(wanted: str, names: Iterable[str]) -> str | None:
    """Of names that are equal when folded, the one that is spelt most like the wanted one."""
    ranked = sorted(
        names, key=lambda name: (name != wanted, compose(name) != compose(wanted), name)
    )
    return next(iter(ranked), None)


def find_path(path: str) -> str:
    """A path as its names are composed on the disk; unchanged if it is there, or nothing like it."""
    if path.isascii() or os.path.lexists(path):
        return path
    head, tail = os.path.split(path)
    if head == path:
        return path
    folder = find_path(head) if head else ""
    if not tail:
        return os.path.join(folder, "")
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return path
    same = (name for name in names if compose(name) == compose(tail))
    found = choose_name(tail, same)
    return os.path.join(folder, found) if found else path


def expand_pattern(pattern: str) -> list[str]:
    """The paths that a glob matches, however their names are composed; sorted."""
    found: set[str] = set()
    for spelling in spellings(pattern):
        # The folders before the first wildcard may be composed otherwise than the rest
        start = next((at for at, it in enumerate(spelling) if glob.has_magic(it)), len(spelling))
        head, slash, tail = spelling[:start].rpartition(os.sep)
        fixed = f"{find_path(head)}{slash}" if head else slash
        found.update(glob.glob(f"{fixed}{tail}{spelling[start:]}", recursive=True))
    return sorted(found)
