"""What the pages have to know of a whole file: whether it is a catalogue, and whether it has a search."""

from __future__ import annotations

from . import catalogue, gallery
from .connection import Connection

COMPARED = ("face_embeddings", "models")
"""The tables without which nothing is compared; a catalogue without a search has them empty."""


def of_file(conn: Connection) -> dict[str, bool]:
    """Whether a file of faces is a catalogue, and whether faces can be searched by in it."""
    return {"catalogue": catalogue.is_catalogue(conn), "searched": is_searched(conn)}


def is_searched(conn: Connection) -> bool:
    """False for a catalogue without embeddings: a private file gets its own with the next ingest."""
    return not catalogue.is_catalogue(conn) or gallery.has_embeddings(conn)


def unused_tables(conn: Connection) -> list[str]:
    """The tables that a catalogue without a search has for nothing."""
    used = not gallery.is_faces_database(conn) or is_searched(conn)
    return [] if used else list(COMPARED)
