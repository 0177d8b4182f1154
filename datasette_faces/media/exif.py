"""EXIF: orientation, date, camera, position. No pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

_DATE = re.compile(r"(\d{4})[:\-](\d\d)[:\-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-]\d\d:\d\d|Z")
UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class Exif:
    """Facts of one photograph; None where they are missing or impossible.

    taken_at: ISO 8601, with sub-seconds and offset if given. Position in degrees, WGS 84.
    """

    orientation: int = UPRIGHT
    taken_at: str | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def read_exif(image: Image.Image) -> Exif:
    """Read the facts that can be read; a corrupt block only loses its own."""
    # Pillow parses a block on access, and broken bytes make it raise anything
    tags: Any = _or_none(image.getexif)
    if tags is None:
        return Exif()
    details = _or_none(lambda: tags.get_ifd(ExifTags.IFD.Exif)) or {}
    position = _or_none(lambda: tags.get_ifd(ExifTags.IFD.GPSInfo)) or {}
    latitude, longitude = _read_position(position)
    base = ExifTags.Base
    orientation, make, model, changed_at = (
        _or_none(tags.get, tag) for tag in (base.Orientation, base.Make, base.Model, base.DateTime)
    )
    return Exif(
        orientation=orientation if orientation in range(1, 9) else UPRIGHT,
        taken_at=_or_none(_read_date, changed_at, details),
        camera=_name_camera(_clean_text(make), _clean_text(model)),
        latitude=latitude,
        longitude=longitude,
    )


def _or_none(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception:
        return None


def _clean_text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return ""
    return text.replace("\0", " ").strip()


def _read_date(changed_at: Any, details: dict[int, Any]) -> str | None:
    base = ExifTags.Base
    candidates = (
        (details.get(base.DateTimeOriginal), base.SubsecTimeOriginal, base.OffsetTimeOriginal),
        (details.get(base.DateTimeDigitized), base.SubsecTimeDigitized, base.OffsetTimeDigitized),
        (changed_at, base.SubsecTime, base.OffsetTime),
    )
    for value, subsecond_tag, offset_tag in candidates:
        date = _parse_date(_clean_text(value))
        if date is None:
            continue
        subseconds = _clean_text(details.get(subsecond_tag))
        offset = _clean_text(details.get(offset_tag))
        return "".join(
            (
                date,
                f".{subseconds}" if subseconds.isdigit() else "",
                offset if _OFFSET.fullmatch(offset) else "",
            )
        )
    return None


def _parse_date(text: str) -> str | None:
    match = _DATE.match(text)
    if match is None:
        return None
    # Cameras whose clock was never set write zeros
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        return datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None


def _name_camera(make: str, model: str) -> str | None:
    """Make and model as one name: "NIKON CORPORATION" and "NIKON D90" give "NIKON D90"."""
    if model and make and model.split()[0].lower() in make.lower():
        return model
    return " ".join(filter(None, (make, model))) or None


def _read_position(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    tags = ExifTags.GPS
    latitude = _read_degrees(gps, tags.GPSLatitude, tags.GPSLatitudeRef, negative="S", limit=90)
    longitude = _read_degrees(gps, tags.GPSLongitude, tags.GPSLongitudeRef, negative="W", limit=180)
    # Cameras without a fix write 0, 0; half a position is useless
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _read_degrees(
    gps: dict[int, Any], value_tag: int, sign_tag: int, *, negative: str, limit: float
) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in gps[value_tag])
    except Exception:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not 0 <= value <= limit:
        return None
    sign = -1 if _clean_text(gps.get(sign_tag)).upper() == negative else 1
    return round(sign * value, 7)
