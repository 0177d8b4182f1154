"""Imports what other programs wrote in pictures and next to them: names as decisions, dates and places.

`metadata` parses the files; here their regions are matched with faces. No HTTP, no click.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ..algorithms import geometry, name_assignment
from ..algorithms.box_matching import match_boxes, may_be_same_face
from ..algorithms.spelling import fold
from ..errors import DecisionError, FacesError, UnreadableNow
from ..media.exif import Exif
from ..media.files import as_text, read_file
from ..models.model_pools import ModelPools
from ..shapes import Area, File
from ..store import decisions, forgotten_faces, metadata_faces, models, photo_names
from ..store import people as store
from ..store.connection import Connection, transaction
from ..store.decisions import MEMBER, Decision
from ..store.metadata_faces import PresentPhoto, SaidFacts
from ..store.standings import Standing, read_standings
from . import manual_faces
from .decide import Editor
from .manual_faces import ManualFace
from .metadata import embedded
from .metadata.embedded import EmbeddedXmp
from .metadata.photo_facts import PhotoFacts
from .metadata.read_all import NameReader
from .metadata.regions import FACE, Frame, NamedRegion, ParsedNames, merge_names

Progress = Callable[[int, int, File | None], None]
"""Called with the number of photos done, and of all photos."""

BATCH_SIZE = 500
"""Photos, or named faces, that are saved in one transaction."""
DIGITS = 30
"""Of a digest of sidecars, which the digests of what they said follow."""
UNREAD = ("", "")
"""Stands for the source of names where a face has to wait: the next ingest reads them again."""
_ReadPhoto = tuple[int, list[tuple[str, str]] | None, tuple[str, str]]
"""A photo's id, its names without a place (None: not read), and the hash and digest of what was read."""


def ignore_progress(done: int, total: int, file: File | None) -> None:
    """Report nothing."""


@dataclass
class NameImportReport:
    """What an import did: photos that name people, faces that got a name, and paths with faults.

    drawn: faces that were added because a region matched none; unmet: regions for which none could be.
    known: names that were settled before. without_box: names without a place.
    """

    photos: int = 0
    named: int = 0
    drawn: int = 0
    known: int = 0
    unmet: int = 0
    without_box: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def import_photo_names(
    conn: Connection,
    pools: ModelPools,
    *,
    photo_ids: Collection[int] | None = None,
    again: bool = True,
    names: bool = True,
    progress: Progress = ignore_progress,
) -> NameImportReport:
    """Name faces as other programs did; faces that a person has assigned or rejected stay as they are.

    Each name is a decision of its own, made once: if it is undone, it stays undone. A region that
    matches no face becomes one, by the available models. In transactions of its own, so that an
    interrupted import goes on where it stopped. photo_ids: only these photos. again: also photos
    whose names, in them and next to them, have been read before. names: if not, only the dates and
    places in the same files are read, which comes with the names otherwise.
    """
    importer = _NameImporter(conn, pools, with_names=names)
    total = metadata_faces.count(conn) if photo_ids is None else len(photo_ids)
    for number, photo in enumerate(metadata_faces.photos(conn, photo_ids), 1):
        importer.import_photo(photo, again=again)
        progress(number, total, None)
    importer.save_batch()
    return importer.report


class _NameImporter:
    """One import: the report, the batch that is saved at once, and the people of each name."""

    def __init__(self, conn: Connection, pools: ModelPools, *, with_names: bool) -> None:
        self.report = NameImportReport()
        self._with_names = with_names
        self._conn, self._pools = conn, pools
        self._infos = pools.find_available(models.every(conn))
        self._reader = NameReader()
        self._keys_by_name = store.keys_by_name(conn)
        self._read_photos: list[_ReadPhoto] = []
        self._facts: list[tuple[PresentPhoto, SaidFacts, SaidFacts]] = []
        self._named_faces: set[int] = set()
        self._named_keys: set[str] = set()

    def import_photo(self, photo: PresentPhoto, *, again: bool) -> None:
        """Import the names of a photo, unless they have been read before."""
        found = self._find_sidecars(photo)
        dates, names = ((photo.sha256, _digest_source(it, found)) for it in ("dates", "names"))
        if not again and photo.read in ([names] if self._with_names else [names, dates]):
            return
        xmp = self._read_embedded(photo)
        if xmp is None:
            return  # the next ingest tries again
        try:
            said = _said_facts(self._reader.read_facts(photo.files(), xmp))
            parsed = self._read_names(photo, xmp) if self._with_names else None
        except UnreadableNow as error:
            self.report.faults.append((photo.path, str(error)))
            return  # the next ingest tries again
        self._facts.append((photo, said, _said_facts(xmp.exif)))
        placeless = self._import_names(photo, parsed) if parsed else None
        source = dates if not self._with_names else names if placeless is not None else UNREAD
        read = (photo.sha256, f"{source[1]}:{said.digest()}")
        self._read_photos.append((photo.id, placeless, read))
        if len(self._facts) >= BATCH_SIZE or len(self._named_faces) >= BATCH_SIZE:
            self.save_batch()

    def _import_names(
        self, photo: PresentPhoto, parsed: ParsedNames
    ) -> list[tuple[str, str]] | None:
        """Name the faces of a photo; returns the names without a place, None if a face has to wait."""
        regions = [region for region in parsed.regions if region.kind == FACE]
        regions = self._leave_out_forgotten(photo, regions)
        self.report.photos += bool(regions)
        if regions and not self._name_faces(photo, regions):
            return None
        return self._list_placeless(regions)

    def _leave_out_forgotten(
        self, photo: PresentPhoto, regions: list[NamedRegion]
    ) -> list[NamedRegion]:
        """The regions without those of faces that were forgotten."""
        boxes = forgotten_faces.read_boxes(self._conn, photo.id)
        areas = [geometry.area_of(box, photo.width, photo.height) for box in boxes]
        return [it for it in regions if it.area is None or not _meets(it.area, areas)]

    def save_batch(self) -> None:
        """Update the people of the faces that were named, and record which photos were read."""
        with transaction(self._conn):
            store.update_faces(self._conn, sorted(self._named_faces))
            store.show(self._conn, self._named_keys)
            for photo, said, exif in self._facts:
                metadata_faces.save_facts(self._conn, photo.id, said, exif=exif, before=photo.said)
            for photo_id, names, source in self._read_photos:
                if names is None:
                    photo_names.save_read(self._conn, photo_id, source)
                else:
                    photo_names.save_names(self._conn, photo_id, names, source)
        self._facts = []
        self._read_photos, self._named_faces, self._named_keys = [], set(), set()

    def _find_sidecars(self, photo: PresentPhoto) -> list[list[object]]:
        """The files next to a photo, by which a later import sees whether they changed."""
        found: list[list[object]] = []
        for path in photo.files():
            for sidecar in self._reader.sidecars.find(path):
                with suppress(OSError):
                    facts = os.stat(sidecar.path)
                    found.append([as_text(sidecar.path)[0], facts.st_size, facts.st_mtime_ns])
        return found

    def _read_embedded(self, photo: PresentPhoto) -> EmbeddedXmp | None:
        """What a picture says beside its pixels; None if no copy of it can be read now."""
        for path in photo.files():
            try:
                return embedded.read_embedded_xmp(read_photo_file(path))
            except (OSError, FacesError) as error:
                fault = (photo.path, explain_error(error))
        if self._with_names:
            self.report.faults.append(fault)
        return None

    def _read_names(self, photo: PresentPhoto, xmp: EmbeddedXmp) -> ParsedNames:
        """The names in a picture and next to each of its copies."""
        faces = tuple(metadata_faces.areas(self._conn, photo).values())
        frame = Frame(photo.width, photo.height, xmp.orientation, faces)
        read = [self._reader.read(path, frame, xmp) for path in photo.files()]
        names = merge_names(read, faces)
        self.report.faults += [(photo.path, fault) for fault in names.faults]
        return names

    def _list_placeless(self, regions: list[NamedRegion]) -> list[tuple[str, str]]:
        """The names that do not say which face is meant, each with its source."""
        placeless = [region for region in regions if region.area is None]
        self.report.without_box += len(placeless)
        return [(region.name, region.source) for region in placeless]

    def _name_faces(self, photo: PresentPhoto, regions: list[NamedRegion]) -> bool:
        """Name the faces that regions match, and draw the missing ones; False if one has to wait."""
        placed = [(region, region.area) for region in regions if region.area is not None]
        areas = metadata_faces.areas(self._conn, photo)
        ids = list(areas)
        matching = match_boxes([area for _, area in placed], list(areas.values()))
        pairs = [(placed[region][0], ids[face]) for region, face in matching.pairs]
        with transaction(self._conn):
            standings = read_standings(self._conn, ids)
            called = metadata_faces.names_by_face(self._conn, photo.id)
            for region, face_id in pairs:
                # Grouping gave it this name already: perhaps `write-xmp` wrote it, not a person
                same = fold(called.get(face_id, "")) == fold(region.name)
                if same or self._is_settled(photo, region, standings.get(face_id)):
                    self.report.known += 1
                else:
                    self._name_face(photo, region, face_id)
        # Where grouping alone saw someone they may not be
        sure = {it: name for it, name in called.items() if it in standings and standings[it].placed}
        elsewhere = _find_names_elsewhere(sure, pairs)
        missing = [placed[number][0] for number in matching.unmatched]
        drawn = [region for region in missing if fold(region.name) not in elsewhere]
        self.report.known += len(missing) - len(drawn)
        if drawn and not self._is_whole(photo):
            self.report.unmet += len(drawn)
            return True  # another content is asked again
        settled = [self._draw_face(photo, region) for region in drawn]
        return all(settled)

    def _is_whole(self, photo: PresentPhoto) -> bool:
        """Whether regions without a face show one: none is drawn into grey, nor one that was forgotten."""
        return not (
            metadata_faces.is_damaged(self._conn, photo.id)
            or forgotten_faces.may_be_anywhere(self._conn, photo.id)
        )

    def _is_settled(
        self, photo: PresentPhoto, region: NamedRegion, standing: Standing | None
    ) -> bool:
        """Whether a face is assigned, or rejected for this person, or an earlier import named it so."""
        if standing and (standing.placed or standing.apart & self._keys_of(region.name)):
            return True
        return self._was_imported(photo, region)

    def _keys_of(self, name: str) -> set[str]:
        return {_name_key(name), *self._keys_by_name.get(fold(name), ())}

    def _was_imported(self, photo: PresentPhoto, region: NamedRegion, what: str = "") -> bool:
        """Whether this was imported before, from any content the photo has had.

        Undone or not, unless its face is lost: a damaged file may have become whole.
        """
        if decisions.by_uid(self._conn, _decision_uid(photo.sha256, region, what)) is not None:
            return True
        contents = metadata_faces.contents(self._conn, photo.id)
        former = (
            decisions.by_uid(self._conn, _decision_uid(sha256, region, what)) for sha256 in contents
        )
        return any(
            made is not None and (not made.active or decisions.faces_of(self._conn, made))
            for made in former
        )

    def _name_face(self, photo: PresentPhoto, region: NamedRegion, face_id: int) -> None:
        """Add the decision that a face has a name, in a transaction; `save_batch` applies it."""
        keys = self._keys_by_name.get(fold(region.name), ())
        key = next(iter(keys), None) or self._unused_key(region.name)
        person = store.by_key(self._conn, key)
        decisions.append(
            self._conn,
            Decision(
                "import",
                key,
                value=(person and person.name) or region.name,
                actor=region.source,
                faces=decisions.refs(self._conn, MEMBER, [face_id]),
                uid=_decision_uid(photo.sha256, region),
            ),
        )
        self._keys_by_name[fold(region.name)] = [key]
        self._named_faces.add(face_id)
        self._named_keys.add(key)
        self.report.named += 1

    def _unused_key(self, name: str) -> str:
        """A key for a new person of that name: the same in every file, unless it is taken here."""
        attempt = 0
        while decisions.is_about(self._conn, key := _name_key(name, attempt)):
            attempt += 1
        return key

    def _draw_face(self, photo: PresentPhoto, region: NamedRegion) -> bool:
        """Add a face where a region matches none, and name it; False if a later import may succeed."""
        if self._was_imported(photo, region, "draw"):
            self.report.known += 1
            return True
        try:
            manual = self._measure_face(photo, region)
            with transaction(self._conn):
                drawable = manual_faces.read_drawable_photo(self._conn, photo.id)
                uid, by = _decision_uid(photo.sha256, region, "draw"), Editor(region.source)
                _, face_id = manual_faces.save_manual_face(
                    self._conn, drawable, manual, by=by, uid=uid
                )
                self._name_face(photo, region, face_id)
        except FacesError as error:
            self.report.unmet += 1
            if self._infos:
                self.report.faults.append((photo.path, f"{region.name}: {error}"))
            # An invalid box stays invalid; a busy machine or a missing model may do better next time
            return isinstance(error, DecisionError)
        self.report.drawn += 1
        return True

    def _measure_face(self, photo: PresentPhoto, region: NamedRegion) -> ManualFace:
        drawable, area = manual_faces.read_drawable_photo(self._conn, photo.id), region.area
        assert area is not None
        across, down = photo.width, photo.height
        sides = (area.x * across, area.y * down, area.width * across, area.height * down)
        manual_box = manual_faces.make_manual_box(drawable, manual_faces.check_box(drawable, sides))
        data = manual_faces.read_original(drawable)
        return manual_faces.measure_face(
            self._pools.measure_manual_face, self._infos, data, manual_box
        )


def _meets(area: Area, others: Iterable[Area]) -> bool:
    return any(may_be_same_face(area, other) for other in others)


def propose_names(conn: Connection) -> int:
    """Propose names for people by the photos that name them without a place; how many people get one.

    In a transaction, once the faces are grouped.
    """
    photos = photo_names.named_photos(conn)
    proposals = (
        name_assignment.assign_names(photos, photo_names.named_people(conn)) if photos else []
    )
    photo_names.save_proposals(conn, proposals)
    return photo_names.count_proposals(conn)


def _digest_source(what: str, sidecars: list[list[object]]) -> str:
    """A digest of what was read, the names too or only the dates, and of the sidecars it was read from."""
    return _sha256(json.dumps([what, sidecars]))[:DIGITS]


def _said_facts(facts: PhotoFacts | Exif) -> SaidFacts:
    return SaidFacts(facts.taken_at, (facts.latitude, facts.longitude))


def _find_names_elsewhere(
    called: Mapping[int, str], pairs: Iterable[tuple[NamedRegion, int]]
) -> set[str]:
    """The folded names of faces that no region of that name is on: where such a region is, no one is."""
    met = {(face_id, fold(region.name)) for region, face_id in pairs}
    names = ((face_id, fold(name)) for face_id, name in called.items())
    return {name for face_id, name in names if (face_id, name) not in met}


def explain_error(error: Exception) -> str:
    """Why a file could not be read or written, for the user."""
    if isinstance(error, OSError):
        return f"it cannot be read or written now: {error.strerror or error}"
    return str(error)


def read_photo_file(path: str) -> bytes:
    """A photo's file. Raises OSError, PictureError."""
    facts = os.stat(path)
    text, raw = as_text(path)
    return read_file(File(text, facts.st_size, facts.st_mtime_ns, raw))


def _name_key(name: str, attempt: int = 0) -> str:
    """The key of a person who is known by name alone: the same in every file."""
    return _sha256(f"name {name.casefold()}{f' {attempt}' if attempt else ''}")[:16]


def _decision_uid(sha256: str, region: NamedRegion, what: str = "") -> str:
    """A decision's uid, the same for the same name in the same place: it is imported once."""
    area = region.area
    assert area is not None
    place = [round(value, 3) for value in (area.x, area.y, area.width, area.height)]
    return _sha256(json.dumps([sha256, region.name, place, *([what] if what else [])]))[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
