"""Opened pictures to RGB pixels, as they are stored: of any mode, and what is there of damaged ones."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, JpegImagePlugin

from ..errors import BrokenPicture
from ..shapes import RgbArray
from . import lost_ends, partial
from .jpeg_scans import JpegScans, count_restarts, find_zeroed_block
from .jpeg_verify import END
from .opened import OpenedPicture
from .partial import PartlyLoaded
from .tiff_picture import decode_samples, lab_to_rgb
from .tones import to_8_bits

PARTLY_READ = ("PNG", "TIFF", "BMP")
"""Formats whose decoders, when they fail, leave the rows that they had decoded."""
LEFTOVER_BYTES = 8
"""The last codes of a JPEG; if all rows are there without them, codes before them are wrong."""

FILLINGS = (bytes(1024), b"\x55" * 1024)
"""Codes in the place of missing ones: the rows that they make differ."""


def load_rgb(opened: OpenedPicture) -> tuple[Image.Image, str | None]:
    """The pixels of an opened picture, RGB, and a note if some of them are missing (grey then).

    Raises BrokenPicture if too many are, or what the decoder raises if it leaves nothing.
    """
    if opened.page:
        image, missing = decode_samples(opened.data, opened.page)
    else:
        part = _load_jpeg(opened, opened.scans) if opened.scans else _load(opened)
        image, missing = part.image, part.missing
    rgb = convert_to_rgb(image)
    return rgb, None if missing is None else partial.cover_missing(rgb, missing)


def _load_jpeg(opened: OpenedPicture, scans: JpegScans) -> PartlyLoaded:
    """A JPEG, and what of it is missing, whether its decoder notices it or not."""
    image, full_size = opened.image, opened.size
    image.load()
    block = find_zeroed_block(opened.data, scans) if scans.is_one_scan else None
    if opened.is_cut or (scans.is_progressive and not scans.is_refined):
        if _has_all_codes(opened, scans, full_size):
            return PartlyLoaded(image, np.zeros((image.height, image.width), np.bool_))
        return PartlyLoaded(image, partial.find_grey_rows(image))
    if block is None and not partial.ends_grey(image):
        return PartlyLoaded(image, None)
    is_lost = block is not None and not scans.has_zeros
    if scans.interval or not scans.is_one_scan:
        is_lost |= scans.is_one_scan and _lacks_restarts(opened, scans, full_size)
        return PartlyLoaded(image, partial.find_grey_rows(image) if is_lost else None)
    if not is_lost and not _is_garbled(opened.data, scans):
        return PartlyLoaded(image, None)
    until = image if block is None else _reopen(opened.data[:block] + END, image.size)
    return PartlyLoaded(until, partial.find_grey_rows(until))


def _has_all_codes(opened: OpenedPicture, scans: JpegScans, full_size: tuple[int, int]) -> bool:
    """Whether a JPEG without an end marker, that ends grey, is grey there: no rows are missing."""
    if not partial.ends_grey(opened.image):
        return False
    if scans.is_one_scan:
        is_short = bool(scans.interval) and _lacks_restarts(opened, scans, full_size)
        return not is_short and not _takes_more_codes(opened.data, scans)
    # The first scan of a progressive one has all blocks, if it has all components
    return len(scans.components_of_scans) > 1 and scans.components_of_scans[0] == scans.components


def _lacks_restarts(opened: OpenedPicture, scans: JpegScans, full_size: tuple[int, int]) -> bool:
    """Whether restart markers are missing, after which a decoder goes on."""
    across, down = 8, 8
    if isinstance(opened.image, JpegImagePlugin.JpegImageFile) and scans.components > 1:
        across, down = (8 * max(part[side] for part in opened.image.layer) for side in (1, 2))
    blocks = -(-full_size[0] // across) * -(-full_size[1] // down)
    return count_restarts(opened.data, scans) < -(-blocks // scans.interval) - 1


def _is_garbled(data: bytes, scans: JpegScans) -> bool:
    """Whether a JPEG has too few codes for its rows, so that its decoder makes them up, or too many."""
    if _takes_more_codes(data, scans):
        return True
    whole = _decode_small(data)
    until = _decode_small(data[: max(scans.ends_at - LEFTOVER_BYTES, scans.codes_at or 0)] + END)
    return np.array_equal(whole, until) and not partial.ends_grey(Image.fromarray(whole))


def _takes_more_codes(data: bytes, scans: JpegScans) -> bool:
    """Whether further codes, behind those of a JPEG, make another picture."""
    whole = _decode_small(data)
    longer = (data[: scans.ends_at] + filling + END for filling in FILLINGS)
    return any(not np.array_equal(whole, _decode_small(it)) for it in longer)


def _decode_small(data: bytes) -> RgbArray:
    image = _reopen(data, (1, 1))
    return np.asarray(image.convert("RGB"))


def _reopen(data: bytes, size: tuple[int, int]) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft(None, size)
    return image


def _load(opened: OpenedPicture) -> PartlyLoaded:
    """Any other picture; of one that is damaged, what its decoder leaves."""
    if opened.fill:
        return _load_filled(opened)
    data, file_format = opened.data, str(opened.image.format)
    damaged_at = lost_ends.find_png_damage(data) if file_format == "PNG" else None
    try:
        opened.image.load()
        if damaged_at is None or _is_all_there(opened):
            return PartlyLoaded(opened.image, None)
    except MemoryError:
        raise
    except Exception:
        if file_format not in PARTLY_READ or opened.image.info.get("interlace"):
            raise
    if opened.image.info.get("interlace"):
        raise BrokenPicture("the picture is damaged: it is interlaced, and its checksum is wrong")
    present = data[:damaged_at]
    return partial.load_partly(lambda: Image.open(io.BytesIO(present), formats=[file_format]))


def _is_all_there(opened: OpenedPicture) -> bool:
    """Whether a PNG is damaged in nothing but the checksum of a chunk."""
    width, height = opened.image.size
    # Four samples of 16 bits, and a byte more for each row, of up to seven passes
    return lost_ends.is_png_inflated(opened.data, (8 * width + 7) * (height + 7) * 2)


def _load_filled(opened: OpenedPicture) -> PartlyLoaded:
    """A picture whose end is missing, or may be: it has many zeros."""
    if not opened.is_cut and _needs_its_zeros(opened):
        return PartlyLoaded(_open_again(opened, opened.data), None)
    part = partial.load_filled(lambda value: _open_filled(opened, value))
    if part is not None:
        return part
    if opened.is_cut:
        raise BrokenPicture("the picture is damaged: its end is missing")
    return PartlyLoaded(_open_again(opened, opened.data), None)


def _needs_its_zeros(opened: OpenedPicture) -> bool:
    """Whether zeros are codes, of a plain area: without the last of them it is another picture."""
    if opened.fill is None or opened.image.format != "WEBP":
        return False
    zeroed, filled = (opened.fill(opened.data, value) or b"" for value in partial.FILLINGS[:2])
    try:
        whole = np.asarray(_open_again(opened, zeroed))
    except (OSError, ValueError, SyntaxError):
        return False
    try:
        other = np.asarray(_open_again(opened, lost_ends.fill_last_zeros(zeroed, filled)))
    except (OSError, ValueError, SyntaxError):
        return True
    return not np.array_equal(whole, other)


def _open_filled(opened: OpenedPicture, value: int) -> Image.Image:
    filled = opened.fill(opened.data, value) if opened.fill else None
    return _open_again(opened, filled or opened.data)


def _open_again(opened: OpenedPicture, data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=[str(opened.image.format)])


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """A decoded picture as RGB, over white where it is transparent."""
    if image.mode == "RGB":
        return image
    # Grey of 16 or 32 bits, or floating-point numbers: Pillow would clip it
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return lab_to_rgb(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image.convert("RGB")
