"""A face model whose answers can be worked out by hand.

A toy picture is a row of squares; each that is not white is a face, and its embedding is its
colour. So (255, 0, 0) embeds to 1, 0, 0, and two faces are similar as their colours are.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

import datasette_faces
from datasette_faces.algorithms.geometry import ALIGNED_PX, ARCFACE_TEMPLATE
from datasette_faces.models.base import Engine, FaceModel
from datasette_faces.shapes import Box, Detection, FloatArray, ModelInfo, RgbArray

SQUARE_PX = 40
Colour = tuple[int, int, int]
WHITE = (255, 255, 255)
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
SHY = (60, 90, 90)
"""A colour that the detector sees only where it is told to look, and at a lower score."""
KILLS, HANGS, EATS, RAISES = (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)
"""A picture that begins with one of these harms whoever looks at it."""


def draw(path: Path, *colours: Colour, note: str = "") -> Path:
    """Write a toy picture as PNG, whatever the path ends in; a note makes other bytes of it."""
    image = Image.new("RGB", (SQUARE_PX * len(colours), SQUARE_PX), WHITE)
    for place, colour in enumerate(colours):
        image.paste(colour, (place * SQUARE_PX, 0, (place + 1) * SQUARE_PX, SQUARE_PX))
    text = PngImagePlugin.PngInfo()
    text.add_text("note", note)
    image.save(path, "PNG", pnginfo=text)
    return path


@dataclass
class ToyModel(FaceModel):
    """A light, picklable model; it appends the colours of each picture it looks at to `log`."""

    log: str = os.devnull
    id: str = "toy"
    weights: str = "toy"
    seconds: float = 0.0
    sees_shy: bool = False

    name = "Toy"
    dimensions = 3
    threshold = 0.9
    licence = "Apache-2.0"
    commercial = True

    def load(self) -> Engine:
        digest = hashlib.sha256(self.weights.encode()).hexdigest()
        info = ModelInfo(self.id, self.name, 3, self.threshold, self.licence, digest)
        return Engine(info=info, detect=self.detect, embed=embed, detect_faint=detect_shy)

    def detect(self, image_rgb: RgbArray) -> list[Detection]:
        colours = colours_of(image_rgb)
        self._write_down(colours)
        time.sleep(self.seconds)
        harm(colours[0])
        unseen = (WHITE,) if self.sees_shy else (WHITE, SHY)
        return [_detection(place) for place, colour in enumerate(colours) if colour not in unseen]

    def looked_at(self) -> list[list[Colour]]:
        """The pictures that were looked at, in the order of being done."""
        if not os.path.exists(self.log):
            return []
        return [eval(line) for line in Path(self.log).read_text().splitlines()]

    def forget(self) -> None:
        """Begin the log anew."""
        Path(self.log).unlink(missing_ok=True)

    def as_argument(self) -> str:
        """Its fields as JSON, for a process of its own."""
        return json.dumps(asdict(self))

    def as_plugin(self) -> object:
        """What Datasette's plugin manager registers."""
        model = self

        class Plugin:
            __name__ = f"toy model {id(model)}"

            @datasette_faces.hookimpl
            def register_face_models(self, register):
                register(model)

        return Plugin()

    def _write_down(self, colours: Sequence[Colour]) -> None:
        # One write of one line: whole, also from several processes
        with open(self.log, "a", buffering=1) as log:
            log.write(f"{colours}\n")


@dataclass
class DeadlyModel(ToyModel):
    """A model whose weights crash what loads them."""

    id: str = "deadly"

    def load(self) -> Engine:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def detect_shy(image_rgb: RgbArray) -> list[Detection]:
    """The square of SHY in a cut of a picture, if it is there."""
    rows, columns = np.nonzero((image_rgb == SHY).all(axis=2))
    if not len(rows):
        return []
    left, top = float(columns.min()), float(rows.min())
    side = float(columns.max() + 1 - left)
    landmarks = ARCFACE_TEMPLATE * (side / ALIGNED_PX) + np.float32([left, top])
    return [Detection(Box(left, top, side, side), landmarks.astype(np.float32), 0.3)]


def colours_of(image_rgb: RgbArray) -> list[Colour]:
    """The colour in the middle of each square."""
    middles = image_rgb[SQUARE_PX // 2, SQUARE_PX // 2 :: SQUARE_PX]
    return [tuple(int(value) for value in pixel) for pixel in middles]


def embed(faces: list[RgbArray]) -> FloatArray:
    """The colour in the middle of each aligned face."""
    middle = ALIGNED_PX // 2
    return np.stack([face[middle, middle].astype(np.float32) for face in faces])


def harm(colour: Colour) -> None:
    """Do what such a picture does to a decoder."""
    if colour == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    if colour == HANGS:
        time.sleep(3600)
    if colour == EATS:
        hoard = []
        while True:
            hoard.append(np.empty(25_000_000))  # counted by the limit, though never touched
    if colour == RAISES:
        raise ZeroDivisionError("the toy broke")


def _detection(place: int) -> Detection:
    left = place * SQUARE_PX
    landmarks = ARCFACE_TEMPLATE * (SQUARE_PX / ALIGNED_PX) + np.float32([left, 0])
    box = Box(float(left), 0.0, float(SQUARE_PX), float(SQUARE_PX))
    return Detection(box, landmarks.astype(np.float32), 0.99)
