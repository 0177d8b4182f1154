"""Names of other programs, from pictures and the files next to them, as decisions.

What the files mean is `names`' work; here it meets the faces that were found. No HTTP, no click.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from . import drawing, people
from .at_hand import AtHand
from .connections import Connection, transaction
from .drawing import Look, Made
from .errors import DecisionError, FacesError
from .files import as_path, as_text, read
from .names import embedded
from .names.gathering import Names
from .names.matching import match
from .names.regions import FACE, Area, Frame, NamedRegion, Reading, plain
from .people import Editor
from .shapes import File, ModelInfo
from .store import decisions, models, named, said
from .store import people as store
from .store.decisions import MEMBER, Decision
from .store.named import Pictured

Progress = Callable[[int, int, File | None], None]
"""Called with photos done and photos in all."""


KEPT_AT_ONCE = 500
"""Photos of which it is noted in one go that they were read."""
_Seen = tuple[int, list[tuple[str, str]], tuple[str, str]]
"""A photo's id, names that are said of it without a place, and what was read."""


def quiet(done: int, total: int, file: File | None) -> None:
    """Say nothing."""


@dataclass
class Imported:
    """What was read, in photos; faces that got a name; regions without a face; what made no sense.

    drawn: faces that were made where a region met none; unmet: regions for which none could be.
    """

    photos: int = 0
    named: int = 0
    drawn: int = 0
    known: int = 0
    unmet: int = 0
    without_box: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def take_in(
    conn: Connection, look: AtHand, *, again: bool = True, progress: Progress = quiet
) -> Imported:
    """Name faces as other programs did; who was placed by somebody stays.

    Each name is a decision of its own, which is made once: undone, it stays so. A region that meets
    no face becomes one, by the models that are at hand. In transactions of its own, so that what was
    stopped goes on. again: also those photos whose names, in them and next to them, were read already.
    """
    done, names, total = Imported(), Names(), named.count(conn)
    seen: list[_Seen] = []
    infos = look.of(models.every(conn))
    for number, photo in enumerate(named.photos(conn), 1):
        read = (photo.sha256, _sidecars(names, photo))
        if again or photo.read != read:
            regions = _regions(photo, names, done)
            if regions:
                _take(conn, look, infos, photo, regions, done)
            seen.append((photo.id, _without_place(regions, done), read))
        if len(seen) >= KEPT_AT_ONCE:
            _keep(conn, seen)
            seen = []
        progress(number, total, None)
    _keep(conn, seen)
    return done


def _keep(conn: Connection, seen: list[_Seen]) -> None:
    with transaction(conn):
        for photo_id, told, read in seen:
            said.save(conn, photo_id, told, read)


def _take(
    conn: Connection,
    look: Look,
    infos: list[ModelInfo],
    photo: Pictured,
    regions: list[NamedRegion],
    done: Imported,
) -> None:
    with transaction(conn):
        unmet = _name_faces(conn, photo, regions, done)
    for region in unmet:
        _draw(conn, look, infos, photo, region, done)


def _regions(photo: Pictured, names: Names, done: Imported) -> list[NamedRegion]:
    regions = [it for it in _reading(photo, names, done).regions if it.kind == FACE]
    done.photos += bool(regions)
    return regions


def _sidecars(names: Names, photo: Pictured) -> str:
    """What lies next to a photo, so that a later look tells whether it is the same."""
    found = []
    for sidecar in names.sidecars.of(as_path(photo.path, photo.path_bytes)):
        with suppress(OSError):
            facts = os.stat(sidecar.path)
            found.append([as_text(sidecar.path)[0], facts.st_size, facts.st_mtime_ns])
    return json.dumps(found)


def _without_place(regions: list[NamedRegion], done: Imported) -> list[tuple[str, str]]:
    """The names that do not say which face is meant, with what says so."""
    found = []
    for region in regions:
        if region.area is None:
            done.without_box += 1
            try:
                found.append((people.clean_name(region.name), region.source))
            except DecisionError as error:
                done.faults.append((region.name[:40], str(error)))
    return found


def bytes_of(photo: Pictured) -> bytes:
    """A photo's file. Raises OSError, PictureError."""
    path = as_path(photo.path, photo.path_bytes)
    facts = os.stat(path)
    text, raw = as_text(path)
    return read(File(text, facts.st_size, facts.st_mtime_ns, raw))


def _reading(photo: Pictured, names: Names, done: Imported) -> Reading:
    """Whom a picture and the files next to it name."""
    path = as_path(photo.path, photo.path_bytes)
    try:
        picture = embedded.embedded(bytes_of(photo))
    except (OSError, FacesError) as error:
        done.faults.append((photo.path, str(error)))
        return Reading()
    frame = Frame(photo.width, photo.height, picture.orientation)
    found = names.of(path, frame, picture)
    done.faults += [(photo.path, fault) for fault in found.faults]
    return found


def _name_faces(
    conn: Connection, photo: Pictured, regions: list[NamedRegion], done: Imported
) -> list[NamedRegion]:
    """Name the faces that regions meet; the regions that meet none."""
    placed = [(it, it.area) for it in regions if it.area is not None]
    boxes = named.boxes(conn, photo.id)
    ids = list(boxes)
    of_faces = [Area.of(box, photo.width, photo.height) for box in boxes.values()]
    found = match([area for _, area in placed], of_faces)
    standings, called = decisions.standings(conn, ids), named.called(conn, photo.id)
    for place, face_place in found.pairs:
        region, _ = placed[place]
        face_id = ids[face_place]
        standing = standings.get(face_id)
        uid = _uid(photo, region)
        # Of this name already by its likeness: it may be `write-xmp` that said so, not a person
        same = called.get(face_id, "").casefold() == plain(region.name).casefold()
        if (standing and standing.placed) or same or decisions.by_uid(conn, uid):
            done.known += 1
        else:
            done.named += _import(conn, face_id, region, uid, done)
    return [placed[place][0] for place in found.unmet]


def _draw(
    conn: Connection,
    look: Look,
    infos: list[ModelInfo],
    photo: Pictured,
    region: NamedRegion,
    done: Imported,
) -> None:
    """Make a face where a region meets none, and name it; once: undone, it stays so."""
    uid = _uid(photo, region, "draw")
    if decisions.by_uid(conn, uid):
        done.known += 1
        return
    try:
        made = _made(conn, look, infos, photo, region)
        with transaction(conn):
            about = drawing.subject(conn, photo.id)
            by = Editor(region.source)
            _, face_id = drawing.draw(conn, about, made, by=by, uid=uid)
            done.named += _import(conn, face_id, region, _uid(photo, region), done)
    except FacesError as error:
        done.unmet += 1
        if infos:
            done.faults.append((photo.path, f"{region.name}: {error}"))
    else:
        done.drawn += 1


def _made(
    conn: Connection, look: Look, infos: list[ModelInfo], photo: Pictured, region: NamedRegion
) -> Made:
    about, area = drawing.subject(conn, photo.id), region.area
    assert area is not None
    across, down = photo.width, photo.height
    sides = (area.x * across, area.y * down, area.width * across, area.height * down)
    outline = drawing.outline(about, drawing.checked_box(about, sides))
    return drawing.make(look, infos, drawing.original(about), outline)


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


def _uid(photo: Pictured, region: NamedRegion, what: str = "") -> str:
    """The same for the same name at the same place: it is imported once."""
    area = region.area
    assert area is not None
    place = [round(value, 3) for value in (area.x, area.y, area.width, area.height)]
    told = json.dumps([photo.sha256, region.name, place, *([what] if what else [])])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
