"""Scans that lie on their side or on their head: their people are found, and pages show them upright."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desks import Desk
from pictures import encoded, shipped
from PIL import Image
from running import faces, rows
from scans import make_scans, scan
from serving import Site, asked, copied, metadata_with, site
from test_search_page import found_by

from datasette_faces.algorithms import geometry
from datasette_faces.algorithms.quarter_turns import turn_box, turn_size
from datasette_faces.app.datasette.state import state_of
from datasette_faces.media.decode import decode_picture
from datasette_faces.models import pipeline
from datasette_faces.models.base import Engine
from datasette_faces.models.insightface import InsightFacePack
from datasette_faces.models.manual_box import measure_manual_face
from datasette_faces.models.sface import SFace
from datasette_faces.shapes import Analysis, Box, ManualBox
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

TURNS = (90, 180, 270)
UNLIMITED = metadata_with(uploads_per_minute=0)


def look(image: Image.Image, engine: Engine) -> Analysis:
    return pipeline.analyse(encoded(image, "JPEG", quality=95), engine, detect_px=640)


@pytest.fixture(scope="module")
def sface() -> Engine:
    return SFace().load()


@pytest.fixture(scope="module")
def pack(shared: Path) -> Engine:
    return InsightFacePack("", folder=str(shared / "models" / "insightface-mini")).load()


def assert_same_faces(image: Analysis, upright: Analysis, turned: int, least: float) -> None:
    """Fail unless a turned picture has the faces of the upright one, each at its place."""
    assert (image.photo.turned, len(image.faces)) == (turned, len(upright.faces))
    size = image.photo.width, image.photo.height
    assert turn_size(*size, turned) == (upright.photo.width, upright.photo.height)
    for face in image.faces:
        box = turn_box(face.detection.box, turned, *size)
        overlaps = [geometry.intersection_over_union(box, it.detection.box) for it in upright.faces]
        other = upright.faces[int(np.argmax(overlaps))]
        assert max(overlaps) > 0.75
        assert float(face.embedding @ other.embedding) > least
        assert abs(face.pose.roll - other.pose.roll) < 10


@pytest.mark.parametrize("turned", TURNS)
@pytest.mark.parametrize("what", ["one face", "six faces"])
def test_its_faces_are_those_of_the_upright_picture(sface: Engine, what: str, turned: int) -> None:
    upright = look(scan(what, 0), sface)
    assert upright.photo.turned == 0
    assert_same_faces(look(scan(what, turned), sface), upright, turned, 0.9)


@pytest.mark.parametrize("turned", TURNS)
def test_another_model_turns_it_as_well(pack: Engine, turned: int) -> None:
    upright = look(scan("six faces", 0), pack)
    assert_same_faces(look(scan("six faces", turned), pack), upright, turned, 0.8)


@pytest.mark.parametrize("degrees", [-60, -45, -30, 30, 45, 60, 75, 120, 200])
@pytest.mark.parametrize("what", ["one face", "six faces"])
def test_a_head_that_is_tilted_is_recognised(sface: Engine, what: str, degrees: int) -> None:
    """Of six small faces half may be missed that are tilted by 45 degrees; who is found is known."""
    upright = look(scan(what, 0), sface)
    with Image.open(shipped(what)) as image:
        tilted = image.convert("RGB").rotate(degrees, expand=True, fillcolor=(128, 128, 128))
    known = np.array([face.embedding for face in upright.faces])
    seen = look(tilted, sface)
    assert len(known) // 2 <= len(seen.faces) <= len(known)
    similar = np.array([face.embedding for face in seen.faces]) @ known.T
    # Each is another one, and counts as the same person
    assert len(set(similar.argmax(axis=1))) == len(seen.faces) > 0
    assert similar.max(axis=1).min() > sface.info.threshold


def test_a_head_that_is_upright_is_not_looked_at_again(sface: Engine) -> None:
    def fail(image_rgb: Any) -> Any:
        if image_rgb.shape[:2] == (320, 320):
            pytest.fail("looked at a cut")
        return quickly(image_rgb)

    quickly = sface.detect_quickly
    assert quickly is not None
    image = scan("one face", 0).crop((0, 0, 500, 400))
    found = look(image, replace(sface, detect_quickly=fail))
    assert len(found.faces) == 1


def test_no_upright_photograph_is_turned(real_faces: Any) -> None:
    for model in ("sface", "insightface-mini"):
        assert rows(real_faces(model), "select path from photos where turned != 0") == []


@pytest.mark.parametrize(
    "image",
    [Image.new("RGB", (300, 200), "white"), Image.effect_noise((320, 240), 90).convert("RGB")],
    ids=["white", "noise"],
)
def test_without_a_face_nothing_is_turned(sface: Engine, image: Image.Image) -> None:
    found = look(image, sface)
    assert (found.photo.turned, found.faces) == (0, ())


@pytest.mark.parametrize("turned", TURNS)
def test_a_face_that_is_drawn_in_it_is_measured_upright(sface: Engine, turned: int) -> None:
    image = scan("one face", turned)
    [face] = look(image, sface).faces
    by_hand = ManualBox(face.detection.box, turned=turned)
    drawn = measure_manual_face(encoded(image, "PNG"), sface, by_hand, detect_px=640)
    assert drawn.detection.score > 0.7
    assert float(drawn.embedding @ face.embedding) > 0.9
    # Nor is it turned away where the detector sees nothing: the landmarks are estimated upright
    blank = Image.new("RGB", image.size, "white")
    unseen = measure_manual_face(encoded(blank, "PNG"), sface, by_hand, detect_px=640)
    assert unseen.detection.score == 0
    assert abs(unseen.pose.roll) < 1


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def served(library: Path) -> Iterator[Site]:
    with site(library, metadata=UNLIMITED) as it:
        it.datasette.root_enabled = True
        yield it
        state_of(it.datasette).close()


def test_each_of_its_people_has_one_face_in_every_scan(library: Path) -> None:
    assert rows(library, "select turned from photos order by id") == [(0,), (180,), (90,), (270,)]
    people = "select count(*), count(distinct photo_id) from faces group by person_id"
    assert rows(library, people) == [(4, 4)] * 6


def test_its_page_and_pictures_are_upright(served: Site) -> None:
    upright = decode_picture(served.get("/scans/-/faces/thumbnail/1.jpg").content).pixels()
    for photo_id, turned in ((2, 180), (3, 90), (4, 270)):
        page = served.json(f"/scans/-/faces/photo/{photo_id}.json")
        assert page["photo"]["turned"] == turned
        shown = decode_picture(served.get(f"/scans/-/faces/thumbnail/{photo_id}.jpg").content)
        assert shown.pixels().shape == upright.shape
        assert np.abs(shown.pixels().astype(int) - upright.astype(int)).mean() < 6
        html = served.get(f"/scans/-/faces/photo/{photo_id}").text
        assert 'style="--ratio: 1280 / 886"' in html
        assert 'viewBox="0 0 1280 886"' in html


@pytest.mark.parametrize("turned", [0, *TURNS])
def test_an_upload_finds_its_person_however_either_lies(served: Site, turned: int) -> None:
    picture = encoded(scan("one face", turned), "PNG")
    described = found_by(served, picture, to="/scans/-/faces/search")["photos"]
    assert [it["turned"] for it in described] == [turned]
    group = found_by(served, encoded(scan("six faces", turned), "PNG"), to="/scans/-/faces/search")
    assert {it["photo_id"] for it in group["results"][:4]} == {1, 2, 3, 4}
    assert all(it["similarity"] > 0.8 for it in group["results"][:4])
    assert group["photos"][0]["turned"] == turned


@pytest.mark.parametrize("turned", [0, 180])
def test_commands_find_a_person_by_a_query_that_lies_on_its_head(
    library: Path, tmp_path: Path, turned: int
) -> None:
    query = tmp_path / "query.png"
    scan("six faces", turned).save(query)
    options = ("--face", 2, "-k", 4, "--format", "json")
    in_folder = tmp_path / "folder"
    shutil.copytree(library.parent / "photos", in_folder)
    for command in (
        ("search", library, query, *options),
        ("find", query, in_folder, *options, "--workers", 1),
    ):
        found = json.loads(faces(*command).stdout)["matches"]
        assert len({it["path"] for it in found}) == 4
        assert min(it["similarity"] for it in found) > 0.85


def test_sql_compares_them_as_all_faces(library: Path) -> None:
    nearest = """
        select other.photo_id, max(1 - vec_distance_cosine(theirs.embedding, ours.embedding))
        from face_embeddings as ours join face_embeddings as theirs
        join faces as other on other.id = theirs.face_id
        where ours.face_id = 1 group by other.photo_id
    """
    found = dict(asked(library, nearest))
    assert sorted(found) == [1, 2, 3, 4]
    assert min(found.values()) > 0.85


def test_a_face_is_drawn_where_the_page_shows_it(served: Site, library: Path) -> None:
    [(face_id, *sides)] = rows(
        library, "select id, x, y, width, height from faces where photo_id = 2 order by x limit 1"
    )
    box = turn_box(Box(*sides), 180, 1280, 886)
    place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    answer = Desk(served, database="scans").send(
        "/photo/2.json", action="draw", photo=2, turned=180, **place
    )
    assert (answer.status_code, answer.json()["face_id"]) == (409, face_id)
    wrong = Desk(served, database="scans").send(
        "/photo/2.json", action="draw", photo=2, turned=45, **place
    )
    assert wrong.status_code == 400
    assert "turned takes 0, 90, 180 or 270" in wrong.text


@pytest.fixture(scope="module")
def catalogue(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of the library: everyone in it."""
    out = tmp_path_factory.mktemp("published") / "catalogue.db"
    result = faces("export", library, out, "--unnamed")
    assert result.exit_code == 0, result.output
    return out


def test_a_catalogue_shows_them_upright_and_its_audit_is_clean(
    library: Path, catalogue: Path
) -> None:
    turned = sorted(turn for [turn] in rows(catalogue, "select turned from photos"))
    assert turned == [0, 90, 180, 270]
    with site(catalogue) as it:
        for [photo_id] in rows(catalogue, "select id from photos"):
            picture = decode_picture(it.get(f"/catalogue/-/faces/thumbnail/{photo_id}.jpg").content)
            assert picture.size == (320, 222)
    assert faces("audit", catalogue, "--against", library).exit_code == 0


def test_the_audit_finds_a_message_in_the_turns_of_photos(
    library: Path, catalogue: Path, tmp_path: Path
) -> None:
    turn = "update photos set turned = (turned + 90) % 360 where id = (select min(id) from photos)"
    leak = copied(catalogue, tmp_path / "leak.db", turn)
    result = faces("audit", leak, "--against", library)
    assert result.exit_code != 0
    assert "turned" in result.output


def test_a_file_of_before_shows_its_photos_as_they_are(library: Path, tmp_path: Path) -> None:
    before = copied(
        library,
        tmp_path / "scans.db",
        "alter table photos drop column turned",
        "delete from _sqlite_migrations where name = '0013_turned_photos'",
    )
    with site(before) as it:
        assert it.json("/scans/-/faces/photo/2.json")["photo"]["turned"] is None
        assert decode_picture(it.get("/scans/-/faces/thumbnail/3.jpg").content).size == (443, 640)
        assert 'style="--ratio: 886 / 1280"' in it.get("/scans/-/faces/photo/3").text
    with writing(str(before)):
        assert rows(before, "select distinct turned from photos") == [(0,)]


@pytest.mark.parametrize("value", [45, -90, "x", 10**9])
def test_a_turn_of_no_quarter_is_none(library: Path, tmp_path: Path, value: object) -> None:
    odd = copied(library, tmp_path / "scans.db", ("update photos set turned = ?", [value]))
    with site(odd) as it:
        assert it.json("/scans/-/faces/photo/3.json")["photo"]["turned"] == 0
        assert it.get("/scans/-/faces/photo/3").status_code == 200
        assert it.get("/scans/-/faces/thumbnail/3.jpg").status_code == 200
