"""datasette-faces: the people in your photographs, as SQL. Here lie the hook implementations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from markupsafe import Markup

    from .models.base import FaceModel

hookimpl = pluggy.HookimplMarker("datasette")

Links = Callable[[], Awaitable[list[dict[str, str]]]]


@hookimpl
def register_commands(cli: click.Group) -> None:
    from .cli import faces

    cli.add_command(faces)


@hookimpl
def register_face_models(register: Callable[[FaceModel], None]) -> None:
    from . import registry

    registry.register_builtin(register)


@hookimpl
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    from . import sql_functions

    known = datasette.databases.get(database)
    sql_functions.prepare(conn, getattr(known, "path", None))


@hookimpl
def startup(datasette: Any) -> None:
    from . import hiding

    hiding.hide_internal_tables(datasette)


@hookimpl
def permission_allowed(
    datasette: Any, actor: Any, action: str, resource: Any
) -> Awaitable[bool | None] | None:
    # Asked of everything: only vec0's tables of ours concern us
    if action != "view-table" or not resource or not resource[1].startswith("vec_faces_"):
        return None
    from . import permissions

    return permissions.of_vectors(datasette, actor, *resource)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    from .views import routes

    return routes()


@hookimpl
def render_cell(
    row: Any, value: Any, column: str, table: str | None, database: str, datasette: Any
) -> Markup | None:
    # Asked of every cell of every table: most are none of ours
    if not isinstance(value, bytes) and column != "landmarks":
        return None
    from . import cells

    return cells.render(row, value, column, table, f"{datasette.urls.database(database)}/-/faces")


@hookimpl
def menu_links(datasette: Any, actor: Any, request: Any) -> Links:
    from .views import links

    return lambda: links.for_menu(datasette, request)


@hookimpl
def homepage_actions(datasette: Any, actor: Any, request: Any) -> Links:
    from .views import links

    return lambda: links.for_menu(datasette, request)


@hookimpl
def database_actions(datasette: Any, actor: Any, database: str, request: Any) -> Links:
    from .views import links

    return lambda: links.for_database(datasette, request, database)


@hookimpl
def table_actions(datasette: Any, actor: Any, database: str, table: str, request: Any) -> Links:
    from .views import links

    return lambda: links.for_table(datasette, request, database, table)
