"""The adapter for InsightFace's packs, by name or by folder, through the `insightface` package.

The package finds which file is what, and detects and aligns as `FaceAnalysis` does; only the shape
of the detector's input and the batches are ours.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..algorithms import geometry
from ..errors import MissingExtra, MissingWeights, ModelError
from ..media import crop
from ..media.decode import Picture
from ..shapes import Box, Detection, FloatArray, Landmarks, ModelInfo, RgbArray
from .base import EXTRA_MEND, FAINT_SCORE, GLANCE_PX, Engine, FaceModel

LOOKS_PX = (128, 640)
"""Long sides of the detector's input: `DEFAULT_DET_SIZES` of insightface 2.1."""
STRIDE = 32
PADDING_PX = 64
"""Kept beside a picture in the detector's input; a square, as `FaceAnalysis` makes, costs more."""
BORDER_FACES = 0.25
"""A face nearer to the padding than this share of its own size is looked at again in a square."""
PACK_LICENCE = "non-commercial research only (insightface.ai)"
PACKS = ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")


class InsightFacePack(FaceModel):
    """A pack of InsightFace: a detector and a recogniser in a folder of ONNX files."""

    # InsightFace Server's README gives cosine 0.408 at FAR 1e-6 for buffalo_l
    threshold = 0.408
    licence = PACK_LICENCE
    commercial = False

    def __init__(self, name: str, folder: str | None = None) -> None:
        """A published pack by its name, or any pack by its folder, whose name is then its id."""
        self.id = Path(folder).resolve().name if folder else name
        self.name = f"InsightFace pack {self.id}"
        self.folder = str(Path(folder).resolve()) if folder else str(_get_packs_folder() / name)
        self.published = folder is None
        self.dimensions = 512 if self.published else None

    def missing(self) -> str | None:
        absent = [name for name in ("insightface", "onnxruntime") if find_spec(name) is None]
        if absent:
            return f"the model {self.id} needs {' and '.join(absent)}: {EXTRA_MEND}"
        if not any(Path(self.folder).glob("*.onnx")):
            if self.published:
                return f"{self.id} is not installed yet; it is downloaded when an ingest names it"
            return f"the folder of {self.id} holds no model pack (*.onnx)"
        return None

    def fetch(self) -> None:
        """Download a published pack, once, as its user asked. Raises ModelError."""
        reason = self.missing()
        if reason is None:
            return
        if not self.published or find_spec("insightface") is None:
            raise MissingWeights(reason)
        _import_insightface()
        from insightface.utils.storage import ensure_available

        try:
            ensure_available("models", self.id, root=str(_get_packs_folder().parent))
        except Exception as error:
            raise MissingWeights(
                f"The pack {self.id} could not be downloaded ({type(error).__name__}); where there "
                f"is a network, download {self.id}.zip from InsightFace's releases, unpack it and "
                f"pass --model FOLDER"
            ) from error

    def load(self) -> Engine:
        if reason := self.missing():
            raise MissingWeights(reason)
        face_analysis = _import_insightface()
        try:
            pack = self._open_pack(face_analysis)
            recogniser = pack.models["recognition"]
            assert tuple(recogniser.input_size) == (geometry.ALIGNED_PX, geometry.ALIGNED_PX)
        except (AssertionError, KeyError):
            raise ModelError(
                f"The pack {self.id} holds no detector and recogniser that InsightFace knows"
            ) from None
        except Exception as error:
            raise ModelError(f"The pack {self.folder} cannot be loaded: {error}") from error
        return Engine(
            info=self._describe(recogniser),
            detect=lambda image_rgb: detect(pack.det_model, image_rgb),
            embed=lambda faces: embed(recogniser, faces),
            align=align,
            detect_faint=lambda image_rgb: detect_faint(pack.det_model, image_rgb),
            detect_quickly=lambda image_rgb: detect(pack.det_model, image_rgb, (GLANCE_PX,)),
        )

    def _open_pack(self, face_analysis: Any) -> Any:
        """The pack as `FaceAnalysis` opens it, one onnxruntime thread."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # see onnx_graphs.open_session
        pack = face_analysis(
            name=self.folder,
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
            static_shape_sessions=False,
        )
        pack.prepare(ctx_id=-1)
        return pack

    def _describe(self, recogniser: Any) -> ModelInfo:
        probe = np.zeros((geometry.ALIGNED_PX, geometry.ALIGNED_PX, 3), np.uint8)
        digest = hashlib.sha256()
        for file in sorted(Path(self.folder).glob("*.onnx")):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return ModelInfo(
            id=self.id,
            name=self.name,
            dimensions=embed(recogniser, [probe]).shape[1],
            threshold=self.threshold,
            licence=self.licence,
            weights_sha256=digest.hexdigest(),
        )


def is_pack(folder: str) -> bool:
    """Whether a folder holds ONNX files, as a pack does."""
    return os.path.isdir(folder) and any(Path(folder).glob("*.onnx"))


def _get_packs_folder() -> Path:
    return Path("~/.insightface/models").expanduser()


def _import_insightface() -> Any:
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise MissingExtra(
            f"InsightFace cannot be imported here ({error}); where libGL is missing: "
            "pip install --force-reinstall opencv-python-headless, or use --model sface"
        ) from error
    return FaceAnalysis


def detect(
    detector: Any, image_rgb: RgbArray, looks_px: Sequence[int] = LOOKS_PX
) -> list[Detection]:
    """Find faces in a picture (height, width, 3); boxes and landmarks in its pixels, best first."""
    image_bgr = np.ascontiguousarray(image_rgb[:, :, ::-1])
    height, width = image_rgb.shape[:2]
    found, landmarks = detector.detect(image_bgr, input_size=_input_sizes(width, height, looks_px))
    if _touches_padding(found, width, height):
        squares = [(long_px, long_px) for long_px in looks_px]
        found, landmarks = detector.detect(image_bgr, input_size=squares)
    if landmarks is None:
        raise ModelError("The pack's detector gives no landmarks; without them no face is aligned")
    return [
        Detection(
            box=Box(float(left), float(top), float(right - left), float(bottom - top)),
            landmarks=points.astype(np.float32),
            score=float(score),
        )
        for (left, top, right, bottom, score), points in zip(found, landmarks, strict=True)
    ]


def detect_faint(detector: Any, image_rgb: RgbArray) -> list[Detection]:
    """As `detect`, from FAINT_SCORE on."""
    before, detector.det_thresh = detector.det_thresh, FAINT_SCORE
    try:
        return detect(detector, image_rgb)
    finally:
        detector.det_thresh = before


def _input_sizes(width: int, height: int, looks_px: Sequence[int]) -> list[tuple[int, int]]:
    """Inputs (width, height) that give a picture the scale that a square would, with less padding."""
    sizes = []
    for long_px in looks_px:
        short_px = long_px * min(width, height) // max(width, height) + PADDING_PX
        short_px = min(long_px, -(-short_px // STRIDE) * STRIDE)
        sizes.append((long_px, short_px) if width >= height else (short_px, long_px))
    return sizes


def _touches_padding(found: FloatArray, width: int, height: int) -> bool:
    """Whether a face lies so near to the padded side that the padding's size could move it."""
    near, far, end = (1, 3, height) if width >= height else (0, 2, width)
    return bool((end - found[:, far] < BORDER_FACES * (found[:, far] - found[:, near])).any())


def embed(recogniser: Any, faces: list[RgbArray]) -> FloatArray:
    """Embed aligned faces, in one batch where the graph allows it: (n, dimensions)."""
    faces_bgr = [np.ascontiguousarray(face[:, :, ::-1]) for face in faces]
    if recogniser.input_shape[0] == 1:
        return np.concatenate([recogniser.get_feat(face) for face in faces_bgr])
    vectors: FloatArray = recogniser.get_feat(faces_bgr)
    return vectors


def align(picture: Picture, landmarks: Landmarks) -> RgbArray:
    """A face on ArcFace's template, sampled as `FaceAnalysis` samples it."""
    import cv2

    matrix = geometry.similarity_transform(landmarks * picture.scale, geometry.ARCFACE_TEMPLATE)
    side_px = geometry.ALIGNED_PX
    left, top, right, bottom = crop.find_source_region(matrix, picture, side_px)
    if right <= left or bottom <= top:
        return np.zeros((side_px, side_px, 3), np.uint8)
    region = np.asarray(picture.crop_region(left, top, right, bottom))
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    aligned = cv2.warpAffine(region, matrix, (side_px, side_px), borderValue=0.0)
    return np.asarray(aligned, dtype=np.uint8)
