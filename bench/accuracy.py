"""How many faces are found and recognised in pictures that are no upright portraits.

    python bench/accuracy.py PHOTOS LABELS [--model FOLDER] [--json]

PHOTOS is a folder of photographs of one labelled person each, LABELS a CSV with the columns `file` (below
PHOTOS) and `person`. The cases are made of them: each photo is turned by quarters, as a scan may lie, and
tilted by less, as a head may be (on grey, with the corners that this makes).
`found` is the share of the labelled faces, the largest of each photo, that are found at their place;
`recognised` (TAR) is the share of pairs of one person, a face of the case and one of another upright photo,
that reach the model's threshold; `wrongly` counts photos of which a direction was taken in which the face
is tilted by more than 60°. Each case is looked at as the product does it, and (before) without the look in
four directions and the second look at tilted faces.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from datasette_faces.media.decode import decode_picture
from datasette_faces.models import pipeline
from datasette_faces.models.base import Engine, FaceModel
from datasette_faces.models.insightface import InsightFacePack
from datasette_faces.models.sface import SFace
from datasette_faces.shapes import Analysis, Box, Photo

LEAST = {
    0: (1.0, 1.0),
    45: (0.97, 0.90),
    60: (0.97, 0.90),
    75: (0.97, 0.90),
    90: (0.99, 0.97),
    180: (0.99, 0.97),
    270: (0.99, 0.97),
}
"""By the degrees by which a picture lies: the least shares of faces found, and of pairs recognised."""
MAX_TILT = 60
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Line:
    """A case, as the product does it and as it was done before."""

    degrees: int
    found: float
    recognised: float
    turned_wrongly: int
    found_before: float
    recognised_before: float

    @property
    def holds(self) -> bool:
        """Whether the case meets its bounds."""
        found, recognised = LEAST[self.degrees]
        is_right = self.turned_wrongly == 0
        return is_right and self.found >= found and self.recognised >= recognised


@dataclass(frozen=True)
class Person:
    """A labelled photo: its picture, whose it is, and where the face is when it is upright."""

    image: Image.Image
    name: str
    box: Box
    embedding: np.ndarray


def main() -> int:
    """Print the table; 0 if every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", help="the folder of an InsightFace pack; else sface")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model: FaceModel = InsightFacePack("", folder=options.model) if options.model else SFace()
    engine = model.load()
    people = read_people(options.photos, options.labels, engine, model.detect_px)
    lines = [measure(people, model, engine, turned) for turned in LEAST]
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        print(f"{model.id}, {len(people)} photos, threshold {model.threshold:g}")
        print(f"{'turned by':>10} {'found':>12} {'recognised':>14} {'wrongly':>8}   (before)")
        for line in lines:
            found = f"{line.found:.3f} ({line.found_before:.3f})"
            recognised = f"{line.recognised:.3f} ({line.recognised_before:.3f})"
            print(f"{line.degrees:>9}° {found:>12} {recognised:>14} {line.turned_wrongly:>8}")
    return 0 if all(line.holds for line in lines) else 1


def read_people(photos: Path, labels: Path, engine: Engine, detect_px: int) -> list[Person]:
    """The photos with a label in which a face is found."""
    people = []
    with open(labels, newline="") as listed:
        for row in csv.DictReader(listed):
            image = decode_picture((photos / row["file"]).read_bytes()).image
            found = look(image, engine, detect_px)
            if found.faces:
                face = found.faces[0]
                people.append(Person(image, row["person"], face.detection.box, face.embedding))
    return people


def look(image: Image.Image, engine: Engine, detect_px: int) -> Analysis:
    """What the product sees in a picture, from a file as a scanner writes it."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95)
    return pipeline.analyse(data.getvalue(), engine, detect_px=detect_px)


def measure(people: list[Person], model: FaceModel, engine: Engine, turned: int) -> Line:
    """The line of pictures that lie by so many degrees: clockwise they have to be turned."""

    def seen_by(engine: Engine) -> Callable[[Person], Analysis]:
        return lambda person: look(lay(person.image, turned), engine, model.detect_px)

    found, recognised, wrong = score(people, model.threshold, turned, seen_by(engine))
    as_before = replace(engine, detect_quickly=None)
    found_before, recognised_before, _ = score(people, model.threshold, turned, seen_by(as_before))
    return Line(turned, found, recognised, wrong, found_before, recognised_before)


def lay(image: Image.Image, degrees: int) -> Image.Image:
    """A picture that has to be turned clockwise by so many degrees to stand upright."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def is_at(box: Box, photo: Photo, person: Person, degrees: int) -> bool:
    """Whether the middle of a box is in the labelled face, in a photo that lies by so many degrees."""
    across, down = box.x + (box.width - photo.width) / 2, box.y + (box.height - photo.height) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x = across * cosine - down * sine + person.image.width / 2
    y = across * sine + down * cosine + person.image.height / 2
    known = person.box
    return 0 <= x - known.x <= known.width and 0 <= y - known.y <= known.height


def score(
    people: list[Person], threshold: float, degrees: int, see: Callable[[Person], Analysis]
) -> tuple[float, float, int]:
    """The shares of faces found and of pairs recognised; how many were turned another way."""
    wrong = 0
    embeddings: list[np.ndarray | None] = []
    for person in people:
        seen = see(person)
        wrong += abs((degrees - seen.photo.turned + 180) % 360 - 180) > MAX_TILT
        at_its_place = (
            face for face in seen.faces if is_at(face.detection.box, seen.photo, person, degrees)
        )
        best = max(at_its_place, key=lambda face: face.detection.score, default=None)
        embeddings.append(best.embedding if best else None)
    found = sum(embedding is not None for embedding in embeddings) / len(people)
    return found, true_accept_rate(people, embeddings, threshold), wrong


def true_accept_rate(
    people: list[Person], embeddings: list[np.ndarray | None], threshold: float
) -> float:
    """The share of pairs of one person that reach a threshold; a face that is not found reaches none."""
    by_name = defaultdict(list)
    for place, person in enumerate(people):
        by_name[person.name].append(place)
    pairs = [(one, two) for same in by_name.values() for one in same for two in same if one != two]
    reached = 0
    for one, two in pairs:
        embedding = embeddings[one]
        if embedding is not None:
            reached += float(embedding @ people[two].embedding) >= threshold
    return reached / len(pairs)


if __name__ == "__main__":
    sys.exit(main())
