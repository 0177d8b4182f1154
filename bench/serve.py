"""A catalogue under load: 50 browsers, what a server gives at most, and whether its memory stays flat.

    python bench/serve.py [--catalogue FILE] [--faces 100000] [--seconds 60] [--minutes 10] [--json]

What each line means, and what is taken for the bounds, is in README.md.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import million
import numpy as np
from uploads import Client, Figure, Heard, report, serving

from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import writing

BROWSERS = 50
THINK_SECONDS = 2.0
"""How long a browser looks at a page, on average."""
PICTURES = 6
"""So many of a page's crops a browser fetches: those that it does not have, and that are in sight."""
EAGER = 4
"""Clients that ask without a pause, to see what a server gives at most: more of them only wait."""
EAGER_SECONDS = 15
PAGE_MS, LEAST_PAGES, LEAST_SHARE = 100, 200, 0.5
GROWTH = 0.05
WARM_SECONDS = 60
"""Until then memory grows: caches fill, threads begin."""
KINDS = ("gallery", "people", "person", "face", "photo", "json", "crop")
PLAIN = "table page of Datasette"
Look = Callable[[Client, random.Random], None]
"""What a browser does before it pauses."""
TAKEN_FOR_PEOPLE = 0.9
"""The share of faces that are somebody's."""


def with_people(path: Path, faces: int) -> None:
    """Make a file of faces, most of them somebody's who has a name."""
    million.build(str(path), faces, crop_bytes=5_000, thumbnail_bytes=30_000)
    count = max(1, faces // million.FACES_PER_PERSON)
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("delete from people")
        conn.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) insert into "
            "people(id, key, name, hidden, faces) select i, 'k' || i, 'Person ' || i, 0, 0 from n",
            [count],
        )
        conn.execute(
            "update faces set person_source = 'cluster', person_id = 1 + id % ? "
            "where id % 1000 < ?",
            [count, int(1000 * TAKEN_FOR_PEOPLE)],
        )
        conn.execute(
            "update people set cover_face_id = "
            "(select id from faces where person_id = people.id order by id limit 1)"
        )


class Asked:
    """What there is to look at, by the ids that the file has."""

    def __init__(self, path: Path) -> None:
        self.database = path.stem
        with closing(sqlite().connect(str(path))) as conn:
            self.ids = {
                table: [row[0] for row in conn.execute(f"select id from {table} order by id")]
                for table in ("faces", "photos", "people")
            }

    def page(self, chance: random.Random) -> tuple[str, str]:
        """A kind, and an address of it."""
        face, photo = chance.choice(self.ids["faces"]), chance.choice(self.ids["photos"])
        person = chance.choice(self.ids["people"])
        pages = [
            ("gallery", f"?after={face}"),
            ("people", "/people?show=named"),
            ("person", f"/people/{person}"),
            ("face", f"/face/{face}"),
            ("photo", f"/photo/{photo}"),
            ("json", chance.choice([f"/face/{face}.json", f"/people/{person}.json", ".json"])),
        ]
        kind, path = chance.choice(pages)
        return kind, f"/{self.database}/-/faces{path}"


def browse(client: Client, asked: Asked, ends: float, seed: int) -> None:
    """Look at pages for as long as people do, and at some of their pictures."""
    chance = random.Random(seed)
    look = pages_of(asked, pictures=PICTURES)
    time.sleep(chance.uniform(0, 2 * THINK_SECONDS))
    while time.monotonic() < ends:
        look(client, chance)
        time.sleep(chance.uniform(0, 2 * THINK_SECONDS))


def browsing(port: int, asked: Asked, seconds: float) -> Heard:
    """All browsers at once."""
    heard, ends = Heard(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=browse, args=[Client(port, heard), asked, ends, number])
        for number in range(BROWSERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


def pages_of(asked: Asked, *, pictures: int) -> Look:
    """Look at a page of ours, and at so many of its crops."""

    def look(client: Client, chance: random.Random) -> None:
        _, page = client.ask(*asked.page(chance))
        for crop in re.findall(rb'src="([^"]*/crop/\d+\.jpg)"', page)[:pictures]:
            client.ask("crop", crop.decode())

    return look


def tables_of(asked: Asked) -> Look:
    """Look at a page of Datasette's own, of the table of faces."""

    def look(client: Client, chance: random.Random) -> None:
        client.ask(PLAIN, f"/{asked.database}/faces?_next={chance.choice(asked.ids['faces'])}")

    return look


def at_most(port: int, look: Look) -> tuple[float, Heard]:
    """Answers a second to a few who do not pause."""
    heard, ends = Heard(), time.monotonic() + EAGER_SECONDS

    def ask(seed: int) -> None:
        chance, client = random.Random(seed), Client(port, heard)
        while time.monotonic() < ends:
            look(client, chance)

    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(EAGER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(len(it) for it in heard.times.values()) / EAGER_SECONDS, heard


def _errors(heard: Heard) -> int:
    return sum(n for it in heard.statuses.values() for status, n in it.items() if status != 200)


def resident_mb(pid: int) -> float:
    """The memory of a process that is its own: Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return float(fields["RssAnon"].split()[0]) * 1.024e-3


def figures(
    path: Path, seconds: float, minutes: float, options: tuple[str, ...] = ()
) -> Iterator[Figure]:
    """The load, the most, and the memory."""
    asked = Asked(path)
    with serving("-i", path, *options) as (port, pid):
        heard = browsing(port, asked, seconds)
        every = [ms for kind in KINDS for ms in heard.times.get(kind, [])]
        for kind in KINDS:
            count = len(heard.times.get(kind, []))
            measured = f"p50 {heard.percentile(kind, 50):.0f}; {count:,} answers"
            yield Figure(
                f"{BROWSERS} browsers: {kind}, p95 ms", measured, heard.percentile(kind, 95)
            )
        measured = (
            f"p50 {np.percentile(every, 50):.0f}, most {max(every):.0f}; {len(every):,} answers"
        )
        p95 = float(np.percentile(every, 95))
        yield Figure(f"{BROWSERS} browsers: everything, p95 ms", measured, p95, PAGE_MS)
        errors = _errors(heard)
        most, heard = at_most(port, pages_of(asked, pictures=PICTURES))
        errors += _errors(heard)
        alone, heard = at_most(port, pages_of(asked, pictures=0))
        errors += _errors(heard)
        table, _ = at_most(port, tables_of(asked))
        yield Figure("answers a second, at most", "pages and crops", -most, -LEAST_PAGES)
        yield Figure("pages alone a second, at most", "without crops", -alone, -LEAST_PAGES)
        measured = f"Datasette's table page: {table:,.0f} a second"
        yield Figure("pages alone, of table pages", measured, -alone / table, -LEAST_SHARE)
        if minutes:
            browsing(port, asked, WARM_SECONDS)
            before = resident_mb(pid)
            errors += _errors(browsing(port, asked, 60 * minutes))
            after = resident_mb(pid)
            measured = f"{before:,.0f} MB, then {after:,.0f} MB, after {minutes:g} minutes"
            yield Figure("memory grows by, share", measured, after / before - 1, GROWTH)
        yield Figure("errors", "", errors, 0)


def main() -> None:
    """Make the catalogue unless there is one, serve it, look at it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, default=10, help="0: memory is not looked at")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = options.catalogue or Path(scratch) / "catalogue.db"
        if options.catalogue is None:
            with_people(path, options.faces)
        report(figures(path, options.seconds, options.minutes), as_json=options.json)


if __name__ == "__main__":
    main()
