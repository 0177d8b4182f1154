"""Crops and thumbnails that do not decode: found, and made again from the photos' files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...algorithms import geometry
from ...errors import PictureError
from ...media import files
from ...media.crop import is_decodable, is_whole_jpeg
from ...models import pipeline
from ...shapes import Box, Landmarks
from ...store import forgotten_faces, integrity, summary
from ...store.catalogue import PICTURE_COLUMNS
from ...store.connection import Connection, transaction
from .findings import HealthFinding, report_rows

MAX_DECODED = 2_000
"""Pictures of each kind that are decoded, evenly spread; of the others, only start and end are checked."""


def find_broken_pictures(conn: Connection) -> Iterator[HealthFinding]:
    """Crops and thumbnails that cannot be decoded; as notes, photos that were damaged already."""
    face_ids, photo_ids = list_broken(conn, "faces"), list_broken(conn, "photos")
    yield from _report_broken(conn, "crop", face_ids, integrity.photos_of(conn, face_ids))
    yield from _report_broken(conn, "thumbnail", photo_ids, photo_ids)
    yield from _report_damaged(conn)


def _report_damaged(conn: Connection) -> Iterator[HealthFinding]:
    one, many = (
        "photo was damaged when it was ingested",
        "photos were damaged when they were ingested",
    )
    paths = [photo["path"] for photo in summary.damaged(conn)]
    mend = "what can be read of it is here: replace the file by a whole copy, and ingest it again"
    yield from report_rows("damaged", one, many, paths, mend=mend, level="note")


def _report_broken(
    conn: Connection, what: str, ids: list[int], photo_ids: list[int]
) -> Iterator[HealthFinding]:
    words = f"{what} cannot be decoded", f"{what}s cannot be decoded"
    if has_any_original(conn, photo_ids):
        how = "--fix makes what it can again, from the photos' files"
        yield from report_rows("pictures", *words, ids, mend=how, done="made again", fixable=True)
        return
    places = [place[0] for photo_id in photo_ids for place in integrity.places(conn, photo_id)[:1]]
    more = ", and the other files" if len(places) > 1 else ""
    how = (
        f"restore {places[0]} as it was{more}, or ingest the folder where it is now"
        if places
        else ""
    )
    yield from report_rows("pictures", *words, ids, mend=how, then=("doctor", "--fix"))


def list_broken(conn: Connection, table: str) -> list[int]:
    """The rows of photos or faces whose picture cannot be decoded."""
    count = conn.execute(f"select count(*) from {table}").fetchone()[0]
    step, broken, place = max(1, count // MAX_DECODED), [], 0
    for piece in integrity.pictures(conn, table, PICTURE_COLUMNS[table]):
        for row_id, data in piece:
            whole = is_whole_jpeg(data)
            if not whole or (place % step == 0 and not is_decodable(data)):
                broken.append(row_id)
            place += 1
    return broken


def find_original(conn: Connection, photo_id: int) -> bytes | None:
    """A photo's bytes, from any place that has held them; None where no file holds them now."""
    for path, raw, size_bytes, sha256 in integrity.places(conn, photo_id):
        data = files.read_verified(files.as_path(path, raw), size_bytes, sha256)
        if data is not None:
            return data
    return None


def has_any_original(conn: Connection, photo_ids: Iterable[int]) -> bool:
    """Whether the file of one of these photos is where it was, and unchanged."""
    return any(find_original(conn, photo_id) is not None for photo_id in photo_ids)


def recrop_broken(conn: Connection) -> list[tuple[str, str]]:
    """Make broken crops and thumbnails again, as an ingest does; the photos that gave none, and why.

    Only these pictures change. Each photo has its own transaction, as decoding takes long.
    """
    thumbnails, faces = set(list_broken(conn, "photos")), list_broken(conn, "faces")
    faults: list[tuple[str, str]] = []
    for photo_id in sorted(thumbnails.union(integrity.photos_of(conn, faces))):
        data = find_original(conn, photo_id)
        if data is None:
            continue
        try:
            _recrop(conn, photo_id, data, set(faces), thumbnail=photo_id in thumbnails)
        except PictureError as error:
            faults.append((integrity.places(conn, photo_id)[0][0], str(error)))
    return faults


def _recrop(
    conn: Connection, photo_id: int, data: bytes, face_ids: set[int], *, thumbnail: bool
) -> None:
    boxes: list[Box] = []
    landmarks: dict[int, Landmarks] = {}
    for face_id, box, text in integrity.measured_faces(conn, photo_id):
        boxes.append(box)
        points = geometry.parse_landmarks(text)
        if face_id in face_ids and points.shape == (5, 2):
            landmarks[face_id] = points
    small, crops = pipeline.make_thumbnail_and_crops(data, boxes, list(landmarks.values()))
    with transaction(conn):
        if thumbnail:
            integrity.set_thumbnail(conn, photo_id, small)
        for face_id, crop in zip(landmarks, crops, strict=True):
            integrity.set_crop(conn, face_id, crop)
        forgotten_faces.redact_pictures(conn, photo_id)
