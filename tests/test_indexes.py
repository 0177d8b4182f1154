"""The indexes that a file keeps: made, followed, saved and opened; what is not sound is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasette.plugins import pm
from galleries import (
    KINDS,
    add_faces,
    assert_exact,
    blob,
    make_gallery,
    model_info,
    opened,
    random_vectors,
    stored,
    unit,
)
from sqlite_utils import Database
from toy_model import BLUE, GREEN, RED, YELLOW, ToyModel, draw

import datasette_faces
from datasette_faces.library.ingest.run import ingest
from datasette_faces.search import index_upkeep
from datasette_faces.search import searcher as search_module
from datasette_faces.search.indexes import pq as pq_module
from datasette_faces.search.indexes.base import FaceIndex
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.search.searcher import Searcher
from datasette_faces.store import changes, indexes, models
from datasette_faces.store.database import writing
from datasette_faces.store.embeddings import SearchFilters
from datasette_faces.store.migrations import migrations

pytestmark = pytest.mark.slow

TOY = model_info(32)
SMALL = KINDS["pq"][0]
VEC = SqliteVec()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 500 faces that keeps both indexes; read it only."""
    path = tmp_path_factory.mktemp("kept") / "kept.db"
    return make_gallery(path, random_vectors(500, 32), VEC, SMALL)


@pytest.fixture
def gallery(kept: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(kept, tmp_path / "gallery.db"))


@pytest.fixture
def small_pq() -> Iterator[FaceIndex]:
    """A plugin's `pq` in place of ours, for small galleries."""

    class Plugin:
        __name__ = "small_pq"

        @datasette_faces.hookimpl
        def register_face_indexes(self, register: Any) -> None:
            register(SMALL)

    plugin = Plugin()
    pm.register(plugin)
    yield SMALL
    pm.unregister(plugin)


def change(conn: Any, *faces: int) -> None:
    """Give these faces other vectors."""
    for face, vector in zip(faces, random_vectors(len(faces), 32, seed=77), strict=True):
        sql = "update face_embeddings set embedding = ? where face_id = ?"
        conn.execute(sql, [blob(vector), face])


def in_vec0(conn: Any, table: str = "vec_faces_toy") -> dict[int, bytes]:
    return dict(conn.execute(f"select face_id, embedding from {table}").fetchall())


def embedded(conn: Any, model: str = "toy") -> dict[int, bytes]:
    sql = "select face_id, embedding from face_embeddings where model_id = ?"
    return dict(conn.execute(sql, [model]).fetchall())


def facts(conn: Any, kind: str) -> indexes.StoredIndex:
    found = indexes.read_index(conn, "toy", kind)
    assert found
    return found


class TestTheLog:
    def test_names_each_face_whose_vector_changed_once(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            seen = changes.position(conn)
            assert changes.since(conn, "toy", seen) == (seen, [])
            change(conn, 3, 5, 3)
            upto, faces = changes.since(conn, "toy", seen)
            assert (upto, sorted(faces or [])) == (seen + 3, [3, 5])
            assert changes.position(conn) == upto
            assert changes.since(conn, "other", seen) == (upto, [])

    @pytest.mark.parametrize(
        ("statement", "faces"),
        [
            ("insert into face_embeddings values (900, 'toy', x'00')", [900]),
            ("insert or replace into face_embeddings values (7, 'toy', x'00')", [7]),
            ("delete from face_embeddings where face_id in (8, 9)", [8, 9]),
            ("update face_embeddings set face_id = 901 where face_id = 10", [10, 901]),
            ("update or replace face_embeddings set face_id = 11 where face_id = 12", [11, 12]),
            ("update face_embeddings set model_id = 'other' where face_id = 13", [13]),
            ("delete from faces where id = 14", [14]),
            ("delete from photos where id = 15", [15]),
            ("update faces set person_id = null", []),
        ],
    )
    def test_knows_of_every_way_to_change_one(
        self, gallery: Path, statement: str, faces: list[int]
    ) -> None:
        with opened(gallery) as conn:
            seen = changes.position(conn)
            conn.execute("pragma foreign_keys = off")
            if "delete" in statement:
                conn.execute("pragma foreign_keys = on")
            conn.execute(statement)
            assert sorted(changes.since(conn, "toy", seen)[1] or []) == faces

    def test_that_begins_too_late_or_ends_before_says_so(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            seen = changes.position(conn)
            change(conn, 1, 2, 3)
            conn.execute("delete from face_changes where id <= ?", [seen + 2])
            assert changes.since(conn, "toy", seen) == (seen + 3, None)
            assert changes.since(conn, "toy", seen + 2) == (seen + 3, [3])
            assert changes.since(conn, "toy", seen + 4) == (seen + 3, None)
            conn.execute("delete from face_changes")
            assert changes.since(conn, "toy", seen + 2) == (seen + 3, None)
            assert changes.since(conn, "toy", seen + 3) == (seen + 3, [])

    def test_is_dropped_as_far_as_every_index_has_seen_it(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            seen = changes.position(conn)
            change(conn, 1, 2)
            changes.forget_all_seen(conn)
            assert changes.since(conn, "toy", seen)[1] == [1, 2]
            conn.execute("update face_indexes set seen = seen + 1 where index_id = 'pq'")
            conn.execute("update face_indexes set seen = seen + 2 where index_id = 'sqlite-vec'")
            changes.forget_all_seen(conn)
            assert changes.since(conn, "toy", seen + 1)[1] == [2]
            assert changes.since(conn, "toy", seen)[1] is None


class TestSqliteVec:
    def test_holds_the_vectors_as_they_are_after_each_change(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            for statement in (
                "delete from face_embeddings where face_id % 7 = 0",
                "update face_embeddings set embedding = (select embedding from face_embeddings "
                "where face_id = 1) where face_id between 20 and 30",
                "update face_embeddings set face_id = face_id + 5000 where face_id > 400",
            ):
                conn.execute(statement)
                VEC.follow(conn, TOY)
                assert in_vec0(conn) == embedded(conn)
                assert facts(conn, VEC.id).faces == len(embedded(conn))
                assert facts(conn, VEC.id).seen == changes.position(conn)

    @pytest.mark.parametrize(
        "statement",
        [
            "drop table vec_faces_toy",
            "delete from face_indexes where index_id = 'sqlite-vec'",
            "delete from face_changes; update face_indexes set seen = seen - 3",
            "update face_indexes set seen = seen + 4",
        ],
    )
    @pytest.mark.parametrize("step", ["follow", "settle"])
    def test_is_made_anew_where_it_cannot_be_followed(
        self, gallery: Path, statement: str, step: str
    ) -> None:
        with opened(gallery) as conn:
            change(conn, 1, 2, 3)
            for part in statement.split(";"):
                conn.execute(part)
            getattr(VEC, step)(conn, TOY)
            assert in_vec0(conn) == embedded(conn)
            assert facts(conn, VEC.id).seen == changes.position(conn)
            assert facts(conn, VEC.id).faces == 500

    def test_leaves_out_what_is_broken(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            for face, value in enumerate(
                [blob([np.nan] * 32), blob([0] * 32), b"", "x" * 128, 5], 1
            ):
                sql = "update face_embeddings set embedding = ? where face_id = ?"
                conn.execute(sql, [value, face])
            VEC.follow(conn, TOY)
            assert set(in_vec0(conn)) == set(range(6, 501))
            sql = "select face_id from vec_faces_toy where embedding match ? and k = 5"
            found = [row[0] for row in conn.execute(f"{sql} order by distance", [blob([1] * 32)])]
            best = Searcher(kinds=[]).nearest(conn, np.ones(32, np.float32), 5)
            assert found == [match.face_id for match in best]

    def test_drops_what_it_keeps(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            VEC.drop(conn, TOY)
            assert (
                conn.execute("select 1 from sqlite_master where name like 'vec_%'").fetchall() == []
            )
            assert indexes.read_index(conn, "toy", VEC.id) is None
            assert VEC.open(conn, TOY) is None
            VEC.drop(conn, TOY)


FLIP = """
update face_index_parts set data = cast(
    substr(data, 1, length(data) / 2) || x'{byte}' || substr(data, length(data) / 2 + 2) as blob
) where name = '{name}'
"""
SPOILT = {
    f"{how} {name}": sql.replace("{name}", name)
    for name in ("ids", "centroids", "codes")
    for how, sql in {
        "a flipped byte in": FLIP.replace("{byte}", "A5"),
        "truncated": "update face_index_parts set data = substr(data, 1, length(data) - 9) "
        "where name = '{name}'",
        "longer": "update face_index_parts set data = cast(data || data as blob) where name = '{name}'",
        "empty": "update face_index_parts set data = x'' where name = '{name}'",
        "text in": "update face_index_parts set data = 'text' where name = '{name}'",
        "a number in": "update face_index_parts set data = 5 where name = '{name}'",
        "without": "delete from face_index_parts where name = '{name}'",
        "another name for": "update face_index_parts set name = 'x' where name = '{name}'",
    }.items()
} | {
    "without any part": "delete from face_index_parts",
    "a wrong digest": "update face_indexes set sha256 = 'x' where index_id = 'pq'",
    "no digest": "update face_indexes set sha256 = null where index_id = 'pq'",
    "said to have seen more": "update face_indexes set seen = seen - 1 where index_id = 'pq'",
}


class TestPq:
    def test_is_kept_and_opened_again(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            row = facts(conn, "pq")
            assert (row.faces, row.seen) == (500, changes.position(conn))
            snapshot = SMALL.open(conn, TOY)
            assert snapshot
            assert snapshot.seen == row.seen
            query = random_vectors(1, 32, seed=3)[0]
            found = snapshot.candidates(conn, query, 60)
            assert found is not None
            assert len(set(found.tolist())) == 60
            best = Searcher(kinds=[]).nearest(conn, query, 10)
            assert {match.face_id for match in best} <= set(found.tolist())

    @pytest.mark.parametrize("spoilt", SPOILT)
    def test_that_is_not_sound_is_not_opened_and_made_anew(
        self, gallery: Path, spoilt: str
    ) -> None:
        with opened(gallery) as conn:
            conn.execute(SPOILT[spoilt])
            assert SMALL.open(conn, TOY) is None
            SMALL.settle(conn, TOY)
            assert SMALL.open(conn, TOY)
            assert facts(conn, "pq").faces == 500

    def test_of_a_model_of_other_dimensions_is_not_opened(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            for dimensions in (16, 31, 33, 64, 512):
                assert SMALL.open(conn, model_info(dimensions)) is None

    @pytest.mark.parametrize(
        ("part", "data"),
        [
            ("ids", b"\0" * 7),
            ("ids", b"\0" * 8),
            ("codes", b"\xff" * 17),
            ("centroids", b"\0" * 8),
            ("centroids", b"\xff" * (4 * 16 * 32)),
        ],
    )
    def test_whose_parts_do_not_fit_each_other_is_not_opened(
        self, gallery: Path, part: str, data: bytes
    ) -> None:
        """Though its digest is right: a file may come from anybody."""
        with opened(gallery) as conn:
            parts = {**(indexes.load_arrays(conn, "toy", "pq") or {}), part: data}
            named = [(name, memoryview(value)) for name, value in parts.items()]
            indexes.save_arrays(conn, "toy", "pq", named, seen=changes.position(conn), faces=500)
            assert indexes.load_arrays(conn, "toy", "pq") == parts
            assert SMALL.open(conn, TOY) is None

    def test_whose_parts_say_nothing_true_does_no_harm(self, gallery: Path) -> None:
        """Right in form and digest, wrong in content: faces that are not there, no codes at all."""
        with opened(gallery) as conn:
            parts = indexes.load_arrays(conn, "toy", "pq") or {}
            ids = np.array([-1, 2**62, *[7] * 498], "<i8").tobytes()
            for spoilt in ({"ids": ids}, {"ids": b"", "codes": b""}):
                named = [(n, memoryview(value)) for n, value in {**parts, **spoilt}.items()]
                indexes.save_arrays(
                    conn, "toy", "pq", named, seen=changes.position(conn), faces=500
                )
                found = Searcher(kinds=[SMALL]).nearest(conn, np.ones(32, np.float32), 5)
                assert {match.face_id for match in found} <= {7}

    def test_that_is_older_than_the_log_is_not_opened(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            change(conn, 1, 2)
            assert SMALL.open(conn, TOY)
            conn.execute("delete from face_changes where id <= ?", [facts(conn, "pq").seen + 1])
            assert SMALL.open(conn, TOY) is None

    def test_large_parts_are_kept_in_pieces(
        self, gallery: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(gallery) as conn:
            before = indexes.load_arrays(conn, "toy", "pq")
            monkeypatch.setattr(indexes, "PART_BYTES", 1000)
            named = [(name, memoryview(value)) for name, value in (before or {}).items()]
            indexes.save_arrays(conn, "toy", "pq", named, seen=changes.position(conn), faces=500)
            sizes = [row[0] for row in conn.execute("select length(data) from face_index_parts")]
            assert len(sizes) > 10
            assert max(sizes) == 1000
            assert indexes.load_arrays(conn, "toy", "pq") == before
            conn.execute("update face_index_parts set place = -place where place in (1, 2)")
            assert indexes.load_arrays(conn, "toy", "pq") is None

    def test_is_kept_as_it_is_while_little_has_changed(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            before = facts(conn, "pq")
            change(conn, *range(1, 25))
            SMALL.settle(conn, TOY)
            assert facts(conn, "pq") == before
            change(conn, *range(25, 30))
            SMALL.settle(conn, TOY)
            assert facts(conn, "pq").seen == changes.position(conn) > before.seen

    @pytest.mark.parametrize(
        "kind",
        [Pq(least_values=32 * 500 + 1, least_faces=16), Pq(least_values=0, least_faces=501)],
        ids=["too small a gallery", "too few faces to train on"],
    )
    def test_is_kept_no_more_where_the_gallery_is_not_its_size(
        self, gallery: Path, kind: Pq
    ) -> None:
        """Else what changes would be kept in the log for ever."""
        with opened(gallery) as conn:
            change(conn, *range(1, 100))
            kind.settle(conn, TOY)
            assert indexes.read_index(conn, "toy", "pq") is None
            assert conn.execute("select count(*) from face_index_parts").fetchone() == (0,)
            kind.settle(conn, TOY)

    def test_is_not_made_for_a_model_of_few_faces_among_many(self, gallery: Path) -> None:
        other = model_info(32, "other")
        kind = Pq(least_values=32 * 400, least_faces=16)
        with opened(gallery) as conn:
            models.register(conn, other)
            conn.execute(
                "insert into face_embeddings select face_id, 'other', embedding "
                "from face_embeddings where face_id <= 100"
            )
            kind.settle(conn, other)
            assert indexes.read_index(conn, "other", "pq") is None

    def test_is_not_kept_where_the_log_was_cut_while_it_was_made(
        self, gallery: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encode = Pq._encode

        def slow(self: Pq, conn: Any, model: Any) -> Any:
            codes = encode(self, conn, model)
            with opened(gallery) as other:
                change(other, 1, 2)
                other.execute("delete from face_changes")
            return codes

        with opened(gallery) as conn:
            change(conn, *range(1, 100))
            monkeypatch.setattr(Pq, "_encode", slow)
            SMALL.settle(conn, TOY)
            assert indexes.read_index(conn, "toy", "pq") is None

    def test_is_trained_while_others_may_write(
        self, gallery: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encode = Pq._encode

        def meanwhile(self: Pq, conn: Any, model: Any) -> Any:
            assert not conn.in_transaction
            with opened(gallery) as other:
                change(other, 400)
            return encode(self, conn, model)

        with opened(gallery) as conn:
            change(conn, *range(1, 100))
            monkeypatch.setattr(Pq, "_encode", meanwhile)
            SMALL.settle(conn, TOY)
            assert facts(conn, "pq").seen == changes.position(conn)

    def test_grows_by_copies_until_it_is_better_made_anew(self, gallery: Path) -> None:
        with opened(gallery) as conn:
            first = SMALL.open(conn, TOY)
            assert first
            assert first.extended
            more = random_vectors(300, 32, seed=4)
            larger = first.extended(np.arange(1001, 1301), more, first.seen + 9)
            assert larger
            assert larger.seen == first.seen + 9
            assert len(everything(first, conn)) == 500
            assert set(everything(larger, conn)) == {*range(1, 501), *range(1001, 1301)}
            assert larger.extended
            assert larger.extended(np.arange(2001, 2301), more, first.seen + 10) is None


def everything(snapshot: Any, conn: Any) -> list[int]:
    found = snapshot.candidates(conn, np.ones(32, np.float32) / np.sqrt(32), 10**6)
    return [int(item) for item in found]


@pytest.mark.usefixtures("small_pq")
class TestIndexing:
    def test_leaves_the_indexes_of_every_model_and_no_log(self, tmp_path: Path) -> None:
        path = make_gallery(tmp_path / "g.db", random_vectors(200, 32))
        with writing(str(path)) as conn:
            models.register(conn, model_info(8, "other"))
            rows = [(n, blob(v)) for n, v in enumerate(random_vectors(150, 8), 1)]
            conn.executemany("insert into face_embeddings values (?, 'other', ?)", rows)
            index_upkeep.settle(conn)
            found = conn.execute("select model_id, index_id, faces from face_indexes").fetchall()
            assert set(found) == {
                ("toy", "sqlite-vec", 200),
                ("toy", "pq", 200),
                ("other", "sqlite-vec", 150),
                ("other", "pq", 150),
            }
            assert conn.execute("select count(*) from face_changes").fetchone() == (0,)

    def test_drops_and_rebuilds_all(self, gallery: Path) -> None:
        with writing(str(gallery)) as conn:
            change(conn, 1, 2, 3)
            conn.execute(
                "update vec_faces_toy set embedding = ? where face_id = 9", [blob([1] * 32)]
            )
            index_upkeep.drop(conn)
            assert conn.execute("select count(*) from face_indexes").fetchone() == (0,)
            assert conn.execute("select count(*) from face_index_parts").fetchone() == (0,)
            index_upkeep.rebuild(conn)
            assert in_vec0(conn) == embedded(conn)
            assert SMALL.open(conn, TOY)
        exact(gallery, Searcher())

    def test_follows_within_the_transaction_or_not_at_all(self, gallery: Path) -> None:
        with writing(str(gallery)) as conn:
            before = in_vec0(conn)
            conn.execute("begin immediate")
            change(conn, 1, 2, 3)
            index_upkeep.follow(conn)
            assert in_vec0(conn) == embedded(conn)
            conn.execute("rollback")
            assert in_vec0(conn) == embedded(conn) == before

    def test_an_ingest_leaves_both_indexes_whole(self, tmp_path: Path) -> None:
        database, pictures = tmp_path / "a.db", tmp_path / "pictures"
        pictures.mkdir()
        for number in range(4):
            colours = [(number * 60, place * 30 + 9, 99) for place in range(6)]
            draw(pictures / f"{number}.png", *colours)
            ingest(str(database), [str(pictures)], ToyModel(), worker_count=1)
        with opened(database) as conn:
            assert in_vec0(conn) == embedded(conn)
            assert len(in_vec0(conn)) == 24
            assert SMALL.open(conn, model_info(3))
            assert conn.execute("select count(*) from face_changes").fetchone() == (0,)


def exact(path: Path, searcher: Searcher, dimensions: int = 32) -> None:
    with opened(path) as conn:
        for query in random_vectors(3, dimensions, seed=8):
            found = searcher.nearest(conn, query, 20)
            assert_exact(found, stored(conn), query, 20)


def old_file(path: Path) -> Path:
    """A file as it was before there were other indexes than vec0, with 100 faces."""
    Database(path).close()
    with opened(path) as conn:
        migrations.apply(Database(conn, execute_plugins=False), stop_before="0002_face_indexes")
        models.register(conn, TOY)
        conn.execute("insert into people(id) select value from json_each('[1,2,3,4,5]')")
        add_faces(conn, range(1, 101), random_vectors(100, 32))
        conn.execute(
            "create virtual table vec_faces_toy using vec0(face_id integer primary key, "
            "embedding float[32] distance_metric=cosine, chunk_size=256)"
        )
        conn.execute("insert into vec_faces_toy select face_id, embedding from face_embeddings")
    return path


class TestAnOlderFile:
    def test_is_searched_as_it_is(self, tmp_path: Path) -> None:
        exact(old_file(tmp_path / "old.db"), Searcher())

    def test_is_searched_once_its_schema_is_new(self, tmp_path: Path) -> None:
        path, searcher = old_file(tmp_path / "old.db"), Searcher()
        exact(path, searcher)
        with writing(str(path)) as conn:
            assert changes.is_kept(conn)
            exact(path, searcher)
            change(conn, 1, 2, 3)
            exact(path, searcher)

    @pytest.mark.parametrize("step", ["follow", "settle", "rebuild"])
    @pytest.mark.usefixtures("small_pq")
    def test_gets_its_indexes_right(self, tmp_path: Path, step: str) -> None:
        path, searcher = old_file(tmp_path / "old.db"), Searcher()
        exact(path, searcher)
        with writing(str(path)) as conn:
            change(conn, 1, 2, 3)
            conn.execute("delete from faces where id = 4")
            getattr(index_upkeep, step)(conn)
            assert in_vec0(conn) == embedded(conn)
            assert len(in_vec0(conn)) == 99
            assert facts(conn, "sqlite-vec").seen == changes.position(conn)
        exact(path, searcher)
        exact(path, Searcher(kinds=[VEC]))

    @pytest.mark.parametrize("new", [0, 1], ids=["nothing new", "a new photo"])
    def test_that_is_ingested_into_gets_them_right(self, tmp_path: Path, new: int) -> None:
        database, pictures = tmp_path / "a.db", tmp_path / "pictures"
        pictures.mkdir()
        draw(pictures / "a.png", RED, GREEN, BLUE)
        ingest(str(database), [str(pictures)], ToyModel(), worker_count=1)
        with opened(database) as conn:
            for kind, name in conn.execute(
                "select type, name from sqlite_master where name like 'face_change%' "
                "or name like 'face_index%' or name like 'face_embeddings_%ed'"
            ).fetchall():
                conn.execute(f"drop {kind} if exists {name}")
            conn.execute("delete from _sqlite_migrations where name like '0002%'")
            # As nobody followed it
            conn.execute("delete from vec_faces_toy where face_id = 2")
            assert not changes.is_kept(conn)
        if new:
            draw(pictures / "b.png", YELLOW)
        ingest(str(database), [str(pictures)], ToyModel(), worker_count=1)
        with opened(database) as conn:
            assert in_vec0(conn) == embedded(conn)
            assert len(in_vec0(conn)) == 3 + new
        exact(database, Searcher(), 3)


def test_pq_trains_on_the_newest_faces_as_on_the_oldest(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pq_module, "TRAINED_ON", 200)
    vectors = np.zeros((2_000, 4), np.float32)
    vectors[:, 0], vectors[:, 1] = 1, np.linspace(0, 1, 2_000)
    path = make_gallery(tmp_path / "x.db", unit(vectors))
    with opened(path) as conn:
        sample = pq_module._sample(conn, "toy")
    assert len(sample) == 200
    slopes = np.sort(sample[:, 1] / sample[:, 0])
    assert slopes[-10] > 0.9
    assert np.abs(slopes - np.linspace(0, 1, 200)).max() < 0.15


def test_what_settle_leaves_is_what_a_searcher_opens(tmp_path: Path, monkeypatch: Any) -> None:
    for module in (pq_module, search_module):
        monkeypatch.setattr(module, "MOST_ADDED", 20)
    kind = Pq(least_values=0, least_faces=16)
    path = make_gallery(tmp_path / "x.db", random_vectors(1_000, 16), kind)
    with opened(path) as conn:
        add_faces(conn, range(1_001, 1_041), random_vectors(40, 16, seed=2))
        kind.settle(conn, model_info(16))
        searcher = Searcher(str(path), kinds=[kind])
        searcher.nearest(conn, random_vectors(1, 16, seed=3)[0], 5)
        assert searcher._states


def test_a_row_of_an_index_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    kind = SqliteVec()
    path = make_gallery(tmp_path / "x.db", random_vectors(50, 16), kind)
    with opened(path) as conn:
        conn.execute("update face_indexes set seen = 'x'")
        query = random_vectors(1, 16, seed=3)[0]
        found = Searcher(str(path), kinds=[kind]).nearest(
            conn, query, 5, filters=SearchFilters(hidden=True)
        )
        assert_exact(found, stored(conn), query, 5)


def test_an_index_whose_plugin_is_gone_is_dropped_with_the_others(tmp_path: Path) -> None:
    path = make_gallery(tmp_path / "x.db", random_vectors(50, 16), SqliteVec())
    with opened(path) as conn:
        conn.execute("insert into face_indexes values ('toy', 'a-strangers', 1, 1, '', null)")
        index_upkeep.settle(conn)
        assert conn.execute("select count(*) from face_changes").fetchone() == (0,)
        index_upkeep.drop(conn)
        assert conn.execute("select count(*) from face_indexes").fetchone() == (0,)


def test_a_copy_without_people_is_searched(tmp_path: Path) -> None:
    path = make_gallery(tmp_path / "x.db", random_vectors(50, 16), SqliteVec())
    with opened(path) as conn:
        conn.execute("drop table people")
        query = random_vectors(1, 16, seed=3)[0]
        assert_exact(Searcher(str(path)).nearest(conn, query, 5), stored(conn), query, 5)
