"""The files next to a photo that may hold names: found, read within limits, written whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections import OrderedDict
from dataclasses import dataclass, field

from ..errors import NamesError
from ..files import open_at_once
from . import picasa, takeout, xml_tree
from .rdf import graph

XMP, PICASA, CONTACTS, TAKEOUT = "xmp", "picasa", "contacts", "takeout"
LIMITS = {
    XMP: xml_tree.MAX_BYTES,
    PICASA: picasa.MAX_BYTES,
    CONTACTS: xml_tree.MAX_BYTES,
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


@dataclass(slots=True)
class Sidecars:
    """Finds what lies next to photos; each folder is listed once, and no file is looked at."""

    _listed: OrderedDict[str, dict[str, str]] = field(default_factory=OrderedDict)

    def of(self, path: str) -> list[Sidecar]:
        """The files next to a photo that may hold names, those that say most first."""
        folder, filename = os.path.split(path)
        there = self._listing(folder)
        stem = os.path.splitext(filename)[0]
        wanted = [(name, XMP) for name in (f"{filename}.xmp", f"{stem}.xmp")]
        wanted += [(name, PICASA) for name in INIS]
        wanted += [("contacts.xml", CONTACTS)]
        names = [
            (there[name.casefold()], kind) for name, kind in wanted if name.casefold() in there
        ]
        json = takeout.json_of(filename, there)
        names += [(json, TAKEOUT)] if json else []
        return [Sidecar(os.path.join(folder, name), kind) for name, kind in names]

    def to_write(self, path: str) -> str:
        """Where names of a photo go: its `photo.jpg.xmp`, or `photo.xmp` if that is there for it alone.

        digiKam, darktable and others read the first; Lightroom's second may be another photo's.
        """
        folder, filename = os.path.split(path)
        there = self._listing(folder)
        own, stem = f"{filename}.xmp", os.path.splitext(filename)[0]
        shared = there.get(f"{stem}.xmp".casefold())
        if own.casefold() in there:
            return os.path.join(folder, there[own.casefold()])
        others = [name for name in there if os.path.splitext(name)[0] == stem.casefold()]
        if shared is not None and len(others) == 2:
            return os.path.join(folder, shared)
        return os.path.join(folder, own)

    def _listing(self, folder: str) -> dict[str, str]:
        """A folder's file names, by themselves in lower case; none where it cannot be listed."""
        if folder not in self._listed:
            try:
                # The order of a folder is none: of two names that differ in case alone, one, always
                names = sorted(os.listdir(folder or "."), reverse=True)
            except OSError:
                names = []
            self._listed[folder] = {name.casefold(): name for name in names}
            if len(self._listed) > FOLDERS:
                self._listed.popitem(last=False)
        self._listed.move_to_end(folder)
        return self._listed[folder]


def read_sidecar(sidecar: Sidecar) -> bytes:
    """A sidecar's bytes. Raises NamesError where it is too large or cannot be read."""
    limit = LIMITS[sidecar.kind]
    try:
        with open_at_once(sidecar.path) as stream:
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
        graph(xml_tree.parse(content).root)
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
