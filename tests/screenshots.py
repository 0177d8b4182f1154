"""Make docs/screenshots from pictures that installed packages ship: python tests/screenshots.py"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from browser import browser, serving
from pictures import shipped
from PIL import Image
from serving import asked, copied

from datasette_faces.app.datasette.compat import V1
from datasette_faces.library.export import export
from datasette_faces.library.ingest import demo
from datasette_faces.library.ingest.run import ingest
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.models.sface import SFace
from datasette_faces.people import decide
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
WIDTH_PX = 1280
MAX_BYTES = 60_000
SHOWN_AS = "/home/me/Pictures/"
"""The folder that the pictures seem to lie in: no path of the machine that took the screenshots."""
SQL = """select face_id, crop, round(1 - distance, 3) as similarity
from vec_faces_sface join faces on faces.id = face_id
where embedding match face_embedding(4, 'sface') and k = 5
order by distance"""
PAGES = {
    "gallery": "/faces/-/faces",
    "photo": "/faces/-/faces/photo/1",
    "face": "/faces/-/faces/face/4",
    "sql": f"/faces{'/-/query' if V1 else ''}?{urlencode({'sql': SQL})}",
}
HOUSE = FOLDER.parent.parent
AS_A_SITE = ("-m", str(HOUSE / "metadata.yml"), "--template-dir", str(HOUSE / "templates"))
AS_A_SITE += ("--setting", "default_allow_sql", "off")
NAMES = ("Ada Lovelace", "Grace Hopper", "Emmy Noether", "Lise Meitner", "Mary Somerville")
NAMES += ("Sofia Kovalevskaya", "Rosalind Franklin")
"""Of nobody in the pictures."""
MARGIN_PX = 24
MAX_HEIGHT_PX = 860


def main() -> None:
    """Ingest the pictures of the tour, and take the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ingested = Path(folder) / "ingested.db"
        ingest(str(ingested), demo.find_demo_pictures(), SFace(), worker_count=1)
        database = copied(
            ingested, Path(folder) / "faces.db", *map(moved, ("photos", "photo_paths"))
        )
        with serving(database) as address, browser() as chromium:
            page = chromium.new_page(viewport={"width": WIDTH_PX, "height": MAX_HEIGHT_PX})
            for name, path in PAGES.items():
                page.goto(address + path)
                page.wait_for_load_state("networkidle")
                save(page, FOLDER / f"{name}.webp")
            page.goto(f"{address}/faces/-/faces/search")
            with page.expect_navigation(wait_until="networkidle"):
                page.set_input_files("input[type=file]", shipped("one face"))
            save(page, FOLDER / "search.webp")
        catalogue(ingested, Path(folder) / "catalogue.db")


def catalogue(ingested: Path, out: Path) -> None:
    """The pages of a catalogue of the same pictures, in which everybody has a name."""
    with writing(str(ingested)) as conn, transaction(conn):
        faces = [row[0] for row in conn.execute("select id from faces order by id")]
        for face, name in zip(faces, NAMES, strict=False):
            decide.place_faces(conn, [face], None, name, by=decide.NOBODY)
    export(str(ingested), str(out), ExportOptions(embeddings=True))
    with serving(out, *AS_A_SITE) as address, browser() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH_PX, "height": MAX_HEIGHT_PX})
        together = "(select count(*) from faces as others where others.photo_id = faces.photo_id)"
        [(face, photo)] = asked(
            out, f"select id, photo_id from faces order by {together} desc, id limit 1"
        )
        for name, path in (
            ("catalogue", "/"),
            ("catalogue-photo", f"/catalogue/-/faces/photo/{photo}"),
            ("catalogue-search", f"/catalogue/-/faces/search?face={face}"),
            ("catalogue-about", "/about"),
        ):
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            save(page, FOLDER / f"{name}.webp")


def moved(table: str) -> str:
    """SQL that puts the paths of a table into SHOWN_AS."""
    name = "replace(path, rtrim(path, replace(path, '/', '')), '')"
    return f"update {table} set path = '{SHOWN_AS}' || {name}"


def save(page: Any, to: Path) -> None:
    """The page down to the end of what is on it, as well as it goes into MAX_BYTES."""
    end_px = page.eval_on_selector("section.content", "it => it.getBoundingClientRect().bottom")
    height_px = min(MAX_HEIGHT_PX, round(end_px) + MARGIN_PX)
    clip = {"x": 0, "y": 0, "width": WIDTH_PX, "height": height_px}
    with Image.open(io.BytesIO(page.screenshot(clip=clip))) as image:
        shot = image.convert("RGB")
    for quality in range(90, 20, -5):
        out = io.BytesIO()
        shot.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= MAX_BYTES:
            break
    to.write_bytes(out.getvalue())


if __name__ == "__main__":
    main()
