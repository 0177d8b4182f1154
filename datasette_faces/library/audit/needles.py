"""The texts, numbers and vectors of a private file that a catalogue must not hold, as bytes to look for."""

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
"""The name of a folder or file that is a day or a number: published days are equal to it."""
MIN_DISTINCT_BYTES = 5
"""40.01875 degrees are 40 44 02 66 66 66 66 66: a score of 0.7, and the number after it, look alike."""
SHA256 = re.compile("[0-9a-fA-F]{64}")
BATCH = 16_384
BASE64 = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)
LOWER, UPPER = (
    np.frombuffer(digits, np.uint8) for digits in (b"0123456789abcdef", b"0123456789ABCDEF")
)


def names(conn: Connection) -> set[str]:
    """Names of people: present, former and proposed ones."""
    sql = (
        "select name from people where name is not null "
        "union select value from decisions where value is not null"
    )
    for table in sorted(
        {"said_names", "name_proposals"} & tables(conn)
    ):  # tables of later versions
        sql += f" union select name from {table}"
    return {str(row[0]) for row in conn.execute(sql)}


def actors(conn: Connection) -> set[str]:
    """The people who made decisions."""
    rows = conn.execute("select distinct actor from decisions where actor is not null")
    return {str(row[0]) for row in rows}


def paths(conn: Connection) -> set[str]:
    """Parts of paths: each folder, and each file's name without its extension."""
    sql = (
        "select path from photos union select path from photo_paths "
        "union select path from ingest_errors "
        "union select path_bytes from photo_paths where path_bytes is not null"
    )
    found: set[str] = set()
    folders: set[str] = set()
    for (path,) in conn.execute(sql):
        # The bytes of a name that is no UTF-8
        named = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        text = str(named)
        folder, name = (ntpath if "\\" in text and "/" not in text else posixpath).split(text)
        stem = posixpath.splitext(name)[0]
        found.add(stem if len(stem.encode("utf-8", "replace")) >= MIN_NEEDLE_BYTES else name)
        folders.add(folder)
    for folder in folders:
        found.update(part for part in re.split(r"[\\/]", folder) if part)
    return {part for part in found if part and not NUMBERS.fullmatch(part)}


def times(conn: Connection) -> Iterator[bytes]:
    """Times to the minute, as ISO 8601 and EXIF write them."""
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
    """Makers and models of cameras."""
    rows = conn.execute("select distinct camera from photos where camera is not null")
    return {str(row[0]) for row in rows}


def reasons(conn: Connection) -> set[str]:
    """The reasons why files could not be read."""
    return {str(row[0]) for row in conn.execute("select distinct reason from ingest_errors")}


def hashes(conn: Connection) -> set[str]:
    """Hashes of photos and of their sidecars, as text."""
    sql = (
        "select sha256 from photos union select sha256 from photo_paths "
        "union select sha256 from photo_contents union select sha256 from decision_faces"
    )
    if "names_read" in tables(conn):
        sql += " union select sidecars from names_read where sidecars != ''"
    return {str(row[0]) for row in conn.execute(sql)}


def hash_rows(texts: Iterable[str]) -> Iterator[ByteRows]:
    """The halves of hashes as bytes, and as capital letters."""
    rest = (bytes.fromhex(text) for text in texts if SHA256.fullmatch(text))
    while batch := list(islice(rest, BATCH)):
        rows = _rows(batch)
        for start in (0, MAX_NEEDLE_BYTES):
            yield rows[:, start : start + MAX_NEEDLE_BYTES]
            yield _hex(rows[:, start : start + MAX_NEEDLE_BYTES // 2], UPPER)


def keys(conn: Connection) -> Iterator[bytes]:
    """The keys of people and decisions, which are the same in every copy of a file."""
    for (key,) in conn.execute("select key from people union select uid from decisions"):
        yield str(key).encode()


def secrets(conn: Connection) -> Iterator[bytes]:
    """The secrets that public ids are made with."""
    if "face_keys" not in tables(conn):
        return
    for (key,) in conn.execute("select key from face_keys"):
        raw = bytes(key)
        yield from (raw, raw[8:], raw.hex().encode(), raw.hex().upper().encode())
        yield base64.b64encode(raw)


def coordinates(conn: Connection, decimals: int) -> Iterator[bytes]:
    """Exact coordinates as SQLite, other programs and texts have them; not those that are round.

    decimals: of a round one.
    """
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
    """Landmarks of faces, as JSON."""
    for (text,) in conn.execute("select landmarks from faces where length(landmarks) > 20"):
        yield str(text).encode()[1:]
    for face in _undone_faces(conn):
        yield str(face.get("face", {}).get("landmarks", "")).encode()[1:]


def vectors(conn: Connection, allowed: Iterable[int]) -> Iterator[ByteRows]:
    """Embeddings of all faces but the allowed ones, in all encodings."""
    allowed_ids = set(allowed)
    stored = conn.execute("select face_id, embedding from face_embeddings")
    rest = (raw for face_id, raw in stored if face_id not in allowed_ids)
    while batch := list(islice(rest, BATCH)):
        yield from encode_vectors(batch)
    yield from encode_vectors([*_undone_vectors(conn), *_lost_vectors(conn)])


def encode_vectors(raws: list[Any]) -> Iterator[ByteRows]:
    """Embeddings in all encodings that a file may hold."""
    long = [raw for raw in raws if isinstance(raw, bytes) and len(raw) >= 2 * MAX_NEEDLE_BYTES]
    for length in {len(raw) // 4 * 4 for raw in long}:
        rows = _rows([raw[:length] for raw in long if len(raw) // 4 * 4 == length])
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
    """The embeddings of manual faces that were undone."""
    for face in _undone_faces(conn):
        yield from _decode_vectors(face.get("embeddings", {}))


def _lost_vectors(conn: Connection) -> Iterator[bytes]:
    """The embeddings of faces that an edit took away."""
    if "lost_faces" in tables(conn):
        for (text,) in conn.execute("select embeddings from lost_faces"):
            yield from _decode_vectors(json.loads(text))


def _decode_vectors(by_model: Any) -> Iterator[bytes]:
    for text in dict(by_model).values():
        with suppress(ValueError):
            yield base64.b64decode(str(text))


def _undone_faces(conn: Connection) -> Iterator[dict[str, Any]]:
    """Manual faces that were undone, with all that redoing them needs."""
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
    """Nine characters of each number in JSON, the same for float32 and float64: (n, 9)."""
    usable = numbers[(numbers > 1e-3) & (numbers < 1)]
    seven = np.minimum(np.round(usable * 1e12) // 100_000, 9_999_999).astype(np.int64)
    places = seven[:, np.newaxis] // 10 ** np.arange(6, -1, -1) % 10
    zero_and_point = np.broadcast_to(np.frombuffer(b"0.", np.uint8), (len(usable), 2))
    return np.concatenate([zero_and_point, (places + ord("0")).astype(np.uint8)], axis=1)


def encode(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts in UTF-8."""
    return (text.encode("utf-8", "surrogateescape") for text in texts)


def encode_spellings(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts in all encodings and spellings that a file may hold."""
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
        # The neighbours of a text change one or two characters at its ends
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[(0, 2, 3)[shift] : len(coded) - 4]
    for variant_bytes in (json.dumps(text)[1:-1].encode(), quote(raw).encode()):
        if variant_bytes != raw:
            yield variant_bytes


def tables(conn: Connection) -> set[str]:
    """The names of the tables of a file."""
    rows: Any = conn.execute("select name from sqlite_master where type = 'table'")
    return {row[0] for row in rows}
