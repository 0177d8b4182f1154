"""The formats of photos: by a file's suffix, and Pillow's decoders of them."""

from __future__ import annotations

import importlib.util

from PIL import Image

from ..errors import PictureError

FORMATS_BY_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".avif": "AVIF",
}
"""The suffixes that are read in a folder; a file's bytes decide what it is."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def list_formats() -> list[str]:
    """Pillow's names of the formats that are decoded and that it has a decoder for."""
    Image.preinit()
    Image.init()
    return sorted(set(FORMATS_BY_SUFFIX.values()) & set(Image.OPEN))


def register_heif(data: bytes) -> None:
    """Let Pillow open HEIC, if these bytes are. Raises PictureError if the extra is missing."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS or "HEIF" in Image.OPEN:
        return
    if importlib.util.find_spec("pillow_heif") is None:
        raise PictureError("HEIC needs pillow-heif: pip install 'datasette-faces[ingest]'")
    import pillow_heif

    pillow_heif.register_heif_opener()
