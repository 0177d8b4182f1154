"""How private a table is: which tables hold what others do, are internal, or are not used in this file."""

from __future__ import annotations

from . import catalogue, gallery
from .connection import Connection
from .file_facts import file_fact
from .vec_tables import PREFIX

VECTORS = "face_embeddings"
"""The table of which those of the indexes are copies."""
OF_VECTORS = ("face_indexes", "face_index_parts", "face_changes", "face_drawings", "lost_faces")
"""Tables that hold parts of embeddings, or tell of them."""
SECRETS = "face_keys"
"""The table that nobody sees."""
AS_PRIVATE = {
    **dict.fromkeys(OF_VECTORS, VECTORS),
    "names_read": "photo_paths",
    "ingest_errors": "photo_paths",
    "said_names": "people",
    "name_proposals": "people",
    "decisions": "people",
    "forgotten_faces": "people",
    "forget_runs": "people",
    SECRETS: SECRETS,
}
"""Tables that tell what another one holds, and which. That one tells of no third: Datasette 1.0 shows to
nobody what is derived from a derived table. So a secret is derived from itself."""
COMPARED = ("face_embeddings", "models")
"""The tables without which nothing is compared; a catalogue without a search has them empty."""


def internal_tables(conn: Connection) -> list[str]:
    """The tables that vec0, the migrations and SQLite keep for themselves."""
    rows = conn.execute("select name, sql from sqlite_master where type = 'table'").fetchall()
    vec0 = [name for name, sql in rows if sql and "using vec0" in sql.lower()]
    names = [name for name, _ in rows]
    if VECTORS not in names:
        return []
    kept = ("_sqlite_migrations", "sqlite_sequence", "names_read", SECRETS)
    own = (*kept, *OF_VECTORS, *(f"{table}_" for table in vec0))
    return [name for name in names if name.startswith(own)]


def may_be_derived(table: str) -> bool:
    """Whether a table of this name tells what another one holds, where there are faces."""
    return table in AS_PRIVATE or table.startswith(PREFIX)


def derived_tables(conn: Connection) -> dict[str, str]:
    """Tables that tell what others hold, each with the one that it is as private as.

    Those of the indexes hold copies of the embeddings, or codes made of them.
    """
    names = [row[0] for row in conn.execute("select name from sqlite_master where type = 'table'")]
    if VECTORS not in names:
        return {}
    return {name: AS_PRIVATE.get(name, VECTORS) for name in names if may_be_derived(name)}


def pointing_to(conn: Connection, table: str) -> list[str]:
    """The tables that have a foreign key to one."""
    query = """
        select distinct m.name from sqlite_master as m, pragma_foreign_key_list(m.name) as f
        where m.type = 'table' and f."table" = ? collate nocase
    """
    return [row[0] for row in conn.execute(query, [table])]


@file_fact
def describe_file(conn: Connection) -> dict[str, bool]:
    """Whether a file of faces is a catalogue, and whether faces can be searched by in it."""
    return {"catalogue": catalogue.is_catalogue(conn), "searched": is_searchable(conn)}


@file_fact
def is_searchable(conn: Connection) -> bool:
    """False for a catalogue without embeddings: a private file gets its own with the next ingest."""
    return not catalogue.is_catalogue(conn) or gallery.has_embeddings(conn)


def unused_tables(conn: Connection) -> list[str]:
    """The tables that a catalogue without a search has for nothing."""
    used = not gallery.is_faces_database(conn) or is_searchable(conn)
    return [] if used else list(COMPARED)
