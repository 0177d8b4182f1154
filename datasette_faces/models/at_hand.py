"""The face models that are at hand here, each in a process of its own. No SQL, no HTTP, no click."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from ..errors import ModelError, WrongWeights
from ..shapes import Face, ManualBox, ModelInfo
from . import registry, worker_pool
from .base import FaceModel
from .worker_pool import WorkerPool


class AtHand(ExitStack):
    """Has models measure the faces in boxes that were drawn; a process begins when it is needed.

    A context manager; calling it raises ModelError and PictureError.
    """

    def __init__(self, given: Iterable[FaceModel] = ()) -> None:
        """given: models besides those that are registered, as packs in folders."""
        super().__init__()
        self._given = {model.id: model for model in given}
        self._pools: dict[str, WorkerPool] = {}
        self._missing: dict[str, ModelError] = {}

    def of(self, infos: Iterable[ModelInfo]) -> list[ModelInfo]:
        """Those of a file's models that are at hand, as far as can be told without loading them."""
        found = [(info, self._model(info)) for info in infos]
        return [info for info, model in found if model is not None and model.missing() is None]

    def __call__(self, info: ModelInfo, data: bytes, drawn: ManualBox) -> Face:
        if info.id in self._missing:
            raise self._missing[info.id]
        try:
            pool = self._pools.get(info.id) or self._begin(info)
        except ModelError as error:
            self._missing[info.id] = error
            raise
        return worker_pool.result(pool.outline(data, drawn))

    def _model(self, info: ModelInfo) -> FaceModel | None:
        return self._given.get(info.id) or registry.models().get(info.id)

    def _begin(self, info: ModelInfo) -> WorkerPool:
        model = self._model(info)
        if model is None:
            raise ModelError(
                f"the model {info.id} is not known here: name the folder of its pack with --model"
            )
        if reason := model.missing():
            raise ModelError(reason)
        pool = self.enter_context(WorkerPool(model, 1, min_face_px=0))
        check_weights(info, pool.describe())
        self._pools[info.id] = pool
        return pool


def check_weights(info: ModelInfo, loaded: ModelInfo) -> None:
    """Refuse a model whose vectors would not be those of the file's. Raises WrongWeights."""
    if info.weights_sha256 != loaded.weights_sha256:
        raise WrongWeights(
            f"the weights of {info.id} here are not those that made this file's embeddings; "
            "install the same ones"
        )
