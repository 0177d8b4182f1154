"""Edited photos in an ingest: where their faces went is found before anything is written.

The rules are in `store/edited_photos.py`. Here are the worker that looks again, and the order of things: a
write holds up everyone else, so nothing is waited for in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from ...errors import BrokenPicture
from ...media.files import read_file
from ...models.model_pools import ModelPool
from ...shapes import Analysis, Detection, Face, File
from ...store import edited_photos, photos
from ...store.connection import Connection
from ...store.edited_photos import Moves


def find_moves(
    conn: Connection, pool: ModelPool, file: File, sha256: str, analysis: Analysis
) -> Moves | None:
    """Find where the faces of an edited photo went; None where a file holds no edited photo.

    Outside of a transaction. sha256: of the file's bytes.
    """
    if photos.photo_with_content(conn, sha256) is not None:
        return None
    photo_id = photos.edited_photo(conn, file.path)
    if photo_id is None:
        return None
    before = photos.picture_of(conn, photo_id)
    look = partial(_look_at, pool, file, sha256)
    return edited_photos.find_moves(conn, photo_id, pool.load(), analysis, before, look)


def save_edited_faces(
    conn: Connection,
    pool: ModelPool,
    photo_id: int,
    before: photos.Picture,
    analysis: Analysis,
    moves: Moves | None,
) -> list[str]:
    """Store the faces of an edited photo, in a transaction; the person's key of each face that is lost.

    moves: as `find_moves` found them; without what the worker saw where the photo changed since.
    """
    info = pool.load()
    if moves is None or (moves.photo_id, moves.before) != (photo_id, before):
        moves = edited_photos.find_moves(conn, photo_id, info, analysis, before)
    return edited_photos.save_moves(conn, moves, info, analysis.faces, is_undone=before.is_undone)


def _look_at(
    pool: ModelPool, file: File, sha256: str, placed: Sequence[Detection]
) -> Sequence[Face]:
    """Measure faces of a photo whose landmarks are known. Raises FacesError."""
    data = read_file(file)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BrokenPicture("the file changed while it was ingested")
    return pool.submit_placed(data, list(placed)).result()
