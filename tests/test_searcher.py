"""Search gives the exact answer, whichever index serves, with every filter, and to any file."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasette.plugins import pm
from galleries import (
    FOLDERS,
    KINDS,
    Vectors,
    add_faces,
    assert_exact,
    blob,
    keep_indexes,
    make_gallery,
    model_info,
    opened,
    random_vectors,
    similarities,
    stored,
    unit,
)

import datasette_faces
from datasette_faces.errors import SearchError
from datasette_faces.search import searcher as search
from datasette_faces.search.filters import parse_filters
from datasette_faces.search.indexes.base import FaceIndex, Snapshot
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.search.searcher import Searcher, fuse
from datasette_faces.shapes import FloatArray, IdArray, ModelInfo
from datasette_faces.store import changes, embeddings
from datasette_faces.store.connection import Connection, sqlite
from datasette_faces.store.database import writing
from datasette_faces.store.embeddings import SearchFilters

FACES = 3000
by_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Galleries of FACES faces with an index of a kind, by dimensions; read them only."""
    folder = tmp_path_factory.mktemp("galleries")

    @cache
    def gallery(kind: str, dimensions: int) -> Path:
        path = folder / f"{kind}-{dimensions}.db"
        if not KINDS[kind]:
            return make_gallery(path, random_vectors(FACES, dimensions))
        shutil.copy(gallery("no index", dimensions), path)
        with writing(str(path)) as conn:
            keep_indexes(conn, model_info(dimensions), *KINDS[kind])
        return path

    return gallery


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Galleries of six vectors, each of 400 faces, with an index of a kind; read them only."""
    folder = tmp_path_factory.mktemp("repeated")

    @cache
    def gallery(kind: str) -> Path:
        among = np.repeat(random_vectors(6, 33), 400, axis=0)
        order = np.random.default_rng(0).permutation(len(among))
        return make_gallery(folder / f"{kind}.db", among[order], *KINDS[kind])

    return gallery


@pytest.fixture
def without_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """SearchFilters that leave few faces are served by the index all the same."""
    monkeypatch.setattr(search, "FEW_FACES", 0)


def check(path: Path, searcher: Searcher, k: int, where: str = "1", **filters: Any) -> None:
    """Compare answers to two queries, of a face and of nobody, with the exact ones."""
    with opened(path) as conn:
        among = stored(conn, where)
        [[dimensions]] = conn.execute("select dimensions from models")
        for query in random_vectors(2, dimensions, seed=7):
            found = searcher.nearest(conn, query, k, filters=SearchFilters(**filters))
            assert_exact(found, among, query, k, filters.get("threshold", -2.0))
        if among:
            face = next(iter(among))
            first = searcher.nearest(conn, among[face], k, filters=SearchFilters(**filters))[0]
            assert first.face_id == face
            assert first.similarity == pytest.approx(1, abs=1e-6)


class TestNearest:
    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize("dimensions", [32, 128, 3, 97, 257, 512])
    @pytest.mark.parametrize("k", [1, 20, 700])
    def test_are_exactly_those_of_numpy(
        self, galleries: Any, kind: str, dimensions: int, k: int
    ) -> None:
        path = galleries(kind, dimensions)
        if (kind, dimensions) != ("pq", 3):  # three numbers of four bits say too little
            check(path, Searcher(kinds=KINDS[kind]), k)

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize("k", [2999, 3000, 3001, 4096])
    def test_of_any_number_up_to_all_there_are(self, galleries: Any, kind: str, k: int) -> None:
        check(galleries(kind, 32), Searcher(kinds=KINDS[kind]), k)

    @pytest.mark.slow
    @by_kind
    def test_the_4096_nearest_of_more_than_that(self, tmp_path: Path, kind: str) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(5000, 16), *KINDS[kind])
        check(path, Searcher(kinds=KINDS[kind]), 4096)
        check(path, Searcher(kinds=KINDS[kind]), 4095)

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize("threshold", [0.99, 0.5, 0.3, 0.0, -0.2, -1])
    @pytest.mark.parametrize("k", [10, 4096])
    def test_from_a_threshold_on_none_is_missed(
        self, galleries: Any, kind: str, threshold: float, k: int
    ) -> None:
        check(galleries(kind, 32), Searcher(kinds=KINDS[kind]), k, threshold=threshold)

    @pytest.mark.slow
    @by_kind
    def test_a_threshold_that_thousands_reach(self, tmp_path: Path, kind: str) -> None:
        near = random_vectors(3000, 32) * 0.1 + random_vectors(1, 32, seed=3)
        among = np.concatenate([unit(near), random_vectors(1500, 32, seed=4)])
        path = make_gallery(tmp_path / "g.db", among, *KINDS[kind])
        with opened(path) as conn:
            query = random_vectors(1, 32, seed=3)[0]
            filters = SearchFilters(threshold=0.85)
            found = Searcher(kinds=KINDS[kind]).nearest(conn, query, 4096, filters=filters)
            assert 2500 < len(found) <= 3000
            assert_exact(found, stored(conn), query, 4096, 0.85)

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize(
        ("where", "filters"),
        [
            ("photo_taken_at >= '2004-02-03'", {"taken_from": "2004-02-03"}),
            ("photo_taken_at < '2002'", {"taken_to": "2001"}),
            (
                "photo_taken_at between '2003-05-01' and '2003-05-31'",
                {"taken_from": "2003-05", "taken_to": "2003-05"},
            ),
            (
                "photo_taken_at = '2003-05-09'",
                {"taken_from": "2003-05-09", "taken_to": "2003-05-09"},
            ),
            (
                "photo_taken_at >= '2003' and photo_taken_at < '2002'",
                {"taken_from": "2003", "taken_to": "2001"},
            ),
            ("person_id = 3", {"person_id": 3}),
            ("person_id = 99", {"person_id": 99}),
            ("id % 6 in (0, 4)", {"folder": "/photos/2019"}),
            ("id % 6 in (0, 4)", {"folder": "/photos/2019/"}),
            ("id % 6 = 4", {"folder": "/photos/2019/sub"}),
            ("id % 6 = 1", {"folder": "/photos/2019b"}),
            ("id % 6 = 2", {"folder": "/photos/20%"}),
            ("id % 6 = 3", {"folder": "/photos/20_9"}),
            ("id % 6 != 5", {"folder": "/photos"}),
            ("0", {"folder": "/photo"}),
            ("1", {"folder": "/"}),
            ("id % 6 = 5", {"folder": "/é"}),
            (
                "person_id = 2 and id % 6 = 1 and photo_taken_at >= '2002'",
                {"person_id": 2, "folder": FOLDERS[1], "taken_from": "2002"},
            ),
            ("person_id = 2", {"person_id": 2, "threshold": 0.2}),
        ],
    )
    @pytest.mark.parametrize("few", [0, 2000])
    def test_that_filters_let_through_are_as_many_as_there_are(
        self,
        galleries: Any,
        kind: str,
        where: str,
        filters: dict[str, Any],
        few: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(search, "FEW_FACES", few)
        searcher = Searcher(kinds=KINDS[kind])
        for k in (5, 600):
            check(galleries(kind, 32), searcher, k, where, **filters)

    @pytest.mark.slow
    @by_kind
    @pytest.mark.usefixtures("without_shortcut")
    def test_of_people_who_are_hidden_only_when_asked_for(
        self, galleries: Any, kind: str, tmp_path: Path
    ) -> None:
        path = Path(shutil.copy(galleries(kind, 32), tmp_path / "g.db"))
        with opened(path) as conn:
            conn.execute("update people set hidden = 1 where id in (2, 3, 4)")
            conn.execute("update faces set person_id = null where id % 10 = 1")
        seen = "person_id in (1, 5) or person_id is null"
        searcher = Searcher(kinds=KINDS[kind])
        check(path, searcher, 50, seen)
        check(path, searcher, 4096, seen)
        check(path, searcher, 50, hidden=True)
        check(path, searcher, 50, "0", person_id=2)
        check(path, searcher, 50, "person_id = 2", person_id=2, hidden=True)

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize("k", [1, 7, 20, 300, 2500])
    def test_that_are_equally_similar_come_by_id(
        self, repeated: Any, tmp_path: Path, kind: str, k: int
    ) -> None:
        path = Path(shutil.copy(repeated(kind), tmp_path / "g.db"))
        searcher = Searcher(kinds=KINDS[kind])
        with opened(path) as conn:
            for step in range(2):
                faces = stored(conn)
                query = random_vectors(1, 33, seed=9)[0]
                exact = {
                    face: round(value, 5) for face, value in similarities(faces, query).items()
                }
                wanted = sorted(exact, key=lambda face: (-exact[face], face))[:k]
                assert [match.face_id for match in searcher.nearest(conn, query, k)] == wanted, step
                # Half of them come anew: beside the index, not in it
                conn.execute("update face_embeddings set embedding = embedding where face_id % 2")

    @pytest.mark.slow
    @by_kind
    def test_of_a_query_of_any_length_are_the_same(self, galleries: Any, kind: str) -> None:
        searcher, query = Searcher(kinds=KINDS[kind]), random_vectors(1, 32, seed=5)[0]
        with opened(galleries(kind, 32)) as conn:
            usual = searcher.nearest(conn, query, 20)
            for length in (1e-35, 0.01, 7, 1e37):
                found = searcher.nearest(conn, query * np.float32(length), 20)
                assert {match.face_id for match in found} == {match.face_id for match in usual}
                values = [match.similarity for match in usual]
                assert [match.similarity for match in found] == pytest.approx(values, abs=1e-5)


class TestQueries:
    @by_kind
    @pytest.mark.parametrize(
        ("query", "k", "model", "reason"),
        [
            ([1, 0], 5, None, "2 values, those of toy have 32"),
            ([], 5, None, "0 values"),
            ([0] * 32, 5, None, "all zeros"),
            ([np.nan] + [1] * 31, 5, None, "NaN"),
            ([np.inf] + [1] * 31, 5, None, "NaN or infinity"),
            ([1] * 32, 0, None, "k is 1 to 4,096, not 0"),
            ([1] * 32, -1, None, "k is 1 to 4,096, not -1"),
            ([1] * 32, 4097, None, "k is 1 to 4,096, not 4,097"),
            ([1] * 32, 5, "other", "no faces by the model 'other'; it holds: toy"),
        ],
    )
    def test_that_make_no_sense_are_refused(
        self, galleries: Any, kind: str, query: list[float], k: int, model: Any, reason: str
    ) -> None:
        searcher, vector = Searcher(kinds=KINDS[kind]), np.array(query, np.float32)
        with opened(galleries(kind, 32)) as conn, pytest.raises(SearchError, match=reason):
            searcher.nearest(conn, vector, k, model_id=model)

    def test_of_a_database_without_faces_are_refused(self) -> None:
        with opened(":memory:") as conn, pytest.raises(SearchError, match="holds no faces"):
            Searcher().nearest(conn, np.ones(3, np.float32), 5)

    @by_kind
    def test_of_an_empty_gallery_find_nobody(self, tmp_path: Path, kind: str) -> None:
        path = make_gallery(tmp_path / "g.db", np.empty((0, 8), np.float32), *KINDS[kind])
        with opened(path) as conn:
            searcher = Searcher(kinds=KINDS[kind])
            assert searcher.nearest(conn, np.ones(8, np.float32), 5) == []

    @pytest.mark.slow
    @by_kind
    def test_among_models_find_the_faces_of_one(self, tmp_path: Path, kind: str) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(100, 8), *KINDS[kind])
        with writing(str(path)) as conn:
            other = model_info(8, "other")
            conn.execute("insert into models values ('other', 'other', 8, 0.4, 'none', 'x')")
            rows = [(n, "other", blob(v)) for n, v in enumerate(random_vectors(60, 8, seed=2), 1)]
            conn.executemany("insert into face_embeddings values (?, ?, ?)", rows)
            keep_indexes(conn, other, *KINDS[kind])
        searcher, query = Searcher(kinds=KINDS[kind]), random_vectors(1, 8, seed=6)[0]
        with opened(path) as conn:
            for model in ("toy", "other", "toy"):
                found = searcher.nearest(conn, query, 30, model_id=model)
                assert_exact(found, stored(conn, model=model), query, 30)
            assert searcher.nearest(conn, query, 30) == searcher.nearest(
                conn, query, 30, model_id="toy"
            )

    def test_are_fused_from_examples_and_counter_examples(self) -> None:
        x, y, z = np.eye(3, dtype=np.float32)
        assert fuse([x]) == pytest.approx(x)
        assert fuse([5 * x, y]) == pytest.approx(unit(x + y))
        away = fuse([x], [y])
        assert np.linalg.norm(away) == pytest.approx(1)
        assert away @ y < 0 < away @ x
        assert away @ z == 0

    @pytest.mark.parametrize(
        ("positives", "negatives", "reason"),
        [
            ([[1, 0], [-1, 0]], [], "cancel each other out"),
            ([], [[1, 0]], "only counter-examples"),
            ([[1, 0]], [[1, 0, 0]], "differ in length"),
        ],
    )
    def test_that_cannot_be_fused_are_refused(
        self, positives: list[Any], negatives: list[Any], reason: str
    ) -> None:
        with pytest.raises(SearchError, match=reason):
            fuse(
                [np.array(item, np.float32) for item in positives],
                [np.array(item, np.float32) for item in negatives],
            )


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "filters"),
        [
            ({}, SearchFilters()),
            ({"threshold": 0.4, "folder": "/a"}, SearchFilters(threshold=0.4, folder="/a")),
            ({"threshold": "0.4", "person_id": "7"}, SearchFilters(threshold=0.4, person_id=7)),
            ({"taken_from": "2019", "taken_to": "2019-12"}, SearchFilters(None, "2019", "2019-12")),
            ({"hidden": True}, SearchFilters(hidden=True)),
            ({"hidden": "1"}, SearchFilters(hidden=True)),
            ({"hidden": "false"}, SearchFilters()),
            ({"hidden": 0, "threshold": None, "folder": ""}, SearchFilters()),
        ],
    )
    def test_are_read(self, options: dict[str, Any], filters: SearchFilters) -> None:
        assert parse_filters(options) == filters

    @pytest.mark.parametrize(
        "options",
        [
            None,
            [],
            5,
            {"treshold": 1},
            {"threshold": "x"},
            {"threshold": 1.5},
            {"threshold": float("nan")},
            {"threshold": True},
            {"threshold": []},
            {"taken_from": 2019},
            {"taken_to": "yesterday"},
            {"taken_to": "2019-02-30"},
            {"folder": 5},
            {"folder": ["/a"]},
            {"person_id": "x"},
            {"person_id": 1.5},
            {"person_id": -1},
            {"person_id": 10**30},
            {"hidden": "perhaps"},
            {"hidden": 2},
            {"hidden": {}},
        ],
    )
    def test_that_make_no_sense_are_refused(self, options: Any) -> None:
        with pytest.raises(SearchError, match="option"):
            parse_filters(options)


class TestFiles:
    """Whatever the file is like, the answer is exact."""

    @by_kind
    def test_opened_immutable(self, galleries: Any, kind: str) -> None:
        path = galleries(kind, 32)
        searcher, query = Searcher(str(path), kinds=KINDS[kind]), random_vectors(1, 32, seed=8)[0]
        with opened(f"{path.as_uri()}?immutable=1", uri=True) as conn:
            found = searcher.nearest(conn, query, 40)
            assert_exact(found, stored(conn), query, 40)

    @by_kind
    def test_in_memory(self, galleries: Any, kind: str) -> None:
        searcher, query = Searcher(None, kinds=KINDS[kind]), random_vectors(1, 32, seed=8)[0]
        with opened(galleries(kind, 32)) as file, opened(":memory:") as conn:
            file.backup(conn)
            for _ in range(2):
                found = searcher.nearest(conn, query, 40)
                assert_exact(found, stored(conn), query, 40)
                conn.execute("delete from faces where id = ?", [found[0].face_id])

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize(
        "statements",
        [
            ["drop table face_index_parts", "drop table face_indexes", "drop table face_changes"],
            ["drop table face_index_parts"],
            ["drop table face_indexes"],
            ["drop table face_changes"],
            ["drop trigger face_embeddings_updated"],
            ["delete from sqlite_sequence"],
            ["drop table if exists vec_faces_toy"],
            [
                "drop table if exists vec_faces_toy",
                "create table vec_faces_toy (face_id, embedding)",
            ],
            ["delete from face_index_parts"],
            ["delete from face_indexes"],
            ["update face_indexes set seen = seen + 1000000"],
            ["update face_indexes set seen = 5", "delete from face_changes where id <= 50"],
            ["drop table if exists vec_faces_toy_rowids"],
            ["drop table if exists vec_faces_toy_vector_chunks00"],
        ],
    )
    @pytest.mark.parametrize("late", [False, True])
    def test_without_what_an_index_needs(
        self, galleries: Any, kind: str, statements: list[str], late: bool, tmp_path: Path
    ) -> None:
        path = Path(shutil.copy(galleries(kind, 32), tmp_path / "g.db"))
        searcher = Searcher(kinds=KINDS[kind])
        if late:
            check(path, searcher, 30)
        with opened(path) as conn:
            for statement in statements:
                conn.execute(statement)
        check(path, searcher, 30)
        with opened(path) as conn:
            if not changes.is_kept(conn):
                triggers = (
                    "select name from sqlite_master where type = 'trigger' and name like 'face_%'"
                )
                for (name,) in conn.execute(triggers).fetchall():
                    conn.execute(f"drop trigger {name}")
            conn.execute(
                "update face_embeddings set embedding = ? where face_id = 9", [blob([1] * 32)]
            )
        check(path, searcher, 30)

    @by_kind
    def test_read_without_sqlite_vec(self, galleries: Any, kind: str) -> None:
        path, query = galleries(kind, 32), random_vectors(1, 32, seed=8)[0]
        searcher = Searcher(kinds=KINDS[kind])
        for vec in (False, True, False):
            with opened(path, vec=vec) as conn:
                assert_exact(searcher.nearest(conn, query, 40), stored(conn), query, 40)

    @by_kind
    def test_that_another_tool_has_made_anew_without_the_triggers(
        self, galleries: Any, kind: str, tmp_path: Path
    ) -> None:
        path = Path(shutil.copy(galleries(kind, 32), tmp_path / "g.db"))
        searcher = Searcher(kinds=KINDS[kind])
        check(path, searcher, 30)
        with opened(path) as conn:
            conn.execute("create table new as select * from face_embeddings")
            conn.execute("drop table face_embeddings")
            conn.execute("alter table new rename to face_embeddings")
            conn.execute(
                "update face_embeddings set embedding = ?1 where face_id < 9", [blob([1] * 32)]
            )
        check_ties(path, searcher)

    @pytest.mark.slow
    @by_kind
    def test_whose_model_was_made_anew_with_other_dimensions(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(200, 32), *KINDS[kind])
        searcher = Searcher(kinds=KINDS[kind])
        check(path, searcher, 30)
        with writing(str(path)) as conn:
            conn.execute("delete from faces")
            conn.execute("delete from photos")
            conn.execute("update models set dimensions = 64")
            conn.execute("begin")
            add_faces(conn, range(1, 301), random_vectors(300, 64))
            conn.execute("commit")
        check(path, searcher, 30)
        with writing(str(path)) as conn:
            keep_indexes(conn, model_info(64), *KINDS[kind])
        check(path, searcher, 30)
        check(path, Searcher(kinds=KINDS[kind]), 30)


def check_ties(path: Path, searcher: Searcher) -> None:
    with opened(path) as conn:
        query = np.ones(32, np.float32)
        assert_exact(searcher.nearest(conn, query, 30), stored(conn), query, 30)


BROKEN: dict[str, Any] = {
    "too short": b"\0" * 4,
    "too long": blob([1] * 33),
    "no multiple of 4": b"\x01" * 127,
    "empty": b"",
    "text": "x" * 128,
    "a number": 7,
    "NaN": blob([np.nan] * 32),
    "one NaN": blob([np.nan, *[1] * 31]),
    "infinity": blob([np.inf, *[1] * 31]),
    "minus infinity": blob([-np.inf] * 32),
    "zeros": blob([0] * 32),
    "so large that squares overflow": blob([3e38] * 32),
    "so small that squares vanish": blob([1e-40] * 32),
}


class TestBrokenEmbeddings:
    """What no model made is never found, and spoils nothing."""

    @pytest.mark.slow
    @by_kind
    @pytest.mark.parametrize("beside", [False, True], ids=["in the index", "since the index"])
    def test_are_never_found(self, tmp_path: Path, kind: str, beside: bool) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(100, 32), *KINDS[kind])
        searcher = Searcher(kinds=KINDS[kind])
        with writing(str(path)) as conn:
            conn.execute("begin")
            add_faces(conn, range(1001, 1201), random_vectors(200, 32, seed=2))
            for number, value in enumerate(BROKEN.values()):
                for face in (50 + number, 2000 + number):
                    if face >= 2000:
                        add_faces(conn, [face], [[1] * 32])
                    sql = "update face_embeddings set embedding = ? where face_id = ?"
                    conn.execute(sql, [value, face])
            conn.execute("commit")
            if not beside:
                keep_indexes(conn, model_info(32), *KINDS[kind])
        broken = range(50, 50 + len(BROKEN))
        with opened(path) as conn:
            sound = "id < 2000 and id not in (select value from json_each(?))"
            among = stored(conn, sound, str(list(broken)))
            assert len(among) == 300 - len(BROKEN)
            for query in (np.ones(32, np.float32), -np.ones(32, np.float32)):
                for k in (1, 20, 4096):
                    assert_exact(searcher.nearest(conn, query, k), among, query, k)
                found = searcher.nearest(conn, query, 400, filters=SearchFilters(threshold=-1))
                assert_exact(found, among, query, 400)
            found = searcher.nearest(
                conn, np.ones(32, np.float32), 9, filters=SearchFilters(person_id=1)
            )
            assert all(match.face_id in among for match in found)

    @pytest.mark.slow
    @by_kind
    def test_of_another_length_than_1_are_compared_by_direction(
        self, tmp_path: Path, kind: str
    ) -> None:
        lengths = np.random.default_rng(3).uniform(0.001, 900, (400, 1)).astype(np.float32)
        path = make_gallery(tmp_path / "g.db", random_vectors(400, 32) * lengths, *KINDS[kind])
        check(path, Searcher(kinds=KINDS[kind]), 30)

    @by_kind
    def test_alone_are_nobody(self, tmp_path: Path, kind: str) -> None:
        vectors = np.array([[np.nan] * 8, [0] * 8], np.float32)
        path = make_gallery(tmp_path / "g.db", vectors, *KINDS[kind])
        with opened(path) as conn:
            found = Searcher(kinds=KINDS[kind]).nearest(conn, np.ones(8, np.float32), 5)
            assert found == []


class BruteForce(FaceIndex):
    """A stranger's index, in ten lines; it counts how often it is asked."""

    id = "brute-force"

    def __init__(self, least_values: int = 0) -> None:
        self.least_values, self.asked = least_values, 0

    def open(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        """All vectors, in memory."""
        seen = changes.position(conn)
        chunks = list(embeddings.everything(conn, model.id))
        ids = np.concatenate([chunk[0] for chunk in chunks])
        among = np.concatenate([chunk[1] for chunk in chunks])

        def candidates(conn: Connection, query: FloatArray, count: int) -> IdArray:
            self.asked += 1
            return ids[np.argsort(-(among @ query))[:count]]

        return Snapshot(seen, candidates)


@pytest.fixture
def stranger() -> Iterator[BruteForce]:
    """A plugin that registers an index of its own."""
    index = BruteForce(least_values=1)

    class Plugin:
        __name__ = "stranger"

        @datasette_faces.hookimpl
        def register_face_indexes(self, register: Any) -> None:
            register(index)

    plugin = Plugin()
    pm.register(plugin)
    yield index
    pm.unregister(plugin)


class TestAStrangersIndex:
    def test_serves(self, galleries: Any, stranger: BruteForce) -> None:
        check(galleries("sqlite-vec", 32), Searcher(), 40)
        assert stranger.asked >= 3

    def test_serves_galleries_of_its_size_only(self, galleries: Any, stranger: BruteForce) -> None:
        stranger.least_values = FACES * 32 + 1
        check(galleries("sqlite-vec", 32), Searcher(), 40)
        assert stranger.asked == 0

    def test_is_kept_up_with_as_our_own(
        self, galleries: Any, stranger: BruteForce, tmp_path: Path
    ) -> None:
        path, searcher = Path(shutil.copy(galleries("no index", 32), tmp_path / "g.db")), Searcher()
        check(path, searcher, 40)
        with opened(path) as conn:
            conn.execute("delete from face_embeddings where face_id % 3 = 0")
            add_faces(conn, range(9001, 9101), random_vectors(100, 32, seed=5))
        check(path, searcher, 40)
        check(path, searcher, 40, "person_id = 2", person_id=2)


@pytest.mark.slow
def test_many_threads_ask_one_searcher_at_once(galleries: Any) -> None:
    path, searcher = galleries("pq", 128), Searcher(kinds=KINDS["pq"])
    wrong: list[BaseException] = []

    def ask(seed: int) -> None:
        try:
            with opened(path) as conn:
                for query in random_vectors(20, 128, seed=seed):
                    found = searcher.nearest(conn, query, 20)
                    assert_exact(found, among, query, 20)
        except BaseException as error:
            wrong.append(error)

    with opened(path) as conn:
        among: dict[int, Vectors] = stored(conn)
    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(20, 26)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_connection_that_is_closed_leaves_nothing_behind(galleries: Any) -> None:
    path, searcher = galleries("sqlite-vec", 32), Searcher(kinds=[SqliteVec()])
    for _ in range(3):
        with closing(sqlite().connect(str(path))) as conn:
            query = random_vectors(1, 32, seed=8)[0]
            assert len(searcher.nearest(conn, query, 5)) == 5
            assert not conn.in_transaction
