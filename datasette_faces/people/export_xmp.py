"""Writes the names of people as regions into XMP sidecars next to their photos. No HTTP, no click."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..algorithms import geometry
from ..errors import FacesError
from ..media.files import as_path
from ..store import metadata_faces
from ..store.connection import Connection
from ..store.metadata_faces import PresentPhoto
from .import_names import Progress, explain_error, ignore_progress, read_photo_file
from .metadata import embedded
from .metadata.regions import Frame, NamedRegion
from .metadata.sidecars import XMP, Sidecar, SidecarFinder, read_sidecar, write_sidecar
from .metadata.xmp_write import write_regions


@dataclass
class XmpExportReport:
    """Sidecars that were written, those that had all names already, and those that failed, and why."""

    written: int = 0
    unchanged: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def write_sidecars(conn: Connection, progress: Progress = ignore_progress) -> XmpExportReport:
    """Write the names in all photos into XMP sidecars; the photos themselves stay as they are."""
    report, sidecars, total = XmpExportReport(), SidecarFinder(), metadata_faces.count(conn)
    for number, photo in enumerate(metadata_faces.photos(conn), 1):
        try:
            _write_names(conn, photo, sidecars, report)
        except (OSError, FacesError) as error:
            report.faults.append((photo.path, explain_error(error)))
        progress(number, total, None)
    return report


def _write_names(
    conn: Connection, photo: PresentPhoto, sidecars: SidecarFinder, report: XmpExportReport
) -> None:
    """Write the names in a photo, if there are any."""
    names = metadata_faces.names(conn, photo.id)
    if not names:
        return
    path = as_path(photo.path, photo.path_bytes)
    target = sidecars.choose_path(path)
    before = None
    if any(sidecar.path == target for sidecar in sidecars.find(path)):
        before = read_sidecar(Sidecar(target, XMP))
    regions = [
        NamedRegion(name, geometry.area_of(box, photo.width, photo.height), "datasette-faces")
        for name, box in names
    ]
    xmp = embedded.read_embedded_xmp(read_photo_file(path))
    faces = metadata_faces.areas(conn, photo).values()
    frame = Frame(photo.width, photo.height, xmp.orientation, tuple(faces))
    after = write_regions(before, regions, frame)
    if after == before:
        report.unchanged += 1
        return
    write_sidecar(target, after, before=before)
    report.written += 1
