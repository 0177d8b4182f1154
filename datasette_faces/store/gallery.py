"""What the pages read: the gallery, a photo, a face, their pictures and neighbours.

Queries that a page offers to edit are kept as text with named parameters, so that the page and its
link **View and edit SQL** run the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..media.jpeg_orientation import say_turned
from . import coerce
from .connection import Connection
from .faces import MEASURES
from .file_facts import file_fact
from .schema import has_tables, read_schema
from .select import Select

Row = dict[str, Any]

GALLERY_TABLES = ("photos", "faces", "face_embeddings", "models")
NARROW_PHOTOS = 2_000
"""A date range of fewer photos is gone through by photo, a wider one by face."""

OF_MODEL = "from face_embeddings where model_id = :model"


@dataclass(frozen=True, slots=True)
class Query:
    """SQL and its named parameters. without_pictures: the same SQL without the pictures' columns."""

    sql: str
    params: dict[str, Any]
    without_pictures: str | None = None

    def with_params(self, **params: Any) -> Query:
        """The same query with other values for some parameters."""
        return replace(self, params={**self.params, **params})


@dataclass(frozen=True, slots=True)
class GalleryFilters:
    """What the gallery shows; None does not filter. Sizes in pixels, dates as ISO 8601 days."""

    min_size: float | None = None
    min_score: float | None = None
    min_sharpness: float | None = None
    taken_from: str | None = None
    taken_to: str | None = None
    model: str | None = None
    hidden: bool | None = None
    """Whether faces of people who are hidden are shown, too."""


@file_fact
def is_faces_database(conn: Connection) -> bool:
    """Whether a database holds the tables that the pages read."""
    return has_tables(conn, *GALLERY_TABLES)


@file_fact
def has_embeddings(conn: Connection) -> bool:
    """Whether faces can be compared."""
    return conn.execute("select 1 from face_embeddings limit 1").fetchone() is not None


@file_fact
def totals(conn: Connection) -> Row:
    """How many faces and photos there are."""
    faces = conn.execute("select count(*) from faces").fetchone()[0]
    photos = conn.execute("select count(*) from photos").fetchone()[0]
    return {"faces": faces, "photos": photos}


def embedding(
    conn: Connection, face_id: int, model_id: str | None = None
) -> tuple[str, bytes] | None:
    """A face's vector by a model, or by the first model that has one, and the model's id."""
    query = """
        select model_id, embedding from face_embeddings join models on models.id = model_id
        where face_id = :face and model_id = coalesce(:model, model_id)
        order by models.rowid limit 1
    """
    row = conn.execute(query, {"face": face_id, "model": model_id}).fetchone()
    return (row[0], row[1]) if row else None


def as_query(select: Select, params: dict[str, Any], *, lean: Select | None = None) -> Query:
    """A select as a query; lean: the same without pictures, where more than the crop is left out."""
    return Query(select.sql, params, (lean or select.without("crop")).sql)


def lean(query: Query) -> Query:
    """The same query without the crops: a page has an address for each of them."""
    return Query(query.without_pictures or query.sql, query.params)


# By a look at the face itself, not at the row that is walked by: the gallery's index has no people
_OF_HIDDEN = """exists (
    select 1 from faces as whose join people on people.id = whose.person_id
    where whose.id = faces.id and people.hidden
)"""


@file_fact
def anyone_hidden(conn: Connection) -> bool:
    """Whether there are people to leave out; a file may be without the table."""
    if not has_tables(conn, "people"):
        return False
    # Any number but 0 counts, as it does where they are left out; in this form the index finds it
    sql = "select 1 from people where hidden > 0 or hidden < 0 limit 1"
    return conn.execute(sql).fetchone() is not None


CARD_COLUMNS = (
    "faces.id as face_id",
    "faces.photo_id",
    "photos.path",
    "photos.taken_at",
    "faces.width",
    "faces.height",
    "faces.detection_score",
    "faces.sharpness",
)
"""What a card of a face shows of the face and its photo, but its crop."""


def gallery_query(
    conn: Connection, filters: GalleryFilters, *, after: int | None, limit: int
) -> Query:
    """Faces, the newest first, as a query; `after` is the id of the last one already seen."""
    conditions, params = _conditions(conn, filters)
    if after is not None:
        conditions.append("faces.id < :after")
        params["after"] = after
    elif filters.model is not None:
        conditions.append(f"faces.id <= (select max(face_id) {OF_MODEL})")
    if not filters.hidden and anyone_hidden(conn):
        conditions.append(f"not {_OF_HIDDEN}")
    shown = Select(("faces.id",), "faces", tuple(conditions), "faces.id desc", ":limit")
    select = Select(
        (*CARD_COLUMNS, "faces.crop"),
        "faces join photos on photos.id = faces.photo_id",
        (f"faces.id in {shown.nested}",),
        order_by="faces.id desc",
    )
    return as_query(select, {**params, "limit": limit})


def _conditions(conn: Connection, filters: GalleryFilters) -> tuple[list[str], dict[str, Any]]:
    wanted = (
        # Values that come from a web address are text, and the SQL page binds them so
        ("min(faces.width, faces.height) >= cast(:min_size as real)", "min_size"),
        ("faces.detection_score >= cast(:min_score as real)", "min_score"),
        ("faces.sharpness >= cast(:min_sharpness as real)", "min_sharpness"),
    )
    conditions = [sql for sql, name in wanted if getattr(filters, name) is not None]
    params = {
        name: getattr(filters, name) for _, name in wanted if getattr(filters, name) is not None
    }
    if filters.model is not None:
        conditions.append(
            "exists (select 1 from face_embeddings where face_id = faces.id and model_id = :model)"
        )
        # A model of a few faces spares the walk through all that come before and after them
        conditions.append(f"faces.id >= (select min(face_id) {OF_MODEL})")
        params["model"] = filters.model
    if filters.taken_from or filters.taken_to:
        params["taken_from"] = filters.taken_from or ""
        # Days compare as text: everything on the last day sorts before the next character
        params["taken_to"] = f"{filters.taken_to}~" if filters.taken_to else "~"
        conditions.append(_taken_between(conn, params))
    return conditions, params


def _taken_between(conn: Connection, params: dict[str, Any]) -> str:
    between = "taken_at between :taken_from and :taken_to"
    few = conn.execute(
        f"select count(*) from (select 1 from photos where {between} limit {NARROW_PHOTOS})", params
    ).fetchone()[0]
    if few < NARROW_PHOTOS:
        return f"faces.photo_id in (select id from photos where {between})"
    return f"faces.photo_{between}"


def rows(conn: Connection, query: Query) -> list[Row]:
    """A query's rows as dictionaries, whose values are of the kinds that their columns have."""
    cursor = conn.execute(query.sql, query.params)
    names = [column[0] for column in cursor.description]
    return coerce.read([dict(zip(names, row, strict=True)) for row in cursor], names)


PHOTO_COLUMNS = (
    "id",
    "path",
    "sha256",
    "bytes",
    "modified_at",
    "width",
    "height",
    "format",
    "taken_at",
    "camera",
    "latitude",
    "longitude",
    "ingested_at",
    "missing_since",
    "damage",
    "turned",
    "original_url",
)
"""A catalogue has some of them, and its own `original_url`."""
FACE_COLUMNS = ("landmarks", "yaw", "pitch", "roll")
"""What a catalogue has not."""


def _there(conn: Connection, table: str, columns: tuple[str, ...]) -> list[str]:
    """Those of these columns that a table has."""
    known = read_schema(conn, table).columns(table)
    return [name for name in columns if name in known]


def photo(conn: Connection, photo_id: int) -> Row | None:
    """A photo's facts, without its picture."""
    columns = _there(conn, "photos", PHOTO_COLUMNS)
    query = f"select {', '.join(columns)} from photos where id = :id"
    found = _first(conn, Query(query, {"id": photo_id}))
    return found and {**dict.fromkeys(PHOTO_COLUMNS), **found}


def photo_paths(conn: Connection, photo_id: int) -> list[Row]:
    """All places of a photo's content, those that are gone too."""
    if not has_tables(conn, "photo_paths"):
        return []  # a catalogue
    query = "select path, missing_since from photo_paths where photo_id = :id order by path"
    return rows(conn, Query(query, {"id": photo_id}))


def missing_since(conn: Connection, photo_ids: Iterable[int]) -> dict[int, str]:
    """Since when the files of these photos are missing, by the id of each that is."""
    if not _there(conn, "photos", ("missing_since",)):
        return {}  # a catalogue
    found = conn.execute(
        "select id, missing_since from photos where missing_since is not null "
        "and id in (select value from json_each(?))",
        [json.dumps(list(photo_ids))],
    )
    return {photo_id: coerce.text(since) or "" for photo_id, since in found}


def photos_beside(conn: Connection, photo_id: int) -> tuple[int | None, int | None]:
    """The photos before and after one."""
    before = conn.execute("select max(id) from photos where id < ?", [photo_id]).fetchone()[0]
    after = conn.execute("select min(id) from photos where id > ?", [photo_id]).fetchone()[0]
    return before, after


_MEASURES = (*MEASURES, "person_id")
FACES_OF_PHOTO = Select(
    ("id as face_id", *_MEASURES, "faces.crop"), "faces", ("photo_id = :photo_id",), "x"
)
FACE = Select(("id as face_id", "photo_id", *_MEASURES), "faces", ("id = :id",))


def photo_query(conn: Connection, photo_id: int, *, hidden: bool = False) -> Query:
    """The faces of a photo from left to right, as a query; of people who are hidden if asked for."""
    select = _existing_columns(conn, FACES_OF_PHOTO)
    if not hidden and anyone_hidden(conn):
        select = select.filtered(f"not {_OF_HIDDEN}")
    return as_query(select, {"photo_id": photo_id})


def faces_of_photo(conn: Connection, photo_id: int, *, hidden: bool = False) -> list[Row]:
    """The faces of a photo from left to right, without their crops."""
    found = rows(conn, lean(photo_query(conn, photo_id, hidden=hidden)))
    return [_with_landmarks(face) for face in found]


def _existing_columns(conn: Connection, select: Select) -> Select:
    """A select from faces without the columns that a catalogue lacks."""
    lacking = set(FACE_COLUMNS).difference(_there(conn, "faces", FACE_COLUMNS))
    return select.without(*lacking)


def _with_landmarks(face: Row) -> Row:
    """A face with its landmarks read; one of a catalogue has none."""
    return {**face, "landmarks": _points(face["landmarks"])} if "landmarks" in face else face


def _points(landmarks: str) -> Any:
    """The landmarks of a face; None where another program has put there what is none."""
    try:
        return json.loads(landmarks, parse_float=_finite, parse_constant=_finite)
    except (TypeError, ValueError, RecursionError):
        return None


def _finite(written: str) -> float:
    """Raises ValueError for NaN and infinity, which are no JSON."""
    value = coerce.number(float(written))
    if value is None:
        raise ValueError(written)
    return value


def face(conn: Connection, face_id: int) -> Row | None:
    """A face's facts, and the models by which it has a vector of their length."""
    found = _first(conn, as_query(_existing_columns(conn, FACE), {"id": face_id}))
    if found is None:
        return None
    models = conn.execute(
        "select model_id from face_embeddings join models on models.id = model_id "
        "where face_id = ? and typeof(embedding) = 'blob' and length(embedding) = 4 * dimensions "
        "order by models.rowid",
        [face_id],
    )
    return {
        **_with_landmarks(found),
        "models": [row[0] for row in models],
    }


MATCH_COLUMNS = (
    "faces.id as face_id",
    "json_extract(knn.value, '$.similarity') as similarity",
    "face_probability(json_extract(knn.value, '$.similarity'), :model) as probability",
    "faces.photo_id",
    "photos.path",
    "photos.taken_at",
)
MATCH_JOINS = """
join faces on faces.id = json_extract(knn.value, '$.face_id')
join photos on photos.id = faces.photo_id
""".strip()
"""What a result of `faces_knn` shows, and where it comes from: after `json_each(faces_knn(…)) as knn`."""
NEAREST = Select(
    (*MATCH_COLUMNS, "faces.crop"),
    "json_each(faces_knn(face_embedding(:face_id, :model), :k, :model)) as knn\n" + MATCH_JOINS,
    ("faces.id != cast(:face_id as integer)",),
    order_by="similarity desc, face_id",
)


def nearest_query(model_id: str, face_id: int, k: int) -> Query:
    """The k faces most like a face, as a query."""
    # One more than is shown: the face finds itself
    return as_query(NEAREST, {"face_id": face_id, "model": model_id, "k": k + 1})


def crop(conn: Connection, face_id: int) -> bytes | None:
    """A face's crop, JPEG."""
    return _blob(conn, "select crop from faces where id = ?", face_id)


def thumbnail(conn: Connection, photo_id: int) -> bytes | None:
    """A photo's thumbnail, JPEG, as it is stored."""
    return _blob(conn, "select thumbnail from photos where id = ?", photo_id)


def upright_thumbnail(conn: Connection, photo_id: int) -> bytes | None:
    """A photo's thumbnail, JPEG, which says how it is to be turned."""
    found, photo_row = thumbnail(conn, photo_id), photo(conn, photo_id)
    if found is None or photo_row is None:
        return None
    return say_turned(found, photo_row["turned"] or 0)


def original_paths(conn: Connection, photo_id: int) -> list[Row]:
    """Where a photo's file should be, what it should hold, and how it was when it was last read."""
    query = """
        select photo_paths.path, path_bytes, photos.sha256, photos.bytes, format, modified_ns
        from photo_paths join photos on photos.id = photo_id
        where photo_id = :id and photo_paths.missing_since is null
            and typeof(photo_paths.path) = 'text' and typeof(photos.bytes) = 'integer'
            and typeof(path_bytes) in ('null', 'blob')
        order by photo_paths.path != photos.path, photo_paths.path
    """
    return rows(conn, Query(query, {"id": photo_id}))


def _blob(conn: Connection, query: str, row_id: int) -> bytes | None:
    row = conn.execute(query, [row_id]).fetchone()
    return row[0] if row and isinstance(row[0], bytes) else None


def _first(conn: Connection, query: Query) -> Row | None:
    return next(iter(rows(conn, query)), None)
