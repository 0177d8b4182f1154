"""A private row → its row in a catalogue: the one place that decides what of it is published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...algorithms import geometry
from ...errors import CatalogueError, PictureError
from ...media import redact
from ...shapes import Area, Box
from ...store import coerce
from ...store.catalogue import PICTURE_COLUMNS, Notes
from . import public_ids

GPS_DECIMALS = 1
"""Degrees: 0.1 is 11 km from north to south, the size of a town."""

Boxes = Sequence[tuple[Any, ...]]
"""x, y, width, height of each."""


def export_person(row: dict[str, Any]) -> dict[str, Any]:
    """A person's row in a catalogue; their faces are counted later."""
    return {
        "id": row["public_id"],
        "name": row["name"],
        "cover_face_id": row["cover"],
        "key": f"p{row['public_id']}",
        "faces": 0,
    }


def export_photo(
    row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes
) -> dict[str, Any]:
    """A photo's row in a catalogue; blurred: the boxes to blur in it. Raises PictureError."""
    boxes = [redact.locate_in_photo(Box(*box), row["width"], row["height"]) for box in blurred]
    facts = export_photo_cells(row, blurred, notes=notes, secret=secret)
    mark = notes.get("watermark")
    return {**facts, "thumbnail": _redact(row["thumbnail"], redact.THUMBNAIL, boxes, mark)}


def export_photo_cells(
    row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes
) -> dict[str, Any]:
    """A photo's row without its picture. If a face is blurred in it, there is no link to the original."""
    day = public_ids.parse_day(row["taken_at"])
    name = public_ids.make_photo_name(secret, row["sha256"], day)
    found = {
        "id": row["public_id"],
        "path": name,
        "width": row["width"],
        "height": row["height"],
        "taken_at": day,
        "turned": coerce.turn(row["turned"]),
    }
    if notes.get("gps"):
        found |= {name: round_degrees(row[name]) for name in ("latitude", "longitude")}
    if notes.get("originals_url"):
        url = notes["originals_url"].replace("{id}", name)
        found["original_url"] = None if blurred else url
    return found


def round_degrees(degrees: object) -> float | None:
    """A coordinate to the town; None if there is none."""
    return round(degrees, GPS_DECIMALS) if isinstance(degrees, int | float) else None


def export_face(
    row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes
) -> dict[str, Any]:
    """A face's row in a catalogue; blurred: the boxes to blur in its photo. Raises PictureError."""
    crop = _redact(row["crop"], redact.CROP, _areas_to_blur(row, blurred) if blurred else (), None)
    return {**export_face_cells(row), "crop": crop}


def _areas_to_blur(row: dict[str, Any], blurred: Boxes) -> list[Area]:
    """The areas to blur in a face's crop, which show other faces."""
    own = Box(row["x"], row["y"], row["width"], row["height"])
    others = [Box(*box) for box in blurred]
    landmarks = geometry.parse_landmarks(row["landmarks"])
    areas = [redact.locate_in_crop(box, landmarks) for box in others if box != own]
    return [area for area in areas if area]


def export_face_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A face's row without its picture."""
    return {
        "id": row["public_id"],
        "photo_id": row["public_photo"],
        **{name: round(row[name]) for name in ("x", "y", "width", "height")},
        "detection_score": round(row["detection_score"], 2),
        "sharpness": round(row["sharpness"]),
        "person_id": row["public_person"],
        "person_source": None,
        "photo_taken_at": public_ids.parse_day(row["photo_taken_at"]),
    }


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A row of a catalogue, and its bytes for the seal."""

    row: dict[str, Any]
    sealed: bytes


def export_row(
    taken: tuple[dict[str, Any], Boxes], *, table: str, notes: Notes, secret: bytes
) -> ExportedRow:
    """The row of a photo or a face in a catalogue; taken: its private row, and the boxes to blur.

    Raises CatalogueError, which names the private row that cannot be published.
    """
    row, blurred = taken
    export = export_photo if table == "photos" else export_face
    try:
        found = export(row, blurred, notes=notes, secret=secret)
    # Another program may have written text where a number should be, or a width of 0
    except (PictureError, TypeError, ValueError, ArithmeticError) as error:
        what = f"photo {row['photo_id']}" if table == "photos" else f"face {row['id']}"
        raise CatalogueError(
            f"The private file's {what} cannot be published ({error}); what is wrong with it, and what "
            "mends it: datasette faces doctor"
        ) from None
    return ExportedRow(
        found, encode_for_seal(table, found["id"], found[PICTURE_COLUMNS[table]], blurred)
    )


def _redact(
    data: bytes, spec: redact.JpegSpec, blurred: Iterable[Area], watermark: str | None
) -> bytes:
    return redact.redact_picture(data, spec, blurred=list(blurred), watermark=watermark)


def encode_for_seal(table: str, row_id: int, picture: object, blurred: Boxes) -> bytes:
    """The bytes of one picture for the seal, with the boxes to blur in its photo."""
    digest = hashlib.sha256(picture if isinstance(picture, bytes) else b"").digest()
    return f"{table} {row_id} {sorted(blurred)} ".encode() + digest


def encode_notes_for_seal(notes: Notes) -> bytes:
    """The bytes of the options for the seal."""
    return json.dumps(
        sorted((name, value) for name, value in notes.items() if name != "seal")
    ).encode()
