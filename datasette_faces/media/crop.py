"""Small pictures of photos and faces: thumbnails, crops, aligned faces.

Boxes and landmarks are in pixels of the upright, full-size picture. No models, no SQL.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..algorithms import geometry
from ..shapes import Box, FloatArray, Landmarks, RgbArray
from .decode import Picture

THUMBNAIL_PX = 640
CROP_PX = 160
CROP_MARGIN_PX = (CROP_PX - geometry.ALIGNED_PX) / 2
CROP_TEMPLATE: FloatArray = geometry.ARCFACE_TEMPLATE + np.float32(CROP_MARGIN_PX)
"""Where the landmarks of a face are in its crop: (5, 2)."""
OUTSIDE_RGB = (232, 236, 241)
"""The colour of a crop outside its photo: the background on which pages show crops, so it is no part of
the picture. A mean colour looks like something that was covered, a mirrored edge like half a face more."""
JPEG_QUALITY = 82
JPEG_END = b"\xff\xd9"
FACE_DECODED_PX = 112
"""A face is decoded at least this large, if the file has that many pixels of it."""


def choose_larger_px(faces: Sequence[Box], picture: Picture) -> int | None:
    """The long side at which to decode a picture again for sharp faces; None if it is large enough."""
    if picture.scale == 1.0 or not faces:
        return None
    smallest = min(min(box.width, box.height) for box in faces)
    scale = min(1.0, FACE_DECODED_PX / smallest)
    if scale <= picture.scale:
        return None
    return math.ceil(scale * max(picture.width, picture.height))


def make_thumbnail(picture: Picture) -> bytes:
    """A JPEG of the whole picture, its long side at most THUMBNAIL_PX."""
    return encode_jpeg(picture.shrink(THUMBNAIL_PX, Image.Resampling.LANCZOS))


def crop_face(picture: Picture, landmarks: Landmarks) -> bytes:
    """A JPEG of a face, rotated upright, with a margin, CROP_PX wide and high."""
    return encode_jpeg(_warp(picture, landmarks, CROP_TEMPLATE, CROP_PX, outside=OUTSIDE_RGB))


def onto_crop(landmarks: Landmarks) -> FloatArray:
    """The (2, 3) matrix from a photo onto the crop of the face that has these landmarks there."""
    return geometry.similarity_transform(landmarks, CROP_TEMPLATE)


def align_face(picture: Picture, landmarks: Landmarks) -> RgbArray:
    """A face on ArcFace's template: (112, 112, 3)."""
    return np.asarray(_warp(picture, landmarks, geometry.ARCFACE_TEMPLATE, geometry.ALIGNED_PX))


def cut_turned(
    picture: Picture, landmarks: Landmarks, target: FloatArray, side_px: int
) -> tuple[RgbArray, FloatArray]:
    """A square of a picture in which landmarks fall on a target, and the (2, 3) matrix onto it.

    landmarks, target: (5, 2). The matrix takes pixels of the full-size picture.
    """
    cut = np.asarray(_warp(picture, landmarks, target, side_px))
    return cut, geometry.similarity_transform(landmarks, target)


def _warp(
    picture: Picture,
    landmarks: Landmarks,
    target: FloatArray,
    side_px: int,
    *,
    outside: tuple[int, int, int] = (0, 0, 0),
) -> Image.Image:
    """Sample a picture so that landmarks fall on a target; `outside` is the colour beyond its edges."""
    source = landmarks * np.float32(picture.scale)
    inverse = geometry.invert_transform(geometry.similarity_transform(source, target))
    left, top, right, bottom = _bound_region(inverse, picture, side_px)
    if right <= left or bottom <= top:
        return Image.new("RGB", (side_px, side_px), outside)
    region = picture.crop_region(left, top, right, bottom)
    # Bilinear sampling alone would skip pixels of a large face: reduce it until it does not
    shrink = max(1, int(math.hypot(*inverse[:, 0])))
    if shrink > 1:
        region = region.reduce(shrink)
    inverse[:, 2] -= (left, top)
    inverse /= shrink
    coefficients = tuple(float(value) for value in inverse.ravel())
    return region.transform(
        (side_px, side_px),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BILINEAR,
        fillcolor=outside,
    )


def find_source_region(
    matrix: FloatArray, picture: Picture, side_px: int
) -> tuple[int, int, int, int]:
    """The part of a picture (decoded pixels) that a transform onto a square of side_px reads."""
    return _bound_region(geometry.invert_transform(matrix), picture, side_px)


def _bound_region(inverse: FloatArray, picture: Picture, side_px: int) -> tuple[int, int, int, int]:
    corners = geometry.transform_points(
        inverse, np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float32)
    )
    left, top = (int(value) - 2 for value in np.floor(corners.min(axis=0)))
    right, bottom = (int(value) + 2 for value in np.ceil(corners.max(axis=0)))
    width, height = picture.size
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def measure_sharpness(aligned: RgbArray) -> float:
    """Variance of the Laplacian of an aligned face: below about 30 it is blurred or very small."""
    grey = aligned.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    return float(laplacian.var())


def encode_jpeg(image: Image.Image) -> bytes:
    """A JPEG without metadata."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=False)
    return out.getvalue()


def is_whole_jpeg(data: object) -> bool:
    """Whether this has the head and the end of a JPEG: much quicker than decoding it."""
    if not isinstance(data, bytes) or not data.rstrip(b"\0").endswith(JPEG_END):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            return min(picture.size) > 0
    except (OSError, ValueError, SyntaxError):
        return False


def is_decodable(data: bytes) -> bool:
    """Whether all of a stored thumbnail or crop can be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True
