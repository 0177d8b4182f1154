"""Pictures of public bug reports, from folder to face: turned twice, as scanners write, cut, large."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import faces, ingest, rows
from serving import Site, site

from datasette_faces.media.decode import decode_picture

pytestmark = pytest.mark.slow

CONTROL, WHOLE = "tiff-orientation/control-o6.jpg", "cut/whole-control.jpg"
TIFF, CUT = "tiff-orientation/o6.tif", "cut/no-eoi.jpg"
NEGATIVE, FLOAT = "tiff/grey16-white-is-zero.tif", "tiff/rgb-float32.tif"
LARGE = "large/phone-200mp.jpg"
FILES = (CONTROL, WHOLE, TIFF, CUT, NEGATIVE, FLOAT, LARGE)
PAGE = "/reports/-/faces"


@pytest.fixture(scope="module")
def reports(shared: Path) -> Path:
    """The folder of the reported files; tests are skipped without."""
    folder = shared / "reports"
    if not folder.exists():
        pytest.skip("../shared/reports is not at hand")
    return folder


@pytest.fixture(scope="module")
def told(
    reports: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, Any]]:
    """The folder that was ingested, the database and what the ingest reported."""
    base = tmp_path_factory.mktemp("reports")
    for name in FILES:
        (base / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(reports / name, base / "photos" / name)
    database = base / "reports.db"
    return base / "photos", database, ingest(database, base / "photos", model="sface")


@pytest.fixture(scope="module")
def pages(told: tuple[Path, Path, dict[str, Any]]) -> Iterator[Site]:
    with site(told[1]) as served:
        yield served


def find_faces(database: Path, name: str) -> list[tuple[Any, ...]]:
    query = (
        "select photos.width, photos.height, round(x), round(y), round(faces.width), "
        "round(faces.height) from photos left join faces on faces.photo_id = photos.id "
        "where path like ?"
    )
    return rows(database, query, f"%/{name}")


def measure_similarity(database: Path, first: str, second: str) -> float:
    query = (
        "select 1 - vec_distance_cosine(one.embedding, other.embedding) "
        "from face_embeddings as one join faces as a on a.id = one.face_id "
        "join photos as p on p.id = a.photo_id, face_embeddings as other "
        "join faces as b on b.id = other.face_id join photos as q on q.id = b.photo_id "
        "where p.path like ? and q.path like ?"
    )
    [(similarity,)] = rows(database, query, f"%/{first}", f"%/{second}")
    return float(similarity)


def test_all_of_them_are_ingested(told):
    assert (told[2]["photos"], told[2]["errors"], told[2]["faults"]) == (len(FILES), [], [])


@pytest.mark.parametrize("name", [CONTROL, WHOLE, TIFF, CUT, NEGATIVE, FLOAT])
def test_the_face_is_where_it_is(told, name):
    [(width, height, *box)] = find_faces(told[1], name)
    assert (width, height) == (352, 480)
    for value, wanted in zip(box, (157, 64, 104, 145), strict=True):
        assert abs(value - wanted) <= 15


def test_boxes_of_200_megapixels_are_in_pixels_of_the_full_size(told):
    [(width, height, *box)] = find_faces(told[1], LARGE)
    assert (width, height) == (16_320, 12_240)
    assert min(box[2:]) > 900
    assert 0 < box[0] < width - box[2]


@pytest.mark.parametrize(
    ("name", "like", "least"),
    [(TIFF, CONTROL, 0.97), (CUT, WHOLE, 0.999), (FLOAT, WHOLE, 0.97), (NEGATIVE, WHOLE, 0.8)],
)
def test_the_face_is_that_of_the_control(told, name, like, least):
    assert measure_similarity(told[1], name, like) >= least


def test_a_scan_is_no_negative(reports):
    grey, control = (
        np.asarray(decode_picture((reports / name).read_bytes()).image.convert("L"), float)
        for name in (NEGATIVE, TIFF)
    )
    assert abs(grey - control).mean() < 1


def test_the_cut_one_says_so_wherever_it_is_listed(told, pages):
    _, database, report = told
    (noted,) = report["damaged"]
    assert noted["path"].endswith(CUT)
    assert noted["reason"].startswith("the picture is damaged")
    found = rows(database, "select path, damage from photos where damage is not null")
    assert found == [(noted["path"], noted["reason"])]
    status = faces("status", database).stdout
    assert f"{noted['path']}\n    {noted['reason']}" in status
    assert json.loads(faces("status", database, "--json").stdout)["damaged"] == 1
    doctor = faces("doctor", database)
    assert (doctor.exit_code, noted["path"] in doctor.stdout) == (0, True)
    [(photo_id,)] = rows(database, "select id from photos where damage is not null")
    assert "The picture is damaged" in pages.get(f"{PAGE}/photo/{photo_id}").text


@pytest.mark.parametrize("name", [TIFF, CUT, NEGATIVE, FLOAT])
def test_an_upload_of_it_finds_it(told, pages, reports, name):
    data = (reports / name).read_bytes()
    answer = pages.post(f"{PAGE}/search.json?k=9", data, "application/octet-stream").json()
    (photo,) = answer["photos"]
    assert (photo["width"], photo["height"], len(photo["faces"])) == (352, 480, 1)
    assert ("damage" in photo) == (name == CUT)
    found = {row["path"]: row["similarity"] for row in answer["results"]}
    assert found[str(told[0] / name)] >= 0.999


def test_an_upload_has_its_own_limit_and_says_which(told, pages, reports):
    data = (reports / LARGE).read_bytes()
    answer = pages.post(f"{PAGE}/search.json", data, "image/jpeg")
    assert answer.status_code == 400
    assert "199,756,800 pixels; 67,108,864 are allowed" in answer.json()["error"]


def test_200_megapixels_are_searched_with_and_exported(told, tmp_path):
    folder, database, _ = told
    result = faces(
        "search", database, folder / LARGE, "-k", 1, "--format", "json", "--model", "sface"
    )
    assert result.exit_code == 0, result.output
    assert LARGE in result.stdout
    exported = faces("export", database, tmp_path / "out.db", "--unnamed")
    assert exported.exit_code == 0, exported.output
    [(size,)] = rows(tmp_path / "out.db", "select count(*) from photos where width = 16320")
    assert size == 1
