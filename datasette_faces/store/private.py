"""What a private file holds that must not be found in a catalogue, kind by kind, as bytes to look for."""

from __future__ import annotations

import base64
import json
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import PurePath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from ..connections import Connection
from ..leaks import LEAST_BYTES, MOST_BYTES

NUMBERS = re.compile(r"[\d\s._:-]{1,15}")
"""A folder or file that is called after a day, or a number: published days would be taken for it."""


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
    sql = "select path from photos union select path from photo_paths union select path from ingest_errors"
    found: set[str] = set()
    folders: set[str] = set()
    for (path,) in conn.execute(sql):
        text = str(path)
        pure = PureWindowsPath(text) if "\\" in text and "/" not in text else PurePath(text)
        stem = pure.stem
        found.add(stem if len(stem.encode("utf-8", "replace")) >= LEAST_BYTES else pure.name)
        folders.add(str(pure.parent))
    for folder in folders:
        found.update(part for part in re.split(r"[\\/]", folder) if part)
    return {it for it in found if not NUMBERS.fullmatch(it)}


def moments(conn: Connection) -> Iterator[bytes]:
    """Times that say more than a day, to the minute, as ISO 8601 and as EXIF write them."""
    sql = """
        select taken_at from photos where length(taken_at) > 10
        union select modified_at from photos where length(modified_at) > 10
        union select ingested_at from photos union select made_at from decisions
    """
    for (moment,) in conn.execute(sql):
        text = str(moment)[:16]
        for variant in (text, text.replace("T", " "), text.replace("-", ":").replace("T", " ")):
            yield variant.encode()


def cameras(conn: Connection) -> set[str]:
    """Makers and models."""
    rows = conn.execute("select distinct camera from photos where camera is not null")
    return {str(row[0]) for row in rows}


def digests(conn: Connection) -> Iterator[bytes]:
    """Hashes of photos' bytes, as text and as bytes."""
    sql = (
        "select sha256 from photos union select sha256 from photo_paths "
        "union select sha256 from photo_contents union select sha256 from decision_faces"
    )
    for (digest,) in conn.execute(sql):
        text = str(digest)
        yield text.encode()
        if re.fullmatch("[0-9a-fA-F]{64}", text):
            yield bytes.fromhex(text)


def keys(conn: Connection) -> Iterator[bytes]:
    """What people and decisions are known by in every copy; and secrets."""
    for (key,) in conn.execute("select key from people union select uid from decisions"):
        yield str(key).encode()


def secrets(conn: Connection) -> Iterator[bytes]:
    """What public ids are made with."""
    if conn.execute("select 1 from sqlite_master where name = 'face_keys'").fetchone():
        for (key,) in conn.execute("select key from face_keys"):
            yield bytes(key)
            yield bytes(key).hex().encode()


def coordinates(conn: Connection, decimals: int) -> Iterator[bytes]:
    """Exact places, as SQLite, as other programs and as text have them; not those that are round."""
    sql = "select latitude from photos union select longitude from photos"
    for (value,) in conn.execute(sql):
        if not isinstance(value, float) or round(value, decimals) == value:
            continue
        yield struct.pack(">d", value)
        yield struct.pack("<d", value)
        yield f"{value:.6f}"[:-1].encode()


def landmarks(conn: Connection) -> Iterator[bytes]:
    """Where eyes, noses and mouths are."""
    for (text,) in conn.execute("select landmarks from faces where length(landmarks) > 20"):
        yield str(text).encode()[1:]


def vectors(conn: Connection, allowed: Iterable[int]) -> Iterator[bytes]:
    """Embeddings of faces that are not among these: as they are, and written in other ways."""
    public = set(allowed)
    for face_id, raw in conn.execute("select face_id, embedding from face_embeddings"):
        if face_id in public or not isinstance(raw, bytes) or len(raw) < 2 * MOST_BYTES:
            continue
        middle = len(raw) // 8 * 4
        yield raw[:MOST_BYTES]
        yield raw[middle : middle + MOST_BYTES]
        yield raw[:8].hex().encode()
        yield raw[:8].hex().upper().encode()
        yield base64.b64encode(raw[:12])
        # Nine characters of a number in JSON: whether it was written as float32 or as float64
        for number in struct.unpack("<2f", raw[:8]):
            if 1e-3 < abs(number) < 1:
                yield f"{abs(number):.12f}"[:9].encode()


def spelt(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts in the ways in which a file may hold them."""
    for text in texts:
        for form in {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}:
            raw = form.encode("utf-8", "surrogateescape")
            yield raw
            yield from _encoded(form, raw)


def _encoded(text: str, raw: bytes) -> Iterator[bytes]:
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
