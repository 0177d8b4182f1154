"""A picture that is turned by quarters, and what lies in it: by its pixels, as numpy turns them."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import encoded, with_exif
from PIL import Image

from datasette_faces.algorithms import geometry
from datasette_faces.algorithms.quarter_turns import (
    TURNS,
    turn_area,
    turn_box,
    turn_landmarks,
    turn_size,
    undo_turn,
)
from datasette_faces.media.decode import decode_picture
from datasette_faces.media.jpeg_orientation import say_turned
from datasette_faces.shapes import Box, Detection, RgbArray

WIDTH, HEIGHT = 61, 40
BOX = Box(7, 3, 12, 20)


def turned_by_numpy(pixels: RgbArray, turned: int) -> RgbArray:
    return np.ascontiguousarray(np.rot90(pixels, -turned // 90))


def noise(width: int = WIDTH, height: int = HEIGHT) -> RgbArray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def cut(pixels: RgbArray, box: Box) -> RgbArray:
    left, top, width, height = (int(side) for side in (box.x, box.y, box.width, box.height))
    return pixels[top : top + height, left : left + width]


@pytest.mark.parametrize("turned", TURNS)
def test_a_box_holds_the_same_pixels_after_a_turn(turned: int) -> None:
    pixels = noise()
    after = turned_by_numpy(pixels, turned)
    assert after.shape[1::-1] == turn_size(WIDTH, HEIGHT, turned)
    moved = turn_box(BOX, turned, WIDTH, HEIGHT)
    assert np.array_equal(cut(after, moved), turned_by_numpy(cut(pixels, BOX), turned))
    area = turn_area(geometry.area_of(BOX, WIDTH, HEIGHT), turned)
    size = turn_size(WIDTH, HEIGHT, turned)
    sides = [getattr(geometry.box_of(area, *size), it) for it in ("x", "y", "width", "height")]
    assert sides == pytest.approx([moved.x, moved.y, moved.width, moved.height])


@pytest.mark.parametrize("turned", TURNS)
def test_a_detection_in_a_turned_picture_is_undone_to_where_it_was(turned: int) -> None:
    landmarks = np.array([[9, 8], [16, 8], [12, 12], [10, 18], [15, 18]], np.float32)
    there = Detection(
        turn_box(BOX, turned, WIDTH, HEIGHT),
        turn_landmarks(landmarks, turned, WIDTH, HEIGHT),
        0.9,
    )
    back = undo_turn(there, turned, *turn_size(WIDTH, HEIGHT, turned))
    assert (back.box, back.score) == (BOX, 0.9)
    assert back.landmarks == pytest.approx(landmarks)
    # A landmark is where its pixel is: the middles of pixels lie at halves
    pixels, after = noise(), turned_by_numpy(noise(), turned)
    for was, now in zip(
        landmarks + 0.5, turn_landmarks(landmarks + 0.5, turned, WIDTH, HEIGHT), strict=True
    ):
        assert (after[int(now[1]), int(now[0])] == pixels[int(was[1]), int(was[0])]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("turned", TURNS)
def test_a_decoded_picture_is_turned_whatever_its_exif_says(turned: int, orientation: int) -> None:
    picture = decode_picture(with_exif(Image.fromarray(noise()), {0x0112: orientation}))
    upright, after = picture.pixels(), picture.turn(turned)
    wanted = turned_by_numpy(upright, turned)
    assert np.array_equal(after.pixels(), wanted)
    assert (after.width, after.height) == after.size == wanted.shape[1::-1]
    region = np.asarray(after.crop_region(5, 6, 25, 30))
    assert np.array_equal(region, wanted[6:30, 5:25])


@pytest.mark.parametrize("turned", TURNS)
def test_a_jpeg_that_says_how_it_is_turned_is_shown_so_by_any_program(turned: int) -> None:
    jpeg = encoded(Image.fromarray(noise()), "JPEG")
    said = say_turned(jpeg, turned)
    pixels = turned_by_numpy(decode_picture(jpeg).pixels(), turned)
    assert np.array_equal(decode_picture(said).pixels(), pixels)
    assert len(said) - len(jpeg) == (36 if turned else 0)


@pytest.mark.parametrize("turned", [45, -90, 360, 1])
def test_other_turns_and_what_is_no_jpeg_stay_as_they_are(turned: int) -> None:
    assert say_turned(b"\xff\xd8...", turned) == b"\xff\xd8..."
    assert say_turned(b"no picture", 90) == b"no picture"
