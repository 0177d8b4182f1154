"""Names into XMP sidecars: other programs read them, all else stays, and nothing is overwritten."""

from __future__ import annotations

import os
import stat
import string
import unicodedata
from pathlib import Path

import pytest
from exiftool import exiftool, told
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import DIGIKAM, LIGHTROOM, MICROSOFT, MP, PICASA, area, mwg, packet
from test_names_xmp import ANN, BOB, FRAME, HERE, places

from datasette_faces.algorithms.box_matching import may_be_same_face
from datasette_faces.algorithms.geometry import intersection_over_union
from datasette_faces.errors import NamesError
from datasette_faces.people.metadata import xml_safe, xmp_read
from datasette_faces.people.metadata.rdf import PREFIXES
from datasette_faces.people.metadata.regions import FACE, PET, Frame, NamedRegion
from datasette_faces.people.metadata.sidecars import (
    CONTACTS,
    TAKEOUT,
    XMP,
    Sidecar,
    SidecarFinder,
    read_sidecar,
    write_sidecar,
)
from datasette_faces.people.metadata.sidecars import PICASA as PICASA_INI
from datasette_faces.people.metadata.xmp_write import write_regions
from datasette_faces.shapes import Area

pytestmark = pytest.mark.once


def region(name: str, place: Area | None, kind: str = FACE) -> NamedRegion:
    return NamedRegion(name, place, "mwg", kind)


EVERYONE = [region("Ann Smith", ANN), region("Bob |& <Söhne> 👪", BOB), region("مريم", None)]


def simple_values(data: bytes) -> list[tuple[str, str]]:
    """Every attribute and every text in a packet, with its name."""
    found = []
    for element in xml_safe.parse_xml(data).root.walk():
        found += [(name[1], value) for name, value in element.attributes.items()]
        found += [(element.name[1], element.text.strip())] if element.text.strip() else []
    return found


def test_a_new_sidecar_holds_what_was_written():
    data = write_regions(None, EVERYONE, FRAME)
    assert places(xmp_read.read_xmp(data, FRAME)) == {it.name: it.area for it in EVERYONE}


def test_exiftool_reads_what_was_written(tmp_path):
    path = tmp_path / "photo.jpg.xmp"
    path.write_bytes(
        write_regions(None, [*EVERYONE, region("Rex", Area(0, 0, 0.1, 0.1), PET)], FRAME)
    )
    said = told(path, "-XMP-mwg-rs:all", "-XMP-iptcExt:all", "-validate")
    info = said["XMP-mwg-rs:RegionInfo"]
    assert info["AppliedToDimensions"] == {"W": 400, "H": 300, "Unit": "pixel"}
    assert [(it["Name"], it["Type"]) for it in info["RegionList"]] == [
        ("Ann Smith", "Face"),
        ("Bob |& <Söhne> 👪", "Face"),
        ("Rex", "Pet"),
    ]
    assert info["RegionList"][0]["Area"] == {
        "X": 0.3,
        "Y": 0.5,
        "W": 0.1,
        "H": 0.2,
        "Unit": "normalized",
    }
    assert said["XMP-iptcExt:PersonInImage"] == ["Ann Smith", "Bob |& <Söhne> 👪", "مريم"]


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_written_areas_apply_to_the_stored_picture_and_come_back_upright(tmp_path, orientation):
    frame = Frame(300, 400, orientation) if orientation > 4 else Frame(400, 300, orientation)
    path = tmp_path / "photo.jpg.xmp"
    path.write_bytes(write_regions(None, [region("Ann", ANN)], frame))
    info = told(path, "-XMP-mwg-rs:all")["XMP-mwg-rs:RegionInfo"]
    assert info["AppliedToDimensions"]["W"] == 400
    (there,) = info["RegionList"]
    centre = (there["Area"]["X"], there["Area"]["Y"])
    assert centre == {1: (0.3, 0.5), 3: (0.7, 0.5), 6: (0.5, 0.7), 8: (0.5, 0.3)}[orientation]
    assert places(xmp_read.read_xmp(path.read_bytes(), frame)) == {"Ann": ANN}


@pytest.mark.parametrize("before", [LIGHTROOM, DIGIKAM, PICASA, MICROSOFT])
def test_everything_that_was_in_a_sidecar_stays(before):
    new = region("Eve", Area(0.02, 0.02, 0.1, 0.1))
    after = write_regions(before, [new], FRAME)
    was, now = simple_values(before), simple_values(after)
    for value in was:
        assert now.count(value) >= was.count(value), value
    assert places(xmp_read.read_xmp(after, FRAME)) == {
        **places(xmp_read.read_xmp(before, FRAME)),
        "Eve": new.area,
    }


@pytest.mark.parametrize("before", [None, LIGHTROOM, DIGIKAM, PICASA, MICROSOFT])
def test_the_same_names_twice_give_the_same_bytes(before):
    once = write_regions(before, EVERYONE, FRAME)
    assert write_regions(once, EVERYONE, FRAME) == once


@pytest.mark.parametrize("before", [LIGHTROOM, DIGIKAM, PICASA, MICROSOFT])
def test_writing_no_names_changes_nothing_that_matters(before):
    after = write_regions(before, [], FRAME)
    assert simple_values(after) == simple_values(before)
    assert after.count(b"<?xpacket") == 2


def test_an_existing_region_keeps_its_box_and_gets_the_name():
    near = Area(ANN.x + 0.01, ANN.y + 0.03, ANN.width * 0.7, ANN.height * 0.7)
    after = write_regions(DIGIKAM, [region("Anna Jones", near)], FRAME)
    assert places(xmp_read.read_xmp(after, FRAME)) == {"Anna Jones": ANN, "Bob": BOB}
    assert b"Ann Smith" not in after.replace(b"People/Ann Smith", b"")
    assert after.count(b'PersonDisplayName="Anna Jones"') == 1


def test_a_face_without_a_name_is_given_one():
    unnamed = Area(0.75, 0.75, 0.1, 0.1)
    after = write_regions(LIGHTROOM, [region("Eve", unnamed)], FRAME)
    assert places(xmp_read.read_xmp(after, FRAME)) == {"Ann Smith": ANN, "Eve": unnamed}
    assert after.count(b"stArea:x") == 2


def test_a_pet_and_a_face_in_one_place_are_two():
    before = mwg(("Rex", HERE, "Pet"))
    after = write_regions(before, [region("Ann", ANN)], FRAME)
    assert {it.name: it.kind for it in xmp_read.read_xmp(after, FRAME).regions} == {
        "Rex": PET,
        "Ann": FACE,
    }


def test_a_new_name_takes_the_old_one_s_place_among_the_persons():
    first = write_regions(None, [region("Ann", ANN), region("Eve", None)], FRAME)
    again = write_regions(first, [region("Anna", ANN)], FRAME)
    assert [it.name for it in xmp_read.read_xmp(again, FRAME).regions] == ["Anna", "Eve"]


def test_a_name_that_a_region_of_microsoft_s_still_has_stays_among_the_persons():
    first = write_regions(MICROSOFT, [region("Ann Smith", None), region("Carl", BOB)], FRAME)
    again = write_regions(first, [region("Dan", BOB)], FRAME)
    assert places(xmp_read.read_xmp(again, FRAME)) == {"Ann Smith": ANN, "Dan": BOB, "Carl": None}


def test_a_name_that_is_only_spelled_otherwise_is_left_as_it_is():
    before = write_regions(None, [region("Zoe\u0308  Doe", ANN)], FRAME)
    assert write_regions(before, [region("Zo\u00eb Doe", ANN)], FRAME) == before


def test_a_single_person_becomes_a_list():
    iptc = 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    for before in (
        packet("<Iptc4xmpExt:PersonInImage>Eve</Iptc4xmpExt:PersonInImage>", iptc),
        packet("", f'{iptc} Iptc4xmpExt:PersonInImage="Eve"'),
    ):
        after = write_regions(before, [region("Ann", None)], FRAME)
        assert places(xmp_read.read_xmp(after, FRAME)) == {"Eve": None, "Ann": None}


def test_regions_of_the_upright_picture_stay_so():
    frame = Frame(300, 400, orientation=6)
    before = mwg(("Ann", HERE, "Face"), size=(300, 400))
    after = write_regions(before, [region("Ann", ANN), region("Bob", BOB)], frame)
    assert places(xmp_read.read_xmp(after, frame)) == {"Ann": ANN, "Bob": BOB}
    assert b'stDim:w="300"' in after


def test_regions_of_another_shape_are_not_mixed_with_new_ones():
    with pytest.raises(NamesError, match="another shape"):
        write_regions(mwg(("Ann", HERE, "Face"), size=(500, 500)), [region("Bob", BOB)], FRAME)


@pytest.mark.parametrize("before", [b"<html/>", b"\x89PNG", b"<!DOCTYPE x><x/>"])
def test_names_are_added_to_xmp_only(before):
    with pytest.raises(NamesError):
        write_regions(before, EVERYONE, FRAME)


def test_an_empty_sidecar_is_written_as_a_new_one():
    assert write_regions(b"\n", EVERYONE, FRAME) == write_regions(None, EVERYONE, FRAME)


STRANGE = packet(
    '<!-- by hand --><?note keep?><my:list xmlns:my="http://example.org/my"><rdf:Seq><rdf:li '
    'xml:lang="de">Grüße &amp; &lt;mehr&gt;&#13;\n</rdf:li></rdf:Seq></my:list>'
    '<other:mwg-rs xmlns:other="http://example.org/other" other:a="1&#10;2&quot;">\t</other:mwg-rs>'
    '<mwg-rs:foreign xmlns:mwg-rs="http://example.org/not-mwg">x</mwg-rs:foreign>'
    '<plain xmlns="http://example.org/default"><inner b="2"/></plain>',
    'xmlns:stArea="http://example.org/not-stArea" stArea:kept="yes"',
)


def test_strange_namespaces_comments_and_spaces_survive():
    after = write_regions(STRANGE, EVERYONE, FRAME)
    for part in (b"<!-- by hand -->", b"<?note keep?>", b'other:a="1&#10;2&quot;"', b">\t<", b"&#13;\n",
                 b'xmlns:mwg-rs="http://example.org/not-mwg"', b'stArea:kept="yes"'):  # fmt: skip
        assert part in after
    assert simple_values(STRANGE) == [
        it for it in simple_values(after) if it in simple_values(STRANGE)
    ]
    assert places(xmp_read.read_xmp(after, FRAME)) == {it.name: it.area for it in EVERYONE}


@pytest.mark.slow
def test_what_exiftool_wrote_keeps_all_that_exiftool_reads(tmp_path):
    path = tmp_path / "photo.xmp"
    exiftool(
        "-XMP-dc:Subject=harbour", "-XMP-dc:Title-de=Titel", "-XMP-xmp:Rating=4",
        "-XMP-exif:GPSLatitude=47.5", "-XMP-iptcExt:PersonInImage=Eve",
        "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=400,H=300,Unit=pixel},RegionList=[{Area={"
        "X=0.9,Y=0.9,W=0.1,H=0.1,Unit=normalized},Name=Rex,Type=Pet,Description=a dog}]}", path,
    )  # fmt: skip
    before = told(path, "-XMP:all")
    path.write_bytes(write_regions(path.read_bytes(), EVERYONE, FRAME))
    after = told(path, "-XMP:all")
    regions = after["XMP-mwg-rs:RegionInfo"]["RegionList"]
    assert regions[0] == before["XMP-mwg-rs:RegionInfo"]["RegionList"][0]
    assert [it["Name"] for it in regions] == ["Rex", "Ann Smith", "Bob |& <Söhne> 👪"]
    assert after["XMP-iptcExt:PersonInImage"] == ["Eve", *(it.name for it in EVERYONE)]
    changed = {"XMP-mwg-rs:RegionInfo", "XMP-iptcExt:PersonInImage"}
    assert {key: it for key, it in after.items() if key not in changed} == {
        key: it for key, it in before.items() if key not in changed
    }


def test_exiftool_changes_what_was_written_and_it_is_read_again(tmp_path):
    path = tmp_path / "photo.xmp"
    path.write_bytes(write_regions(LIGHTROOM, EVERYONE, FRAME))
    exiftool("-XMP-xmp:Rating=3", "-overwrite_original", path)
    names = {it.name: it.area for it in EVERYONE}
    assert places(xmp_read.read_xmp(path.read_bytes(), FRAME)) == names


letters = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Co", "Cn", "Zl", "Zp")),
    min_size=1,
    max_size=40,
).map(lambda text: " ".join(text.split()))
parts = st.floats(0.001, 0.2)
areas = st.builds(Area, st.floats(0, 0.8), st.floats(0, 0.8), parts, parts)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(letters, areas), max_size=6),
    st.sampled_from([None, LIGHTROOM, DIGIKAM, PICASA, MICROSOFT, STRANGE]),
    st.integers(1, 8),
)
def test_any_names_are_read_again_and_writing_twice_changes_nothing(faces, before, orientation):
    frame = Frame(300, 400, orientation) if orientation > 4 else Frame(400, 300, orientation)
    regions: list[NamedRegion] = []
    for name, place in faces:
        name = unicodedata.normalize("NFC", name)
        if name and not any(may_be_same_face(place, it.area) for it in regions if it.area):
            regions.append(region(name, place))
    data = write_regions(before, regions, frame)
    again = xmp_read.read_xmp(data, frame)
    assert write_regions(data, regions, frame) == data
    assert not again.faults
    for wanted in regions:
        assert any(it.name == wanted.name for it in again.regions)
        if before in (None, STRANGE):
            close = [it for it in again.regions if it.name == wanted.name and it.area]
            assert (
                max(intersection_over_union(it.area, wanted.area) for it in close if it.area) > 0.99
            )


xml_names = st.text(string.ascii_letters, min_size=1, max_size=5)
xml_texts = st.text(
    st.characters(blacklist_categories=("Cs",)).filter(
        lambda it: not xml_safe.NOT_XML_CHARACTER.match(it)
    ),
    max_size=12,
)


def trees(children: st.SearchStrategy[xml_safe.Element]) -> st.SearchStrategy[xml_safe.Element]:
    spaces = st.sampled_from(["", "http://a.example", "http://b.example", *PREFIXES])
    name = st.tuples(spaces, xml_names)
    return st.builds(
        lambda name, attributes, children: xml_safe.Element(name, attributes, children),
        name,
        st.dictionaries(name, xml_texts, max_size=3),
        st.lists(xml_texts.filter(bool) | children, max_size=4),
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.recursive(trees(st.nothing()), trees, max_leaves=8))
def test_any_tree_is_read_as_it_was_written(root):
    data = xml_safe.serialize_xml(xml_safe.Document(root, [], []), PREFIXES)
    again = xml_safe.serialize_xml(xml_safe.parse_xml(data), PREFIXES)
    assert again == data

    def said(element: xml_safe.Element) -> list[object]:
        return [(it.name, it.attributes, "".join(it.text.split())) for it in element.walk()]

    assert said(xml_safe.parse_xml(data).root) == said(root)


def test_a_sidecar_is_written_whole_with_the_permissions_it_had(tmp_path):
    path = tmp_path / "photo.jpg.xmp"
    data = write_regions(None, EVERYONE, FRAME)
    write_sidecar(str(path), data, before=None)
    assert path.read_bytes() == data
    path.chmod(0o640)
    write_sidecar(str(path), write_regions(data, [], FRAME), before=data)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["photo.jpg.xmp"]


def test_a_link_to_a_sidecar_stays_a_link(tmp_path):
    target, link = tmp_path / "elsewhere.xmp", tmp_path / "photo.xmp"
    target.write_bytes(PICASA)
    link.symlink_to(target)
    write_sidecar(str(link), LIGHTROOM, before=PICASA)
    assert link.is_symlink()
    assert target.read_bytes() == LIGHTROOM


@pytest.mark.parametrize(
    ("name", "there", "before", "data", "reason"),
    [
        ("photo.jpg", None, None, LIGHTROOM, "must end in .xmp"),
        ("photo.xmp", b"my notes", b"my notes", LIGHTROOM, "damaged"),
        ("photo.xmp", b"<html/>", b"<html/>", LIGHTROOM, "not XMP"),
        ("photo.xmp", None, None, b"", "damaged"),
        ("photo.xmp", None, None, b"no XMP", "damaged"),
        ("photo.xmp", PICASA, None, LIGHTROOM, "changed by another program"),
        ("photo.xmp", PICASA, DIGIKAM, LIGHTROOM, "changed by another program"),
        ("photo.xmp", None, PICASA, LIGHTROOM, "changed by another program"),
        ("no/such/folder.xmp", None, None, LIGHTROOM, "cannot be written"),
    ],
)
def test_nothing_else_is_overwritten(tmp_path, name, there, before, data, reason):
    path = tmp_path / name
    if there is not None:
        path.write_bytes(there)
    with pytest.raises(NamesError, match=reason):
        write_sidecar(str(path), data, before=before)
    assert (path.read_bytes() if there is not None else None) == there
    assert os.listdir(tmp_path) == ([name] if there is not None else [])


def test_sidecars_are_found_in_upper_and_lower_case(tmp_path):
    for name in ("IMG_1.JPG", "IMG_1.JPG.XMP", "img_1.xmp", ".picasa.ini", "contacts.xml",
                 "IMG_1.JPG.supplemental-metadata.json", "IMG_10.xmp", "other.json"):  # fmt: skip
        (tmp_path / name).touch()
    found = SidecarFinder().find(str(tmp_path / "IMG_1.JPG"))
    assert [(Path(it.path).name, it.kind) for it in found] == [
        ("IMG_1.JPG.XMP", XMP),
        ("img_1.xmp", XMP),
        (".picasa.ini", PICASA_INI),
        ("contacts.xml", CONTACTS),
        ("IMG_1.JPG.supplemental-metadata.json", TAKEOUT),
    ]


def test_a_folder_is_listed_once_and_no_file_is_opened(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    listed: list[str] = []
    listing = os.listdir

    def count(folder: str) -> list[str]:
        listed.append(folder)
        return listing(folder)

    monkeypatch.setattr(os, "listdir", count)
    sidecars = SidecarFinder()
    for number in range(50):
        assert sidecars.find(str(tmp_path / f"{number}.jpg")) == []
    assert listed == [str(tmp_path)]


def test_a_folder_that_is_gone_has_no_sidecars(tmp_path):
    assert SidecarFinder().find(str(tmp_path / "gone" / "photo.jpg")) == []


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (["a.jpg"], "a.jpg.xmp"),
        (["a.jpg", "a.xmp"], "a.xmp"),
        (["a.jpg", "a.xmp", "a.cr2"], "a.jpg.xmp"),
        (["a.jpg", "a.xmp", "a.jpg.xmp"], "a.jpg.xmp"),
        (["a.jpg", "A.JPG.XMP"], "A.JPG.XMP"),
    ],
)
def test_names_go_to_the_sidecar_that_is_the_photo_s_own(tmp_path, there, written):
    for name in there:
        (tmp_path / name).touch()
    assert SidecarFinder().choose_path(str(tmp_path / "a.jpg")) == str(tmp_path / written)


def test_a_sidecar_that_is_too_large_or_gone_is_refused_with_a_reason(tmp_path):
    path = tmp_path / "a.xmp"
    with path.open("wb") as stream:
        stream.truncate(xml_safe.MAX_BYTES + 1)
    with pytest.raises(NamesError, match="larger than 16 MB"):
        read_sidecar(Sidecar(str(path), XMP))
    with pytest.raises(NamesError, match="cannot be read"):
        read_sidecar(Sidecar(str(tmp_path), XMP))
    path.unlink()
    with pytest.raises(NamesError, match="cannot be read"):
        read_sidecar(Sidecar(str(path), XMP))


def written_area(place: Area) -> str:
    return area(place.x, place.y, place.width, place.height)


def in_blocks(*packets: bytes) -> bytes:
    """A packet with the descriptions of several."""
    start, end = b"<rdf:Description", b"</rdf:RDF>"
    head, tail = packets[0].split(start)[0], packets[0][packets[0].index(end) :]
    inside = [data[data.index(start) : data.index(end)] for data in packets]
    return head + b"".join(inside) + tail


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_region_gets_its_name_in_whichever_block_it_is(order):
    blocks = [
        mwg(("Ann", written_area(ANN), "Face")),
        mwg(("Bob", written_area(BOB), "Face")),
        packet(
            "<MP:RegionInfo rdf:parseType='Resource'><MPRI:Regions><rdf:Bag><rdf:li "
            f"MPReg:PersonDisplayName='Bob' MPReg:Rectangle='{BOB.x},{BOB.y},{BOB.width},{BOB.height}'"
            "/></rdf:Bag></MPRI:Regions></MP:RegionInfo>",
            MP,
        ),
    ]
    data = in_blocks(*(blocks[number] for number in order))
    same = write_regions(data, [region("Bob", BOB), region("Ann", ANN)], FRAME)
    assert (same.count(b"<mwg-rs:Name>"), same.count(b"Robert")) == (2, 0)
    renamed = write_regions(data, [region("Robert", BOB)], FRAME)
    assert renamed.count(b"<mwg-rs:Name>") == 2
    assert b"Bob" not in renamed
    assert {it.name for it in xmp_read.read_xmp(renamed, FRAME).regions} == {"Ann", "Robert"}
    again = write_regions(renamed, [region("Robert", BOB)], FRAME)
    assert again == renamed


def test_a_new_region_is_added_once_to_the_first_of_several_blocks():
    data = in_blocks(mwg(("Rex", HERE, "Pet")), mwg(("Bob", written_area(BOB), "Face")))
    added = write_regions(data, [region("Ann", ANN), region("Bob", BOB)], FRAME)
    assert added.count(b"<mwg-rs:Name>") == 3
    assert added.index(b">Ann<") < added.index(b">Bob<")
