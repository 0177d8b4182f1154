"""Names that are said of whole photos, and the people in them → which name may be whose. No HTTP."""

from __future__ import annotations

from .connections import Connection
from .names import solving
from .store import said


def propose(conn: Connection) -> int:
    """Bring the proposals up to date, in a transaction, once the faces are grouped; how many there are."""
    photos = said.photos(conn)
    found = solving.solve(photos, said.known(conn)) if photos else []
    said.keep(conn, found)
    return said.count(conn)
