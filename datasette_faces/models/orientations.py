"""The faces that a model sees in a picture in any of its four orientations: boxes and embeddings alone.

For pictures that may have been turned, and that are small. Photos are analysed in `pipeline`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from ..algorithms import geometry, vectors
from ..media.decode import Picture, decode_picture
from ..media.exif import Exif
from ..shapes import Area, Sighting
from .base import Engine

QUARTER_TURNS = (
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
)
"""What turns a picture by so many quarters counter-clockwise."""


def see_in_all_orientations(data: bytes, engine: Engine) -> tuple[Sighting, ...]:
    """All faces that a model sees in a picture upright, lying on either side, and upside down.

    data: the bytes of an image file. Raises PictureError.
    """
    picture = decode_picture(data)
    return tuple(
        sighting for turns in range(len(QUARTER_TURNS)) for sighting in _see(picture, engine, turns)
    )


def _see(picture: Picture, engine: Engine, turns: int) -> Iterator[Sighting]:
    turned = _turn(picture, turns)
    found = engine.detect(turned.pixels())
    if not found:
        return
    aligned = [engine.align(turned, item.landmarks) for item in found]
    embeddings = vectors.normalise(engine.embed(aligned).astype(np.float32))
    for item, embedding in zip(found, embeddings, strict=True):
        area = geometry.area_of(item.box, turned.width, turned.height)
        yield Sighting(_turn_back(area, turns), embedding)


def _turn(picture: Picture, turns: int) -> Picture:
    """A picture turned counter-clockwise by so many quarters, at its decoded size."""
    image, how = picture.image, QUARTER_TURNS[turns]
    image = image.transpose(how) if how is not None else image
    return replace(
        picture, decoded=image, width=image.width, height=image.height, scale=1.0, exif=Exif()
    )


def _turn_back(area: Area, turns: int) -> Area:
    """An area of a turned picture, in the picture as it was."""
    for _ in range(turns):
        # Counter-clockwise, what was at the right edge is at the top
        area = Area(1 - area.y - area.height, area.x, area.height, area.width)
    return area
