"""Pictures whose end is lost: the pixels that are there, and which ones are not.

So a picture is decoded twice, onto black and onto white, or with two fillings in the place of what is
missing: where both results are the same, it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from ..errors import BrokenPicture

MaskArray = npt.NDArray[np.bool_]

MIN_SHARE = 0.6
"""A picture of which less can be read is refused: the better half of a portrait has its face."""
FILLINGS = (0, 170, 85, 1, 254)
MISSING_GREY = 128
_FAINT = 2
"""How far the grey that libjpeg gives for what is missing may be from 128, in any colour space."""


@dataclass(frozen=True)
class PartlyLoaded:
    """A picture, decoded as far as it can be. missing: (height, width), where not; None: nowhere."""

    image: Image.Image
    missing: MaskArray | None


def load_partly(open_picture: Callable[[], Image.Image]) -> PartlyLoaded:
    """Decode all that can be decoded of a picture, by a decoder that leaves what it had when it fails."""
    dark, light = (_load_over(open_picture(), value) for value in (0, 255))
    differs = np.asarray(dark) != np.asarray(light)
    missing = differs.any(axis=2) if differs.ndim == 3 else differs
    return PartlyLoaded(light, missing)


def load_filled(open_filled: Callable[[int], Image.Image]) -> PartlyLoaded | None:
    """Decode a picture whose missing bytes are filled: from where two fillings differ, it is missing.

    open_filled: opens it, filled with a value. For a decoder that fails as a whole, for some values always;
    None where it does for all. What but one gives cannot be compared: no row is known to be missing.
    """
    loaded: list[Image.Image] = []
    for value in FILLINGS:
        with suppress(Exception):
            image = open_filled(value)
            image.load()
            loaded.append(image)
        if len(loaded) == 2:
            break
    if not loaded:
        return None
    one, other = np.asarray(loaded[0]), np.asarray(loaded[-1])
    missing = np.zeros(one.shape[:2], np.bool_)
    differs = np.flatnonzero((one != other).any(axis=(1, 2)))
    missing[differs[0] if len(differs) else len(missing) :] = True
    return PartlyLoaded(loaded[0], missing)


def _load_over(image: Image.Image, value: int) -> Image.Image:
    if isinstance(image, ImageFile.ImageFile) and image.tile:
        # A turned TIFF has another size before it is turned
        size = getattr(image, "_tile_size", image.size)
        bands = len(image.getbands())
        image.im = Image.new(image.mode, size, value if bands == 1 else (value,) * bands).im
    with suppress(Exception):  # a decoder raises anything for broken bytes
        image.load()
    if isinstance(image, ImageFile.ImageFile):
        image.tile = []
    # A decoder that failed has not turned the TIFF
    return image if image.im.size == image.size else image._new(image.im)


def find_grey_rows(image: Image.Image) -> MaskArray:
    """Where a JPEG was not decoded: the rows at its end that are all of the grey of no data."""
    values = np.asarray(image)
    flat = np.abs(values.astype(np.int16) - MISSING_GREY).reshape(len(values), -1).max(axis=1)
    present = np.flatnonzero(flat > _FAINT)
    missing = np.zeros(values.shape[:2], np.bool_)
    missing[present[-1] + 1 if len(present) else 0 :] = True
    return missing


def ends_grey(image: Image.Image) -> bool:
    """Whether the end of a JPEG may be missing: its last pixel has the grey of no data."""
    width, height = image.size
    extrema = image.crop((width - 1, height - 1, width, height)).getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(
        MISSING_GREY - _FAINT <= value <= MISSING_GREY + _FAINT for it in pairs for value in it
    )


def cover_missing(image: Image.Image, missing: MaskArray) -> str:
    """Make what is missing of an RGB picture grey; returns a note on it. Raises BrokenPicture."""
    share = float(missing.mean())
    if 1 - share < MIN_SHARE:
        raise BrokenPicture(
            f"the picture is damaged: {100 * (1 - share):.0f} % of it can be read, "
            f"and {100 * MIN_SHARE:.0f} % are needed"
        )
    image.paste((MISSING_GREY,) * 3, mask=Image.fromarray(missing))
    lost = f"{100 * share:.0f} % of it" if share >= 0.005 else "its end"
    return f"the picture is damaged: {lost} cannot be read"
