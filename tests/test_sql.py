"""Faces in SQL through Datasette: the functions, the links to SQL, tables and cells."""

from __future__ import annotations

import gc
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from datasette.utils import sqlite_timelimit
from serving import QUERY, Site, asked, copied, ids, site

from datasette_faces.app.sql import functions
from datasette_faces.errors import NoVectorExtension
from datasette_faces.store.connection import sqlite

BY_SCAN = """
select f.id from faces f join face_embeddings e on e.face_id = f.id where e.model_id = 'sface'
order by vec_distance_cosine(e.embedding, face_embedding(1)) limit 5
"""
BY_MATCH = """
select face_id as id from vec_faces_sface
where embedding match face_embedding(1) and k = 5 order by distance
"""
NO_EXTENSIONS = """
import sqlite3, sys
sys.modules["pysqlite3"] = None
class Plain(sqlite3.Connection):
    @property
    def enable_load_extension(self):
        raise AttributeError("enable_load_extension")
connect = sqlite3.connect
sqlite3.connect = lambda *a, **options: connect(*a, **{"factory": Plain, **options})
"""


@pytest.fixture
def conn(faces_db: Path) -> Iterator[Any]:
    """A connection to the database as Datasette prepares its own."""
    with closing(prepared(faces_db)) as it:
        yield it


def prepared(path: Path) -> Any:
    conn = sqlite().connect(str(path))
    functions.prepare(conn, str(path))
    return conn


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


class TestFunctions:
    def test_face_embedding_is_the_stored_vector(self, served: Site) -> None:
        sql = """
            select count(*) as n, sum(embedding = face_embedding(face_id)) as first,
                sum(embedding = face_embedding(face_id, 'sface')) as named from face_embeddings
        """
        assert served.sql("faces", sql) == [{"n": 7, "first": 7, "named": 7}]

    @pytest.mark.parametrize(
        "call",
        ["99", "null", "1, 'unknown'", "1, null", "99, 'sface'", "'x'", "9223372036854775807"],
    )
    def test_face_embedding_of_what_is_unknown_is_null(self, served: Site, call: str) -> None:
        assert served.sql("faces", f"select face_embedding({call}) as v") == [{"v": None}]

    @pytest.mark.slow
    def test_face_embedding_without_a_model_is_by_the_first_that_was_ingested(
        self, archive: Path
    ) -> None:
        with site(archive) as served:
            sql = "select face_embedding(3) = face_embedding(3, 'toy') as same"
            assert served.sql("various", sql) == [{"same": 1}]

    @pytest.mark.parametrize(
        ("first", "second", "similarity"),
        [
            (vector(1, 0), vector(1, 0), 1),
            (vector(1, 0), vector(0, 1), 0),
            (vector(1, 0), vector(-1, 0), -1),
            (vector(3, 4), vector(10, 0), 0.6),
            (None, vector(1, 0), None),
            (vector(1, 0), None, None),
        ],
    )
    def test_face_similarity_is_the_cosine(
        self, conn: Any, first: bytes | None, second: bytes | None, similarity: float | None
    ) -> None:
        found = conn.execute("select face_similarity(?, ?)", [first, second]).fetchone()[0]
        assert found == (None if similarity is None else pytest.approx(similarity, abs=1e-6))

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (vector(1, 0), vector(1, 0, 0)),
            (b"abc", vector(1)),
            ("text", vector(1)),
            (1, vector(1)),
            (b"", b""),
        ],
    )
    def test_face_similarity_of_what_cannot_be_compared_is_an_error(
        self, conn: Any, first: Any, second: Any
    ) -> None:
        with pytest.raises(sqlite().OperationalError):
            conn.execute("select face_similarity(?, ?)", [first, second]).fetchone()

    def test_similarity_and_distance_add_up_to_one(self, served: Site) -> None:
        sql = """
            select face_similarity(a.embedding, b.embedding)
                + vec_distance_cosine(a.embedding, b.embedding) as one
            from face_embeddings a, face_embeddings b
        """
        assert all(row["one"] == pytest.approx(1, abs=1e-5) for row in served.sql("faces", sql))

    def test_the_nearest_faces_are_the_same_by_scan_and_by_match(self, served: Site) -> None:
        by_scan = served.sql("faces", BY_SCAN)
        assert by_scan[0] == {"id": 1}
        assert len(by_scan) == 5
        assert served.sql("faces", BY_MATCH) == by_scan
        page = served.get(f"/faces{QUERY}?{urlencode({'sql': BY_SCAN})}")
        assert page.status_code == 200

    def test_the_queries_of_the_documentation_run(self, served: Site) -> None:
        text = (Path(__file__).parent.parent / "docs" / "sql.md").read_text()
        queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        assert len(queries) >= 3
        for query in queries:
            params = {"photo_id": 1} if ":photo_id" in query else {}
            assert isinstance(served.sql("faces", query, **params), list)


class TestConnections:
    def test_a_time_limit_that_falls_into_face_embedding_stops_the_query(self, conn: Any) -> None:
        endless = """
            with recursive n(i) as (select 1 union all select i + 1 from n)
            select sum(length(face_embedding(1 + i % 7))) from n
        """
        for _ in range(3):
            with (
                pytest.raises(sqlite().OperationalError, match="interrupted"),
                sqlite_timelimit(conn, 50),
            ):
                conn.execute(endless).fetchone()
            assert conn.execute("select length(face_embedding(1))").fetchone() == (512,)

    def test_datasette_says_that_such_a_query_was_interrupted(self, faces_db: Path) -> None:
        endless = """
            with recursive n(i) as (select 1 union all select i + 1 from n)
            select sum(length(face_embedding(1 + i % 7))) from n
        """
        with site(faces_db, settings={"sql_time_limit_ms": 50}) as served:
            response = served.get(f"/faces{QUERY}.json?{urlencode({'sql': endless})}")
            assert response.status_code == 400
            assert "interrupted" in response.text.lower() or "time limit" in response.text.lower()

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
    def test_a_connection_that_nobody_holds_is_closed(self, faces_db: Path, tmp_path: Path) -> None:
        """The functions that are registered on it do not keep it, and its file, open for ever."""
        path = copied(faces_db, tmp_path / "own.db")

        def open_files() -> int:
            gc.collect()
            links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
            return sum(os.path.realpath(link) == str(path.resolve()) for link in links)

        conn = prepared(path)
        assert conn.execute("select face_embedding(1)").fetchone()[0]
        assert open_files() == 1
        del conn
        assert open_files() == 0

    def test_many_threads_may_ask_at_once(self, served: Site) -> None:
        sql = "select sum(length(face_embedding(1 + value % 7))) as n from json_each(:numbers)"
        numbers = str(list(range(500)))
        for _ in range(8):
            assert served.sql("faces", sql, numbers=numbers) == [{"n": 500 * 512}]


class TestLinksToSql:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("page", "key"),
        [
            ("", "faces"),
            ("?min_size=50", "faces"),
            ("?min_size=29.5&min_score=0.7&min_sharpness=20", "faces"),
            ("?taken_from=2018-12&taken_to=2019", "faces"),
            ("?model=other", "faces"),
            ("?after=100&min_score=0.6", "faces"),
            ("?min_score=2", "faces"),
            ("/photo/3", "faces"),
            ("/face/5", "nearest"),
            ("/face/5?model=other", "nearest"),
        ],
    )
    def test_give_the_rows_that_the_page_shows(self, archive: Path, page: str, key: str) -> None:
        with site(archive) as served:
            text = served.get(f"/various/-/faces{page}").text
            link = unescape(re.search(r'href="([^"]+)">View and edit SQL', text)[1])
            rows = served.follow_sql(link)
            path, _, query = page.partition("?")
            shown = served.json(f"/various/-/faces{path}.json?{query}")[key]
            assert ids(rows) == ids(shown)
            assert all(row["crop"] for row in rows)
            assert served.get(link).status_code == 200


OWN = (
    "vec_faces_sface_",
    "_",
    "sqlite_",
    "face_index",
    "face_changes",
    "face_drawings",
    "face_keys",
    "lost_faces",
    "names_read",
)


class TestTables:
    def test_vec0s_own_tables_are_hidden_and_ours_are_not(
        self, served: Site, faces_db: Path
    ) -> None:
        tables = {table["name"]: table["hidden"] for table in served.json("/faces.json")["tables"]}
        everything = {
            row[0] for row in asked(faces_db, "select name from sqlite_master where type = 'table'")
        }
        shown = {name for name, hidden in tables.items() if not hidden}
        internal = {name for name in everything if name.startswith(OWN)}
        assert shown == everything - internal
        assert "vec_faces_sface" in shown
        assert len([name for name in internal if name.startswith("vec_")]) >= 4

    @pytest.mark.slow
    def test_every_table_of_ours_opens(self, served: Site) -> None:
        for table in served.json("/faces.json")["tables"]:
            assert served.get(f"/faces/{quote(table['name'])}").status_code == 200, table["name"]

    def test_a_database_without_faces_keeps_its_tables(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").touch()
        theirs = copied(
            tmp_path / "x.db",
            tmp_path / "theirs.db",
            "create table vec_faces_sface_notes (a)",
            "create table photos (a)",
        )
        with site(theirs) as served:
            assert {
                t["name"] for t in served.json("/theirs.json")["tables"] if not t["hidden"]
            } == {
                "vec_faces_sface_notes",
                "photos",
            }

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("page", "shows"),
        [
            ("/faces/faces", 'src="/faces/-/faces/crop/1.jpg"'),
            ("/faces/faces/1", 'src="/faces/-/faces/crop/1.jpg"'),
            ("/faces/faces/1", 'href="/faces/-/faces/face/1"'),
            ("/faces/faces/1", "5 points</span>"),
            ("/faces/photos", 'src="/faces/-/faces/thumbnail/2.jpg"'),
            ("/faces/photos/2", 'href="/faces/-/faces/photo/2"'),
            ("/faces/face_embeddings", "<small>128-d</small>"),
            ("/faces/vec_faces_sface", "<small>128-d</small>"),
            ("sql:select crop from faces where id = 1", 'src="data:image/jpeg;base64,'),
            ("sql:select id as face_id, crop from faces", 'href="/faces/-/faces/face/3"'),
            ("sql:select photo_id, crop from faces", 'src="data:image/jpeg;base64,'),
            ("sql:select thumbnail from photos", 'src="data:image/jpeg;base64,'),
            ("sql:select face_embedding(1)", "<small>128-d</small>"),
            ("sql:select face_embedding(1) as embedding", "<small>128-d</small>"),
        ],
    )
    def test_cells_are_what_a_person_reads(self, served: Site, page: str, shows: str) -> None:
        if page.startswith("sql:"):
            page = f"/faces{QUERY}?{urlencode({'sql': page[4:]})}"
        assert shows in served.get(page).text

    @pytest.mark.parametrize(
        "sql",
        [
            "select x'00ff' as crop",
            "select x'00ff' as embedding",
            "select x'' as embedding",
            "select x'0000c07f' as embedding",
            "select 'text' as landmarks, null as crop",
            "select crop, crop from faces",
            "select 'x' as face_id, crop from faces",
        ],
    )
    def test_cells_that_hold_something_else_do_no_harm(self, served: Site, sql: str) -> None:
        assert served.get(f"/faces{QUERY}?{urlencode({'sql': sql})}").status_code == 200

    def test_pictures_of_a_table_of_somebody_elses_are_left_alone(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        path = copied(
            faces_db,
            tmp_path / "more.db",
            "create table notes (crop text, embedding text)",
            "insert into notes values ('a', 'b')",
        )
        with site(path) as served:
            assert served.get("/more/notes").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--get", "/-/databases.json"], ["--get", "/faces.json"]])
def test_without_extensions_datasette_says_in_one_line_what_to_do(
    faces_db: Path, tmp_path: Path, command: list[str]
) -> None:
    done = without_extensions(tmp_path, str(faces_db), *command)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr[-2000:]
    assert str(faces_db) in lines[0]
    assert "pip install pysqlite3" in lines[0]


def test_without_extensions_the_functions_name_the_file_and_the_way_out(faces_db: Path) -> None:
    class Plain(sqlite().Connection):  # type: ignore[misc]
        enable_load_extension = property()

    with (
        closing(sqlite().connect(str(faces_db), factory=Plain)) as plain,
        pytest.raises(NoVectorExtension, match=r"faces\.db holds face vectors.*pip install"),
    ):
        functions.prepare(plain, str(faces_db))


@pytest.mark.slow
def test_without_extensions_a_database_without_its_indexes_is_browsed_all_the_same(
    faces_db: Path, tmp_path: Path
) -> None:
    bare = copied(faces_db, tmp_path / "bare.db", "drop table vec_faces_sface")
    done = without_extensions(tmp_path, str(bare), "--get", "/bare/-/faces/face/1.json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"similarity"' in done.stdout


def without_extensions(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Datasette on a Python whose SQLite loads no extensions."""
    modules = folder / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(NO_EXTENSIONS)
    return subprocess.run(
        [sys.executable, "-m", "datasette", *arguments],
        env={**os.environ, "PYTHONPATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=120,
    )
