"""Processes that analyse pictures: one onnxruntime thread each, limits on memory and time.

A picture that crashes its decoder or hangs costs its own worker, never the ingest. No SQL here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from . import analysis, images
from .errors import FacesError, MissingExtra, ModelError, PictureError
from .models.base import EXTRA_MEND, Engine, FaceModel
from .shapes import Analysis, ModelInfo

PICTURE_SECONDS = 60
LOAD_SECONDS = 300
STOP_SECONDS = 3
MEMORY_BYTES = 3 * 1024**3
"""What one worker may allocate: the largest picture allowed, decoded twice, and a large model."""


LARGE_BYTES = 2_000_000
"""A file of this size gives a picture whose memory is given back at once."""


class WorkerPool:
    """A pool of processes for one model; use it as a context manager."""

    def __init__(self, model: FaceModel, workers: int, *, min_face_px: float) -> None:
        """model is pickled to the workers, which load it on their first picture."""
        try:
            from pebble import ProcessPool
        except ImportError:
            raise MissingExtra(f"Ingesting needs pebble: {EXTRA_MEND}") from None
        self.model = model
        self.min_face_px = min_face_px
        self._pool = ProcessPool(max_workers=workers, initializer=_begin, context=_context())

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._pool.close()
            self._pool.join()
            return
        self._pool.stop()
        # Pebble's join can wait for ever for a thread that missed the stop; what is left ends with us
        last = threading.Thread(target=self._pool.join, daemon=True)
        last.start()
        last.join(STOP_SECONDS)

    def describe(self) -> ModelInfo:
        """Load the model in a worker and say what it is. Raises ModelError."""
        from pebble import ProcessExpired

        asked = self._pool.schedule(_describe, args=[self.model], timeout=LOAD_SECONDS)
        try:
            info: ModelInfo = asked.result()
        except (ProcessExpired, BrokenProcessPool, FutureTimeoutError, MemoryError) as error:
            raise ModelError(
                f"The model {self.model.id} could not be loaded ({type(error).__name__}): {error}"
            ) from None
        return info

    def submit(self, data: bytes) -> Future[Analysis]:
        """Analyse one picture; ask for the answer with `result`."""
        future: Future[Analysis] = self._pool.schedule(
            _analyse, args=[self.model, self.min_face_px, data], timeout=PICTURE_SECONDS
        )
        return future


class WorkerDied(PictureError):
    """The worker ended before it had an answer: by this picture, or by one that it had just begun."""


def result(future: Future[Analysis]) -> Analysis:
    """The answer to `submit`. Raises PictureError where it is broken, or broke a worker."""
    from pebble import ProcessExpired

    try:
        return future.result()
    except FutureTimeoutError:
        raise PictureError(f"decoding it took over {PICTURE_SECONDS} seconds") from None
    except ProcessExpired as error:
        raise WorkerDied(f"it crashed the decoder (exit code {error.exitcode})") from None
    except (CancelledError, MemoryError):
        raise PictureError("analysing it takes more memory than is allowed") from None


def _context() -> Any:
    """Workers that begin from a clean process: the parent has threads, which a fork would tear."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _begin() -> None:
    """In a worker: leave Ctrl-C to the parent, end with it, and keep to the memory limit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


# A worker process serves one pool: the one place for the model that it loads on first use
_engines: dict[str, Engine] = {}


def _describe(model: FaceModel) -> ModelInfo:
    return _loaded(model).info


def _analyse(model: FaceModel, min_face_px: float, data: bytes) -> Analysis:
    engine = _loaded(model)
    try:
        return analysis.analyse(data, engine, detect_px=model.detect_px, min_face_px=min_face_px)
    except (FacesError, MemoryError):
        raise
    # A stranger's model may raise what it likes; one picture of many is no reason to stop
    except Exception as error:
        raise PictureError(f"analysing it failed: {type(error).__name__}: {error}") from None
    finally:
        if len(data) >= LARGE_BYTES:
            images.return_memory()


def _loaded(model: FaceModel) -> Engine:
    """The model in this worker's memory, loaded once: each task brings only its description."""
    if model.id not in _engines:
        _engines[model.id] = model.load()
    return _engines[model.id]
