"""A small catalogue with embeddings, to be served: `python tests/make_catalogue.py OUT [PRIVATE]`.

PRIVATE: where the file is kept that it is made of.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pictures import shipped
from publishing import make_private

from datasette_faces.library.export import export
from datasette_faces.library.ingest.run import ingest
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.models.sface import SFace


def make_catalogue(out: Path, faces_db: Path, private: Path | None = None) -> Path:
    """Export named people of a faces database, with embeddings and places."""
    with tempfile.TemporaryDirectory() as scratch:
        private = make_private(faces_db, private or Path(scratch) / "private.db")
        export(str(private), str(out), ExportOptions(embeddings=True, gps=True))
    return out


def main() -> None:
    """Ingest two pictures that ship with packages, name their people, export them."""
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "faces.db"
        photos = [str(shipped("six faces")), str(shipped("one face"))]
        ingest(str(database), photos, SFace(), worker_count=1)
        make_catalogue(*map(Path, (sys.argv[1], database, *sys.argv[2:])))


if __name__ == "__main__":
    main()
