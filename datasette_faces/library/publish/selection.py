"""The private side of an export: public ids, the choice of faces, and the rows to export.

All on a read-only connection: public ids and chosen faces are in its temporary tables.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ...shapes import ModelInfo
from ...store import models
from ...store.connection import Connection
from ...store.gallery import Row
from ...store.people import NOT_A_FACE
from ...store.schema import has_tables
from ...store.select import Select
from . import public_ids

SECRET_NAME = "catalogue"
BATCH_ROWS = 64
"""Rows with pictures that are in memory at once."""
QUERY_SECONDS = 60
STEPS_BETWEEN_CHECKS = 100_000
"""Of SQLite's virtual machine: some milliseconds."""

IS_HIDDEN = f"coalesce(people.hidden or people.key = '{NOT_A_FACE}', 0)"
IS_NAMED = "trim(coalesce(people.name, '')) != ''"


def read_secret(conn: Connection) -> bytes | None:
    """The secret of a file's public ids; None before its first export."""
    if not has_tables(conn, "face_keys"):
        return None
    row = conn.execute("select key from face_keys where name = ?", [SECRET_NAME]).fetchone()
    return bytes(row[0]) if row else None


def save_new_secret(conn: Connection) -> None:
    """Save a new secret, unless there is one."""
    conn.execute(
        "insert or ignore into face_keys(name, key) values (?, ?)",
        [SECRET_NAME, secrets.token_bytes(public_ids.KEY_BYTES)],
    )


def assign_public_ids(conn: Connection, secret: bytes) -> None:
    """Give every photo, face and person of the private file a public id, published or not.

    The ids are in the temporary tables `public_photos`, `public_faces` and `public_people`. All get
    one, so that the choice of faces changes no id.
    """
    for table in ("photos", "faces", "people"):
        conn.execute(
            f"create temp table public_{table}(id integer primary key, public_id integer unique)"
        )
    # Two of one number are rare; the later row takes the next number
    days = dict(conn.execute("select id, taken_at from photos where taken_at is not null"))
    known = {photo: public_ids.parse_day(taken) for photo, taken in days.items()}
    photos = conn.execute("select id, sha256 from photos order by id")
    _save_ids(
        conn,
        "photos",
        (
            (photo, public_ids.make_public_id(secret, "photo", sha256, day=known.get(photo)))
            for photo, sha256 in photos
        ),
    )
    faces = conn.execute(
        "select faces.id, photo_id, sha256, round(x), round(y), round(faces.width), "
        "round(faces.height) from faces join photos on photos.id = photo_id order by faces.id"
    )
    _save_ids(
        conn,
        "faces",
        (
            (face, public_ids.make_public_id(secret, "face", *place, day=known.get(photo)))
            for face, photo, *place in faces
        ),
    )
    people = conn.execute("select id, key from people order by id")
    numbers = ((person, public_ids.make_public_id(secret, "person", key)) for person, key in people)
    _save_ids(conn, "people", numbers)


def _save_ids(conn: Connection, table: str, numbers: Iterable[tuple[int, int]]) -> None:
    taken: set[int] = set()

    def free() -> Iterator[tuple[int, int]]:
        for row_id, number in numbers:
            while number in taken:
                number += 1
            taken.add(number)
            yield row_id, number

    conn.executemany(f"insert into public_{table} values (?, ?)", free())


def choose_faces(
    conn: Connection,
    *,
    people: Iterable[int] | None = None,
    face_ids: Iterable[int] | None = None,
    unnamed: bool = False,
    missing: bool = False,
) -> int:
    """Put the faces to publish into the temporary table `chosen`, and count them.

    Faces of hidden people are never chosen. people: only faces of these. face_ids: only these.
    unnamed: also faces without a person, or of a person without a name. missing: also of photos
    whose files are missing; the others go into the temporary table `withheld`.
    """
    _make_tables(conn)
    conditions, params = [_is_publishable(unnamed)], {}
    if people is not None:
        conditions.append("person_id in (select value from json_each(:people))")
        params["people"] = json.dumps(sorted(people))
    if face_ids is not None:
        conn.execute("create temp table asked(id integer primary key)")
        conn.executemany(
            "insert or ignore into asked values (?)", ((face_id,) for face_id in face_ids)
        )
        conditions.append("faces.id in (select id from asked)")
    conn.execute(
        "insert into chosen select faces.id, photo_id from faces "
        f"left join people on people.id = person_id where {' and '.join(conditions)}",
        params,
    )
    conn.execute("create index temp.chosen_photo on chosen(photo_id)")
    if not missing:
        _withhold_missing(conn)
    return int(conn.execute("select count(*) from chosen").fetchone()[0])


def _withhold_missing(conn: Connection) -> None:
    """Leave out the chosen faces of photos whose files are missing."""
    conn.execute(
        "insert into withheld select chosen.id, photo_id, 'missing' from chosen "
        "join photos on photos.id = photo_id where missing_since is not null"
    )
    conn.execute("delete from chosen where id in (select id from withheld)")


def _make_tables(conn: Connection) -> None:
    """Make the tables of the faces to publish, of further ones to blur, and of those that are withheld."""
    conn.execute("create temp table chosen(id integer primary key, photo_id integer)")
    conn.execute("create temp table redacted(id integer primary key)")
    conn.execute(
        "create temp table withheld(id integer primary key, photo_id integer, reason text)"
    )


def _is_publishable(unnamed: bool) -> str:
    return f"not {IS_HIDDEN}" if unnamed else f"not {IS_HIDDEN} and {IS_NAMED}"


def count_publishable(conn: Connection, *, unnamed: bool) -> int:
    """How many faces may be published at all."""
    row = conn.execute(
        "select count(*) from faces left join people on people.id = person_id "
        f"where {_is_publishable(unnamed)}"
    ).fetchone()
    return int(row[0])


def list_publishable_people(conn: Connection) -> list[tuple[int, str]]:
    """The people who may be published at all: id, name."""
    rows = conn.execute(
        f"select id, name from people where {IS_NAMED} and not {IS_HIDDEN} and faces > 0"
    )
    return [(row[0], row[1]) for row in rows]


def run_query(conn: Connection, sql: str) -> list[int]:
    """The ids of faces that a user's query gives in its first column; it cannot write.

    Raises sqlite's errors, also after QUERY_SECONDS; ValueError if a value is no integer.
    """
    ends = time.monotonic() + QUERY_SECONDS
    conn.execute("pragma query_only = on")
    conn.set_progress_handler(lambda: time.monotonic() > ends, STEPS_BETWEEN_CHECKS)
    try:
        found = [row[0] for row in conn.execute(sql)]
    finally:
        conn.set_progress_handler(None, 0)
        conn.execute("pragma query_only = off")
    if not all(isinstance(value, int) for value in found):
        raise ValueError("the first column holds other values than ids")
    return found


def count_left_out(conn: Connection) -> dict[str, int]:
    """How many faces are left out, by the reason; after `hidden_faces.redact`.

    Of its reasons, those that there are.
    """
    row = conn.execute(
        f"""
        select count(*), sum({IS_HIDDEN}), sum(not {IS_HIDDEN} and not {IS_NAMED}) from faces
        left join people on people.id = person_id
        where faces.id not in (select id from chosen) and faces.id not in (select id from withheld)
        """
    ).fetchone()
    total, hidden, unnamed = (count or 0 for count in row)
    others = total - hidden - unnamed
    return {"hidden": hidden, "unnamed": unnamed, "others": others, **count_withheld(conn)}


def count_withheld(conn: Connection) -> dict[str, int]:
    """How many faces are withheld that would be chosen otherwise, by the reasons there are."""
    return dict(conn.execute("select reason, count(*) from withheld group by reason").fetchall())


def count_chosen(conn: Connection) -> dict[str, int]:
    """How many photos, faces and people are chosen."""
    row = conn.execute(
        """
        select (select count(distinct photo_id) from chosen), (select count(*) from chosen),
            (select count(distinct person_id) from chosen join faces using (id))
        """
    ).fetchone()
    return dict(zip(("photos", "faces", "people"), row, strict=True))


def read_people(conn: Connection) -> Iterator[Row]:
    """People with a chosen face who are not hidden: public_id, name, key, cover (its public id)."""
    return _rows(
        conn,
        f"""
        select public_people.public_id, name, key, public_faces.public_id as cover
        from people join public_people using (id)
        left join public_faces on public_faces.id = cover_face_id
        where people.id in (select person_id from faces join chosen using (id)) and not {IS_HIDDEN}
        order by public_people.public_id
        """,
    )


# Each walks through the public ids in their order: to sort rows with their pictures would take gigabytes
PHOTOS = Select(
    (
        "public_id",
        "photos.id as photo_id",
        "sha256",
        "width",
        "height",
        "taken_at",
        "turned",
        "latitude",
        "longitude",
        "thumbnail",
    ),
    "public_photos cross join photos using (id)",
)
FACES = Select(
    (
        "public_faces.public_id",
        "faces.id",
        "photo_id",
        "public_photos.public_id as public_photo",
        "x",
        "y",
        "faces.width",
        "faces.height",
        "landmarks",
        "detection_score",
        "sharpness",
        "photo_taken_at",
        "public_people.public_id as public_person",
        "crop",
    ),
    "public_faces cross join faces using (id)\n"
    "join public_photos on public_photos.id = photo_id\n"
    "left join public_people on public_people.id = person_id",
)


def read_photos(conn: Connection, *, pictures: bool = True) -> Iterator[Row]:
    """The photos of chosen faces, in the order of their public ids, with their pictures or without."""
    select = PHOTOS if pictures else PHOTOS.without("thumbnail")
    chosen = select.filtered("+public_photos.id in (select photo_id from chosen)")
    return _rows(conn, replace(chosen, order_by="public_id").sql)


def read_faces(conn: Connection, *, pictures: bool = True) -> Iterator[Row]:
    """The chosen faces, in the order of their public ids, with their crops or without."""
    select = FACES if pictures else FACES.without("crop")
    chosen = select.filtered("+public_faces.id in (select id from chosen)")
    return _rows(conn, replace(chosen, order_by="public_faces.public_id").sql)


def read_row(conn: Connection, table: str, public_id: int) -> Row | None:
    """A photo or a face with its picture, by its public id."""
    select = {"photos": PHOTOS, "faces": FACES}[table].filtered(f"public_{table}.public_id = ?")
    return next(_rows(conn, select.sql, [public_id]), None)


def map_to_photos(conn: Connection, table: str) -> dict[int, int]:
    """By the public id of each published photo or face, the private id of its photo."""
    photo = "id" if table == "photos" else "photo_id"
    chosen = "photo_id from chosen" if table == "photos" else "id from chosen"
    rows = conn.execute(
        f"select public_id, {photo} from public_{table} join {table} using (id) "
        f"where id in (select {chosen})"
    )
    return dict(rows.fetchall())


def choose_public_faces(conn: Connection, public_face_ids: Iterable[int]) -> list[int]:
    """Put the faces of these public ids into the temporary table `chosen`, and return their private ids."""
    _make_tables(conn)
    conn.execute("create temp table asked(id integer primary key)")
    conn.executemany(
        "insert or ignore into asked values (?)", ((face_id,) for face_id in public_face_ids)
    )
    conn.execute(
        "insert into chosen select id, photo_id from faces where id in "
        "(select public_faces.id from asked join public_faces on public_id = asked.id)"
    )
    conn.execute("create index temp.chosen_photo on chosen(photo_id)")
    return [row[0] for row in conn.execute("select id from chosen")]


def read_embeddings(conn: Connection, model_id: str) -> Iterator[tuple[int, bytes]]:
    """The embeddings of chosen faces by a model: public id, bytes."""
    return iter(
        conn.execute(
            """
            select public_id, embedding from public_faces join face_embeddings on face_id = id
            where model_id = ? and id in (select id from chosen) order by public_id
            """,
            [model_id],
        )
    )


def copy_embeddings(private: Connection, conn: Connection, among: Iterable[ModelInfo]) -> None:
    """Copy these models, and the embeddings of chosen faces by them, into another file."""
    for model in among:
        models.register(conn, model)
        conn.executemany(
            "insert into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
            ((face_id, model.id, vector) for face_id, vector in read_embeddings(private, model.id)),
        )


def find_boxes_to_blur(conn: Connection, *, others: bool) -> dict[int, list[tuple[Any, ...]]]:
    """By published photo, the boxes of faces to blur: of hidden people, or of all that are not chosen.

    After `hidden_faces.redact`, whose further faces are among them. What a person marked as no face is not.
    """
    which = f"({IS_HIDDEN} or faces.id in (select id from redacted))"
    if others:
        which = "faces.id not in (select id from chosen)"
    rows = conn.execute(
        f"""
        select photo_id, x, y, faces.width, faces.height from faces
        left join people on people.id = person_id
        where photo_id in (select photo_id from chosen) and {which}
            and coalesce(people.key, '') != '{NOT_A_FACE}'
        """
    )
    found: dict[int, list[tuple[Any, ...]]] = {}
    for photo_id, *box in [*rows, *_forgotten_places(conn)]:
        found.setdefault(photo_id, []).append(tuple(box))
    return found


def _forgotten_places(conn: Connection) -> list[tuple[Any, ...]]:
    """By published photo, the boxes of people who were forgotten: its original shows them still."""
    if not has_tables(conn, "forgotten_faces"):
        return []  # a file of an earlier version
    return list(
        conn.execute(
            "select photos.id, x, y, forgotten_faces.width, forgotten_faces.height from photos "
            "join forgotten_faces using (sha256) where photos.id in (select photo_id from chosen)"
        )
    )


def read_paths(conn: Connection) -> Iterator[tuple[int, str, str | None, str]]:
    """Each published photo's id, sha256, taken_at and path."""
    return iter(
        conn.execute(
            "select id, sha256, taken_at, path from photos "
            "where id in (select photo_id from chosen) order by path"
        )
    )


def _rows(conn: Connection, sql: str, params: Iterable[Any] = ()) -> Iterator[Row]:
    cursor = conn.execute(sql, list(params))
    names = [column[0] for column in cursor.description]
    while batch := cursor.fetchmany(BATCH_ROWS):
        for row in batch:
            yield dict(zip(names, row, strict=True))
