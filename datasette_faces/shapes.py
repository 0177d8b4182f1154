"""The values that pass between modules: frozen, typed, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RgbArray: TypeAlias = npt.NDArray[np.uint8]
"""A picture: (height, width, 3), red-green-blue, 0..255."""

FloatArray: TypeAlias = npt.NDArray[np.float32]

IdArray: TypeAlias = npt.NDArray[np.int64]
"""Ids of faces: (n,)."""

Landmarks: TypeAlias = FloatArray
"""(5, 2) pixels: right eye, left eye, nose, right and left mouth corner.

Right and left are the person's own: the right eye is the one nearer to the picture's left edge
in a frontal face.
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was found: its path as text, and as bytes where it is not UTF-8."""

    path: str
    size_bytes: int
    modified_ns: int
    path_bytes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in pixels of the upright, full-size picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Area:
    """A bounding box in parts (0..1) of the upright picture's width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Detection:
    """A face as the detector found it; score 0..1."""

    box: Box
    landmarks: Landmarks
    score: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face looks, in degrees; 0, 0, 0 is straight into the camera.

    yaw > 0: towards the picture's right; pitch > 0: up; roll > 0: clockwise.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face, measured: where it is, how good it is, its crop (JPEG) and embedding (unit length)."""

    detection: Detection
    sharpness: float
    pose: Pose
    crop: bytes
    embedding: FloatArray


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face that a model sees in a picture: where, and its embedding (unit length)."""

    area: Area
    embedding: FloatArray


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph's facts, sizes in upright full-size pixels, and its thumbnail (JPEG).

    damage: what of its picture could not be read, in words; None where all of it could. turned: by how
    many degrees clockwise (0, 90, 180, 270) it has to be turned for its faces to stand upright.
    """

    width: int
    height: int
    format: str
    taken_at: str | None
    camera: str | None
    latitude: float | None
    longitude: float | None
    thumbnail: bytes
    damage: str | None = None
    turned: int = 0


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that was found in one photograph."""

    photo: Photo
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class ManualBox:
    """A box that a person drew round a face, in pixels of the upright, full-size photo.

    other_boxes: of the photo's other faces. landmarks: (5, 2), as another model saw them. turned: as of
    the photo.
    """

    box: Box
    other_boxes: tuple[Box, ...] = ()
    landmarks: Landmarks | None = None
    turned: int = 0


@dataclass(frozen=True, slots=True)
class QueryAnalysis:
    """The analysis of a query photo; reason: why it has no face, None where it has one."""

    analysis: Analysis = field(repr=False)
    reason: str | None


@dataclass(frozen=True, slots=True)
class Match:
    """A face that resembles a query; similarity is the cosine, -1..1."""

    face_id: int
    similarity: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a database remembers of the model that made its embeddings.

    threshold: the cosine similarity from which two faces count as one person, as the model's
    publisher documents it. weights_sha256: of all its weight files together.
    """

    id: str
    name: str
    dimensions: int
    threshold: float
    licence: str
    weights_sha256: str
