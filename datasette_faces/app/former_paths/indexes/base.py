"""`datasette_faces.indexes.base`, as it is documented; it lies in `search`."""

from datasette_faces.search.indexes.base import FaceIndex, Snapshot

__all__ = ["FaceIndex", "Snapshot"]
