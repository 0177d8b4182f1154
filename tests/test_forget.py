"""What is forgotten is gone from every table and from the file's bytes; what stays is whole."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from running import beside, faces, ingest, rows
from toy_model import BLUE, GREEN, RED, SQUARE_PX, YELLOW, Colour, ToyModel

from datasette_faces.algorithms import vectors
from datasette_faces.errors import DatabaseBusy, FacesError, StillThere
from datasette_faces.library.forget import run, traces
from datasette_faces.library.forget.plan import ForgetRequest, find_photos, make_plan
from datasette_faces.library.health import checks
from datasette_faces.library.ingest.lock import lock_for_ingest
from datasette_faces.people import decide
from datasette_faces.people.decide import Editor
from datasette_faces.store import connection, forgetting, people
from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import changing, reading

VIOLET, ORANGE = (150, 0, 200), (250, 140, 0)
ADA, EVE, BOB, OLD = "Ada Lovelace-Byron", "Eve Armstrong-Gray", "Bob Bobbington", "Ada Formerly"


def textured(path: Path, *colours: Colour, seed: int = 0) -> Path:
    """A toy picture whose squares are noise round their colour, so that no two crops are alike."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (SQUARE_PX, SQUARE_PX * len(colours), 3), np.uint8)
    for place, colour in enumerate(colours):
        middle = place * SQUARE_PX + SQUARE_PX // 2
        half = SQUARE_PX // 5
        pixels[SQUARE_PX // 2 - half : SQUARE_PX // 2 + half, middle - half : middle + half] = (
            colour
        )
    Image.fromarray(pixels).save(path, "PNG")
    return path


PICTURES: dict[str, tuple[Colour, ...]] = {
    "alone-of-ada": (RED,),
    "group-of-two": (RED, BLUE),
    "group-of-three": (GREEN, RED, BLUE),
    "bob-by-himself": (GREEN,),
    "yellow-strangers": (YELLOW, VIOLET),
    "orange-stranger": (ORANGE,),
}


def shade(colour: Colour, seed: int) -> Colour:
    """Nearly the same colour: the same person, another vector."""
    near = (value - seed * 3 if value else seed + 4 * place for place, value in enumerate(colour))
    return tuple(max(0, value) for value in near)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyModel]:
    from datasette.plugins import pm

    plugin = (model := ToyModel()).as_plugin()
    pm.register(plugin)
    yield model
    pm.unregister(plugin)


@pytest.fixture(scope="module")
def made(toy_model: ToyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, and a database with rows of each table."""
    folder = tmp_path_factory.mktemp("forget")
    photos = folder / "photos"
    photos.mkdir()
    for seed, (name, colours) in enumerate(PICTURES.items(), 1):
        textured(photos / f"{name}.png", *(shade(it, seed) for it in colours), seed=seed)
    (photos / "broken-picture.jpg").write_bytes(b"no picture at all")
    path = folder / "family.db"
    ingest(path, photos)
    with changing(str(path)) as conn:
        for colour, name in ((RED, ADA), (BLUE, EVE), (GREEN, BOB)):
            with transaction(conn):
                decide_name(conn, colour, name)
        fill_the_rest(conn)
    return folder


def decide_name(conn: Any, colour: Colour, name: str) -> None:
    """Give the faces of a colour a person of a name, who had another one before."""
    found = faces_of_colour(conn, colour)
    decide.move(conn, found, None, by=Editor("archivist"))
    person = people.of_faces(conn, found)
    number = people.by_key(conn, person[0]).id
    if name == ADA:
        decide.name(conn, number, OLD)
    decide.name(conn, number, name)


def faces_of_colour(conn: Any, colour: Colour) -> list[int]:
    wanted = vectors.normalise(np.float32(colour))
    return [
        face_id
        for face_id, raw in conn.execute("select face_id, embedding from face_embeddings")
        if float(vectors.decode(raw) @ wanted) > 0.98
    ]


def fill_the_rest(conn: Any) -> None:
    """A row of each further kind about Ada (person), and about the photo `yellow-strangers`."""
    ada = people.of_name(conn, ADA)[0]
    eve = people.of_name(conn, EVE)[0]
    yellow = find_photos(conn, "*yellow*")[0]
    group = find_photos(conn, "*group-of-two*")[0]
    face = people.faces_of(conn, ada.id)[0]
    with transaction(conn):
        decide.keep_apart(conn, eve.id, ada.id)
        decide.hide(conn, ada.id)
        decide.unhide(conn, ada.id)
        decide.cover(conn, ada.id, face)
        strangers = [
            row[0] for row in conn.execute("select id from faces where photo_id=?", [yellow])
        ]
        decide.mark_not_a_face(conn, strangers[:1])
        decide.undo(conn)
        vector = vectors.encode(np.float32([0.6, 0.8, 0]))
        kept = json.dumps({"toy": base64.b64encode(vector).decode()})
        for photo_id, key in ((group, ada.key), (yellow, None)):
            sha256 = hashlib.sha256(str(photo_id).encode()).hexdigest()
            conn.execute("insert into photo_contents values (?, ?)", [sha256, photo_id])
            conn.execute("insert into former_pictures values (?, ?, ?)", [sha256, photo_id, sha256])
            lost = conn.execute(
                "insert into lost_faces(photo_id, face_id, person_key, embeddings) values (?,?,?,?)",
                [photo_id, 999, key, kept],
            ).lastrowid
            conn.execute(
                "insert into former_faces values (?, ?, 1, 2, 30, 30, null, ?)",
                [photo_id, sha256, lost],
            )
            conn.execute("insert or replace into names_read values (?, ?, '')", [photo_id, sha256])
            conn.execute("insert into said_names values (?, ?, 'takeout')", [photo_id, ADA])
        conn.execute("insert into name_proposals values (?, ?, 0.9, 3, 1)", [ada.key, OLD])
        model = conn.execute("select id from models").fetchone()[0]
        conn.execute(
            "insert or replace into likely_pairs values (?,?,?,0.4)", [ada.key, eve.key, model]
        )
        path = conn.execute("select path from photos where id = ?", [yellow]).fetchone()[0]
        conn.execute(
            "insert into ingest_errors(path, reason, seen_at) values (?, 'x', 'y')", [path]
        )


@pytest.fixture
def family(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "family.db", tmp_path / "family.db"))


def test_every_table_is_tied_to_what_is_forgotten_or_tells_nothing(family: Path) -> None:
    with reading(str(family)) as conn:
        every = {
            row[0] for row in conn.execute("select name from sqlite_master where type='table'")
        }
    listed = {tie.table for tie in forgetting.TIES}
    assert not listed & forgetting.TELLS_NOTHING
    ours = {name for name in every if not name.startswith(("vec_faces_", "sqlite_stat"))}
    assert ours == listed | forgetting.TELLS_NOTHING | forgetting.MADE_AGAIN


def test_the_library_of_these_tests_has_rows_of_each_table(family: Path) -> None:
    filled: set[str] = set()
    with reading(str(family)) as conn:
        for request in (ForgetRequest(person=ADA), ForgetRequest(photos=("*yellow*", "*group*"))):
            filled |= {name for name, count in make_plan(conn, request).rows.items() if count}
    # This one is filled where it is tested
    assert filled == {tie.table for tie in forgetting.TIES} - {"face_drawings"}


REQUESTS = {
    "a photo": ForgetRequest(photos=("*alone-of-ada*",)),
    "photos": ForgetRequest(photos=("*group*", "*yellow*")),
    "missing": ForgetRequest(missing=True),
    "a person": ForgetRequest(person=ADA),
    "a person with photos": ForgetRequest(person=ADA, with_photos=True),
    "all": ForgetRequest(photos=("*",)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_forgotten_is_gone_from_the_bytes_and_the_rest_is_whole(
    family: Path, name: str
) -> None:
    request = REQUESTS[name]
    lose(family, "*bob-by*", "*yellow*")
    secrets = secrets_of(family, request)
    assert all(secret in whole(family) for secret in secrets)
    before = rows(family, "select count(*) from photos")[0][0]
    planned = run.plan(str(family), request)
    done = run.forget(str(family), request)
    assert done.rows == planned.rows
    assert not done.search.found
    assert sum(done.search.looked_for.values()) > 0
    bytes_now = whole(family)
    assert [secret for secret in secrets if secret in bytes_now] == []
    assert beside(family) == []
    assert rows(family, "select count(*) from photos")[0][0] == before - planned.rows["photos"]
    assert_sound(family)
    assert run.plan(str(family), ForgetRequest(missing=True)).is_empty == (
        name in ("missing", "all")
    )


def lose(path: Path, *patterns: str) -> None:
    """Mark photos as missing."""
    with changing(str(path)) as conn, transaction(conn):
        for pattern in patterns:
            for photo_id in find_photos(conn, pattern):
                conn.execute("update photos set missing_since = '2024' where id = ?", [photo_id])
                conn.execute(
                    "update photo_paths set missing_since = '2024' where photo_id = ?", [photo_id]
                )


def secrets_of(path: Path, request: ForgetRequest) -> list[bytes]:
    """What must not be found: read here, by other queries than those of the code."""
    with reading(str(path)) as conn:
        names = {
            "*alone-of-ada*": ["alone-of-ada"],
            "*group*": ["group-of"],
            "*yellow*": ["yellow-"],
        }
        if request.photos == ("*",):
            stems = [*PICTURES]
        elif request.missing:
            stems = ["bob-by-himself", "yellow-strangers"]
        elif request.with_photos:
            stems = ["alone-of-ada", "group-of-two", "group-of-three"]
        else:
            stems = [stem for it in request.photos for stem in PICTURES if names[it][0] in stem]
        found: list[bytes] = [stem.encode() for stem in stems]
        among = " or ".join(f"path like '%{stem}%'" for stem in stems) or "0"
        photos = [row[0] for row in conn.execute(f"select id from photos where {among}")]
        marks = ", ".join(map(str, photos)) or "0"
        whose = f"photo_id in ({marks})"
        if request.person:
            ada = people.of_name(conn, ADA)[0]
            whose += f" or person_id = {ada.id}"
            found += [ADA.encode(), OLD.encode(), ada.key.encode()]
        found += [
            row[0].encode() for row in conn.execute(f"select sha256 from photos where {among}")
        ]
        for crop, vector in conn.execute(
            f"select crop, embedding from faces join face_embeddings on face_id = id where {whose}"
        ):
            found += [crop[-80:], vector]
        found += [
            row[0][-80:]
            for row in conn.execute(f"select thumbnail from photos where id in ({marks})")
        ]
    return found


def whole(path: Path) -> bytes:
    """All bytes of the database's files."""
    return b"".join(item.read_bytes() for item in sorted(path.parent.glob(f"{path.name}*")))


def assert_sound(path: Path) -> None:
    """The doctor finds nothing, the references hold, and the indexes have every face."""
    with reading(str(path)) as conn:
        found = [it for it in checks.examine(conn) if it.level == "problem"]
        assert [(it.check, it.message) for it in found] == []
        assert conn.execute("pragma foreign_key_check").fetchall() == []
        assert conn.execute("pragma integrity_check").fetchone()[0] == "ok"
        models = conn.execute("select faces from face_indexes").fetchall()
        count = conn.execute("select count(*) from face_embeddings").fetchone()[0]
        assert count == 0 or (count,) in models


class TestAgain:
    """What an ingest of the same folder does afterwards."""

    @pytest.fixture
    def photos(self, made: Path, tmp_path: Path) -> Path:
        """The folder of the pictures, for a database of its own."""
        return Path(shutil.copytree(made / "photos", tmp_path / "photos"))

    @pytest.fixture
    def own(self, toy_model: ToyModel, photos: Path, tmp_path: Path) -> Path:
        path = tmp_path / "own.db"
        ingest(path, photos)
        with changing(str(path)) as conn:
            for colour, name in ((RED, ADA), (BLUE, EVE)):
                with transaction(conn):
                    decide_name(conn, colour, name)
        return path

    def names(self, path: Path) -> dict[str, list[str | None]]:
        """By photo, the names of its faces from left to right."""
        found: dict[str, list[str | None]] = {}
        sql = (
            "select photos.path, people.name from photos join faces on photo_id = photos.id "
            "left join people on people.id = person_id order by photos.path, x"
        )
        for file, name in rows(path, sql):
            found.setdefault(Path(file).stem, []).append(name)
        return found

    def test_the_face_of_a_forgotten_person_is_not_stored_again(
        self, own: Path, photos: Path
    ) -> None:
        before = {item: item.read_bytes() for item in photos.iterdir()}
        run.forget(str(own), ForgetRequest(person=ADA))
        expected = {**self.names(own)}
        assert expected["group-of-two"] == [EVE]
        assert "alone-of-ada" not in expected
        # Moved, read again, and by another model
        (photos / "group-of-two.png").rename(photos / "moved.png")
        with changing(str(own)) as conn, transaction(conn):
            conn.execute("delete from analyses")
        ingest(own, photos)
        after = self.names(own)
        assert after.pop("moved") == [EVE]
        del expected["group-of-two"]
        assert after == expected
        assert {item.read_bytes() for item in photos.iterdir()} == set(before.values())
        assert_sound(own)

    @pytest.mark.parametrize("size", [1, 2])
    def test_not_even_where_the_photo_was_edited(self, own: Path, photos: Path, size: int) -> None:
        run.forget(str(own), ForgetRequest(person=ADA))
        file = photos / "group-of-three.png"
        with Image.open(file) as image:
            pixels = np.asarray(image).copy()
        pixels[0, :] ^= 8
        # A picture of another size is another one to the toy: its faces are all new
        Image.fromarray(np.vstack([pixels] * size)).save(file)
        assert ingest(own, photos)["edited"] == 1
        assert ADA not in rows(own, "select group_concat(name) from people")[0][0]
        assert self.names(own)["group-of-three"] in ([None, EVE], [EVE])
        boxes = rows(
            own,
            "select x from forgotten_faces join photos using (sha256) where path like ? order by x",
            "%group-of-three%",
        )
        assert (float(SQUARE_PX),) in boxes

    def test_a_photo_comes_back_as_a_new_one(self, own: Path, photos: Path) -> None:
        run.forget(str(own), ForgetRequest(photos=("*group-of-two*",)))
        assert "group-of-two" not in self.names(own)
        assert ingest(own, photos)["new"] == 1
        again = self.names(own)["group-of-two"]
        # What the other photos say of them is known still; what was decided of this one is not
        assert set(again) <= {ADA, EVE}
        sources = rows(
            own,
            "select distinct person_source from faces join photos on photos.id = photo_id "
            "where path like '%group-of-two%'",
        )
        assert sources == [("cluster",)]

    @pytest.mark.parametrize("kept", [False, True])
    def test_decisions_find_a_photo_again_where_they_were_kept(
        self, own: Path, photos: Path, kept: bool
    ) -> None:
        request = ForgetRequest(photos=("*",), keep_decisions=kept)
        run.forget(str(own), request)
        assert rows(own, "select count(*) from photos") == [(0,)]
        assert rows(own, "select count(*) from face_embeddings") == [(0,)]
        ingest(own, photos)
        assert (self.names(own)["group-of-two"] == [ADA, EVE]) == kept
        assert (ADA.encode() in whole(own)) == kept
        assert_sound(own)

    def test_kept_decisions_find_a_photo_again_that_was_edited(
        self, own: Path, photos: Path
    ) -> None:
        self.hide(own, ADA)
        for file in photos.glob("*.png"):
            edit(file)
        assert ingest(own, photos)["edited"] == len(PICTURES)
        run.forget(str(own), ForgetRequest(photos=("*",), keep_decisions=True))
        ingest(own, photos)
        assert self.names(own)["alone-of-ada"] == [ADA]
        assert rows(own, "select hidden from people where name = ?", ADA) == [(1,)]

    def test_a_hidden_person_whose_photos_are_forgotten_is_hidden_when_they_come_back(
        self, own: Path, photos: Path
    ) -> None:
        self.hide(own, ADA)
        request = ForgetRequest(photos=("*ada*", "*group*"))
        assert run.plan(str(own), request).hidden == 1
        assert "1 hidden person without a face" in faces(
            "forget", own, *request.photos, "--dry-run"
        ).stdout.replace("  ", "")
        assert run.forget(str(own), request).rows["people"] == 1  # Eve
        assert rows(own, "select name, hidden, faces from people where hidden") == [(ADA, 1, 0)]
        ingest(own, photos)
        assert self.names(own)["alone-of-ada"] == [ADA]
        assert self.names(own)["group-of-two"] == [ADA, None]
        assert_sound(own)

    @pytest.mark.parametrize("again", [("*group-of-two*",), None])
    def test_a_place_outlives_its_photo(
        self, own: Path, photos: Path, again: tuple[str, ...] | None
    ) -> None:
        run.forget(str(own), ForgetRequest(person=ADA))
        lose(own, "*group-of-two*")
        keep = again is not None
        request = ForgetRequest(missing=not keep, photos=again or (), keep_decisions=keep)
        assert not run.forget(str(own), request).search.found
        ingest(own, photos)
        assert len(self.names(own)["group-of-two"]) == 1

    def hide(self, path: Path, name: str) -> None:
        with changing(str(path)) as conn, transaction(conn):
            decide.hide(conn, people.of_name(conn, name)[0].id)

    def test_a_region_in_a_file_does_not_bring_the_face_back(self, own: Path, photos: Path) -> None:
        run.forget(str(own), ForgetRequest(person=ADA))
        file = photos / "group-of-two.png"
        xmp = REGION.format(name=ADA)
        file.with_suffix(".png.xmp").write_text(xmp)
        report = ingest(own, photos)
        assert (report["drawn"], report["named"]) == (0, 0)
        assert self.names(own)["group-of-two"] == [EVE]
        assert ADA not in (rows(own, "select group_concat(name) from people")[0][0] or "")


def edit(file: Path) -> None:
    """Change a file's bytes and none of its pixels, as a caption does."""
    with Image.open(file) as image:
        image.load()
        info = PngInfo()
        info.add_text("Comment", "a caption")
        image.save(file, pnginfo=info)


REGION = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"><rdf:Description>
 <mwg-rs:Regions rdf:parseType="Resource">
 <mwg-rs:AppliedToDimensions stDim:w="80" stDim:h="40" stDim:unit="pixel"/>
 <mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="Face">
 <mwg-rs:Area stArea:x="0.25" stArea:y="0.5" stArea:w="0.5" stArea:h="1" stArea:unit="normalized"/>
 </rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>
"""


def test_pictures_of_a_kept_photo_no_longer_show_the_person(family: Path) -> None:
    sql = "select thumbnail from photos where path like '%group-of-three%'"
    before = picture(rows(family, sql)[0][0])
    run.forget(str(family), ForgetRequest(person=ADA))
    after = picture(rows(family, sql)[0][0])
    assert before.shape == after.shape
    left, middle = np.s_[:, : SQUARE_PX // 2], np.s_[:, SQUARE_PX : 2 * SQUARE_PX]
    assert np.abs(before[left] - after[left]).mean() < 12
    # Of noise, nine mean colours are left
    assert before[middle].std() > 40 > 2 * np.diff(after[middle], axis=1).std()


def picture(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)), np.float32)


def test_a_broken_thumbnail_keeps_no_crop_from_being_blurred(family: Path) -> None:
    with changing(str(family)) as conn, transaction(conn):
        conn.execute("update photos set thumbnail = x'00'")
        # Wide enough to reach into her neighbours' crops
        conn.execute("update faces set x = x - 30, width = width + 60 where person_id is not null")
        [broken] = conn.execute(
            "select min(faces.id) from faces join photos on photos.id = photo_id "
            "where path like '%group-of-three%'"
        ).fetchone()
        conn.execute("update faces set crop = x'00' where id = ?", [broken])
    sql = "select id, crop from faces"
    before = dict(rows(family, sql))
    run.forget(str(family), ForgetRequest(person=ADA))
    after = dict(rows(family, sql))
    changed = {number for number, crop in after.items() if crop != before[number]}
    # Of each group the neighbour but the broken one
    assert len(changed) >= 2
    assert broken not in changed


class TestPeople:
    def key_of(self, path: Path, name: str) -> str:
        with reading(str(path)) as conn:
            return people.of_name(conn, name)[0].key

    @pytest.mark.parametrize("named", ["into", "other"])
    def test_all_who_were_merged_go_together(self, family: Path, named: str) -> None:
        with changing(str(family)) as conn, transaction(conn):
            ada, bob = (people.of_name(conn, name)[0] for name in (ADA, BOB))
            decide.merge(conn, ada.id, bob.id)
        run.forget(str(family), ForgetRequest(person=ada.key if named == "into" else str(bob.id)))
        data = whole(family)
        for text in (ADA, BOB, OLD, ada.key, bob.key):
            assert text.encode() not in data
        assert rows(
            family, "select count(*) from faces where person_id in (?, ?)", ada.id, bob.id
        ) == [(0,)]
        assert_sound(family)

    @pytest.mark.parametrize("left", ["a decision", "a lost face"])
    def test_who_is_one_with_somebody_stays_while_anything_of_them_does(
        self, family: Path, left: str
    ) -> None:
        run.forget(str(family), ForgetRequest(photos=("*group-of-two*",), keep_decisions=True))
        with changing(str(family)) as conn, transaction(conn):
            bob, ada = (people.of_name(conn, name)[0] for name in (BOB, ADA))
            decide.merge(conn, bob.id, ada.id)
            conn.execute("delete from lost_faces")
            if left == "a lost face":
                conn.execute("delete from decision_faces")
                conn.execute(
                    "insert into lost_faces(photo_id, face_id, person_key, embeddings) "
                    "select id, 999, ?, '{}' from photos where path like '%orange%'",
                    [ada.key],
                )
        request = ForgetRequest(photos=("*alone*", "*group-of-three*", "*bob*"))
        before = rows(family, "select count(*) from lost_faces")
        done = run.forget(str(family), request)
        assert not {ADA, BOB} & set(done.names)
        assert rows(family, "select count(*) from lost_faces") == before
        assert rows(family, "select count(*) from decisions where person_key = ?", ada.key) > [(0,)]

    def test_names_of_others_stay_and_theirs_go_in_any_spelling(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            decide.name(conn, people.of_name(conn, ADA)[0].id, "Ren\u00e9e Lovelace")
            group, orange = (find_photos(conn, it)[0] for it in ("*of-three*", "*orange*"))
            conn.execute("delete from said_names")
            for photo_id, name in (
                (orange, "RENE\u0301E LOVELACE"),
                (orange, ADA),
                (group, ADA.upper()),
                (group, EVE),
            ):
                conn.execute("insert into said_names values (?, ?, 'x')", [photo_id, name])
        done = run.forget(str(family), ForgetRequest(person="Ren\u00e9e Lovelace"))
        assert rows(family, "select photo_id, name from said_names order by 1") == sorted(
            [(group, EVE), (orange, ADA)]
        )
        assert not done.search.found
        data = whole(family)
        for gone in ("RENE\u0301E LOVELACE", ADA.upper(), OLD):
            assert gone.encode() not in data

    def test_of_a_merge_that_was_undone_only_the_one_goes(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            ada, bob = (people.of_name(conn, name)[0] for name in (ADA, BOB))
            decide.undo(conn, decide.merge(conn, ada.id, bob.id).id)
        run.forget(str(family), ForgetRequest(person=ADA))
        assert rows(family, "select faces from people where name = ?", BOB) == [(2,)]
        assert rows(family, "select count(*) from decisions where kind = 'merge'") == [(0,)]

    def test_what_was_taken_from_them_stays_with_whom_it_was_given_to(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            ada, eve = (people.of_name(conn, name)[0] for name in (ADA, EVE))
            [face, *_] = people.faces_of(conn, ada.id)
            decide.move(conn, [face], eve.id)
        run.forget(str(family), ForgetRequest(person=ADA))
        assert rows(
            family,
            "select person_source, name from faces join people on people.id = "
            "person_id where faces.id = ?",
            face,
        ) == [("person", EVE)]
        with changing(str(family)) as conn, transaction(conn):
            people.rebuild(conn)
        assert rows(
            family,
            "select name from people join faces on people.id = person_id where faces.id = ?",
            face,
        ) == [(EVE,)]
        assert ada.key.encode() not in whole(family)

    def test_somebody_of_the_same_name_stays(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            bob = people.of_name(conn, BOB)[0]
            decide.name(conn, bob.id, ADA, even_if_taken=True)
            ada = next(it for it in people.of_name(conn, ADA) if it.id != bob.id)
        run.forget(str(family), ForgetRequest(person=str(ada.id)))
        assert rows(family, "select name, faces from people where name = ?", ADA) == [(ADA, 2)]
        with pytest.raises(FacesError, match="Ada"), reading(str(family)) as conn:
            make_plan(conn, ForgetRequest(person=OLD))

    def test_the_name_of_a_folder_is_no_trace(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            conn.execute(
                "update photos set path = ? where path like '%bob-by%'", [f"/p/{ADA}/1.png"]
            )
            conn.execute(
                "update photo_paths set path = ? where path like '%bob-by%'", [f"/p/{ADA}/1.png"]
            )
        done = run.forget(str(family), ForgetRequest(person=ADA))
        assert not done.search.found
        assert done.named_in_paths == 1

    def test_a_hidden_person_goes_as_any_other(self, family: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            decide.hide(conn, people.of_name(conn, ADA)[0].id)
        key = self.key_of(family, ADA)
        run.forget(str(family), ForgetRequest(person=ADA))
        assert key.encode() not in whole(family)

    def test_a_face_that_was_drawn_for_them_goes_also_while_that_is_undone(
        self, family: Path
    ) -> None:
        with changing(str(family)) as conn, transaction(conn):
            ada = people.of_name(conn, ADA)[0]
            [face, *_] = people.faces_of(conn, ada.id)
            conn.execute(
                "insert into decisions(uid, made_at, kind) values ('dd77dd77', 'x', 'draw')"
            )
            conn.execute(
                "insert into decision_faces select (select max(id) from decisions), 'drawn', sha256, "
                "x, y, faces.width, faces.height from faces join photos on photos.id = photo_id "
                "where faces.id = ?",
                [face],
            )
            conn.execute("insert into face_drawings values ('dd77dd77', ?, null)", [face])
            undone = decide.undo(conn)
            assert undone.kind == "draw"
        [(kept,)] = rows(family, "select kept from face_drawings")
        crop = json.loads(kept)["face"]["crop"]
        assert crop.encode() in whole(family)
        run.forget(str(family), ForgetRequest(person=ADA))
        assert rows(family, "select * from face_drawings") == []
        assert crop.encode() not in whole(family)


class TestStopped:
    @pytest.mark.parametrize("where", ["delete", "mark", "redact", "subtract", "count"])
    def test_what_is_stopped_within_leaves_the_file_as_it_was(
        self, family: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        target: dict[str, tuple[Any, str]] = {
            "delete": (people, "forget_empty"),
            "mark": (run.forgotten_faces, "mark"),
            "redact": (run.forgotten_faces, "redact_pictures"),
            "subtract": (traces.Traces, "subtract_left"),
            "count": (run.forget_runs, "begin_run"),
        }
        tables = [tie.table for tie in forgetting.TIES]
        before = [rows(family, f"select * from {table}") for table in tables]
        monkeypatch.setattr(*target[where], stop)
        with pytest.raises(Stopped):
            run.forget(str(family), ForgetRequest(person=ADA))
        assert [rows(family, f"select * from {table}") for table in tables] == before
        assert not run.is_unfinished(str(family))
        assert_sound(family)

    @pytest.mark.parametrize("where", ["follow", "settle", "search"])
    def test_what_is_stopped_after_it_is_finished_by_the_next_run(
        self, family: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        secrets = secrets_of(family, REQUESTS["a person"])
        module: Any = traces if where == "search" else run.index_upkeep
        with monkeypatch.context() as patch:
            patch.setattr(module, where, stop)
            with pytest.raises(Stopped):
                run.forget(str(family), ForgetRequest(person=ADA))
        assert run.is_unfinished(str(family))
        found = faces("doctor", family)
        assert found.exit_code == 1
        assert f"datasette faces forget {family}" in found.stdout
        result = faces("forget", family, "--yes")
        assert result.exit_code == 0, result.output
        assert "An earlier run was stopped before its end" in result.stdout
        assert "its bytes were not searched" in result.stdout
        assert "looked for" not in result.stdout
        assert rows(family, "select found, finished_at is null from forget_runs") == [(None, 0)]
        assert [secret for secret in secrets if secret in whole(family)] == []
        assert_sound(family)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
    def test_what_a_killed_process_left_is_finished(self, family: Path) -> None:
        done = subprocess.run([sys.executable, "-c", KILLED, str(family), ADA], check=False)
        assert done.returncode == -signal.SIGKILL
        assert run.is_unfinished(str(family))
        assert faces("forget", family, "--yes").exit_code == 0
        assert ADA.encode() not in whole(family)
        assert_sound(family)

    def test_a_second_run_of_the_same_is_no_fault(self, family: Path) -> None:
        for expected in (1, 0):
            result = faces("forget", family, "--missing", "--yes") if not expected else None
            if expected:
                lose(family, "*bob-by*")
                result = faces("forget", family, "--missing", "--yes")
            assert result is not None
            assert result.exit_code == 0, result.output
        assert "There is nothing to forget." in result.stdout


KILLED = """
import os, signal, sys
from datasette_faces.library.forget import run
from datasette_faces.library.forget.plan import ForgetRequest
run.index_upkeep.settle = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
run.forget(sys.argv[1], ForgetRequest(person=sys.argv[2]))
"""


class Stopped(BaseException):
    """As a signal that ends a process, wherever it is."""


def stop(*arguments: object, **options: object) -> None:
    raise Stopped


class TestSearch:
    """The search finds what the deletion would leave."""

    def refused(self, family: Path, request: ForgetRequest) -> str:
        with pytest.raises(StillThere) as caught:
            run.forget(str(family), request)
        return str(caught.value)

    def test_of_free_pages(self, family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        without(monkeypatch, "pragma secure_delete", "vacuum")
        said = self.refused(family, ForgetRequest(photos=("*group*",)))
        assert "free pages" in said
        assert f"of {family}" in said
        assert run.is_unfinished(str(family))

    @pytest.mark.parametrize(
        "kind",
        [
            traces.VECTORS,
            traces.PICTURES,
            traces.NAMES,
            traces.HASHES,
            traces.PATHS,
            traces.KEYS,
            traces.LANDMARKS,
        ],
    )
    def test_of_a_leftover_of_each_kind(
        self, family: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        gather = traces.gather
        values: list[Any] = []

        def remember(*arguments: Any) -> traces.Traces:
            found = gather(*arguments)
            values.extend(sorted(found.values[kind], key=lambda it: (len(it), it))[-1:])
            return found

        def plant(conn: Any) -> None:
            conn.execute("create table leftover(x)")
            conn.execute("insert into leftover values (?)", values)

        rewrite_file = run._rewrite_file
        monkeypatch.setattr(traces, "gather", remember)
        monkeypatch.setattr(run, "_rewrite_file", lambda conn: (plant(conn), rewrite_file(conn)))
        said = self.refused(family, ForgetRequest(person=ADA, with_photos=True))
        assert f"{kind} at byte " in said
        assert f" of {family}" in said

    @pytest.mark.parametrize("name", ["embedding", "detection", "Canon EOS", "sqlite_master"])
    def test_not_of_a_word_of_the_file_itself(self, family: Path, name: str) -> None:
        with changing(str(family)) as conn, transaction(conn):
            decide.name(conn, people.of_name(conn, ADA)[0].id, name)
            conn.execute("update photos set camera = 'Canon EOS 5D'")
        assert not run.forget(str(family), ForgetRequest(person=name)).search.found

    def test_of_a_log_that_a_reader_keeps(
        self, family: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "SETTLE_MS", 50)
        with closing(sqlite().connect(family, isolation_level=None)) as conn:
            conn.execute("pragma journal_mode = wal").fetchall()
            conn.execute("begin")
            conn.execute("select count(*) from photos").fetchone()
            said = self.refused(family, ForgetRequest(person=ADA))
            assert "another process reads" in said
            assert f"then run: datasette faces forget {family}" in said
            conn.execute("rollback")
        assert faces("forget", family, "--yes").exit_code == 0
        assert beside(family) == []

    def test_what_it_found_is_not_finished_by_a_run_that_cannot_look_for_it(
        self, family: Path
    ) -> None:
        with changing(str(family)) as conn, transaction(conn):
            conn.execute("create table notes(t)")
            conn.execute("insert into notes values (?)", [f"{ADA} was here"])
        assert "--even-found" in self.refused(family, ForgetRequest(person=ADA))
        again = faces("forget", family, "--yes")
        assert again.exit_code == 1
        assert "An earlier run found what it had removed" in again.stderr
        done = run.forget(str(family), ForgetRequest(photos=("*bob-by*",)))
        assert (done.still_found, done.unsearched) == (1, 0)
        assert "found what it had removed" in faces("doctor", family).stdout
        with changing(str(family)) as conn, transaction(conn):
            conn.execute("update notes set t = ?", [EVE])
        with pytest.raises(StillThere) as caught:
            run.forget(str(family), ForgetRequest(person=EVE), even_found=True)
        assert (caught.value.report.still_found, caught.value.report.unsearched) == (0, 1)
        assert run.is_unfinished(str(family))
        with changing(str(family)) as conn, transaction(conn):
            conn.execute("drop table notes")
        finished = faces("forget", family, "--yes", "--even-found")
        assert finished.exit_code == 0, finished.output
        assert "its bytes were not searched" in finished.stdout
        assert not run.is_unfinished(str(family))
        assert ADA.encode() not in whole(family)

    def test_a_server_that_has_the_file_open_is_no_hindrance(
        self, family: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "SETTLE_MS", 50)
        with closing(sqlite().connect(family, isolation_level=None)) as conn:
            conn.execute("pragma journal_mode = wal").fetchall()
            conn.execute("select count(*) from photos").fetchone()
            secrets = secrets_of(family, REQUESTS["a person"])
            assert not run.forget(str(family), ForgetRequest(person=ADA)).search.found
            assert [secret for secret in secrets if secret in whole(family)] == []
            assert conn.execute("select count(*) from people where name = ?", [ADA]).fetchone() == (
                0,
            )

    def test_the_bytes_are_read_while_no_connection_to_the_file_is_open(
        self, family: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Closing a file ends the locks that the process holds on it by any other descriptor."""
        if not (descriptors := Path("/proc/self/fd")).exists():
            pytest.skip("this system does not list the files that are open")
        file_bytes, counts = traces.FileBytes, []

        def count(file: Any, size: int) -> Any:
            links = [os.readlink(it) for it in descriptors.iterdir() if it.is_symlink()]
            counts.append(sum(link.startswith(str(family)) for link in links))
            return file_bytes(file, size)

        monkeypatch.setattr(traces, "FileBytes", count)
        run.forget(str(family), ForgetRequest(person=ADA))
        # The file itself, and the lock beside it
        assert set(counts) == {2}

    def test_a_copy_of_a_picture_that_stays_is_no_trace(self, family: Path) -> None:
        """Another file with the same pixels has the same vectors, crops and thumbnail."""
        with changing(str(family)) as conn, transaction(conn):
            conn.execute(
                "insert into photos(id, path, sha256, bytes, width, height, format, ingested_at, "
                "thumbnail) select 99, '/copy/of-it.png', 'ab12', bytes, width, height, format, "
                "ingested_at, thumbnail from photos where path like '%alone-of-ada%'"
            )
            conn.execute(
                "insert into photo_paths values ('/copy/of-it.png', 99, 1, 1, 'ab12', null, null)"
            )
            columns = (
                "x, y, width, height, landmarks, detection_score, sharpness, yaw, pitch, roll, crop"
            )
            conn.execute(
                f"insert into faces(id, photo_id, {columns}) select 99, 99, {columns} from faces "
                "where photo_id = (select id from photos where path like '%alone-of-ada%')"
            )
            conn.execute(
                "insert into face_embeddings select 99, model_id, embedding from face_embeddings "
                "where face_id = (select id from faces where photo_id = "
                "(select id from photos where path like '%alone-of-ada%'))"
            )
        done = run.forget(str(family), ForgetRequest(photos=("*alone-of-ada*",)))
        assert not done.search.found
        assert done.search.looked_for[traces.VECTORS] == 0


def without(monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    """Connections that leave these statements out."""
    patient = connection.patience.connect

    def connect(module: Any, *arguments: Any, **options: Any) -> Any:
        conn = patient(module, *arguments, **options)

        class Without(type(conn)):
            def execute(self, sql: str, *bound: Any) -> Any:
                if sql.startswith(statements):
                    sql = "select 1"
                return super().execute(sql, *bound)

        conn.__class__ = Without
        return conn

    monkeypatch.setattr(connection.patience, "connect", connect)


class TestCommand:
    def test_a_dry_run_says_what_would_go_and_changes_no_byte(self, family: Path) -> None:
        before = whole(family)
        stamp = family.stat().st_mtime_ns
        result = faces("forget", family, "--person", ADA, "--dry-run")
        assert result.exit_code == 0
        for text in ("3 faces", "1 person", ADA, "3 photos stay, blurred", "Nothing was changed."):
            assert text in result.stdout
        assert (whole(family), family.stat().st_mtime_ns, beside(family)) == (before, stamp, [])

    def test_without_a_terminal_it_takes_a_yes(self, family: Path) -> None:
        before = whole(family)
        for options in ((), ("--json",)):
            result = faces("forget", family, "--person", ADA, *options)
            assert result.exit_code == 1
            assert "add --yes" in result.stderr
        assert whole(family) == before

    def test_json_has_the_counts_the_files_and_the_search(self, family: Path, made: Path) -> None:
        result = faces("forget", family, "*group-of-two*", "--yes", "--json")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert (report["dry_run"], report["photos"], report["faces"]) == (False, 1, 2)
        assert report["files"] == [str(made / "photos" / "group-of-two.png")]
        assert report["search"]["found"] == []
        assert report["search"]["looked_for"]["vectors"] == 3
        assert (made / "photos" / "group-of-two.png").exists()

    def test_the_files_that_stay_on_the_disk_are_listed(self, family: Path, made: Path) -> None:
        said = faces("forget", family, "*group-of-two*", "--dry-run").stdout
        assert "1 file is on your disk still, and not touched" in said
        assert str(made / "photos" / "group-of-two.png") in said

    def test_a_trace_is_exit_status_1_and_says_where(
        self, family: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without(monkeypatch, "pragma secure_delete", "vacuum")
        result = faces("forget", family, "*group*", "--yes", "--json")
        assert result.exit_code == 1
        assert " at byte " in result.stderr
        assert json.loads(result.stdout)["search"]["found"][0]["file"] == str(family)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "Name what to forget"),
            (("--photos",), "--photos needs --person"),
            (("--person", ADA, "--keep-decisions"), "cannot be combined"),
        ],
    )
    def test_wrong_usage_is_said(self, family: Path, arguments: tuple[str, ...], said: str) -> None:
        result = faces("forget", family, *arguments)
        assert result.exit_code == 2
        assert said in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("no-such-photo.jpg",), "There is no photo 'no-such-photo.jpg'"),
            (("*nothing*",), "There is no photo '*nothing*'"),
            (("99999",), "There is no photo '99999'"),
            (("9" * 30,), "There is no photo"),
            (("--person", "Nobody"), "There is no person 'Nobody'"),
            (("--person", "9" * 30), "There is no person"),
            (("--person", "not-a-face"), "no person"),
        ],
    )
    def test_what_is_not_there_is_said_and_nothing_is_done(
        self, family: Path, arguments: tuple[str, ...], said: str
    ) -> None:
        before = whole(family)
        result = faces("forget", family, *arguments, "--yes")
        assert result.exit_code == 1
        assert said in result.stderr
        assert whole(family) == before

    def test_while_an_ingest_runs_it_is_refused(self, family: Path) -> None:
        with lock_for_ingest(str(family)), pytest.raises(DatabaseBusy):
            run.forget(str(family), ForgetRequest(person=ADA))
        assert ADA.encode() in whole(family)

    @pytest.mark.parametrize("form", ["id", "path", "pattern"])
    def test_a_photo_is_named_by_number_path_or_pattern(
        self, family: Path, made: Path, form: str
    ) -> None:
        path = str(made / "photos" / "alone-of-ada.png")
        [(number,)] = rows(family, "select id from photos where path = ?", path)
        named = {"id": str(number), "path": path, "pattern": "*/alone-*"}[form]
        with reading(str(family)) as conn:
            assert find_photos(conn, named) == [number]

    def test_a_pattern_leaves_out_what_is_also_elsewhere(self, family: Path, made: Path) -> None:
        with changing(str(family)) as conn, transaction(conn):
            [number] = find_photos(conn, "*alone-of-ada*")
            conn.execute(
                "insert into photo_paths select '/copies/here.png', photo_id, bytes, modified_ns, "
                "sha256, null, null from photo_paths where photo_id = ?",
                [number],
            )
        said = faces("forget", family, "/copies/*", "--yes")
        assert said.exit_code == 0
        assert "1 photo stays, also being where" in said.stdout
        assert f"    {number}: {made / 'photos' / 'alone-of-ada.png'}" in said.stdout
        by_number = run.plan(str(family), ForgetRequest(photos=("/copies/*", str(number))))
        assert (by_number.rows["photos"], by_number.elsewhere) == (1, {})
        with changing(str(family)) as conn, transaction(conn):
            conn.execute(
                "update photo_paths set missing_since = '2024' where photo_id = ? "
                "and path != '/copies/here.png'",
                [number],
            )
        assert run.plan(str(family), ForgetRequest(photos=("/copies/*",))).rows["photos"] == 1

    def test_a_pattern_without_a_beginning_is_of_the_folder_one_is_in(
        self, family: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "[empty]").mkdir()
        monkeypatch.chdir(tmp_path / "[empty]")
        with reading(str(family)) as conn:
            for pattern in ("[a-z]*.png", "?*", "./*"):
                with pytest.raises(FacesError, match="There is no photo"):
                    find_photos(conn, pattern)
            monkeypatch.chdir(made)
            assert len(find_photos(conn, "photos/group*")) == 2
            assert len(find_photos(conn, "./[p]hotos/../photos/group*")) == 2


def test_an_export_blurs_the_person_and_links_no_original(family: Path, tmp_path: Path) -> None:
    run.forget(str(family), ForgetRequest(person=ADA))
    out = tmp_path / "catalogue.db"
    url = "https://example.org/{id}.jpg"
    result = faces("export", family, out, "--originals-url", url, "--no-model-check")
    assert result.exit_code == 0, result.output
    linked = rows(out, "select count(*) from photos where original_url is not null")
    assert linked == [(1,)]
    assert rows(out, "select count(*) from photos") == [(3,)]
