"""Names in Google Takeout's JSON: who is in a photo, but not where; and which JSON is of which photo."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import NamesError
from .regions import MAX_REGIONS, NamedRegion, Reading, clean_name

MAX_BYTES = 4_000_000
"""A photo's JSON has one or two kB; comments make it longer."""
STEM = 46
"""Characters that Takeout leaves a name before `.json`: 51 in all (ente#4956)."""
SUPPLEMENT = ".supplemental-metadata"
"""What Takeout puts between since the end of 2024, and cuts off as the name gets longer (ente#4956)."""
EDITED = ("-edited", "-bearbeitet", "-modifié", "-editado", "-modificato", "-bewerkt", "-edytowane")
"""Ends of the name of an edited copy, which shares its original's JSON, in a few languages."""
_OF_A_PHOTO = ("people", "photoTakenTime", "creationTime", "geoData", "url")
_NUMBERED = re.compile(r"(?P<stem>.+)\((?P<number>\d{1,4})\)")


@dataclass(frozen=True, slots=True)
class Takeout:
    """What a JSON says: the title, which is the photo's name before Takeout changed it, and names."""

    title: str
    reading: Reading


def read(data: bytes) -> Takeout:
    """Read a photo's JSON. Raises NamesError where it is none, or is of an album."""
    if len(data) > MAX_BYTES:
        raise NamesError(f"the JSON has over {MAX_BYTES // 1_000_000} MB")
    try:
        said = json.loads(data)
    except RecursionError:
        raise NamesError("the JSON lies too many levels deep") from None
    except ValueError as error:
        raise NamesError(f"the JSON is damaged: {error}") from None
    # An album has a title, too
    if not isinstance(said, dict) or not any(key in said for key in _OF_A_PHOTO):
        raise NamesError("it is JSON, but not of a photo in Google Takeout")
    title = said.get("title")
    return Takeout(title if isinstance(title, str) else "", _people(said.get("people", [])))


def _people(people: object) -> Reading:
    if not isinstance(people, list):
        return Reading((), ("its people are no list",))
    names: dict[str, None] = {}
    faults: list[str] = []
    for person in people[:MAX_REGIONS]:
        written = person.get("name") if isinstance(person, dict) else None
        if not isinstance(written, str):
            faults.append("one of its people has no name")
            continue
        try:
            names[clean_name(written)] = None
        except ValueError as error:
            faults.append(f"{written[:20]!r}…: {error}")
    regions = tuple(NamedRegion(name, None, "takeout") for name in names if name)
    return Reading(regions, tuple(faults))


def json_of(filename: str, find: Callable[[str], str | None]) -> str | None:
    """A photo's JSON; find: gives the file in its folder that has a name, or None."""
    return next(filter(None, map(find, candidates(filename))), None)


def candidates(filename: str) -> tuple[str, ...]:
    """The names that Takeout may have given a photo's JSON, the likeliest first.

    `IMG.jpg.json`, `IMG.jpg.supplemental-metadata.json` and what is left of that within 51
    characters; of `IMG(1).jpg` it is `IMG.jpg(1).json` and `IMG.jpg.supplemental-metadata(1).json`.
    """
    stem, ending = os.path.splitext(filename)
    found = _NUMBERED.fullmatch(stem)
    plain, number = (found["stem"], f"({found['number']})") if found else (stem, "")
    wholes = [(filename, ""), (plain + ending, number)]
    wholes += [
        (plain.removesuffix(edited) + ending, number) for edited in EDITED if plain.endswith(edited)
    ]
    # Last, those of a photo whose title had no ending (immich-go#674)
    wholes += [(os.path.splitext(whole)[0], number) for whole, number in wholes]
    return tuple(
        dict.fromkeys(
            f"{written[:STEM]}{number}.json"
            for whole, number in wholes
            for written in (whole + SUPPLEMENT, whole)
        )
    )
