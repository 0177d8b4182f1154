"""Names of other programs, from pictures and the files next to them, as decisions; and back into XMP.

What the files mean is `names`' work; here it meets the faces that were found. No HTTP, no click.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from . import people
from .connections import Connection
from .errors import DecisionError, FacesError
from .files import as_path, as_text, read
from .names import embedded
from .names.gathering import Names
from .names.matching import match
from .names.regions import FACE, Area, Frame, NamedRegion, Reading
from .names.sidecars import XMP, Sidecar, Sidecars, read_sidecar, write_sidecar
from .names.xmp_writing import write_regions
from .shapes import Box, File
from .store import decisions, named
from .store import people as store
from .store.decisions import MEMBER, Decision
from .store.named import Pictured

Progress = Callable[[int, int], None]


@dataclass
class Imported:
    """What was read, in photos; faces that got a name; regions without a face; what made no sense."""

    photos: int = 0
    named: int = 0
    known: int = 0
    unmet: int = 0
    without_box: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Written:
    """Sidecars that were written, those that say it already, and those that could not be."""

    written: int = 0
    unchanged: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def take_in(conn: Connection, progress: Progress = lambda done, total: None) -> Imported:
    """Name faces as other programs did, in a transaction; who was placed by somebody stays.

    Each name is a decision of its own, which is made once: undone, it stays so.
    """
    done, names, photos = Imported(), Names(), named.photos(conn)
    for number, photo in enumerate(photos, 1):
        reading = _reading(photo, names, done)
        regions = [it for it in reading.regions if it.kind == FACE]
        done.photos += bool(regions)
        done.without_box += sum(it.area is None for it in regions)
        _name_faces(conn, photo, [it for it in regions if it.area is not None], done)
        progress(number, len(photos))
    return done


def write_out(conn: Connection, progress: Progress = lambda done, total: None) -> Written:
    """Write the names of all photos into XMP sidecars; the photographs themselves stay untouched."""
    done, sidecars, photos = Written(), Sidecars(), named.photos(conn)
    for number, photo in enumerate(photos, 1):
        told = named.names(conn, photo.id)
        if told:
            try:
                _write(photo, told, sidecars, done)
            except (OSError, FacesError) as error:
                done.faults.append((photo.path, str(error)))
        progress(number, len(photos))
    return done


def _write(photo: Pictured, told: list[tuple[str, Box]], sidecars: Sidecars, done: Written) -> None:
    path = as_path(photo.path, photo.path_bytes)
    target = sidecars.to_write(path)
    before = None
    if any(it.path == target for it in sidecars.of(path)):
        before = read_sidecar(Sidecar(target, XMP))
    regions = [
        NamedRegion(name, Area.of(box, photo.width, photo.height), "datasette-faces")
        for name, box in told
    ]
    frame = Frame(photo.width, photo.height, embedded.embedded(_bytes(photo)).orientation)
    after = write_regions(before, regions, frame)
    if after == before:
        done.unchanged += 1
        return
    write_sidecar(target, after, before=before)
    done.written += 1


def _bytes(photo: Pictured) -> bytes:
    path = as_path(photo.path, photo.path_bytes)
    facts = os.stat(path)
    text, raw = as_text(path)
    return read(File(text, facts.st_size, facts.st_mtime_ns, raw))


def _reading(photo: Pictured, names: Names, done: Imported) -> Reading:
    """Whom a picture and the files next to it name."""
    path = as_path(photo.path, photo.path_bytes)
    try:
        picture = embedded.embedded(_bytes(photo))
    except (OSError, FacesError) as error:
        done.faults.append((photo.path, str(error)))
        return Reading()
    frame = Frame(photo.width, photo.height, picture.orientation)
    found = names.of(path, frame, picture)
    done.faults += [(photo.path, fault) for fault in found.faults]
    return found


def _name_faces(
    conn: Connection, photo: Pictured, regions: list[NamedRegion], done: Imported
) -> None:
    boxes = named.boxes(conn, photo.id)
    ids = list(boxes)
    areas = [it.area for it in regions if it.area is not None]
    found = match(areas, [Area.of(box, photo.width, photo.height) for box in boxes.values()])
    placed = decisions.standings(conn, ids)
    done.unmet += len(found.unmet)
    for place, face_place in found.pairs:
        face_id = ids[face_place]
        standing = placed.get(face_id)
        uid = _uid(photo, regions[place])
        if (standing and standing.placed) or decisions.by_uid(conn, uid):
            done.known += 1
        else:
            done.named += _import(conn, face_id, regions[place], uid, done)


def _import(conn: Connection, face_id: int, region: NamedRegion, uid: str, done: Imported) -> int:
    try:
        called = people.clean_name(region.name)
    except DecisionError as error:
        done.faults.append((region.name[:40], str(error)))
        return 0
    known = store.of_name(conn, called)
    key = known[0].key if known else _key(called)
    made = decisions.append(
        conn,
        Decision(
            "import",
            key,
            value=known[0].name if known else called,
            actor=region.source,
            faces=decisions.refs(conn, MEMBER, [face_id]),
            uid=uid,
        ),
    )
    people.apply(conn, made)
    return 1


def _key(name: str) -> str:
    """The key of a person who is known by name alone: the same in every file."""
    return hashlib.sha256(f"name {name.casefold()}".encode()).hexdigest()[:16]


def _uid(photo: Pictured, region: NamedRegion) -> str:
    """The same for the same name at the same place: it is imported once."""
    area = region.area
    assert area is not None
    place = [round(value, 3) for value in (area.x, area.y, area.width, area.height)]
    told = json.dumps([photo.sha256, region.name, place])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
