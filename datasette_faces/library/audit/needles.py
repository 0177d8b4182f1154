"""What a private file holds that must not be found in a catalogue, kind by kind, as bytes to look for."""

from __future__ import annotations

import base64
import json
import ntpath
import posixpath
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import quote

import numpy as np

from ...algorithms.needle_search import MAX_NEEDLE_BYTES, MIN_NEEDLE_BYTES, ByteRows
from ...store.connection import Connection

NUMBERS = re.compile(r"[\d\s._:-]{1,15}")
"""A folder or file that is called after a day, or a number: published days would be taken for it."""
MIN_DISTINCT_BYTES = 5
"""40.01875 degrees are 40 44 02 66 66 66 66 66: a score of 0.7, and the number after it, look alike."""
SHA256 = re.compile("[0-9a-fA-F]{64}")
BATCH = 16_384
BASE64 = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)
LOWER, UPPER = (np.frombuffer(it, np.uint8) for it in (b"0123456789abcdef", b"0123456789ABCDEF"))


def names(conn: Connection) -> set[str]:
    """What people are called, were, or may be."""
    sql = (
        "select name from people where name is not null "
        "union select value from decisions where value is not null"
    )
    for table in sorted({"said_names", "name_proposals"} & tables(conn)):  # of later versions
        sql += f" union select name from {table}"
    return {str(row[0]) for row in conn.execute(sql)}


def actors(conn: Connection) -> set[str]:
    """Who decided."""
    rows = conn.execute("select distinct actor from decisions where actor is not null")
    return {str(row[0]) for row in rows}


def paths(conn: Connection) -> set[str]:
    """Parts of paths: each folder, each file's name without its ending."""
    sql = (
        "select path from photos union select path from photo_paths "
        "union select path from ingest_errors "
        "union select path_bytes from photo_paths where path_bytes is not null"
    )
    found: set[str] = set()
    folders: set[str] = set()
    for (path,) in conn.execute(sql):
        # The name itself, where it is no UTF-8
        named = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        text = str(named)
        folder, name = (ntpath if "\\" in text and "/" not in text else posixpath).split(text)
        stem = posixpath.splitext(name)[0]
        found.add(stem if len(stem.encode("utf-8", "replace")) >= MIN_NEEDLE_BYTES else name)
        folders.add(folder)
    for folder in folders:
        found.update(part for part in re.split(r"[\\/]", folder) if part)
    return {it for it in found if it and not NUMBERS.fullmatch(it)}


def times(conn: Connection) -> Iterator[bytes]:
    """Times that say more than a day, to the minute, as ISO 8601 and as EXIF write them."""
    sql = """
        select taken_at from photos where length(taken_at) > 10
        union select modified_at from photos where length(modified_at) > 10
        union select ingested_at from photos union select made_at from decisions
        union select seen_at from ingest_errors
    """
    for (moment,) in conn.execute(sql):
        text = str(moment)[:16]
        for variant in (text, text.replace("T", " "), text.replace("-", ":").replace("T", " ")):
            yield variant.encode()


def cameras(conn: Connection) -> set[str]:
    """Makers and models."""
    rows = conn.execute("select distinct camera from photos where camera is not null")
    return {str(row[0]) for row in rows}


def reasons(conn: Connection) -> set[str]:
    """Why files were not read."""
    return {str(row[0]) for row in conn.execute("select distinct reason from ingest_errors")}


def hashes(conn: Connection) -> set[str]:
    """Hashes of photos' bytes, and of what lies beside them, as text."""
    sql = (
        "select sha256 from photos union select sha256 from photo_paths "
        "union select sha256 from photo_contents union select sha256 from decision_faces"
    )
    if "names_read" in tables(conn):
        sql += " union select sidecars from names_read where sidecars != ''"
    return {str(row[0]) for row in conn.execute(sql)}


def hash_rows(texts: Iterable[str]) -> Iterator[ByteRows]:
    """The two halves of hashes as bytes, and in capitals."""
    rest = (bytes.fromhex(it) for it in texts if SHA256.fullmatch(it))
    while some := list(islice(rest, BATCH)):
        rows = _rows(some)
        for start in (0, MAX_NEEDLE_BYTES):
            yield rows[:, start : start + MAX_NEEDLE_BYTES]
            yield _hex(rows[:, start : start + MAX_NEEDLE_BYTES // 2], UPPER)


def keys(conn: Connection) -> Iterator[bytes]:
    """What people and decisions are known by in every copy; and secrets."""
    for (key,) in conn.execute("select key from people union select uid from decisions"):
        yield str(key).encode()


def secrets(conn: Connection) -> Iterator[bytes]:
    """What public ids are made with."""
    if "face_keys" not in tables(conn):
        return
    for (key,) in conn.execute("select key from face_keys"):
        raw = bytes(key)
        yield from (raw, raw[8:], raw.hex().encode(), raw.hex().upper().encode())
        yield base64.b64encode(raw)


def coordinates(conn: Connection, decimals: int) -> Iterator[bytes]:
    """Exact places, as SQLite, as other programs and as text have them; not those that are round."""
    sql = "select latitude from photos union select longitude from photos"
    for (value,) in conn.execute(sql):
        if not isinstance(value, float) or round(value, decimals) == value:
            continue
        raw = struct.pack(">d", value)
        if len(set(raw)) >= MIN_DISTINCT_BYTES:
            yield raw
            yield raw[::-1]
        yield f"{value:.6f}"[:-1].encode()


def landmarks(conn: Connection) -> Iterator[bytes]:
    """Where eyes, noses and mouths are."""
    for (text,) in conn.execute("select landmarks from faces where length(landmarks) > 20"):
        yield str(text).encode()[1:]
    for kept in _undone_faces(conn):
        yield str(kept.get("face", {}).get("landmarks", "")).encode()[1:]


def vectors(conn: Connection, allowed: Iterable[int]) -> Iterator[ByteRows]:
    """Embeddings of faces that are not among these: as they are, and written in other ways."""
    public = set(allowed)
    stored = conn.execute("select face_id, embedding from face_embeddings")
    rest = (raw for face_id, raw in stored if face_id not in public)
    while some := list(islice(rest, BATCH)):
        yield from _encode_vectors(some)
    yield from _encode_vectors(list(_undone_vectors(conn)))


def _encode_vectors(raws: list[Any]) -> Iterator[ByteRows]:
    whole = [it for it in raws if isinstance(it, bytes) and len(it) >= 2 * MAX_NEEDLE_BYTES]
    for length in {len(it) // 4 * 4 for it in whole}:
        rows = _rows([it[:length] for it in whole if len(it) // 4 * 4 == length])
        middle = length // 8 * 4
        yield rows[:, :MAX_NEEDLE_BYTES]
        yield rows[:, middle : middle + MAX_NEEDLE_BYTES]
        yield _hex(rows[:, :8], LOWER)
        yield _hex(rows[:, :8], UPPER)
        yield _base64(rows[:, :12])
        with np.errstate(all="ignore"):
            numbers = rows.view("<f4")
            yield numbers[:, :8].astype("<f2").view(np.uint8)
            yield numbers[:, :2].astype("<f8").view(np.uint8)
            yield _decimals(np.abs(numbers[:, :2].astype(np.float64)).ravel())


def _undone_vectors(conn: Connection) -> Iterator[bytes]:
    """The embeddings of faces whose drawing is undone."""
    for kept in _undone_faces(conn):
        for text in dict(kept.get("embeddings", {})).values():
            with suppress(ValueError):
                yield base64.b64decode(str(text))


def _undone_faces(conn: Connection) -> Iterator[dict[str, Any]]:
    if "face_drawings" not in tables(conn):
        return
    for (text,) in conn.execute("select kept from face_drawings where kept is not null"):
        found = json.loads(text)
        if isinstance(found, dict):
            yield found


def _rows(raws: list[bytes]) -> ByteRows:
    return np.frombuffer(b"".join(raws), np.uint8).reshape(len(raws), -1)


def _hex(rows: ByteRows, digits: ByteRows) -> ByteRows:
    """Bytes (n, m) as digits (n, 2 m)."""
    return digits[np.stack([rows >> 4, rows & 15], axis=2).reshape(len(rows), -1)]


def _base64(rows: ByteRows) -> ByteRows:
    """Bytes (n, 3 m) as base64 (n, 4 m)."""
    three = rows.reshape(len(rows), -1, 3).astype(np.uint32)
    word = three[:, :, 0] << 16 | three[:, :, 1] << 8 | three[:, :, 2]
    parts = np.stack([word >> shift & 63 for shift in (18, 12, 6, 0)], axis=2)
    return BASE64[parts.reshape(len(rows), -1)]


def _decimals(numbers: np.ndarray[Any, Any]) -> ByteRows:
    """Nine characters of each number as JSON has it, whether as float32 or as float64: (n, 9)."""
    kept = numbers[(numbers > 1e-3) & (numbers < 1)]
    seven = np.minimum(np.round(kept * 1e12) // 100_000, 9_999_999).astype(np.int64)
    places = seven[:, np.newaxis] // 10 ** np.arange(6, -1, -1) % 10
    zero_and_point = np.broadcast_to(np.frombuffer(b"0.", np.uint8), (len(kept), 2))
    return np.concatenate([zero_and_point, (places + ord("0")).astype(np.uint8)], axis=1)


def encode(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts as they are."""
    return (text.encode("utf-8", "surrogateescape") for text in texts)


def encode_spellings(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts in the ways in which a file may hold them."""
    for text in texts:
        for form in {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}:
            raw = form.encode("utf-8", "surrogateescape")
            yield raw
            yield from _other_encodings(form, raw)


def _other_encodings(text: str, raw: bytes) -> Iterator[bytes]:
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for variant in {text.lower(), text.upper()} - {text}:
        yield variant.encode("utf-8", "replace")
    for encoding in ("utf-16-le", "utf-16-be"):
        yield text.encode(encoding, "replace")
    for shift in range(3):
        # What comes before it, and after, changes a character or two at its ends
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[(0, 2, 3)[shift] : len(coded) - 4]
    for variant_bytes in (json.dumps(text)[1:-1].encode(), quote(raw).encode()):
        if variant_bytes != raw:
            yield variant_bytes


def tables(conn: Connection) -> set[str]:
    """The tables of a file."""
    rows: Any = conn.execute("select name from sqlite_master where type = 'table'")
    return {row[0] for row in rows}
