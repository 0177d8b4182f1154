"""The files next to a photo that may hold names: found, read within limits, and replaced whole."""

from __future__ import annotations

import bisect
import contextlib
import os
import secrets
import shutil
from collections import OrderedDict
from dataclasses import dataclass, field

from ...algorithms.spelling import fold, spell_like
from ...errors import NamesError, UnreadableNow
from ...media.file_names import choose_name
from ...media.files import open_without_blocking
from . import picasa, takeout, xml_safe
from .rdf import find_rdf

XMP, PICASA, CONTACTS, TAKEOUT = "xmp", "picasa", "contacts", "takeout"
MAX_BYTES_BY_KIND = {
    XMP: xml_safe.MAX_BYTES,
    PICASA: picasa.MAX_BYTES,
    CONTACTS: xml_safe.MAX_BYTES,
    TAKEOUT: takeout.MAX_BYTES,
}
PICASA_INIS = (".picasa.ini", "picasa.ini")
"""The file of Picasa 3, and that of earlier versions."""
MAX_LISTINGS = 64
"""Folder listings that are kept in memory: photos come folder by folder."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that may hold names of a photo; kind: XMP, PICASA, CONTACTS or TAKEOUT."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The file names in a folder, folded; several where they differ only in case or composition.

    jsons: those of JSONs, folded and sorted.
    """

    names: dict[str, tuple[str, ...]]
    jsons: tuple[str, ...] = ()

    @staticmethod
    def read(folder: str) -> FolderListing:
        """List a folder; one that cannot be listed counts as empty."""
        names: dict[str, tuple[str, ...]] = {}
        with contextlib.suppress(OSError):
            # os.listdir has no defined order
            for name in sorted(os.listdir(folder or ".")):
                names[fold(name)] = (*names.get(fold(name), ()), name)
        return FolderListing(names, tuple(sorted(it for it in names if it.endswith(".json"))))

    def has_json(self, start: str) -> bool:
        """Whether a JSON's name begins so."""
        start = fold(start)
        at = bisect.bisect_left(self.jsons, start)
        return at < len(self.jsons) and self.jsons[at].startswith(start)

    def find(self, name: str, photo: str, own: str) -> str | None:
        """The file of that name that belongs to a photo, in any case and composition; None for none.

        own: how names begin that certainly belong to the photo. Where `A.JPG` and `a.jpg` are two
        photos, or `é.jpg` is there composed and decomposed, only such names do.
        """
        named = self.names.get(fold(name), ())
        mine = [candidate for candidate in named if candidate.startswith(own)]
        return choose_name(name, mine if mine or self.has_twin(photo) else named)

    def has_twin(self, photo: str) -> bool:
        """Whether another file's name differs from a photo's only in case or composition."""
        return len(self.names.get(fold(photo), ())) > 1


@dataclass(slots=True)
class SidecarFinder:
    """Finds the sidecars of photos by name; lists each folder once, and opens no file."""

    _listings: OrderedDict[str, FolderListing] = field(default_factory=OrderedDict)

    def find(self, path: str) -> list[Sidecar]:
        """The files next to a photo that may hold names, the most informative kinds first."""
        folder, photo = os.path.split(path)
        listing = self._list_folder(folder)
        stem = os.path.splitext(photo)[0]

        def find(name: str) -> str | None:
            name = spell_like(name, photo)
            return listing.find(name, photo, name)

        # Takeout has hundreds of ways to name a photo's JSON; most photos have none
        may_have_json = listing.jsons and listing.has_json(takeout.common_start(photo))
        found = [
            (listing.find(f"{photo}.xmp", photo, photo), XMP),
            (listing.find(f"{stem}.xmp", photo, stem), XMP),
            *((listing.find(name, photo, ""), PICASA) for name in PICASA_INIS),
            (listing.find("contacts.xml", photo, ""), CONTACTS),
            (takeout.find_json(photo, find) if may_have_json else None, TAKEOUT),
        ]
        return [Sidecar(os.path.join(folder, name), kind) for name, kind in found if name]

    def choose_path(self, path: str) -> str:
        """Where to write a photo's names: `photo.jpg.xmp`, or a `photo.xmp` that is this photo's alone.

        digiKam, darktable and others read the first; Lightroom's second may be another photo's.
        """
        folder, photo = os.path.split(path)
        listing = self._list_folder(folder)
        stem = os.path.splitext(photo)[0]
        own = listing.find(f"{photo}.xmp", photo, photo)
        shared = listing.find(f"{stem}.xmp", photo, stem)
        same_stem = [it for it in listing.names if os.path.splitext(it)[0] == fold(stem)]
        alone = len(same_stem) == 2 and not listing.has_twin(photo)
        return os.path.join(folder, own or (shared if shared and alone else f"{photo}.xmp"))

    def _list_folder(self, folder: str) -> FolderListing:
        if folder not in self._listings:
            self._listings[folder] = FolderListing.read(folder)
            if len(self._listings) > MAX_LISTINGS:
                self._listings.popitem(last=False)
        self._listings.move_to_end(folder)
        return self._listings[folder]


def read_sidecar(sidecar: Sidecar) -> bytes:
    """A sidecar's bytes. Raises NamesError where it is too large, UnreadableNow where reading fails."""
    limit = MAX_BYTES_BY_KIND[sidecar.kind]
    try:
        with open_without_blocking(sidecar.path) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UnreadableNow(f"{sidecar.path} cannot be read: {error.strerror}") from None
    if data is None:
        raise NamesError(f"{sidecar.path} is not a file")
    if len(data) > limit:
        raise NamesError(f"{sidecar.path} is larger than {limit // 1_000_000} MB")
    return data


def write_sidecar(path: str, data: bytes, *, before: bytes | None) -> None:
    """Write a whole sidecar, or nothing. before: its content when it was read, None if there was none.

    Raises NamesError, and writes nothing, where the path does not end in .xmp, the old or the new
    content is not XMP, or the file has changed since or cannot be written.
    """
    if not path.casefold().endswith(".xmp"):
        raise NamesError(f"{path} is not a sidecar: its name must end in .xmp")
    for content in filter(None, (before, data or b"-")):
        find_rdf(xml_safe.parse_xml(content).root)
    target = os.path.realpath(path)
    present = read_sidecar(Sidecar(target, XMP)) if os.path.lexists(target) else None
    if present != before:
        raise NamesError(f"{path} was changed by another program; nothing was written, try again")
    try:
        _replace_file(target, data)
    except OSError as error:
        raise NamesError(f"{path} cannot be written: {error.strerror}") from None


def _replace_file(target: str, data: bytes) -> None:
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
