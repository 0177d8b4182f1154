"""Names of other programs, from pictures and the files next to them, as decisions.

What the files mean is `names`' work; here it meets the faces that were found. No HTTP, no click.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from ..algorithms import geometry
from ..algorithms.box_matching import match_boxes
from ..errors import DecisionError, FacesError
from ..media.files import as_text, read_file
from ..models.at_hand import AtHand
from ..shapes import File
from ..store import decisions, metadata_faces, models, photo_names
from ..store import people as store
from ..store.connection import Connection, transaction
from ..store.decisions import MEMBER, Decision, Standing
from ..store.metadata_faces import Pictured
from . import manual_faces
from .decide import Editor
from .manual_faces import Made
from .metadata import embedded
from .metadata.read_all import Names
from .metadata.regions import FACE, Frame, NamedRegion, Reading, merged

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
    conn: Connection,
    look: AtHand,
    *,
    photo_ids: Collection[int] | None = None,
    again: bool = True,
    progress: Progress = quiet,
) -> Imported:
    """Name faces as other programs did; who was placed or taken out by somebody stays so.

    Each name is a decision of its own, which is made once: undone, it stays so. A region that meets
    no face becomes one, by the models that are at hand. In transactions of its own, so that what was
    stopped goes on. photo_ids: only these photos. again: also those whose names, in them and next to
    them, were read already.
    """
    intake, total = (
        _Intake(conn, look),
        metadata_faces.count(conn) if photo_ids is None else len(photo_ids),
    )
    for number, photo in enumerate(metadata_faces.photos(conn, photo_ids), 1):
        intake.take(photo, again=again)
        progress(number, total, None)
    intake.keep()
    return intake.done


class _Intake:
    """One run through photos: what is written at once, and who is known by which name."""

    def __init__(self, conn: Connection, look: AtHand) -> None:
        self.done = Imported()
        self._conn, self._look = conn, look
        self._infos = look.of(models.every(conn))
        self._names = Names()
        self._known = store.keys_by_name(conn)
        self._seen: list[_Seen] = []
        self._faces: set[int] = set()
        self._keys: set[str] = set()

    def take(self, photo: Pictured, *, again: bool) -> None:
        """Take in the names of a photo, unless they were."""
        read = (photo.sha256, self._sidecars(photo))
        if photo.read == read and not again:
            return
        reading = self._reading(photo)
        if reading is None:
            return  # not now: the next ingest tries again
        regions = [it for it in reading.regions if it.kind == FACE]
        self.done.photos += bool(regions)
        if not regions or self._name_faces(photo, regions):
            self._seen.append((photo.id, self._without_place(regions), read))
        if len(self._seen) >= KEPT_AT_ONCE or len(self._faces) >= KEPT_AT_ONCE:
            self.keep()

    def keep(self) -> None:
        """Give the faces that were named to whom they are, and note which photos were read."""
        with transaction(self._conn):
            store.bring_up(self._conn, sorted(self._faces))
            store.show(self._conn, self._keys)
            for photo_id, told, read in self._seen:
                photo_names.save(self._conn, photo_id, told, read)
        self._seen, self._faces, self._keys = [], set(), set()

    def _sidecars(self, photo: Pictured) -> str:
        """A digest of what lies next to a photo, so that a later look tells whether it is the same."""
        found = []
        for path in photo.files():
            for sidecar in self._names.sidecars.of(path):
                with suppress(OSError):
                    facts = os.stat(sidecar.path)
                    found.append([as_text(sidecar.path)[0], facts.st_size, facts.st_mtime_ns])
        told = json.dumps(found)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest() if found else ""

    def _reading(self, photo: Pictured) -> Reading | None:
        """Whom a picture and the files next to each of its copies name; None if none can be read now."""
        for path in photo.files():
            try:
                picture = embedded.embedded(bytes_of(path))
                break
            except (OSError, FacesError) as error:
                fault = (photo.path, why(error))
        else:
            self.done.faults.append(fault)
            return None
        frame = Frame(photo.width, photo.height, picture.orientation)
        found = merged(self._names.of(path, frame, picture) for path in photo.files())
        self.done.faults += [(photo.path, fault) for fault in found.faults]
        return found

    def _without_place(self, regions: list[NamedRegion]) -> list[tuple[str, str]]:
        """The names that do not say which face is meant, with what says so."""
        placeless = [it for it in regions if it.area is None]
        self.done.without_box += len(placeless)
        return [(it.name, it.source) for it in placeless]

    def _name_faces(self, photo: Pictured, regions: list[NamedRegion]) -> bool:
        """Name the faces that regions meet, draw those that are missing; whether all that could be was."""
        placed = [(it, it.area) for it in regions if it.area is not None]
        boxes = metadata_faces.boxes(self._conn, photo.id)
        ids = list(boxes)
        of_faces = [geometry.area_of(box, photo.width, photo.height) for box in boxes.values()]
        found = match_boxes([area for _, area in placed], of_faces)
        pairs = [(placed[place][0], ids[face_place]) for place, face_place in found.pairs]
        with transaction(self._conn):
            standings = decisions.standings(self._conn, ids)
            called = metadata_faces.called(self._conn, photo.id)
            for region, face_id in pairs:
                # Of this name already by its likeness: it may be `write-xmp` that said so, not a person
                same = called.get(face_id, "").casefold() == region.name.casefold()
                if same or self._settled(photo, region, standings.get(face_id)):
                    self.done.known += 1
                else:
                    self._import(photo, region, face_id)
        settled = [self._draw(photo, placed[place][0]) for place in found.unmatched]
        return all(settled)

    def _settled(self, photo: Pictured, region: NamedRegion, standing: Standing | None) -> bool:
        """Whether somebody has said of a face whose it is, or that it is not this person; or undid it."""
        if standing and (standing.placed or standing.apart & self._keys_of(region.name)):
            return True
        return self._was_decided(photo, region)

    def _keys_of(self, name: str) -> set[str]:
        return {_key(name), *self._known.get(name.casefold(), ())}

    def _was_decided(self, photo: Pictured, region: NamedRegion, what: str = "") -> bool:
        """Whether this was imported before, undone or not; of the photo as it is, or was."""
        contents = {photo.sha256, *metadata_faces.contents(self._conn, photo.id)}
        uids = [_uid(sha256, region, what) for sha256 in contents]
        return any(decisions.by_uid(self._conn, uid) for uid in uids)

    def _import(self, photo: Pictured, region: NamedRegion, face_id: int) -> None:
        """Decide that a face has a name, in a transaction; `keep` brings it up to date."""
        key = next(iter(self._known.get(region.name.casefold(), ())), None) or self._free(
            region.name
        )
        person = store.by_key(self._conn, key)
        decisions.append(
            self._conn,
            Decision(
                "import",
                key,
                value=(person and person.name) or region.name,
                actor=region.source,
                faces=decisions.refs(self._conn, MEMBER, [face_id]),
                uid=_uid(photo.sha256, region),
            ),
        )
        self._known[region.name.casefold()] = [key]
        self._faces.add(face_id)
        self._keys.add(key)
        self.done.named += 1

    def _free(self, name: str) -> str:
        """A key for somebody of that name: the same in every file, unless it means another one here."""
        attempt = 0
        while decisions.is_about(self._conn, key := _key(name, attempt)):
            attempt += 1
        return key

    def _draw(self, photo: Pictured, region: NamedRegion) -> bool:
        """Make a face where a region meets none, and name it; whether that is settled for good."""
        if self._was_decided(photo, region, "draw"):
            self.done.known += 1
            return True
        try:
            made = self._made(photo, region)
            with transaction(self._conn):
                about = manual_faces.subject(self._conn, photo.id)
                uid, by = _uid(photo.sha256, region, "draw"), Editor(region.source)
                _, face_id = manual_faces.draw(self._conn, about, made, by=by, uid=uid)
                self._import(photo, region, face_id)
        except FacesError as error:
            self.done.unmet += 1
            if self._infos:
                self.done.faults.append((photo.path, f"{region.name}: {error}"))
            # What makes no sense stays so; a busy machine or a lost model may do better next time
            return isinstance(error, DecisionError)
        self.done.drawn += 1
        return True

    def _made(self, photo: Pictured, region: NamedRegion) -> Made:
        about, area = manual_faces.subject(self._conn, photo.id), region.area
        assert area is not None
        across, down = photo.width, photo.height
        sides = (area.x * across, area.y * down, area.width * across, area.height * down)
        outline = manual_faces.outline(about, manual_faces.checked_box(about, sides))
        return manual_faces.make(self._look, self._infos, manual_faces.original(about), outline)


def why(error: Exception) -> str:
    """Why a file could not be read or written, for a person."""
    if isinstance(error, OSError):
        return f"it cannot be read or written now: {error.strerror or error}"
    return str(error)


def bytes_of(path: str) -> bytes:
    """A photo's file. Raises OSError, PictureError."""
    facts = os.stat(path)
    text, raw = as_text(path)
    return read_file(File(text, facts.st_size, facts.st_mtime_ns, raw))


def _key(name: str, attempt: int = 0) -> str:
    """The key of a person who is known by name alone: the same in every file."""
    told = f"name {name.casefold()}{f' {attempt}' if attempt else ''}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _uid(sha256: str, region: NamedRegion, what: str = "") -> str:
    """The same for the same name at the same place: it is imported once."""
    area = region.area
    assert area is not None
    place = [round(value, 3) for value in (area.x, area.y, area.width, area.height)]
    told = json.dumps([sha256, region.name, place, *([what] if what else [])])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
