"""The hooks' answers: face models and kinds of index by their id. Loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .errors import UnknownModel
from .indexes.base import FaceIndex
from .indexes.pq import Pq
from .indexes.sqlite_vec import SqliteVec
from .models.base import FaceModel
from .models.insightface import PACKS, InsightFacePack, is_pack
from .models.sface import SFace

DEFAULT_MODEL = SFace.id


def register_builtin(register: Callable[[FaceModel], None]) -> None:
    """Register the models that come with this package, as any plugin registers its own."""
    register(SFace())
    for name in PACKS:
        register(InsightFacePack(name))


def models() -> dict[str, FaceModel]:
    """All registered models by id; the first to register an id keeps it."""
    known: dict[str, FaceModel] = {}
    _plugins().hook.register_face_models(register=lambda model: known.setdefault(model.id, model))
    return dict(sorted(known.items(), key=lambda item: (item[0] != DEFAULT_MODEL, item[0])))


def model(name: str) -> FaceModel:
    """The model of that id, or the pack in the folder of that name. Raises UnknownModel."""
    known = models()
    if name in known:
        return known[name]
    if is_pack(name):
        return InsightFacePack("", folder=name)
    if os.path.isdir(name):
        raise UnknownModel(f"The folder {name} holds no pack (*.onnx); name the folder that does")
    raise UnknownModel(
        f"Unknown model {name!r}; known: {', '.join(known)}, or a folder with an InsightFace pack"
    )


def register_builtin_indexes(register: Callable[[FaceIndex], None]) -> None:
    """Register the indexes that come with this package, as any plugin registers its own."""
    register(SqliteVec())
    register(Pq())


def indexes() -> list[FaceIndex]:
    """All registered kinds of index; the first to register an id keeps it."""
    known: dict[str, FaceIndex] = {}
    _plugins().hook.register_face_indexes(register=lambda kind: known.setdefault(kind.id, kind))
    return list(known.values())


def _plugins() -> Any:
    """Datasette's plugin manager, which is told of our hooks on first use."""
    from datasette.plugins import pm

    from . import hookspecs

    if not pm.hook.register_face_models.has_spec():
        pm.add_hookspecs(hookspecs)
    return pm
