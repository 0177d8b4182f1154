"""Names that Picasa wrote: `.picasa.ini` in a folder of photos, and `contacts.xml` of its user.

As found out by its users (gist fbuchinger/1073823; exiftool's config_files/picasa_faces.config): a
section per file, `faces=rect64(3f845bcb59418507),8e62398ebda8c1a5;…`, a rectangle's left, top, right
and bottom as four 16-bit numbers in hexadecimal, without leading zeros, and a contact's id; names of
contacts in `[Contacts2]`, `id=Name;mail;`. Rectangles are of the picture as it is stored, as in the
regions that Picasa writes into JPEGs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import NamesError
from .regions import MAX_REGIONS, Frame, NamedRegion, Reading, clean_name, sensible_area
from .xml_safe import parse

MAX_BYTES = 16_000_000
"""A folder of 100,000 photos with a face each has an ini of this size."""
NOBODY = 0xFFFFFFFFFFFFFFFF
"""The contact of a face that nobody has named yet."""
_FULL_SCALE = 0xFFFF
_FACE = re.compile(r"\s*rect64\(([0-9a-fA-F]{1,16})\)\s*,\s*([0-9a-fA-F]{1,16})\s*")
_CONTACT = re.compile(r"[0-9a-fA-F]{1,16}")


@dataclass(frozen=True, slots=True)
class Folder:
    """What an ini says: rectangles (as they are written) by file name in lower case; names by id."""

    faces: dict[str, str] = field(default_factory=dict)
    contacts: dict[int, str] = field(default_factory=dict)


def parse_ini(data: bytes) -> Folder:
    """Read a `.picasa.ini`. Raises NamesError where it is none; lines that say nothing are skipped."""
    if len(data) > MAX_BYTES:
        raise NamesError(f"the .picasa.ini has over {MAX_BYTES // 1_000_000} MB")
    if b"\0" in data:
        raise NamesError("the .picasa.ini holds no text")
    folder, section = Folder(), ""
    for line in _decoded(data).replace("\r", "\n").split("\n"):
        if line.startswith("[") and line.rstrip().endswith("]"):
            section = line.rstrip()[1:-1].casefold()
            continue
        key, equals, value = line.partition("=")
        if not equals:
            continue
        if section == "contacts2" and _CONTACT.fullmatch(key.strip()):
            folder.contacts[int(key.strip(), 16)] = value.split(";")[0]
        elif key.strip() == "faces":
            folder.faces[section] = value
    return folder


def parse_contacts(data: bytes) -> dict[int, str]:
    """Names by id from a `contacts.xml`. Raises NamesError where it is none."""
    root = parse(data).root
    if root.name != ("", "contacts"):
        raise NamesError("it is XML, but no contacts of Picasa")
    found: dict[int, str] = {}
    for element in root.elements:
        key = element.attributes.get(("", "id"), "")
        if element.name == ("", "contact") and _CONTACT.fullmatch(key):
            found[int(key, 16)] = element.attributes.get(("", "name"), "")
    return found


def names_in(
    folder: Folder, filename: str, frame: Frame, contacts: Mapping[int, str] | None = None
) -> Reading:
    """Whom an ini names in one file of its folder. contacts: further names, of `contacts.xml`."""
    known = {**(contacts or {}), **{key: name for key, name in folder.contacts.items() if name}}
    regions: list[NamedRegion] = []
    faults: list[str] = []
    for written in folder.faces.get(filename.casefold(), "").split(";", MAX_REGIONS)[:MAX_REGIONS]:
        if not written.strip():
            continue
        try:
            region = _region(written, known, frame)
        except ValueError as error:
            faults.append(str(error))
            continue
        regions += [] if region is None else [region]
    return Reading(tuple(regions), tuple(faults))


def _region(written: str, known: Mapping[int, str], frame: Frame) -> NamedRegion | None:
    """One face; None where nobody named it. Raises ValueError, saying what is wrong with it."""
    found = _FACE.fullmatch(written)
    if found is None:
        raise ValueError(f"{written[:40]!r} is no face of Picasa's")
    contact = int(found[2], 16)
    if contact == NOBODY:
        return None
    if contact not in known:
        raise ValueError(f"contact {found[2]} has no name in [Contacts2] or contacts.xml")
    name = clean_name(known[contact])
    if not name:
        return None
    number = int(found[1], 16)
    left, top, right, bottom = (
        (number >> shift & _FULL_SCALE) / _FULL_SCALE for shift in (48, 32, 16, 0)
    )
    try:
        area = sensible_area(left, top, right - left, bottom - top)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return NamedRegion(name, frame.upright(area), "picasa")


def _decoded(data: bytes) -> str:
    """UTF-8, which Picasa writes; what an editor made of it in Western Europe, otherwise."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
