"""Processes that analyse pictures: one onnxruntime thread each, limits on memory and time.

A picture that crashes its decoder or hangs costs its own worker, never the ingest. No SQL here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

from ..errors import FacesError, MissingExtra, ModelError, PictureError
from ..media import decode
from ..shapes import Analysis, Detection, Face, ManualBox, ModelInfo, QueryAnalysis
from . import pipeline, subprocesses
from .base import EXTRA_MEND, Engine, FaceModel
from .manual_box import measure_manual_face

Answer = TypeVar("Answer")

PICTURE_SECONDS = 60
LOAD_SECONDS = 300
STOP_SECONDS = 3
MEMORY_BYTES = 3 * 1024**3
"""What one worker may allocate: the largest picture allowed, decoded twice, and a large model."""

LARGE_BYTES = 2_000_000
"""From this file size on, the memory of a picture is released at once."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What one picture may cost: seconds, pixels, bytes; nice: of its worker (0..19).

    max_pixels: None for those that a picture's format may have.
    """

    seconds: float
    max_pixels: int | None = None
    memory_bytes: int = MEMORY_BYTES
    nice: int = 0
    load_seconds: float = LOAD_SECONDS


class WorkerPool:
    """A pool of processes for one model; end it with `finish` or `stop`."""

    def __init__(
        self,
        model: FaceModel,
        workers: int,
        *,
        min_face_px: float,
        limits: WorkerLimits | None = None,
    ) -> None:
        """model is pickled to the workers, which load it on their first picture."""
        try:
            from pebble import ProcessPool
        except ImportError:
            raise MissingExtra(f"Looking for faces needs pebble: {EXTRA_MEND}") from None
        self.model = model
        self.min_face_px = min_face_px
        self.limits = limits or WorkerLimits(PICTURE_SECONDS)
        self._pool = ProcessPool(
            max_workers=workers,
            initializer=_set_up_worker,
            initargs=[self.limits.memory_bytes, self.limits.nice],
            context=subprocesses.make_context(__name__),
        )
        self._futures: WeakSet[Future[Any]] = WeakSet()
        self._ending = threading.Lock()

    def finish(self) -> None:
        """End the workers once their pictures are done; an interrupt ends them at once."""
        if not self._ending.acquire(blocking=False):
            return
        try:
            self._pool.close()
            self._pool.join()
        except BaseException:
            self._stop_workers()
            raise

    def stop(self) -> None:
        """End the workers, whatever they do, within STOP_SECONDS; their pictures are cancelled."""
        if self._ending.acquire(blocking=False):  # Pebble cannot be ended by two threads
            self._stop_workers()

    def _stop_workers(self) -> None:
        self._pool.stop()
        # Pebble leaves them pending, and their readers would wait for ever
        for future in list(self._futures):
            future.cancel()
        # Pebble's join may never return where a thread missed the stop; the rest ends with this process
        joining = threading.Thread(target=self._pool.join, daemon=True)
        # Python starts no thread while it exits; Pebble's own exit handler ends the workers then
        with suppress(RuntimeError):
            joining.start()
            joining.join(STOP_SECONDS)

    @property
    def active(self) -> bool:
        """Whether it takes pictures: not once it was ended, or lost (Pebble gives up after some deaths)."""
        return bool(self._pool.active)

    def describe(self) -> ModelInfo:
        """Load the model in a worker and describe it. Raises ModelError."""
        try:
            return self._schedule(_describe, self.model, seconds=self.limits.load_seconds).result()
        except FacesError:
            raise
        # A stranger's model may raise what it likes, kill its worker, or not come to an end
        except Exception as error:
            raise ModelError(
                f"The model {self.model.id} could not be loaded ({type(error).__name__}): {error}"
            ) from None

    def analyse(self, data: bytes, *, load_seconds: float) -> Future[Analysis]:
        """Analyse a photo; get the answer with `wait_for`.

        load_seconds: the time that a worker has besides, as it may have to load the model first.
        """
        return self._analyse_with(_analyse, data, load_seconds)

    def analyse_query(self, data: bytes, *, load_seconds: float) -> Future[QueryAnalysis]:
        """Analyse a query photo and say why it has no face; otherwise as `analyse`."""
        return self._analyse_with(_analyse_query, data, load_seconds)

    def measure(self, data: bytes, manual_box: ManualBox, *, load_seconds: float) -> Future[Face]:
        """Measure and embed the face in a manual box of a photo; otherwise as `analyse`."""
        seconds = self.limits.seconds + load_seconds
        return self._schedule(_measure, self.model, manual_box, data, seconds=seconds)

    def measure_placed(
        self, data: bytes, placed: list[Detection], *, load_seconds: float
    ) -> Future[tuple[Face, ...]]:
        """Measure and embed faces of a photo whose landmarks are known; otherwise as `analyse`."""
        seconds = self.limits.seconds + load_seconds
        return self._schedule(_measure_placed, self.model, placed, data, seconds=seconds)

    def _analyse_with(
        self, function: Callable[..., Answer], data: bytes, load_seconds: float
    ) -> Future[Answer]:
        seconds = self.limits.seconds + load_seconds
        settings = self.model, self.min_face_px, self.limits.max_pixels
        return self._schedule(function, *settings, data, seconds=seconds)

    def _schedule(
        self, function: Callable[..., Answer], *arguments: Any, seconds: float
    ) -> Future[Answer]:
        future: Future[Answer] = self._pool.schedule(function, args=arguments, timeout=seconds)
        self._futures.add(future)
        return future


class WorkerDied(PictureError):
    """A worker died before it had an answer: because of this picture, or of another one."""

    def __init__(self, exitcode: int | None = None) -> None:
        """exitcode: None where it is not known which worker died."""
        code = "" if exitcode is None else f" (exit code {exitcode})"
        super().__init__(f"it crashed the decoder{code}")


def wait_for(future: Future[Answer], seconds: float) -> Answer:
    """Wait for a worker's answer. Raises PictureError where the picture is broken, or broke a worker.

    seconds: what the picture was allowed, for the message.
    """
    from pebble import ProcessExpired

    try:
        return future.result()
    except FutureTimeoutError:
        raise PictureError(f"decoding it took over {seconds:g} seconds") from None
    except ProcessExpired as error:
        raise WorkerDied(error.exitcode) from None
    # Pebble ends all workers where one dies before it was told of the picture that it took
    except BrokenProcessPool:
        raise WorkerDied from None
    except (CancelledError, MemoryError):
        raise PictureError("analysing it takes more memory than is allowed") from None


def _set_up_worker(memory_bytes: int, nice: int) -> None:
    """In a worker: end with the parent, yield to other processes, keep to the memory limit."""
    subprocesses.end_with_parent()
    try:
        import resource
    except ImportError:  # Windows has neither of these
        return
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


# A worker process serves one pool: the one place for the model that it loads on first use
_engines: dict[str, Engine] = {}


def _describe(model: FaceModel) -> ModelInfo:
    return _load_once(model).info


def _analyse(model: FaceModel, min_face_px: float, max_pixels: int, data: bytes) -> Analysis:
    with _blame_picture(data):
        return pipeline.analyse(
            data,
            _load_once(model),
            detect_px=model.detect_px,
            min_face_px=min_face_px,
            max_pixels=max_pixels,
        )


def _analyse_query(
    model: FaceModel, min_face_px: float, max_pixels: int, data: bytes
) -> QueryAnalysis:
    with _blame_picture(data):
        return pipeline.analyse_query(
            data,
            _load_once(model),
            detect_px=model.detect_px,
            min_face_px=min_face_px,
            max_pixels=max_pixels,
        )


def _measure(model: FaceModel, manual_box: ManualBox, data: bytes) -> Face:
    with _blame_picture(data):
        return measure_manual_face(data, _load_once(model), manual_box, detect_px=model.detect_px)


def _measure_placed(model: FaceModel, placed: list[Detection], data: bytes) -> tuple[Face, ...]:
    with _blame_picture(data):
        return pipeline.measure_placed(data, _load_once(model), placed, detect_px=model.detect_px)


@contextmanager
def _blame_picture(data: bytes) -> Iterator[None]:
    """Turn any error into a PictureError, and release the memory of a large picture."""
    try:
        yield
    except (FacesError, MemoryError):
        raise
    # A stranger's model may raise what it likes; one picture of many is no reason to stop
    except Exception as error:
        raise PictureError(f"analysing it failed: {type(error).__name__}: {error}") from None
    finally:
        if len(data) >= LARGE_BYTES:
            decode.release_memory()


def _load_once(model: FaceModel) -> Engine:
    """Load the model once in this worker: each task brings only its description."""
    if model.id not in _engines:
        _engines[model.id] = model.load()
    return _engines[model.id]
