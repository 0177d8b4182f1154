"""How pages show a picture that lies on its side, or on its head: its size and boxes as they stand upright.

Rows, boxes and landmarks are in pixels of the file; only what a page draws over the picture is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...algorithms.quarter_turns import turn_box, turn_size
from ...shapes import Box
from ...store.gallery import Row


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a page shows it: turned clockwise by so many degrees; its size in pixels then.

    Without a size, where another program has broken it, nothing is drawn over it.
    """

    turned: int
    width: int | None
    height: int | None

    def place(self, box: Box) -> Box:
        """Where a box of the file (pixels) is in what is shown."""
        if self.width is None or self.height is None:
            return box
        return turn_box(box, self.turned, *turn_size(self.width, self.height, self.turned))


def show(width: int | None, height: int | None, turned: int | None) -> Shown:
    """How a picture of this size (pixels, as the file has it) is shown."""
    if width is None or height is None:
        return Shown(0, width, height)
    return Shown(turned or 0, *turn_size(width, height, turned or 0))


def place_faces(shown: Shown, faces: list[Row]) -> list[Row]:
    """Faces with their boxes where they are in what is shown; those without a place are left out."""
    if shown.width is None or shown.height is None:
        return []
    placed = []
    for face in faces:
        sides = [face[side] for side in ("x", "y", "width", "height")]
        if None not in sides:
            box = shown.place(Box(*sides))
            placed.append(
                {**face, "x": box.x, "y": box.y, "width": box.width, "height": box.height}
            )
    return placed
