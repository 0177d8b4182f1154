"""The audit sees whatever is planted in a catalogue, wherever it lies, and is quiet where all is well."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from publishing import ACTOR, CAMERA, FORMER, HIDDEN, MOMENT, NAMED, SECRET_PLACE, make_private
from running import faces, rows

from datasette_faces.library.audit import run
from datasette_faces.library.audit.findings import pair_by_id
from datasette_faces.media import jpeg_verify, redact
from datasette_faces.search.indexes import registry
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.store.connection import load_vector_extension, sqlite, transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

Plant = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


@pytest.fixture(scope="module")
def plain(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(private, tmp_path_factory.mktemp("plain") / "out.db")


@pytest.fixture(scope="module")
def searchable(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(private, tmp_path_factory.mktemp("searchable") / "out.db", "--embeddings")


def exported(private: Path, out: Path, *options: object) -> Path:
    result = faces("export", private, out, *options)
    assert result.exit_code == 0, result.output
    return out


def sql(*statements: str, **values: Callable[[Path], Any]) -> Plant:
    """Plant by statements, with values that are taken from the private file."""

    def plant(out: Path, private: Path) -> None:
        params = {name: value(private) for name, value in values.items()}
        with closing(sqlite().connect(str(out), isolation_level=None)) as conn:
            load_vector_extension(conn)
            for statement in statements:
                conn.execute(statement, params)

    return plant


def behind(content: Callable[[Path], bytes]) -> Plant:
    """Plant bytes behind the end."""

    def plant(out: Path, private: Path) -> None:
        with out.open("ab") as file:
            file.write(content(private))

    return plant


def in_slack(content: Callable[[Path], bytes]) -> Plant:
    """Plant bytes where a page has nothing: between its cells' numbers and its cells."""

    def plant(out: Path, private: Path) -> None:
        data, planted = bytearray(out.read_bytes()), content(private)
        size = int.from_bytes(data[16:18], "big")
        for start in range(size, len(data), size):
            cells = int.from_bytes(data[start + 3 : start + 5], "big")
            first = int.from_bytes(data[start + 5 : start + 7], "big")
            begin = 8 + 2 * cells
            if data[start] in (10, 13) and begin + len(planted) < first <= size:
                at = start + first - len(planted)
                data[at : at + len(planted)] = planted
                out.write_bytes(data)
                return
        raise AssertionError("no page has room")

    return plant


def over_byte(place: int, content: bytes) -> Plant:
    """Plant bytes over those at an offset of the file."""

    def plant(out: Path, private: Path) -> None:
        data = bytearray(out.read_bytes())
        assert data[place : place + len(content)] != content
        data[place : place + len(content)] = content
        out.write_bytes(data)

    return plant


def as_one_whole(*statements: str) -> Plant:
    """Plant by statements, and have SQLite write the file as one whole: nothing is left between rows."""
    return sql(*statements, "vacuum", "pragma journal_mode = delete")


def reordered(kind: str) -> Plant:
    """The same schema in another order, which could be a message; the file is whole again."""

    def plant(out: Path, private: Path) -> None:
        with closing(sqlite().connect(str(out), isolation_level=None)) as conn:
            rows = conn.execute(
                "select name, sql from sqlite_master where type = ? and sql != '' "
                "and name not like 'sqlite%' order by rowid",
                [kind],
            ).fetchall()
            for name, _ in rows:
                conn.execute(f"drop {kind} {name}")
            for _, statement in reversed(rows):
                conn.execute(statement)
            conn.execute("vacuum")

    return plant


def with_longer_values(out: Path, private: Path) -> None:
    """A record says a number in more bytes than it needs: SQLite keeps that when it copies rows."""
    data = bytearray(out.read_bytes())
    with closing(sqlite().connect(str(out))) as conn:
        name, value = conn.execute("select name, value from catalogue order by rowid").fetchone()
    record = bytes((3, 13 + 2 * len(name), 13 + 2 * len(value))) + (name + value).encode()
    assert (name, len(record)) == ("format", 10)
    place = data.index(record)
    # The length of the head in two bytes, which is one more than it needs: over the row's own number
    data[place - 2 : place] = b"\x0b\x01"
    longer = b"\x80\x04" + record[1:]
    size = int.from_bytes(data[16:18], "big")
    page = place // size * size
    start = place - 2 - 1
    moved = bytes((len(longer), 1)) + longer
    data[start : start + len(moved)] = moved
    cells = [page + 8 + 2 * n for n in range(int.from_bytes(data[page + 3 : page + 5], "big"))]
    [cell] = [it for it in cells if page + int.from_bytes(data[it : it + 2], "big") == place - 2]
    data[cell : cell + 2] = (start - page).to_bytes(2, "big")
    if int.from_bytes(data[page + 5 : page + 7], "big") == place - 2 - page:
        data[page + 5 : page + 7] = (start - page).to_bytes(2, "big")
    out.write_bytes(data)


def beside(ending: str) -> Plant:
    def plant(out: Path, private: Path) -> None:
        Path(f"{out}{ending}").write_bytes(b"x")

    return plant


def value(query: str) -> Callable[[Path], Any]:
    return lambda private: rows(private, query)[0][0]


def picture(change: Callable[[bytes], bytes], table: str = "faces", column: str = "crop") -> Plant:
    """Change one picture of a catalogue."""

    def plant(out: Path, private: Path) -> None:
        [(row_id, data)] = rows(out, f"select id, {column} from {table} limit 1")
        sql(
            f"update {table} set {column} = :data where id = {row_id}", data=lambda _: change(data)
        )(out, private)

    return plant


def with_segment(kind: int, content: bytes) -> Callable[[bytes], bytes]:
    segment = bytes([0xFF, kind]) + (len(content) + 2).to_bytes(2, "big") + content
    return lambda data: data[:2] + segment + data[2:]


def redrawn(data: bytes) -> bytes:
    out = io.BytesIO()
    image = Image.open(io.BytesIO(data))
    noise = np.random.default_rng(1).integers(0, 255, (image.height, image.width, 3), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", quality=50)
    return out.getvalue()


OF_HIDDEN = f"from faces join people on people.id = person_id where name = '{HIDDEN}'"
VECTOR = value(
    "select embedding from face_embeddings where face_id in (select faces.id " + OF_HIDDEN + ")"
)
PATH = value("select path from photos where id = 1")
SHA = value("select sha256 from photos where id = 1")
NOTE = "insert into catalogue values ('about', :text)"
TEXT = "create table extra(t)", "insert into extra values (:text)", "drop table extra"

# What each check is called
SCHEMA, NOTES = "tables, columns, triggers, views", "notes of the catalogue"
PEOPLE, PHOTOS, FACES = "people", "cells of photos", "cells of faces"
VECTORS, INDEXES = "embeddings and models", "indexes of embeddings"
JPEGS = "EXIF, XMP and other metadata in pictures"
PICTURES = "pictures of what is not published"
SEAL = "the seal of the export"
BEHIND, BESIDE = "bytes behind the last page", "files beside it"
FREE, HEADER = "free pages, and bytes that belong to no row", "numbers in the header"
NAMES, ACTORS, PATHS = "names of other people", "who decided", "paths and parts of them"
CAMERAS, TIMES, PLACES = "cameras", "exact times", "exact places"
HASHES, KEYS, SECRETS = "hashes of photos", "keys of people and decisions", "secrets"
LANDMARKS, OF_VECTORS, REASONS = "landmarks", "vectors", "reasons of errors"

PLANTS: dict[str, tuple[str, Plant]] = {
    "a path in a cell": (
        PHOTOS,
        sql("update photos set path = :text where id = (select min(id) from photos)", text=PATH),
    ),
    "a part of a path in a note": (
        NOTES,
        sql(NOTE, text=lambda p: f"see {p.parent.name} and t1.jpg"),
    ),
    "a hidden name": (PEOPLE, sql("update people set name = :text", text=lambda _: HIDDEN)),
    "a former name behind the end": (NAMES, behind(lambda _: FORMER.encode())),
    "a hidden name in slack": (NAMES, in_slack(lambda _: HIDDEN.encode())),
    "a hidden name in UTF-16 in slack": (NAMES, in_slack(lambda _: HIDDEN.encode("utf-16-le"))),
    "a hidden name as hex in slack": (NAMES, in_slack(lambda _: HIDDEN.encode().hex().encode())),
    "a hidden name as base64 in slack": (
        NAMES,
        in_slack(lambda _: base64.b64encode(b"x" + HIDDEN.encode())),
    ),
    "a hidden name in capitals in slack": (NAMES, in_slack(lambda _: HIDDEN.upper().encode())),
    "who decided, in slack": (ACTORS, in_slack(lambda _: ACTOR.encode())),
    "a camera in slack": (CAMERAS, in_slack(lambda _: CAMERA.encode())),
    "an exact time in a cell": (
        PHOTOS,
        sql("update photos set taken_at = :text", text=lambda _: MOMENT),
    ),
    "an exact time in slack": (TIMES, in_slack(lambda _: MOMENT.encode())),
    "a time as EXIF writes it, in slack": (TIMES, in_slack(lambda _: b"2019:05:31 14:23:11")),
    "an exact place in slack": (PLACES, in_slack(lambda _: np.float64(SECRET_PLACE[0]).tobytes())),
    "an exact place as text in slack": (PLACES, in_slack(lambda _: str(SECRET_PLACE[1]).encode())),
    "a place in a column of its own": (SCHEMA, sql("alter table photos add column latitude real")),
    "a hash as text in slack": (HASHES, in_slack(lambda p: SHA(p).encode())),
    "a hash as bytes in slack": (HASHES, in_slack(lambda p: bytes.fromhex(SHA(p)))),
    "a person's key in slack": (
        KEYS,
        in_slack(lambda p: value("select key from people limit 1")(p).encode()),
    ),
    "a decision's uid in slack": (
        KEYS,
        in_slack(lambda p: value("select uid from decisions")(p).encode()),
    ),
    "the secret of the ids in slack": (
        SECRETS,
        in_slack(lambda p: value("select key from face_keys")(p)),
    ),
    "landmarks in slack": (
        LANDMARKS,
        in_slack(lambda p: value("select landmarks from faces")(p).encode()),
    ),
    "a vector in slack": (OF_VECTORS, in_slack(VECTOR)),
    "the middle of a vector in slack": (OF_VECTORS, in_slack(lambda p: VECTOR(p)[250:300])),
    "a vector as hex in slack": (OF_VECTORS, in_slack(lambda p: VECTOR(p).hex().encode())),
    "a vector as base64 behind the end": (
        OF_VECTORS,
        behind(lambda p: base64.b64encode(VECTOR(p))),
    ),
    "a vector as JSON in slack": (
        OF_VECTORS,
        in_slack(lambda p: json.dumps(np.frombuffer(VECTOR(p), "<f4").tolist()).encode()[:200]),
    ),
    "a vector in its table": (
        VECTORS,
        sql(
            "insert into models values ('sface', 's', 128, 0.3, 'x', 'y')",
            "insert into face_embeddings select id, 'sface', :vector from faces limit 1",
            vector=VECTOR,
        ),
    ),
    "bytes behind the end": (BEHIND, behind(lambda _: b"\0" * 512)),
    "a free page": (
        FREE,
        sql(
            "create table extra(t)",
            "insert into extra values (zeroblob(30000))",
            "drop table extra",
        ),
    ),
    "a deleted name": (
        NAMES,
        sql("pragma secure_delete = off", *TEXT, text=lambda _: HIDDEN * 900),
    ),
    "a table": (SCHEMA, sql("create table decisions(id integer)")),
    "a column": (SCHEMA, sql("alter table faces add column landmarks text")),
    "a view": (SCHEMA, sql("create view those as select id from faces")),
    "a trigger": (SCHEMA, sql("create trigger those after insert on faces begin select 1; end")),
    "statistics": (SCHEMA, sql("analyze")),
    "a comment in the schema": (SCHEMA, sql("create index those on faces(width) -- ask Ann\n")),
    "a log beside": (BESIDE, beside("-wal")),
    "a journal beside": (BESIDE, beside("-journal")),
    "a number in the header": (HEADER, sql("pragma user_version = 7")),
    "text in the room of the header": (HEADER, over_byte(72, b"Ann, 12 Elm Road")),
    "a count of changes": (FREE, over_byte(24, b"Elm ")),
    "a count of changes that is nearly right": (FREE, over_byte(27, b"\x07")),
    "a count of changes of the schema": (FREE, over_byte(40, b"Elm ")),
    "a version of SQLite that is none": (FREE, over_byte(96, b"Elm ")),
    "the size of pages": (FREE, as_one_whole("pragma page_size = 16384")),
    "a vacuum of itself": (HEADER, as_one_whole("pragma auto_vacuum = 1")),
    "numbers of rows of the notes": (
        FREE,
        as_one_whole("update catalogue set rowid = 12 + rowid * 1001"),
    ),
    "an order of the notes": (FREE, as_one_whole("update catalogue set rowid = 100 - rowid")),
    "an order of indexes": (FREE, reordered("index")),
    "a value that is longer than it needs to be": (FREE, with_longer_values),
    "a comment in a table of ours": (
        SCHEMA,
        as_one_whole(
            "pragma writable_schema = on",
            "update sqlite_master set sql = replace(sql, '-- jpeg', '-- Ann') where name = 'faces'",
            "pragma writable_schema = off",
        ),
    ),
    "EXIF in a picture": (JPEGS, picture(with_segment(0xE1, b"Exif\0\0MM"))),
    "XMP in a photo": (
        JPEGS,
        picture(with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), "photos", "thumbnail"),
    ),
    "a comment in a picture": (JPEGS, picture(with_segment(0xFE, b"serial 12345"))),
    "a profile in a picture": (JPEGS, picture(with_segment(0xE2, b"ICC_PROFILE\0"))),
    "something behind a picture's end": (JPEGS, picture(lambda data: data + b"serial")),
    "something within a picture's scan": (
        SEAL,
        picture(lambda data: data[:-2] + b"serial" * 9 + data[-2:]),
    ),
    "text for tables in a picture": (
        JPEGS,
        picture(lambda data: before(b"\xff\xdb", data, 0xDB, (b"\0" + TEXT_BYTES.ljust(64)) * 100)),
    ),
    "another picture": (PICTURES, picture(redrawn)),
    "an unpublished crop": (
        PICTURES,
        sql("update faces set crop = :crop", crop=value(f"select crop {OF_HIDDEN}")),
    ),
    "another photo": (PICTURES, picture(redrawn, "photos", "thumbnail")),
    "a photo as it was, nobody blurred": (
        PICTURES,
        sql(
            "update photos set thumbnail = :t where width = :w",
            t=value("select thumbnail from photos where id = 1"),
            w=value("select width from photos where id = 1"),
        ),
    ),
    "a face that is not published": (
        FACES,
        sql(
            "insert into faces select 77, photo_id, 1, 1, 9, 9, 1, 1, null, null, null, crop "
            "from faces limit 1"
        ),
    ),
    "an unnamed face's place": (FACES, sql("update faces set x = x + 400")),
    "a person without faces": (
        PEOPLE,
        sql("insert into people(id, name, key, faces) values (5, 'Q', 'p5', 0)"),
    ),
    "who said so": (FACES, sql("update faces set person_source = 'person'")),
    "a note": (NOTES, sql(NOTE, text=lambda _: "anything")),
    "a note with a secret": (
        NOTES,
        sql("update catalogue set value = :text where name = 'made_on'", text=lambda _: HIDDEN),
    ),
    "a cell of another type": (FACES, sql("update faces set sharpness = 1.5")),
    "text that is no text": (PEOPLE, sql("update people set name = cast(x'ff00ff' as text)")),
}


def test_there_are_enough_leaks_to_plant():
    assert len(PLANTS) >= 50


@pytest.mark.parametrize("name", PLANTS)
def test_each_leak_is_reported_by_the_check_whose_matter_it_is(plain, private, tmp_path, name):
    out = Path(shutil.copy(plain, tmp_path / "out.db"))
    check, plant = PLANTS[name]
    plant(out, private)
    result = faces("audit", out, "--against", private, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["leaks"] >= 1
    assert check in {it["check"] for it in told["checks"] if it["found"] and it["examples"]}


def half(vector: bytes) -> bytes:
    return np.frombuffer(vector, "<f4").astype("<f2").tobytes()


OF_PQ = "insert into face_indexes values ('sface', 'pq', 0, 7, '2019', 'x')"
PART = "insert into face_index_parts values ('sface', 'pq', 0, 'ids', :v)"
SEARCHABLE: dict[str, tuple[str, Plant]] = {
    "a hidden person's vector": (
        VECTORS,
        sql("update face_embeddings set embedding = :v", v=VECTOR),
    ),
    "vectors that changed their people": (
        VECTORS,
        sql(
            "update face_embeddings set embedding = "
            "(select embedding from face_embeddings order by face_id desc limit 1)"
        ),
    ),
    "numbers of rows": (VECTORS, sql("update face_embeddings set rowid = rowid * 1000 + 3")),
    "another model": (
        VECTORS,
        sql("insert into models values ('other', 'o', 3, 0.5, 'mine', 'x')"),
    ),
    "another licence": (VECTORS, sql("update models set licence = 'of Ann'")),
    "one in vec0": (
        INDEXES,
        sql("insert into vec_faces_sface(face_id, embedding) values (99, :v)", v=VECTOR),
    ),
    "one in vec0, a little changed": (
        INDEXES,
        sql(
            "insert into vec_faces_sface(face_id, embedding) values (99, :v)",
            v=lambda p: (np.frombuffer(VECTOR(p), "<f4") * np.float32(1.0000005)).tobytes(),
        ),
    ),
    "a published one twice in vec0": (
        INDEXES,
        sql(
            "insert into vec_faces_sface(face_id, embedding) "
            "select 99, embedding from vec_faces_sface limit 1"
        ),
    ),
    "one in the room of a chunk": (
        INDEXES,
        sql(
            "update vec_faces_sface_vector_chunks00 set vectors = "
            "cast(substr(vectors, 1, 5000) || :v || substr(vectors, 5001 + length(:v)) as blob)",
            v=lambda p: half(VECTOR(p)),
        ),
    ),
    "text in what vec0 says of itself": (
        INDEXES,
        sql("update vec_faces_sface_info set value = 'Bo' where key = 'CREATE_VERSION'"),
    ),
    "text in vec0's list of rows": (INDEXES, sql("update vec_faces_sface_rowids set id = 'Bo'")),
    "one in an index": (INDEXES, sql(OF_PQ, PART, v=VECTOR)),
    "private ids in an index": (
        INDEXES,
        sql(OF_PQ, PART, v=lambda _: np.arange(1, 8, dtype="<i8").tobytes()),
    ),
    "one as float16 in an index": (INDEXES, sql(OF_PQ, PART, v=lambda p: half(VECTOR(p)))),
    "a name in the list of indexes": (INDEXES, sql("update face_indexes set built_at = 'by Bo'")),
    "a private count there": (INDEXES, sql("update face_indexes set faces = 123456")),
    "private ids in the log": (
        INDEXES,
        sql("insert into face_changes(model_id, face_id) values ('sface', 3)"),
    ),
    "a number in SQLite's own table": (
        INDEXES,
        sql("insert into sqlite_sequence values ('Bo', 1559305391)"),
    ),
    "another number there": (
        INDEXES,
        as_one_whole("update sqlite_sequence set seq = seq + 12345678"),
    ),
    "numbers of rows of models": (VECTORS, as_one_whole("update models set rowid = 1234567")),
    "an order of triggers": (FREE, reordered("trigger")),
    "one in slack": (OF_VECTORS, in_slack(VECTOR)),
    "a table like vec0's": (SCHEMA, sql("create table vec_faces_sface_extra(t)")),
    "a further chunk of vec0": (
        SCHEMA,
        sql('create table vec_faces_sface_vector_chunks77("lives at 12 Elm Rd" text)'),
    ),
    "a default in such a table": (
        SCHEMA,
        sql("create table vec_faces_sface_vector_chunks55(a text default 'Bo, 12 Elm Rd')"),
    ),
    "a table in place of vec0's": (
        SCHEMA,
        sql(
            "drop table vec_faces_sface",
            "create table vec_faces_sface(face_id integer, serial text, owner text)",
            "vacuum",
        ),
    ),
    "a vec0 with names in it": (
        SCHEMA,
        sql(
            "drop table vec_faces_sface",
            "create virtual table vec_faces_sface using vec0("
            "who text partition key, face_id integer primary key, embedding float[128])",
            "vacuum",
        ),
    ),
}


@pytest.mark.parametrize("name", SEARCHABLE)
def test_each_leak_among_embeddings_is_reported(searchable, private, tmp_path, name):
    out = Path(shutil.copy(searchable, tmp_path / "out.db"))
    check, plant = SEARCHABLE[name]
    plant(out, private)
    assert check in found_in(out, private)


def found_in(out: Path, private: Path) -> dict[str, tuple[str, ...]]:
    """The checks of an audit that found something, with examples."""
    report = run.audit(str(out), str(private))
    return {it.check: it.examples for it in report.findings if it.found}


def test_a_large_catalogue_has_codes_that_are_compared_as_well(private, tmp_path, monkeypatch):
    monkeypatch.setattr(
        registry, "indexes", lambda: [SqliteVec(), Pq(least_values=1, least_faces=16)]
    )
    many = Path(shutil.copy(private, tmp_path / "many.db"))
    with writing(str(many)) as conn, transaction(conn):
        for number in range(2, 520):
            conn.execute(
                "insert into faces(photo_id, x, y, width, height, landmarks, detection_score, "
                "sharpness, yaw, pitch, roll, person_id, crop) select photo_id, x, :n, width, height, "
                "landmarks, detection_score, sharpness, yaw, pitch, roll, person_id, crop "
                "from faces where id = 1",
                {"n": number},
            )
            vector = np.random.default_rng(number).normal(size=128).astype("<f4")
            conn.execute(
                "insert into face_embeddings select max(id), 'sface', ? from faces",
                [(vector / np.linalg.norm(vector)).tobytes()],
            )
    out = exported(many, tmp_path / "out.db", "--embeddings")
    assert {row[0] for row in rows(out, "select name from face_index_parts")} == {
        "ids",
        "centroids",
        "codes",
    }
    assert rows(out, "select count(*) from vec_faces_sface_chunks") == [(3,)]
    assert found_in(out, many) == {}
    for part in ("ids", "centroids", "codes"):
        planted = Path(shutil.copy(out, tmp_path / f"{part}.db"))
        change = "cast(substr(data, 1, 40) || x'0102030405060708' || substr(data, 49) as blob)"
        sql(f"update face_index_parts set data = {change} where name = '{part}'")(planted, many)
        [(_, told)] = found_in(planted, many).items()
        assert told[0].startswith("face_index_parts 'sface', 'pq'")
        assert "export again" in told[-1]


def test_embeddings_are_a_leak_where_the_catalogue_does_not_say_that_it_has_them(
    searchable, private, tmp_path
):
    out = Path(shutil.copy(searchable, tmp_path / "out.db"))
    sql("delete from catalogue where name = 'embeddings'")(out, private)
    assert run.audit(str(out), str(private)).leaks > 3


@pytest.mark.parametrize("which", ["plain", "searchable"])
def test_a_clean_catalogue_has_no_leak_and_says_what_was_looked_for(request, private, which):
    out = request.getfixturevalue(which)
    result = faces("audit", out, "--against", private)
    assert result.exit_code == 0, result.output
    assert "No leak." in result.output
    assert (
        f"turned on: {'embeddings: yes' if which == 'searchable' else 'nothing'}" in result.output
    )
    for check in (
        "paths and parts",
        "vectors",
        "EXIF",
        "names of other people",
        "free pages, and bytes that belong to no row",
    ):
        assert check in result.output


def test_somebody_hidden_since_is_a_leak(plain, private, tmp_path):
    from datasette_faces.people import decide
    from datasette_faces.store import people as store
    from datasette_faces.store.connection import transaction
    from datasette_faces.store.database import writing

    later = Path(shutil.copy(private, tmp_path / "later.db"))
    with writing(str(later)) as conn, transaction(conn):
        decide.hide(conn, store.of_name(conn, NAMED)[0].id)
    report = run.audit(str(plain), str(later))
    found = {it.check for it in report.findings if it.found}
    assert {"faces of hidden or unnamed people", "names of other people"} <= found


def test_a_folder_that_is_called_as_what_is_public_is_no_leak(faces_db, tmp_path):
    private = make_private(faces_db, tmp_path / "private.db")
    with closing(sqlite().connect(str(private))) as conn:
        load_vector_extension(conn)
        conn.execute(
            f"update photos set path = '/the/a/photos/{NAMED}/2019-05-31/thumbnail/p' || id || '.jpg'"
        )
        conn.execute("insert into people(name, hidden) values (?, 1)", [NAMED])
        conn.commit()
    exported(private, tmp_path / "out.db")


def test_what_is_no_catalogue_is_said(private, plain, tmp_path):
    other = Path(shutil.copy(private, tmp_path / "other.db"))
    for out, message in (
        (other, "is not a catalogue"),
        (private, "one and the same"),
        (tmp_path / "none.db", "There is no file"),
        (Path(__file__), "not a database"),
    ):
        result = faces("audit", out, "--against", private)
        assert (result.exit_code, message in result.output) == (1, True), result.output


def test_a_catalogue_of_another_file_is_not_one_of_a_thousand_leaks(
    private, plain, faces_db, tmp_path
):
    other = make_private(faces_db, tmp_path / "other.db")
    exported(other, tmp_path / "out.db")
    result = faces("audit", plain, "--against", other)
    assert result.exit_code == 1
    assert "was not made of" in result.output
    assert "one and the same" in faces("audit", plain, "--against", plain).output


def saved(image: Image.Image | None = None, quality: int = 50, **options: Any) -> bytes:
    out = io.BytesIO()
    pixels = np.arange(30_000, dtype=np.uint8).reshape(100, 100, 3)
    (image or Image.fromarray(pixels)).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


@pytest.mark.parametrize("quality", [redact.THUMBNAIL.quality, redact.CROP.quality])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (320, 213)])
@pytest.mark.parametrize("spread", [0, 3, 255])
def test_a_jpeg_of_ours_has_no_fault_whatever_it_shows(quality, size, spread):
    noise = np.random.default_rng(spread).normal(128, spread, (size[1], size[0], 3))
    data = saved(Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)), quality)
    assert jpeg_verify.find_fault(data, quality) is None


def test_a_jpeg_that_no_export_writes_has_a_fault():
    assert jpeg_verify.find_fault(saved(comment=b"x"), 50) == "a comment"
    assert jpeg_verify.find_fault(saved()[:-2], 50) == "it does not end"
    assert jpeg_verify.find_fault(saved() + b"serial", 50) == "6 bytes behind its end"
    assert jpeg_verify.find_fault(b"GIF89a", 50) == "no JPEG"
    for options in ({"quality": 75}, {"optimize": True}, {"progressive": True}, {"subsampling": 0}):
        assert jpeg_verify.find_fault(saved(**options), 50) == jpeg_verify.OTHER_TABLES
    assert jpeg_verify.find_fault(saved(Image.new("L", (20, 20))), 50) == jpeg_verify.OTHER_TABLES
    assert "JFIF" in str(jpeg_verify.find_fault(saved(dpi=(72, 72)), 50))


TEXT_BYTES = b"GPS 48.137154 serial 4711 "
IN_A_HEAD: dict[str, Callable[[bytes], bytes]] = {
    "a hundred further quantization tables": lambda data: before(
        b"\xff\xdb", data, 0xDB, (b"\0" + TEXT_BYTES.ljust(64, b"!")) * 100
    ),
    "text for a quantization table": lambda data: over(data, data.index(b"\xff\xdb") + 40),
    "text for a Huffman table": lambda data: before(
        b"\xff\xda", data, 0xC4, b"\x13" + bytes(15) + bytes([len(TEXT_BYTES)]) + TEXT_BYTES
    ),
    "text behind the last Huffman table": lambda data: before(
        b"\xff\xda", data, 0xC4, b"\x13" + bytes(16) + TEXT_BYTES
    ),
    "a version and density of text": lambda data: over(data, 11, b"4711lat"),
    "a frame with more in it": lambda data: longer(data, b"\xff\xc0"),
    "a scan with more in its head": lambda data: longer(data, b"\xff\xda"),
    "a preview in its first segment": lambda data: longer(data, b"\xff\xe0"),
}


def before(mark: bytes, data: bytes, kind: int, content: bytes) -> bytes:
    at = data.index(mark)
    return data[:at] + with_segment(kind, content)(b"\xff\xd8")[2:] + data[at:]


def over(data: bytes, at: int, text: bytes = TEXT_BYTES) -> bytes:
    return data[:at] + text + data[at + len(text) :]


def longer(data: bytes, mark: bytes) -> bytes:
    at = data.index(mark) + 2
    size = int.from_bytes(data[at : at + 2], "big")
    grown = (size + len(TEXT_BYTES)).to_bytes(2, "big")
    return data[:at] + grown + data[at + 2 : at + size] + TEXT_BYTES + data[at + size :]


@pytest.mark.parametrize("name", IN_A_HEAD)
def test_no_table_of_a_jpeg_can_hold_a_text(name):
    assert jpeg_verify.find_fault(IN_A_HEAD[name](saved()), 50)


def test_a_segment_within_a_scan_is_a_fault():
    data = saved()
    planted = data[:-9] + b"\xff\xfeab" + data[-9:]
    assert jpeg_verify.find_fault(planted, 50) == "a segment within the picture"


def test_rows_are_paired_by_id_and_none_is_read_before_its_turn() -> None:
    others = ({"public_id": number} for number in (1, 2, 4, 5, 9))
    ids = [None, 2, 2, 3, 5, "x"]
    pairs = [
        (row["id"], other and other["public_id"])
        for row, other in pair_by_id([{"id": row_id} for row_id in ids], others, key="public_id")
    ]
    assert pairs == [(None, None), (2, 2), (2, 2), (3, None), (5, 5), ("x", None)]
    assert next(others) == {"public_id": 9}
