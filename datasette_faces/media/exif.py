"""What a camera wrote beside the pixels: orientation, date, camera, position. No pixels here."""

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
    """Facts of one photograph; None where the file does not say, or says nonsense.

    taken_at: ISO 8601, with sub-seconds and offset where given. Position in degrees, WGS 84.
    """

    orientation: int = UPRIGHT
    taken_at: str | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def read_exif(image: Image.Image) -> Exif:
    """Read what can be read; a corrupt block costs only what it holds."""
    # Pillow parses a block when it is asked for, and raises what the bytes make it raise
    tags: Any = _quietly(image.getexif)
    if tags is None:
        return Exif()
    details = _quietly(lambda: tags.get_ifd(ExifTags.IFD.Exif)) or {}
    position = _quietly(lambda: tags.get_ifd(ExifTags.IFD.GPSInfo)) or {}
    latitude, longitude = _position(position)
    base = ExifTags.Base
    orientation, make, model, changed_at = (
        _quietly(tags.get, tag) for tag in (base.Orientation, base.Make, base.Model, base.DateTime)
    )
    return Exif(
        orientation=orientation if orientation in range(1, 9) else UPRIGHT,
        taken_at=_quietly(_taken_at, changed_at, details),
        camera=_camera(_text(make), _text(model)),
        latitude=latitude,
        longitude=longitude,
    )


def _quietly(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception:
        return None


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return ""
    return text.replace("\0", " ").strip()


def _taken_at(changed_at: Any, details: dict[int, Any]) -> str | None:
    base = ExifTags.Base
    candidates = (
        (details.get(base.DateTimeOriginal), base.SubsecTimeOriginal, base.OffsetTimeOriginal),
        (details.get(base.DateTimeDigitized), base.SubsecTimeDigitized, base.OffsetTimeDigitized),
        (changed_at, base.SubsecTime, base.OffsetTime),
    )
    for value, subsecond_tag, offset_tag in candidates:
        moment = _moment(_text(value))
        if moment is None:
            continue
        subseconds = _text(details.get(subsecond_tag))
        offset = _text(details.get(offset_tag))
        return "".join(
            (
                moment,
                f".{subseconds}" if subseconds.isdigit() else "",
                offset if _OFFSET.fullmatch(offset) else "",
            )
        )
    return None


def _moment(text: str) -> str | None:
    found = _DATE.match(text)
    if found is None:
        return None
    # Cameras whose clock was never set write zeros
    try:
        year, month, day, hour, minute, second = (int(part) for part in found.groups())
        return datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None


def _camera(make: str, model: str) -> str | None:
    """Maker and model as one name: "NIKON CORPORATION", "NIKON D90" is a "NIKON D90"."""
    if model and make and model.split()[0].lower() in make.lower():
        return model
    return " ".join(filter(None, (make, model))) or None


def _position(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "S", 90)
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "W", 180)
    # Cameras without a fix write 0, 0; half a position is none
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(
    gps: dict[int, Any], value_tag: int, sign_tag: int, negative: str, limit: float
) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in gps[value_tag])
    except Exception:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not 0 <= value <= limit:
        return None
    sign = -1 if _text(gps.get(sign_tag)).upper() == negative else 1
    return round(sign * value, 7)
