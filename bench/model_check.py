"""What the audit's look by the model costs, a picture: `python bench/model_check.py PHOTOS [--json]`.

PHOTOS is a folder of photographs; everyone in them gets a name, and one of them is hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from datasette_faces.library.audit import run
from datasette_faces.library.export import export
from datasette_faces.library.ingest.run import ingest
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.models.orientations import see_in_all_orientations
from datasette_faces.models.sface import SFace
from datasette_faces.people import decide
from datasette_faces.store.connection import connect_to_read, transaction
from datasette_faces.store.database import writing

RUNS = 3
MOST_RATIO = 1.15
"""The check takes hardly longer than the model's four looks at each picture."""


def make_private(photos: str, database: str) -> None:
    """The faces of a folder: everyone is named, and the last one is hidden."""
    ingest(database, [photos], SFace())
    with writing(database) as conn, transaction(conn):
        people = [
            row[0] for row in conn.execute("select id from people where faces > 0 order by id")
        ]
        for person_id in people:
            decide.name(conn, person_id, f"Person {person_id}")
        decide.hide(conn, people[-1])


def seconds(out: str, database: str, *, with_models: bool) -> float:
    """How long an audit takes that finds nothing."""
    began = time.perf_counter()
    assert run.audit(out, database, with_models=with_models).leaks == 0
    return time.perf_counter() - began


def looked_alone(out: str) -> tuple[float, int]:
    """Seconds of the model's looks alone, at each picture in all directions; how many there are."""
    engine = SFace().load()
    conn = connect_to_read(out)
    pictures = [
        row[0]
        for table, column in (("photos", "thumbnail"), ("faces", "crop"))
        for row in conn.execute(f"select {column} from {table}")
    ]
    conn.close()
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(lambda data: see_in_all_orientations(data, engine), pictures), maxlen=0)
    return time.perf_counter() - began, len(pictures)


def main() -> None:
    """Export, audit with and without the model, and print what a picture costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        database, out = (str(Path(scratch) / name) for name in ("faces.db", "catalogue.db"))
        make_private(options.photos, database)
        export(database, out, ExportOptions(unnamed=True), with_models=False)
        checks, looks, count = [], [], 0
        for _ in range(RUNS):
            without = seconds(out, database, with_models=False)
            checks.append(seconds(out, database, with_models=True) - without)
            alone, count = looked_alone(out)
            looks.append(alone)
    ratio = median(one / two for one, two in zip(checks, looks, strict=True))
    told = {
        "pictures": count,
        "check / its looks alone": round(ratio, 3),
        "most": MOST_RATIO,
        "seconds a picture": round(median(checks) / count, 4),
        "without the check, s": round(without, 2),
    }
    print(json.dumps(told) if options.json else "\n".join(f"{k}: {v}" for k, v in told.items()))
    sys.exit(0 if ratio <= MOST_RATIO else 1)


if __name__ == "__main__":
    main()
