"""Embeddings as arrays: of all faces, of some, of those that filters let through."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..algorithms import vectors
from ..algorithms.spelling import spellings
from ..shapes import FloatArray, IdArray, ModelInfo
from .connection import Connection, sqlite
from .gallery import anyone_hidden

# A file may come from anywhere: text that is no UTF-8 could not even be read
_WHOLE = "typeof(embedding) = 'blob'"

Stored = tuple[int, bytes]
"""A face id and its vector as the file has it."""
LEAST_ID = -(2**63)
MANY = 64
"""From so many faces on it is looked up first how their rows lie."""
CHUNK_ROWS = 16_384
"""So many vectors are read at once: 32 MB of 512 dimensions."""


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Which faces may be found; None does not filter.

    threshold: least similarity. taken_from, taken_to: ISO 8601 days, months or years. folder: a
    photo's folder or one above it. hidden: whether people who are hidden are found, too.
    """

    threshold: float | None = None
    taken_from: str | None = None
    taken_to: str | None = None
    folder: str | None = None
    person_id: int | None = None
    hidden: bool = False

    def without_threshold(self) -> SearchFilters:
        """The same, whatever the similarity."""
        return replace(self, threshold=None)

    def names_some(self) -> bool:
        """Whether a date, a folder or a person is named: few faces may be left."""
        return bool(self.taken_from or self.taken_to or self.folder) or self.person_id is not None


def everything(
    conn: Connection, model_id: str, filters: SearchFilters | None = None
) -> Iterator[tuple[IdArray, FloatArray]]:
    """All embeddings of a model, or those that filters let through, in chunks of CHUNK_ROWS.

    Ids (n,), vectors (n, d), by face id. Those that are broken are left out.
    """
    conditions, params = _conditions(conn, filters) if filters else ([], {})
    joined = "join faces on faces.id = face_id" if filters else ""
    wanted = ["model_id = :model", "face_id > :after", _WHOLE, *conditions]
    sql = (
        f"select face_id, embedding from face_embeddings {joined} "
        f"where {' and '.join(wanted)} order by face_id limit :rows"
    )
    # A statement for each chunk: none holds the file against a writer for as long as this takes
    params |= {"model": model_id, "after": LEAST_ID, "rows": CHUNK_ROWS}
    dimensions = _dimensions(conn, model_id)
    while rows := conn.execute(sql, params).fetchall():
        params["after"] = rows[-1][0]
        yield _arrays(rows, dimensions)


def whole(conn: Connection, model: ModelInfo) -> tuple[IdArray, FloatArray]:
    """All embeddings of a model at once: ids (n,), vectors (n, d), by face id."""
    ids = np.empty(count(conn, model.id), np.int64)
    among = np.empty((len(ids), model.dimensions), np.float32)
    filled = 0
    for chunk_ids, chunk in everything(conn, model.id):
        end = filled + len(chunk_ids)
        ids[filled:end], among[filled:end] = chunk_ids, chunk
        filled = end
    return ids[:filled], among[:filled]


def sample(conn: Connection, model_id: str, faces: int = 4_096) -> FloatArray:
    """The embeddings of about so many faces, evenly drawn from all: (n, d)."""
    step = max(1, count(conn, model_id) // faces)
    rows = conn.execute(
        "select face_id from (select face_id, row_number() over (order by face_id) as place "
        "from face_embeddings where model_id = ?) where place % ? = 0",
        [model_id, step],
    )
    return of_faces(conn, model_id, [row[0] for row in rows])[1]


def of_faces(
    conn: Connection, model_id: str, face_ids: Iterable[int], filters: SearchFilters | None = None
) -> tuple[IdArray, FloatArray]:
    """The embeddings of those of these faces that have one, and that the filters let through.

    Ids (n,), vectors (n, d), in no order. Those that are broken are left out.
    """
    wanted = [int(item) for item in face_ids]
    rows = [] if filters else _side_by_side(conn, model_id, wanted)
    if rows:
        left = set(wanted).difference(row[0] for row in rows)
        wanted = sorted(left)
    if wanted:
        rows += _one_by_one(conn, model_id, wanted, filters)
    return _arrays(rows, _dimensions(conn, model_id))


def _one_by_one(
    conn: Connection, model_id: str, face_ids: list[int], filters: SearchFilters | None
) -> list[Stored]:
    conditions, params = _conditions(conn, filters) if filters else ([], {})
    tables, face = "face_embeddings", "face_id"
    if filters:
        tables = "faces cross join face_embeddings on face_id = faces.id"
        face = "faces.id"
    among = [f"{face} in (select value from json_each(:ids))", _WHOLE, *conditions]
    sql = f"select face_id, embedding from {tables} where model_id = :model and "
    params |= {"model": model_id, "ids": json.dumps(face_ids)}
    rows: list[Stored] = conn.execute(sql + " and ".join(among), params).fetchall()
    return rows


def _side_by_side(conn: Connection, model_id: str, face_ids: list[int]) -> list[Stored]:
    """What is found of many faces where rows lie as far from each other as their faces' ids.

    They do where faces came one after another, all by one model, or by another one later; then the way
    through the index, half of all pages that are read, is not needed. Whatever lies elsewhere is left out.
    """
    if len(face_ids) < MANY:
        return []
    ends = {"model": model_id, "first": min(face_ids), "last": max(face_ids)}
    try:
        shifts = conn.execute(
            "select rowid - face_id from face_embeddings "
            "where model_id = :model and face_id in (:first, :last)",
            ends,
        ).fetchall()
    except sqlite().OperationalError as error:
        if "no such column" not in str(error):
            raise
        return []  # somebody else's table, without row ids
    if len(shifts) < 2 or shifts[0] != shifts[1] or shifts[0][0] is None:
        return []
    rows = conn.execute(
        "select face_id, embedding from face_embeddings "
        # The plus keeps the planner off the index of models
        f"where rowid in (select value from json_each(:rows)) and +model_id = :model and {_WHOLE}",
        {"model": model_id, "rows": json.dumps([it + shifts[0][0] for it in face_ids])},
    )
    among = set(face_ids)
    return [row for row in rows if row[0] in among]


def few(conn: Connection, filters: SearchFilters, at_most: int) -> list[int] | None:
    """All faces that the filters let through, if they are `at_most` so many; else None."""
    if not filters.names_some():
        return None
    conditions, params = _conditions(conn, filters)
    # The limit ends a walk that begins at what the filter names; an IN would go through all of it first
    sql = f"select faces.id from {_driver(filters)} where {' and '.join(conditions)} limit :limit"
    rows = conn.execute(sql, {**params, "limit": at_most + 1}).fetchall()
    return sorted({row[0] for row in rows}) if len(rows) <= at_most else None


def _driver(filters: SearchFilters) -> str:
    """Where a walk through filtered faces begins: at the filter that names the fewest."""
    if filters.person_id is not None:
        return "faces"  # by the index of people
    if filters.folder:
        return (
            f"photo_paths cross join faces on {_in_folder(filters.folder)[0]} "
            "and faces.photo_id = photo_paths.photo_id"
        )
    if filters.taken_from or filters.taken_to:
        return (
            "photos cross join faces on photos.taken_at between :taken_from and :taken_to "
            "and faces.photo_id = photos.id"
        )
    return "faces"


def all_pass(conn: Connection, face_ids: Collection[int], filters: SearchFilters) -> bool:
    """Whether these faces are there, each, and the filters let them through."""
    conditions, params = _conditions(conn, filters)
    wanted = ["id in (select value from json_each(:ids))", *conditions]
    sql = f"select count(*) from faces where {' and '.join(wanted)}"
    passed = conn.execute(sql, {"ids": json.dumps(list(face_ids)), **params}).fetchone()[0]
    return bool(passed == len(face_ids))


def upper_bound(conn: Connection) -> int:
    """How many faces there are at most: at once, without counting."""
    return int(conn.execute("select coalesce(max(id), 0) from faces").fetchone()[0])


def count(conn: Connection, model_id: str) -> int:
    """How many faces have an embedding by a model; among a million this takes a moment."""
    sql = "select count(*) from face_embeddings where model_id = ?"
    return int(conn.execute(sql, [model_id]).fetchone()[0])


def _in_folder(folder: str) -> tuple[str, dict[str, str]]:
    """The condition that a path is in a folder, however its name is composed, and its parameters."""
    conditions: list[str] = []
    params: dict[str, str] = {}
    for number, spelling in enumerate(spellings(folder.rstrip("/"))):
        above, below = (f"{end}{number or ''}" for end in ("above", "below"))
        conditions.append(f"photo_paths.path > :{above} and photo_paths.path < :{below}")
        # "0" is the character after "/"
        params |= {above: f"{spelling}/", below: f"{spelling}0"}
    return f"({' or '.join(conditions)})", params


def _conditions(conn: Connection, filters: SearchFilters) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    params: dict[str, Any] = {}
    if filters.taken_from or filters.taken_to:
        conditions.append("faces.photo_taken_at between :taken_from and :taken_to")
        # Days compare as text: everything on the last day sorts before the next character
        params |= {
            "taken_from": filters.taken_from or "",
            "taken_to": f"{filters.taken_to or ''}~",
        }
    if filters.folder:
        within, ends = _in_folder(filters.folder)
        conditions.append(
            f"exists (select 1 from photo_paths where photo_id = faces.photo_id and {within})"
        )
        params |= ends
    if filters.person_id is not None:
        conditions.append("faces.person_id = :person_id")
        params["person_id"] = filters.person_id
    if not filters.hidden and anyone_hidden(conn):
        conditions.append(
            "coalesce(faces.person_id not in (select id from people where hidden), 1)"
        )
    return conditions, params


def _dimensions(conn: Connection, model_id: str) -> int:
    row = conn.execute("select dimensions from models where id = ?", [model_id]).fetchone()
    return int(row[0]) if row else 0


def _arrays(rows: list[Stored], dimensions: int) -> tuple[IdArray, FloatArray]:
    # A vector of another length is none of this model's; told apart here, as SQLite takes longer to
    whole = [(key, raw) for key, raw in rows if len(raw) == 4 * dimensions]
    ids = np.array([key for key, _ in whole], np.int64)
    if not whole:
        return ids, np.empty((0, 0), np.float32)
    stored = np.frombuffer(b"".join(raw for _, raw in whole), "<f4").reshape(len(whole), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(stored, axis=1)
    # Whoever wrote them: of unit length from here on; what has no direction resembles nothing
    sound = np.isfinite(norms) & (norms > 0)
    if not sound.all():
        ids, stored = ids[sound], stored[sound]
    return ids, vectors.normalise(stored)
