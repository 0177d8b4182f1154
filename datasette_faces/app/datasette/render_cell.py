"""Cells of Datasette's own tables: pictures, vectors and landmarks as a person reads them. No SQL."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from ...algorithms import vectors

JPEG_MAGIC = b"\xff\xd8\xff"
INLINE_BYTES = 100_000
"""A picture without an address of its own goes into the page up to this size."""
SHOWN_DIMENSIONS = 4
PICTURES = {
    "crop": ("faces", "face_id", 80),
    "other_crop": ("faces", "other_face_id", 80),  # of pairs of faces
    "thumbnail": ("photos", "photo_id", 160),
}
"""Columns that hold pictures: their table, the column that says of whom, and how wide to show them."""
VECTOR_COLUMNS = {"embedding", "vector", "query"}


PEOPLE_COLUMNS = ("person_id", "cover_face_id")


def render_cell(
    row: Any, value: Any, column: str, table: str | None, faces_url: str
) -> Markup | None:
    """A cell's HTML where it holds one of our pictures or vectors; None leaves it to Datasette."""
    if column == "landmarks" and table == "faces" and isinstance(value, str):
        return Markup('<span title="{}">5 points</span>').format(value)
    if column in PEOPLE_COLUMNS:
        return _person(row, value, column, table, faces_url)
    if not isinstance(value, bytes):
        return None
    if column in PICTURES and value.startswith(JPEG_MAGIC):
        return _picture(row, value, column, table, faces_url)
    if column in VECTOR_COLUMNS or column.endswith("_embedding") or "face_embedding(" in column:
        return _vector(value)
    return None


def _picture(
    row: Any, value: bytes, column: str, table: str | None, faces_url: str
) -> Markup | None:
    own_table, id_column, width_px = PICTURES[column]
    page = {"faces": "face", "photos": "photo"}[own_table]
    row_id = _id_of(row, "id" if table == own_table else id_column)
    if row_id is not None and table == own_table and _is_ours(row, own_table):
        source = f"{faces_url}/{column}/{row_id}.jpg"
    elif len(value) <= INLINE_BYTES:
        source = "data:image/jpeg;base64," + base64.b64encode(value).decode()
    else:
        return None
    name = f"{page.capitalize()} {row_id}" if row_id is not None else page.capitalize()
    picture = Markup('<img src="{}" width="{}" loading="lazy" alt="{}">').format(
        source, width_px, name
    )
    if row_id is None:
        return picture
    return Markup('<a href="{}/{}/{}">{}</a>').format(faces_url, page, row_id, picture)


def _person(row: Any, value: Any, column: str, table: str | None, faces_url: str) -> Markup | None:
    """A cover as a picture, and in queries about faces a person as a link to their page.

    In the table `faces` Datasette itself links to the person's row, by name.
    """
    names = row.keys()
    number = value["value"] if isinstance(value, dict) else value
    if not isinstance(number, int):
        return None
    if column == "person_id":
        if table is not None or "face_id" not in names:
            return None
        return Markup('<a href="{}/people/{}">{}</a>').format(faces_url, number, number)
    own_id = _id_of(row, "id" if table == "people" else "person_id")
    if own_id is None or not {"hidden", "name"} <= set(names):
        return None
    picture = (
        '<a href="{}/people/{}"><img src="{}/crop/{}.jpg" width="80" loading="lazy" alt="{}"></a>'
    )
    name = _text_of(row, "name") or f"Person {own_id}"
    return Markup(picture).format(faces_url, own_id, faces_url, number, name)


def _text_of(row: Any, name: str) -> str | None:
    value = row[name]
    return value if isinstance(value, str) else None


def _is_ours(row: Any, own_table: str) -> bool:
    """Whether a row is of our schema, not of another database's table of the same name."""
    names = set(row.keys())
    return {"faces": "detection_score", "photos": "taken_at"}[own_table] in names


def _id_of(row: Any, name: str) -> int | None:
    """The id of the face or photo that a row is about, as far as its columns say."""
    try:
        value = row[name]
    except (KeyError, IndexError):
        return None
    value = value["value"] if isinstance(value, dict) else value
    return value if isinstance(value, int) else None


def _vector(value: bytes) -> Markup | None:
    try:
        vector = vectors.decode(value)
    except ValueError:
        return None
    first = ", ".join(f"{number:.3f}" for number in vector[:SHOWN_DIMENSIONS])
    more = ", …" if vector.size > SHOWN_DIMENSIONS else ""
    length = float(np.linalg.norm(vector))
    return Markup('<span title="length {}">[{}{}] <small>{}-d</small></span>').format(
        f"{length:.3f}", escape(first), more, vector.size
    )
