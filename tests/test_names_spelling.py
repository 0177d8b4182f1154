"""Names of files and people: é in two compositions is one where it is looked up, and two on the disk."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest
from packets import area, mwg
from test_names_xmp import FRAME

from datasette_faces.media.file_names import expand_pattern, find_path
from datasette_faces.media.scan import Scan, walk_paths
from datasette_faces.people.metadata import picasa
from datasette_faces.people.metadata.read_all import NameReader

pytestmark = pytest.mark.once

NFC, NFD = (normalize(form, "José") for form in ("NFC", "NFD"))
BOTH = pytest.mark.parametrize(("one", "other"), [(NFC, NFD), (NFD, NFC)], ids=["NFC", "NFD"])
WHOLE = area(0, 0, 1, 1)


def skip_where_both_are_one(tmp_path: Path) -> None:
    """Skip the test where the file system holds both compositions to be one file."""
    (tmp_path / f"{NFC}.x").touch()
    if (tmp_path / f"{NFD}.x").exists():
        pytest.skip("this file system knows one composition only")
    (tmp_path / f"{NFC}.x").unlink()


@pytest.fixture(autouse=True)
def keeps_both(tmp_path: Path) -> None:
    """Each of these tests is skipped where both are one."""
    skip_where_both_are_one(tmp_path)


def sources(photo: Path) -> list[tuple[str, str]]:
    found = NameReader().read(str(photo), FRAME)
    return [(region.name, region.source) for region in found.regions]


@BOTH
@pytest.mark.parametrize("sidecar", ["{}.jpg.xmp", "{}.xmp", "{}.JPG.XMP"])
def test_an_xmp_sidecar_is_found(tmp_path, one, other, sidecar):
    (tmp_path / f"{one}.jpg").touch()
    (tmp_path / sidecar.format(other)).write_bytes(mwg(("Ann", WHOLE, "Face")))
    assert sources(tmp_path / f"{one}.jpg") == [("Ann", "mwg")]
    target = NameReader().sidecars.choose_path(str(tmp_path / f"{one}.jpg"))
    assert target == str(tmp_path / sidecar.format(other)), "it is written where it is"


@BOTH
def test_picasa_s_and_takeout_s_names_are_found(tmp_path, one, other):
    (tmp_path / f"{one}-modifié.jpg").touch()
    (tmp_path / f"{other}.jpg.json").write_text('{"people": [{"name": "Zoe"}]}')
    section = f"[{other}-{normalize('NFD', 'modifié')}.jpg]\nfaces=rect64(40006666599a9999),a\n"
    (tmp_path / ".picasa.ini").write_text(f"[Contacts2]\na=Bob;;\n{section}")
    found = sources(tmp_path / f"{normalize('NFC', one)}-modifié.jpg")
    assert ("Zoe", "takeout") in found
    assert picasa.parse_ini(f"[{other}.jpg]\nfaces=x\n".encode()).find_faces(f"{one}.jpg") == "x"


def test_where_both_files_are_there_the_exact_one_counts(tmp_path):
    for spelling in (NFC, NFD):
        (tmp_path / f"{spelling}.jpg").touch()
    (tmp_path / f"{NFD}.jpg.xmp").write_bytes(mwg(("Ann", WHOLE, "Face")))
    (tmp_path / f"{NFD}.jpg.json").write_text('{"people": [{"name": "Zoe"}]}')
    assert sources(tmp_path / f"{NFC}.jpg") == []
    assert sources(tmp_path / f"{NFD}.jpg") == [("Ann", "mwg"), ("Zoe", "takeout")]
    (tmp_path / f"{NFC}.jpg.xmp").write_bytes(mwg(("Eve", WHOLE, "Face")))
    assert sources(tmp_path / f"{NFC}.jpg") == [("Eve", "mwg")]
    assert (
        picasa.parse_ini(f"[{NFC}.jpg]\nfaces=c\n[{NFD}.jpg]\nfaces=d\n".encode()).find_faces(
            f"{NFD}.jpg"
        )
        == "d"
    )


@BOTH
def test_paths_and_globs_are_found_and_stay_as_they_are_on_the_disk(tmp_path, one, other):
    photo = tmp_path / f"{one} & {NFC}" / f"{one}.jpg"
    photo.parent.mkdir()
    photo.touch()
    asked = tmp_path / f"{other} & {NFD}"
    for path in (
        asked / f"{other}.jpg",
        asked / f"{one}.jpg",
        asked / "*.jpg",
        asked / f"{other}*",
    ):
        assert [found.path for found in walk_paths([str(path)], Scan())] == [str(photo)]
    assert find_path(f"{asked}/") == f"{photo.parent}/"
    assert expand_pattern(str(tmp_path / "**" / f"{other}.*")) == [str(photo)]
    nothing = str(tmp_path / f"{one}é" / "x.jpg")
    assert find_path(nothing) == nothing
    (asked / "").mkdir()
    assert find_path(str(asked)) == str(asked), "what is there is meant"
