"""A manual box gives the face in it, as the detector would have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from datasette_faces.algorithms.geometry import head_pose
from datasette_faces.models import pipeline
from datasette_faces.models.base import Engine
from datasette_faces.models.manual_box import estimate_landmarks, measure_manual_face
from datasette_faces.models.sface import SFace
from datasette_faces.shapes import Box, Face, ManualBox

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def engine() -> Engine:
    return SFace().load()


def found(engine: Engine, path: Path) -> tuple[Face, ...]:
    return pipeline.analyse(path.read_bytes(), engine, detect_px=SFace.detect_px).faces


def drawn(engine: Engine, path: Path, manual_box: ManualBox) -> Face:
    return measure_manual_face(path.read_bytes(), engine, manual_box, detect_px=SFace.detect_px)


def scaled(box: Box, across: float, down: float) -> Box:
    width, height = box.width * across, box.height * down
    return Box(box.x - (width - box.width) / 2, box.y - (height - box.height) / 2, width, height)


def similarity(face: Face, other: Face) -> float:
    return float(face.embedding @ other.embedding)


def blind(engine: Engine) -> Engine:
    """A model whose detector sees nothing."""
    return replace(engine, detect=lambda image: [], detect_faint=None)


@pytest.mark.slow
@pytest.mark.parametrize(("across", "down"), [(1, 1), (1.3, 1.3), (0.8, 0.8), (1.5, 1.1)])
def test_a_box_drawn_wider_or_tighter_gives_the_same_face(
    engine: Engine, astronaut_png: Path, across: float, down: float
) -> None:
    [face] = found(engine, astronaut_png)
    box = scaled(face.detection.box, across, down)
    same = drawn(engine, astronaut_png, ManualBox(box))
    assert same.detection.box == box
    assert same.detection.score > 0.5
    assert similarity(face, same) > 0.9
    assert len(same.crop) > 1000


@pytest.mark.slow
def test_each_box_of_a_crowd_gives_its_own_face(engine: Engine, t1_jpg: Path) -> None:
    faces = found(engine, t1_jpg)
    for face in faces:
        beside = tuple(it.detection.box for it in faces if it is not face)
        same = drawn(engine, t1_jpg, ManualBox(face.detection.box, beside))
        assert max(faces, key=lambda it: similarity(it, same)) is face


def test_a_face_that_is_known_already_is_not_taken_for_its_neighbour(
    engine: Engine, astronaut_png: Path
) -> None:
    [face] = found(engine, astronaut_png)
    box = face.detection.box
    beside = Box(box.x + box.width * 0.4, box.y, box.width, box.height)
    assert drawn(engine, astronaut_png, ManualBox(beside)).detection.score > 0
    other = drawn(engine, astronaut_png, ManualBox(beside, (box,)))
    assert other.detection.score == 0


def test_where_no_detector_sees_it_landmarks_are_estimated(
    engine: Engine, astronaut_png: Path
) -> None:
    [face] = found(engine, astronaut_png)
    guessed = drawn(blind(engine), astronaut_png, ManualBox(face.detection.box))
    assert guessed.detection.score == 0
    assert similarity(face, guessed) > 0.6
    guided = ManualBox(face.detection.box, landmarks=face.detection.landmarks)
    assert similarity(face, drawn(blind(engine), astronaut_png, guided)) > 0.99


@pytest.mark.parametrize("box", [Box(10, 20, 100, 139), Box(0, 0, 300, 100), Box(5, 5, 40, 400)])
def test_estimated_landmarks_look_into_the_camera(box: Box) -> None:
    landmarks = estimate_landmarks(box)
    assert (landmarks >= [box.x, box.y]).all()
    assert (landmarks <= [box.x + box.width, box.y + box.height]).all()
    pose = head_pose(landmarks)
    assert max(abs(pose.yaw), abs(pose.roll)) < 1
    assert abs(pose.pitch) < 20


@pytest.mark.parametrize(
    "box", [Box(0, 0, 20, 20), Box(500, 500, 12, 12), Box(0, 0, 512, 512), Box(30, 30, 8, 400)]
)
def test_any_box_in_the_picture_gives_a_face(engine: Engine, astronaut_png: Path, box: Box) -> None:
    face = drawn(engine, astronaut_png, ManualBox(box))
    assert face.detection.box == box
    assert abs(float(face.embedding @ face.embedding) - 1) < 1e-3


@pytest.mark.slow
def test_a_small_face_in_a_large_jpeg_is_decoded_larger(
    engine: Engine, astronaut_png: Path, tmp_path: Path
) -> None:
    from PIL import Image

    large = Image.new("RGB", (6000, 4000), "grey")
    with Image.open(astronaut_png) as picture:
        large.paste(picture.convert("RGB"), (4000, 3000))
    path = tmp_path / "large.jpg"
    large.save(path, quality=95)
    [face] = found(engine, astronaut_png)
    box = face.detection.box
    same = drawn(engine, path, ManualBox(Box(box.x + 4000, box.y + 3000, box.width, box.height)))
    assert similarity(face, same) > 0.95
