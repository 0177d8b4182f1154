"""SQL functions of the plugin: thin, thread-safe, quick to register. What they compute lies below."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import click

from . import vectors
from .connections import Connection, has_vector_tables, load_vector_extension, sqlite
from .errors import NoVectorExtension
from .store import browse


def register(conn: Connection) -> None:
    """Register every function on a connection."""
    caller_of = _borrowed(conn)

    def face_embedding(face_id: int, *model_id: str | None) -> bytes | None:
        """That face's vector; of the first model that has one, if none is named."""
        if model_id == (None,):
            return None
        caller = caller_of()
        try:
            return browse.embedding(caller, face_id, *model_id)
        except sqlite().OperationalError as error:
            if "interrupt" not in str(error):
                raise
            # The time limit fell into this look-up: it is the query that called it that is over time
            caller.interrupt()
            return None

    conn.create_function("face_embedding", 1, face_embedding, deterministic=True)
    conn.create_function("face_embedding", 2, face_embedding, deterministic=True)
    conn.create_function("face_similarity", 2, face_similarity, deterministic=True)


def _borrowed(conn: Connection) -> Callable[[], Connection]:
    """The connection, by a reference that does not count.

    SQLite holds a function until its connection is closed, out of the garbage collector's sight: a
    function that held the connection would keep it, and its file, open for ever; and connections
    take no weak references. Only a query of that connection calls the function, so it is there.
    """
    address = id(conn)
    return lambda: ctypes.cast(address, ctypes.py_object).value


def face_similarity(first: bytes | None, second: bytes | None) -> float | None:
    """Cosine similarity of two vectors, -1..1; NULL where one is NULL.

    An error where they are no vectors, or of different length: those are of two models.
    """
    if first is None or second is None:
        return None
    return vectors.cosine(vectors.decode(first), vectors.decode(second))


def prepare(conn: Connection, path: str | None) -> None:
    """Make a Datasette connection ready: sqlite-vec, then the functions.

    Raises ClickException, with the file's name, where its tables cannot be read without.
    """
    try:
        load_vector_extension(conn)
    except NoVectorExtension as error:
        if has_vector_tables(conn):
            # Datasette asks on starting: its command line shows this one as a line
            raise click.ClickException(
                f"{path or 'This database'} holds face vectors. {error}"
            ) from error
    register(conn)
