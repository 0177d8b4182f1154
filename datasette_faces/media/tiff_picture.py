"""A TIFF's page as an RGB picture, whatever its samples are; or the true reason why not.

What Pillow reads right it reads. It takes 16 bits of WhiteIsZero for a positive, 12 bits for 16, and knows
no colours of more than 8 bits in separate planes or floating-point numbers.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ..errors import BrokenPicture
from . import limits, tiff_samples
from . import tiff_pages as tags
from .partial import MaskArray
from .tiff_pages import TiffPage
from .tones import SampleArray, to_8_bits

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
COLOURS = {
    WHITE_IS_ZERO: 1,
    BLACK_IS_ZERO: 1,
    RGB: 3,
    PALETTE: 1,
    CMYK: 4,
    YCBCR: 3,
    CIELAB: 3,
    ICCLAB: 3,
}
"""How many samples of a pixel are its colour; further ones may be its transparency."""
_ASSOCIATED, _UNASSOCIATED = 1, 2
_HIDDEN_TAG = 65_000
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class OpenedTiff:
    """A TIFF's picture, opened. page: where its samples are not decoded by Pillow's TIFF plugin.

    image: its metadata, and without a page its pixels. data: the bytes that it was opened from.
    """

    image: Image.Image
    data: bytes
    page: TiffPage | None = None


def open_tiff(data: bytes) -> OpenedTiff:
    """Open the page that is the picture. Raises BrokenPicture with the reason why it cannot be read."""
    page, is_first = tags.choose_page(data)
    if page.width * page.height > limits.MAX_PIXELS:
        raise Image.DecompressionBombError(f"{page.width * page.height} pixels")
    if not is_first:
        data, page = tags.join_metadata(data, page)
    if not _is_wrong_in_pillow(page):
        pointed = data if is_first else tags.point_to(data, page.at)
        try:
            return OpenedTiff(Image.open(io.BytesIO(pointed), formats=["TIFF"]), pointed)
        except UnidentifiedImageError:
            pass
    _check_supported(page)
    return OpenedTiff(_open_head(data, page), data, page)


def decode_samples(data: bytes, page: TiffPage) -> tuple[Image.Image, MaskArray | None]:
    """A page's picture, RGB, as it is stored; and where it is missing (None: nowhere)."""
    samples, missing = tiff_samples.read_samples(data, page)
    photometric = page.first(tags.PHOTOMETRIC)
    count = COLOURS[photometric]
    image = _colour(samples[:, :, :count], page, photometric)
    if samples.shape[2] > count:
        image = _lay_on_white(image, samples[:, :, count], page)
    return image, missing


def _is_wrong_in_pillow(page: TiffPage) -> bool:
    """Whether Pillow would read this page as something else than it is."""
    if page.first(tags.COMPRESSION, 1) not in tiff_samples.COMPRESSIONS:
        return False
    formats = page.tags.get(tags.FORMAT, (tiff_samples.UNSIGNED,))
    is_byte = set(page.bits) == {8}
    has_byte_colours = max(page.tags.get(tags.COLOURS, (256,))) < 256
    return (
        (max(page.bits, default=1) > 8)
        or (is_byte and tiff_samples.SIGNED in formats)
        or (is_byte and has_byte_colours and page.first(tags.PHOTOMETRIC) == PALETTE)
        or (is_byte and _has_few_colours(page))
        or (is_byte and _is_planar(page) and page.first(tags.PHOTOMETRIC) not in (RGB, CMYK))
    )


def _is_planar(page: TiffPage) -> bool:
    return page.first(tags.PLANAR, 1) == 2 and len(page.bits) > 1


def _check_supported(page: TiffPage) -> None:
    photometric = page.first(tags.PHOTOMETRIC, -1)
    what = tiff_samples.find_unsupported(page)
    if what is None and photometric not in COLOURS:
        what = f"colours of the kind {photometric}"
    if what is None and len(page.bits) < COLOURS[photometric]:
        what = f"{len(page.bits)} samples for colours of the kind {photometric}"
    is_float = tiff_samples.FLOAT in page.tags.get(tags.FORMAT, ())
    if what is None and is_float and photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        what = f"floating-point colours of the kind {photometric}"
    if what is None and _has_few_colours(page):
        what = "YCbCr with fewer samples of colour, without JPEG compression"
    if what is None and tiff_samples.count_bytes(page) > tiff_samples.MAX_SAMPLE_BYTES:
        what = f"samples of more than {tiff_samples.MAX_SAMPLE_BYTES // 1_000_000} MB"
    if what:
        raise BrokenPicture(f"a TIFF with {what} cannot be read: save it as RGB of 8 bits")


def _has_few_colours(page: TiffPage) -> bool:
    """Whether pixels share samples of colour: Pillow does not join them."""
    return (
        page.first(tags.PHOTOMETRIC) == YCBCR
        and page.first(tags.COMPRESSION, 1) == 1
        and max(page.tags.get(tags.SUBSAMPLING, (2, 2))) > 1
        and 0 < sum(page.tags.get(tags.STRIP_BYTES, ())) < tiff_samples.count_bytes(page)
    )


def _open_head(data: bytes, page: TiffPage) -> Image.Image:
    """The metadata of a page that Pillow refuses: its directory, with what Pillow dislikes made plain."""
    plain = {
        tags.BITS: 8,
        tags.SAMPLES: 1,
        tags.PHOTOMETRIC: 1,
        tags.COMPRESSION: 1,
        tags.PLANAR: 1,
    }
    hidden = {tags.FORMAT, tags.EXTRA, tags.COLOURS, tags.PREDICTOR, tags.FILL_ORDER}
    copy = bytearray(tags.point_to(data, page.at))
    for place, tag in tags.list_entries(data, page):
        if tag in plain:
            tags.write_short(copy, place, page, plain[tag])
        elif tag in hidden:
            tags.write_tag(copy, place, page, _HIDDEN_TAG)
        elif tag == tags.TILES:
            tags.write_tag(copy, place, page, tags.STRIPS)
    try:
        return Image.open(io.BytesIO(copy), formats=["TIFF"])
    # Pillow reads no big-endian BigTIFF
    except UnidentifiedImageError:
        return Image.new("L", (1, 1))


def _colour(samples: SampleArray, page: TiffPage, photometric: int) -> Image.Image:
    """RGB of the samples that are colours."""
    if photometric == PALETTE:
        return Image.fromarray(_look_up(samples[:, :, 0], page))
    if photometric in (CIELAB, ICCLAB):
        return lab_to_rgb(_merge_lab(samples, page, photometric))
    bits, white = page.bits[0], page.first(tags.MAX_VALUES)
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        is_inverted = photometric == WHITE_IS_ZERO
        grey = to_8_bits(samples[:, :, 0], bits=bits, white=white, inverted=is_inverted)
        return Image.fromarray(grey).convert("RGB")
    values = to_8_bits(samples, bits=bits, white=white)
    if photometric == RGB:
        return Image.fromarray(values)
    mode = "CMYK" if photometric == CMYK else "YCbCr"
    return Image.fromarray(values, mode).convert("RGB")


def _look_up(indexes: SampleArray, page: TiffPage) -> Bytes:
    """The colours of a palette: 16 bits each, or 8 as some programs write them."""
    colours = np.array(page.tags.get(tags.COLOURS, ()), np.int64)
    if not len(colours) or len(colours) % 3:
        raise BrokenPicture("the picture is damaged: its palette is missing")
    table = colours.reshape(3, -1).T
    table = table // 256 if table.max() > 255 else table
    found: Bytes = table.astype(np.uint8)[np.minimum(indexes, len(table) - 1)]
    return found


def _merge_lab(samples: SampleArray, page: TiffPage, photometric: int) -> Image.Image:
    """Pillow's LAB: a and b from 0, grey at 128; a TIFF has signed ones, ICC's are as Pillow's."""
    shift = page.bits[0] - 8
    bands = [(samples[:, :, band].astype(np.int64) >> shift) & 0xFF for band in range(3)]
    if photometric == CIELAB:
        bands[1:] = [band ^ 0x80 for band in bands[1:]]
    return Image.merge("LAB", [Image.fromarray(band.astype(np.uint8)) for band in bands])


def lab_to_rgb(image: Image.Image) -> Image.Image:
    """sRGB of a picture in CIE L*a*b*."""
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    assert converted is not None
    return converted


def _lay_on_white(image: Image.Image, alpha: SampleArray, page: TiffPage) -> Image.Image:
    """A picture over white, where its next sample is transparency that is used."""
    kind = page.first(tags.EXTRA, _UNASSOCIATED)
    if kind not in (_ASSOCIATED, _UNASSOCIATED) or not alpha.any():
        return image
    is_float = np.issubdtype(alpha.dtype, np.floating)
    opacity = to_8_bits(alpha, bits=page.bits[0], white=0 if is_float else 2 ** page.bits[0] - 1)
    if kind == _UNASSOCIATED:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=Image.fromarray(opacity))
        return white
    over = np.asarray(image).astype(np.uint16) + (255 - opacity[:, :, None])
    return Image.fromarray(np.minimum(over, 255).astype(np.uint8))
