"""The answers to `register_face_models`: face models by their id. Loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import UnknownModel
from ..hookspecs import plugin_manager
from .base import FaceModel
from .insightface import PACKS, InsightFacePack, is_pack
from .sface import SFace

DEFAULT_MODEL = SFace.id


def register_builtin(register: Callable[[FaceModel], None]) -> None:
    """Register the models that come with this package, as any plugin registers its own."""
    register(SFace())
    for name in PACKS:
        register(InsightFacePack(name))


def models() -> dict[str, FaceModel]:
    """All registered models by id; the first to register an id keeps it."""
    registered: dict[str, FaceModel] = {}
    plugin_manager().hook.register_face_models(
        register=lambda model: registered.setdefault(model.id, model)
    )
    return dict(sorted(registered.items(), key=lambda item: (item[0] != DEFAULT_MODEL, item[0])))


def model(name: str) -> FaceModel:
    """The model of that id, or the pack in the folder of that name. Raises UnknownModel."""
    registered = models()
    if name in registered:
        return registered[name]
    if is_pack(name):
        return InsightFacePack("", folder=name)
    if os.path.isdir(name):
        raise UnknownModel(f"The folder {name} holds no pack (*.onnx); name the folder that does")
    raise UnknownModel(
        f"Unknown model {name!r}; known: {', '.join(registered)}, or a folder with an InsightFace pack"
    )
