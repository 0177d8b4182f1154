"""The files next to a photo that may hold names: found, read within limits, written whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections import OrderedDict
from dataclasses import dataclass, field

from ...errors import NamesError
from ...media.files import open_without_blocking
from . import picasa, takeout, xml_safe
from .rdf import graph

XMP, PICASA, CONTACTS, TAKEOUT = "xmp", "picasa", "contacts", "takeout"
LIMITS = {
    XMP: xml_safe.MAX_BYTES,
    PICASA: picasa.MAX_BYTES,
    CONTACTS: xml_safe.MAX_BYTES,
    TAKEOUT: takeout.MAX_BYTES,
}
INIS = (".picasa.ini", "picasa.ini")
"""Picasa 3's, and that of versions before it."""
FOLDERS = 64
"""Listings that are kept at a time: photos come folder by folder."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that may hold names of a photo; kind: XMP, PICASA, CONTACTS or TAKEOUT."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a folder, those that differ only in case together."""

    names: dict[str, tuple[str, ...]]

    @staticmethod
    def of(folder: str) -> Listing:
        """List a folder; nothing is in one that cannot be listed."""
        found: dict[str, tuple[str, ...]] = {}
        with contextlib.suppress(OSError):
            # The order in which a folder is listed is none
            for name in sorted(os.listdir(folder or ".")):
                found[name.casefold()] = (*found.get(name.casefold(), ()), name)
        return Listing(found)

    def find(self, name: str, photo: str, own: str) -> str | None:
        """The file of that name, whatever the case of its letters, of those that belong to a photo.

        own: how names begin that are the photo's for certain. Where `A.JPG` and `a.jpg` are two
        photos no other name is.
        """
        named = self.names.get(name.casefold(), ())
        mine = [it for it in named if it.startswith(own)]
        twins = len(self.names.get(photo.casefold(), ())) > 1
        return next(iter(mine if mine or twins else named), None)


@dataclass(slots=True)
class Sidecars:
    """Finds what lies next to photos; each folder is listed once, and no file is looked at."""

    _listed: OrderedDict[str, Listing] = field(default_factory=OrderedDict)

    def of(self, path: str) -> list[Sidecar]:
        """The files next to a photo that may hold names, those that say most first."""
        folder, photo = os.path.split(path)
        there = self._listing(folder)
        stem = os.path.splitext(photo)[0]
        found = [
            (there.find(f"{photo}.xmp", photo, photo), XMP),
            (there.find(f"{stem}.xmp", photo, stem), XMP),
            *((there.find(name, photo, ""), PICASA) for name in INIS),
            (there.find("contacts.xml", photo, ""), CONTACTS),
            (takeout.json_of(photo, lambda name: there.find(name, photo, name)), TAKEOUT),
        ]
        return [Sidecar(os.path.join(folder, name), kind) for name, kind in found if name]

    def to_write(self, path: str) -> str:
        """Where names of a photo go: its `photo.jpg.xmp`, or `photo.xmp` if that is there for it alone.

        digiKam, darktable and others read the first; Lightroom's second may be another photo's.
        """
        folder, photo = os.path.split(path)
        there = self._listing(folder)
        stem = os.path.splitext(photo)[0]
        own = there.find(f"{photo}.xmp", photo, photo)
        shared = there.find(f"{stem}.xmp", photo, stem)
        of_stem = [name for name in there.names if os.path.splitext(name)[0] == stem.casefold()]
        alone = len(of_stem) == 2 and len(there.names.get(photo.casefold(), ())) < 2
        return os.path.join(folder, own or (shared if shared and alone else f"{photo}.xmp"))

    def _listing(self, folder: str) -> Listing:
        if folder not in self._listed:
            self._listed[folder] = Listing.of(folder)
            if len(self._listed) > FOLDERS:
                self._listed.popitem(last=False)
        self._listed.move_to_end(folder)
        return self._listed[folder]


def read_sidecar(sidecar: Sidecar) -> bytes:
    """A sidecar's bytes. Raises NamesError where it is too large or cannot be read."""
    limit = LIMITS[sidecar.kind]
    try:
        with open_without_blocking(sidecar.path) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise NamesError(f"{sidecar.path} cannot be read: {error.strerror}") from None
    if data is None:
        raise NamesError(f"{sidecar.path} is no file")
    if len(data) > limit:
        raise NamesError(f"{sidecar.path} has over {limit // 1_000_000} MB")
    return data


def write_sidecar(path: str, data: bytes, *, before: bytes | None) -> None:
    """Write a sidecar whole, or not at all. before: what it held, None if there was none.

    Raises NamesError, and writes nothing, where the path does not end in .xmp, either is no XMP, the
    file is no longer what it was, or cannot be written.
    """
    if not path.casefold().endswith(".xmp"):
        raise NamesError(f"{path} is no sidecar: its name must end in .xmp")
    for content in filter(None, (before, data or b"-")):
        graph(xml_safe.parse(content).root)
    target = os.path.realpath(path)
    present = read_sidecar(Sidecar(target, XMP)) if os.path.lexists(target) else None
    if present != before:
        raise NamesError(f"{path} was changed by another program meanwhile; nothing was written")
    try:
        _replace(target, data)
    except OSError as error:
        raise NamesError(f"{path} cannot be written: {error.strerror}") from None


def _replace(target: str, data: bytes) -> None:
    """Put a file in another's place, with its permissions, once all of it is on the disk."""
    temporary = os.path.join(os.path.dirname(target), f".names-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
