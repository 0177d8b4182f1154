"""A private row → the same as a catalogue has it: the one place that says what of it goes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CatalogueError, PictureError
from ...media import redact
from ...shapes import Area, Box
from ...store.catalogue import Notes
from . import public_ids

GPS_DECIMALS = 1
"""Degrees: 0.1 is 11 km from north to south, the size of a town."""

PICTURE = {"photos": "thumbnail", "faces": "crop"}
"""The column of a table that holds its picture."""
Boxes = Sequence[tuple[Any, ...]]
"""x, y, width, height of each."""


def person_row(row: dict[str, Any]) -> dict[str, Any]:
    """A person as a catalogue has them."""
    return {
        "id": row["public_id"],
        "name": row["name"],
        "cover_face_id": row["cover"],
        "key": f"p{row['public_id']}",
        "faces": 0,
    }


def photo_row(
    row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes
) -> dict[str, Any]:
    """A photo as a catalogue has it; blurred: the boxes in it that must not be made out."""
    boxes = [redact.locate_in_photo(Box(*box), row["width"], row["height"]) for box in blurred]
    facts = photo_facts(row, blurred, notes=notes, secret=secret)
    mark = notes.get("watermark")
    return {**facts, "thumbnail": _picture(row["thumbnail"], redact.THUMBNAIL, boxes, mark)}


def photo_facts(
    row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes
) -> dict[str, Any]:
    """All but the picture. Of a photo with somebody blurred there is no link to the original."""
    day = public_ids.day_of(row["taken_at"])
    name = public_ids.photo_name(secret, row["sha256"], day)
    found = {
        "id": row["public_id"],
        "path": name,
        "width": row["width"],
        "height": row["height"],
        "taken_at": day,
    }
    if notes.get("gps"):
        found |= {it: rounded(row[it]) for it in ("latitude", "longitude")}
    if notes.get("originals_url"):
        url = notes["originals_url"].replace("{id}", name)
        found["original_url"] = None if blurred else url
    return found


def rounded(degrees: object) -> float | None:
    """A coordinate that says which town; None for none."""
    return round(degrees, GPS_DECIMALS) if isinstance(degrees, int | float) else None


def face_row(row: dict[str, Any], blurred: Boxes, *, notes: Notes, secret: bytes) -> dict[str, Any]:
    """A face as a catalogue has it; blurred: the boxes in its photo that must not be made out."""
    crop = _picture(row["crop"], redact.CROP, _seen(row, blurred) if blurred else (), None)
    return {**face_facts(row), "crop": crop}


def _seen(row: dict[str, Any], blurred: Boxes) -> list[Area]:
    """The areas of a face's crop that show others to blur."""
    own = Box(row["x"], row["y"], row["width"], row["height"])
    others = [Box(*box) for box in blurred]
    landmarks = landmarks_of(row["landmarks"])
    seen = [redact.locate_in_crop(box, landmarks) for box in others if box != own]
    return [area for area in seen if area]


def face_facts(row: dict[str, Any]) -> dict[str, Any]:
    """All but the picture."""
    return {
        "id": row["public_id"],
        "photo_id": row["public_photo"],
        **{name: round(row[name]) for name in ("x", "y", "width", "height")},
        "detection_score": round(row["detection_score"], 2),
        "sharpness": round(row["sharpness"]),
        "person_id": row["public_person"],
        "person_source": None,
        "photo_taken_at": public_ids.day_of(row["photo_taken_at"]),
    }


@dataclass(frozen=True, slots=True)
class Printed:
    """A row as a catalogue has it, and what the seal takes in of it."""

    row: dict[str, Any]
    sealed: bytes


def printed(
    taken: tuple[dict[str, Any], Boxes], *, table: str, notes: Notes, secret: bytes
) -> Printed:
    """A photo or a face, with the boxes to blur in its photo, as a catalogue has it.

    Raises CatalogueError, which names what in the private file cannot be printed.
    """
    row, blurred = taken
    make = photo_row if table == "photos" else face_row
    try:
        found = make(row, blurred, notes=notes, secret=secret)
    # What another program wrote may be text where a number should be, or a width of nothing
    except (PictureError, TypeError, ValueError, ArithmeticError) as error:
        what = f"photo {row['photo_id']}" if table == "photos" else f"face {row['id']}"
        raise CatalogueError(
            f"The private file's {what} cannot be published ({error}); what is wrong with it, and what "
            "mends it: datasette faces doctor"
        ) from None
    return Printed(found, sealed(table, found["id"], found[PICTURE[table]], blurred))


def landmarks_of(text: object) -> np.ndarray[Any, Any]:
    """(5, 2), or of another shape where there are none."""
    with suppress(TypeError, ValueError):
        return np.array(json.loads(str(text)), np.float32)
    return np.empty((0, 2), np.float32)


def _picture(
    data: bytes, spec: redact.JpegSpec, blurred: Iterable[Area], watermark: str | None
) -> bytes:
    return redact.redact_picture(data, spec, blurred=list(blurred), watermark=watermark)


def sealed(table: str, row_id: int, picture: object, blurred: Boxes) -> bytes:
    """What the seal of a catalogue takes in of one picture: also what has to be blurred in its photo."""
    digest = hashlib.sha256(picture if isinstance(picture, bytes) else b"").digest()
    return f"{table} {row_id} {sorted(blurred)} ".encode() + digest


def sealed_notes(notes: Notes) -> bytes:
    """What the seal takes in of what is turned on."""
    return json.dumps(sorted((name, it) for name, it in notes.items() if name != "seal")).encode()
