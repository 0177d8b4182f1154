"""datasette-faces: the people in your photographs, as SQL. Here lie the hook implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from .models.base import FaceModel

hookimpl = pluggy.HookimplMarker("datasette")


@hookimpl
def register_commands(cli: click.Group) -> None:
    from .cli import faces

    cli.add_command(faces)


@hookimpl
def register_face_models(register: Callable[[FaceModel], None]) -> None:
    from . import registry

    registry.register_builtin(register)
