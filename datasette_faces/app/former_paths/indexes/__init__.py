"""`datasette_faces.indexes`, as it is documented; it lies in `search`."""
