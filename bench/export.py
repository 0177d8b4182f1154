"""What a catalogue of many faces costs: seconds of `export` and of `audit`, memory, and bytes a face.

    python bench/export.py [--faces 100000] [--embeddings] [--db FILE --keep] [--json]

The faces are those of million.py with pictures that are as hard to print as real ones; see README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import million  # noqa: E402
from pictures import shipped  # noqa: E402
from watching import Watched, cores, watch  # noqa: E402

from datasette_faces.media import redact  # noqa: E402
from datasette_faces.media.crop import encode_jpeg  # noqa: E402
from datasette_faces.store.catalogue import PICTURE_COLUMNS  # noqa: E402
from datasette_faces.store.connection import transaction  # noqa: E402
from datasette_faces.store.database import reading, writing  # noqa: E402

FACES = 100_000
HIDDEN_SHARE = 0.02
FACES_PER_PERSON = 40
SOFT_PX = 1.1
"""So blurred, photos have 38 kB on average, as those of 90 real ones had."""
LOOK_SECONDS = 0.1
MOST_SECONDS = {"export": 60, "audit": 30, "doctor": 30}
MOST_BYTES = 8_000
MOST_RATIO = 1.0
"""An export, its audit included, takes no longer than others take to print its pictures."""
SAMPLE = 10


@dataclass(frozen=True)
class Bound:
    """What was measured, and what it may be at most."""

    text: str
    value: float
    most: float

    @property
    def holds(self) -> bool:
        return self.value <= self.most


def like_real(width: int, height: int, byte_count: int, *, how_many: int = 32) -> list[bytes]:
    """JPEGs of parts of photographs, as large as these are: detail takes the time."""
    found, rng = [], np.random.default_rng(width)
    sources = [Image.open(shipped(what)).convert("RGB") for what in ("six faces", "one face")]
    for number in range(how_many):
        source = sources[number % len(sources)]
        share = rng.uniform(0.5, 1) if width > 200 else rng.uniform(0.1, 0.3)
        wide = int(source.width * share)
        high = min(int(wide * height / width), source.height)
        left = int(rng.integers(0, source.width - wide + 1))
        top = int(rng.integers(0, source.height - high + 1))
        part = source.crop((left, top, left + wide, top + high))
        part = part.resize((width, height), Image.Resampling.LANCZOS)
        found.append(encode_jpeg(part.filter(ImageFilter.GaussianBlur(SOFT_PX))))
    return found


def build(path: str, faces: int) -> None:
    """A private file of so many faces that may be published, and of some that may not."""
    million._jpegs = like_real
    count = round(faces / (1 - HIDDEN_SHARE))
    million.build(path, count, crop_bytes=0, thumbnail_bytes=0)
    people = max(2, count // FACES_PER_PERSON)
    hidden = max(1, round(people * HIDDEN_SHARE))
    with writing(path) as conn, transaction(conn):
        conn.executemany(
            "insert into people(id, name, hidden, key) values (?, ?, ?, ?)",
            [(n, f"Person Number{n:06}", n <= hidden, f"{n:016x}") for n in range(1, people + 1)],
        )
        conn.execute("update faces set person_id = 1 + id % ?", [people])
        # Those of million.py stand where they may, also half outside of their photos
        for at, side in (("x", "width"), ("y", "height")):
            most = f"(select photos.{side} from photos where photos.id = photo_id) - {side}"
            conn.execute(f"update faces set {at} = max(0, min({at}, {most}))")
        conn.execute("update photos set latitude = 40 + id / 1e5, longitude = 10 + id / 7e5")


@dataclass(frozen=True)
class Run:
    """What a command took, with its workers; and its JSON."""

    took: Watched
    told: dict[str, Any]


def printed_alone(database: str) -> float:
    """Seconds that a plain script takes for the same pictures, and nothing else: Pillow, in threads.

    Of every SAMPLE-th picture of either kind, in proportion.
    """
    taken = 0.0
    for table, spec in (("photos", redact.THUMBNAIL), ("faces", redact.CROP)):
        column = PICTURE_COLUMNS[table]
        with reading(database) as conn:
            sql = f"select {column} from {table} where id % ? = 0"
            pictures = [row[0] for row in conn.execute(sql, [SAMPLE])]

        def plain(data: bytes, spec: redact.JpegSpec = spec) -> int:
            image = Image.open(io.BytesIO(data))
            image.draft("RGB", (spec.long_px, spec.long_px * image.height // image.width))
            out = io.BytesIO()
            image.save(out, "JPEG", quality=spec.quality)
            return len(out.getvalue())

        began = time.perf_counter()
        with ThreadPoolExecutor(cores()) as pool:
            deque(pool.map(plain, pictures), maxlen=0)
        taken += (time.perf_counter() - began) * SAMPLE
    return taken


def measured(*arguments: str) -> Run:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "datasette", "faces", *arguments, "--json"]
    with tempfile.TemporaryFile() as output:
        took = watch(*command, every_s=LOOK_SECONDS, output=output)
        output.seek(0)
        return Run(took, json.loads(output.read()))


def main() -> None:
    """Make the private file, export it, audit the catalogue, print the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=FACES)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--embeddings", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        database = options.db if options.db and options.keep else Path(scratch) / "faces.db"
        if not database.exists():
            build(str(database), options.faces)
        out = str(Path(scratch) / "catalogue.db")
        turned = ["--embeddings"] if options.embeddings else []
        # Before and after, as a machine that others use is quicker and slower by the minute
        alone = printed_alone(str(database))
        made = measured("export", str(database), out, *turned)
        alone = (alone + printed_alone(str(database))) / 2
        audited = measured("audit", out, "--against", str(database))
        looked_at = measured("doctor", str(database))
    faces, size = int(made.told["faces"]), int(made.told["bytes"])
    share = faces / FACES
    bounds = [
        Bound(
            f"export of {faces:,} faces with its audit, s",
            made.took.seconds,
            MOST_SECONDS["export"] * share,
        ),
        Bound("export / its pictures by a plain script", made.took.seconds / alone, MOST_RATIO),
        Bound("audit alone, s", audited.took.seconds, MOST_SECONDS["audit"] * share),
        Bound("doctor alone, s", looked_at.took.seconds, MOST_SECONDS["doctor"] * share),
        Bound("problems that doctor finds", len(looked_at.told["problems"]), 0),
        Bound("leaks", audited.told["leaks"], 0),
    ]
    if not options.embeddings:
        bounds.append(Bound("bytes a face", size / faces, MOST_BYTES))
    beside = {
        f"{name} {key}": round(getattr(run.took, key), 2)
        for name, run in (("export", made), ("audit", audited), ("doctor", looked_at))
        for key in ("cpu_s", "peak_mb", "others")
    }
    if options.json:
        told = [{**asdict(it), "holds": it.holds} for it in bounds]
        print(json.dumps({"bounds": told, **beside}, indent=1))
    else:
        for it in bounds:
            print(
                f"{it.text:<50}{it.value:>12,.2f}  <= {it.most:<10,.4g}{'yes' if it.holds else 'NO'}"
            )
        for name, value in beside.items():
            print(f"{name:<50}{value:>12,.2f}")
    sys.exit(0 if all(it.holds for it in bounds) else 1)


if __name__ == "__main__":
    main()
