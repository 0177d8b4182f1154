"""Uploads are analysed beside the server: a few at a time, within limits, whatever they do."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from odd_models import AbsentModel, HangingModel, NiceModel, RaisingModel, SlowModel
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

from datasette_faces.app.datasette.upload_options import LIMITS, MAX_PIXELS, make_upload_options
from datasette_faces.errors import Busy, ModelError, PictureError
from datasette_faces.models import worker_pool
from datasette_faces.models.model_pools import ModelPool, ModelPools, QueuePolicy
from datasette_faces.models.pipeline import MIN_FACE_PX
from datasette_faces.models.sface import SFace
from datasette_faces.models.worker_pool import WorkerLimits
from datasette_faces.shapes import QueryAnalysis

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and limits")

SECONDS = 60
"""An answer takes no longer, also where a worker has to be replaced on a busy machine."""
Begin = Callable[..., ModelPool]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Makes a pool that is closed at the end."""
    made: list[ModelPool] = []

    def make(model: Any, **options: Any) -> ModelPool:
        made.append(ModelPool(model, replace(make_upload_options(), **{"workers": 1, **options})))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., bytes]:
    """The bytes of a toy picture."""

    def make(*colours: Colour) -> bytes:
        return draw(tmp_path / "picture.png", *colours).read_bytes()

    return make


def answer(pool: ModelPool, data: bytes) -> QueryAnalysis:
    return pool.submit_query(data).result(timeout=SECONDS)


def looks(pool: ModelPool, data: bytes) -> str:
    """Why a picture has no face, or gives no answer at all."""
    try:
        return answer(pool, data).reason or "faces"
    except PictureError as error:
        return str(error)


def pids(pool: ModelPool) -> list[int]:
    """The worker processes."""
    assert pool._workers is not None
    return list(pool._workers._pool._pool_manager.worker_manager.workers)


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
    pool = begin(SlowModel(log=str(tmp_path / "loads")))
    assert (pool.state, pool.info) == ("cold", None)
    first = pool.submit_query(picture(RED))
    wait_until(lambda: pool.state == "loading")
    second = pool.submit_query(picture(GREEN))
    assert pool.state == "loading"
    assert len(first.result(SECONDS).analysis.faces) == len(second.result(SECONDS).analysis.faces)
    assert pool.state == "ready"
    assert pool.info is not None
    assert pool.info == SlowModel(log=os.devnull).load().info
    assert Path(tmp_path / "loads").read_text().count("loaded") == 1


def test_more_than_it_can_hold_is_busy_at_once_and_then_there_is_room_again(begin, picture):
    pool = begin(ToyModel(seconds=0.5), workers=1)
    taken = [pool.submit_query(picture(RED)) for _ in range(3)]
    began = time.monotonic()
    with pytest.raises(Busy, match=r"3 uploaded pictures .* try again in a moment"):
        pool.submit_query(picture(RED))
    assert time.monotonic() - began < 0.2
    assert all(len(future.result(SECONDS).analysis.faces) == 1 for future in taken)
    assert looks(pool, picture(RED)) == "faces"


def test_a_queue_that_blocks_takes_the_next_picture_when_one_is_done(begin, picture):
    pool = begin(ToyModel(seconds=0.5), queue=QueuePolicy(max_waiting=1, when_full="block"))
    pool.load()
    first, second = pool.submit_photo(picture(RED)), pool.submit_photo(picture(GREEN))
    assert pool._in_hand == 2
    third = pool.submit_photo(picture(RED))
    assert pool._in_hand <= 2
    assert [len(future.result(SECONDS).faces) for future in (first, second, third)] == [1, 1, 1]


def test_closing_ends_the_wait_for_a_full_queue(begin, picture):
    pool = begin(ToyModel(), queue=QueuePolicy(max_waiting=0, when_full="block"))
    pool.load()
    hanging = pool.submit_photo(picture(HANGS))
    threading.Timer(0.3, pool.close).start()
    with pytest.raises(Busy, match="ending"):
        pool.submit_photo(picture(RED))
    with pytest.raises(Busy, match="ending"):
        hanging.result(SECONDS)


def test_one_core_is_left_for_the_pages():
    options = make_upload_options()
    assert options.workers == max(1, (os.cpu_count() or 1) - 1)
    assert options.queue == QueuePolicy(max_waiting=2, when_full="refuse")


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
    pool = begin(ToyModel())
    assert looks(pool, picture(colour)) == reason
    assert looks(pool, picture(RED)) == "faces"
    assert pool.state == "ready"


def test_a_picture_that_hangs_is_given_up(begin, picture):
    pool = begin(ToyModel(), limits=WorkerLimits(seconds=1))
    assert looks(pool, picture(HANGS)) == "decoding it took over 1 seconds"
    assert looks(pool, picture(RED)) == "faces"


@posix
def test_harmful_pictures_leave_those_that_come_with_them_in_peace(begin, picture):
    pool = begin(ToyModel(), workers=2, queue=QueuePolicy(10, "refuse"))
    colours = [KILLS, RED, GREEN, KILLS, RED, RAISES, GREEN]
    asked = [pool.submit_query(picture(colour)) for colour in colours]
    done = [len(faces(future)) for future in asked]
    assert done == [0, 1, 1, 0, 1, 0, 1]


def faces(future: Future[QueryAnalysis]) -> tuple[Any, ...]:
    try:
        return future.result(SECONDS).analysis.faces
    except PictureError:
        return ()


@posix
def test_workers_that_were_killed_while_idle_are_replaced(begin, picture):
    pool = begin(ToyModel())
    assert looks(pool, picture(RED)) == "faces"
    for pid in pids(pool):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    assert looks(pool, picture(RED)) == "faces"
    assert pool.state == "ready"


def test_a_picture_in_hand_is_tried_again_when_all_workers_are_lost(begin, picture):
    pool = begin(ToyModel(seconds=0.5))
    pool.load()
    future = pool.submit_query(picture(RED))
    wait_until(lambda: pool._workers is not None and len(pool._workers._futures) > 0)
    time.sleep(0.2)
    pool._drop_workers(pool._workers)
    assert len(faces(future)) == 1


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
    pool = begin(model)
    for _ in range(2):
        with pytest.raises(ModelError, match=message):
            answer(pool, picture(RED))
        assert (pool.state, pool.info) == ("cold", None)


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
    pool = begin(ToyModel())
    assert looks(pool, picture(RED)) == "faces"
    hanging = pool.submit_query(picture(HANGS))
    wait_until(lambda: pool._in_hand == 1)
    time.sleep(0.3)
    running = pids(pool)
    began = time.monotonic()
    pool.close()
    with pytest.raises(Busy, match="ending"):
        hanging.result(timeout=SECONDS)
    assert time.monotonic() - began < worker_pool.STOP_SECONDS + 3
    with pytest.raises(Busy, match="ending"):
        pool.submit_query(picture(RED))
    wait_until(lambda: not any(map(is_alive, running)))
    pool.close()


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@posix
def test_an_interrupt_while_pools_end_leaves_no_worker_behind(picture):
    running: list[int] = []

    def end_with_pictures_in_hand() -> None:
        with ModelPools() as pools:
            both = [pools.get_pool(model) for model in (ToyModel(), NiceModel())]
            for pool in both:
                pool.load()
                pool.submit_photo(picture(HANGS))
            wait_until(lambda: all(pool._in_hand for pool in both))
            running.extend(pid for pool in both for pid in pids(pool))
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            end_with_pictures_in_hand()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(running) == 2
    wait_until(lambda: not any(map(is_alive, running)))


def test_closing_while_the_model_loads_tells_who_waits(begin, picture):
    pool = begin(HangingModel())
    waiting = [pool.submit_query(picture(RED)) for _ in range(2)]
    wait_until(lambda: pool.state == "loading" and pool._workers is not None)
    time.sleep(0.3)
    pool.close()
    for future in waiting:
        with pytest.raises(Busy, match="ending"):
            future.result(timeout=SECONDS)


@pytest.fixture(scope="module")
def sface() -> Iterator[ModelPool]:
    """The built-in model at work."""
    pool = ModelPool(SFace(), replace(make_upload_options(), workers=1))
    yield pool
    pool.close()


@pytest.mark.parametrize(("what", "count"), [("one face", 1), ("six faces", 6)])
def test_sface_finds_the_faces_of_an_upload(sface, what, count):
    found = answer(sface, shipped(what).read_bytes())
    assert (len(found.analysis.faces), found.reason) == (count, None)
    assert sface.info.weights_sha256 == SFace().load().info.weights_sha256


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (small(long_px=64), f"the face is too small: 10 px; {MIN_FACE_PX} are needed"),
        (small("six faces", 128), f"the face is too small: 11 px; {MIN_FACE_PX} are needed"),
        (small().point(lambda value: value // 40), "the picture is too dark: take a brighter one"),
        (Image.new("RGB", (300, 200)), "the picture is too dark: take a brighter one"),
        (Image.new("RGB", (300, 200), "white"), "no face was found"),
    ],
    ids=[
        "one small",
        "six small",
        "dark",
        "black",
        "white",
    ],
)
def test_a_picture_without_a_face_says_why(sface, image, reason):
    found = answer(sface, encoded(image, "PNG"))
    assert (found.analysis.faces, found.reason) == ((), reason)
    assert found.analysis.photo.thumbnail
