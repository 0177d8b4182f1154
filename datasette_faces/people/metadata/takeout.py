"""Names in Google Takeout's JSON: who is in a photo, but not where; and which JSON is which photo's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import NamesError
from .regions import MAX_REGIONS, NamedRegion, ParsedNames, parse_name

MAX_BYTES = 4_000_000
"""A photo's JSON has one or two kB; comments make it longer."""
MAX_STEM = 46
"""Characters of a name that Takeout leaves before `.json`: 51 in all (ente#4956)."""
SUPPLEMENT = ".supplemental-metadata"
"""Inserted by Takeout since the end of 2024, and cut off as the name gets longer (ente#4956)."""
EDITED_SUFFIXES = (
    "-edited",
    "-bearbeitet",
    "-modifié",
    "-editado",
    "-modificato",
    "-bewerkt",
    "-edytowane",
)
"""Ends of the name of an edited copy, which shares its original's JSON, in a few languages."""
_PHOTO_KEYS = ("people", "photoTakenTime", "creationTime", "geoData", "url")
_NUMBERED = re.compile(r"(?P<stem>.+)\((?P<number>\d{1,4})\)")


@dataclass(frozen=True, slots=True)
class TakeoutPhoto:
    """A photo's JSON: its title, which is the file's name before Takeout changed it, and its names."""

    title: str
    names: ParsedNames


def parse_takeout(data: bytes) -> TakeoutPhoto:
    """Parse a photo's JSON. Raises NamesError where it is not JSON, or an album's."""
    if len(data) > MAX_BYTES:
        raise NamesError(f"the JSON is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        content = json.loads(data)
    except RecursionError:
        raise NamesError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise NamesError(f"the JSON is damaged: {error}") from None
    # An album has a title, too
    if not isinstance(content, dict) or not any(key in content for key in _PHOTO_KEYS):
        raise NamesError("it is JSON, but not of a photo in Google Takeout")
    title = content.get("title")
    names = _parse_people(content.get("people", []))
    return TakeoutPhoto(title if isinstance(title, str) else "", names)


def _parse_people(people: object) -> ParsedNames:
    if not isinstance(people, list):
        return ParsedNames((), ('"people" is not a list',))
    names: dict[str, None] = {}
    faults: list[str] = []
    for person in people[:MAX_REGIONS]:
        written = person.get("name") if isinstance(person, dict) else None
        if not isinstance(written, str):
            faults.append('one of its "people" has no name')
            continue
        try:
            names[parse_name(written)] = None
        except ValueError as error:
            faults.append(f"{written[:20]!r}…: {error}")
    regions = tuple(NamedRegion(name, None, "takeout") for name in names if name)
    return ParsedNames(regions, tuple(faults))


def find_json(filename: str, find: Callable[[str], str | None]) -> str | None:
    """A photo's JSON; find: gives the file of a name in the photo's folder, or None."""
    return next(filter(None, map(find, candidate_names(filename))), None)


def candidate_names(filename: str) -> tuple[str, ...]:
    """The names that Takeout may have given to a photo's JSON, the likeliest first.

    `IMG.jpg.json`, or `IMG.jpg.supplemental-metadata.json` cut off at 51 characters; for `IMG(1).jpg`,
    `IMG.jpg(1).json` and `IMG.jpg.supplemental-metadata(1).json`.
    """
    stem, extension = os.path.splitext(filename)
    numbered = _NUMBERED.fullmatch(stem)
    plain, number = (numbered["stem"], f"({numbered['number']})") if numbered else (stem, "")
    photos = [(filename, ""), (plain + extension, number)]
    photos += [
        (plain.removesuffix(suffix) + extension, number)
        for suffix in EDITED_SUFFIXES
        if plain.endswith(suffix)
    ]
    # Last, those of a photo whose title had no extension (immich-go#674)
    photos += [(os.path.splitext(photo)[0], number) for photo, number in photos]
    return tuple(
        dict.fromkeys(
            f"{written[:MAX_STEM]}{number}.json"
            for photo, number in photos
            for written in (photo + SUPPLEMENT, photo)
        )
    )
