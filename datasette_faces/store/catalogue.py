"""The tables of a catalogue: its own, fewer and narrower than the private ones, and what fills them.

Each name here is on the list of what may be published; nothing else gets into the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from . import held_references, migrations
from .connection import Connection, sqlite
from .face_quality import PICTURE_RANK
from .file_facts import file_fact
from .schema import has_tables, read_schema

FORMAT = "1"
PAGE_BYTES = 32_768
"""Rows with pictures of 3 to 7 kB: on pages of 8 kB a fifth of the file is room between them."""
PLACE_COLUMNS = "latitude real, longitude real"
ORIGINAL_COLUMN = "original_url text"
MODELS = """
create table models (
    id text primary key,
    name text not null,
    dimensions integer not null,
    threshold real not null, -- cosine from which two faces count as one person
    licence text not null,
    weights_sha256 text not null
)
""".strip()
EMBEDDINGS = """
create table face_embeddings (
    face_id integer not null references faces(id),
    model_id text not null references models(id),
    embedding blob not null, -- float32, little-endian, unit length
    primary key (face_id, model_id)
)
""".strip()
PEOPLE = """
create table people (
    id integer primary key,
    name text,
    cover_face_id integer references faces(id),
    hidden integer not null default 0, -- nobody who is hidden is in a catalogue
    key text not null,
    faces integer not null -- in this catalogue
)
""".strip()
FACES = """
create table faces (
    id integer primary key,
    photo_id integer not null references photos(id),
    x integer not null, -- pixels of the full-size picture, upright
    y integer not null,
    width integer not null,
    height integer not null,
    detection_score real not null,
    sharpness integer not null,
    person_id integer references people(id),
    person_source text, -- null in a catalogue
    photo_taken_at text,
    crop blob not null -- jpeg
)
""".strip()
CATALOGUE = """
create table catalogue ( -- what was turned on when this file was made
    name text primary key,
    value text not null
)
""".strip()
INDEXES = (
    "create index photos_taken_at on photos(taken_at)",
    "create index faces_photo on faces(photo_id)",
    "create index faces_person on faces(person_id)",
    "create index faces_gallery "
    "on faces(id, min(width, height), detection_score, sharpness, photo_id, photo_taken_at)",
    "create index people_wall on people(hidden, name is not null, faces desc)",
    "create index face_embeddings_model on face_embeddings(model_id, face_id)",
)
INDEX_TABLES = ("face_indexes", "face_index_parts")
"""The tables of indexes that refer to others."""
PICTURE_COLUMNS = {"photos": "thumbnail", "faces": "crop"}
"""The column of each table that holds its pictures, here as in the private file."""
Notes = Mapping[str, str]
"""The rows of `catalogue`: what was turned on, by name."""


def photos_table(notes: Notes) -> str:
    """`photos` as these options want it."""
    columns = [
        "id integer primary key",
        "path text not null unique, -- a name that is made up; not where the photo lies",
        "width integer not null, -- of the full-size picture, upright",
        "height integer not null,",
        "taken_at text, -- to the day",
        "turned integer not null, -- degrees clockwise for it to be shown upright",
    ]
    if notes.get("gps"):
        columns.append(f"{PLACE_COLUMNS}, -- of the town")
    if notes.get("originals_url"):
        columns.append(f"{ORIGINAL_COLUMN},")
    columns[0] += ","
    body = "\n    ".join([*columns, "thumbnail blob not null -- jpeg, upright"])
    return f"create table photos (\n    {body}\n)"


def embeddings_table(notes: Notes) -> str:
    """`face_embeddings`, without foreign keys where no search uses it: Datasette does not list it then."""
    if notes.get("embeddings"):
        return EMBEDDINGS
    return held_references.without_foreign_keys(EMBEDDINGS)


def statements(notes: Notes) -> list[str]:
    """The tables of a catalogue without its indexes."""
    return [photos_table(notes), PEOPLE, FACES, MODELS, embeddings_table(notes), CATALOGUE]


def prepare_draft(conn: Connection) -> None:
    """Ready a new file in which rows are collected: `vacuum into` makes the catalogue of it."""
    for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = off", "synchronous = off"):
        conn.execute(f"pragma {pragma}")


def make(conn: Connection, notes: Notes) -> None:
    """Make the tables, and say what is turned on."""
    for statement in statements(notes):
        conn.execute(statement)
    conn.executemany("insert into catalogue(name, value) values (?, ?)", sorted(notes.items()))


def make_index_tables(conn: Connection) -> None:
    """What the indexes of embeddings are kept in, as in the private file."""
    for statement in migrations.tables_of_indexes():
        conn.execute(held_references.without_foreign_keys(statement))
    for held in held_references.HELD:
        if held.table in INDEX_TABLES:
            for statement in held_references.triggers(held):
                conn.execute(statement)


def former_schema() -> set[tuple[Any, ...]]:
    """What earlier versions made in another way: with foreign keys, as `schema` gives it."""
    with closing(sqlite().connect(":memory:")) as conn:
        for statement in (EMBEDDINGS, *migrations.tables_of_indexes()):
            conn.execute(statement)
        return schema(conn)


def schema(conn: Connection) -> set[tuple[Any, ...]]:
    """Every table, index, trigger and view as SQLite keeps it: type, name, table, SQL."""
    rows = conn.execute("select type, name, tbl_name, sql from sqlite_master")
    return {tuple(row) for row in rows}


def ordinary(schema: set[tuple[Any, ...]]) -> set[str]:
    """The tables of a schema that hold rows of their own; a virtual one's lie in those behind it."""
    own = {name: sql.lower() for kind, name, _, sql in schema if kind == "table"}
    return {name for name, sql in own.items() if not sql.startswith("create virtual")}


def texts(conn: Connection) -> Iterator[str]:
    """All texts in the cells of a file, those of tables behind virtual ones, too."""
    for name in sorted(ordinary(schema(conn))):
        for row in conn.execute(f"select * from {name}"):
            yield from (value for value in row if isinstance(value, str))


def typed(conn: Connection) -> Iterator[str]:
    """What somebody typed as an option, wherever it stands."""
    yield from (str(row[0]) for row in conn.execute("select value from catalogue"))
    if read_schema(conn, "photos").has_columns("photos", "original_url"):
        urls = conn.execute("select original_url from photos where original_url is not null")
        yield from (str(row[0]) for row in urls)


def forget_moments(conn: Connection, day: str) -> None:
    """Leave the day, of when the indexes were made."""
    conn.execute("update face_indexes set built_at = ?", [day])


def note(conn: Connection, name: str, value: str) -> None:
    """Say one thing more of the catalogue."""
    conn.execute("insert or replace into catalogue(name, value) values (?, ?)", [name, value])


def make_indexes(conn: Connection) -> None:
    """Make the indexes of the ordinary tables, once they are full."""
    for statement in INDEXES:
        conn.execute(statement)


def insert(conn: Connection, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows whose names are columns; all rows have the same."""
    found = list(rows)
    if found:
        names = list(found[0])
        values = ", ".join(f":{name}" for name in names)
        conn.executemany(f"insert into {table}({', '.join(names)}) values ({values})", found)


def count_faces(conn: Connection) -> None:
    """Give each person the number of their faces, and a cover where theirs is not published."""
    conn.execute(
        f"""
        update people set
            faces = (select count(*) from faces where person_id = people.id),
            cover_face_id = coalesce(
                (select id from faces where id = cover_face_id),
                (select id from faces where person_id = people.id
                    order by {PICTURE_RANK} desc, id
                    limit 1)
            )
        """
    )


def notes_of(conn: Connection) -> dict[str, str] | None:
    """What was turned on; None where the file is no catalogue."""
    if not has_tables(conn, "catalogue"):
        return None
    return {str(k): str(v) for k, v in conn.execute("select name, value from catalogue")}


@file_fact
def is_catalogue(conn: Connection) -> bool:
    """Whether a file is a catalogue that was made to be published."""
    return read_schema(conn, "catalogue").columns("catalogue") == ("name", "value")
