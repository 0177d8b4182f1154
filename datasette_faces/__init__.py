"""datasette-faces: the people in your photographs, as SQL. Here lie the hook implementations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from markupsafe import Markup

    from .models.base import FaceModel
    from .search.indexes.base import FaceIndex

# Documented import paths of modules that moved
__path__.append(f"{__path__[0]}/app/former_paths")

hookimpl = pluggy.HookimplMarker("datasette")

Links = Callable[[], Awaitable[list[dict[str, str]]]]


@hookimpl
def register_commands(cli: click.Group) -> None:
    from .app.cli import faces

    cli.add_command(faces)


@hookimpl
def register_face_models(register: Callable[[FaceModel], None]) -> None:
    from .models import registry

    registry.register_builtin(register)


@hookimpl
def register_face_indexes(register: Callable[[FaceIndex], None]) -> None:
    from .search.indexes import registry

    registry.register_builtin(register)


@hookimpl
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    from .app.datasette import connections

    connections.prepare(datasette, conn, database)


@hookimpl
def startup(datasette: Any) -> Awaitable[None]:
    from .app.datasette import canned_queries as canned
    from .app.datasette import log_filter, permissions, settings, state

    settings.check_settings(datasette)
    permissions.check_rules(datasette)
    log_filter.keep_keys_out(state.state_of(datasette).upload_cache)
    return canned.add_queries(datasette)


@hookimpl
def canned_queries(datasette: Any, database: str) -> Awaitable[dict[str, dict[str, Any]]]:
    from .app.datasette import canned_queries as canned

    return canned.list_queries(datasette, database)


@hookimpl
def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    if action.startswith("faces-"):
        from .app.datasette import permissions

        return permissions.resources_sql(datasette, actor, action)
    if action == "view-table":
        from .app.datasette import derived_tables, hidden_tables

        # A database that was just added may be asked about before it has a connection
        hidden_tables.hide_everywhere(datasette)
        return derived_tables.deny(datasette, actor)
    if action != "view-query":
        return None
    from .app.datasette import canned_queries as canned

    return canned.deny_queries(datasette, actor)


@hookimpl
def shutdown(datasette: Any) -> None:
    from .app.datasette import state

    state.close(datasette)


@hookimpl
def skip_csrf(datasette: Any, scope: Any) -> bool | None:
    from .app.datasette import compat

    return compat.skips_csrf(datasette, scope) or None


@hookimpl
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    def wrap(app: Any) -> Any:
        from .app.datasette import csp

        return csp.wrap_app(datasette, app)

    return wrap


@hookimpl
def register_actions() -> list[Any]:
    from .app.datasette import permissions

    return permissions.list_actions()


@hookimpl
def permission_allowed(
    datasette: Any, actor: Any, action: str, resource: Any
) -> Awaitable[bool | None] | None:
    # Asked of everything: only canned queries, and derived tables, of ours concern us
    if action == "view-query" and isinstance(resource, tuple):
        from .app.datasette import canned_queries as canned

        return canned.may_view(datasette, actor, *resource)
    if action != "view-table" or not resource:
        return None
    from .app.datasette import derived_tables
    from .store import table_privacy

    if not table_privacy.may_be_derived(resource[1]):
        return None
    return derived_tables.may_view(datasette, actor, *resource)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    from .app.web import routes

    return routes.routes()


@hookimpl
def extra_template_vars(datasette: Any, request: Any) -> dict[str, Any]:
    from .app.web import site

    return site.template_vars(datasette, request)


@hookimpl
def prepare_jinja2_environment(env: Any, datasette: Any) -> None:
    from .app.web import page

    page.add_footer(env, datasette)


# Before plugins that show any picture (datasette-render-images): ours lead to their pages
@hookimpl(tryfirst=True)
def render_cell(
    row: Any, value: Any, column: str, table: str | None, database: str, datasette: Any
) -> Markup | None:
    # Asked of every cell of every table: most are none of ours
    if not isinstance(value, bytes) and column not in ("landmarks", "person_id", "cover_face_id"):
        return None
    from .app.datasette import render_cell as cells

    return cells.render_cell(
        row, value, column, table, f"{datasette.urls.database(database)}/-/faces"
    )


@hookimpl
def register_output_renderer(datasette: Any) -> dict[str, Any]:
    from .app.web import renderer

    return renderer.output_renderer()


@hookimpl
def menu_links(datasette: Any, actor: Any, request: Any) -> Links:
    from .app.web import links

    return lambda: links.menu_links(datasette, request)


@hookimpl
def homepage_actions(datasette: Any, actor: Any, request: Any) -> Links:
    from .app.web import links

    return lambda: links.menu_links(datasette, request)


@hookimpl
def database_actions(datasette: Any, actor: Any, database: str, request: Any) -> Links:
    from .app.web import links

    return lambda: links.database_links(datasette, request, database)


@hookimpl
def table_actions(datasette: Any, actor: Any, database: str, table: str, request: Any) -> Links:
    from .app.web import links

    return lambda: links.table_links(datasette, request, database, table)
