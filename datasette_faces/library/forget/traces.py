"""What would tell of photos or people who were forgotten, as bytes: gathered before, searched for after."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...algorithms.needle_search import (
    MAX_NEEDLE_BYTES,
    MIN_NEEDLE_BYTES,
    ByteRows,
    Hit,
    Needles,
    NeedleSearch,
)
from ...store.connection import Connection
from ...store.database import reading
from ..audit import needles
from ..audit.run import FileBytes

ENDINGS = ("", "-wal", "-shm", "-journal")
"""The files of a database."""
NAMES, PATHS, HASHES, KEYS = "names", "paths", "content hashes", "keys of people"
VECTORS, PICTURES, LANDMARKS = "vectors", "crops and thumbnails", "landmarks"
PIECES = 8
"""Of a picture, so many pieces of MAX_NEEDLE_BYTES are looked for: its head is that of any JPEG."""
CHUNK_PICTURES = 4_096

QUERIES: dict[str, tuple[str, ...]] = {
    NAMES: (
        "select name from temp.forget_names",
        "select name from people where key in (select key from temp.forget_keys)",
        "select value from decisions where id in (select id from temp.forget_decisions)",
        "select name from said_names where photo_id in (select id from temp.forget_photos)",
    ),
    PATHS: (
        "select path from temp.forget_paths",
        "select path_bytes from photo_paths where photo_id in (select id from temp.forget_photos)",
    ),
    HASHES: ("select sha256 from temp.forget_contents",),
    KEYS: ("select key from temp.forget_keys",),
    LANDMARKS: ("select landmarks from faces where id in (select id from temp.forget_faces)",),
    VECTORS: (
        "select embedding from face_embeddings where face_id in (select id from temp.forget_faces)",
    ),
    PICTURES: (
        "select crop from faces where id in (select id from temp.forget_faces)",
        "select thumbnail from photos where id in (select id from temp.forget_photos)",
    ),
}
"""What goes, by kind, on a connection with a choice."""
LEFT: dict[str, tuple[str, ...]] = {
    HASHES: (
        "select sha256 from photos",
        "select sha256 from photo_paths",
        "select sha256 from photo_contents",
        "select sha256 from decision_faces",
        "select sha256 from forgotten_faces",
    ),
    KEYS: ("select key from people", "select person_key from decisions"),
    LANDMARKS: ("select landmarks from faces",),
    VECTORS: ("select embedding from face_embeddings",),
}
"""Where the same value may be, rightly, in a row that stays: of a copy of the picture."""
PUBLIC = (
    "select name from people where name is not null",
    "select value from decisions where value is not null",
    "select name from said_names",
    "select actor from decisions where actor is not null",
    "select path from photos",
    "select path from photo_paths",
    "select path from ingest_errors",
    "select reason from ingest_errors",
    "select sql from sqlite_master where sql is not null",
    "select camera from photos where camera is not null",
    "select damage from photos where damage is not null",
    "select name from models",
    "select licence from models",
)
"""Texts of rows that stay: a forgotten one that is a part of them cannot be told from them."""
LIVE_PICTURES = ("select thumbnail from photos", "select crop from faces")


@dataclass
class Traces:
    """By kind, the values to look for; public: the texts that stay."""

    values: dict[str, set[Any]] = field(default_factory=dict)
    public: bytes = b""

    def subtract_left(self, conn: Connection) -> None:
        """Take out what rows that stay hold as well; after the deletion."""
        for kind, queries in LEFT.items():
            for sql in queries:
                for (value,) in conn.execute(sql):
                    self.values[kind].discard(value)
        texts = (str(value) for sql in PUBLIC for (value,) in conn.execute(sql))
        self.public = b"\n".join(needles.encode(texts))


@dataclass(frozen=True)
class Trace:
    """Something that was found: its kind, the file, and the offset of its first byte."""

    kind: str
    file: str
    offset: int

    def __str__(self) -> str:
        """In words."""
        return f"{self.kind} at byte {self.offset:,} of {self.file}"


@dataclass(frozen=True)
class SearchReport:
    """How many values of each kind were looked for, and what was found.

    too_short: by kind, how many are too short, or too uniform, to be told from chance.
    """

    looked_for: dict[str, int] = field(default_factory=dict)
    too_short: dict[str, int] = field(default_factory=dict)
    found: tuple[Trace, ...] = ()


def gather(conn: Connection, photo_ids: Iterable[int]) -> Traces:
    """The values of what is chosen; before the deletion. photo_ids: that stay, with other pictures."""
    traces = Traces()
    for kind, queries in QUERIES.items():
        found = (value for sql in queries for (value,) in conn.execute(sql))
        traces.values[kind] = {value for value in found if value not in (None, "", b"")}
    for sql in (
        "select thumbnail from photos where id in (select value from json_each(?))",
        "select crop from faces where photo_id in (select value from json_each(?))",
    ):
        stale = conn.execute(sql, [json.dumps(list(photo_ids))])
        traces.values[PICTURES].update(row[0] for row in stale)
    _gather_kept(conn, traces)
    return traces


def _gather_kept(conn: Connection, traces: Traces) -> None:
    """The vectors and crops of drawings that were undone, and of faces that an edit took away."""
    texts = conn.execute(
        "select embeddings from lost_faces where id in (select id from temp.forget_lost) "
        "union all select kept from face_drawings where kept is not null "
        "and uid in (select uid from temp.forget_drawings)"
    )
    for (text,) in texts:
        with suppress(ValueError):
            known = json.loads(text)
            for raw in dict(known.get("embeddings", known)).values():
                traces.values[VECTORS].add(base64.b64decode(str(raw)))
            if "face" in known:
                traces.values[PICTURES].add(base64.b64decode(known["face"]["crop"]))


def search(database: str, traces: Traces) -> SearchReport:
    """Look for traces in all files of a database.

    No connection to it may be open in this process: closing a file ends the locks that they hold.
    """
    sought = _as_needles(traces)
    finder = sought.build_search()
    hits: list[tuple[str, Hit]] = []
    for ending in ENDINGS:
        path = database + ending
        if not os.path.exists(path) or not os.path.getsize(path):
            continue
        with open(path, "rb") as file:
            hits += ((path, it) for it in finder.find_all(FileBytes(file, os.path.getsize(path))))
    allowed: Counter[bytes] = Counter()
    if any(hit.kind == PICTURES for _, hit in hits):
        with reading(database) as conn:
            allowed = _count_live(finder, conn)
    found: list[Trace] = []
    for path, hit in hits:
        if hit.kind == PICTURES and allowed[hit.text]:
            allowed[hit.text] -= 1
        else:
            found.append(Trace(hit.kind, path, hit.offset))
    looked_for = {kind: len(traces.values[kind]) for kind in QUERIES}
    short = {kind: count for kind, count in sought.too_short.items() if count}
    return SearchReport(looked_for, short, tuple(found))


def _as_needles(traces: Traces) -> Needles:
    """The values as what the search takes, in all spellings."""
    sought, values = Needles(traces.public), traces.values
    for kind in (NAMES, PATHS):
        texts = [_as_text(value) for value in values[kind]]
        sought.add(kind, needles.encode(texts))
        sought.add_spellings(kind, needles.encode_spellings(texts))
    for kind in (HASHES, KEYS):
        sought.add(kind, needles.encode(map(str, values[kind])))
    for rows in needles.hash_rows(values[HASHES]):
        sought.add_rows(HASHES, rows)
    sought.add(LANDMARKS, (str(text).encode()[1:-1] for text in values[LANDMARKS]))
    vectors = sorted(raw for raw in values[VECTORS] if isinstance(raw, bytes))
    for rows in needles.encode_vectors(vectors):
        sought.add_rows(VECTORS, rows)
    sought.add(VECTORS, (raw for raw in vectors if len(raw) < 2 * MAX_NEEDLE_BYTES))
    for batch in _pieces(values[PICTURES]):
        sought.add_rows(PICTURES, batch)
    return sought


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _pieces(pictures: Iterable[Any]) -> Iterator[ByteRows]:
    """Pieces of pictures, evenly spread over their second half, which has no head: (n, 16)."""
    pieces: list[bytes] = []
    for data in pictures:
        if not isinstance(data, bytes) or len(data) < 2 * PIECES * MAX_NEEDLE_BYTES:
            continue
        half = len(data) // 2
        step = (half - MAX_NEEDLE_BYTES) // PIECES
        starts = (half + number * step for number in range(PIECES))
        pieces += [data[start : start + MAX_NEEDLE_BYTES] for start in starts]
        if len(pieces) > CHUNK_PICTURES:
            yield _as_rows(pieces)
            pieces = []
    if pieces:
        yield _as_rows(pieces)


def _as_rows(pieces: list[bytes]) -> ByteRows:
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, MAX_NEEDLE_BYTES)


def _count_live(finder: NeedleSearch, live: Connection) -> Counter[bytes]:
    """How often each piece of a picture is in pictures that stay: even ones resemble each other."""
    counts: Counter[bytes] = Counter()
    for sql in LIVE_PICTURES:
        for (data,) in live.execute(sql):
            if isinstance(data, bytes) and len(data) >= MIN_NEEDLE_BYTES:
                counts.update(hit.text for hit in finder.find_all(data))
    return counts
