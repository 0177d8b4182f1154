"""The one path of every face: bytes → decode → detect → align → embed. No SQL, no processes.

Ingest, uploads and the commands all call `analyse`, so that a photo finds itself.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..algorithms import geometry, vectors
from ..algorithms.quarter_turns import turn_landmarks, undo_turn
from ..media import crop
from ..media.decode import Picture, decode_picture, release_memory
from ..shapes import (
    Analysis,
    Box,
    Detection,
    Face,
    FloatArray,
    Landmarks,
    Photo,
    QueryAnalysis,
)
from .base import Engine
from .tilted import look_again
from .which_way_up import find_turn

MIN_FACE_PX = 20
"""Shorter side of a face that is kept, in full-size pixels."""
DARK = 20
"""Mean brightness, 0..255. Measured: sface loses the faces of `tests/pictures.py` from 6 downwards;
noise makes dark photographs worse than these."""


def analyse_query(
    data: bytes,
    engine: Engine,
    *,
    detect_px: int,
    min_face_px: float = MIN_FACE_PX,
    max_pixels: int | None = None,
) -> QueryAnalysis:
    """Analyse a query photo, and say why it has no face where it has none. Raises PictureError."""
    found = analyse(
        data, engine, detect_px=detect_px, min_face_px=min_face_px, max_pixels=max_pixels
    )
    if found.faces:
        return QueryAnalysis(found, None)
    # The same picture that `analyse` looked at: it was within the limits
    picture = decode_for_detector(data, detect_px=detect_px)
    reason = explain_no_face(picture, engine, detect_px, min_face_px)
    return QueryAnalysis(found, "; ".join(filter(None, (reason, picture.damage))))


def analyse(
    data: bytes,
    engine: Engine,
    *,
    detect_px: int,
    min_face_px: float = MIN_FACE_PX,
    max_pixels: int | None = None,
) -> Analysis:
    """Find, measure and embed the faces of one picture, the largest first.

    data: the bytes of an image file. Raises PictureError.
    """
    picture = decode_for_detector(data, detect_px=detect_px, max_pixels=max_pixels)
    turned = find_turn(picture, engine)
    found = _detect_turned(picture, engine, turned)
    kept = [item for item in found if min(item.box.width, item.box.height) >= min_face_px]
    kept.sort(key=lambda item: item.box.width * item.box.height, reverse=True)
    photo = _describe_photo(picture, turned)
    larger_px = crop.choose_larger_px([item.box for item in kept], picture)
    if larger_px:
        del picture
        picture = decode_larger(data, larger_px, max_pixels=max_pixels)
    straight = [look_again(picture, item, engine, turned) for item in kept]
    return Analysis(photo, measure_faces(picture, straight, engine, turned))


def make_thumbnail_and_crops(
    data: bytes, boxes: list[Box], landmarks: list[Landmarks]
) -> tuple[bytes, list[bytes]]:
    """Make the thumbnail of a picture and the crops of some of its faces, as `analyse` does.

    data: the bytes of an image file. boxes: of all its faces. landmarks: (5, 2) of each face to
    crop; both in pixels of the full-size picture. Raises PictureError.
    """
    picture = decode_for_detector(data, detect_px=crop.THUMBNAIL_PX)
    thumbnail = crop.make_thumbnail(picture)
    larger_px = crop.choose_larger_px(boxes, picture)
    if larger_px:
        del picture
        picture = decode_larger(data, larger_px)
    return thumbnail, [crop.crop_face(picture, points) for points in landmarks]


def measure_placed(
    data: bytes, engine: Engine, placed: list[Detection], *, detect_px: int
) -> tuple[Face, ...]:
    """Measure and embed faces whose landmarks are known, whether the detector sees them or not.

    data: the bytes of an image file. placed: in pixels of the full-size picture. Raises PictureError.
    """
    picture = decode_for_detector(data, detect_px=detect_px)
    larger_px = crop.choose_larger_px([item.box for item in placed], picture)
    if larger_px:
        del picture
        picture = decode_larger(data, larger_px)
    return measure_faces(picture, placed, engine, find_turn(picture, engine))


def decode_for_detector(data: bytes, *, detect_px: int, max_pixels: int | None = None) -> Picture:
    """Decode a picture as large as the detector and the thumbnail need it. Raises PictureError."""
    min_long_px = max(detect_px, crop.THUMBNAIL_PX)
    return decode_picture(data, min_long_px=min_long_px, max_pixels=max_pixels)


def decode_larger(data: bytes, larger_px: int, *, max_pixels: int | None = None) -> Picture:
    """Decode the picture larger, after releasing the smaller one's memory. Raises PictureError."""
    release_memory()
    return decode_picture(data, min_long_px=larger_px, max_pixels=max_pixels)


def explain_no_face(picture: Picture, engine: Engine, detect_px: int, min_face_px: float) -> str:
    """Explain to a person why no face of a picture was kept, and what to do about it."""
    found = _detect_turned(picture, engine, find_turn(picture, engine))
    if found:
        largest_px = max(min(item.box.width, item.box.height) for item in found)
        return f"the face is too small: {int(largest_px)} px; {min_face_px:g} are needed"
    small = picture.shrink(detect_px, Image.Resampling.BILINEAR)
    if np.asarray(small.convert("L")).mean() < DARK:
        return "the picture is too dark: take a brighter one"
    return "no face was found"


def _detect_turned(picture: Picture, engine: Engine, turned: int) -> list[Detection]:
    """The faces of a picture that is looked at turned, in pixels of the full-size one as it is."""
    upright = picture.turn(turned)
    found = (_scale_to_full_size(item, upright) for item in engine.detect(upright.pixels()))
    return [undo_turn(item, turned, upright.width, upright.height) for item in found]


def measure_faces(
    picture: Picture, detections: list[Detection], engine: Engine, turned: int = 0
) -> tuple[Face, ...]:
    """Align, embed and crop the detected faces, in the same order.

    detections: in pixels of the full-size picture. turned: by how many degrees clockwise it has to be
    turned, for the pose of a head. Embeddings have unit length.
    """
    if not detections:
        return ()
    aligned = [engine.align(picture, item.landmarks) for item in detections]
    embeddings: FloatArray = vectors.normalise(engine.embed(aligned).astype(np.float32))
    return tuple(
        Face(
            detection=item,
            sharpness=crop.measure_sharpness(face_rgb),
            pose=geometry.head_pose(
                turn_landmarks(item.landmarks, turned, picture.width, picture.height)
            ),
            crop=crop.crop_face(picture, item.landmarks),
            embedding=embedding,
        )
        for item, face_rgb, embedding in zip(detections, aligned, embeddings, strict=True)
    )


def _scale_to_full_size(detection: Detection, picture: Picture) -> Detection:
    """A detection in decoded pixels, in pixels of the full-size picture, cut at its edges."""
    scale, box = picture.scale, detection.box
    left, top = max(box.x / scale, 0.0), max(box.y / scale, 0.0)
    right = min((box.x + box.width) / scale, float(picture.width))
    bottom = min((box.y + box.height) / scale, float(picture.height))
    landmarks = (detection.landmarks / scale).astype(np.float32)
    return Detection(Box(left, top, right - left, bottom - top), landmarks, detection.score)


def _describe_photo(picture: Picture, turned: int) -> Photo:
    exif = picture.exif
    return Photo(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        taken_at=exif.taken_at,
        camera=exif.camera,
        latitude=exif.latitude,
        longitude=exif.longitude,
        thumbnail=crop.make_thumbnail(picture),
        damage=picture.damage,
        turned=turned,
    )
