"""A database of 150 faces by the toy model: more than a page, with sizes, scores and dates that differ."""

from __future__ import annotations

from pathlib import Path

from serving import asked, copied
from toy_model import ToyModel, draw

from datasette_faces.library.ingest.run import ingest

PHOTOS = 15
FACES = 150
OTHERS = 20
"""Faces that the model `other` has looked at as well."""


def make_archive(folder: Path) -> Path:
    """Ingest drawn pictures, then give them what cameras and detectors would."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(PHOTOS):
        colours = [(10 + 16 * number, 5 + 20 * place, 250 - 16 * number) for place in range(10)]
        draw(pictures / f"{number:02}.png", *colours)
    database = folder / "archive.db"
    ingest(str(database), [str(pictures)], ToyModel(), worker_count=1, clustered=False)
    few = [str(pictures / f"{number:02}.png") for number in range(OTHERS // 10)]
    ingest(
        str(database), few, ToyModel(id="other", weights="other"), worker_count=1, clustered=False
    )
    assert asked(database, "select count(*) from faces") == [(FACES,)]
    return copied(
        database,
        folder / "various.db",
        "update faces set width = 20 + id % 7 * 10, height = 90 - id % 5 * 10",
        "update faces set detection_score = 0.5 + (id % 10) / 20.0, sharpness = id * 2.5",
        # A camera without a clock, then a photo a month from 2018-11 on, one on the last day of a year
        "update photos set taken_at = date('2018-10-05', (id - 1) || ' months') || 'T10:00:00'"
        " where id > 1",
        "update photos set taken_at = '2019-12-31T23:59:59+01:00' where id = 15",
    )
