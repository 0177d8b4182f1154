"""datasette-faces: the people in your photographs, as SQL. Here lie the hook implementations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from markupsafe import Markup

    from .indexes.base import FaceIndex
    from .models.base import FaceModel

hookimpl = pluggy.HookimplMarker("datasette")

Links = Callable[[], Awaitable[list[dict[str, str]]]]


@hookimpl
def register_commands(cli: click.Group) -> None:
    from .cli import faces

    cli.add_command(faces)


@hookimpl
def register_face_models(register: Callable[[FaceModel], None]) -> None:
    from .models import registry

    registry.register_builtin(register)


@hookimpl
def register_face_indexes(register: Callable[[FaceIndex], None]) -> None:
    from .indexes import registry

    registry.register_builtin(register)


@hookimpl
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    from . import hiding, sql_errors, sql_functions, state

    known = datasette.databases.get(database)
    path = getattr(known, "path", None)
    kept = state.state_of(datasette)
    sql_functions.prepare(conn, path, kept.shared(database, path))
    # Here and not on starting: databases that are added later come by here as well
    if known is not None:
        sql_errors.tell(known)
        hiding.hide(datasette, known)
        sql_errors.keep_keys_out(known, kept.queries)


@hookimpl
def startup(datasette: Any) -> Awaitable[None]:
    from . import canned, logs, permissions, settings, state

    settings.check(datasette)
    permissions.check(datasette)
    logs.keep_keys_out(state.state_of(datasette).queries)
    return canned.add(datasette)


@hookimpl
def canned_queries(datasette: Any, database: str) -> Awaitable[dict[str, dict[str, Any]]]:
    from . import canned

    return canned.of_database(datasette, database)


@hookimpl
def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    if action.startswith("faces-"):
        from . import permissions

        return permissions.resources_sql(datasette, actor, action)
    if action == "view-table":
        from . import hiding

        # A database that was just added may be asked about before it has a connection
        hiding.hide_everywhere(datasette)
    if action != "view-query":
        return None
    from . import canned

    return canned.denied(datasette, actor)


@hookimpl
def shutdown(datasette: Any) -> None:
    from . import state

    state.close(datasette)


@hookimpl
def skip_csrf(datasette: Any, scope: Any) -> bool | None:
    from . import compat

    return compat.skips_csrf(datasette, scope) or None


@hookimpl
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    def wrap(app: Any) -> Any:
        from . import headers

        return headers.wrapped(datasette, app)

    return wrap


@hookimpl
def register_actions() -> list[Any]:
    from . import permissions

    return permissions.actions()


@hookimpl
def permission_allowed(
    datasette: Any, actor: Any, action: str, resource: Any
) -> Awaitable[bool | None] | None:
    # Asked of everything: only canned queries, and derived tables, of ours concern us
    if action == "view-query" and isinstance(resource, tuple):
        from . import canned

        return canned.may_view(datasette, actor, *resource)
    if action != "view-table" or not resource:
        return None
    from . import permissions
    from .store import derived

    if not derived.may_be_derived(resource[1]):
        return None
    return permissions.of_derived(datasette, actor, *resource)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    from .views import routes

    return routes()


@hookimpl
def extra_template_vars(datasette: Any, request: Any) -> dict[str, Any]:
    from .views import site

    return site.for_templates(datasette, request)


@hookimpl
def prepare_jinja2_environment(env: Any, datasette: Any) -> None:
    from .views import footer

    footer.prepare(env, datasette)


@hookimpl
def render_cell(
    row: Any, value: Any, column: str, table: str | None, database: str, datasette: Any
) -> Markup | None:
    # Asked of every cell of every table: most are none of ours
    if not isinstance(value, bytes) and column not in ("landmarks", "person_id", "cover_face_id"):
        return None
    from . import cells

    return cells.render(row, value, column, table, f"{datasette.urls.database(database)}/-/faces")


@hookimpl
def register_output_renderer(datasette: Any) -> dict[str, Any]:
    from .views import renderer

    return renderer.output_renderer()


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
