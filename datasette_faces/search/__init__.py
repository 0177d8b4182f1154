"""Search by a face: indexes, exact re-ranking, query photos, probability. No HTTP, no click."""
