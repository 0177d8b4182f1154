"""The output renderer `.faces`: the rows of any query or table that name faces, as a gallery."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from datasette.utils.asgi import Forbidden, NotFound, Response

from ...algorithms.calibration import Curve
from ...errors import SearchError
from ...search import probability
from ...store import catalogue, coerce, faces, gallery
from ...store.gallery import Row
from ..datasette import permissions
from ..datasette.compat import V1
from .page import BadRequest, Page
from .people_of_faces import people_of, sees_people

FORMAT = "faces"
MAX_FACTS = 4
MAX_FACT_CHARACTERS = 40
_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*", re.ASCII)
"""A time; a caption gives it to the minute."""
SHOWN_AS_PICTURES = {"face_id", "similarity", "path", "crop", "thumbnail"}
SHOWN_AS_PICTURES |= {"probability", "other_face_id", "other_path", "other_crop"}
NO_FACTS = {"photo_id", "other_photo_id", "landmarks", "x", "y", "compared_down_to"}
"""Columns that say nothing under a picture."""
FACTS_OF_FACES = ("person_id", "photo_taken_at")
"""Of the table `faces`, most columns say where a face lies: these say something of it."""


@dataclass(frozen=True, slots=True)
class RendererData:
    """What Datasette gives to a renderer: the rows of a table's page or of a query."""

    table: str | None
    columns: Sequence[str]
    rows: Sequence[Any]
    next_url: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of faces, by their ids: the file of the photo, or the person.

    unnamed: the text for a face without a name; None where the texts are no names.
    """

    texts: dict[int, str]
    unnamed: str | None = None

    def describe(self, face_id: int, path: Any) -> dict[str, str]:
        """A face's caption and alternative text. path: that of its row, if there is one."""
        if self.unnamed is not None:
            name = self.texts[face_id]
            return {"caption": name, "alt": name or self.unnamed}
        caption = os.path.basename(path if isinstance(path, str) else self.texts[face_id])
        return {"caption": caption, "alt": f"Face {face_id}{f' in {caption}' if caption else ''}"}


def output_renderer() -> dict[str, Any]:
    """The renderer, as `register_output_renderer` takes it."""
    render = _render_v1 if V1 else _render_v065
    return {"extension": FORMAT, "render": render, "can_render": _can_render}


# Datasette calls these three by the names of their parameters


async def _can_render(
    datasette: Any, request: Any, database: str, table: str | None, columns: Sequence[str]
) -> bool:
    if _id_column(columns, table) is None:
        return False
    if not await datasette.get_database(database).execute_fn(gallery.is_faces_database):
        return False
    return await permissions.may_view(datasette, request, database, "faces")


async def _render_v065(
    datasette: Any, request: Any, database: str, table: Any, columns: Any, rows: Any, data: Row
) -> Response:
    shown = RendererData(table, columns, rows, data.get("next_url"), data.get("error"))
    return await _gallery(Page(datasette, request, database, format="html"), shown)


async def _render_v1(
    datasette: Any,
    request: Any,
    database: str,
    table: Any,
    columns: Any,
    rows: Any,
    data: Row,
    error: str | None,
) -> Response:
    shown = RendererData(table, columns, rows, data.get("next_url"), error)
    return await _gallery(Page(datasette, request, database, format="html"), shown)


async def _gallery(page: Page, data: RendererData) -> Response:
    """Raises Forbidden, NotFound, and BadRequest for a query that failed or names no faces."""
    column = await _checked(page, data)
    rows = [_as_dict(data.columns, row) for row in data.rows]
    named = [_face_id(row.get(name)) for row in rows for name in (column, "other_face_id")]
    paths = await page.read(
        faces.paths_of_faces, [face_id for face_id in named if face_id is not None]
    )
    shown = [row for row in rows if _face_id(row.get(column)) in paths]
    limit = page.datasette.setting("max_returned_rows")
    return await page.html(
        "results.html",
        {
            "faces": await _tiles(page, data, shown, column, paths),
            "left_out": len(rows) - len(shown),
            "cut_at": limit if data.table is None and len(rows) >= limit else None,
            "table": data.table,
            "paired": "other_face_id" in data.columns,
            "back_url": _address(page, ""),
            "next_url": data.next_url and _address(page, f".{FORMAT}", urlsplit(data.next_url)[3]),
            "json_url": _address(page, ".json"),
        },
    )


async def _tiles(
    page: Page, data: RendererData, rows: list[Row], column: str, paths: dict[int, str]
) -> list[Row]:
    """What the template shows of each row: its faces, its facts, how alike they are."""
    captions = await _captions(page, paths)
    curve = await page.read(probability.only_curve) if "similarity" in data.columns else None
    return [
        {**_tile(row, column, captions, _facts(page, data, row)), **_likeness(row, curve)}
        for row in rows
    ]


async def _checked(page: Page, data: RendererData) -> str:
    """The column that names the faces; checks the actor's rights and the query first."""
    if not await permissions.may_view(page.datasette, page.request, page.database, "faces"):
        raise Forbidden(f"You may not see the faces of {page.database}: its table faces is private")
    if not await page.datasette.get_database(page.database).execute_fn(gallery.is_faces_database):
        raise NotFound(f"{page.database} holds no faces to show")
    if data.error:
        raise BadRequest(data.error)
    column = _id_column(data.columns, data.table)
    if column is None:
        has = ", ".join(data.columns) or "none"
        raise BadRequest(
            "A gallery needs a column face_id: select faces.id as face_id. "
            f"The columns here: {has[:200]}"
        )
    return column


def _id_column(columns: Sequence[str], table: str | None) -> str | None:
    if "face_id" in columns:
        return "face_id"
    return "id" if table == "faces" and "id" in columns else None


def _as_dict(columns: Sequence[str], row: Any) -> Row:
    """A row as a dictionary: the first column of each name."""
    plain: Row = {}
    for name, value in zip(columns, row, strict=False):
        plain.setdefault(name, value)
    return plain


def _face_id(value: Any) -> int | None:
    # A table's page may give a foreign key with the label of what it points to
    value = value.get("value") if isinstance(value, dict) else value
    value = coerce.parse_id(value) if isinstance(value, str) else value
    return value if isinstance(value, int) and 0 <= value <= coerce.MAX_ID else None


async def _captions(page: Page, paths: dict[int, str]) -> Captions:
    """The file that each face is in; in a catalogue, where its name is made up, who it is."""
    if await page.read(catalogue.is_catalogue):
        people = await people_of(page, paths)
        named = {face_id: (people.get(face_id) or {}).get("name") or "" for face_id in paths}
        unnamed = "A face without a name" if await sees_people(page) else "A face"
        return Captions(named, unnamed)
    if not await permissions.may_view(page.datasette, page.request, page.database, "photos"):
        return Captions(dict.fromkeys(paths, ""))
    return Captions(paths)


def _tile(row: Row, column: str, captions: Captions, facts: list[tuple[str, str]]) -> Row:
    """What the template shows of a row: one face, or a pair."""
    named = ((_face_id(row[column]), "path"), (_face_id(row.get("other_face_id")), "other_path"))
    faces = [
        {"face_id": face_id, **captions.describe(face_id, row.get(path))}
        for face_id, path in named
        if face_id is not None and face_id in captions.texts
    ]
    shown = {face["caption"] for face in faces}
    # In a catalogue a person's number says nothing beside the name
    redundant = {"person_id", "person"} if captions.unnamed is not None else set()
    kept = [(name, text) for name, text in facts if text not in shown and name not in redundant]
    return {"faces": faces, "facts": kept}


def _likeness(row: Row, curve: Curve | None) -> Row:
    """A row's similarity, and the chance that it means one person: its own, or by a curve."""
    similarity, chance = row.get("similarity"), row.get("probability")
    if not isinstance(similarity, int | float):
        return {"similarity": None, "probability": None}
    if chance is None and curve is not None:
        with suppress(SearchError):
            chance = probability.estimate(curve, similarity)
    return {"similarity": similarity, "probability": chance}


def _facts(page: Page, data: RendererData, row: Row) -> list[tuple[str, str]]:
    """The other columns of a row that fit under a picture: their names and values."""
    names: Sequence[str] = list(row)
    if data.table == "faces":
        sorted_by = page.request.args.get("_sort") or page.request.args.get("_sort_desc")
        names = [name for name in row if name in (*FACTS_OF_FACES, sorted_by) and name != "id"]
    shown = [(name, row[name]) for name in names if name not in SHOWN_AS_PICTURES | NO_FACTS]
    facts = [(_title(name, value), _short(value)) for name, value in shown]
    return [(name, text) for name, text in facts if text is not None][:MAX_FACTS]


def _title(name: str, value: Any) -> str:
    # A label stands in place of a number: a person's name, of person_id
    return name.removesuffix("_id") if isinstance(value, dict) else name


def _short(value: Any) -> str | None:
    """A value as a person reads it, where it is short."""
    if isinstance(value, dict):
        value = value.get("label")
    if isinstance(value, float):
        text = f"{value:.3g}" if abs(value) >= 1e9 else f"{value:.3f}".rstrip("0").rstrip(".")
    else:
        text = "" if value is None or isinstance(value, bytes) else str(value).strip()
        text = _TIME.sub(r"\1 \2", text)
    return text if 0 < len(text) <= MAX_FACT_CHARACTERS else None


def _address(page: Page, ending: str, query: str | None = None) -> str:
    """The address of the same rows in another form; `ending` is "" or ".json"."""
    request = page.request
    # Behind a proxy the request's own path may or may not begin with base_url
    path = (request.scope.get("route_path") or request.path).removesuffix(f".{FORMAT}")
    pairs = parse_qsl(request.query_string if query is None else query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if ending == f".{FORMAT}" or name != "_labels"]
    address = str(page.datasette.urls.path(f"{path}{ending}"))
    return f"{address}?{urlencode(kept)}" if kept else address
