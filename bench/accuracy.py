"""How many faces are found and recognised in pictures that are no upright portraits.

    python bench/accuracy.py PHOTOS LABELS [--model FOLDER] [--json]

PHOTOS is a folder of photographs of one labelled person each, LABELS a CSV with the columns `file` (below
PHOTOS) and `person`. The cases are made of them: each photo is turned by quarters, as a scan may lie.
`found` is the share of the labelled faces, the largest of each photo, that are found at their place (IoU of
0.5 or more);
`recognised` (TAR) is the share of pairs of one person, a face of the case and one of another upright photo,
that reach the model's threshold; `turned wrongly` counts photos of which another direction was taken.
Each case is looked at as the product does it, and (before) without the look in four directions.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from datasette_faces.algorithms import geometry
from datasette_faces.algorithms.quarter_turns import TURNS, turn_box
from datasette_faces.media.decode import decode_picture
from datasette_faces.models import pipeline
from datasette_faces.models.base import Engine, FaceModel
from datasette_faces.models.insightface import InsightFacePack
from datasette_faces.models.sface import SFace
from datasette_faces.shapes import Analysis, Box

LEAST_FOUND, LEAST_RECOGNISED = 0.99, 0.97
"""Of a turned picture."""
SAME_PLACE = 0.5


@dataclass(frozen=True)
class Line:
    """A case, as the product does it and as it was done before."""

    case: str
    found: float
    recognised: float
    turned_wrongly: int
    found_before: float
    recognised_before: float

    @property
    def holds(self) -> bool:
        """Whether the case meets its bounds."""
        return (
            self.found >= LEAST_FOUND
            and self.recognised >= LEAST_RECOGNISED
            and self.turned_wrongly == 0
        )


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
    lines = [measure(people, model, engine, turned) for turned in TURNS]
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        print(f"{model.id}, {len(people)} photos, threshold {model.threshold:g}")
        print(f"{'turned by':>10} {'found':>12} {'recognised':>14} {'wrongly':>8}   (before)")
        for line in lines:
            found = f"{line.found:.3f} ({line.found_before:.3f})"
            recognised = f"{line.recognised:.3f} ({line.recognised_before:.3f})"
            print(f"{line.case:>10} {found:>12} {recognised:>14} {line.turned_wrongly:>8}")
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
    """The line of pictures that have to be turned clockwise by so many degrees."""

    def seen_by(engine: Engine) -> Callable[[Person], Analysis]:
        return lambda person: look(
            person.image.rotate(turned, expand=True), engine, model.detect_px
        )

    found, recognised, wrong = score(people, model.threshold, turned, seen_by(engine))
    as_before = replace(engine, detect_quickly=None)
    found_before, recognised_before, _ = score(people, model.threshold, turned, seen_by(as_before))
    return Line(f"{turned}°", found, recognised, wrong, found_before, recognised_before)


def score(
    people: list[Person], threshold: float, turned: int, see: Callable[[Person], Analysis]
) -> tuple[float, float, int]:
    """The shares of faces found and of pairs recognised; how many were turned another way."""
    wrong = 0
    embeddings: list[np.ndarray | None] = []
    for person in people:
        seen = see(person)
        size = seen.photo.width, seen.photo.height
        wrong += seen.photo.turned != turned
        at_its_place = [
            (overlap, face.embedding)
            for face in seen.faces
            for box in [turn_box(face.detection.box, turned, *size)]
            if (overlap := geometry.intersection_over_union(box, person.box)) >= SAME_PLACE
        ]
        best = max(at_its_place, key=lambda item: item[0], default=None)
        embeddings.append(best[1] if best else None)
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
