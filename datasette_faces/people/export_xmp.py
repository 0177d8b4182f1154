"""The names of people, written as regions into XMP sidecars next to their photos. No HTTP, no click."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..algorithms import geometry
from ..errors import FacesError
from ..media.files import as_path
from ..shapes import Box
from ..store import metadata_faces
from ..store.connection import Connection
from ..store.metadata_faces import Pictured
from .import_names import Progress, bytes_of, quiet, why
from .metadata import embedded
from .metadata.regions import Frame, NamedRegion
from .metadata.sidecars import XMP, Sidecar, Sidecars, read_sidecar, write_sidecar
from .metadata.xmp_write import write_regions


@dataclass
class Written:
    """Sidecars that were written, those that say it already, and those that could not be."""

    written: int = 0
    unchanged: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def write_out(conn: Connection, progress: Progress = quiet) -> Written:
    """Write the names of all photos into XMP sidecars; the photographs themselves stay untouched."""
    done, sidecars, total = Written(), Sidecars(), metadata_faces.count(conn)
    for number, photo in enumerate(metadata_faces.photos(conn), 1):
        told = metadata_faces.names(conn, photo.id)
        if told:
            try:
                _write(photo, told, sidecars, done)
            except (OSError, FacesError) as error:
                done.faults.append((photo.path, why(error)))
        progress(number, total, None)
    return done


def _write(photo: Pictured, told: list[tuple[str, Box]], sidecars: Sidecars, done: Written) -> None:
    path = as_path(photo.path, photo.path_bytes)
    target = sidecars.to_write(path)
    before = None
    if any(it.path == target for it in sidecars.of(path)):
        before = read_sidecar(Sidecar(target, XMP))
    regions = [
        NamedRegion(name, geometry.area_of(box, photo.width, photo.height), "datasette-faces")
        for name, box in told
    ]
    frame = Frame(photo.width, photo.height, embedded.embedded(bytes_of(path)).orientation)
    after = write_regions(before, regions, frame)
    if after == before:
        done.unchanged += 1
        return
    write_sidecar(target, after, before=before)
    done.written += 1
