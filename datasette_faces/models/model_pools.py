"""Face models in processes of their own, each begun and loaded on first use. No SQL, no HTTP.

The ingest, uploads, query photos and manual boxes share these pools; they differ in their options. A
picture that crashes, hangs or eats memory costs its worker, which is replaced.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..errors import Busy, ModelError, PictureError
from ..shapes import Analysis, Detection, Face, ManualBox, ModelInfo, QueryAnalysis
from . import registry, worker_pool
from .base import FaceModel, check_weights
from .pipeline import MIN_FACE_PX
from .worker_pool import WorkerDied, WorkerLimits, WorkerPool

Answer = TypeVar("Answer", Analysis, QueryAnalysis, Face, tuple[Face, ...])
Ask = Callable[[WorkerPool, float], Future[Answer]]
"""Gives a picture to the workers; the number is the seconds that a worker has to load the model."""

State = Literal["cold", "loading", "ready"]

LOADS = 2
"""A worker that has to load the model may take this many times as long as the first one did."""
CLOSED = "The server is ending; try again when it is back"


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How many pictures may wait for a worker, and what happens to the next one.

    when_full: "refuse" raises Busy at once; "block" waits until there is room.
    """

    max_waiting: int
    when_full: Literal["refuse", "block"]


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a model works: its processes, its queue, and what one picture may cost.

    min_face_px: shorter side of a face that is kept, in full-size pixels. limits: None for the usual
    ones.
    """

    workers: int = 1
    queue: QueuePolicy = QueuePolicy(max_waiting=0, when_full="block")
    min_face_px: float = MIN_FACE_PX
    limits: WorkerLimits | None = None

    @property
    def capacity(self) -> int:
        """How many pictures may be in hand: those at work, and those that wait."""
        return self.workers + self.queue.max_waiting


class ModelPool:
    """One model in its processes; use it as a context manager, or close it."""

    def __init__(self, model: FaceModel, options: PoolOptions | None = None) -> None:
        """No process begins before the first picture, or `load`."""
        self.model = model
        self.options = options or PoolOptions()
        self.state: State = "cold"
        self.info: ModelInfo | None = None
        """What the loaded model is: set before the first answer comes."""
        self._queue = threading.Condition()
        self._in_hand = 0
        self._loading = threading.Lock()
        self._workers: WorkerPool | None = None
        self._one_suspect = threading.Lock()
        self._suspect_worker: WorkerPool | None = None
        self._load_seconds = 0.0
        self._closed = False

    def __enter__(self) -> ModelPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def load(self) -> ModelInfo:
        """Load the model, unless it is loaded, and describe it. Raises ModelError, Busy (closed)."""
        self._load_workers()
        assert self.info is not None
        return self.info

    def submit_photo(self, data: bytes) -> Future[Analysis]:
        """Analyse a photo, given as the bytes of its file.

        Raises Busy where the queue refuses it. The answer, or PictureError (the photo), ModelError
        (the model, or what it needs), Busy (closed meanwhile).
        """
        return self._submit(lambda workers, seconds: workers.analyse(data, load_seconds=seconds))

    def submit_query(self, data: bytes) -> Future[QueryAnalysis]:
        """Analyse a query photo, and say why it has no face; otherwise as `submit_photo`."""
        return self._submit(
            lambda workers, seconds: workers.analyse_query(data, load_seconds=seconds)
        )

    def submit_manual_box(self, data: bytes, manual_box: ManualBox) -> Future[Face]:
        """Measure and embed the face in a manual box of a photo; otherwise as `submit_photo`."""
        return self._submit(
            lambda workers, seconds: workers.measure(data, manual_box, load_seconds=seconds)
        )

    def submit_placed(self, data: bytes, placed: list[Detection]) -> Future[tuple[Face, ...]]:
        """Measure and embed faces of a photo whose landmarks are known; otherwise as `submit_photo`."""
        return self._submit(
            lambda workers, seconds: workers.measure_placed(data, placed, load_seconds=seconds)
        )

    def finish(self) -> None:
        """End the processes once what they have in hand is done."""
        for workers in self._mark_closed():
            workers.finish()

    def close(self) -> None:
        """End the processes, whatever they do; pictures that still wait are answered with Busy."""
        for workers in self._mark_closed():
            workers.stop()

    def _mark_closed(self) -> list[WorkerPool]:
        with self._queue:
            self._closed = True
            self._queue.notify_all()
        atexit.unregister(self.close)
        self.state = "cold"
        return [workers for workers in (self._workers, self._suspect_worker) if workers is not None]

    def _submit(self, ask: Ask[Answer]) -> Future[Answer]:
        self._enter_queue()
        future: Future[Answer] = Future()
        # A daemon, as threads of an executor would hold up the end of the server
        threading.Thread(target=self._answer, args=[ask, future], daemon=True).start()
        return future

    def _enter_queue(self) -> None:
        with self._queue:
            while not self._closed and self._in_hand >= self.options.capacity:
                if self.options.queue.when_full == "refuse":
                    raise Busy(
                        f"{self._in_hand} uploaded pictures are being looked at already; "
                        "try again in a moment"
                    )
                self._queue.wait()
            if self._closed:
                raise Busy(CLOSED)
            self._in_hand += 1

    def _leave_queue(self) -> None:
        with self._queue:
            self._in_hand -= 1
            self._queue.notify()

    def _answer(self, ask: Ask[Answer], future: Future[Answer]) -> None:
        answer: Any = None
        problem: BaseException | None = None
        try:
            answer = self._try(ask)
        except BaseException as error:
            # Whatever a closed pool answers, this is why
            problem = Busy(CLOSED) if self._closed else error
        self._leave_queue()
        with suppress(InvalidStateError):  # its reader has cancelled it
            if answer is not None:
                future.set_result(answer)
            else:
                future.set_exception(problem)

    def _try(self, ask: Ask[Answer]) -> Answer:
        """Ask the workers; where one of them died, ask alone: another picture may have killed it."""
        workers = self._load_workers()
        try:
            return self._ask(workers, ask, LOADS * self._load_seconds)
        except WorkerDied:
            if not workers.active:
                self._drop_workers(workers)
        except PictureError:
            # Cancelled as another picture found all workers lost: this one is not to blame
            if self._workers is workers:
                raise
        return self._try_alone(ask)

    def _try_alone(self, ask: Ask[Answer]) -> Answer:
        """Ask a process that sees no other picture: this one is to blame for whatever ends it."""
        with self._one_suspect:
            workers = self._make_workers(1)
            self._suspect_worker = workers
            try:
                if self._closed:
                    raise Busy(CLOSED)
                return self._ask(workers, ask, workers.limits.load_seconds)
            finally:
                self._suspect_worker = None
                workers.stop()

    @staticmethod
    def _ask(workers: WorkerPool, ask: Ask[Answer], load_seconds: float) -> Answer:
        try:
            future = ask(workers, load_seconds)
        except RuntimeError:  # Pebble says so of a pool that was lost or ended since
            raise WorkerDied from None
        return worker_pool.wait_for(future, workers.limits.seconds)

    def _load_workers(self) -> WorkerPool:
        """The workers, the model loaded: the first picture loads it, the others wait meanwhile."""
        lost = self._workers
        if lost is not None and not lost.active:
            self._drop_workers(lost)
        with self._loading:
            if self._workers is None:
                self._begin_workers()
            assert self._workers is not None
            return self._workers

    def _begin_workers(self) -> None:
        if reason := self.model.missing():
            raise ModelError(reason)
        workers = self._make_workers(self.options.workers)
        self.state, self._workers = "loading", workers
        # After Pebble's own, so before it: its threads would replace the workers that it ends
        atexit.register(self.close)
        began = time.monotonic()
        try:
            if self._closed:
                raise Busy(CLOSED)
            self.info = workers.describe()
        except BaseException:
            self._workers, self.state = None, "cold"
            workers.stop()
            raise
        self._load_seconds = time.monotonic() - began
        self.state = "ready"

    def _make_workers(self, count: int) -> WorkerPool:
        options = self.options
        return WorkerPool(self.model, count, min_face_px=options.min_face_px, limits=options.limits)

    def _drop_workers(self, workers: WorkerPool) -> None:
        with self._loading:
            if self._workers is workers and not self._closed:
                self._workers, self.state = None, "cold"
                workers.stop()


class ModelPools:
    """One pool for each model, made on first use; use it as a context manager, or close it."""

    def __init__(
        self, extra_models: Iterable[FaceModel] = (), options: PoolOptions | None = None
    ) -> None:
        """extra_models: besides those that are registered, as packs in folders."""
        self._extra_models = {model.id: model for model in extra_models}
        self._options = options
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], ModelPool] = {}
        self._errors: dict[str, ModelError] = {}

    def __enter__(self) -> ModelPools:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Where one does not end well, the others are ended all the same
        stack = ExitStack()
        for pool in self._pools.values():
            stack.push(pool)
        stack.__exit__(kind, error, traceback)

    def get_pool(self, model: FaceModel, options: PoolOptions | None = None) -> ModelPool:
        """The one pool of that model. options: of a new pool, in place of those of all."""
        # Packs of one name may lie in several folders
        key = model.id, str(getattr(model, "folder", None))
        with self._lock:
            if key not in self._pools:
                self._pools[key] = ModelPool(model, options or self._options)
            return self._pools[key]

    def find_available(self, infos: Iterable[ModelInfo]) -> list[ModelInfo]:
        """Those of a file's models that are installed here; none is loaded for that."""
        models = [(info, self._find_model(info)) for info in infos]
        return [info for info, model in models if model is not None and model.missing() is None]

    def measure_manual_face(self, info: ModelInfo, data: bytes, manual_box: ManualBox) -> Face:
        """Measure and embed the face in a manual box by one of a file's models.

        Raises PictureError and ModelError; a model that cannot be used is not tried again.
        """
        if info.id in self._errors:
            raise self._errors[info.id]
        try:
            pool = self._load_pool(info)
        except ModelError as error:
            self._errors[info.id] = error
            raise
        return pool.submit_manual_box(data, manual_box).result()

    def close(self) -> None:
        """End all processes, whatever they do."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()

    def _find_model(self, info: ModelInfo) -> FaceModel | None:
        return self._extra_models.get(info.id) or registry.models().get(info.id)

    def _load_pool(self, info: ModelInfo) -> ModelPool:
        model = self._find_model(info)
        if model is None:
            raise ModelError(
                f"the model {info.id} is not known here: name the folder of its pack with --model"
            )
        pool = self.get_pool(model)
        check_weights(info, pool.load())
        return pool
