"""Uploads are analysed beside the server: a few at a time, within limits, whatever they do."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, shipped, small
from PIL import Image
from toy_model import (
    EATS,
    GREEN,
    HANGS,
    KILLS,
    RAISES,
    RED,
    WHITE,
    Colour,
    DeadlyModel,
    ToyModel,
    draw,
)

from datasette_faces.errors import Busy, ModelError, PictureError
from datasette_faces.models import worker_pool
from datasette_faces.models.base import Engine
from datasette_faces.models.inference import LIMITS, MAX_PIXELS, Inference
from datasette_faces.models.pipeline import MIN_FACE_PX
from datasette_faces.models.sface import SFace
from datasette_faces.models.worker_pool import Limits
from datasette_faces.shapes import QueryAnalysis

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and limits")

pytestmark = pytest.mark.once
SECONDS = 60
"""An answer takes no longer, also where a worker has to begin anew on a busy machine."""
Begin = Callable[..., Inference]


@dataclass
class NiceModel(ToyModel):
    """A model whose embedding of a face points to the niceness of its process beside 10."""

    id: str = "nice"

    def load(self) -> Engine:
        engine = super().load()
        nice = np.array([[os.nice(0), 10, 0]], np.float32)
        return Engine(engine.info, engine.detect, lambda faces: nice.repeat(len(faces), 0))


@dataclass
class RaisingModel(ToyModel):
    """A stranger's model with a mistake in it."""

    id: str = "raising"

    def load(self) -> Engine:
        raise ZeroDivisionError("the weights broke")


@dataclass
class AbsentModel(ToyModel):
    """A model that needs what is not installed."""

    id: str = "absent"

    def missing(self) -> str | None:
        return "the model absent needs pip install absent"


@dataclass
class SlowModel(ToyModel):
    """A model that takes a while to load, and writes down that it did."""

    id: str = "slow"

    def load(self) -> Engine:
        time.sleep(0.5)
        with open(self.log, "a") as log:
            log.write("loaded\n")
        return super().load()


@dataclass
class HangingModel(ToyModel):
    """A model that never finishes loading."""

    id: str = "hanging"

    def load(self) -> Engine:
        time.sleep(3600)
        raise AssertionError


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Makes an Inference that is closed at the end."""
    made: list[Inference] = []

    def make(model: Any, **options: Any) -> Inference:
        made.append(Inference(model, **{"workers": 1, **options}))
        return made[-1]

    yield make
    for inference in made:
        inference.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., bytes]:
    """The bytes of a toy picture."""

    def make(*colours: Colour) -> bytes:
        return draw(tmp_path / "picture.png", *colours).read_bytes()

    return make


def answer(inference: Inference, data: bytes) -> QueryAnalysis:
    return inference.submit(data).result(timeout=SECONDS)


def looks(inference: Inference, data: bytes) -> str:
    """Why a picture has no face, or gives no answer at all."""
    try:
        return answer(inference, data).reason or "faces"
    except PictureError as error:
        return str(error)


def pids(inference: Inference) -> list[int]:
    """The worker processes."""
    assert inference._pool is not None
    return list(inference._pool._pool._pool_manager.worker_manager.workers)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_upload_gives_its_faces(begin, picture):
    found = answer(begin(ToyModel()), picture(RED, WHITE, GREEN))
    assert found.reason is None
    assert [face.embedding.tolist() for face in found.analysis.faces] == [[1, 0, 0], [0, 1, 0]]


def test_the_model_loads_on_first_use_once_and_says_so_meanwhile(begin, picture, tmp_path):
    inference = begin(SlowModel(log=str(tmp_path / "loads")))
    assert (inference.state, inference.info) == ("cold", None)
    first = inference.submit(picture(RED))
    wait_until(lambda: inference.state == "loading")
    second = inference.submit(picture(GREEN))
    assert inference.state == "loading"
    assert len(first.result(SECONDS).analysis.faces) == len(second.result(SECONDS).analysis.faces)
    assert inference.state == "ready"
    assert inference.info is not None
    assert inference.info == SlowModel(log=os.devnull).load().info
    assert Path(tmp_path / "loads").read_text().count("loaded") == 1


@pytest.mark.slow
def test_more_than_it_can_hold_is_busy_at_once_and_then_there_is_room_again(begin, picture):
    inference = begin(ToyModel(seconds=0.5), workers=1, waiting=2)
    taken = [inference.submit(picture(RED)) for _ in range(3)]
    began = time.monotonic()
    with pytest.raises(Busy, match=r"3 uploaded pictures .* try again in a moment"):
        inference.submit(picture(RED))
    assert time.monotonic() - began < 0.2
    assert all(len(future.result(SECONDS).analysis.faces) == 1 for future in taken)
    assert looks(inference, picture(RED)) == "faces"


def test_one_core_is_left_for_the_pages():
    inference = Inference(ToyModel())
    assert inference.workers == max(1, (os.cpu_count() or 1) - 1)
    assert inference.waiting == 2


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("colour", "reason"),
    [
        (KILLS, "it crashed the decoder (exit code -9)"),
        (EATS, "analysing it takes more memory than is allowed"),
        (RAISES, "analysing it failed: ZeroDivisionError: the toy broke"),
    ],
    ids=["kills", "eats memory", "raises"],
)
def test_a_harmful_picture_costs_only_itself(begin, picture, colour, reason):
    inference = begin(ToyModel())
    assert looks(inference, picture(colour)) == reason
    assert looks(inference, picture(RED)) == "faces"
    assert inference.state == "ready"


@pytest.mark.slow
def test_a_picture_that_hangs_is_given_up(begin, picture):
    inference = begin(ToyModel(), limits=Limits(seconds=1))
    assert looks(inference, picture(HANGS)) == "decoding it took over 1 seconds"
    assert looks(inference, picture(RED)) == "faces"


@posix
def test_harmful_pictures_leave_those_that_come_with_them_in_peace(begin, picture):
    inference = begin(ToyModel(), workers=2, waiting=10)
    colours = [KILLS, RED, GREEN, KILLS, RED, RAISES, GREEN]
    asked = [inference.submit(picture(colour)) for colour in colours]
    done = [len(faces(future)) for future in asked]
    assert done == [0, 1, 1, 0, 1, 0, 1]


def faces(future: Future[QueryAnalysis]) -> tuple[Any, ...]:
    try:
        return future.result(SECONDS).analysis.faces
    except PictureError:
        return ()


@posix
def test_workers_that_were_ended_while_idle_are_begun_anew(begin, picture):
    inference = begin(ToyModel())
    assert looks(inference, picture(RED)) == "faces"
    for pid in pids(inference):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    assert looks(inference, picture(RED)) == "faces"
    assert inference.state == "ready"


@posix
def test_workers_stand_back_for_the_pages(begin, picture):
    nice, ten, _ = answer(begin(NiceModel()), picture(RED)).analysis.faces[0].embedding
    assert round(10 * float(nice / ten)) == min(os.nice(0) + 10, 19)
    assert LIMITS.nice == 10


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (AbsentModel(), "the model absent needs pip install absent"),
        (RaisingModel(), "The model raising could not be loaded"),
        pytest.param(DeadlyModel(), "The model deadly could not be loaded", marks=posix),
    ],
    ids=["missing", "raises", "kills"],
)
def test_a_model_that_cannot_be_loaded_says_so(begin, picture, model, message):
    inference = begin(model)
    for _ in range(2):
        with pytest.raises(ModelError, match=message):
            answer(inference, picture(RED))
        assert (inference.state, inference.info) == ("cold", None)


def test_without_the_extra_one_is_told_what_to_install(begin, picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "pebble", None)
    with pytest.raises(ModelError, match=r"pebble: pip install 'datasette-faces\[ingest\]'"):
        answer(begin(ToyModel()), picture(RED))


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(begin):
    large = encoded(Image.new("1", (8_192, 8_193)), "PNG")
    reason = (
        "the picture is too large: 67,117,056 pixels; 67,108,864 are allowed, so make it smaller"
    )
    assert looks(begin(ToyModel()), large) == reason
    assert MAX_PIXELS > 61_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"just text", "the file holds text, not a picture"),
        (b"\x89PNG\r\n\x1a\n\0\0", "the file is not a picture, or its beginning is damaged"),
    ],
    ids=["empty", "text", "cut off"],
)
def test_what_is_no_picture_says_so(begin, data, reason):
    assert looks(begin(ToyModel()), data) == reason


def test_closing_ends_a_hanging_picture_and_its_process_soon(begin, picture):
    inference = begin(ToyModel())
    assert looks(inference, picture(RED)) == "faces"
    hanging = inference.submit(picture(HANGS))
    wait_until(lambda: inference._in_hand == 1)
    time.sleep(0.3)
    running = pids(inference)
    began = time.monotonic()
    inference.close()
    with pytest.raises(Busy, match="ending"):
        hanging.result(timeout=SECONDS)
    assert time.monotonic() - began < worker_pool.STOP_SECONDS + 3
    with pytest.raises(Busy, match="ending"):
        inference.submit(picture(RED))
    wait_until(lambda: not any(map(is_alive, running)))
    inference.close()


def test_closing_while_the_model_loads_tells_who_waits(begin, picture):
    inference = begin(HangingModel())
    waiting = [inference.submit(picture(RED)) for _ in range(2)]
    wait_until(lambda: inference.state == "loading" and inference._pool is not None)
    time.sleep(0.3)
    inference.close()
    for future in waiting:
        with pytest.raises(Busy, match="ending"):
            future.result(timeout=SECONDS)


@pytest.fixture(scope="module")
def sface() -> Iterator[Inference]:
    """The built-in model at work."""
    inference = Inference(SFace(), workers=1)
    yield inference
    inference.close()


@pytest.mark.slow
@pytest.mark.parametrize(("what", "count"), [("one face", 1), ("six faces", 6)])
def test_sface_finds_the_faces_of_an_upload(sface, what, count):
    found = answer(sface, shipped(what).read_bytes())
    assert (len(found.analysis.faces), found.reason) == (count, None)
    assert sface.info.weights_sha256 == SFace().load().info.weights_sha256


def turned(what: str, degrees: int) -> Image.Image:
    """A picture turned to the left."""
    with Image.open(shipped(what)) as image:
        return image.convert("RGB").rotate(degrees, expand=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (small(long_px=64), f"the face is too small: 10 px; {MIN_FACE_PX} are needed"),
        (small("six faces", 128), f"the face is too small: 11 px; {MIN_FACE_PX} are needed"),
        (small().point(lambda value: value // 40), "the picture is too dark: take a brighter one"),
        (Image.new("RGB", (300, 200)), "the picture is too dark: take a brighter one"),
        (turned("one face", 90), "the picture is turned: turn it by 90° to the right"),
        (turned("six faces", 90), "the picture is turned: turn it by 90° to the right"),
        (turned("six faces", 270), "the picture is turned: turn it by 90° to the left"),
        (turned("six faces", 180), "the picture is turned: turn it upside down"),
        (Image.new("RGB", (300, 200), "white"), "no face was found"),
    ],
    ids=[
        "one small",
        "six small",
        "dark",
        "black",
        "one to the left",
        "to the left",
        "to the right",
        "upside down",
        "white",
    ],
)
def test_a_picture_without_a_face_says_why(sface, image, reason):
    found = answer(sface, encoded(image, "PNG"))
    assert (found.analysis.faces, found.reason) == ((), reason)
    assert found.analysis.photo.thumbnail
