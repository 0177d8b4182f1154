"""What an ingest costs, beside what its parts cost: one run, one table, medians.

    python bench/ingest.py PHOTOS [--pack FOLDER] [--runs 3] [--only NAME] [--json]

PHOTOS is a folder of photographs, PACK that of an InsightFace pack. What each line means, and what
is taken for the bound, is in README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from watching import cores, watch

from datasette_faces.media.crop import align_face
from datasette_faces.media.decode import FORMATS_BY_SUFFIX, decode_picture
from datasette_faces.models import onnx_graphs, pipeline, registry, sface
from datasette_faces.shapes import RgbArray
from datasette_faces.store import vec_tables
from datasette_faces.store.connection import load_vector_extension, sqlite
from datasette_faces.store.database import reading

SFACE_SHARE = 0.65
SFACE_COSINE = 0.9999
BOUND_SHARE = 1.25
SCRIPT_SHARE = 0.5
AGAIN_SHARE = 0.02
FILE_SHARE = 1.25
MEMORY_MB = 1_000
START_SHARE = 1.2
HEAVY_MODULES = ("cv2", "onnxruntime", "insightface", "faiss")

LARGE_SIZE = (7_360, 4_912)
LARGE_COUNT = 10
LARGE_REPEATS = 4
"""So many that the workers' heaviest moments coincide."""
SMALL_FACE_PX = 200
"""A face so small in a large picture needs more of its pixels than the detector does."""
PEAK_SECONDS = 0.02
"""How often memory is looked at; often enough to see a peak, too often for a stopwatch."""
STOPWATCH_SECONDS = 0.5

SCRIPT = """
import sys, time
import cv2
from insightface.app import FaceAnalysis
app = FaceAnalysis(name=sys.argv[1])
app.prepare(ctx_id=-1)
started = time.perf_counter()
faces = [app.get(cv2.imread(path)) for path in sys.argv[2:]]
print(time.perf_counter() - started)
"""
"""What tutorials do."""


@dataclass(frozen=True)
class Figure:
    """One line of the table; `value` is what is compared with `bound`."""

    name: str
    measured: str
    value: float | None = None
    bound: float | None = None
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Setting:
    """What a run works on: single photographs, a large folder of them, a pack, a place to write."""

    photos: list[Path]
    folder: Path
    repeats: int
    pack: str
    runs: int
    scratch: Path


def recogniser(setting: Setting) -> Iterator[Figure]:
    """SFace on one face: the prepared graph against the published one, on one thread."""
    weights = sface._read_weights(sface.RECOGNISER_FILE)
    ours = onnx_graphs.open_session(weights, onnx_graphs.prepare_recogniser)
    published = _published(weights)
    faces = _aligned_faces(setting.photos)
    times: list[tuple[float, float]] = []
    cosines = []
    for face in faces * setting.runs:
        batch = face.transpose(2, 0, 1)[None].astype(np.float32)
        ms, vector = _timed_ms(lambda batch=batch: ours.run(None, {"data": batch})[0][0])
        reference_ms, reference = _timed_ms(
            lambda batch=batch: published.run(None, {"data": batch})[0][0]
        )
        times.append((ms, reference_ms))
        cosines.append(
            float(vector @ reference / np.linalg.norm(vector) / np.linalg.norm(reference))
        )
    share = statistics.median(ms / reference_ms for ms, reference_ms in times)
    ms, reference_ms = (statistics.median(column) for column in zip(*times, strict=True))
    measured = f"{ms:.1f} ms, published {reference_ms:.1f} ms"
    yield Figure("sface, one face / published graph", measured, share, SFACE_SHARE)
    measured = f"of {len(faces)} faces"
    yield Figure("sface, least cosine to it", measured, min(cosines), SFACE_COSINE, at_least=True)


def _published(weights: bytes) -> Any:
    """The published graph, without the inputs that no node uses, which onnxruntime refuses."""
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(weights)
    constants = {item.name for item in model.graph.initializer}
    used = {name for node in model.graph.node for name in node.input}
    inputs = [item for item in model.graph.input if item.name in used - constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _aligned_faces(photos: list[Path], *, at_most: int = 20) -> list[RgbArray]:
    engine = registry.model("sface").load()
    found: list[RgbArray] = []
    for photo in photos:
        if len(found) >= at_most:
            break
        picture = decode_picture(photo.read_bytes(), min_long_px=sface.SFace.detect_px)
        found += [
            align_face(picture, item.landmarks / np.float32(picture.scale))
            for item in engine.detect(picture.pixels())
        ]
    return found[:at_most]


def ingests(setting: Setting) -> Iterator[Figure]:
    """Whole ingests by both models, against their parts and against the tutorials' script."""
    for name in ("sface", setting.pack):
        yield from _ingest(setting, name)


def _ingest(setting: Setting, name: str) -> Iterator[Figure]:
    """The first ingest of the folder, one of the unchanged folder, the file, and the rivals."""
    model = registry.model(name)
    is_pack = name == setting.pack
    rows = []
    for run in range(setting.runs):
        database = setting.scratch / f"{model.id}-{run}.db"
        command = _ingest_command(database, setting.folder, name)
        parts_s = _parts_seconds(setting, name) * setting.repeats / cores()
        first, again_s = watch(*command, every_s=STOPWATCH_SECONDS), _run(*command)
        script_s = _script_seconds(setting) * setting.repeats if is_pack else 0.0
        shares = (first.seconds / parts_s, again_s / first.seconds, script_s / first.seconds)
        rows.append((first.seconds, parts_s, again_s, script_s, first.others, *shares))
    first_s, parts_s, again_s, script_s, others, share, again, faster = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    pictures = len(setting.photos) * setting.repeats
    measured = (
        f"{pictures:,} photos {first_s:.1f} s, parts / cores {parts_s:.1f} s; others {others:.0%}"
    )
    yield Figure(f"{model.id}, ingest / its parts", measured, share, BOUND_SHARE)
    measured = f"{again_s:.2f} s of {first_s:.1f} s"
    yield Figure(f"{model.id}, second ingest / first", measured, again, AGAIN_SHARE)
    if is_pack:
        measured = f"script {script_s:.1f} s, ingest {first_s:.1f} s"
        bound = 1 / SCRIPT_SHARE
        yield Figure("plain script / ingest", measured, faster, bound, at_least=True)
    yield from _file_size(database, f"{model.id}, ")


def _ingest_command(database: Path, folder: Path, model: str) -> tuple[str, ...]:
    return (*_datasette("faces", "ingest"), str(database), str(folder), "--model", model, "--json")


def _datasette(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "datasette", *arguments)


def _parts_seconds(setting: Setting, model: str) -> float:
    """Decoding, detecting and embedding each photograph once, one after another, by one process."""
    code = (
        "import sys, time\n"
        "from datasette_faces.models import pipeline\n"
        "from datasette_faces.models import registry\n"
        "model = registry.model(sys.argv[1])\n"
        "engine = model.load()\n"
        "def look(path):\n"
        "    data = open(path, 'rb').read()\n"
        "    pipeline.analyse(data, engine, detect_px=model.detect_px)\n"
        "look(sys.argv[2])\n"
        "started = time.perf_counter()\n"
        "for path in sys.argv[2:]:\n"
        "    look(path)\n"
        "print(time.perf_counter() - started)\n"
    )
    return float(_output(sys.executable, "-c", code, model, *map(str, setting.photos)))


def _script_seconds(setting: Setting) -> float:
    """The tutorials' script on each photograph once; its start and its imports do not count."""
    printed = _output(sys.executable, "-c", SCRIPT, setting.pack, *map(str, setting.photos))
    return float(printed.split()[-1])


def _file_size(database: Path, prefix: str) -> Iterator[Figure]:
    """The file against the bytes of the pictures and vectors that are in it."""
    with reading(str(database)) as conn:
        one = lambda query: conn.execute(query).fetchone()[0]  # noqa: E731
        pictures = one("select sum(length(thumbnail)) from photos")
        pictures += one("select coalesce(sum(length(crop)), 0) from faces")
        vectors = one("select coalesce(sum(length(embedding)), 0) from face_embeddings")
        faces = one("select count(*) from faces")
    size = database.stat().st_size
    measured = f"{size / 1e6:.1f} MB, {faces:,} faces"
    share = size / (pictures + 2 * vectors)
    yield Figure(f"{prefix}file / its pictures and vectors", measured, share, FILE_SHARE)
    measured = f"{size / (pictures + vectors):.2f}"
    yield Figure(f"{prefix}the same, vec0's copies not counted", measured)


def memory(setting: Setting) -> Iterator[Figure]:
    """The most memory that an ingest of 36-megapixel JPEGs takes, all its processes together."""
    folder = setting.scratch / "large"
    folder.mkdir()
    _large_pictures(setting.photos, folder)
    for name in ("sface", setting.pack):
        model_id, peaks = registry.model(name).id, []
        for run in range(setting.runs):
            database = setting.scratch / f"large-{model_id}-{run}.db"
            command = (*_ingest_command(database, folder, name), "--workers", "2")
            peaks.append(watch(*command, every_s=PEAK_SECONDS).peak_mb)
        with reading(str(database)) as conn:
            query = "select count(*), min(min(width, height)), max(height) from faces"
            faces, least, most = conn.execute(query).fetchone()
        measured = f"{faces} faces of {least or 0:.0f} to {most or 0:.0f} px"
        peak = statistics.median(peaks)
        yield Figure(f"{model_id}, MB at 36 megapixels, 2 workers", measured, peak, MEMORY_MB)


def _large_pictures(photos: list[Path], folder: Path) -> None:
    """Photographs enlarged to 36 megapixels, with faces large and small, some lying on their side."""
    engine = registry.model("sface").load()
    drawn = 0
    for photo in photos:
        data = photo.read_bytes()
        found = pipeline.analyse(data, engine, detect_px=sface.SFace.detect_px).faces
        if drawn == LARGE_COUNT or len(found) != 1:
            continue
        picture = decode_picture(data).image
        large = picture.resize(LARGE_SIZE, Image.Resampling.BICUBIC)
        scale = SMALL_FACE_PX / found[0].detection.box.width
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        for left in range(0, LARGE_SIZE[0] - small.width, LARGE_SIZE[0] // 4):
            large.paste(small, (left, 0))
        exif = Image.Exif()
        exif[0x0112] = 6 if drawn % 2 else 1
        out = io.BytesIO()
        large.save(out, "JPEG", quality=90, exif=exif)
        for copy in range(LARGE_REPEATS):
            (folder / f"{drawn}-{copy}.jpg").write_bytes(out.getvalue() + bytes([copy]))
        drawn += 1


def start(setting: Setting) -> Iterator[Figure]:
    """Datasette's homepage with the plugin and without, and what importing the plugin loads."""
    database = setting.scratch / "start.db"
    _run(*_ingest_command(database, setting.photos[0].parent, "sface"))
    plain = _without_vectors(database)
    bare = {"DATASETTE_LOAD_PLUGINS": ""}
    for label, file in (("", database), (" (both without vec0)", plain)):
        pairs = [
            (
                _run(*_datasette(str(file), "--get", "/")),
                _run(*_datasette(str(plain), "--get", "/"), **bare),
            )
            for _ in range(max(5, 3 * setting.runs))
        ]
        share = statistics.median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        measured = f"{ours:.3f} s, without {theirs:.3f} s"
        yield Figure(f"--get / with / without{label}", measured, share, START_SHARE)
    loaded = _loaded_modules()
    heavy = sorted(loaded & set(HEAVY_MODULES))
    measured = ", ".join(heavy) or f"none of {', '.join(HEAVY_MODULES)}"
    yield Figure("heavy modules of import datasette_faces", measured, len(heavy), 0)


def _without_vectors(database: Path) -> Path:
    """A copy without vec0 tables, which a Datasette without the plugin could not open."""
    copy = database.with_name("plain.db")
    shutil.copyfile(database, copy)
    with closing(sqlite().connect(copy)) as conn:
        load_vector_extension(conn)
        conn.execute(f"drop table {vec_tables.table_name('sface')}")
        conn.commit()
    return copy


def _loaded_modules() -> set[str]:
    command = [sys.executable, "-X", "importtime", "-c", "import datasette_faces"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in printed.splitlines()}


def _timed_ms(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = function()
    return (time.perf_counter() - started) * 1_000, answer


def _run(*command: str, **environment: str) -> float:
    """Seconds that a whole process takes."""
    started = time.perf_counter()
    _output(*command, **environment)
    return time.perf_counter() - started


def _output(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)[:200]}\n{done.stderr}")
    return done.stdout


def _repeat(photos: list[Path], folder: Path, times: int) -> None:
    """Write photographs many times: the same pictures, other bytes behind the end of each file."""
    for number in range(times):
        for index, photo in enumerate(photos):
            target = folder / f"{number:03}" / f"{index:05}{photo.suffix.lower()}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(photo.read_bytes() + number.to_bytes(4, "big"))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in FORMATS_BY_SUFFIX)


SECTIONS: dict[str, Callable[[Setting], Iterator[Figure]]] = {
    "sface": recogniser,
    "ingest": ingests,
    "memory": memory,
    "start": start,
}


def print_line(figure: Figure) -> None:
    """One line of the table."""
    value = "" if figure.value is None else f"{figure.value:,.4g}"
    bound = "" if figure.bound is None else f"{'>=' if figure.at_least else '<='} {figure.bound:g}"
    holds = {None: "", True: "yes", False: "NO"}[figure.holds]
    print(f"{figure.name:<48}{value:>9}  {bound:<9}  {holds:<6}{figure.measured}", flush=True)


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument(
        "--pack", default="buffalo_l", help="an InsightFace pack, by name or folder"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--repeats", type=int, default=12, help="how often the folder holds a photo"
    )
    parser.add_argument("--only", action="append", choices=list(SECTIONS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pack = str(Path(options.pack).resolve()) if Path(options.pack).is_dir() else options.pack
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        photos = _pictures_in(options.photos)
        if "ingest" in (options.only or SECTIONS):
            _repeat(photos, folder, options.repeats)
        setting = Setting(photos, folder, options.repeats, pack, options.runs, Path(scratch))
        if not options.json:
            print(f"{len(photos)} photos x {options.repeats}, {options.runs} runs, {cores()} cores")
            print(f"{'figure':<48}{'value':>9}  {'bound':<9}  {'holds':<6}measured")
        for name in options.only or SECTIONS:
            for figure in SECTIONS[name](setting):
                found.append(figure)
                if not options.json:
                    print_line(figure)
    if options.json:
        print(json.dumps([{**vars(figure), "holds": figure.holds} for figure in found], indent=1))
    sys.exit(1 if any(figure.holds is False for figure in found) else 0)


if __name__ == "__main__":
    main()
