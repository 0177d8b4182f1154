"""SQL functions of the plugin: thin, thread-safe, quick to register. What they compute lies below."""

from __future__ import annotations

from . import vectors
from .connections import Connection
from .errors import NoVectorExtension
from .store import browse


def register(conn: Connection) -> None:
    """Register every function on a connection."""

    def face_embedding(face_id: int, model_id: str | None = None) -> bytes | None:
        """That face's vector; of the first model that has one, if none is named."""
        return browse.embedding(conn, face_id, model_id)

    conn.create_function("face_embedding", 1, face_embedding, deterministic=True)
    conn.create_function("face_embedding", 2, face_embedding, deterministic=True)
    conn.create_function("face_similarity", 2, face_similarity, deterministic=True)


def face_similarity(first: bytes | None, second: bytes | None) -> float | None:
    """Cosine similarity of two vectors, -1..1; NULL where one is NULL.

    An error where they are no vectors, or of different length: those are of two models.
    """
    if first is None or second is None:
        return None
    return vectors.cosine(vectors.decode(first), vectors.decode(second))


def prepare(conn: Connection, path: str | None) -> None:
    """Make a Datasette connection ready: sqlite-vec, then the functions.

    Raises NoVectorExtension, with the file's name, where its tables cannot be read without.
    """
    from .connections import has_vector_tables, load_vector_extension

    try:
        load_vector_extension(conn)
    except NoVectorExtension as error:
        if has_vector_tables(conn):
            raise NoVectorExtension(
                f"{path or 'This database'} holds face vectors. {error}"
            ) from error
    register(conn)
