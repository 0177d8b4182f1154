"""Every page's p50 and p95 on a faces database of a million synthetic faces.

    python bench/million.py [--faces 1000000] [--requests 40] [--db FILE --keep] [--json]

Answers come from Datasette's in-process client, so that the network is not measured; see README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageFilter

from datasette_faces.algorithms import vectors
from datasette_faces.search import index_upkeep
from datasette_faces.shapes import ModelInfo
from datasette_faces.store import models
from datasette_faces.store import photos as store
from datasette_faces.store.connection import Connection, transaction
from datasette_faces.store.database import writing

BOUND_MS = 100
FACES_PER_PHOTO = 1.5
DIMENSIONS = 128
FACES_PER_PERSON = 40
"""On average; how many a person has follows a power law."""
RARE_SHARE = 0.001
"""The oldest faces, which alone have a second model's embeddings: the worst case of that filter."""
PAGE_FACES = 60
FIRST_YEAR, YEARS = 1995, 30
BLOCK = 20_000
MODEL = "sface"
RARE_MODEL = "rare"


@dataclass(frozen=True)
class Timing:
    """How long one kind of request takes."""

    page: str
    p50_ms: float
    p95_ms: float
    bytes: int
    statuses: tuple[int, ...]

    @property
    def holds(self) -> bool:
        return self.p95_ms <= BOUND_MS and self.statuses == (200,)


def build(
    path: str, face_count: int, *, crop_bytes: int, thumbnail_bytes: int, seed: int = 1
) -> None:
    """Make a faces database of synthetic faces through the real schema."""
    rng = np.random.default_rng(seed)
    photo_count = max(1, round(face_count / FACES_PER_PHOTO))
    with writing(path) as conn:
        # Nothing of this file is worth a journal
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000"):
            conn.execute(f"pragma {pragma}")
        for model_id in (MODEL, RARE_MODEL):
            info = ModelInfo(model_id, model_id, DIMENSIONS, 0.363, "none: synthetic", "0" * 64)
            models.register(conn, info)
        with transaction(conn):
            _insert_photos(conn, photo_count, _jpegs(640, 427, thumbnail_bytes))
            _insert_faces(conn, face_count, photo_count, _jpegs(160, 160, crop_bytes), rng)
        with transaction(conn):
            _insert_vectors(conn, face_count, rng)
            index_upkeep.follow(conn)
        index_upkeep.settle(conn)


def _jpegs(width: int, height: int, byte_count: int, *, how_many: int = 32) -> list[bytes]:
    """Valid JPEGs of smooth noise, filled up with zeros behind their end to a given size."""
    found = []
    for number in range(how_many):
        noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((width, height)).filter(ImageFilter.GaussianBlur(9))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=40, optimize=True)
        found.append(out.getvalue().ljust(byte_count, b"\0"))
    return found


def _insert_photos(conn: Connection, count: int, thumbnails: list[bytes]) -> None:
    """Photos in the order of their dates, as folders named by years give them; some without one."""
    statement = """
        insert into photos(id, path, sha256, bytes, modified_at, width, height, format, taken_at,
            camera, ingested_at, thumbnail)
        values (?, ?, ?, 4000000, ?, 4032, 3024, 'JPEG', ?, 'Synthetic 1', ?, ?)
    """

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(1, count + 1):
            taken = _date(number / (count + 1))
            path = f"/photos/{taken[:4]}/{taken[5:10]}/IMG_{number:07}.jpg"
            digest = hashlib.sha256(path.encode()).hexdigest()
            shown = None if number % 20 == 0 else taken
            picture = thumbnails[number % len(thumbnails)]
            yield number, path, digest, taken, shown, store.now(), picture

    conn.executemany(statement, rows())
    conn.execute(
        "insert into photo_paths select path, id, bytes, 0, sha256, null, null from photos"
    )
    conn.execute("insert into analyses select id, ? from photos", [MODEL])


def _date(share: float) -> str:
    """A moment, that share (0..1) of the way through the years."""
    year, rest = divmod(share * YEARS, 1)
    moment = time.gmtime(rest * 364 * 86_400)
    return f"{FIRST_YEAR + int(year)}-" + time.strftime("%m-%dT%H:%M:%S", moment)


def _insert_faces(
    conn: Connection, count: int, photo_count: int, crops: list[bytes], rng: np.random.Generator
) -> None:
    statement = """
        insert into faces(id, photo_id, x, y, width, height, landmarks, detection_score, sharpness,
            yaw, pitch, roll, crop, photo_taken_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1.5, 2.5, -3.5, ?,
            (select taken_at from photos where id = ?2))
    """
    landmarks = json.dumps([[1234.56, 1234.56]] * 5)
    photo_ids = np.sort(rng.integers(1, photo_count + 1, count))
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        sides = np.clip(rng.lognormal(4.8, 0.8, size), 20, 3_000).round(2)
        scores = (1 - 0.3 * rng.beta(1, 3, size)).round(4)
        sharpness = rng.lognormal(5.5, 1.2, size).round(1)
        places = rng.uniform(0, 2_000, size).round(2)
        values = zip(
            range(start + 1, start + size + 1),
            photo_ids[start : start + size].tolist(),
            places.tolist(),
            places[::-1].tolist(),
            sides.tolist(),
            (sides * 1.3).round(2).tolist(),
            [landmarks] * size,
            scores.tolist(),
            sharpness.tolist(),
            (crops[number % len(crops)] for number in range(size)),
            strict=True,
        )
        conn.executemany(statement, values)


def _insert_vectors(conn: Connection, count: int, rng: np.random.Generator) -> None:
    """Unit vectors of people: two faces of one have a similarity of 0.4 to 0.6."""
    people = _people(count, rng)
    centres = vectors.normalise(
        rng.standard_normal((int(people.max()) + 1, DIMENSIONS), dtype=np.float32)
    )
    rare = max(1, round(count * RARE_SHARE))
    for start in range(0, count, BLOCK):
        chosen = centres[people[start : start + BLOCK]]
        noise = vectors.normalise(rng.standard_normal(chosen.shape, dtype=np.float32))
        share = rng.uniform(0.63, 0.77, (len(chosen), 1)).astype(np.float32)
        found = vectors.normalise(share * chosen + np.sqrt(1 - share**2) * noise)
        rows = [(start + n + 1, vector.tobytes()) for n, vector in enumerate(found)]
        _insert_embeddings(conn, MODEL, rows)
        _insert_embeddings(conn, RARE_MODEL, [row for row in rows if row[0] <= rare])


def _insert_embeddings(conn: Connection, model_id: str, rows: list[tuple[int, bytes]]) -> None:
    conn.executemany(f"insert into face_embeddings values (?, '{model_id}', ?)", rows)


def _people(count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Whose face each one is: few people with many faces, many with few."""
    sizes = np.maximum(1, rng.pareto(1.5, max(1, count // FACES_PER_PERSON)) * FACES_PER_PERSON / 2)
    return rng.choice(len(sizes), count, p=sizes / sizes.sum())


def requests(database: str, face_count: int, how_many: int) -> dict[str, list[str]]:
    """What is asked for, by the name of the page."""
    base, chance = f"/{quote(database)}/-/faces", random.Random(2)
    photo_count = round(face_count / FACES_PER_PHOTO)
    found: dict[str, list[str]] = {}
    pages = {"first page": "", "page 10,000": f"after={max(face_count - PAGE_FACES * 10_000, 1)}"}
    for name, query in {**pages, **_filters(face_count)}.items():
        found[f"gallery: {name}"] = [f"{base}?{query}"] * how_many
    found["gallery.json: first page"] = [f"{base}.json"] * how_many
    found["gallery.json: page 10,000"] = [f"{base}.json?{pages['page 10,000']}"] * how_many
    for kind, ending, most in (
        ("photo", "", photo_count),
        ("photo", ".json", photo_count),
        ("face", "", face_count),
        ("face", ".json", face_count),
        ("crop", ".jpg", face_count),
        ("thumbnail", ".jpg", photo_count),
    ):
        ids = [chance.randint(1, most) for _ in range(how_many)]
        found[f"{kind}{ending}"] = [f"{base}/{kind}/{row}{ending}" for row in ids]
    faces = [chance.randint(1, face_count) for _ in range(how_many)]
    found["search by a face"] = [f"{base}/search?face={row}" for row in faces]
    found["search.json by a face"] = [f"{base}/search.json?face={row}&k=20" for row in faces]
    return found


def _filters(face_count: int) -> dict[str, str]:
    """Filters of the gallery: each alone, together, ones that leave few faces, and none."""
    middle = FIRST_YEAR + YEARS // 2
    return {
        "size, wide": "min_size=100",
        "size, few": "min_size=1700",
        "size, none": "min_size=5000",
        "score, wide": "min_score=0.9",
        "score, none": "min_score=1.1",
        "sharpness, wide": "min_sharpness=100",
        "sharpness, few": "min_sharpness=20000",
        "one day": f"taken_from={middle}-06-01&taken_to={middle}-06-01",
        "one month": f"taken_from={middle}-06&taken_to={middle}-06",
        "one year": f"taken_from={middle}&taken_to={middle}",
        "oldest year": f"taken_from={FIRST_YEAR}&taken_to={FIRST_YEAR}",
        "oldest third": f"taken_to={FIRST_YEAR + YEARS // 3}",
        "no such date": "taken_from=2100",
        "model, all": f"model={MODEL}",
        "model, rare": f"model={RARE_MODEL}",
        "model, unknown": "model=nobody",
        "size + score + sharpness": "min_size=100&min_score=0.9&min_sharpness=100",
        "size + score + sharpness, few": "min_size=800&min_score=0.98&min_sharpness=5000",
        "size none + oldest third": f"min_size=5000&taken_to={FIRST_YEAR + YEARS // 3}",
        "size few + all years": f"min_size=1700&taken_from={FIRST_YEAR}&taken_to=2100",
        "size few + model, all": f"min_size=1700&model={MODEL}",
        "everything": f"min_size=300&min_score=0.95&min_sharpness=500&taken_from={middle}&model={MODEL}",
        "everything, page deep": f"min_size=300&min_score=0.95&model={MODEL}&after={face_count // 3}",
    }


async def measure(path: str, wanted: dict[str, list[str]]) -> list[Timing]:
    """Time every request, one after another, after one that is not counted."""
    from datasette.app import Datasette

    datasette = Datasette([path])
    await datasette.invoke_startup()
    found = []
    for page, addresses in wanted.items():
        times, statuses, size = [], set(), 0
        await datasette.client.get(addresses[0])
        for address in addresses:
            started = time.perf_counter()
            response = await datasette.client.get(address)
            times.append((time.perf_counter() - started) * 1_000)
            statuses.add(response.status_code)
            size = len(response.content)
        p50, p95 = (float(np.percentile(times, share)) for share in (50, 95))
        found.append(Timing(page, p50, p95, size, tuple(sorted(statuses))))
    return found


def print_table(timings: list[Timing]) -> None:
    """The table: a line a page."""
    print(f"{'page':<42}{'p50 ms':>8}{'p95 ms':>8}{'bound':>7}  {'holds':<6}{'bytes':>9}  status")
    for item in timings:
        holds = "yes" if item.holds else "NO"
        statuses = ",".join(map(str, item.statuses))
        print(
            f"{item.page:<42}{item.p50_ms:>8.1f}{item.p95_ms:>8.1f}{BOUND_MS:>7}  {holds:<6}"
            f"{item.bytes:>9,}  {statuses}"
        )


@contextmanager
def _database(options: argparse.Namespace) -> Iterator[str]:
    """The database that was asked for, made where it is not there; removed unless it is to stay."""
    with tempfile.TemporaryDirectory() as folder:
        path = options.db or str(Path(folder) / "million.db")
        there = os.path.exists(path)
        if not there:
            started = time.perf_counter()
            build(
                path,
                options.faces,
                crop_bytes=options.crop_bytes,
                thumbnail_bytes=options.thumbnail_bytes,
            )
            took, size = time.perf_counter() - started, os.path.getsize(path) / 1e9
            print(f"made {options.faces:,} faces in {took:.0f} s: {size:.1f} GB", file=sys.stderr)
        try:
            yield path
        finally:
            if options.db and not there and not options.keep:
                os.unlink(path)


def main() -> None:
    """Make the database, ask for every page, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40, help="of each kind of page")
    parser.add_argument("--crop-bytes", type=int, default=1_500, help="real ones have about 5,000")
    parser.add_argument(
        "--thumbnail-bytes", type=int, default=3_000, help="real ones: about 30,000"
    )
    parser.add_argument(
        "--db", help="where to make it, or one that is there (with --faces as made)"
    )
    parser.add_argument("--keep", action="store_true", help="leave what was made at --db")
    parser.add_argument("--only", default="", help="pages whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with _database(options) as path:
        asked = requests(Path(path).stem, options.faces, options.requests)
        wanted = {name: urls for name, urls in asked.items() if options.only in name}
        timings = asyncio.run(measure(path, wanted))
    if options.json:
        print(json.dumps([vars(item) for item in timings], indent=1))
    else:
        print_table(timings)
    sys.exit(0 if all(item.holds for item in timings) else 1)


if __name__ == "__main__":
    main()
