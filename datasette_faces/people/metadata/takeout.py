"""Names in Google Takeout's JSON: who is in a photo, but not where; and which JSON is which photo's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...algorithms.spelling import compose, spellings
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
    "-bearbeitet",  # German
    "-modifié", "-modifiée", "-retouchée",  # French
    "-editado", "-editada", "-ha editado",  # Spanish, Portuguese
    "-modificato", "-modificata",  # Italian
    "-editat", "-editată",  # Catalan, Romanian
    "-bewerkt",  # Dutch
    "-edytowane", "-edytowano",  # Polish
    "-redigeret",  # Danish
    "-redigert",  # Norwegian
    "-redigerad", "-redigerat",  # Swedish
    "-muokattu",  # Finnish
    "-breytt",  # Icelandic
    "-upraveno", "-upravené",  # Czech, Slovak
    "-szerkesztett",  # Hungarian
    "-uređeno", "-urejeno",  # Croatian, Slovenian
    "-redaguota", "-rediģēts", "-muudetud",  # Lithuanian, Latvian, Estonian
    "-düzenlendi",  # Turkish
    "-επεξεργασμένο",  # Greek
    "-изменено", "-отредактировано",  # Russian
    "-змінено", "-відредаговано",  # Ukrainian
    "-редактирано",  # Bulgarian
    "-נערך", "-تم التعديل", "-معدّل",  # Hebrew, Arabic
    "-संपादित", "-แก้ไข", "-แก้ไขแล้ว",  # Hindi, Thai
    "-đã chỉnh sửa", "-diedit", "-telah diedit",  # Vietnamese, Indonesian
    "-編集済み",  # Japanese
    "-编辑", "-已编辑", "-已修改",  # Chinese, simplified
    "-編輯", "-已編輯",  # Chinese, traditional
    "-수정됨", "-편집됨",  # Korean
)  # fmt: skip
"""Ends of the name of an edited copy, which shares its original's JSON, in the language of the account."""
EFFECT_SUFFIXES = (
    "-EFFECTS", "-ANIMATION", "-COLLAGE", "-SMILE", "-MIX", "-PANO", "-MOTION", "-MOVIE", "-HDR",
    "-POP_OUT", "-COLOR_POP", "-CINEMATIC", "-BURST-COVER",
)  # fmt: skip
"""Ends of the name of what Google made of a photo, in every language; `family-smile` is another photo."""
MIN_SUFFIX = 2
"""Characters that are left of a suffix where the name was cut off."""
MAX_START = 10
"""Characters of a name that no spelling of it loses where it is cut off."""
_JPEG, _HEIC = (".jpg", ".jpeg"), (".heic", ".heif")
CONVERTED = {**dict.fromkeys(_JPEG, _HEIC), **dict.fromkeys(_HEIC, _JPEG)}
"""A JPEG beside a HEIC of the same name is the same photo, and only one of them has a JSON."""
_PHOTO_KEYS = ("people", "photoTakenTime", "creationTime", "geoData", "url")
_NUMBERED = re.compile(r"(?P<stem>.+)(?P<number>\(\d{1,4}\))")
_EDITED = tuple(compose(suffix).casefold() for suffix in EDITED_SUFFIXES)
_SUPPLEMENTS = tuple(SUPPLEMENT[:length] for length in range(len(SUPPLEMENT), -1, -1))


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


def candidate_names(filename: str) -> Iterator[str]:
    """The names that Takeout may have given to a photo's JSON, composed (NFC), the likeliest first.

    `IMG.jpg.json`, or `IMG.jpg.supplemental-metadata.json` cut off at 51 characters; for `IMG(1).jpg`,
    `IMG.jpg(1).json` and `IMG.jpg.supplemental-metadata(1).json`. Then, for an edited copy, those of
    its original, which may be a HEIC.
    """
    for photo, number in _list_photos(filename):
        for supplement in _SUPPLEMENTS:
            for spelling in spellings(photo + supplement):
                yield f"{compose(spelling[:MAX_STEM])}{number}.json"


def common_start(filename: str) -> str:
    """What the names of all JSONs that may be a photo's begin with, at least, composed (NFC)."""
    stem = os.path.splitext(compose(filename))[0]
    return min((shown for shown, _ in _list_originals(stem)), key=len)[:MAX_START]


def _list_photos(filename: str) -> Iterator[tuple[str, str]]:
    """The names that a photo or its original may have, each without its number, and the number."""
    stem, extension = os.path.splitext(compose(filename))
    originals = _list_originals(stem)
    extensions = (extension, *CONVERTED.get(extension.lower(), ()))
    for other in extensions:
        yield from ((shown + other, number) for shown, number in originals)
    # Last, those of a photo whose title had no extension (immich-go#674)
    yield from originals


def _list_originals(stem: str) -> list[tuple[str, str]]:
    """A photo's own name without its extension, and those of its originals, each with its number.

    `IMG-edited(1)` and `IMG(1)-edited` are both of `IMG(1)`, which is `IMG` and the number.
    """
    found: list[tuple[str, str]] = []
    waiting = [(stem, "")]
    while waiting:
        name, number = waiting.pop(0)
        if (name, number) in found:
            continue
        found.append((name, number))
        numbered = _NUMBERED.fullmatch(name)
        if numbered and not number:
            waiting.append((numbered["stem"], numbered["number"]))
        waiting += [(shorter, number) for shorter in _strip_suffixes(name)]
    return found


def _strip_suffixes(name: str) -> list[str]:
    """A name without the suffix of an edited copy; also without the rest of one that was cut off."""
    folded = name.casefold()
    if len(folded) != len(name) or "-" not in name:
        return []
    end = name.rindex("-")
    cut = len(name) >= MAX_STEM - 1 and len(name) - end >= MIN_SUFFIX
    kinds = ((folded, _EDITED), (name, EFFECT_SUFFIXES))
    whole = [
        name[: -len(suffix)]
        for written, suffixes in kinds
        for suffix in suffixes
        if written.endswith(suffix)
    ]
    if whole or not cut:
        return [shorter for shorter in whole if shorter]
    is_cut_off = any(
        suffix.startswith(written[end:]) for written, suffixes in kinds for suffix in suffixes
    )
    return [name[:end]] if is_cut_off and end else []
