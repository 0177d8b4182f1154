"""Names from other programs become decisions, and decisions become XMP next to the photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desks import Desk
from exiftool import told
from packets import area, mwg
from running import faces, ingest, rows
from serving import site
from toy_model import BLUE, GREEN, RED, SHY, draw

pytestmark = pytest.mark.slow

NAMES = (
    "select faces.id, name from faces join people on people.id = person_id "
    "where name is not null order by faces.id"
)


@pytest.fixture
def database(toy: Any, photos: Path, tmp_path: Path) -> Path:
    """Photo 0 shows red and blue, photos 1 and 2 red, photo 3 green."""
    for number, colours in enumerate([(RED, BLUE), (RED,), (RED,), (GREEN,)]):
        draw(photos / f"{number}.png", *colours, note=str(number))
    database = tmp_path / "x.db"
    ingest(database, photos)
    return database


def run(database: Path, command: str, code: int = 0) -> dict[str, Any]:
    result = faces("people", database, command, "--json")
    assert result.exit_code == code, result.output
    return dict(json.loads(result.stdout))


def sidecar(photos: Path, number: int, *regions: tuple[str, str, str], wide: int = 2) -> Path:
    """XMP next to a photo of squares of 40 pixels."""
    path = photos / f"{number}.png.xmp"
    path.write_bytes(mwg(*regions, size=(40 * wide, 40)))
    return path


LEFT, RIGHT = area(0, 0, 0.5, 1), area(0.5, 0, 0.5, 1)


def test_a_region_names_its_face_and_the_machine_finds_the_others(
    database: Path, photos: Path
) -> None:
    sidecar(photos, 0, ("Ada", LEFT, "Face"), ("Grace", RIGHT, "Face"))
    done = run(database, "import-names")
    assert (done["photos"], done["named"], done["unmet"], done["faults"]) == (1, 2, 0, [])
    named = dict(rows(database, NAMES))
    assert (named[1], named[2]) == ("Ada", "Grace")
    assert {name for face, name in named.items() if face in (3, 4)} == {"Ada"}
    assert 5 not in named


def test_what_was_imported_is_not_imported_again_and_can_be_undone(
    database: Path, photos: Path
) -> None:
    sidecar(photos, 0, ("Ada", LEFT, "Face"))
    assert run(database, "import-names")["named"] == 1
    assert run(database, "import-names")["named"] == 0
    assert faces("people", database, "undo").exit_code == 0
    assert run(database, "import-names")["known"] == 1
    assert rows(database, NAMES) == []


def test_people_who_were_named_here_keep_their_names(database: Path, photos: Path) -> None:
    person = rows(database, "select person_id from faces where id = 1")[0][0]
    assert faces("people", database, "name", person, "Mary").exit_code == 0
    sidecar(photos, 0, ("Ada", LEFT, "Face"), ("mary", RIGHT, "Face"))
    assert run(database, "import-names")["known"] == 1
    assert dict(rows(database, NAMES))[1] == "Mary"
    assert dict(rows(database, NAMES))[2] == "Mary", "one name is one person"


def test_names_without_a_face_and_invalid_files_are_reported(database: Path, photos: Path) -> None:
    sidecar(photos, 1, ("Ada", area(0.05, 0.05, 0.15, 0.15), "Face"), wide=1)
    (photos / "2.png.xmp").write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>")
    (photos / "3.png.json").write_text('{"people": [{"name": "Grace"}]}')
    done = run(database, "import-names")
    assert (done["named"], done["unmet"], done["without_box"]) == (0, 1, 1)
    assert [Path(path).name for path, _ in done["faults"]] == ["1.png", "2.png"]
    assert "Ada: A face needs at least 8 pixels a side" in done["faults"][0][1]
    assert "2.png.xmp" in done["faults"][1][1]
    said = faces("people", database, "import-names")
    assert "1 name belongs to a face that was not found and could not be added" in said.stdout
    assert "2.png.xmp" in said.stderr


def test_names_are_written_next_to_the_photos_and_read_back(
    database: Path, photos: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in photos.iterdir()}
    person = rows(database, "select person_id from faces where id = 1")[0][0]
    assert faces("people", database, "name", person, "Ada 'Ж'").exit_code == 0
    count = rows(database, "select count(*) from faces where person_id = ?", person)[0][0]
    done = run(database, "write-xmp")
    assert (done["written"], done["faults"]) == (count, [])
    assert run(database, "write-xmp")["unchanged"] == count
    assert {path: path.read_bytes() for path in before} == before
    found = told(photos / "0.png.xmp", "-XMP-mwg-rs:RegionName", "-XMP-iptcExt:PersonInImage")
    assert "Ada 'Ж'" in json.dumps(found, ensure_ascii=False)
    other = tmp_path / "other.db"
    report = ingest(other, photos, "--no-cluster")
    assert report["named"] == count
    assert run(other, "import-names")["named"] == 0
    assert rows(other, NAMES) == rows(database, NAMES)


def test_hidden_people_are_not_written(database: Path, photos: Path) -> None:
    person = rows(database, "select person_id from faces where id = 1")[0][0]
    assert faces("people", database, "name", person, "Ada").exit_code == 0
    assert faces("people", database, "hide", "Ada").exit_code == 0
    assert run(database, "write-xmp") == {"written": 0, "unchanged": 0, "faults": []}
    assert not list(photos.glob("*.xmp"))


def test_a_sidecar_of_something_else_is_left_alone(database: Path, photos: Path) -> None:
    person = rows(database, "select person_id from faces where id = 1")[0][0]
    assert faces("people", database, "name", person, "Ada").exit_code == 0
    other = photos / "0.png.xmp"
    other.write_text("my notes")
    done = run(database, "write-xmp")
    assert other.read_text() == "my notes"
    assert [Path(path).name for path, _ in done["faults"]] == ["0.png"]


def test_an_ingest_reads_names_once_and_what_is_new_or_was_written_since(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, BLUE)
    draw(photos / "1.png", RED, note="1")
    draw(photos / "2.png", GREEN)
    sidecar(photos, 0, ("Ada", LEFT, "Face"))
    database = tmp_path / "x.db"
    assert ingest(database, photos)["named"] == 1
    ada = "select faces from people where name = 'Ada'"
    assert rows(database, ada) == [(2,)], "the machine finds the others"
    assert faces("people", database, "undo").exit_code == 0
    assert ingest(database, photos)["named"] == 0
    assert rows(database, NAMES) == [], "undone, it stays so"
    sidecar(photos, 2, ("Emmy", area(0, 0, 1, 1), "Face"), wide=1)
    assert ingest(database, photos)["named"] == 1
    assert [name for _, name in rows(database, NAMES)] == ["Emmy"]
    draw(photos / "3.png", BLUE)
    sidecar(photos, 3, ("Grace", area(0, 0, 1, 1), "Face"), wide=1)
    assert ingest(database, photos, "--no-names")["named"] == 0
    assert ingest(database, photos)["named"] == 1
    assert {name for _, name in rows(database, NAMES)} == {"Emmy", "Grace"}


def test_a_region_that_matches_no_face_becomes_one_that_can_be_undone(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, SHY)
    sidecar(photos, 0, ("Ada", LEFT, "Face"), ("Sy", RIGHT, "Face"))
    database = tmp_path / "x.db"
    assert ingest(database, photos)["named"] == 2
    assert dict(rows(database, NAMES)) == {1: "Ada", 2: "Sy"}
    assert rows(database, "select x, width, detection_score from faces where id = 2") == [
        (40, 40, 0.3)
    ]
    assert rows(database, "select count(*) from face_embeddings") == [(2,)]
    kinds = "select kind, actor from decisions order by id"
    assert rows(database, kinds) == [("import", "mwg"), ("draw", "mwg"), ("import", "mwg")]
    assert faces("people", database, "undo", 2).exit_code == 0
    for again in (lambda: ingest(database, photos), lambda: run(database, "import-names")):
        again()
        assert dict(rows(database, NAMES)) == {1: "Ada"}
    assert faces("people", database, "redo", 2).exit_code == 0
    assert dict(rows(database, NAMES)) == {1: "Ada", 2: "Sy"}


def with_ada(database: Path, photos: Path) -> int:
    """Name a person Ada; then comes face 6, which is theirs by its similarity alone."""
    person = int(rows(database, "select person_id from faces where id = 1")[0][0])
    assert faces("people", database, "name", person, "Ada").exit_code == 0
    draw(photos / "4.png", RED, note="4")
    ingest(database, photos)
    return person


def test_what_was_written_for_faces_that_resemble_decides_nothing(
    database: Path, photos: Path
) -> None:
    with_ada(database, photos)
    before = rows(database, "select id, person_id, person_source from faces")
    assert run(database, "write-xmp")["written"] == 4
    assert ingest(database, photos)["named"] == 0
    assert rows(database, "select id, person_id, person_source from faces") == before
    assert rows(database, "select kind from decisions") == [("name",)]


def takeout(photos: Path, number: int, *names: str) -> None:
    told = {"people": [{"name": name} for name in names]}
    (photos / f"{number}.png.json").write_text(json.dumps(told))


def test_names_without_a_place_are_proposed_for_the_people_who_come_and_go_with_them(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    for number, (colours, names) in enumerate(
        [
            ((RED, BLUE), ("Ada", "Grace")),
            ((RED,), ("Ada",)),
            ((RED, GREEN), ("Ada", "Emmy")),
            ((BLUE,), ("Grace",)),
            ((BLUE, GREEN), ("Grace", "Emmy")),
            ((GREEN,), ("Emmy",)),
        ]
    ):
        draw(photos / f"{number}.png", *colours, note=str(number))
        takeout(photos, number, *names)
    database = tmp_path / "x.db"
    assert ingest(database, photos)["named"] == 0
    proposed = (
        "select name_proposals.name, together, apart, min(faces.id) from name_proposals "
        "join people on key = person_key join faces on person_id = people.id group by key order by 4"
    )
    assert rows(database, proposed) == [("Ada", 3, 0, 1), ("Grace", 3, 0, 2), ("Emmy", 3, 0, 5)]
    assert run(database, "import-names")["proposed"] == 3
    person = rows(database, "select person_id from faces where id = 1")[0][0]
    assert faces("people", database, "name", person, "Ada").exit_code == 0
    assert run(database, "import-names")["proposed"] == 2
    with site(database) as it:
        desk = Desk(it, database="x")
        unnamed = rows(database, "select person_id from faces where id = 2")[0][0]
        page = desk.get(f"/people/{unnamed}")
        assert "Perhaps <strong><bdi>Grace</bdi></strong>" in page.text
        assert "in 3 of 3 photos" in page.text
        assert "Perhaps" not in Desk(it, None, database="x").get(f"/people/{unnamed}").text
        assert "Perhaps" not in desk.get(f"/people/{person}").text
        desk.decide(f"/people/{unnamed}", action="name", person=unnamed, name="Grace")
        assert "Perhaps" not in desk.get(f"/people/{unnamed}").text


def test_a_name_that_was_taken_for_another_one_here_stays_with_its_faces(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED)
    sidecar(photos, 0, ("Ada", area(0, 0, 1, 1), "Face"), wide=1)
    database = tmp_path / "x.db"
    ingest(database, photos)
    assert faces("people", database, "name", "Ada", "Mary").exit_code == 0
    draw(photos / "1.png", GREEN)
    sidecar(photos, 1, ("Ada", area(0, 0, 1, 1), "Face"), wide=1)
    assert ingest(database, photos)["named"] == 1
    assert dict(rows(database, NAMES)) == {1: "Mary", 2: "Ada"}


def test_a_face_that_was_rejected_for_ada_does_not_become_ada_by_a_file(
    database: Path, photos: Path
) -> None:
    person = with_ada(database, photos)
    assert run(database, "write-xmp")["written"] == 4
    with site(database) as it:
        desk = Desk(it, database="x")
        desk.decide("/face/6", action="reject", person=person, face=6)
    assert ingest(database, photos)["named"] == 0
    assert run(database, "import-names")["named"] == 0
    assert 6 not in dict(rows(database, NAMES))


def test_what_was_undone_stays_so_when_the_photos_file_is_rewritten(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    draw(photos / "0.png", RED, SHY)
    sidecar(photos, 0, ("Ada", LEFT, "Face"), ("Sy", RIGHT, "Face"))
    database = tmp_path / "x.db"
    ingest(database, photos)
    for _ in range(3):
        assert faces("people", database, "undo").exit_code == 0
    draw(photos / "0.png", RED, SHY, note="another caption")
    report = ingest(database, photos)
    assert (report["edited"], report["named"]) == (1, 0)
    assert rows(database, NAMES) == []
    assert rows(database, "select count(*) from faces") == [(1,)]


def test_what_cannot_be_read_now_is_read_by_the_next_ingest(
    toy: Any, photos: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from datasette_faces.people import import_names

    draw(photos / "0.png", RED)
    sidecar(photos, 0, ("Ada", area(0, 0, 1, 1), "Face"), wide=1)
    database = tmp_path / "x.db"
    with monkeypatch.context() as broken:

        def fails(path: str) -> bytes:
            raise OSError(5, "Input/output error", path)

        broken.setattr(import_names, "read_photo_file", fails)
        report = ingest(database, photos)
    assert (report["named"], len(report["faults"])) == (0, 1)
    assert ingest(database, photos)["named"] == 1


def test_names_next_to_any_copy_are_read(toy: Any, photos: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (photos / folder).mkdir()
        draw(photos / folder / "0.png", RED)
    sidecar(photos / "b", 0, ("Ada", area(0, 0, 1, 1), "Face"), wide=1)
    database = tmp_path / "x.db"
    assert ingest(database, photos)["named"] == 1


def test_an_ingest_of_one_folder_reads_no_other(toy: Any, photos: Path, tmp_path: Path) -> None:
    for folder, colour in (("a", RED), ("b", GREEN)):
        (photos / folder).mkdir()
        draw(photos / folder / "0.png", colour)
        sidecar(photos / folder, 0, (f"{folder.upper()}da", area(0, 0, 1, 1), "Face"), wide=1)
    database = tmp_path / "x.db"
    ingest(database, photos / "a", "--no-names")
    assert ingest(database, photos / "b")["named"] == 1
    assert [name for _, name in rows(database, NAMES)] == ["Bda"]


def test_what_was_read_reveals_no_path(toy: Any, photos: Path, tmp_path: Path) -> None:
    draw(photos / "0.png", RED)
    sidecar(photos, 0, ("Ada", area(0, 0, 1, 1), "Face"), wide=1)
    database = tmp_path / "x.db"
    ingest(database, photos)
    [(digest,)] = rows(database, "select sidecars from names_read")
    assert len(digest) == 64
    private = {
        "databases": {
            "x": {"tables": {"people": {"allow": False}, "photo_paths": {"allow": False}}}
        }
    }
    with site(database, metadata=private) as it:
        for table in ("names_read", "said_names", "name_proposals"):
            assert it.get(f"/x/{table}.json").status_code == 403
