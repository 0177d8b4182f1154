"""The one path of every face: bytes → decode → detect → align → embed. No SQL, no processes.

Ingest, uploads and the commands all call `analyse`, so that a photo finds itself.
"""

from __future__ import annotations

import numpy as np

from . import geometry, images, vectors
from .images import Picture
from .models.base import Engine
from .shapes import Analysis, Box, Detection, Face, FloatArray, Photo

MIN_FACE_PX = 20
"""Shorter side of a face that is kept, in full-size pixels."""


def analyse(
    data: bytes, engine: Engine, *, detect_px: int, min_face_px: float = MIN_FACE_PX
) -> Analysis:
    """Find, measure and embed the faces of one picture, the largest first.

    data: the bytes of an image file. Raises PictureError.
    """
    picture = images.decode(data, at_least_px=max(detect_px, images.THUMBNAIL_PX))
    found = [_full_size(item, picture) for item in engine.detect(picture.pixels())]
    kept = [item for item in found if min(item.box.width, item.box.height) >= min_face_px]
    kept.sort(key=lambda item: item.box.width * item.box.height, reverse=True)
    photo = _photo(picture)
    larger_px = images.at_least_px_for([item.box for item in kept], picture)
    if larger_px:
        del picture
        images.return_memory()
        picture = images.decode(data, at_least_px=larger_px)
    return Analysis(photo, _faces(picture, kept, engine))


def _faces(picture: Picture, detections: list[Detection], engine: Engine) -> tuple[Face, ...]:
    if not detections:
        return ()
    aligned = [engine.align(picture, item.landmarks) for item in detections]
    embeddings: FloatArray = vectors.normalise(engine.embed(aligned).astype(np.float32))
    return tuple(
        Face(
            detection=item,
            sharpness=images.sharpness(face_rgb),
            pose=geometry.head_pose(item.landmarks),
            crop=images.crop(picture, item.landmarks),
            embedding=embedding,
        )
        for item, face_rgb, embedding in zip(detections, aligned, embeddings, strict=True)
    )


def _full_size(detection: Detection, picture: Picture) -> Detection:
    """A detection in decoded pixels, in pixels of the full-size picture, cut at its edges."""
    scale, box = picture.scale, detection.box
    left, top = max(box.x / scale, 0.0), max(box.y / scale, 0.0)
    right = min((box.x + box.width) / scale, float(picture.width))
    bottom = min((box.y + box.height) / scale, float(picture.height))
    landmarks = (detection.landmarks / scale).astype(np.float32)
    return Detection(Box(left, top, right - left, bottom - top), landmarks, detection.score)


def _photo(picture: Picture) -> Photo:
    exif = picture.exif
    return Photo(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        taken_at=exif.taken_at,
        camera=exif.camera,
        latitude=exif.latitude,
        longitude=exif.longitude,
        thumbnail=images.thumbnail(picture),
    )
