"""Names that are said of whole photos, and the people in them → which name may be whose. No HTTP."""

from __future__ import annotations

from ..algorithms import name_assignment
from ..store import photo_names
from ..store.connection import Connection


def propose(conn: Connection) -> int:
    """Bring the proposals up to date, in a transaction, once the faces are grouped; how many there are."""
    photos = photo_names.photos(conn)
    found = name_assignment.assign_names(photos, photo_names.known(conn)) if photos else []
    photo_names.keep(conn, found)
    return photo_names.count(conn)
