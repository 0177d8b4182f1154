"""Which frame regions are in, and which place of a name counts: the detected faces say."""

from __future__ import annotations

import pytest
from packets import MP, MWG, RDF, area, mwg
from test_names_xmp import rounded

from datasette_faces.people.metadata import picasa, xmp_read, xmp_write
from datasette_faces.people.metadata.read_all import NameReader
from datasette_faces.people.metadata.regions import (
    Frame,
    NamedRegion,
    ParsedNames,
    invert_area,
    merge_names,
)
from datasette_faces.shapes import Area

pytestmark = pytest.mark.once

ANN, BOB = Area(0.1, 0.2, 0.15, 0.15), Area(0.7, 0.3, 0.15, 0.15)
NOWHERE = Area(0.45, 0.8, 0.1, 0.1)
SIDEWAYS = (5, 6, 7, 8)


def frame_of(orientation: int, *found: Area) -> Frame:
    size = (300, 400) if orientation in SIDEWAYS else (400, 300)
    return Frame(*size, orientation, found)


def written(*named: tuple[str, Area], size: tuple[int, int] | None = None) -> bytes:
    regions = [(name, area(it.x, it.y, it.width, it.height), "Face") for name, it in named]
    return mwg(*regions, size=size)


def microsoft(*named: tuple[str, Area]) -> str:
    listed = "".join(
        f'<rdf:li MPReg:Rectangle="{it.x}, {it.y}, {it.width}, {it.height}"'
        f' MPReg:PersonDisplayName="{name}"/>'
        for name, it in named
    )
    return (
        f"<MP:RegionInfo {MP} rdf:parseType='Resource'><MPRI:Regions><rdf:Bag>{listed}</rdf:Bag>"
        "</MPRI:Regions></MP:RegionInfo>"
    )


def both(mwg_packet: bytes, other: str) -> bytes:
    """A packet with further properties, in a description of their own, as exiftool writes them."""
    end = b"</rdf:RDF>"
    more = f"<rdf:Description rdf:about=''>{other}</rdf:Description>".encode()
    return mwg_packet.replace(end, more + end)


def placed(reading: ParsedNames) -> list[tuple[str, Area | None]]:
    return [(it.name, it.area and rounded(it.area)) for it in reading.regions]


def read(data: bytes, frame: Frame) -> list[tuple[str, Area | None]]:
    return placed(xmp_read.read_xmp(data, frame))


@pytest.mark.parametrize("size", [None, (400, 300), (300, 400), (1000, 1000), (1600, 900)], ids=str)
@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "upright"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_in_either_frame_meet_their_faces_whatever_size_they_name(
    orientation, is_stored, size
):
    frame = frame_of(orientation, ANN, BOB)
    drawn = [invert_area(it, orientation) if is_stored else it for it in (ANN, BOB)]
    reading = xmp_read.read_xmp(written(("Ann", drawn[0]), ("Bob", drawn[1]), size=size), frame)
    assert placed(reading) == [("Ann", ANN), ("Bob", BOB)]
    assert reading.faults == ()


@pytest.mark.parametrize("turn", [6, 8])
def test_regions_of_a_picture_that_was_turned_since_meet_its_faces(turn):
    data = written(("Ann", invert_area(ANN, turn)), size=(300, 400))
    assert read(data, frame_of(1, ANN, BOB)) == [("Ann", ANN)]
    assert read(data, frame_of(1, BOB)) == [("Ann", None)]


@pytest.mark.parametrize("found", [(), (NOWHERE,)], ids=["no faces", "other faces"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_where_faces_say_nothing_the_rule_holds(orientation, found):
    frame = frame_of(orientation, *found)
    assert read(written(("Ann", invert_area(ANN, orientation))), frame) == [("Ann", ANN)]
    upright = (frame.width, frame.height)
    if orientation == 6:
        assert read(written(("Ann", ANN), size=upright), frame) == [("Ann", ANN)]
    assert read(written(("Ann", ANN), size=(1000, 1000)), frame) == [("Ann", None)]


def test_all_regions_of_a_source_are_in_one_frame():
    opposite = invert_area(ANN, 3)
    # As the rule has it Bob's region is on Ann's face; the other way each is on its own
    frame = frame_of(3, ANN, opposite, BOB)
    data = written(("Bob", opposite), ("Ann", ANN), ("Eve", BOB))
    assert read(data, frame) == [("Bob", opposite), ("Ann", ANN), ("Eve", BOB)]
    unnamed = written(("Bob", opposite), ("", ANN), ("", BOB))
    assert read(unnamed, frame) == [("Bob", opposite)], "regions without a name count, too"


def test_where_both_frames_meet_the_same_faces_the_rule_holds_unless_the_other_is_far_closer():
    frame = frame_of(3, ANN, invert_area(ANN, 3))
    assert read(written(("Ann", ANN)), frame) == [("Ann", rounded(invert_area(ANN, 3)))]
    # A head on the wrong face, and exactly the right one
    loose = Area(0.72, 0.6, 0.27, 0.27)
    frame = frame_of(3, ANN, loose)
    assert read(written(("Ann", ANN)), frame) == [("Ann", ANN)]


def test_regions_of_a_cropped_picture_have_places_only_if_each_meets_a_face():
    data = written(("Ann", ANN), ("Bob", NOWHERE), size=(1000, 1000))
    reading = xmp_read.read_xmp(data, frame_of(1, ANN, BOB))
    assert placed(reading) == [("Ann", None), ("Bob", None)]
    assert "another shape (1000 x 1000)" in reading.faults[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_one_name_at_two_places_is_at_the_one_with_a_face(orientation):
    frame = frame_of(orientation, ANN, BOB)
    stored = invert_area(ANN, orientation)
    for others in (microsoft(("Ann", ANN)), microsoft(("ANN", NOWHERE)), microsoft(("Ann", BOB))):
        assert read(both(written(("Ann", stored)), others), frame) == [("Ann", ANN)]
    wrong = both(written(("Ann", NOWHERE)), microsoft(("Ann", stored)))
    assert read(wrong, frame) == [("Ann", ANN)]


def test_of_two_blocks_of_regions_the_one_with_faces_counts_and_no_other_name_is_lost():
    second = written(("Ann", ANN), ("Bob", NOWHERE)).split(b"<rdf:Description")[1]
    inside = second.partition(b">")[2].partition(b"</rdf:Description>")[0].decode()
    spaces = f"<x {RDF} {MWG}>"
    assert inside.startswith("<mwg-rs:Regions"), spaces
    more = inside.replace("<mwg-rs:Regions", f"<mwg-rs:Regions {MWG}", 1)
    data = both(written(("Ann", NOWHERE)), more)
    assert read(data, frame_of(1, ANN)) == [("Ann", ANN), ("Bob", NOWHERE)]


def test_two_places_of_a_name_in_one_source_stay(tmp_path):
    mirror = written(("Ann", ANN), ("Ann", NOWHERE))
    assert read(mirror, frame_of(1, ANN)) == [("Ann", ANN), ("Ann", NOWHERE)]
    once = ParsedNames((NamedRegion("Ann", BOB, "picasa"),))
    merged = merge_names([once, xmp_read.read_xmp(mirror, frame_of(1, ANN))], (ANN,))
    assert placed(merged) == [("Ann", ANN), ("Ann", NOWHERE)]


def test_a_sidecar_and_an_ini_that_disagree_name_one_face(tmp_path):
    (tmp_path / "a.jpg.xmp").write_bytes(written(("Ann", NOWHERE), ("Bob", BOB)))
    (tmp_path / "a.xmp").write_bytes(written(("Bob", NOWHERE)))
    # 0.1, 0.2 to 0.25, 0.35
    ini = "[Contacts2]\na=Ann;;\n[a.jpg]\nfaces=rect64(199933333fff5999),a\n"
    (tmp_path / ".picasa.ini").write_text(ini)
    found = NameReader().read(str(tmp_path / "a.jpg"), frame_of(1, ANN, BOB)).regions
    assert [(it.name, it.source) for it in found] == [("Bob", "mwg"), ("Ann", "picasa")]


def test_picasa_s_rectangles_are_turned_as_the_faces_say():
    ini = picasa.parse_ini(b"[Contacts2]\na=Ann;;\n[a.jpg]\nfaces=rect64(199933333fff5999),a\n")
    for orientation in range(1, 9):
        (found,) = picasa.read_picasa_names(ini, "a.jpg", frame_of(orientation, ANN)).regions
        assert abs(found.area.x - ANN.x) < 1e-4
    (found,) = picasa.read_picasa_names(ini, "a.jpg", frame_of(6)).regions
    assert abs(found.area.x - (1 - 0.35)) < 1e-4


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "upright"])
@pytest.mark.parametrize("size", [(400, 300), (300, 400)], ids=str)
@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_names_are_written_in_the_frame_of_the_regions_that_are_there(orientation, size, is_stored):
    frame = frame_of(orientation, ANN, BOB)
    drawn = invert_area(ANN, orientation) if is_stored else ANN
    before = both(written(("Ann", drawn), size=size), microsoft(("Ann", ANN)))
    ann, bob = (NamedRegion(name, it, "here") for name, it in (("Anna", ANN), ("Bob", BOB)))
    after = xmp_write.write_regions(before, [ann, bob], frame)
    assert read(after, frame)[:2] == [("Anna", ANN), ("Bob", BOB)]
    assert after.count(b"<mwg-rs:Name>") == 2
    assert b'"Anna"' in after, "Microsoft's has the new name, too"
    assert xmp_write.write_regions(after, [ann, bob], frame) == after
