"""What a sound file has, as SQL that finds what is not so, and what mends it. Nothing here is decided."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from typing import Any

from ..shapes import Box, ModelInfo
from . import decisions, held_references
from .connection import Connection, load_vector_extension, sqlite
from .database import MIGRATION_SET
from .decisions import FaceRef
from .schema import read_schema

CHUNK_ROWS = 4_096

MENDS = {
    ("face_embeddings", "faces"): "delete from face_embeddings "
    "where face_id not in (select id from faces)",
    ("analyses", "photos"): "delete from analyses where photo_id not in (select id from photos)",
    ("analyses", "models"): "delete from analyses where model_id not in (select id from models)",
    ("photo_paths", "photos"): "delete from photo_paths "
    "where photo_id not in (select id from photos)",
    ("photo_contents", "photos"): "delete from photo_contents "
    "where photo_id not in (select id from photos)",
    ("former_pictures", "photos"): "delete from former_pictures "
    "where photo_id not in (select id from photos)",
    ("former_faces", "photos"): "delete from former_faces "
    "where photo_id not in (select id from photos)",
    ("former_faces", "faces"): "update former_faces set face_id = null "
    "where face_id not in (select id from faces)",
    ("face_clusters", "faces"): "delete from face_clusters "
    "where face_id not in (select id from faces)",
    ("calibrations", "models"): "delete from calibrations "
    "where model_id not in (select id from models)",
    ("likely_pairs", "models"): "delete from likely_pairs "
    "where model_id not in (select id from models)",
    ("face_indexes", "models"): "delete from face_indexes "
    "where model_id not in (select id from models)",
    ("face_index_parts", "face_indexes"): "delete from face_index_parts "
    "where (model_id, index_id) not in (select model_id, index_id from face_indexes)",
    ("faces", "people"): "update faces set person_id = null, person_source = null "
    "where person_id not in (select id from people)",
    ("people", "faces"): "update people set cover_face_id = null "
    "where cover_face_id not in (select id from faces)",
    ("face_drawings", "faces"): "update face_drawings set face_id = null "
    "where face_id not in (select id from faces)",
}
"""What points to nothing, by table and by what it points to, and what mends it: rows that a machine
made go; rows of people, faces and drawings stay and point to nothing any more."""

ROWS = {
    "boxes": """
        select faces.id from faces join photos on photos.id = photo_id
        where (typeof(x) = 'real' and typeof(y) = 'real'
            and faces.width > 0 and faces.height > 0
            and typeof(faces.width) = 'real' and typeof(faces.height) = 'real'
            and x + faces.width / 2 between 0 and photos.width
            and y + faces.height / 2 between 0 and photos.height) is not 1
    """,
    "landmarks": """
        select id from faces where case when json_valid(landmarks)
            then json_array_length(landmarks) end is not 5
    """,
    "places": """
        select id from photos
        where not exists (select 1 from photo_paths where photo_id = photos.id)
    """,
    "dates": """
        select faces.id from faces join photos on photos.id = photo_id
        where faces.photo_taken_at is not photos.taken_at
    """,
    "counts": """
        select id from people
        where faces != (select count(*) from faces where person_id = people.id)
    """,
    "covers": """
        select people.id from people join faces on faces.id = cover_face_id
        where faces.person_id is not people.id
    """,
    "keys": """
        select id from people where key is null
            or key in (select key from people group by key having count(*) > 1)
    """,
}
"""Queries for the ids of rows that are not as they should be, by the check that finds them."""


def find_missing_schema(conn: Connection) -> dict[str, dict[str, str]]:
    """What migrations make and the file has not: for table, index and trigger, by name, the SQL.

    Nothing of a file of an earlier version: it gets the rest when it is written.
    """
    there = {row[0] for row in conn.execute("select name from sqlite_master")}
    made, applied = _made_by_migrations()
    sql = "select name from _sqlite_migrations where migration_set = ?"
    found: dict[str, dict[str, str]] = {"table": {}, "index": {}, "trigger": {}}
    if applied - {row[0] for row in conn.execute(sql, [MIGRATION_SET])}:
        return found
    for kind, name, table, statement in made:
        # What belongs to a table that is not there cannot be made without it
        if name not in there and (kind == "table" or table in there):
            found[kind][name] = statement
    return found


def missing_tables(conn: Connection) -> list[str]:
    """The tables that a new file has and this one has not, as it is older or was changed."""
    tables = known_tables()
    return sorted(tables - read_schema(conn, *tables).tables.keys())


def known_tables() -> set[str]:
    """The tables that a new file has."""
    return {name for kind, name, *_ in _made_by_migrations()[0] if kind == "table"}


@cache
def _made_by_migrations() -> tuple[list[tuple[str, str, str, str]], set[str]]:
    """Each kind, name, table and SQL of a new file's schema; the names of all migrations."""
    from sqlite_utils import Database

    from .migrations import migrations

    with closing(sqlite().connect(":memory:", isolation_level=None)) as conn:
        load_vector_extension(conn)
        migrations.apply(Database(conn, execute_plugins=False))
        made = conn.execute(
            "select type, name, tbl_name, sql from sqlite_master where sql is not null "
            "and name not like 'sqlite~_%' escape '~'"
        ).fetchall()
        applied = conn.execute("select name from _sqlite_migrations").fetchall()
    return [tuple(row) for row in made], {row[0] for row in applied}


def create_missing(conn: Connection, statements: Iterable[str]) -> None:
    """Make what is lacking of indexes and triggers."""
    for statement in statements:
        conn.execute(statement)


def broken_pages(conn: Connection) -> list[str]:
    """What SQLite finds wrong with the file itself."""
    try:
        found = [str(row[0]) for row in conn.execute("pragma integrity_check(20)")]
    except sqlite().DatabaseError as error:
        return [str(error)]
    return [line for line in found if line != "ok"]


def count_broken_references(conn: Connection) -> dict[tuple[str, str], int]:
    """How many rows point to what is not there, by table and by what they point to."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in conn.execute("pragma foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    # A file of an earlier version has these as foreign keys: counted once
    for held in held_references.HELD:
        if (held.table, held.parent) not in counts and (
            count := held_references.count_dangling(conn, held)
        ):
            counts[held.table, held.parent] = count
    return counts


def wrong_rows(conn: Connection, name: str) -> list[int]:
    """The ids that one of ROWS finds."""
    return sorted(row[0] for row in conn.execute(ROWS[name]))


def without_person(conn: Connection) -> list[int]:
    """The faces of a person who is not there."""
    found = conn.execute("select id from faces where person_id not in (select id from people)")
    return [row[0] for row in found]


def vectors_of(conn: Connection, model: ModelInfo) -> Iterator[list[tuple[int, Any]]]:
    """Every face and what is stored as its vector, in pieces of CHUNK_ROWS."""
    found = conn.execute(
        "select face_id, embedding from face_embeddings where model_id = ? order by face_id",
        [model.id],
    )
    while piece := found.fetchmany(CHUNK_ROWS):
        yield piece


def indexed_vectors(conn: Connection, table: str) -> Iterator[list[tuple[int, bytes]]]:
    """The same of a table of vec0."""
    found = conn.execute(f"select face_id, embedding from [{table}] order by face_id")
    while piece := found.fetchmany(CHUNK_ROWS):
        yield piece


def vector(conn: Connection, face_id: int, model: ModelInfo) -> bytes:
    """What is stored as a face's vector."""
    found = conn.execute(
        "select embedding from face_embeddings where face_id = ? and model_id = ?",
        [face_id, model.id],
    )
    return bytes(found.fetchone()[0])


def set_vector(conn: Connection, face_id: int, model: ModelInfo, embedding: bytes) -> None:
    """Put a vector in another's place."""
    conn.execute(
        "update face_embeddings set embedding = ? where face_id = ? and model_id = ?",
        [embedding, face_id, model.id],
    )


def remove_vectors(conn: Connection, model: ModelInfo, face_ids: list[int]) -> None:
    """Remove vectors that no search can use, and have the model look at their photos again."""
    among = {"model": model.id, "ids": json.dumps(face_ids)}
    conn.execute(
        "delete from analyses where model_id = :model and photo_id in (select photo_id from faces "
        "where id in (select value from json_each(:ids)))",
        among,
    )
    conn.execute(
        "delete from face_embeddings where model_id = :model "
        "and face_id in (select value from json_each(:ids))",
        among,
    )


def drop_table(conn: Connection, name: str) -> None:
    """Remove a table that nothing knows of."""
    conn.execute(f'drop table "{name}"')


def without_cover(conn: Connection) -> list[int]:
    """The people whose cover is a face that is not there."""
    found = conn.execute("select id from people where cover_face_id not in (select id from faces)")
    return [row[0] for row in found]


def set_cover(conn: Connection, person_id: int, face_id: int | None) -> None:
    """Have a person shown by this face."""
    conn.execute("update people set cover_face_id = ? where id = ?", [face_id, person_id])


def set_dates(conn: Connection) -> None:
    """Give all faces the dates of their photos."""
    conn.execute(
        "update faces set photo_taken_at = (select taken_at from photos where id = photo_id) "
        "where photo_taken_at is not (select taken_at from photos where id = photo_id)"
    )


def count_faces(conn: Connection) -> None:
    """Count everybody's faces."""
    conn.execute(
        "update people set faces = (select count(*) from faces where person_id = people.id)"
    )


def pictures(conn: Connection, table: str, column: str) -> Iterator[list[tuple[int, Any]]]:
    """Every id and picture of a table, in pieces; None where it is no bytes."""
    found = conn.execute(
        f"select id, case typeof({column}) when 'blob' then {column} end from {table} order by id"
    )
    while piece := found.fetchmany(CHUNK_ROWS // 8):
        yield piece


def set_thumbnail(conn: Connection, photo_id: int, jpeg: bytes) -> None:
    """Put another thumbnail in a photo's place for it."""
    conn.execute("update photos set thumbnail = ? where id = ?", [jpeg, photo_id])


def faces_of_edited_photos(conn: Connection) -> Iterator[tuple[int, int, Any, Any, Any, Any, Any]]:
    """The faces of photos that held something else before, maybe with another picture.

    Face's id, photo's id, landmarks, crop, thumbnail, width and height of the photo.
    """
    for (photo_id,) in conn.execute(
        "select distinct photo_id from photo_contents where (sha256, photo_id) not in "
        "(select sha256, photo_id from former_pictures) order by photo_id"
    ).fetchall():
        yield from conn.execute(
            "select faces.id, photo_id, landmarks, crop, thumbnail, photos.width, photos.height "
            "from faces join photos on photos.id = photo_id where photo_id = ? order by faces.id",
            [photo_id],
        )


def set_crop(conn: Connection, face_id: int, jpeg: bytes) -> None:
    """Put another crop in a face's place for it."""
    conn.execute("update faces set crop = ? where id = ?", [jpeg, face_id])


def photos_of(conn: Connection, face_ids: list[int]) -> list[int]:
    """The photos in which these faces are."""
    found = conn.execute(
        "select distinct photo_id from faces where id in (select value from json_each(?)) "
        "order by photo_id",
        [json.dumps(face_ids)],
    )
    return [row[0] for row in found]


def measured_faces(conn: Connection, photo_id: int) -> list[tuple[int, Box, Any]]:
    """The faces of a photo whose box has a size, with what is stored as their landmarks."""
    found = conn.execute(
        "select id, x, y, width, height, landmarks from faces where photo_id = ? "
        "and typeof(width) = 'real' and typeof(height) = 'real' and width > 0 and height > 0 "
        "order by id",
        [photo_id],
    )
    return [(face_id, Box(*box), landmarks) for face_id, *box, landmarks in found]


def places(conn: Connection, photo_id: int) -> list[tuple[str, bytes | None, int, str]]:
    """Where a photo's file is, or was: path, path_bytes, bytes and sha256 of what it should hold."""
    found = conn.execute(
        "select photo_paths.path, path_bytes, photos.bytes, photos.sha256 "
        "from photos join photo_paths on photo_id = photos.id where photos.id = ? "
        "order by photo_paths.missing_since is not null, photo_paths.path != photos.path, "
        "photo_paths.path",
        [photo_id],
    )
    return [tuple(row) for row in found]


def present_paths(conn: Connection) -> list[tuple[str, bytes | None]]:
    """Where files should be, as far as they are not known to be missing: path, path_bytes."""
    found = conn.execute("select path, path_bytes from photo_paths where missing_since is null")
    return [(path, raw) for path, raw in found]


def lost_decisions(conn: Connection) -> list[int]:
    """The decisions of which a face is nowhere in the file now."""
    found = conn.execute(
        "select decision_id, role, sha256, x, y, width, height from decision_faces"
    ).fetchall()
    refs = [FaceRef(role, sha256, Box(*box)) for _, role, sha256, *box in found]
    faces = decisions.found_again(conn, refs)
    lost = {row[0] for row, face in zip(found, faces, strict=True) if face is None}
    return sorted(lost)
