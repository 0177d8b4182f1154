"""What a face model is. How one works inside lies in the modules beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import MissingWeights, WrongWeights
from ..media import crop
from ..media.decode import Picture
from ..shapes import Detection, FloatArray, Landmarks, ModelInfo, RgbArray

EXTRA_MEND = "pip install 'datasette-faces[ingest]'"
FAINT_SCORE = 0.2
"""The least detection score in a manual box: a person has said that a face is there."""
GLANCE_PX = 320
"""The long side of a picture that is looked at to see which way is up."""


@dataclass(frozen=True)
class Engine:
    """A loaded model: its functions, which several threads may call at once, and its description.

    detect: a decoded picture (height, width, 3) -> detections in its own pixels, best first.
    embed: aligned faces, each (112, 112, 3) -> (n, dimensions), any length.
    align: a picture and landmarks (full-size pixels) -> an aligned face (112, 112, 3).
    detect_faint: as detect, but from FAINT_SCORE on; None where a model cannot do that.
    detect_quickly: as detect, at GLANCE_PX, which tells the best score alone; None where a model cannot
    do that: then no picture is turned, and no tilted face looked at again.
    upright_score: of a face that stands upright; one with less is looked at again, it may be tilted.
    """

    info: ModelInfo
    detect: Callable[[RgbArray], list[Detection]]
    embed: Callable[[list[RgbArray]], FloatArray]
    align: Callable[[Picture, Landmarks], RgbArray] = field(default=crop.align_face)
    detect_faint: Callable[[RgbArray], list[Detection]] | None = None
    detect_quickly: Callable[[RgbArray], list[Detection]] | None = None
    upright_score: float = 0.0


class FaceModel(ABC):
    """A face model by its id: light to create, `load` does the work.

    Instances are pickled to worker processes, so they hold plain values only.
    """

    id: str
    name: str
    dimensions: int | None = None
    """Known without loading; None where only the weights tell."""
    threshold: float
    licence: str
    commercial: bool = False
    """Whether the licence of the weights allows commercial use."""
    detect_px: int = 640
    """Long side of the picture that the detector sees."""

    @abstractmethod
    def load(self) -> Engine:
        """Load the weights; one onnxruntime thread. Raises ModelError."""

    def missing(self) -> str | None:
        """Why the model cannot be loaded here as things are, in one line with the mend; or None."""
        return None

    def fetch(self) -> None:
        """Download weights that are missing, where that can be done. Raises ModelError."""
        if reason := self.missing():
            raise MissingWeights(reason)


def check_weights(info: ModelInfo, loaded: ModelInfo | None) -> None:
    """Refuse a model whose vectors differ from those in a file. Raises WrongWeights.

    info: what the file knows of the model; loaded: what the model is here.
    """
    if loaded is None or info.weights_sha256 != loaded.weights_sha256:
        raise WrongWeights(
            f"The weights of {info.id} here are not those that made this file's embeddings; install "
            "the same ones, name their folder (--model FOLDER), or use another model of the file"
        )
