"""The pictures of the tour: photographs that installed packages ship. Finds them, opens none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...errors import MissingExtra
from ...models.base import EXTRA_MEND

PICTURES = (
    ("insightface", "data/images/t1.jpg"),
    ("insightface", "data/images/Tom_Hanks_54745.png"),
    ("skimage", "data/astronaut.png"),
)


def pictures() -> list[str]:
    """Paths of the pictures that are installed here. Raises MissingExtra where there are none."""
    found = []
    for package, name in PICTURES:
        spec = find_spec(package)
        if spec and spec.origin and (path := Path(spec.origin).parent / name).is_file():
            found.append(str(path))
    if not found:
        raise MissingExtra(f"The tour needs the pictures that insightface ships: {EXTRA_MEND}")
    return found
