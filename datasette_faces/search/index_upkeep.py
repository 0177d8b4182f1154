"""The indexes that a file keeps, of all its models: brought up to date, made anew, removed. No search."""

from __future__ import annotations

from ..store import changes, indexes, integrity, models, vec_tables
from ..store.connection import Connection, sqlite, transaction
from .indexes import registry


def follow(conn: Connection) -> None:
    """Bring into the indexes what a transaction changed, before it ends."""
    for model in models.every(conn):
        for kind in registry.indexes():
            kind.follow(conn, model)


def keep_up(conn: Connection) -> None:
    """Bring the few faces that a decision changed into the indexes; none is made anew for them.

    Where one cannot be brought up to date here, the log tells what it lacks.
    """
    for model in models.every(conn):
        for kind in registry.indexes():
            kept = indexes.kept(conn, model.id, kind.id)
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
        # One that no kind here knows may be made anew once its plugin is back
        changes.forget_all_seen(conn, [kind.id for kind in registry.indexes()])


def drop(conn: Connection) -> None:
    """Remove every index; all that was in them is in `face_embeddings`."""
    with transaction(conn):
        for model in models.every(conn):
            for kind in registry.indexes():
                kind.drop(conn, model)
        # Also one of a model that is not known any more: a file without indexes opens anywhere
        for name in vec_tables.every(conn):
            integrity.drop_table(conn, name)
        indexes.forget_all(conn)


def rebuild(conn: Connection) -> None:
    """Make every index anew."""
    drop(conn)
    with transaction(conn):
        follow(conn)
    settle(conn)
