"""The private side of a catalogue: whose ids are which, what may go out, and the rows of it, one by one.

All on a read-only connection: what is chosen lies in its temporary tables.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ...shapes import ModelInfo
from ...store import models
from ...store.connection import Connection, sqlite
from ...store.gallery import Row
from ...store.people import NOT_A_FACE
from . import public_ids

CATALOGUE_KEY = "catalogue"
ROWS = 64
"""So many rows with pictures are in memory at once."""
QUERY_SECONDS = 60
STEPS_BETWEEN_LOOKS = 100_000
"""Of SQLite's machine: some milliseconds."""

HIDDEN = f"coalesce(people.hidden or people.key = '{NOT_A_FACE}', 0)"
NAMED = "trim(coalesce(people.name, '')) != ''"


def key(conn: Connection) -> bytes | None:
    """The secret that a file's public ids are made with; None before the first export."""
    try:
        row = conn.execute("select key from face_keys where name = ?", [CATALOGUE_KEY]).fetchone()
    except sqlite().OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None  # of an earlier version
    return bytes(row[0]) if row else None


def make_key(conn: Connection) -> None:
    """Keep a new secret, unless there is one."""
    conn.execute(
        "insert or ignore into face_keys(name, key) values (?, ?)",
        [CATALOGUE_KEY, secrets.token_bytes(public_ids.KEY_BYTES)],
    )


def number_all(conn: Connection, secret: bytes) -> None:
    """Give every photo, face and person of the private file its public id, published or not.

    Of all, so that what is left out this time changes no other's id.
    """
    for table in ("photos", "faces", "people"):
        conn.execute(
            f"create temp table public_{table}(id integer primary key, public_id integer unique)"
        )
    # Two of one number are rare; the one that came later takes the next
    days = dict(conn.execute("select id, taken_at from photos where taken_at is not null"))
    known = {it: public_ids.day_of(taken) for it, taken in days.items()}
    photos = conn.execute("select id, sha256 from photos order by id")
    _number(
        conn,
        "photos",
        ((it, public_ids.number(secret, "photo", sha, day=known.get(it))) for it, sha in photos),
    )
    faces = conn.execute(
        "select faces.id, photo_id, sha256, round(x), round(y), round(faces.width), "
        "round(faces.height) from faces join photos on photos.id = photo_id order by faces.id"
    )
    _number(
        conn,
        "faces",
        (
            (it, public_ids.number(secret, "face", *what, day=known.get(photo)))
            for it, photo, *what in faces
        ),
    )
    people = conn.execute("select id, key from people order by id")
    _number(conn, "people", ((it, public_ids.number(secret, "person", key)) for it, key in people))


def _number(conn: Connection, table: str, numbers: Iterable[tuple[int, int]]) -> None:
    taken: set[int] = set()

    def free() -> Iterator[tuple[int, int]]:
        for row_id, number in numbers:
            while number in taken:
                number += 1
            taken.add(number)
            yield row_id, number

    conn.executemany(f"insert into public_{table} values (?, ?)", free())


def choose(
    conn: Connection,
    *,
    people: Iterable[int] | None = None,
    face_ids: Iterable[int] | None = None,
    unnamed: bool = False,
) -> int:
    """Keep in `chosen` the faces that may be published; how many they are.

    Never of anybody hidden. people: only of these. face_ids: only these. unnamed: those of nobody,
    or of people without a name, too.
    """
    conn.execute("create temp table chosen(id integer primary key, photo_id integer)")
    conditions, params = [_may_go_out(unnamed)], {}
    if people is not None:
        conditions.append("person_id in (select value from json_each(:people))")
        params["people"] = json.dumps(sorted(people))
    if face_ids is not None:
        conn.execute("create temp table asked(id integer primary key)")
        conn.executemany("insert or ignore into asked values (?)", ((it,) for it in face_ids))
        conditions.append("faces.id in (select id from asked)")
    conn.execute(
        "insert into chosen select faces.id, photo_id from faces "
        f"left join people on people.id = person_id where {' and '.join(conditions)}",
        params,
    )
    conn.execute("create index temp.chosen_photo on chosen(photo_id)")
    return int(conn.execute("select count(*) from chosen").fetchone()[0])


def _may_go_out(unnamed: bool) -> str:
    return f"not {HIDDEN}" if unnamed else f"not {HIDDEN} and {NAMED}"


def count_publishable(conn: Connection, *, unnamed: bool) -> int:
    """How many faces may be published at all."""
    row = conn.execute(
        "select count(*) from faces left join people on people.id = person_id "
        f"where {_may_go_out(unnamed)}"
    ).fetchone()
    return int(row[0])


def publishable(conn: Connection) -> list[tuple[int, str]]:
    """Those who may be published at all: id, name."""
    rows = conn.execute(f"select id, name from people where {NAMED} and not {HIDDEN} and faces > 0")
    return [(row[0], row[1]) for row in rows]


def asked_faces(conn: Connection, sql: str) -> list[int]:
    """The first column of somebody's query, which must give ids of faces, and can write nothing.

    Raises sqlite's errors, also where it takes over QUERY_SECONDS; ValueError where it gives anything
    else.
    """
    ends = time.monotonic() + QUERY_SECONDS
    conn.execute("pragma query_only = on")
    conn.set_progress_handler(lambda: time.monotonic() > ends, STEPS_BETWEEN_LOOKS)
    try:
        found = [row[0] for row in conn.execute(sql)]
    finally:
        conn.set_progress_handler(None, 0)
        conn.execute("pragma query_only = off")
    if not all(isinstance(it, int) for it in found):
        raise ValueError("the first column holds other values than ids")
    return found


def left_out(conn: Connection) -> dict[str, int]:
    """How many faces are left out, by the reason; after `choose`."""
    row = conn.execute(
        f"""
        select count(*), sum({HIDDEN}), sum(not {HIDDEN} and not {NAMED}) from faces
        left join people on people.id = person_id
        where faces.id not in (select id from chosen)
        """
    ).fetchone()
    every, hidden, unnamed = (it or 0 for it in row)
    return {"hidden": hidden, "unnamed": unnamed, "others": every - hidden - unnamed}


def counts(conn: Connection) -> dict[str, int]:
    """How many photos, faces and people are chosen."""
    row = conn.execute(
        """
        select (select count(distinct photo_id) from chosen), (select count(*) from chosen),
            (select count(distinct person_id) from chosen join faces using (id))
        """
    ).fetchone()
    return dict(zip(("photos", "faces", "people"), row, strict=True))


def people(conn: Connection) -> Iterator[Row]:
    """Those who have a chosen face and are not hidden: public_id, name, key, their cover's public id."""
    return _rows(
        conn,
        f"""
        select public_people.public_id, name, key, public_faces.public_id as cover
        from people join public_people using (id)
        left join public_faces on public_faces.id = cover_face_id
        where people.id in (select person_id from faces join chosen using (id)) and not {HIDDEN}
        order by public_people.public_id
        """,
    )


# Each walks through the public ids in their order: to sort rows with their pictures would take gigabytes
PHOTOS = """
select public_id, photos.id as photo_id, sha256, width, height, taken_at, latitude, longitude, thumbnail
from public_photos cross join photos using (id)
"""
FACES = """
select public_faces.public_id, faces.id, photo_id, public_photos.public_id as public_photo,
    x, y, faces.width, faces.height, landmarks, detection_score, sharpness, photo_taken_at,
    public_people.public_id as public_person, crop
from public_faces cross join faces using (id)
join public_photos on public_photos.id = photo_id
left join public_people on public_people.id = person_id
"""


def photos(conn: Connection, *, pictures: bool = True) -> Iterator[Row]:
    """The photos of chosen faces, in the order of their public ids, with their pictures or without."""
    sql = PHOTOS if pictures else PHOTOS.replace(", thumbnail", "")
    return _rows(
        conn, f"{sql} where +public_photos.id in (select photo_id from chosen) order by public_id"
    )


def faces(conn: Connection, *, pictures: bool = True) -> Iterator[Row]:
    """The chosen faces, in the order of their public ids, with their crops or without."""
    sql = FACES if pictures else FACES.replace(", crop", "")
    return _rows(
        conn,
        f"{sql} where +public_faces.id in (select id from chosen) order by public_faces.public_id",
    )


def one(conn: Connection, table: str, public_id: int) -> Row | None:
    """A photo or a face with its picture, by its public id."""
    sql = {"photos": PHOTOS, "faces": FACES}[table]
    return next(_rows(conn, f"{sql} where public_{table}.public_id = ?", [public_id]), None)


def photos_of(conn: Connection, table: str) -> dict[int, int]:
    """The private id of the photo of each photo or face that is published, by public id."""
    photo = "id" if table == "photos" else "photo_id"
    chosen = "photo_id from chosen" if table == "photos" else "id from chosen"
    rows = conn.execute(
        f"select public_id, {photo} from public_{table} join {table} using (id) "
        f"where id in (select {chosen})"
    )
    return dict(rows.fetchall())


def choose_published(conn: Connection, public_ids_there: Iterable[int]) -> list[int]:
    """Keep in `chosen` the faces of these public ids; those that are there."""
    conn.execute("create temp table chosen(id integer primary key, photo_id integer)")
    conn.execute("create temp table asked(id integer primary key)")
    conn.executemany("insert or ignore into asked values (?)", ((it,) for it in public_ids_there))
    conn.execute(
        "insert into chosen select id, photo_id from faces where id in "
        "(select public_faces.id from asked join public_faces on public_id = asked.id)"
    )
    conn.execute("create index temp.chosen_photo on chosen(photo_id)")
    return [row[0] for row in conn.execute("select id from chosen")]


def vectors(conn: Connection, model_id: str) -> Iterator[tuple[int, bytes]]:
    """The embeddings of chosen faces by a model, by public id."""
    return iter(
        conn.execute(
            """
            select public_id, embedding from public_faces join face_embeddings on face_id = id
            where model_id = ? and id in (select id from chosen) order by public_id
            """,
            [model_id],
        )
    )


def copy_vectors(private: Connection, conn: Connection, among: Iterable[ModelInfo]) -> None:
    """Put the embeddings of chosen faces by these models into another file, with the models."""
    for model in among:
        models.register(conn, model)
        conn.executemany(
            "insert into face_embeddings(face_id, model_id, embedding) values (?, ?, ?)",
            ((face_id, model.id, vector) for face_id, vector in vectors(private, model.id)),
        )


def to_blur(conn: Connection, *, others: bool) -> dict[int, list[tuple[Any, ...]]]:
    """The boxes of faces that must not be made out, by photo: of people who are hidden, or of all others.

    Only of photos that are published; not what somebody said is no face.
    """
    which = "faces.id not in (select id from chosen)" if others else HIDDEN
    rows = conn.execute(
        f"""
        select photo_id, x, y, faces.width, faces.height from faces
        left join people on people.id = person_id
        where photo_id in (select photo_id from chosen) and {which}
            and coalesce(people.key, '') != '{NOT_A_FACE}'
        """
    )
    found: dict[int, list[tuple[Any, ...]]] = {}
    for photo_id, *box in rows:
        found.setdefault(photo_id, []).append(tuple(box))
    return found


def paths(conn: Connection) -> Iterator[tuple[int, str, str | None, str]]:
    """What is published, and where it lies: each photo's id, sha256, taken_at, path."""
    return iter(
        conn.execute(
            "select id, sha256, taken_at, path from photos "
            "where id in (select photo_id from chosen) order by path"
        )
    )


def _rows(conn: Connection, sql: str, params: Iterable[Any] = ()) -> Iterator[Row]:
    cursor = conn.execute(sql, list(params))
    names = [column[0] for column in cursor.description]
    while some := cursor.fetchmany(ROWS):
        for row in some:
            yield dict(zip(names, row, strict=True))
