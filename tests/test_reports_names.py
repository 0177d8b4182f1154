"""What users of other programs reported: names, dates and places in files as those programs wrote them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from running import faces, ingest, rows

pytestmark = pytest.mark.slow

FOLDERS = ("regions", "names", "exif", "takeout")


@pytest.fixture(scope="module")
def library(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a copy of the reports, which lies beside it."""
    if not (shared / "reports").is_dir():
        pytest.skip("../shared/reports is not at hand")
    folder = tmp_path_factory.mktemp("reports")
    for name in FOLDERS:
        shutil.copytree(shared / "reports" / name, folder / name, copy_function=shutil.copyfile)
        (folder / name).chmod(0o755)
    database = folder / "reports.db"
    ingest(database, *(folder / name for name in FOLDERS), model="sface")
    return database


@pytest.fixture
def names_of(library: Path) -> Callable[[str], list[str | None]]:
    """The names of the faces of a report's photo."""
    query = (
        "select name from faces join photos on photos.id = photo_id "
        "left join people on people.id = person_id where path like ? order by faces.id"
    )
    return lambda part: [name for (name,) in rows(library, query, f"%{part}%")]


@pytest.mark.parametrize(
    ("part", "name"),
    [("disagree-o6", "Ann Upright"), ("stored-area", "Lee Lightroom"), ("/names/", "Nfd Xmp")],
)
def test_the_one_face_is_named_and_there_is_no_other(names_of, part, name):
    assert names_of(part) == [name]


@pytest.mark.parametrize(
    ("photo", "facts"),
    [
        ("date-only.jpg", ("2025-01-14", None, None)),
        ("gps-word-refs.jpg", (None, -34.6, pytest.approx(-58.37, abs=0.01))),
        ("sidecar.jpg", ("1968-07-04T12:00:00", None, None)),
    ],
)
def test_date_and_place_are_what_the_file_or_its_sidecar_says(library, photo, facts):
    query = "select taken_at, latitude, longitude from photos where path like ?"
    assert rows(library, query, f"%/exif/{photo}") == [facts]


def test_an_edited_copy_has_the_names_of_its_original(library):
    query = (
        "select name, source from said_names join photos on photos.id = photo_id where path like ?"
    )
    assert rows(library, query, "%/IMG_5-EFFECTS.jpg") == [("T Effects", "takeout")]


def test_what_is_written_is_read_again_as_the_same_faces(library, tmp_path):
    count = rows(library, "select count(*) from faces")
    assert faces("people", library, "write-xmp").exit_code == 0
    packets = {path.name: path.read_text() for path in (library.parent / "regions").glob("*.xmp")}
    assert [packet.count("<mwg-rs:Name>") for packet in packets.values()] == [1, 1], packets
    again = tmp_path / "again.db"
    ingest(again, *(library.parent / name for name in FOLDERS), model="sface")
    assert rows(again, "select count(*) from faces") == count
