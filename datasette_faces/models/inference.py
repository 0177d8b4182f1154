"""Uploads analysed in processes of their own, a few at a time. No HTTP, no SQL.

The model loads in a worker on the first upload. A picture that crashes, hangs or eats memory costs
its worker, which is replaced; more than the queue holds is refused at once.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Literal, TypeVar

from ..errors import Busy, FacesError, ModelError
from ..shapes import Face, ManualBox, ModelInfo, QueryAnalysis
from . import worker_pool
from .base import FaceModel
from .pipeline import MIN_FACE_PX
from .worker_pool import Limits, WorkerDied, WorkerPool

Answer = TypeVar("Answer", QueryAnalysis, Face)

WAITING = 2
"""Pictures that may wait for a worker: what comes after them would wait for longer than people do."""
MAX_PIXELS = 64 * 2**20
"""Of an upload: more than any full-frame camera makes (61 million); 200 MB when decoded."""
LIMITS = Limits(
    seconds=20, max_pixels=MAX_PIXELS, memory_bytes=2 * 1024**3, nice=10, load_seconds=60
)
"""Of an upload: a tenth of a second is usual. `nice` keeps pages quick while faces are looked for;
a server that is to end waits for its requests, so no picture and no model may take long."""
LOADS = 2
"""A worker that has to load the model may take this many times as long as the first one did."""

State = Literal["cold", "loading", "ready"]

ENDING = "The server is ending; try again when it is back"


class Inference:
    """One model at work for uploads; it begins its processes on first use, and ends with Python."""

    def __init__(
        self,
        model: FaceModel,
        *,
        workers: int | None = None,
        waiting: int = WAITING,
        min_face_px: float = MIN_FACE_PX,
        limits: Limits = LIMITS,
    ) -> None:
        """workers: processes; by default one core is left for the pages."""
        self.model = model
        self.workers = workers or max(1, (os.cpu_count() or 1) - 1)
        self.waiting = waiting
        self.min_face_px = min_face_px
        self.limits = limits
        self.state: State = "cold"
        self.info: ModelInfo | None = None
        """What the loaded model is; the caller compares it with the database's."""
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._pool: WorkerPool | None = None
        self._load_seconds = 0.0
        self._in_hand = 0
        self._closed = False

    def submit(self, data: bytes) -> Future[QueryAnalysis]:
        """Analyse one picture. Raises Busy at once beyond `workers` + `waiting` pictures.

        The answer comes, or PictureError (the picture), ModelError (the model or what it needs),
        Busy (the server is ending). `info` is set before it comes.
        """
        return self._submit(lambda pool, seconds: pool.look(data, load_seconds=seconds))

    def outline(self, data: bytes, drawn: ManualBox) -> Future[Face]:
        """Measure and embed the face in a box that somebody drew; raises and answers as `submit`."""
        return self._submit(lambda pool, seconds: pool.outline(data, drawn, load_seconds=seconds))

    def _submit(self, ask: Callable[[WorkerPool, float], Future[Answer]]) -> Future[Answer]:
        with self._lock:
            if self._closed:
                raise Busy(ENDING)
            if self._in_hand >= self.workers + self.waiting:
                raise Busy(
                    f"{self._in_hand} uploaded pictures are being looked at already; "
                    "try again in a moment"
                )
            self._in_hand += 1
        future: Future[Answer] = Future()
        # A daemon, as threads of an executor would hold up the end of the server
        threading.Thread(target=self._answer, args=[ask, future], daemon=True).start()
        return future

    def close(self) -> None:
        """End the processes, whatever they do; who still waits is told Busy."""
        with self._lock:
            self._closed = True
        atexit.unregister(self.close)
        self.state = "cold"
        if self._pool is not None:
            self._pool.stop()

    def _answer(
        self, ask: Callable[[WorkerPool, float], Future[Answer]], future: Future[Answer]
    ) -> None:
        answer: Any = None
        problem: BaseException | None = None
        try:
            answer = self._look(ask)
        except BaseException as error:
            # Whatever a pool says that was torn down, this is why
            problem = Busy(ENDING) if self._closed else error
        with self._lock:
            self._in_hand -= 1
        with suppress(InvalidStateError):  # nobody waits for it any more
            if answer is not None:
                future.set_result(answer)
            else:
                future.set_exception(problem)

    def _look(self, ask: Callable[[WorkerPool, float], Future[Answer]]) -> Answer:
        """Have a worker look; again where it ended through another picture, or while it was idle."""
        try:
            return self._try(ask)
        except (WorkerDied, _PoolBroke):
            return self._try(ask)

    def _try(self, ask: Callable[[WorkerPool, float], Future[Answer]]) -> Answer:
        pool = self._ready()
        try:
            asked = ask(pool, LOADS * self._load_seconds)
            return worker_pool.result(asked, self.limits.seconds)
        # So Pebble tells that a worker ended that had nothing to do; the whole pool is lost then
        except RuntimeError:
            self._forget(pool)
            raise _PoolBroke(
                "The processes that look for faces were ended; try again in a moment"
            ) from None

    def _ready(self) -> WorkerPool:
        """The pool, its model loaded: one upload loads it, those that come meanwhile wait."""
        with self._loading:
            if self._pool is None:
                self._load()
            assert self._pool is not None
            return self._pool

    def _load(self) -> None:
        if reason := self.model.missing():
            raise ModelError(reason)
        pool = WorkerPool(
            self.model, self.workers, min_face_px=self.min_face_px, limits=self.limits
        )
        self.state, self._pool = "loading", pool
        # After Pebble's own, so before it: its threads would replace the workers that it ends
        atexit.register(self.close)
        began = time.monotonic()
        try:
            if self._closed:
                raise Busy(ENDING)
            self.info = pool.describe()
        except BaseException:
            self._pool = None
            self.state = "cold"
            pool.stop()
            raise
        self._load_seconds = time.monotonic() - began
        self.state = "ready"

    def _forget(self, pool: WorkerPool) -> None:
        with self._loading:
            if self._pool is pool and not self._closed:
                self._pool = None
                self.state = "cold"
                pool.stop()


class _PoolBroke(FacesError):
    """All processes have to be begun anew."""
