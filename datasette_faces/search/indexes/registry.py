"""The answers to `register_face_indexes`: kinds of index by their id. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable

from ...hookspecs import plugin_manager
from .base import FaceIndex
from .pq import Pq
from .vec0 import SqliteVec


def register_builtin(register: Callable[[FaceIndex], None]) -> None:
    """Register the indexes that come with this package, as any plugin registers its own."""
    register(SqliteVec())
    register(Pq())


def indexes() -> list[FaceIndex]:
    """All registered kinds of index; the first to register an id keeps it."""
    known: dict[str, FaceIndex] = {}
    plugin_manager().hook.register_face_indexes(
        register=lambda kind: known.setdefault(kind.id, kind)
    )
    return list(known.values())
