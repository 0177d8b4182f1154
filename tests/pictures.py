"""Pictures for tests: what installed packages ship, and small ones made from it."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

SHIPPED = {
    "six faces": ("insightface", "data/images/t1.jpg"),
    "one face": ("skimage", "data/astronaut.png"),
}
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture under each EXIF orientation."""


def shipped(what: str) -> Path:
    """Where the picture lies that a package ships; the package is not imported."""
    package, name = SHIPPED[what]
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed: pip install -e '.[test]'"
    assert spec.origin is not None
    return Path(spec.origin).parent / name


def small(what: str = "one face", long_px: int = 256) -> Image.Image:
    """A shipped picture, RGB, its long side this long."""
    with Image.open(shipped(what)) as image:
        image.draft("RGB", (long_px, long_px))
        image = image.convert("RGB")
    image.thumbnail((long_px, long_px))
    return image


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def with_exif(image: Image.Image, tags: dict[int, Any], **directories: dict[int, Any]) -> bytes:
    """A JPEG with these EXIF tags; directories by the names of PIL.ExifTags.IFD."""
    from PIL import ExifTags

    exif = Image.Exif()
    exif.update(tags)
    for name, values in directories.items():
        exif.get_ifd(ExifTags.IFD[name]).update(values)
    return encoded(image, "JPEG", quality=92, exif=exif.tobytes())
