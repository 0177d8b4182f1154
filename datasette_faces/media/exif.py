"""EXIF: orientation, date, camera, position. No pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from . import positions
from .dates import parse_date
from .positions import LATITUDE, LONGITUDE, Axis

UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class Exif:
    """Facts of one photograph; None where they are missing or impossible.

    taken_at: ISO 8601, with as much as is given: a year, a month, a day, a time with sub-seconds and
    offset. is_scan_date: it is when the picture was digitized, and is_save_date, when the file was saved
    last, as nothing here says when it was taken.
    Position in degrees, WGS 84.
    """

    orientation: int = UPRIGHT
    taken_at: str | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    is_save_date: bool = False
    is_scan_date: bool = False


def read_exif(image: Image.Image) -> Exif:
    """Read the facts that can be read; a corrupt block only loses its own."""
    # Pillow parses a block on access, and broken bytes make it raise anything
    tags: Any = _or_none(image.getexif)
    if tags is None:
        return Exif()
    details = _or_none(lambda: tags.get_ifd(ExifTags.IFD.Exif)) or {}
    # TIFF/EP (ISO 12234-2) has it in the first directory
    original = ExifTags.Base.DateTimeOriginal
    details = {original: _or_none(tags.get, original), **details}
    position = _or_none(lambda: tags.get_ifd(ExifTags.IFD.GPSInfo)) or {}
    latitude, longitude = _read_position(position)
    base = ExifTags.Base
    orientation, make, model, changed_at = (
        _or_none(tags.get, tag) for tag in (base.Orientation, base.Make, base.Model, base.DateTime)
    )
    taken_at = _or_none(_read_date, details)
    scanned_at = None if taken_at else _or_none(_read_scan_date, details)
    saved_at = None if taken_at or scanned_at else _or_none(_read_save_date, changed_at, details)
    return Exif(
        orientation=orientation if orientation in range(1, 9) else UPRIGHT,
        taken_at=taken_at or scanned_at or saved_at,
        camera=_name_camera(_clean_text(make), _clean_text(model)),
        latitude=latitude,
        longitude=longitude,
        is_save_date=saved_at is not None,
        is_scan_date=scanned_at is not None,
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


def _read_date(details: dict[int, Any]) -> str | None:
    """When the picture was taken."""
    base = ExifTags.Base
    return _parse_tags(
        details, base.DateTimeOriginal, base.SubsecTimeOriginal, base.OffsetTimeOriginal
    )


def _read_scan_date(details: dict[int, Any]) -> str | None:
    """When the picture was digitized: of a print, when it was scanned."""
    base = ExifTags.Base
    return _parse_tags(
        details, base.DateTimeDigitized, base.SubsecTimeDigitized, base.OffsetTimeDigitized
    )


def _read_save_date(changed_at: Any, details: dict[int, Any]) -> str | None:
    """When the file was saved last."""
    base = ExifTags.Base
    tags = {**details, base.DateTime: changed_at}
    return _parse_tags(tags, base.DateTime, base.SubsecTime, base.OffsetTime)


def _parse_tags(tags: dict[int, Any], date: int, subseconds: int, offset: int) -> str | None:
    written, fraction, zone = (_clean_text(tags.get(tag)) for tag in (date, subseconds, offset))
    return parse_date(written, subseconds=fraction, offset=zone)


def _name_camera(make: str, model: str) -> str | None:
    """Make and model as one name: "NIKON CORPORATION" and "NIKON D90" give "NIKON D90"."""
    if model and make and model.split()[0].lower() in make.lower():
        return model
    return " ".join(filter(None, (make, model))) or None


def _read_position(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    tags = ExifTags.GPS
    return positions.join_position(
        _read_degrees(gps.get(tags.GPSLatitude), gps.get(tags.GPSLatitudeRef), LATITUDE),
        _read_degrees(gps.get(tags.GPSLongitude), gps.get(tags.GPSLongitudeRef), LONGITUDE),
    )


def _read_degrees(value: Any, reference: Any, axis: Axis) -> float | None:
    words = _clean_text(reference)
    if isinstance(value, (str, bytes)):
        return positions.parse_degrees(_clean_text(value), axis, reference=words)
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return positions.read_degrees(parts, axis, reference=words)
