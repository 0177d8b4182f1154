"""Query faces: what people upload to search with, in memory only, for an hour, within a cap.

Nothing of it is written or logged. A key is a secret: who has it may search with that face.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ..algorithms import vectors
from ..shapes import Analysis, Box, Face, FloatArray

KEEP_SECONDS = 3600
MAX_BYTES = 64_000_000
"""About 2,000 photographs of two faces; their crops and thumbnails take most of it."""
FUSED_SHARE = 0.25
"""Fused queries may take so much of that: a visitor who follows links makes many, and evicts no upload."""
KEY_BYTES = 12
"""16 characters of base64: 96 bits cannot be guessed within an hour."""
KEY = r"[A-Za-z0-9_-]{16}"
_KEYS = re.compile(f"(?=({KEY}))")
"""Whatever may be a key, also where two overlap."""
ENTRY_BYTES = 1_000
"""What Python takes for an entry besides its pictures and its vector."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryFace:
    """A face of an uploaded picture; its box is in pixels of that picture, upright."""

    database: str
    model_id: str
    embedding: FloatArray = field(repr=False)
    crop: bytes = field(repr=False)
    box: Box
    detection_score: float
    sharpness: float
    photo_key: str


@dataclass(frozen=True, slots=True, eq=False)
class QueryPhoto:
    """An uploaded picture; `reason` says why it has no face, `damage` what of it could not be read.

    turned: by how many degrees clockwise it is shown, for its faces to stand upright.
    """

    database: str
    model_id: str
    file_name: str
    width: int
    height: int
    thumbnail: bytes = field(repr=False)
    face_keys: tuple[str, ...]
    reason: str | None
    damage: str | None = None
    turned: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Fused:
    database: str
    model_id: str
    embedding: FloatArray = field(repr=False)


_Entry = QueryPhoto | QueryFace | _Fused
Wanted = TypeVar("Wanted", QueryPhoto, QueryFace)


@dataclass(frozen=True, slots=True)
class _Added:
    """What comes and goes together: a photo with its faces, or a fused query."""

    at: float
    keys: tuple[str, ...]
    size_bytes: int


class _Shelf:
    """Entries up to so many bytes and so old, the oldest go first; for one thread at a time."""

    def __init__(self, seconds: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._added: OrderedDict[str, _Added] = OrderedDict()
        self._size_bytes = 0

    def size(self) -> int:
        self._expire()
        return self._size_bytes

    def get(self, key: str) -> _Entry | None:
        self._expire()
        return self._entries.get(key)

    def known(self, keys: set[str]) -> set[str]:
        self._expire()
        return self._entries.keys() & keys

    def keep(self, entries: dict[str, _Entry]) -> None:
        """Add entries that come and go together."""
        keys = tuple(entries)
        self._expire()
        size_bytes = sum(map(_size_of, entries.values()))
        # An entry larger than the cap is kept until the next one comes: the upload has to be answered
        while self._added and self._size_bytes + size_bytes > self._max_bytes:
            self._drop(next(iter(self._added)))
        self._entries.update(entries)
        self._added[keys[0]] = _Added(self._clock(), keys, size_bytes)
        self._size_bytes += size_bytes

    def _expire(self) -> None:
        before = self._clock() - self._seconds
        while self._added and next(iter(self._added.values())).at <= before:
            self._drop(next(iter(self._added)))

    def _drop(self, first_key: str) -> None:
        dropped = self._added.pop(first_key)
        self._size_bytes -= dropped.size_bytes
        for key in dropped.keys:
            del self._entries[key]


class UploadCache:
    """Query faces by their keys; safe for use by several threads."""

    def __init__(
        self,
        *,
        seconds: float = KEEP_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)
        fused_bytes = int(FUSED_SHARE * max_bytes)
        self._uploads = _Shelf(seconds, max_bytes - fused_bytes, clock)
        self._fused = _Shelf(seconds, fused_bytes, clock)

    @property
    def size_bytes(self) -> int:
        """The bytes that are kept now."""
        with self._lock:
            return sum(shelf.size() for shelf in (self._uploads, self._fused))

    def keys_in(self, text: str) -> set[str]:
        """The keys in a text that are kept here."""
        found = set(_KEYS.findall(text))
        with self._lock:
            return self._uploads.known(found) | self._fused.known(found)

    def add_photo(
        self, found: Analysis, *, database: str, model_id: str, file_name: str, reason: str | None
    ) -> str:
        """Keep an uploaded picture and its faces, in their order; the photo's key."""
        key = secrets.token_urlsafe(KEY_BYTES)
        faces = {
            secrets.token_urlsafe(KEY_BYTES): _query_face(face, database, model_id, key)
            for face in found.faces
        }
        photo = QueryPhoto(
            database=database,
            model_id=model_id,
            file_name=file_name,
            width=found.photo.width,
            height=found.photo.height,
            thumbnail=found.photo.thumbnail,
            face_keys=tuple(faces),
            reason=reason,
            damage=found.photo.damage,
            turned=found.photo.turned,
        )
        with self._lock:
            self._uploads.keep({key: photo, **faces})
        return key

    def add_vector(self, database: str, model_id: str, embedding: FloatArray, *parts: str) -> str:
        """Keep a fused query; the same parts (what it was fused of) give the same key."""
        key = self.vector_key(database, model_id, *parts)
        with self._lock:
            if self._fused.get(key) is None:
                self._fused.keep({key: _Fused(database, model_id, _read_only_copy(embedding))})
        return key

    def photo(self, database: str, key: str) -> QueryPhoto | None:
        """The uploaded picture of that key; None where it is unknown here, or expired."""
        return self._get(database, key, QueryPhoto)

    def face(self, database: str, key: str) -> QueryFace | None:
        """The face of an upload of that key; None where it is unknown here, or expired."""
        return self._get(database, key, QueryFace)

    def vector(self, database: str, key: str) -> tuple[str, FloatArray] | None:
        """Model id and embedding of a face or a fused query; None where unknown, or expired."""
        entry = self._entry(key)
        if entry is None or isinstance(entry, QueryPhoto) or entry.database != database:
            return None
        return entry.model_id, entry.embedding

    def _get(self, database: str, key: str, kind: type[Wanted]) -> Wanted | None:
        entry = self._entry(key)
        return entry if isinstance(entry, kind) and entry.database == database else None

    def _entry(self, key: str) -> _Entry | None:
        with self._lock:
            return self._uploads.get(key) or self._fused.get(key)

    def vector_key(self, database: str, model_id: str, *parts: str) -> str:
        """The key that `add_vector` gives; nothing is kept."""
        digest = hashlib.blake2b(key=self._secret, digest_size=KEY_BYTES)
        for part in (database, model_id, *parts):
            raw = part.encode("utf-8", "surrogatepass")
            # Each with its length, so that no two lists of parts run together to the same bytes
            digest.update(len(raw).to_bytes(8, "little") + raw)
        return urlsafe_b64encode(digest.digest()).decode("ascii")


@dataclass(frozen=True, slots=True)
class DatabaseUploads:
    """The query faces of one database."""

    store: UploadCache
    database: str

    def photo(self, key: str) -> QueryPhoto | None:
        """The uploaded picture of that key; None where it is unknown here, or expired."""
        return self.store.photo(self.database, key)

    def face(self, key: str) -> QueryFace | None:
        """The face of an upload of that key; None where it is unknown here, or expired."""
        return self.store.face(self.database, key)

    def vector(self, key: str) -> tuple[str, FloatArray] | None:
        """Model id and embedding of a face or a fused query; None where unknown, or expired."""
        return self.store.vector(self.database, key)

    def fused_key(self, model_id: str, embedding: FloatArray) -> str:
        """The key of a fused query, whether it is kept or not."""
        return self.store.vector_key(self.database, model_id, *_fused_parts(embedding))

    def keep_fused(self, model_id: str, embedding: FloatArray) -> str:
        """Keep a fused query; its key."""
        return self.store.add_vector(self.database, model_id, embedding, *_fused_parts(embedding))


def _fused_parts(embedding: FloatArray) -> tuple[str, str]:
    # By the vector, not by the faces: those may be embedded again
    return "fused", vectors.encode(embedding).hex()


def _query_face(face: Face, database: str, model_id: str, photo_key: str) -> QueryFace:
    return QueryFace(
        database=database,
        model_id=model_id,
        embedding=_read_only_copy(face.embedding),
        crop=face.crop,
        box=face.detection.box,
        detection_score=face.detection.score,
        sharpness=face.sharpness,
        photo_key=photo_key,
    )


def _read_only_copy(embedding: FloatArray) -> FloatArray:
    """A read-only copy, which keeps no larger array in memory."""
    copy: FloatArray = np.array(embedding, dtype=np.float32)
    copy.flags.writeable = False
    return copy


def _size_of(entry: _Entry) -> int:
    if isinstance(entry, QueryPhoto):
        return ENTRY_BYTES + len(entry.thumbnail) + 4 * len(entry.file_name)
    crop_bytes = len(entry.crop) if isinstance(entry, QueryFace) else 0
    return ENTRY_BYTES + entry.embedding.nbytes + crop_bytes
