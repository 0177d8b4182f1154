"""What is forgotten is gone from every table and from the file's bytes; what stays is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
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
from datasette_faces.store import connection, database, forgetting, people
from datasette_faces.store.connection import load_vector_extension, sqlite, transaction
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
        pixels[SQUARE_PX // 2 - half : SQUARE_PX // 2 + half, middle - half : middle + half] = colour
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
        strangers = [row[0] for row in conn.execute("select id from faces where photo_id=?", [yellow])]
        decide.mark_not_a_face(conn, strangers[:1])
        decide.undo(conn)
        vector = vectors.encode(np.float32([0.6, 0.8, 0]))
        import base64

        kept = json.dumps({"toy": base64.b64encode(vector).decode()})
        for photo_id, key in ((group, ada.key), (yellow, None)):
            sha256 = f"{photo_id:064x}".replace("0", "c")
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
        conn.execute("insert or replace into likely_pairs values (?,?,?,0.4)", [ada.key, eve.key, model])
        path = conn.execute("select path from photos where id = ?", [yellow]).fetchone()[0]
        conn.execute("insert into ingest_errors(path, reason, seen_at) values (?, 'x', 'y')", [path])


@pytest.fixture
def family(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "family.db", tmp_path / "family.db"))


def test_every_table_is_tied_to_what_is_forgotten_or_tells_nothing(family: Path) -> None:
    with reading(str(family)) as conn:
        every = {row[0] for row in conn.execute("select name from sqlite_master where type='table'")}
    listed = {tie.table for tie in forgetting.TIES}
    assert not listed & forgetting.TELLS_NOTHING
    ours = {name for name in every if not name.startswith(("vec_faces_", "sqlite_stat"))}
    assert ours == listed | forgetting.TELLS_NOTHING | forgetting.MADE_AGAIN


def test_the_library_of_these_tests_has_rows_of_each_table(family: Path) -> None:
    filled: set[str] = set()
    with reading(str(family)) as conn:
        for request in (ForgetRequest(person=ADA), ForgetRequest(photos=("*yellow*", "*group*"))):
            filled |= {name for name, count in make_plan(conn, request).rows.items() if count}
    # These two are filled where they are tested
    assert filled == {tie.table for tie in forgetting.TIES} - {"face_drawings", "forgotten_faces"}


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
    assert run.plan(str(family), ForgetRequest(missing=True)).is_empty == (name in ("missing", "all"))


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
        names = {"*alone-of-ada*": ["alone-of-ada"], "*group*": ["group-of"], "*yellow*": ["yellow-"]}
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
        found += [row[0].encode() for row in conn.execute(f"select sha256 from photos where {among}")]
        for crop, vector in conn.execute(
            f"select crop, embedding from faces join face_embeddings on face_id = id where {whose}"
        ):
            found += [crop[-80:], vector]
        found += [
            row[0][-80:] for row in conn.execute(f"select thumbnail from photos where id in ({marks})")
        ]
    return found


def whole(path: Path) -> bytes:
    """All bytes of the database's files."""
    return b"".join(item.read_bytes() for item in sorted(path.parent.glob(f"{path.name}*")))


def assert_sound(path: Path) -> None:
    """Nothing is wrong that was not wrong before: a picture of these tests is broken, and some are missing."""
    with reading(str(path)) as conn:
        found = [it for it in checks.examine(conn) if it.level == "problem"]
        assert [(it.check, it.message) for it in found] == []
        assert conn.execute("pragma foreign_key_check").fetchall() == []
        assert conn.execute("pragma integrity_check").fetchone()[0] == "ok"
        models = conn.execute("select faces from face_indexes").fetchall()
        count = conn.execute("select count(*) from face_embeddings").fetchone()[0]
        assert count == 0 or (count,) in models
