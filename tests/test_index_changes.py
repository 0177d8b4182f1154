"""Search under change: each answer is exact at the moment it is given, whoever changed what."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import (
    KINDS,
    add_faces,
    assert_exact,
    blob,
    keep_indexes,
    make_gallery,
    model_info,
    opened,
    random_vectors,
    stored,
)

from datasette_faces.search import rerank
from datasette_faces.search import searcher as search
from datasette_faces.search.indexes.base import FaceIndex, Snapshot
from datasette_faces.search.indexes.pq import Pq
from datasette_faces.search.indexes.vec0 import SqliteVec
from datasette_faces.search.searcher import Searcher
from datasette_faces.shapes import FloatArray, IdArray, ModelInfo
from datasette_faces.store import changes
from datasette_faces.store.connection import Connection, transaction
from datasette_faces.store.database import writing
from datasette_faces.store.embeddings import SearchFilters

pytestmark = [pytest.mark.once, pytest.mark.slow]

FACES, DIMENSIONS = 240, 48
TOY = model_info(DIMENSIONS)
SEEN = "faces.person_id is null or faces.person_id not in (select id from people where hidden)"
HERE = Path(__file__).parent

by_kind = pytest.mark.parametrize("kind", KINDS)
indexed = pytest.mark.parametrize("kind", ["sqlite-vec", "pq"])


@pytest.fixture(autouse=True)
def without_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """SearchFilters that leave few faces are served by the index all the same."""
    monkeypatch.setattr(search, "FEW_FACES", 0)


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A database with indexes of a kind, made once; read it only."""
    folder = tmp_path_factory.mktemp("galleries")

    @cache
    def make(kind: str) -> Path:
        every = random_vectors(FACES, DIMENSIONS)
        return make_gallery(folder / f"{kind}.db", every, *KINDS[kind])

    return make


@pytest.fixture
def gallery(tmp_path: Path, kind: str, galleries: Callable[[str], Path]) -> Path:
    return Path(shutil.copy(galleries(kind), tmp_path / "g.db"))


def vectors(number: int, seed: int = 5) -> Any:
    return random_vectors(number, DIMENSIONS, seed)


def check(conn: Any, searcher: Searcher, seed: int = 11) -> None:
    """Compare answers with the exact ones, of what this connection sees."""
    seen = stored(conn, SEEN)
    for query in [*vectors(1, seed), *list(seen.values())[-1:]]:
        for k in (1, 12, 4096):
            assert_exact(searcher.nearest(conn, query, k), seen, query, k)
        found = searcher.nearest(conn, query, 30, filters=SearchFilters(person_id=2, hidden=True))
        assert_exact(found, stored(conn, "person_id = 2"), query, 30)
        found = searcher.nearest(conn, query, 4096, filters=SearchFilters(threshold=0.2))
        assert_exact(found, seen, query, 4096, 0.2)


def one_by_one(*statements: str) -> Callable[[Any], None]:
    def change(conn: Any) -> None:
        for statement in statements:
            conn.execute(statement)

    return change


def re_embed(
    conn: Any, sql: str = "update face_embeddings set embedding = ?2 where face_id = ?1"
) -> None:
    for face, vector in zip(range(100, 140), vectors(40), strict=True):
        conn.execute(sql, [face, blob(vector)])


CHANGES: dict[str, Callable[[Any], None]] = {
    "added": lambda conn: add_faces(conn, range(5001, 5041), vectors(40)),
    "removed": one_by_one("delete from faces where id % 5 = 0"),
    "removed with their photos": one_by_one("delete from photos where id % 5 = 0"),
    "removed without foreign keys": one_by_one(
        "pragma foreign_keys = off", "delete from faces where id % 5 = 0"
    ),
    "removed embeddings": one_by_one("delete from face_embeddings where face_id < 100"),
    "all removed": one_by_one("delete from face_embeddings"),
    "re-embedded": re_embed,
    "replaced": lambda conn: re_embed(
        conn, "insert or replace into face_embeddings values (?1, 'toy', ?2)"
    ),
    "given other ids": one_by_one(
        "pragma foreign_keys = off",
        "update face_embeddings set face_id = face_id + 7000 where face_id < 50",
        "update face_embeddings set face_id = face_id - 7000 where face_id > 7009",
    ),
    "swapped": one_by_one(
        "pragma foreign_keys = off",
        "update face_embeddings set face_id = -1 where face_id = 7",
        "update face_embeddings set face_id = 7 where face_id = 8",
        "update face_embeddings set face_id = 8 where face_id = -1",
    ),
    "hidden": one_by_one("update people set hidden = 1 where id in (1, 2)"),
    "moved between people": one_by_one(
        "update people set hidden = 1 where id = 3",
        "update faces set person_id = 2 where person_id = 3",
        "update faces set person_id = 3 where person_id = 4",
    ),
    "without a person": one_by_one(
        "update people set hidden = 1", "update faces set person_id = null where id % 2"
    ),
    "removed and come back": one_by_one(
        "pragma foreign_keys = off",
        "create temp table gone as select * from faces where id = 9",
        "delete from faces where id = 9",
        "update face_embeddings set embedding = (select embedding from face_embeddings where "
        "face_id = 10) where face_id = 9",
    ),
}


@by_kind
@pytest.mark.parametrize("most", [10_000, 25, 0], ids=lambda most: f"beside up to {most}")
@pytest.mark.parametrize("what", CHANGES)
def test_faces_are_found_as_they_are_at_once(
    gallery: Path, kind: str, most: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_CHANGES", most)
    searcher = Searcher(kinds=KINDS[kind])
    with opened(gallery) as reader, opened(gallery, vec=False) as client:
        client.execute("pragma foreign_keys = on")
        check(reader, searcher)
        CHANGES[what](client)
        check(reader, searcher)
        if "back" in what:
            client.execute("insert into faces select * from gone")
            check(reader, searcher)
        check(reader, Searcher(kinds=KINDS[kind]))
        with writing(str(gallery)) as conn:
            keep_indexes(conn, TOY, *KINDS[kind])
            changes.forget_all_seen(conn)
        check(reader, searcher)
        check(reader, Searcher(kinds=KINDS[kind]))


@indexed
@pytest.mark.parametrize("most", [10_000, 40])
def test_many_steps_of_change_leave_no_trace(
    gallery: Path, kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is followed from the state of the last one."""
    monkeypatch.setattr(search, "MOST_CHANGES", most)
    searcher, random = Searcher(kinds=KINDS[kind]), np.random.default_rng(1)
    with opened(gallery) as conn:
        for step in range(40):
            meddle(conn, random, first_id=10_000 + 100 * step)
            if step % 3 == 0:
                follow(conn, KINDS[kind])
            check(conn, searcher, seed=step)


@indexed
def test_the_log_cut_by_another_process_is_noticed(gallery: Path, kind: str) -> None:
    searcher = Searcher(kinds=KINDS[kind])
    with opened(gallery) as reader, opened(gallery, vec=False) as client:
        check(reader, searcher)
        re_embed(client)
        client.execute("delete from face_changes")
        check(reader, searcher)
        add_faces(client, range(6001, 6010), vectors(9, seed=8))
        client.execute("delete from face_changes where face_id < 6005")
        check(reader, searcher)


@indexed
@pytest.mark.parametrize("then", [None, "follow"])
def test_an_index_dropped_while_it_is_in_use_is_missed_by_nobody(
    gallery: Path, kind: str, then: str | None
) -> None:
    searcher, used = Searcher(kinds=KINDS[kind]), KINDS[kind][0]
    with opened(gallery) as reader, opened(gallery) as other:
        check(reader, searcher)
        used.drop(other, TOY)
        check(reader, searcher)
        re_embed(other)
        if then:
            follow(other, KINDS[kind])
        check(reader, searcher)
        add_faces(other, range(6001, 6701), vectors(700, seed=8))
        check(reader, searcher)


@indexed
def test_a_table_that_grows_and_shrinks_in_the_file_keeps_its_filters_full(
    gallery: Path, kind: str
) -> None:
    searcher = Searcher(kinds=KINDS[kind])
    with opened(gallery) as reader, opened(gallery) as other:
        check(reader, searcher)
        add_faces(other, range(6001, 8001), vectors(2000, seed=8))
        follow(other, KINDS[kind])
        check(reader, searcher)
        other.execute("delete from faces where id between 300 and 7900")
        other.execute("delete from face_embeddings where face_id between 300 and 7900")
        follow(other, KINDS[kind])
        check(reader, searcher)


@indexed
@pytest.mark.parametrize("most", [10_000, 10])
@pytest.mark.parametrize("followed", [False, True])
def test_a_transaction_sees_the_moment_it_began(
    gallery: Path, kind: str, most: int, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the others have got, through the same Searcher."""
    monkeypatch.setattr(search, "MOST_CHANGES", most)
    kinds = KINDS[kind]
    searcher, random = Searcher(kinds=kinds), np.random.default_rng(2)
    with writing(str(gallery)), opened(gallery) as now, opened(gallery) as then:
        check(now, searcher)
        for step in range(6):
            then.execute("begin")
            then.execute("select count(*) from faces").fetchone()
            for turn in range(3):
                meddle(now, random, first_id=10_000 + 1000 * step + 100 * turn)
                if followed:
                    follow(now, kinds)
                check(now, searcher, seed=step)
                check(then, searcher, seed=step)
            check(then, Searcher(kinds=kinds))
            then.execute("commit")
            check(then, searcher)


def test_a_transaction_from_before_the_table_was_followed_is_not_misled(tmp_path: Path) -> None:
    """A change moves the log; following it does not: one position, two states of the table."""
    path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec())
    with writing(str(path)), opened(path) as now, opened(path) as then:
        re_embed(now)
        then.execute("begin")
        then.execute("select count(*) from faces").fetchone()
        follow(now, [SqliteVec()])
        searcher = Searcher(kinds=[SqliteVec()])
        check(now, searcher)
        check(then, searcher)
        then.execute("commit")


class Watched(Pq):
    """`pq`, that tells how often it was made, and asked."""

    def __init__(self) -> None:
        super().__init__(least_values=1, least_faces=16)
        self.built = self.asked = 0

    def open(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        return self._watched(super().open(conn, model))

    def build(self, conn: Connection, model: ModelInfo) -> Snapshot | None:
        self.built += 1
        return self._watched(super().build(conn, model))

    def _watched(self, snapshot: Snapshot | None) -> Snapshot | None:
        if snapshot is None:
            return None

        def candidates(conn: Connection, query: FloatArray, count: int) -> IdArray | None:
            self.asked += 1
            return snapshot.candidates(conn, query, count)

        def extended(ids: IdArray, among: FloatArray, upto: int) -> Snapshot | None:
            assert snapshot.extended
            return self._watched(snapshot.extended(ids, among, upto))

        return Snapshot(snapshot.seen, candidates, snapshot.wanted, snapshot.most, extended)


def served_by(kind: Watched, conn: Any, searcher: Searcher, seconds: float = 20) -> bool:
    """Whether an index serves before long; all answers until then are exact."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = kind.asked
        check(conn, searcher)
        if kind.asked > before:
            return True
        time.sleep(0.02)
    return False


NOT_USABLE = {
    "that is not there": [
        "delete from face_index_parts",
        "delete from face_indexes where index_id = 'pq'",
    ],
    "with a flipped byte": [
        "update face_index_parts set data = cast(x'A5' || substr(data, 2) as blob) where name = 'codes'"
    ],
    "cut short": ["update face_index_parts set data = substr(data, 1, 100) where name = 'ids'"],
    "of another digest": ["update face_indexes set sha256 = 'x' where index_id = 'pq'"],
    "older than the log": [
        "update face_embeddings set embedding = embedding where face_id < 9",
        "delete from face_changes",
    ],
}


class TestInTheBackground:
    @pytest.mark.parametrize("what", NOT_USABLE)
    def test_an_index_is_made_in_place_of_one(self, tmp_path: Path, what: str) -> None:
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec(), kind)
        with opened(path) as conn:
            for statement in NOT_USABLE[what]:
                conn.execute(statement)
            searcher = Searcher(str(path), kinds=[SqliteVec(), kind])
            assert served_by(kind, conn, searcher)
            assert kind.built == 1
            CHANGES["added"](conn)
            assert served_by(kind, conn, searcher)
            assert kind.built == 1

    def test_it_is_made_once_for_all_threads(self, tmp_path: Path) -> None:
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec())
        searcher = Searcher(str(path), kinds=[SqliteVec(), kind])
        run_in_threads(4, lambda number: in_connection(path, lambda conn: check(conn, searcher)))
        with opened(path) as conn:
            assert served_by(kind, conn, searcher)
        assert kind.built == 1

    def test_it_is_made_anew_when_it_has_grown_too_much(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "MOST_CHANGES", 50)
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec())
        with opened(path) as conn:
            searcher = Searcher(str(path), kinds=[SqliteVec(), kind])
            assert served_by(kind, conn, searcher)
            for step in range(15):
                first = 6001 + 100 * step
                add_faces(conn, range(first, first + 100), vectors(100, seed=step))
                assert served_by(kind, conn, searcher)
            assert 2 <= kind.built <= 8

    def test_nothing_is_made_without_a_path_or_where_there_are_too_few(
        self, tmp_path: Path
    ) -> None:
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec())
        with opened(path) as conn:
            searcher = Searcher(None, kinds=[SqliteVec(), kind])
            assert not served_by(kind, conn, searcher, seconds=0.3)
            assert kind.built == 0
            kind.least_faces = FACES + 1
            searcher = Searcher(str(path), kinds=[SqliteVec(), kind])
            for _ in range(3):
                CHANGES["re-embedded"](conn)
                assert not served_by(kind, conn, searcher, seconds=0.3)
            assert kind.built == 1

    def test_a_file_that_cannot_be_opened_again_is_served_all_the_same(
        self, tmp_path: Path
    ) -> None:
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec())
        with opened(path) as conn:
            searcher = Searcher(str(tmp_path / "elsewhere.db"), kinds=[SqliteVec(), kind])
            assert not served_by(kind, conn, searcher, seconds=0.3)
        assert kind.asked == 0

    def test_an_index_that_comes_into_the_file_is_taken_up_without_a_change(
        self, tmp_path: Path
    ) -> None:
        kind = Watched()
        path = make_gallery(tmp_path / "g.db", vectors(FACES))
        with opened(path) as conn:
            searcher = Searcher(None, kinds=[kind])
            assert not served_by(kind, conn, searcher, seconds=0.1)
            kind.settle(conn, TOY)
            assert served_by(kind, conn, searcher, seconds=0.5)


def in_connection(path: Path, use: Callable[[Any], None]) -> None:
    with opened(path) as conn:
        use(conn)


def run_in_threads(number: int, work: Callable[[int], None]) -> None:
    """Run work(0), work(1), … at once; the first error in one of them is an error here."""
    wrong: list[BaseException] = []

    def guarded(place: int) -> None:
        try:
            work(place)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=[place]) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if wrong:
        raise wrong[0]


def follow(conn: Any, kinds: list[FaceIndex]) -> None:
    """What an ingest does at the end of each transaction."""
    with transaction(conn):
        for kind in kinds:
            kind.follow(conn, TOY)


def meddle(conn: Any, random: np.random.Generator, first_id: int) -> None:
    """A small transaction that adds, removes, hides, moves or re-embeds a few faces."""
    some = random.integers(1, 12)
    ids = [
        row[0]
        for row in conn.execute("select id from faces order by random() limit ?", [int(some)])
    ]
    new = vectors(int(some), seed=int(random.integers(1 << 30)))
    listed = json.dumps(ids)
    with transaction(conn):
        match random.integers(6):
            case 0 | 1:
                add_faces(conn, range(first_id, first_id + len(new)), new)
            case 2:
                of_them = "in (select value from json_each(?))"
                conn.execute(f"delete from face_embeddings where face_id {of_them}", [listed])
                conn.execute(f"delete from faces where id {of_them}", [listed])
            case 3:
                conn.execute(
                    "update people set hidden = not hidden where id = ?", [int(some) % 5 + 1]
                )
            case 4:
                sql = "update face_embeddings set embedding = ? where face_id = ?"
                conn.executemany(sql, [(blob(v), face) for face, v in zip(ids, new, strict=False)])
            case 5:
                sql = "update faces set person_id = ? where id in (select value from json_each(?))"
                conn.execute(sql, [int(some) % 5 + 1, listed])


ENOUGH = 50
"""So many transactions, and answers of each thread."""
PATIENCE_SECONDS = 120


def write_until_asked_to_stop(path: str) -> None:
    """Another process: an ingest, so to say, that cannot make up its mind; prints what it did.

    Somebody closes its standard input when they have seen enough.
    """
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    random, kinds = np.random.default_rng(9), [SqliteVec(), KINDS["pq"][0]]
    done = {"transactions": 0, "followed": 0, "settled": 0}
    with writing(path) as conn:
        print("ready", flush=True)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and not (
            stop.is_set() and done["transactions"] > ENOUGH and done["settled"]
        ):
            meddle(conn, random, first_id=100_000 + 20 * done["transactions"])
            done["transactions"] += 1
            if random.random() < 0.6:
                follow(conn, kinds)
                done["followed"] += 1
            if random.random() < 0.05:
                keep_indexes(conn, TOY, *kinds)
                changes.forget_all_seen(conn)
                done["settled"] += 1
            time.sleep(0.004)
    print(json.dumps(done), flush=True)


def test_another_process_changes_faces_while_threads_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer is compared with the exact one, of the same moment: one read transaction."""
    monkeypatch.setattr(search, "MOST_CHANGES", 30)
    monkeypatch.setattr(rerank, "FIRST_FETCH", 8)
    small = Watched()
    path = make_gallery(tmp_path / "g.db", vectors(FACES), SqliteVec(), small)
    both = Searcher(str(path), kinds=[SqliteVec(), small])
    searchers = [both, Searcher(str(path), kinds=[SqliteVec()]), both]
    write = write_until_asked_to_stop.__name__
    program = f"from test_index_changes import {write}; {write}({str(path)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        answers = [0] * len(searchers)

        def ask(place: int) -> None:
            random = np.random.default_rng(place)
            with opened(path) as conn:
                while other.poll() is None:
                    answers[place] += ask_in_transaction(conn, searchers[place], random)
                    if min(*answers, small.asked) > ENOUGH:
                        other.stdin.close()

        try:
            run_in_threads(len(searchers), ask)
        finally:
            other.kill()
        done = json.loads(other.stdout.readline())
    assert other.returncode == 0
    assert done["transactions"] > ENOUGH
    assert done["settled"] >= 1
    assert min(answers) > ENOUGH
    assert small.asked > ENOUGH


def ask_in_transaction(conn: Any, searcher: Searcher, random: np.random.Generator) -> int:
    """Ask two things of one moment, and compare; the number of answers."""
    conn.execute("begin")
    seen = stored(conn, SEEN)
    query = vectors(1, seed=int(random.integers(1 << 30)))[0]
    if seen and random.random() < 0.5:
        query = seen[int(random.choice(list(seen)))]
    k = int(random.choice([1, 5, 20, 300, 4096]))
    assert_exact(searcher.nearest(conn, query, k), seen, query, k)
    person, threshold = int(random.integers(1, 6)), float(random.uniform(-0.2, 0.6))
    filters = SearchFilters(person_id=person, threshold=threshold, hidden=True)
    found = searcher.nearest(conn, query, k, filters=filters)
    assert_exact(found, stored(conn, "person_id = ?", person), query, k, threshold)
    conn.execute("commit")
    return 2
