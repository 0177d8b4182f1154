"""The faces that a model sees in a picture in any of its four orientations: boxes and embeddings alone.

For pictures that may have been turned, and that are small. Photos are analysed in `pipeline`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..algorithms import geometry, vectors
from ..algorithms.quarter_turns import TURNS, turn_area
from ..media.decode import Picture, decode_picture
from ..shapes import Sighting
from .base import Engine
from .tilted import look_again


def see_in_all_orientations(data: bytes, engine: Engine) -> tuple[Sighting, ...]:
    """All faces that a model sees in a picture upright, lying on either side, and upside down.

    data: the bytes of an image file. Raises PictureError.
    """
    picture = decode_picture(data)
    return tuple(sighting for turned in TURNS for sighting in _see(picture, engine, turned))


def _see(picture: Picture, engine: Engine, turned: int) -> Iterator[Sighting]:
    picture = picture.turn(turned)
    found = engine.detect(picture.pixels())
    if not found:
        return
    # Landmarks are those of a picture in full size
    picture = replace(picture, width=picture.size[0], height=picture.size[1], scale=1.0)
    # Whoever is tilted is known by landmarks of a second look, where the picture is large enough for it
    again = (look_again(picture, item, engine, 0) for item in found)
    found = found + [
        second for first, second in zip(found, again, strict=True) if second is not first
    ]
    aligned = [engine.align(picture, item.landmarks) for item in found]
    embeddings = vectors.normalise(engine.embed(aligned).astype(np.float32))
    for item, embedding in zip(found, embeddings, strict=True):
        area = geometry.area_of(item.box, picture.width, picture.height)
        yield Sighting(turn_area(area, -turned % 360), embedding)
