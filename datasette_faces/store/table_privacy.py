"""How private a table is: what each carries of others, which are internal, or not used in this file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from . import catalogue, gallery
from .connection import Connection
from .file_facts import file_fact
from .vec_tables import PREFIX

VECTORS = "face_embeddings"
"""The table of which those of the indexes are copies."""
OF_INDEXES = ("face_indexes", "face_index_parts", "face_changes")
"""Tables in which indexes keep what they make of the embeddings."""
SECRETS = "face_keys"
"""The table that no one sees."""
BASES = ("photos", "faces", "face_embeddings", "people")
"""The tables that others carry something of."""
CARRIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "photo_paths": {"photos": ("path", "bytes", "sha256", "missing_since")},
    "photo_contents": {"photos": ("sha256",)},
    "former_pictures": {"photos": ("sha256", "picture")},
    "former_faces": {"faces": ("x", "y", "width", "height"), "photos": ("sha256",)},
    "lost_faces": {VECTORS: ("embeddings",), "faces": ("face_id",), "people": ("person_key",)},
    "face_clusters": {"faces": ("face_id", "person_key"), "people": ("person_key",)},
    "face_indexes": {VECTORS: ("faces", "sha256")},
    "face_index_parts": {VECTORS: ("data",)},
    "face_changes": {VECTORS: ("face_id",)},
    "decisions": {"people": ("person_key", "other_key", "value")},
    "decision_faces": {
        "decisions": ("decision_id", "role"),
        "faces": ("x", "y", "width", "height"),
        "photos": ("sha256",),
    },
    "face_drawings": {
        "decisions": ("uid",),
        VECTORS: ("kept",),
        "faces": ("face_id", "kept"),
        "people": ("kept",),
        "photos": ("kept",),
    },
    "likely_pairs": {"people": ("first_key", "second_key")},
    "said_names": {"people": ("name",)},
    "name_proposals": {"people": ("person_key", "name")},
    "names_read": {"photos": ("sha256",), "photo_paths": ("sidecars",)},
    "ingest_errors": {"photo_paths": ("path", "reason", "bytes", "modified_ns")},
    "forgotten_faces": {
        "photos": ("sha256",),
        "faces": ("x", "y", "width", "height"),
        "people": ("x", "y", "width", "height"),
    },
    "forget_runs": {"people": ("photos", "faces", "found")},
}
"""The columns of each table that carry what other tables hold: who may not see all of those may not see it.

`vec_faces_<model>` and its tables carry VECTORS. `faces` is no copy of `photos`, though its crops and
dates are of them: who wants those private makes both private."""
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
    own = (*kept, *OF_INDEXES, "face_drawings", "lost_faces", *(f"{table}_" for table in vec0))
    return [name for name in names if name.startswith(own)]


def unlisted_tables(conn: Connection, listed_out: Iterable[str]) -> list[str]:
    """The tables of a file of faces that need no place in Datasette's lists; listed_out: those it hides.

    A plugin that follows foreign keys fails where one end is not in the lists (`held_references`). So
    what an earlier version made with a foreign key to or from a listed table stays in them.
    """
    ours = [*internal_tables(conn), *unused_tables(conn)]
    if not ours:
        return []
    hidden, links = {*ours, *listed_out}, _linked_tables(conn)
    while shown := {
        table
        for table, other in links
        if table in hidden.intersection(ours) and other not in hidden
    }:
        hidden -= shown
    return [table for table in ours if table in hidden]


def _linked_tables(conn: Connection) -> list[tuple[str, str]]:
    """Each two tables with a foreign key between them, once in either order."""
    rows = conn.execute(
        """
        select m.name, parent.name from sqlite_master as m, pragma_foreign_key_list(m.name) as f
        join sqlite_master as parent on parent.name = f."table" collate nocase
        where m.type = 'table' and parent.type = 'table'
        """
    ).fetchall()
    return [link for table, parent in rows for link in ((table, parent), (parent, table))]


def may_be_derived(table: str) -> bool:
    """Whether a table of this name carries what another one holds, where there are faces."""
    return table == SECRETS or bool(_carried(table))


@file_fact
def derived_tables(conn: Connection) -> dict[str, tuple[str, ...]]:
    """The tables that carry what others hold, each with all of those, the tables that these carry too.

    SECRETS stands for itself.
    """
    names = [row[0] for row in conn.execute("select name from sqlite_master where type = 'table'")]
    if VECTORS not in names:
        return {}
    return {name: sources(name) for name in names if may_be_derived(name)}


@lru_cache(maxsize=1_000)
def sources(table: str) -> tuple[str, ...]:
    """All tables of which one carries something, itself or by others."""
    if table == SECRETS:
        return (SECRETS,)
    found: dict[str, None] = {}
    for source in _carried(table):
        found |= {source: None, **dict.fromkeys(sources(source))}
    return tuple(found)


def _carried(table: str) -> tuple[str, ...]:
    return (VECTORS,) if table.startswith(PREFIX) else tuple(CARRIES.get(table, ()))


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
