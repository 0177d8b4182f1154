"""The pictures of the demo: photographs that installed packages ship; they are found, but not opened."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...errors import MissingExtra
from ...models.base import EXTRA_MEND

DEMO_PICTURES = (
    ("insightface", "data/images/t1.jpg"),
    ("insightface", "data/images/Tom_Hanks_54745.png"),
    ("skimage", "data/astronaut.png"),
)


def find_demo_pictures() -> list[str]:
    """Paths of the demo pictures that are installed. Raises MissingExtra where there are none."""
    paths = []
    for package, name in DEMO_PICTURES:
        spec = find_spec(package)
        if spec and spec.origin and (path := Path(spec.origin).parent / name).is_file():
            paths.append(str(path))
    if not paths:
        raise MissingExtra(f"The demo needs the pictures that insightface ships: {EXTRA_MEND}")
    return paths
