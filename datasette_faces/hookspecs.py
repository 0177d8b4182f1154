"""The hooks that other plugins can answer, to bring face models and indexes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from .models.base import FaceModel
    from .search.indexes.base import FaceIndex

hookspec = HookspecMarker("datasette")


def plugin_manager() -> Any:
    """Datasette's plugin manager, which is told of these hooks on first use."""
    from datasette.plugins import pm

    if not pm.hook.register_face_models.has_spec():
        pm.add_hookspecs(sys.modules[__name__])
    return pm


@hookspec
def register_face_models(register: Callable[[FaceModel], None]) -> None:
    """Register face models by calling register(model), once for each."""


@hookspec
def register_face_indexes(register: Callable[[FaceIndex], None]) -> None:
    """Register kinds of index by calling register(index), once for each."""
