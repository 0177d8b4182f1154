"""The checks of an audit, one function each: what is there beside what may be there."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import FacesError
from ...media import jpeg_verify, redact
from ...store.connection import Connection
from ..publish import public_ids, public_rows, selection

EXAMPLES = 5
"""So many of what was found are told."""
SAMPLED = 200
"""Pictures of a kind that are compared with the private file's where the seal holds."""
MOST_DIFFERENT = 8.0
"""Mean difference of a block of pixels, 0..255: another version of libjpeg makes one or two."""
KNOWN_NOTES = {
    "format": r"1",
    "made_on": r"\d{4}-\d\d-\d\d",
    "embeddings": r"yes",
    "unnamed": r"yes",
    "gps": r"city",
    "originals_url": r"https://\S+",
    "blur_others": r"yes",
    "watermark": r"[^\0]{1,200}",
    "portable": r"yes",
    "chosen": r"people|query|people and query",
    "seal": r"[0-9a-f]{64}",
}
LOOKS = {"photos": redact.THUMBNAIL, "faces": redact.CROP}
"""How the pictures of a table were printed."""
METADATA = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap",
    b"<x:xmpmeta",
    b"ICC_PROFILE",
    b"Photoshop 3.0",
)


@dataclass(frozen=True)
class Finding:
    """One check: what was looked for, of how many things, and how many were found, with examples."""

    check: str
    looked_for: int
    found: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, check: str, looked_for: int, found: Iterable[object]) -> Finding:
        """Of what was found, and counted, the first EXAMPLES."""
        listed = [str(it) for it in found]
        return cls(check, looked_for, len(listed), tuple(listed[:EXAMPLES]))


@dataclass(frozen=True)
class File:
    """A catalogue as it lies there: its path, its connection, its bytes."""

    path: str
    conn: Connection
    data: Any


@dataclass(frozen=True)
class Known(File):
    """A catalogue beside its private file. faces: private ids of those that are published."""

    private: Connection
    notes: dict[str, str]
    faces: list[int]


@dataclass(frozen=True)
class Catalogue(Known):
    """The same, with all of the private file numbered as the public knows it.

    blurred: by photo, the boxes that must not be made out in it.
    """

    secret: bytes
    blurred: Mapping[int, public_rows.Boxes]

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """What a query gives, as dictionaries."""
        cursor = self.conn.execute(sql)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)


def notes(it: Catalogue) -> list[Finding]:
    """`catalogue` says what was turned on, and nothing else."""
    strange = [
        name
        for name, value in it.notes.items()
        if not re.fullmatch(KNOWN_NOTES.get(name, "(?!)"), value)
    ]
    return [Finding.of("notes of the catalogue", len(it.notes), strange)]


def faces_allowed(it: Catalogue) -> list[Finding]:
    """No face is of somebody hidden; none of nobody known, unless that was asked for."""
    found = selection.not_allowed(it.private, unnamed=bool(it.notes.get("unnamed")))
    return [Finding.of("faces of hidden or unnamed people", len(it.faces), found)]


def people_rows(it: Catalogue) -> list[Finding]:
    """People are as they should be, everybody who has a face is there, and nobody else is."""
    wanted = {row["public_id"]: public_rows.person_row(row) for row in selection.people(it.private)}
    faces: dict[Any, set[Any]] = {}
    for row in it.rows("select id, person_id from faces"):
        faces.setdefault(row["person_id"], set()).add(row["id"])
    there = list(it.rows("select * from people"))
    strange = [
        f"people {row['id']}: {row['name']}"
        for row in there
        if not _is_person(row, wanted.get(row["id"]), faces.get(row["id"], set()))
    ]
    strange += [f"people {it}: is not there" for it in wanted.keys() - {row["id"] for row in there}]
    return [Finding.of("people", len(there), strange)]


def _is_person(row: dict[str, Any], wanted: dict[str, Any] | None, faces: set[Any]) -> bool:
    """Whether all that is said of a person is so, with the faces that are theirs here."""
    if wanted is None or any(not _same(wanted[name], row[name]) for name in ("name", "key")):
        return False
    counted = _same(len(faces), row["faces"]) and _same(0, row["hidden"])
    return counted and row["cover_face_id"] in faces


def photo_rows(it: Catalogue) -> list[Finding]:
    """Every cell of `photos` is what an export would write."""
    rows = selection.photos(it.private, pictures=False)
    wanted = (
        public_rows.photo_facts(
            row, it.blurred.get(row["photo_id"], ()), notes=it.notes, secret=it.secret
        )
        for row in rows
    )
    return _compared(it, "photos", wanted)


def face_rows(it: Catalogue) -> list[Finding]:
    """Every cell of `faces` is what an export would write."""
    rows = selection.faces(it.private, pictures=False)
    return _compared(it, "faces", (public_rows.face_facts(row) for row in rows))


def _compared(it: Catalogue, table: str, wanted: Iterator[dict[str, Any]]) -> list[Finding]:
    picture = public_rows.PICTURE[table]
    names = [row[1] for row in it.conn.execute(f"pragma table_info({table})")]
    kept = [name for name in names if name != picture]
    columns = ", ".join(f'"{name}"' for name in kept)
    strange, count = [], 0
    expected = next(wanted, None)
    for row in it.rows(f"select {columns} from {table} order by id"):
        count += 1
        while expected is not None and _before(expected["id"], row["id"]):
            expected = next(wanted, None)
        if expected is None or expected["id"] != row["id"]:
            strange.append(f"{table} {row['id']}: not published by this private file")
            continue
        if _alike(row, expected):
            continue
        for name, value in row.items():
            if name not in expected or not _same(expected[name], value):
                strange.append(f"{table} {row['id']}: {name} {value!r:.80}")
    return [Finding.of(f"cells of {table}", count * len(names), strange)]


def _alike(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether all cells are the same, down to their types: nearly always, and soon seen."""
    return row == wanted and all(type(row[name]) is type(it) for name, it in wanted.items())


def _before(one: Any, other: Any) -> bool:
    return isinstance(other, int) and one < other


def _same(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, float) or isinstance(there, float):
        return isinstance(there, int | float) and wanted == there
    return type(wanted) is type(there) and bool(wanted == there)


def picture_bytes(it: Catalogue) -> list[Finding]:
    """Every picture is a JPEG and nothing else: no metadata, nothing behind its end, none within.

    Codes are gone through in SAMPLED pictures only: it takes milliseconds for each.
    """
    rows = [it.conn.execute(f"select count(*) from {table}").fetchone()[0] for table in LOOKS]
    step = max(1, sum(rows) // SAMPLED)
    strange = []
    for place, (table, row_id, data) in enumerate(_pictures(it)):
        quality = LOOKS[table].quality
        wrong = jpeg_verify.fault(data, quality) if isinstance(data, bytes) else "no picture"
        if not wrong and place % step == 0:
            wrong = jpeg_verify.scan_fault(data, quality)
        if wrong:
            strange.append(f"{table} {row_id}: {wrong}")
    return [Finding.of("EXIF, XMP and other metadata in pictures", sum(rows), strange)]


def _pictures(it: Catalogue) -> Iterator[tuple[str, Any, Any]]:
    for table, column in public_rows.PICTURE.items():
        for row_id, data in it.conn.execute(f"select id, {column} from {table} order by id"):
            yield table, row_id, data


def picture_contents(it: Catalogue) -> list[Finding]:
    """Every picture is of what it should be of, and blurred where it should be as of now.

    The seal says so of all; where it does not hold, each is printed anew and compared.
    """
    seal = public_ids.seal(it.secret)
    photo_of = {table: selection.photos_of(it.private, table) for table in public_rows.PICTURE}
    ids: list[tuple[str, Any]] = []
    for table, row_id, data in _pictures(it):
        blurred = it.blurred.get(photo_of[table].get(row_id, 0), ())
        seal.update(public_rows.sealed(table, row_id, data, blurred))
        ids.append((table, row_id))
    seal.update(public_rows.sealed_notes(it.notes))
    whole = hmac.compare_digest(seal.hexdigest(), it.notes.get("seal", ""))
    step = max(1, len(ids) // SAMPLED) if whole else 1
    strange = [
        f"{table} {row_id}: {public_rows.PICTURE[table]} shows something else"
        for table, row_id in ids[::step]
        if not _is_of(it, table, row_id, _picture(it, table, row_id))
    ]
    broken = [] if whole else ["a picture, what has to be blurred, or a note is another one since"]
    return [
        Finding.of("the seal of the export", 1, broken),
        Finding.of("pictures of what is not published", len(ids), strange),
    ]


def _picture(it: Catalogue, table: str, row_id: Any) -> Any:
    sql = f"select {public_rows.PICTURE[table]} from {table} where id = ?"
    row = it.conn.execute(sql, [row_id]).fetchone()
    return row and row[0]


def _is_of(it: Catalogue, table: str, row_id: Any, data: Any) -> bool:
    row = selection.one(it.private, table, row_id) if isinstance(row_id, int) else None
    if row is None or not isinstance(data, bytes):
        return False
    taken = (row, it.blurred.get(row["photo_id"], ()))
    try:
        anew = public_rows.printed(taken, table=table, notes=it.notes, secret=it.secret)
        return redact.differ(anew.row[public_rows.PICTURE[table]], data) < MOST_DIFFERENT
    except FacesError:
        return False
