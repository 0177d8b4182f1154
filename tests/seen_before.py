"""What a real model gave for the same pixels before, in whichever process of this run of the tests.

The model itself looks at a picture the first time; from then on the answer comes from a file. It is
loaded when it has to look. Tests of a model call its own `load`, and workers of servers do, too.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datasette_faces.models import base, insightface, sface
from datasette_faces.models.base import Engine, FaceModel
from datasette_faces.shapes import Detection, FloatArray, RgbArray

FOLDER = "DATASETTE_FACES_SEEN_BEFORE"
"""The environment variable that names the folder of the answers."""
REAL: dict[type[FaceModel], Callable[[Any], Engine]] = {
    kind: kind.load for kind in (sface.SFace, insightface.InsightFacePack)
}
ALIGN = {sface.SFace: base.crop.align_face, insightface.InsightFacePack: insightface.align}


def load(model: FaceModel) -> Engine:
    """Load a model; a real one looks at the same pixels once."""
    folder = os.environ.get(FOLDER)
    if folder is None or type(model) not in REAL or model.missing():
        return REAL.get(type(model), type(model).load)(model)
    return _Memory(model, Path(folder)).engine()


def load_so_in_workers() -> None:
    """Load real models so wherever this process loads one."""
    for kind in REAL:
        kind.load = load  # type: ignore[method-assign, assignment]


class _Memory:
    """The answers of one model, a file for each."""

    def __init__(self, model: FaceModel, folder: Path) -> None:
        self._model = model
        self._loaded: Engine | None = None
        self._loading = threading.Lock()
        described = repr((type(model).__name__, sorted(vars(model).items())))
        self._folder = folder / hashlib.sha256(described.encode()).hexdigest()
        self._folder.mkdir(parents=True, exist_ok=True)

    def engine(self) -> Engine:
        """The model's functions, which remember."""
        return Engine(
            info=self._recall("info", lambda: self._real().info),
            detect=self._detect_as("detect"),
            embed=self._embed,
            align=ALIGN[type(self._model)],
            detect_faint=self._detect_as("detect_faint"),
            detect_quickly=self._detect_as("detect_quickly"),
            upright_score=self._recall("upright score", lambda: self._real().upright_score),
        )

    def _real(self) -> Engine:
        with self._loading:
            if self._loaded is None:
                self._loaded = REAL[type(self._model)](self._model)
            return self._loaded

    def _detect_as(self, look: str) -> Callable[[RgbArray], list[Detection]]:
        """One of the engine's ways to detect, by its name."""

        def detect(image_rgb: RgbArray) -> list[Detection]:
            def ask() -> list[Detection]:
                found: list[Detection] = getattr(self._real(), look)(image_rgb)
                return found

            return list(self._recall(_name(look, image_rgb), ask))

        return detect

    def _embed(self, faces: list[RgbArray]) -> FloatArray:
        name = _name("embed", np.stack(faces))
        return np.asarray(self._recall(name, lambda: self._real().embed(faces)))

    def _recall(self, name: str, ask: Callable[[], Any]) -> Any:
        path = self._folder / name
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            answer = ask()
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(pickle.dumps(answer))
        os.replace(file.name, path)
        return answer


def _name(what: str, pixels: RgbArray) -> str:
    digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode())
    digest.update(np.ascontiguousarray(pixels))
    return f"{what}-{digest.hexdigest()}"
