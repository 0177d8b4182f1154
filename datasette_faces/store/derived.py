"""Tables that tell what others hold, and those that are kept for the plugin alone: which they are."""

from __future__ import annotations

from .connection import Connection
from .vec_tables import PREFIX

VECTORS = "face_embeddings"
"""The table of which those of the indexes are copies."""
OF_VECTORS = ("face_indexes", "face_index_parts", "face_changes", "face_drawings")
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
    SECRETS: SECRETS,
}
"""Tables that tell what another one holds, and which. That one tells of no third: Datasette 1.0 shows to
nobody what is derived from a derived table. So a secret is derived from itself."""


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
