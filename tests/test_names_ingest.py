"""Ingests of what other programs wrote: one face a claim, one person a name, dates that come later."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import quote

import numpy as np
import pytest
from packets import mwg
from PIL import Image
from running import faces, ingest, rows
from serving import site
from test_names_frames import written
from test_names_spelling import NFC, NFD, WHOLE, skip_where_both_are_one
from test_photo_facts import placed, xmp
from toy_model import BLUE, GREEN, RED, SHY, WHITE, draw

from datasette_faces.shapes import Area

pytestmark = pytest.mark.slow

NAMES = (
    "select name, count(*) from faces join people on people.id = person_id "
    "where name is not null group by name order by name"
)
PEOPLE = "select faces.id, name from faces left join people on people.id = person_id order by 1"
LEFT, RIGHT = (Area(x, 0, 0.5, 1) for x in (0, 0.5))


def test_a_name_with_a_face_draws_no_other_one_but_its_mirror_in_the_same_file(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, SHY)
    (photos / "0.png.xmp").write_bytes(written(("Ada", LEFT), size=(80, 40)))
    (photos / "0.xmp").write_bytes(written(("Ada", RIGHT), size=(80, 40)))
    draw(photos / "1.png", BLUE, SHY)
    (photos / "1.png.xmp").write_bytes(written(("Eve", LEFT), ("Eve", RIGHT), size=(80, 40)))
    database = tmp_path / "x.db"
    report = ingest(database, photos)
    assert (report["named"], report["faults"]) == (3, [])
    assert rows(database, PEOPLE) == [(1, "Ada"), (2, "Eve"), (3, "Eve")]
    assert faces("people", database, "write-xmp").exit_code == 0
    assert (photos / "0.png.xmp").read_bytes().count(b"<mwg-rs:Name>") == 1


def test_a_region_of_someone_who_was_named_here_elsewhere_draws_no_face(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, WHITE, SHY)
    draw(photos / "1.png", RED)
    database = tmp_path / "x.db"
    ingest(database, photos)
    assert faces("people", database, "name", 1, "Ada").exit_code == 0
    (photos / "0.png.xmp").write_bytes(written(("ada", Area(2 / 3, 0, 1 / 3, 1)), size=(120, 40)))
    assert ingest(database, photos)["named"] == 0
    assert json.loads(faces("people", database, "import-names", "--json").stdout)["known"] == 1
    assert rows(database, PEOPLE) == [(1, "Ada"), (2, "Ada")]


def test_a_region_draws_someone_whom_grouping_alone_saw_elsewhere(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, WHITE, SHY)
    draw(photos / "1.png", RED)
    database = tmp_path / "x.db"
    ingest(database, photos)
    assert faces("people", database, "name", 1, "Ada").exit_code == 0
    with sqlite3.connect(database) as conn:
        # Only the face in the other photo was named by someone
        conn.execute("delete from decision_faces where sha256 in "
                     "(select sha256 from photos where path like '%0.png')")  # fmt: skip
    conn.close()
    assert rows(database, PEOPLE) == [(1, "Ada"), (2, "Ada")]
    (photos / "0.png.xmp").write_bytes(written(("Ada", Area(2 / 3, 0, 1 / 3, 1)), size=(120, 40)))
    assert ingest(database, photos)["named"] == 1
    assert rows(database, "select x from faces where photo_id = 1 order by 1") == [(0,), (80,)]


def test_a_person_of_two_sources_is_one_and_found_by_either_name(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    skip_where_both_are_one(tmp_path)
    folder = photos / NFD
    folder.mkdir()
    for number, (colour, name) in enumerate([(RED, NFD), (BLUE, NFC), (GREEN, NFD)]):
        draw(folder / f"{NFD}{number}.png", colour)
        packet = mwg((name, WHOLE, "Face"), size=(40, 40))
        (folder / f"{NFC}{number}.png.xmp").write_bytes(packet)
    database = tmp_path / "x.db"
    assert ingest(database, photos / NFC / f"{NFC}*.png")["named"] == 3
    assert rows(database, NAMES) == [(NFC, 3)]
    assert {path for (path,) in rows(database, "select path from photos")} == {
        str(folder / f"{NFD}{number}.png") for number in range(3)
    }
    for number, name in enumerate((NFD, NFC.upper())):
        assert faces("people", database, "name", name, f"{NFD} {number}").exit_code == 0
        assert rows(database, NAMES) == [(f"{NFC} {number}", 3)]
        assert faces("people", database, "name", f"{NFD} {number}", NFC).exit_code == 0
    found = faces("search", database, photos / NFC / f"{NFC}0.png", "--format", "json")
    assert json.loads(found.stdout), found.output
    with site(database) as served:
        for form in ("NFC", "NFD"):
            name, place = (quote(normalize(form, it)) for it in (NFC, str(folder)))
            everyone = served.get(f"/x/-/faces/people.json?q={name}").json()["people"]
            assert [person["name"] for person in everyone] == [NFC]
            path = f"/x/-/faces/search.json?face=1&threshold=-1&folder={place}"
            assert {it["face_id"] for it in served.get(path).json()["results"]} >= {2, 3}
    lines = faces("people", database, "export").stdout
    other, log = tmp_path / "other.db", tmp_path / "decisions.jsonl"
    ingest(other, photos, "--no-names")
    log.write_text(normalize("NFD", lines))
    assert faces("people", other, "import", log).exit_code == 0
    assert rows(other, NAMES) == [(NFC, 3)]


def test_a_renamed_file_keeps_its_photo(toy: Any, photos: Path, tmp_path: Path) -> None:
    skip_where_both_are_one(tmp_path)
    database = tmp_path / "x.db"
    draw(photos / f"{NFC}.png", RED)
    ingest(database, photos)
    (photos / f"{NFC}.png").rename(photos / f"{NFD}.png")
    assert ingest(database, photos)["moved"] == 1
    assert rows(database, "select id, path, missing_since from photos") == [
        (1, str(photos / f"{NFD}.png"), None)
    ]


@pytest.mark.parametrize(("there", "said"), [(NFC, NFD), (NFD, NFC)])
def test_a_vanished_file_is_missing_however_its_name_is_composed(
    toy: Any, photos: Path, tmp_path: Path, there: str, said: str
) -> None:
    skip_where_both_are_one(tmp_path)
    database, folder = tmp_path / "x.db", photos / there
    folder.mkdir()
    for name in (there, "other"):
        draw(folder / f"{name}.png", RED, note=name)
    ingest(database, folder)
    (folder / f"{there}.png").unlink()
    for named in (photos / said / f"{said}.png", folder / f"{said}.png"):
        with sqlite3.connect(database) as conn:
            conn.execute("update photo_paths set missing_since = null")
        conn.close()
        faces("ingest", database, named, folder / "other.png", "--workers", "1")
        gone = "select path from photo_paths where missing_since is not null"
        assert rows(database, gone) == [(str(folder / f"{there}.png"),)]


FACTS = "select taken_at, latitude, longitude from photos order by id"


def test_an_ingest_reads_dates_and_places_that_came_or_changed_since(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED)
    ingest(database, photos)
    assert rows(database, FACTS) == [(None, None, None)]
    sidecar.write_bytes(placed("34,36.0S"))
    ingest(database, photos)
    assert rows(database, FACTS) == [(None, -34.6, -58.37)]
    sidecar.write_bytes(xmp(photoshop_DateCreated="1968-07-04"))
    ingest(database, photos, "--no-names")
    assert rows(database, FACTS) == [("1968-07-04", None, None)]
    assert rows(database, "select photo_taken_at from faces") == [("1968-07-04",)]
    draw(photos / "0.png", RED, note="another caption")
    ingest(database, photos, "--no-names")
    assert rows(database, FACTS) == [("1968-07-04", None, None)]
    sidecar.unlink()
    ingest(database, photos)
    assert rows(database, FACTS) == [(None, None, None)]


OWNED = ("1950-07-01", 48.2, 16.4)


def set_facts(database: Path, *facts: object) -> None:
    with sqlite3.connect(database) as conn:
        conn.execute("update photos set taken_at = ?, latitude = ?, longitude = ?", facts)
    conn.close()


def test_an_owner_s_date_and_place_stay_whatever_files_say_later(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED)
    ingest(database, photos)
    set_facts(database, *OWNED)
    for packet in (mwg(size=(40, 40)), xmp(photoshop_DateCreated="1968"), placed("34,36.0S")):
        sidecar.write_bytes(packet)
        ingest(database, photos)
        assert rows(database, FACTS) == [OWNED]
    draw(photos / "0.png", RED, note="another caption")
    ingest(database, photos)
    sidecar.unlink()
    ingest(database, photos, "--no-names")
    assert rows(database, FACTS) == [OWNED]


def test_an_owner_s_date_stays_beside_a_file_of_an_earlier_version(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED)
    ingest(database, photos)
    set_facts(database, *OWNED)
    with sqlite3.connect(database) as conn:
        conn.execute("update names_read set sidecars = ?", ["0" * 64])
    conn.close()
    sidecar.write_bytes(xmp(photoshop_DateCreated="1968"))
    ingest(database, photos)
    assert rows(database, FACTS) == [OWNED]


def test_a_sidecar_s_corrected_date_counts_and_what_an_owner_emptied_stays_empty(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED)
    for day in ("1968", "1969-01", "1967"):
        sidecar.write_bytes(xmp(photoshop_DateCreated=day))
        ingest(database, photos)
        assert rows(database, FACTS) == [(day, None, None)]
    set_facts(database, None, None, None)
    sidecar.write_bytes(xmp(photoshop_DateCreated=day, photoshop_City="Graz"))
    ingest(database, photos)
    assert rows(database, FACTS) == [(None, None, None)]
    sidecar.write_bytes(xmp(photoshop_DateCreated="1966"))
    ingest(database, photos)
    assert rows(database, FACTS) == [("1966", None, None)]


@pytest.mark.parametrize("options", [(), ("--no-names",)])
def test_a_sidecar_that_cannot_be_read_now_is_read_by_the_next_ingest(
    toy: Any,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    from datasette_faces.people.metadata import sidecars

    def fail(path: str) -> None:
        raise OSError(5, "Input/output error", path)

    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED)
    sidecar.write_bytes(xmp(photoshop_DateCreated="1968"))
    ingest(database, photos, *options)
    sidecar.write_bytes(xmp(photoshop_DateCreated="1968-07"))
    with monkeypatch.context() as broken:
        broken.setattr(sidecars, "open_without_blocking", fail)
        report = ingest(database, photos, *options)
    assert ["Input/output error" in fault for _, fault in report["faults"]] == [True]
    assert rows(database, FACTS) == [("1968", None, None)]
    assert ingest(database, photos, *options)["faults"] == []
    assert rows(database, FACTS) == [("1968-07", None, None)]


@pytest.mark.parametrize("name", [".picasa.ini", "0.png.json"])
def test_names_wait_for_every_file_beside_a_photo(
    toy: Any, photos: Path, tmp_path: Path, name: str
) -> None:
    database = tmp_path / "x.db"
    draw(photos / "0.png", RED)
    (photos / "0.png.xmp").write_bytes(mwg(("Ada", WHOLE, "Face"), size=(40, 40)))
    (photos / name).symlink_to(photos / "gone")
    assert ingest(database, photos)["named"] == 0
    (photos / name).unlink()
    assert ingest(database, photos)["named"] == 1


def test_each_photo_is_read_once_for_dates_and_once_more_for_names(
    toy: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasette_faces.people import import_names

    read: list[str] = []
    original = import_names.read_photo_file

    def spy(path: str) -> bytes:
        read.append(path)
        return original(path)

    monkeypatch.setattr(import_names, "read_photo_file", spy)
    database = tmp_path / "x.db"
    draw(photos / "0.png", RED)
    counts = []
    for options in (("--no-names",), ("--no-names",), (), (), ("--no-names",)):
        ingest(database, photos, *options)
        counts.append(len(read))
    assert counts == [1, 1, 2, 2, 2]


def test_a_short_date_is_published_and_found_as_it_is(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    for number, day in enumerate(("1968", "1968-07", "1968-07-04")):
        draw(photos / f"{number}.png", RED, note=day)
        (photos / f"{number}.png.xmp").write_bytes(xmp(xmp_CreateDate=day))
    database, catalogue = tmp_path / "x.db", tmp_path / "catalogue.db"
    ingest(database, photos)
    assert faces("people", database, "name", 1, "Ada").exit_code == 0
    result = faces("export", database, catalogue)
    assert result.exit_code == 0, result.output
    published = "select taken_at from photos order by id"
    assert rows(catalogue, published) == [("1968",), ("1968-07",), ("1968-07-04",)]


def third(place: int) -> Area:
    return Area(place / 3, 0, 1 / 3, 1)


def test_no_region_draws_a_forgotten_face_in_an_edited_photo(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED, SHY)
    sidecar.write_bytes(written(("Ada", LEFT), ("Sylvester", RIGHT), size=(80, 40)))
    assert ingest(database, photos)["named"] == 2
    assert faces("forget", database, "--person", "Sylvester", "--yes").exit_code == 0
    for colours, regions in (
        ((SHY, RED, WHITE), [("Sylvester", third(0)), ("Ada", third(1))]),
        ((WHITE, RED, SHY), [("sylvester", third(2))]),
    ):
        draw(photos / "0.png", *colours)
        sidecar.write_bytes(written(*regions, size=(120, 40)))
        ingest(database, photos)
        assert [name for _, name in rows(database, PEOPLE)] == ["Ada"]
    draw(photos / "0.png", WHITE, RED, SHY, note="another caption")
    ingest(database, photos)
    assert [name for _, name in rows(database, PEOPLE)] == ["Ada"]


def test_a_region_elsewhere_draws_its_face_where_another_one_was_forgotten(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    database, sidecar = tmp_path / "x.db", photos / "0.png.xmp"
    draw(photos / "0.png", RED, SHY, SHY)
    sidecar.write_bytes(written(("Ada", third(0)), ("Sylvester", third(1)), size=(120, 40)))
    assert ingest(database, photos)["named"] == 2
    assert faces("forget", database, "--person", "Sylvester", "--yes").exit_code == 0
    regions = [(name, third(place)) for place, name in enumerate(("Ada", "Sylvester", "Sy"))]
    sidecar.write_bytes(written(*regions, size=(120, 40)))
    assert ingest(database, photos)["named"] == 1
    assert [name for _, name in rows(database, PEOPLE)] == ["Ada", "Sy"]


@pytest.mark.parametrize("drawn_into_grey", [False, True])
def test_a_name_in_the_lost_part_of_a_photo_waits_for_the_whole_copy(
    toy: Any,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn_into_grey: bool,
) -> None:
    from datasette_faces.people.import_names import metadata_faces

    database, photo = tmp_path / "x.db", photos / "0.png"
    pixels = np.random.default_rng(0).integers(0, 256, (80, 40, 3), np.uint8)
    pixels[15:25, 15:25], pixels[55:65, 15:25] = RED, BLUE
    Image.fromarray(pixels).save(photo)
    whole = photo.read_bytes()
    lower = Area(0, 0.5, 1, 0.5)
    (photos / "0.png.xmp").write_bytes(written(("Eve", lower), size=(40, 80)))
    photo.write_bytes(whole[: len(whole) * 2 // 3])
    with monkeypatch.context() as former:
        if drawn_into_grey:  # as an earlier version did
            former.setattr(metadata_faces, "is_damaged", lambda *_: False)
        assert ingest(database, photos)["named"] == int(drawn_into_grey)
    assert rows(database, "select damage is null from photos") == [(0,)]
    photo.write_bytes(whole)
    assert ingest(database, photos)["named"] == 1
    assert [name for _, name in rows(database, PEOPLE)].count("Eve") == 1
    assert ingest(database, photos)["named"] == 0
