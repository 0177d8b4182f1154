"""Bytes to a picture whose head is read and whose pixels are not decoded yet. No pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from . import limits, lost_ends, tiff_pages
from .exif import read_exif
from .formats import list_formats, register_heif
from .jpeg_scans import JpegScans, read_scans
from .jpeg_verify import END, MARK, START
from .tiff_pages import TiffPage
from .tiff_picture import open_tiff

Fill = Callable[[bytes, int], bytes | None]


@dataclass(frozen=True)
class OpenedPicture:
    """A picture, opened by Pillow: its size and metadata are known. Close it.

    data: what was opened: of a JPEG that stops within its codes, what is there and an end marker.
    scans: of a JPEG. page: of a TIFF whose samples Pillow's TIFF plugin does not read, or not right.
    is_cut: whether it is known already that some of it is missing. fill: puts a byte in the place of
    what is, or may be, where a decoder needs that.
    """

    data: bytes
    image: Image.Image
    scans: JpegScans | None = None
    page: TiffPage | None = None
    fill: Fill | None = None
    is_cut: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in full size, as it is stored."""
        return (self.page.width, self.page.height) if self.page else self.image.size

    @property
    def orientation(self) -> int:
        """The EXIF orientation (1..8) of the pixels as they are stored, whatever the decoder does."""
        # pillow-heif turns the picture upright, and keeps its orientation here
        stored = self.image.info.get("original_orientation")
        if self.page:
            stored = self.page.first(tiff_pages.ORIENTATION)
        if isinstance(stored, int) and stored in range(1, 9):
            return stored
        return read_exif(self.image).orientation

    @property
    def is_one_scan(self) -> bool:
        """Whether this is a JPEG that comes in one scan."""
        return self.scans is not None and self.scans.is_one_scan


def open_picture(data: bytes) -> OpenedPicture:
    """Open a picture of a known format: of a TIFF the page with the picture. Raises what Pillow raises.

    A picture of more pixels than are allowed is not refused yet where that is a JPEG.
    """
    register_heif(data)
    if data.startswith(START + MARK):
        return _open_jpeg(data)
    if tiff_pages.is_tiff(data):
        tiff = open_tiff(data)
        return OpenedPicture(tiff.data, tiff.image, page=tiff.page)
    for fill in (lost_ends.fill_webp, lost_ends.fill_bmff):
        filled = fill(data, 0)
        if filled is not None:
            is_cut = len(filled) > len(data) or lost_ends.is_short_webp(data)
            return OpenedPicture(data, _open(filled), fill=fill, is_cut=is_cut)
    return OpenedPicture(data, _open(data))


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=list_formats())


def _open_jpeg(data: bytes) -> OpenedPicture:
    """A JPEG has a limit of its own on pixels, which Image.open does not know."""
    scans = read_scans(data)
    is_cut = scans.codes_at is not None and not scans.is_whole
    if is_cut:
        data = data[: scans.ends_at] + END
    image = JpegImagePlugin.jpeg_factory(io.BytesIO(data), "")
    return OpenedPicture(data, image, scans, is_cut=is_cut)


def check_size(opened: OpenedPicture, max_pixels: int | None) -> None:
    """Raises BrokenPicture where there are more than max_pixels, or than the format may have (None)."""
    width, height = opened.size
    if max_pixels is None:
        max_pixels = limits.find_max_pixels(opened.image, is_one_scan=opened.is_one_scan)
    limits.check_pixels(width * height, max_pixels)
