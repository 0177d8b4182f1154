"""A kind of decision is one entry of a table: grouping, history, export, import and undo read it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from desks import Desk
from galleries import make_gallery, opened, random_vectors
from serving import site
from test_clusters import EACH, cluster, made_up

from datasette_faces.errors import DecisionError
from datasette_faces.people import decide, decision_log, grouping, kinds
from datasette_faces.people.decide import Editor
from datasette_faces.people.kinds import DecisionKind
from datasette_faces.store import decisions
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing
from datasette_faces.store.decisions import EXAMPLE, OTHER, Decision

TWIN = DecisionKind(
    "twin", "said that {other} is the twin of {person}", (EXAMPLE, OTHER), (EXAMPLE, OTHER)
)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> DecisionKind:
    """A kind of decision that is registered for a test: two people look alike, and are two."""
    monkeypatch.setitem(kinds.KINDS, TWIN.name, TWIN)
    return TWIN


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Eight people of six faces each, grouped; faces 1 to 6 are one of them."""
    path = made_up(tmp_path / "twins.db")
    cluster(path)
    return path


def people_of(path: Path) -> list[int | None]:
    with opened(path) as conn:
        return [row[0] for row in conn.execute("select person_id from faces order by id")]


def decide_twin(path: Path) -> Decision:
    """Say of the first three faces of a person that they are a twin of the other three."""
    with writing(str(path)) as conn, transaction(conn):
        faces = decisions.refs(conn, EXAMPLE, [1, 2, 3]) + decisions.refs(conn, OTHER, [4, 5, 6])
        keys = [row[0] for row in conn.execute("select key from people order by id limit 2")]
        made = Decision(TWIN.name, *keys, faces=faces)
        return decide.record_decision(conn, made, Editor("root"))


@pytest.mark.usefixtures("twin")
class TestANewKind:
    def test_is_kept_to_by_the_next_grouping_until_it_is_undone(self, database: Path) -> None:
        before = people_of(database)
        assert len(set(before[:EACH])) == 1
        decide_twin(database)
        cluster(database)
        after = people_of(database)
        assert not set(after[:3]) & set(after[3:EACH]) - {None}
        with writing(str(database)) as conn, transaction(conn):
            decide.undo(conn)
        cluster(database)
        assert len(set(people_of(database)[:EACH])) == 1
        with writing(str(database)) as conn, transaction(conn):
            decide.redo(conn)
            assert list(grouping.find_pairs_apart(conn)) == [
                (first, second) for first in (1, 2, 3) for second in (4, 5, 6)
            ]

    def test_has_its_sentence_in_the_history_and_its_buttons(self, database: Path) -> None:
        decide_twin(database)
        with site(database) as served:
            desk = Desk(served, database="twins")
            sentence = "said that person 2 is the twin of person 1"
            told = desk.get("/history.json").json()["decisions"]
            assert [row["sentence"] for row in told] == [f"root {sentence}"]
            assert ">Undo</button>" in desk.get("/history").text
            desk.decide("/history", action="undo", decision=1)
            told = desk.get("/history.json").json()["decisions"]
            assert told[0]["sentence"] == f"root undid #1: {sentence}"
            assert ">Redo</button>" in desk.get("/history").text

    def test_goes_out_and_into_another_file(self, database: Path, tmp_path: Path) -> None:
        made = decide_twin(database)
        with opened(database) as conn:
            log = list(decision_log.export_log(conn))
        other = made_up(tmp_path / "other.db")
        with writing(str(other)) as conn, transaction(conn):
            assert decision_log.import_log(conn, log) == (1, 0)
            found = decisions.by_uid(conn, made.uid)
        assert (found.kind, found.faces) == (TWIN.name, made.faces)

    def test_that_is_not_portable_stays_with_its_undoing(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decide_twin(database)
        with writing(str(database)) as conn, transaction(conn):
            decide.undo(conn)
            decide.redo(conn)
            decide.hide(conn, 1)
        with opened(database) as conn:
            every = list(decision_log.export_log(conn))
            here = DecisionKind(TWIN.name, portable=False)
            monkeypatch.setitem(kinds.KINDS, TWIN.name, here)
            assert list(decision_log.export_log(conn)) == every[-1:]
        with writing(str(database)) as conn, pytest.raises(DecisionError, match="unknown kind"):
            decision_log.import_log(conn, every)


def test_a_kind_of_a_later_version_stops_nothing(database: Path) -> None:
    decide_twin(database)
    cluster(database)
    with site(database) as served:
        told = Desk(served, database="twins").get("/history.json").json()["decisions"]
    assert [row["sentence"] for row in told] == ["root decided something (twin) about person 1"]


def test_every_kind_has_a_sentence_of_its_own() -> None:
    sentences = [kind.sentence for kind in kinds.KINDS.values()]
    assert len({*sentences, DecisionKind("").sentence}) == len(sentences) + 1


@pytest.mark.parametrize("count", [1, 12])
def test_reading_decisions_takes_as_many_queries_for_many_as_for_one(
    tmp_path: Path, count: int
) -> None:
    path = make_gallery(tmp_path / "g.db", random_vectors(2 * count + 2, 8))
    with writing(str(path)) as conn, transaction(conn):
        faces = [row[0] for row in conn.execute("select id from faces order by id")]
        for face_id in faces[:count]:
            decide.move(conn, [face_id, face_id + 1], None)
    with closing(counting(path)) as conn:
        assert sum(map(len, decisions.every(conn))) == count
        assert conn.statements == 2
        conn.statements = 0
        list(grouping.find_pairs_apart(conn))
        assert conn.statements == 4


def test_decisions_that_keep_faces_apart_are_read_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_gallery(tmp_path / "g.db", random_vectors(26, 8))
    with writing(str(path)) as conn, transaction(conn):
        faces = [row[0] for row in conn.execute("select id from faces order by id")]
        for face_id in faces[:12]:
            decide.move(conn, [face_id, face_id + 1], None)
        pairs = list(grouping.find_pairs_apart(conn))
        monkeypatch.setattr(decisions, "BATCH", 5)
        batches = decisions.active_of_kinds(conn, kinds.cannot_link_roles())
        assert [len(batch) for batch in batches] == [5, 5, 2]
        assert list(grouping.find_pairs_apart(conn)) == pairs
        assert sum(map(len, decisions.every(conn))) == 12


def counting(path: Path) -> Any:
    """A connection that counts its statements."""
    import sqlite3

    class Counting(sqlite3.Connection):
        statements = 0

    conn = sqlite3.connect(path, factory=Counting)

    def count(_: str) -> None:
        conn.statements += 1

    conn.set_trace_callback(count)
    return conn
