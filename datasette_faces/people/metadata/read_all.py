"""All that is said of who is in a photo: in it and next to it, each file read once, faults told."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ...errors import NamesError
from . import picasa, takeout, xmp_read
from .embedded import Embedded, names_in
from .regions import Frame, Reading, merged
from .sidecars import CONTACTS, PICASA, XMP, Sidecar, Sidecars, read_sidecar

SHARED = 64
"""Inis and contacts that are kept: each is of a whole folder."""

Parsed: TypeAlias = "picasa.Folder | dict[int, str]"


@dataclass(slots=True)
class Names:
    """Reads the names of photos; keeps listings and what many photos share, so ask folder by folder."""

    sidecars: Sidecars = field(default_factory=Sidecars)
    _shared: OrderedDict[str, Parsed | NamesError] = field(default_factory=OrderedDict)

    def of(self, path: str, frame: Frame, inside: Embedded | None = None) -> Reading:
        """Whom a photo's sidecars and packets name, each face once; what cannot be read is a fault.

        The first to speak of a face is believed: sidecars, which are written when the photo itself
        is to stay as it is, then the photo, Picasa, and Takeout. frame: the photo's upright size,
        and the orientation of its pixels as `embedded` tells it.
        """
        beside = self.sidecars.of(path)
        contacts, fault = self._contacts(beside)
        readings = [self._read(it, path, frame, contacts) for it in beside if it.kind == XMP]
        readings += [] if inside is None else [_at(path, names_in(inside, frame))]
        readings += [
            self._read(it, path, frame, contacts) for it in beside if it.kind not in (XMP, CONTACTS)
        ]
        return merged([*readings, fault])

    def _contacts(self, beside: list[Sidecar]) -> tuple[dict[int, str], Reading]:
        for sidecar in beside:
            if sidecar.kind == CONTACTS:
                try:
                    parsed = self._parsed(sidecar)
                except NamesError as error:
                    return {}, Reading((), (_told(sidecar.path, str(error)),))
                return (parsed, Reading()) if isinstance(parsed, dict) else ({}, Reading())
        return {}, Reading()

    def _read(self, sidecar: Sidecar, path: str, frame: Frame, contacts: dict[int, str]) -> Reading:
        try:
            if sidecar.kind == XMP:
                return _at(sidecar.path, xmp_read.read(read_sidecar(sidecar), frame))
            if sidecar.kind == PICASA:
                folder, name = self._parsed(sidecar), os.path.basename(path)
                assert isinstance(folder, picasa.Folder)
                return _at(sidecar.path, picasa.names_in(folder, name, frame, contacts))
            return _at(sidecar.path, takeout.read(read_sidecar(sidecar)).reading)
        except NamesError as error:
            return Reading((), (_told(sidecar.path, str(error)),))

    def _parsed(self, sidecar: Sidecar) -> Parsed:
        """What a file says that many photos share. Raises NamesError, each time."""
        if sidecar.path not in self._shared:
            parse = picasa.parse_ini if sidecar.kind == PICASA else picasa.parse_contacts
            try:
                self._shared[sidecar.path] = parse(read_sidecar(sidecar))
            except NamesError as error:
                self._shared[sidecar.path] = error
            if len(self._shared) > SHARED:
                self._shared.popitem(last=False)
        found = self._shared[sidecar.path]
        if isinstance(found, NamesError):
            raise NamesError(str(found))
        return found


def _at(path: str, reading: Reading) -> Reading:
    return replace(reading, faults=tuple(_told(path, fault) for fault in reading.faults))


def _told(path: str, fault: str) -> str:
    """A fault with the name of its file, once."""
    return fault if path in fault else f"{os.path.basename(path)}: {fault}"
