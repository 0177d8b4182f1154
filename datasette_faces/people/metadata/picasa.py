"""Names that Picasa wrote: `.picasa.ini` in a folder of photos, and the user's `contacts.xml`.

The format as users worked it out (gist fbuchinger/1073823; exiftool's config_files/picasa_faces.config):
a section per file, `faces=rect64(3f845bcb59418507),8e62398ebda8c1a5;…`: a rectangle's left, top, right
and bottom as four 16-bit numbers in hexadecimal, without leading zeros, and a contact's id. Names of
contacts are in `[Contacts2]`, `id=Name;mail;`. Rectangles apply to the picture as it is stored, as do
the regions that Picasa writes into JPEGs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...algorithms.spelling import spellings
from ...errors import NamesError
from ...shapes import Area
from .regions import (
    MAX_REGIONS,
    Frame,
    NamedRegion,
    ParsedNames,
    clip_area,
    orient_area,
    parse_name,
)
from .xml_safe import parse_xml

MAX_BYTES = 16_000_000
"""The size of the ini of a folder of 100,000 photos with a face each."""
UNNAMED_CONTACT = 0xFFFFFFFFFFFFFFFF
"""The contact of a face that has no name yet."""
_FULL_SCALE = 0xFFFF
_FACE = re.compile(r"\s*rect64\(([0-9a-fA-F]{1,16})\)\s*,\s*([0-9a-fA-F]{1,16})\s*")
_CONTACT = re.compile(r"[0-9a-fA-F]{1,16}")


@dataclass(frozen=True, slots=True)
class PicasaIni:
    """A `.picasa.ini`: rectangles, as written, by file name in lower case; names by contact id."""

    faces: dict[str, str] = field(default_factory=dict)
    contacts: dict[int, str] = field(default_factory=dict)

    def find_faces(self, filename: str) -> str:
        """The rectangles of a file, also where its name is composed otherwise; "" for none."""
        keys = (spelling.casefold() for spelling in spellings(filename))
        return next((self.faces[key] for key in keys if key in self.faces), "")


def parse_ini(data: bytes) -> PicasaIni:
    """Parse a `.picasa.ini`; unknown lines are skipped. Raises NamesError where it is not one."""
    if len(data) > MAX_BYTES:
        raise NamesError(f"the .picasa.ini is larger than {MAX_BYTES // 1_000_000} MB")
    if b"\0" in data:
        raise NamesError("the .picasa.ini is not a text file")
    ini, section = PicasaIni(), ""
    for line in _decode(data).replace("\r", "\n").split("\n"):
        if line.startswith("[") and line.rstrip().endswith("]"):
            section = line.rstrip()[1:-1].casefold()
            continue
        key, equals, value = line.partition("=")
        if not equals:
            continue
        if section == "contacts2" and _CONTACT.fullmatch(key.strip()):
            ini.contacts[int(key.strip(), 16)] = value.split(";")[0]
        elif key.strip() == "faces":
            ini.faces[section] = value
    return ini


def parse_contacts(data: bytes) -> dict[int, str]:
    """Names by contact id from a `contacts.xml`. Raises NamesError where it is not one."""
    root = parse_xml(data).root
    if root.name != ("", "contacts"):
        raise NamesError("it is XML, but not a list of Picasa contacts")
    contacts: dict[int, str] = {}
    for element in root.elements:
        key = element.attributes.get(("", "id"), "")
        if element.name == ("", "contact") and _CONTACT.fullmatch(key):
            contacts[int(key, 16)] = element.attributes.get(("", "name"), "")
    return contacts


def read_picasa_names(
    ini: PicasaIni, filename: str, frame: Frame, contacts: Mapping[int, str] | None = None
) -> ParsedNames:
    """The names that an ini gives to faces in one file. contacts: further names, of `contacts.xml`."""
    known = {**(contacts or {}), **{key: name for key, name in ini.contacts.items() if name}}
    placed: list[tuple[str, Area]] = []
    faults: list[str] = []
    for written in ini.find_faces(filename).split(";", MAX_REGIONS)[:MAX_REGIONS]:
        if not written.strip():
            continue
        try:
            placed.append(_parse_face(written, known))
        except ValueError as error:
            faults.append(str(error))
    turn = frame.find_turn([area for _, area in placed], None) or frame.orientation
    regions = (
        NamedRegion(name, orient_area(area, turn), "picasa") for name, area in placed if name
    )
    return ParsedNames(tuple(regions), tuple(faults))


def _parse_face(written: str, known: Mapping[int, str]) -> tuple[str, Area]:
    """A face as it was drawn, and its name, "" for none. Raises ValueError with what is wrong with it."""
    face = _FACE.fullmatch(written)
    if face is None:
        raise ValueError(f"{written[:40]!r} is not a face as Picasa writes it")
    contact = int(face[2], 16)
    if contact != UNNAMED_CONTACT and contact not in known:
        raise ValueError(f"contact {face[2]} has no name in [Contacts2] or contacts.xml")
    name = "" if contact == UNNAMED_CONTACT else parse_name(known[contact])
    number = int(face[1], 16)
    left, top, right, bottom = (
        (number >> shift & _FULL_SCALE) / _FULL_SCALE for shift in (48, 32, 16, 0)
    )
    try:
        return name, clip_area(left, top, right - left, bottom - top)
    except ValueError as error:
        raise ValueError(f"{name or 'a face without a name'}: {error}") from None


def _decode(data: bytes) -> str:
    """Text in UTF-8, as Picasa writes it, or else in cp1252, as Western European editors save it."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
