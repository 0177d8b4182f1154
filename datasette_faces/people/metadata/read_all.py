"""All names in a photo, its date and its place, from the photo and the files next to it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ...errors import NamesError, UnreadableNow
from . import picasa, takeout, xmp_read
from .embedded import EmbeddedXmp, read_embedded_facts, read_embedded_names
from .photo_facts import PhotoFacts, merge_facts, read_xmp_facts
from .regions import Frame, ParsedNames, merge_names
from .sidecars import CONTACTS, PICASA, XMP, Sidecar, SidecarFinder, read_sidecar

MAX_SHARED_FILES = 64
"""Inis and contacts that are kept in memory: each belongs to a whole folder."""

SharedFile: TypeAlias = "picasa.PicasaIni | dict[int, str]"
"""The content of a file that many photos share: an ini, or names by contact id."""


@dataclass(slots=True)
class NameReader:
    """Reads the names of photos; keeps listings and files that photos share, so go folder by folder."""

    sidecars: SidecarFinder = field(default_factory=SidecarFinder)
    _shared: OrderedDict[str, SharedFile | NamesError] = field(default_factory=OrderedDict)

    def read(self, path: str, frame: Frame, xmp: EmbeddedXmp | None = None) -> ParsedNames:
        """The names in a photo's sidecars and in its own XMP; what cannot be read is a fault.

        Where several name the same face the first one counts: XMP sidecars, which programs write so
        that the photo stays as it is, then the photo itself, Picasa, and Takeout. frame: the photo's
        upright size and detected faces, and the orientation of its pixels as in `xmp`. Raises
        UnreadableNow where a sidecar cannot be read at present: others may not speak in its place.
        """
        sidecars = self.sidecars.find(path)
        contacts, fault = self._read_contacts(sidecars)
        parsed = [self._read(it, path, frame, contacts) for it in sidecars if it.kind == XMP]
        if xmp is not None:
            parsed.append(_name_file(path, read_embedded_names(xmp, frame)))
        parsed += [
            self._read(it, path, frame, contacts)
            for it in sidecars
            if it.kind not in (XMP, CONTACTS)
        ]
        return merge_names([*parsed, fault], frame.faces)

    def read_facts(self, paths: Sequence[str], xmp: EmbeddedXmp) -> PhotoFacts:
        """When and where a photo was taken, as EXIF says, its XMP sidecars, its own XMP, and IPTC.

        paths: all its places, which may have sidecars each. Raises UnreadableNow.
        """
        beside = [it for path in paths for it in self.sidecars.find(path) if it.kind == XMP]
        facts = []
        for sidecar in beside:
            try:
                facts.append(read_xmp_facts(read_sidecar(sidecar)))
            except UnreadableNow:
                raise
            except NamesError:
                continue
        return merge_facts(xmp.exif, [*facts, *read_embedded_facts(xmp)])

    def _read_contacts(self, sidecars: list[Sidecar]) -> tuple[dict[int, str], ParsedNames]:
        for sidecar in sidecars:
            if sidecar.kind == CONTACTS:
                try:
                    content = self._read_shared(sidecar)
                except UnreadableNow:
                    raise
                except NamesError as error:
                    return {}, ParsedNames((), (_describe_fault(sidecar.path, str(error)),))
                return (
                    (content, ParsedNames()) if isinstance(content, dict) else ({}, ParsedNames())
                )
        return {}, ParsedNames()

    def _read(
        self, sidecar: Sidecar, path: str, frame: Frame, contacts: dict[int, str]
    ) -> ParsedNames:
        try:
            if sidecar.kind == XMP:
                parsed = xmp_read.read_xmp(read_sidecar(sidecar), frame)
            elif sidecar.kind == PICASA:
                ini, name = self._read_shared(sidecar), os.path.basename(path)
                assert isinstance(ini, picasa.PicasaIni)
                parsed = picasa.read_picasa_names(ini, name, frame, contacts)
            else:
                parsed = takeout.parse_takeout(read_sidecar(sidecar)).names
        except UnreadableNow:
            raise
        except NamesError as error:
            return ParsedNames((), (_describe_fault(sidecar.path, str(error)),))
        return _name_file(sidecar.path, parsed)

    def _read_shared(self, sidecar: Sidecar) -> SharedFile:
        """The content of a file that many photos share. Raises NamesError, each time."""
        if sidecar.path not in self._shared:
            parse = picasa.parse_ini if sidecar.kind == PICASA else picasa.parse_contacts
            try:
                self._shared[sidecar.path] = parse(read_sidecar(sidecar))
            except NamesError as error:
                self._shared[sidecar.path] = error
            if len(self._shared) > MAX_SHARED_FILES:
                self._shared.popitem(last=False)
        content = self._shared[sidecar.path]
        if isinstance(content, NamesError):
            raise type(content)(str(content))
        return content


def _name_file(path: str, parsed: ParsedNames) -> ParsedNames:
    """The same, with the file's name in each fault."""
    return replace(parsed, faults=tuple(_describe_fault(path, fault) for fault in parsed.faults))


def _describe_fault(path: str, fault: str) -> str:
    """A fault with the name of its file, once."""
    return fault if path in fault else f"{os.path.basename(path)}: {fault}"
