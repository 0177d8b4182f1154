"""Edits of a picture as programs make them, each with where it takes a point of the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps

from datasette_faces.shapes import Box

Point = tuple[float, float]
Edit = Callable[[Image.Image, Sequence[Box]], tuple[Image.Image, Callable[[Point], Point | None]]]
"""Of a picture and its faces: the edited picture, and where a point is then; None where it is gone."""
MARGIN = 0.35
ORIENTATION = 0x0112


def _crop(image: Image.Image, boxes: Sequence[Box]):
    left, top = (int(0.4 * min(it.x for it in boxes)), int(0.4 * min(it.y for it in boxes)))
    edited = image.crop((left, top, image.width, image.height - 20))
    return edited, lambda point: (point[0] - left, point[1] - top)


def _resize(image: Image.Image, boxes: Sequence[Box]):
    half = image.resize((image.width // 2, image.height // 2))
    return half, lambda point: (point[0] / 2, point[1] / 2)


def _turn(image: Image.Image, boxes: Sequence[Box]):
    return image.rotate(90, expand=True), lambda point: (point[1], image.width - point[0])


def _turn_upside_down(image: Image.Image, boxes: Sequence[Box]):
    turned = image.rotate(180)
    return turned, lambda point: (image.width - point[0], image.height - point[1])


def _mirror(image: Image.Image, boxes: Sequence[Box]):
    return ImageOps.mirror(image), lambda point: (image.width - point[0], point[1])


def _border(image: Image.Image, boxes: Sequence[Box]):
    framed = ImageOps.expand(image, border=(90, 40), fill="white")
    return framed, lambda point: (point[0] + 90, point[1] + 40)


def _grey(image: Image.Image, boxes: Sequence[Box]):
    return image.convert("L").convert("RGB"), lambda point: point


def _swap(image: Image.Image, boxes: Sequence[Box]):
    """The first two faces change places."""
    one, other = (_around(box) for box in boxes[:2])
    edited = image.copy()
    for there, here in ((one, other), (other, one)):
        size = (here[2] - here[0], here[3] - here[1])
        edited.paste(image.crop(there).resize(size), here[:2])

    def follow(point: Point) -> Point:
        for there, here in ((one, other), (other, one)):
            if there[0] <= point[0] < there[2] and there[1] <= point[1] < there[3]:
                return (
                    here[0] + (point[0] - there[0]) * (here[2] - here[0]) / (there[2] - there[0]),
                    here[1] + (point[1] - there[1]) * (here[3] - here[1]) / (there[3] - there[1]),
                )
        return point

    return edited, follow


def _edit_away(image: Image.Image, boxes: Sequence[Box]):
    """The first face is no more than its mean colours."""
    area = _around(boxes[0])
    edited = image.copy()
    edited.paste(
        image.crop(area).resize((1, 1), Image.Resampling.BOX).resize(_size(area)), area[:2]
    )
    return (
        edited.filter(ImageFilter.UnsharpMask(1, 20)),
        lambda point: (
            None if area[0] <= point[0] < area[2] and area[1] <= point[1] < area[3] else point
        ),
    )


def _around(box: Box) -> tuple[int, int, int, int]:
    across, down = MARGIN * box.width, MARGIN * box.height
    return (
        int(box.x - across),
        int(box.y - down),
        int(box.x + box.width + across),
        int(box.y + box.height + down),
    )


def _size(area: tuple[int, int, int, int]) -> tuple[int, int]:
    return area[2] - area[0], area[3] - area[1]


EDITS: dict[str, Edit] = {
    "cropped": _crop,
    "resized": _resize,
    "turned": _turn,
    "upside down": _turn_upside_down,
    "mirrored": _mirror,
    "with a border": _border,
    "grey": _grey,
    "two swapped": _swap,
    "one edited away": _edit_away,
}


def save(
    image: Image.Image, to: Path, *, quality: int = 92, orientation: int | None = None
) -> Path:
    """Write a picture as a JPEG, perhaps to be turned by EXIF."""
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    image.save(to, "JPEG", quality=quality, exif=exif)
    return to
