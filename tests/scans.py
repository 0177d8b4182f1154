"""A library of scans: one picture, upright, on its head and on each side."""

from __future__ import annotations

from pathlib import Path

from pictures import shipped
from PIL import Image
from running import ingest

UPRIGHT = 1
"""The upright photo of the library; 2 is on its head, 3 and 4 lie on their sides."""


def scan(what: str, turned: int) -> Image.Image:
    """A shipped picture that has to be turned clockwise by so many degrees to stand upright."""
    with Image.open(shipped(what)) as image:
        return image.convert("RGB").rotate(turned, expand=True)


def make_scans(folder: Path) -> Path:
    """A database of six faces, four times; its photos lie beside it."""
    (folder / "photos").mkdir()
    for place, turned in enumerate((0, 180, 90, 270)):
        scan("six faces", turned).save(folder / "photos" / f"{place}.jpg", quality=95)
    ingest(folder / "scans.db", folder / "photos", model="sface")
    return folder / "scans.db"
