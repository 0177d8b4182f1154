"""The ids and names of photos, faces and people in a catalogue, made with the private file's secret.

The same content gets the same id at each export, so that links stay good; ids have gaps everywhere, so
that none tells what was left out. A photo's day, which a catalogue shows anyway, comes first in the
number: ids are in the order of days. Pure functions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import date
from functools import lru_cache

KEY_BYTES = 32
HASH_BITS = 31
"""Beside a day of DAY_BITS: JavaScript counts exactly up to 53 bits."""
DAY_BITS = 17
FIRST_DAY = date(1800, 1, 1).toordinal()
"""Before the first photograph that is left (Niépce, about 1826)."""
NAME_BYTES = 8
"""Of the hash in a photo's name, 13 characters of base32: of a million undated photos two have the same
one once in thirty million archives."""
UNDATED = "undated"
MAX_CACHED_DAYS = 1 << 16
"""Photos are many, their days few: of 180 years at most."""


def make_public_id(key: bytes, kind: str, *parts: object, day: str | None = None) -> int:
    """The public id of what these parts identify: above 0, below 2**48; later days have greater ids."""
    low: int = int.from_bytes(_digest(key, kind, parts)[:4], "big") >> (32 - HASH_BITS)
    return (_number_of_day(day) << HASH_BITS) + max(low, 1)


def make_photo_name(key: bytes, sha256: str, day: str | None) -> str:
    """A photo's name in place of its path: its day, and 13 characters without a meaning."""
    digest = _digest(key, "photo name", [sha256])[:NAME_BYTES]
    return f"{day or UNDATED}-{base64.b32encode(digest).decode().lower().rstrip('=')}"


def start_seal(key: bytes) -> hmac.HMAC:
    """A HMAC to feed with the pictures of a catalogue, so that a replaced one is detected."""
    return hmac.new(key, b"seal", hashlib.sha256)


def parse_day(taken_at: object) -> str | None:
    """The day of an ISO 8601 time, or its month or year if it has no more; None if it is none."""
    return _parse_day(str(taken_at or "")[:10])


@lru_cache(maxsize=MAX_CACHED_DAYS)
def _parse_day(text: str) -> str | None:
    try:
        date.fromisoformat(f"{text}{'0000-01-01'[len(text) :]}")
    except ValueError:
        return None
    return text if len(text) in (4, 7, 10) else None


@lru_cache(maxsize=MAX_CACHED_DAYS)
def _number_of_day(day: str | None) -> int:
    if day is None:
        return 0
    found = date.fromisoformat(f"{day}{'0000-01-01'[len(day) :]}").toordinal() - FIRST_DAY
    return min(max(found, 0), (1 << DAY_BITS) - 1)


def _digest(key: bytes, kind: str, parts: Iterable[object]) -> bytes:
    return hmac.digest(key, repr((kind, *tuple(parts))).encode(), "sha256")
