"""The crops of matches, as files whose names sort by similarity. No click."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import PurePath

from ..errors import FacesError
from ..store import gallery
from ..store.connection import Connection
from .query_photos import PhotoMatch

NAME_CHARACTERS = 40
"""Of the photo's name in a crop's name: at four bytes each they fit into any file system's 255."""


def make_folder(folder: str) -> None:
    """Make a folder for crops if there is none. Raises FacesError."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise FacesError(f"The folder {folder} cannot be made: {error.strerror}") from None


def save_crops(conn: Connection, matches: Sequence[PhotoMatch], folder: str) -> int:
    """Write the crop of each match, the most similar first; the number of files. Raises FacesError.

    A crop that an earlier search left under the same name is replaced; other files stay.
    """
    make_folder(folder)
    digits = max(3, len(str(len(matches))))
    saved = 0
    for place, match in enumerate(matches, 1):
        crop = gallery.crop(conn, match.face_id)
        if crop is not None:
            _write(folder, f"{place:0{digits}}-{file_name(match)}", crop)
            saved += 1
    return saved


def file_name(match: PhotoMatch) -> str:
    """The name of a crop's file: similarity, face and photo, in characters that any file system takes."""
    stem = PurePath(match.path.replace("\\", "/")).stem
    safe = re.sub(r"[^\w.-]+", "_", stem)[:NAME_CHARACTERS]
    return f"{match.similarity:.3f}-face{match.face_id}-{safe}.jpg"


def _write(folder: str, name: str, data: bytes) -> None:
    """Write a whole file or none; a link in its place is replaced, not followed."""
    try:
        handle, half = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(half, 0o644)
            os.replace(half, os.path.join(folder, name))
        except BaseException:
            os.unlink(half)
            raise
    except OSError as error:
        raise FacesError(f"{name} cannot be written to {folder}: {error.strerror}") from None
