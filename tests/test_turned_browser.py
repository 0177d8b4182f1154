"""What a browser shows of scans that lie on their side or on their head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import serving
from scans import UPRIGHT, make_scans
from serving import metadata_with
from test_browser import NARROW, WIDE, opened, rectangle, show

from datasette_faces.algorithms import geometry
from datasette_faces.media.decode import decode_picture
from datasette_faces.shapes import Box

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def addresses(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Sites of the library: with its originals, and with thumbnails alone."""
    settings = tmp_path_factory.mktemp("settings") / "metadata.json"
    settings.write_text(json.dumps(metadata_with(serve_originals=True)))
    with serving(library, "-m", settings) as originals, serving(library) as thumbnails:
        yield {"originals": originals, "thumbnails": thumbnails}


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("which", ["originals", "thumbnails"])
@pytest.mark.parametrize("photo_id", [2, 3, 4])
def test_a_browser_shows_what_it_shows_of_the_upright_one(
    chromium: Any, addresses: dict[str, str], photo_id: int, which: str, size: tuple[int, int]
) -> None:
    seen = []
    with opened(chromium, size) as (page, wrong):
        for shown in (UPRIGHT, photo_id):
            show(page, f"{addresses[which]}/scans/-/faces/photo/{shown}")
            boxes = page.eval_on_selector_all(
                ".faces-boxes rect", "all => all.map(it => it.getBoundingClientRect().toJSON())"
            )
            page.add_style_tag(content=".faces-boxes, .faces-label { visibility: hidden }")
            picture = page.locator(".faces-picture").screenshot()
            seen.append(
                (rectangle(page, ".faces-picture"), boxes, decode_picture(picture).pixels())
            )
        assert wrong == []
    (frame, boxes, pixels), (other_frame, other_boxes, other_pixels) = seen
    assert other_frame == pytest.approx(frame)
    assert other_pixels.shape == pixels.shape
    assert np.abs(other_pixels.astype(int) - pixels.astype(int)).mean() < 8
    assert len(other_boxes) == len(boxes) == 6
    for box in boxes:
        places = [geometry.intersection_over_union(_box(box), _box(other)) for other in other_boxes]
        assert max(places) > 0.7


def _box(rect: dict[str, float]) -> Box:
    return Box(rect["x"], rect["y"], rect["width"], rect["height"])
