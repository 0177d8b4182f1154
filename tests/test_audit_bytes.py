"""Whatever a private file keeps to itself is found among a catalogue's bytes, and nothing else is."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from publishing import HIDDEN, NAMED, SECRET_PLACE, make_private
from running import faces, rows
from test_audit import (
    HASHES,
    LANDMARKS,
    NAMES,
    OF_VECTORS,
    PATHS,
    PLACES,
    REASONS,
    SECRETS,
    SHA,
    TIMES,
    VECTOR,
    exported,
    found_in,
    half,
    in_slack,
    sql,
    value,
)

from datasette_faces.library.audit import byte_checks, run
from datasette_faces.library.audit import needles as kept
from datasette_faces.store.connection import load_vector_extension, sqlite

pytestmark = pytest.mark.slow

PUBLISHED, LIKE_IT = "Maximilian Schneider-Bach", "Maximilian Schneider-Geheim"
BETWEEN = "Maximilian Schneider, Jan Schneider-Bach"
"""Begins and ends as the published name does."""
ACCENTS, SHORT = "Zoë Größe-Ünlü", "莉莉"
SAID = "Said Bysomebody"
NO_UTF8 = b"B\xe4rbel-M\xfcller"
REASON = "the face of Robert Redacted"
OTHERS = np.random.default_rng(5).normal(size=128).astype("<f4").tobytes()
LOST = np.random.default_rng(6).normal(size=128).astype("<f4").tobytes()
SIDECARS = "ab12" * 16

CHANGES = (
    ("insert into people(name, hidden) values (?, 1)", [LIKE_IT]),
    ("insert into people(name, hidden) values (?, 1)", [BETWEEN]),
    ("insert into people(name, hidden) values (?, 1)", [ACCENTS]),
    ("insert into people(name, hidden) values (?, 1)", [SHORT]),
    ("insert into people(name, hidden) values ('Bo', 1)", []),
    ("update people set name = ? where name = ?", [PUBLISHED, NAMED]),
    (
        "update photos set modified_at = '2018-07-06T05:04:03', path = '/Familienordner/a1b2c3.jpg'",
        [],
    ),
    ("update photos set ingested_at = '2021-08-09T10:11:12'", []),
    ("update decisions set made_at = '2022-10-11T12:13:14'", []),
    ("insert or replace into said_names values (1, ?, 'iptc')", [SAID]),
    ("insert or replace into names_read values (1, 'x', ?)", [SIDECARS]),
    (
        "insert into photo_paths values ('/p/another-scan.jpg', 1, 1, 1, 'x', null, null)",
        [],
    ),
    (
        "insert into photo_paths values ('/p/not-utf8.jpg', 1, 1, 1, 'x', ?, null)",
        [b"/p/" + NO_UTF8 + b".jpg"],
    ),
    (
        "insert into ingest_errors(path, reason, seen_at) values ('/p/broken-file.jpg', ?, ?)",
        [REASON, "2023-12-13T14:15:16"],
    ),
    (
        "insert into face_drawings values ('u1', null, ?)",
        [
            json.dumps(
                {
                    "face": {"landmarks": "[[111.25, 222.5], [333.75, 444.125]]"},
                    "embeddings": {"sface": base64.b64encode(OTHERS).decode()},
                }
            )
        ],
    ),
    (
        "insert into lost_faces(photo_id, face_id, embeddings) values (1, 99, ?)",
        [json.dumps({"sface": base64.b64encode(LOST).decode()})],
    ),
)


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private file with something in each of its tables."""
    made = make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")
    with closing(sqlite().connect(str(made), isolation_level=None)) as conn:
        load_vector_extension(conn)
        for statement, params in CHANGES:
            conn.execute(statement, params)
    return made


@pytest.fixture(scope="module")
def plain(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(private, tmp_path_factory.mktemp("plain") / "out.db")


def numbers(private: Path) -> np.ndarray:
    return np.frombuffer(VECTOR(private), "<f4")


SECRET = value("select key from face_keys")
IN_SLACK: dict[str, tuple[str, bytes | Callable[[Path], bytes]]] = {
    "a name that begins as a published one": (NAMES, LIKE_IT.encode()),
    "the same in UTF-16": (NAMES, LIKE_IT.encode("utf-16-le")),
    "the same in UTF-16, the other way": (NAMES, LIKE_IT.encode("utf-16-be")),
    "the same as hex": (NAMES, LIKE_IT.encode().hex().encode()),
    "the same in capitals": (NAMES, LIKE_IT.upper().encode()),
    "the end of it": (NAMES, LIKE_IT[-16:].encode()),
    "one that begins and ends as a published one": (NAMES, BETWEEN.encode()),
    "a name of six bytes, three of which differ": (NAMES, SHORT.encode()),
    "a name with its accents apart": (NAMES, unicodedata.normalize("NFD", ACCENTS).encode()),
    "a name in JSON": (NAMES, json.dumps(ACCENTS).encode()),
    "a name in an address": (NAMES, quote(ACCENTS).encode()),
    "a name that another program says": (NAMES, SAID.encode()),
    "a folder": (PATHS, b"Familienordner"),
    "a copy's name": (PATHS, b"another-scan"),
    "the name of a file that was not read": (PATHS, b"broken-file"),
    "a file's name that is no UTF-8": (PATHS, NO_UTF8),
    "why a file was not read": (REASONS, REASON.encode()),
    "when it was not read": (TIMES, b"2023-12-13T14:15"),
    "when a file was changed": (TIMES, b"2018-07-06T05:04"),
    "when it was ingested": (TIMES, b"2021-08-09T10:11"),
    "when somebody decided": (TIMES, b"2022:10:11 12:13"),
    "a place as SQLite has it": (PLACES, struct.pack(">d", SECRET_PLACE[0])),
    "a place as other programs have it": (PLACES, struct.pack("<d", SECRET_PLACE[0])),
    "a place as text": (PLACES, str(SECRET_PLACE[1]).encode()),
    "a hash in capitals": (HASHES, lambda p: SHA(p).upper().encode()),
    "its second half": (HASHES, lambda p: SHA(p)[32:].encode()),
    "its second half in capitals": (HASHES, lambda p: SHA(p)[32:].upper().encode()),
    "its second half as bytes": (HASHES, lambda p: bytes.fromhex(SHA(p))[16:]),
    "a hash of what lies beside a photo": (HASHES, SIDECARS.encode()),
    "the secret from its middle": (SECRETS, lambda p: SECRET(p)[8:]),
    "the secret in capitals": (SECRETS, lambda p: SECRET(p).hex().upper().encode()),
    "the secret as base64": (SECRETS, lambda p: base64.b64encode(SECRET(p))),
    "a vector as float16": (OF_VECTORS, lambda p: half(VECTOR(p))),
    "a vector as float64": (OF_VECTORS, lambda p: numbers(p).astype("<f8").tobytes()),
    "a vector as hex": (OF_VECTORS, lambda p: VECTOR(p).hex().encode()),
    "a vector in capitals": (OF_VECTORS, lambda p: VECTOR(p).hex().upper().encode()),
    "a vector as base64": (OF_VECTORS, lambda p: base64.b64encode(VECTOR(p))),
    "the second number of a vector": (OF_VECTORS, lambda p: f"{numbers(p)[1]:.9f}".encode()),
    "a vector of an undone drawing": (OF_VECTORS, OTHERS),
    "a vector of a face that was edited away": (OF_VECTORS, LOST),
    "the text that keeps it": (OF_VECTORS, base64.b64encode(OTHERS)),
    "landmarks of an undone drawing": (LANDMARKS, b"[111.25, 222.5], [333.75"),
    "landmarks without the first": (
        LANDMARKS,
        lambda p: value("select landmarks from faces")(p).split("],", 1)[1].encode(),
    ),
}


@pytest.mark.parametrize("name", IN_SLACK)
def test_what_a_private_file_keeps_is_found_where_no_table_has_it(plain, private, tmp_path, name):
    out = Path(shutil.copy(plain, tmp_path / "out.db"))
    check, data = IN_SLACK[name]
    in_slack(data if callable(data) else lambda _: data)(out, private)
    assert check in found_in(out, private)


def test_names_that_begin_alike_are_no_leak_where_they_are_published(plain, private):
    assert found_in(plain, private) == {}
    assert PUBLISHED.encode() in plain.read_bytes()


def test_what_is_too_short_to_be_looked_for_is_counted(plain, private):
    report = run.audit(str(plain), str(private))
    [told] = [it for it in report.findings if it.check == byte_checks.TOO_SHORT]
    assert "1: names of other people" in told.examples
    assert told.found == 0


@pytest.mark.parametrize(
    ("folders", "options"),
    [
        (("undated",), ()),
        (("Primary", "Version", "Vectors", "Trigger", "Integer", "centroids"), ("--embeddings",)),
        (("sqlite-vec", "CREATE_VERSION", "vector_chunks", "float32"), ("--embeddings",)),
        (("watermark", "people and query"), ("--watermark", "Ann")),
        (("original_url", "archive"), ("--originals-url", "https://archive.example.org/{id}.jpg")),
        (("CDEFGHIJ", "defghij"), ()),
    ],
)
def test_a_folder_that_is_called_as_a_word_of_every_catalogue_is_no_leak(
    faces_db, tmp_path, folders, options
):
    private = make_private(faces_db, tmp_path / "private.db")
    path = f"/{'/'.join(folders)}/p"
    sql(f"update photos set path = '{path}' || id || '.jpg'")(private, private)
    exported(private, tmp_path / "out.db", *options)


def test_a_few_bytes_that_are_in_a_picture_by_chance_are_no_leak(faces_db, tmp_path):
    private = make_private(faces_db, tmp_path / "private.db")
    out = exported(private, tmp_path / "out.db")
    [(crop,)] = rows(out, "select crop from faces limit 1")
    scan = crop[700:-2]
    found = (scan[it : it + 6] for it in range(len(scan)))
    by_chance = next(it for it in found if len(set(it)) == 6 and not set(it) & set(b"/\0\\."))
    named = "insert into photo_paths values ('/p/x.jpg', 1, 1, 1, 'x', :path, null)"
    sql(named, path=lambda _: b"/p/" + by_chance + b".jpg")(private, private)
    assert found_in(out, private) == {}
    in_slack(lambda _: by_chance)(out, private)
    assert PATHS in found_in(out, private)


def test_a_watermark_makes_no_name_public(private, plain, tmp_path):
    result = faces("export", private, tmp_path / "out.db", "--watermark", HIDDEN)
    assert (result.exit_code, HIDDEN in result.output) == (1, True)
    out = Path(shutil.copy(plain, tmp_path / "copy.db"))
    sql("insert into catalogue values ('watermark', 'of Familienordner')")(out, private)
    assert PATHS not in found_in(out, private)
    in_slack(lambda _: b"Familienordner")(out, private)
    assert PATHS in found_in(out, private)


def test_numbers_are_written_as_python_writes_them():
    raw = np.random.default_rng(3).normal(0, 0.3, (500, 8)).astype("<f4")
    written = list(kept.encode_vectors([row.tobytes() for row in raw]))
    said = [{bytes(row) for row in some} for some in written]
    for row in raw:
        assert row.tobytes()[:8].hex().encode() in said[2]
        assert row.tobytes()[:8].hex().upper().encode() in said[3]
        assert base64.b64encode(row.tobytes()[:12]) in said[4]
        for number in np.abs(row[:2].astype(float)):
            if 1e-3 < number < 1:
                assert f"{number:.12f}"[:9].encode() in said[7]


def test_a_place_that_is_round_in_seconds_is_looked_for_as_text_alone():
    with closing(sqlite().connect(":memory:")) as conn:
        conn.execute("create table photos(latitude, longitude)")
        conn.execute("insert into photos values (40.01875, 10.123457)")
        found = set(kept.coordinates(conn, 1))
    exact = struct.pack(">d", 10.123457)
    assert found == {b"40.01875", b"10.12345", exact, exact[::-1]}
