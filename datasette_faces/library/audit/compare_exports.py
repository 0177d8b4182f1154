"""The comparison of an audit: a new export of the private file gives the same catalogue.

No other module here calls the code that exports. This one shows that a catalogue is up to date and
unchanged; whether an export makes a mistake, the other checks show, which have rules of their own. They
too rely on `match_faces`, though: public ids are matched with private ones by the exporter's code.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...errors import CatalogueError, FacesError
from ...media import redact
from ...shapes import ModelInfo
from ...store import catalogue as tables
from ...store.catalogue import PICTURE_COLUMNS
from ...store.connection import Connection
from ...store.schema import quote_name
from ..publish import hidden_faces, public_ids, public_rows, selection
from .findings import AuditFinding, Catalogue, Row, pair_by_id
from .schema_check import scratch_catalogue

SAMPLED = 200
"""Pictures of each kind to export once more where the seal holds."""
MAX_DIFFERENCE = 8.0
"""Mean difference of a block of pixels, 0..255; another version of libjpeg makes one or two."""
EMBEDDING_TABLES = {"models", "face_embeddings"}
TABLES_COMPARED_ELSEWHERE = {"photos", "faces", "people", "catalogue"}
OTHER_PROGRAMS = (
    "the indexes were made by another version of sqlite-vec or faiss, on another kind of processor, or "
    "are not of these embeddings; if the first, export again"
)
PUBLISHED = "select public_id from public_faces where id in (select id from chosen)"
FACE = """
insert into faces(id, photo_id, x, y, width, height, detection_score, sharpness, crop)
values (?, 0, 0, 0, 0, 0, 0, 0, x'')
"""


@dataclass(frozen=True)
class Comparison:
    """A catalogue, and what an export needs to make it once more.

    secret: the private file's, for public ids. blurred: by photo, the boxes to blur.
    """

    catalogue: Catalogue
    secret: bytes
    blurred: dict[int, list[tuple[Any, ...]]]


def match_faces(private: Connection, conn: Connection) -> list[int]:
    """The private ids of the faces of a catalogue; their public ids are in `public_faces` afterwards.

    The exporter's code assigns and matches the ids, for all checks of the audit.
    Raises CatalogueError where the private file knows none of them.
    """
    selection.assign_public_ids(private, selection.read_secret(private) or b"none")
    sql = "select id from faces where typeof(id) = 'integer'"
    public = [row[0] for row in conn.execute(sql)]
    known = selection.choose_public_faces(private, public)
    if public and not known:
        raise CatalogueError(
            "The catalogue was not made of this private file, which knows none of its faces. Was the "
            "private file rebuilt, or is it a copy from before the first export? Export again"
        )
    return known


def prepare_comparison(catalogue: Catalogue) -> Comparison:
    """What to compare a catalogue with; after `match_faces`."""
    secret = selection.read_secret(catalogue.private) or b"none"
    hidden_faces.redact(catalogue.private, edited=bool(catalogue.notes.get("edited")))
    others = bool(catalogue.notes.get("blur_others"))
    return Comparison(
        catalogue, secret, selection.find_boxes_to_blur(catalogue.private, others=others)
    )


def compare_photos(comparison: Comparison) -> list[AuditFinding]:
    """Every cell of `photos` is what an export writes today."""
    catalogue, blurred = comparison.catalogue, comparison.blurred
    expected = (
        public_rows.export_photo_cells(
            row, blurred.get(row["photo_id"], ()), notes=catalogue.notes, secret=comparison.secret
        )
        for row in selection.read_photos(catalogue.private, pictures=False)
    )
    return _compare_cells(catalogue, "photos", expected)


def compare_faces(comparison: Comparison) -> list[AuditFinding]:
    """Every cell of `faces` is what an export writes today."""
    rows = selection.read_faces(comparison.catalogue.private, pictures=False)
    return _compare_cells(comparison.catalogue, "faces", map(public_rows.export_face_cells, rows))


def _compare_cells(catalogue: Catalogue, table: str, exported: Iterator[Row]) -> list[AuditFinding]:
    """Compare the cells of a table with exported rows, both in the order of their ids."""
    names = [row[1] for row in catalogue.conn.execute(f"pragma table_info({table})")]
    columns = ", ".join(quote_name(name) for name in names if name != PICTURE_COLUMNS[table])
    leaks, count = [], 0
    rows = catalogue.rows(f"select {columns} from {table} order by id")
    for row, expected in pair_by_id(rows, exported):
        count += 1
        if expected is None:
            leaks.append(f"{table} {row['id']}: not published by this private file")
        elif not _is_same_row(row, expected):
            leaks += _differing_cells(table, row, expected)
    return [AuditFinding.of(f"cells of {table}", count * len(names), leaks)]


def _differing_cells(table: str, row: Row, expected: Row) -> Iterator[str]:
    for name, value in row.items():
        if name not in expected or not _is_same(expected[name], value):
            yield f"{table} {row['id']}: {name} {value!r:.80}"


def _is_same_row(row: Row, expected: Row) -> bool:
    """Whether all cells are equal and of the same types; nearly always, and quick to see."""
    return row == expected and all(
        type(row[name]) is type(value) for name, value in expected.items()
    )


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, float) or isinstance(found, float):
        return isinstance(found, int | float) and expected == found
    return type(expected) is type(found) and bool(expected == found)


def compare_vectors(comparison: Comparison) -> list[AuditFinding]:
    """Models, embeddings and indexes are, byte by byte, those of published faces, or there are none."""
    catalogue = comparison.catalogue

    def fill(conn: Connection, known: list[ModelInfo]) -> None:
        # Only the ids of faces: the indexes count them
        conn.executemany(FACE, catalogue.private.execute(PUBLISHED))
        selection.copy_embeddings(catalogue.private, conn, known)

    with scratch_catalogue(catalogue, fill) as again:
        # Rows of another schema, which `check_schema` reports, cannot be compared
        shared = tables.ordinary(tables.schema(again) & tables.schema(catalogue.conn))
        vectors = _compare_tables(
            "embeddings and models", catalogue, again, shared & EMBEDDING_TABLES
        )
        rest = shared - EMBEDDING_TABLES - TABLES_COMPARED_ELSEWHERE
        indexes = _compare_tables("indexes of embeddings", catalogue, again, rest)
    if indexes.found:
        indexes = replace(indexes, examples=(*indexes.examples, OTHER_PROGRAMS))
    return [vectors, indexes]


def _compare_tables(
    check: str, catalogue: Catalogue, again: Connection, names: set[str]
) -> AuditFinding:
    count = sum(
        catalogue.conn.execute(f"select count(*) from {name}").fetchone()[0] for name in names
    )
    leaks = (leak for name in sorted(names) for leak in _compare_rows(catalogue, again, name))
    return AuditFinding.of(check, count, leaks)


def _compare_rows(catalogue: Catalogue, again: Connection, table: str) -> Iterator[str]:
    """The rows of a table that an export does not write, or not with this row number."""
    exported = _numbered_rows(again, table)
    expected = next(exported, None)
    for row in _numbered_rows(catalogue.conn, table):
        while expected is not None and expected[0] < row[0]:
            expected = next(exported, None)
        if expected is None or [*map(_with_type, expected)] != [*map(_with_type, row)]:
            yield f"{table} {', '.join(map(_describe, row[1:4]))}"


def _numbered_rows(conn: Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """Rows with their row numbers, which could tell something as well."""
    return iter(conn.execute(f"select _rowid_, * from {table} order by _rowid_"))


def _with_type(value: object) -> tuple[type, object]:
    """A value as SQLite keeps it: 1 and 1.0 are two."""
    return type(value), value


def _describe(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else f"{value!r:.40}"


def compare_pictures(comparison: Comparison) -> list[AuditFinding]:
    """The seal over pictures, boxes to blur and options holds, and a sample of pictures is the same.

    Where the seal is broken, every picture is exported once more.
    """
    catalogue = comparison.catalogue
    is_sealed = hmac.compare_digest(_seal(comparison), catalogue.notes.get("seal", ""))
    ids = [(table, row_id) for table, row_id, _ in catalogue.pictures()]
    step = max(1, len(ids) // SAMPLED) if is_sealed else 1
    leaks = [
        f"{table} {row_id}: {PICTURE_COLUMNS[table]} shows something else"
        for table, row_id in ids[::step]
        if not _is_exported_picture(comparison, table, row_id)
    ]
    broken = "a picture, the boxes to blur, or an option is another one than at the export"
    return [
        AuditFinding.of("the seal of the export", 1, [] if is_sealed else [broken]),
        AuditFinding.of("pictures of what is not published", len(ids), leaks),
    ]


def _seal(comparison: Comparison) -> str:
    """The seal as an export writes it today over these pictures."""
    catalogue, seal = comparison.catalogue, public_ids.start_seal(comparison.secret)
    photos = {table: selection.map_to_photos(catalogue.private, table) for table in PICTURE_COLUMNS}
    for table, row_id, data in catalogue.pictures():
        blurred = comparison.blurred.get(photos[table].get(row_id, 0), ())
        seal.update(public_rows.encode_for_seal(table, row_id, data, blurred))
    seal.update(public_rows.encode_notes_for_seal(catalogue.notes))
    return seal.hexdigest()


def _is_exported_picture(comparison: Comparison, table: str, row_id: Any) -> bool:
    """Whether a picture is, but for the version of libjpeg, the one that an export makes today."""
    catalogue, column = comparison.catalogue, PICTURE_COLUMNS[table]
    sql = f"select {column} from {table} where id = ?"
    found = catalogue.conn.execute(sql, [row_id]).fetchone()
    row = selection.read_row(catalogue.private, table, row_id) if isinstance(row_id, int) else None
    if row is None or not found or not isinstance(found[0], bytes):
        return False
    taken = (row, comparison.blurred.get(row["photo_id"], ()))
    try:
        again = public_rows.export_row(
            taken, table=table, notes=catalogue.notes, secret=comparison.secret
        )
        return redact.differ(again.row[column], found[0]) < MAX_DIFFERENCE
    except FacesError:
        return False


COMPARISONS: tuple[Callable[[Comparison], list[AuditFinding]], ...] = (
    compare_photos,
    compare_faces,
    compare_vectors,
    compare_pictures,
)
"""All comparisons, in the order of their findings."""
