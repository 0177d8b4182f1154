"""From an uploaded photo to its results, and every page while others upload: a real server, by HTTP.

    python bench/uploads.py [--photo FILE] [--faces 100000] [--seconds 60] [--json]

What each line means, and what is taken for the bounds, is in README.md.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import math
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import search_gallery
from PIL import Image

from datasette_faces.library.ingest import demo
from datasette_faces.models import registry

PIXELS = 2_000_000
UPLOADERS, BROWSERS = 5, 20
THINK_SECONDS = 2.0
"""How long a browser looks at a page, on average."""
PICTURES = 6
"""So many of a page's crops a browser fetches: those that it does not have, and that are in sight."""
ALONE = 25
"""Uploads one after another, while nobody else asks."""
UPLOAD_MS, PAGE_MS = 300, 150
START_SECONDS = 60
SEARCH = "/faces/-/faces/search.json"


@dataclass
class Heard:
    """What came back: milliseconds by kind of request, and how often each status."""

    times: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, ms: float) -> None:
        """Remember one answer; one that is refused is not timed."""
        with self.lock:
            self.statuses.setdefault(kind, Counter())[status] += 1
            if status == 200:
                self.times.setdefault(kind, []).append(ms)

    def percentile(self, kind: str, share: int) -> float:
        """Of the answers of that kind; infinite where there is none."""
        times = self.times.get(kind)
        return float(np.percentile(times, share)) if times else math.inf

    def broken(self) -> int:
        """How many requests failed in the server, or brought no answer; 503 is an answer."""
        every = sum(self.statuses.values(), Counter())
        return sum(count for status, count in every.items() if status >= 500 and status != 503)


@dataclass(frozen=True)
class Figure:
    """One line of the table; `value` is what is compared with `bound`."""

    name: str
    measured: str
    value: float
    bound: float | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.bound is None else self.value <= self.bound


class Client:
    """One keep-alive connection, as a browser has it."""

    def __init__(self, port: int, heard: Heard) -> None:
        self._port = port
        self._heard = heard
        self._open()

    def _open(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def ask(self, kind: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask and read the whole answer; 599 where none came."""
        headers = {"content-type": "image/jpeg"} if body else {}
        started = time.perf_counter()
        try:
            self._connection.request("POST" if body else "GET", path, body, headers)
            response = self._connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException):
            status, answer = 599, b""
            self._connection.close()
            self._open()
        self._heard.note(kind, status, (time.perf_counter() - started) * 1_000)
        if status == 503:
            self.retry_seconds = float(response.headers.get("retry-after") or 1)
        return status, answer


def browse(client: Client, faces: int, ends: float, seed: int) -> None:
    """Look at pages for as long as people do, and at some of their pictures."""
    chance = random.Random(seed)
    time.sleep(chance.uniform(0, THINK_SECONDS))
    while time.monotonic() < ends:
        face = chance.randint(1, faces)
        path, kind = chance.choice(
            [
                (f"?after={face}", "gallery"),
                (f"/photo/{face}", "photo"),
                (f"/face/{face}", "face"),
                (f"/search?face={face}", "search"),
            ]
        )
        _, page = client.ask(kind, f"/faces/-/faces{path}")
        crops = re.findall(rb'src="([^"]*/crop/\d+\.jpg)"', page)[:PICTURES]
        for crop in crops:
            client.ask("crop", crop.decode())
        time.sleep(chance.uniform(0, 2 * THINK_SECONDS))


def upload(client: Client, photo: bytes, ends: float, seed: int) -> None:
    """Upload one picture after another, each of other bytes; wait where the server says so."""
    number = 0
    while time.monotonic() < ends:
        number += 1
        body = photo + f"{seed}-{number}".encode()
        status, _ = client.ask("upload", SEARCH, body)
        if status == 503:
            time.sleep(client.retry_seconds)


def alone(port: int, photo: bytes) -> tuple[Heard, int]:
    """Uploads one after another, the first of which loads the model; and the faces in the photo."""
    heard = Heard()
    client = Client(port, heard)
    status, answer = client.ask("first upload", SEARCH, photo)
    if status != 200:
        raise SystemExit(f"the first upload failed: {status} {answer[:300]!r}")
    for number in range(ALONE):
        client.ask("upload", SEARCH, photo + str(number).encode())
    return heard, len(json.loads(answer)["photos"][0]["faces"])


def together(port: int, photo: bytes, faces: int, seconds: float) -> Heard:
    """All uploaders and browsers at once."""
    heard, ends = Heard(), time.monotonic() + seconds
    jobs: list[Callable[[], None]] = []
    for number in range(UPLOADERS):
        client = Client(port, heard)
        jobs.append(lambda client=client, number=number: upload(client, photo, ends, number))
    for number in range(BROWSERS):
        client = Client(port, heard)
        jobs.append(lambda client=client, number=number: browse(client, faces, ends, number))
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


@contextmanager
def serving(*arguments: Path | str) -> Iterator[tuple[int, int]]:
    """Datasette in a process of its own; its port, and the id of the process."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "datasette", *map(str, arguments), "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, port)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("datasette did not start")


def picture(path: Path) -> bytes:
    """A photograph as a JPEG of 2 megapixels."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = math.sqrt(PIXELS / (image.width * image.height))
    size = round(image.width * scale), round(image.height * scale)
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def figures(port: int, photos: list[Path], faces: int, seconds: float) -> Iterator[Figure]:
    """Each photo alone, then everybody at once with the first one."""
    for path in photos:
        data = picture(path)
        heard, found = alone(port, data)
        p50, p95 = (heard.percentile("upload", share) for share in (50, 95))
        first = heard.times["first upload"][0]
        measured = f"{found} faces, {len(data) / 1e6:.1f} MB; p95 {p95:.0f}, first {first:.0f}"
        bound = UPLOAD_MS if path == photos[0] else None
        yield Figure(f"upload of {path.name}, p50 ms", measured, p50, bound)
    heard = together(port, picture(photos[0]), faces, seconds)
    pages = [ms for kind in ("gallery", "photo", "face", "search") for ms in heard.times[kind]]
    for kind, bound in (("gallery", None), ("photo", None), ("face", None), ("search", None)):
        measured = f"p50 {heard.percentile(kind, 50):.0f}; {_told(heard, kind)}"
        yield Figure(f"under load: {kind}, p95 ms", measured, heard.percentile(kind, 95), bound)
    measured = f"p50 {np.percentile(pages, 50):.0f}, most {max(pages):.0f}; {len(pages)} pages"
    yield Figure(
        "under load: all pages, p95 ms", measured, float(np.percentile(pages, 95)), PAGE_MS
    )
    measured = f"p50 {heard.percentile('crop', 50):.0f}; {_told(heard, 'crop')}"
    yield Figure("under load: crop, p95 ms", measured, heard.percentile("crop", 95))
    measured = f"p95 {heard.percentile('upload', 95):.0f}; {_told(heard, 'upload')}"
    yield Figure("under load: upload, p50 ms", measured, heard.percentile("upload", 50))
    yield Figure("under load: 5xx but 503, and no answer", "", heard.broken(), 0)


def _told(heard: Heard, kind: str) -> str:
    statuses = sorted(heard.statuses.get(kind, Counter()).items())
    return ", ".join(f"{count} x {status}" for status, count in statuses)


def print_line(figure: Figure) -> None:
    """One line of the table."""
    bound = "" if figure.bound is None else f"<= {figure.bound:g}"
    holds = {None: "", True: "yes", False: "NO"}[figure.holds]
    print(
        f"{figure.name:<44}{figure.value:>9,.4g}  {bound:<8}{holds:<5}{figure.measured}", flush=True
    )


def report(figures: Iterable[Figure], *, as_json: bool) -> NoReturn:
    """Print each figure as it comes, or all as JSON; exit with 1 where a bound does not hold."""
    found = []
    for figure in figures:
        found.append(figure)
        if not as_json:
            print_line(figure)
    if as_json:
        print(json.dumps([{**vars(figure), "holds": figure.holds} for figure in found], indent=1))
    sys.exit(1 if any(figure.holds is False for figure in found) else 0)


def main() -> None:
    """Make the gallery, serve it, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photo", type=Path, action="append", help="photographs; the bound is of the first"
    )
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--keep", type=Path, help="a folder where the gallery stays")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    photos = options.photo or [Path(path) for path in demo.find_demo_pictures()]
    info = registry.model("sface").load().info
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        gallery = search_gallery.made(folder, options.faces, info.dimensions, like=info)
        with serving(gallery.database) as (port, _):
            asked = figures(port, photos, options.faces, options.seconds)
            report(asked, as_json=options.json)


if __name__ == "__main__":
    main()
