"""The indexes that a file keeps, of all its models: update, rebuild, remove. No search."""

from __future__ import annotations

from ..store import changes, indexes, integrity, models, vec_tables
from ..store.connection import Connection, sqlite, transaction
from .indexes import registry


def follow(conn: Connection) -> None:
    """Update the indexes with what a transaction changed, before it ends."""
    for model in models.every(conn):
        for kind in registry.indexes():
            kind.follow(conn, model)


def keep_up(conn: Connection) -> None:
    """Update the indexes with the few faces that a decision changed; none is rebuilt for them.

    Where one cannot be updated here, `face_changes` says what it lacks.
    """
    for model in models.every(conn):
        for kind in registry.indexes():
            kept = indexes.read_index(conn, model.id, kind.id)
            if kept is None or changes.since(conn, model.id, kept.seen)[1] is None:
                continue
            try:
                kind.follow(conn, model)
            except sqlite().OperationalError as error:
                if "no such module" not in str(error):
                    raise


def settle(conn: Connection) -> None:
    """Leave the file with the indexes that a gallery of its size should have."""
    for model in models.every(conn):
        for kind in registry.indexes():
            kind.settle(conn, model)
    with transaction(conn):
        # An index of no known kind may be rebuilt once its plugin is back
        changes.forget_all_seen(conn, [kind.id for kind in registry.indexes()])


def drop(conn: Connection) -> None:
    """Remove every index; `face_embeddings` has all that was in them."""
    with transaction(conn):
        drop_within(conn)


def drop_within(conn: Connection) -> None:
    """Remove every index, within a transaction."""
    for model in models.every(conn):
        for kind in registry.indexes():
            kind.drop(conn, model)
    # Also one of a model that is gone: a file without indexes opens anywhere
    for name in vec_tables.list_tables(conn):
        integrity.drop_table(conn, name)
    indexes.remove_indexes(conn)


def rebuild(conn: Connection) -> None:
    """Rebuild every index."""
    drop(conn)
    with transaction(conn):
        follow(conn)
    settle(conn)
