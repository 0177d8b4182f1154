"""What people decide about people: it holds, it can be undone, and the machine never overrules it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from galleries import make_gallery, opened, random_vectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasette_faces.errors import DecisionError, EditedMeanwhile, NameTaken
from datasette_faces.people import decide as people
from datasette_faces.people import decision_log, merge_several
from datasette_faces.people.decide import Editor
from datasette_faces.store import decisions
from datasette_faces.store import people as store
from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import writing
from datasette_faces.store.people import NOT_A_FACE
from datasette_faces.store.standings import read_standings

pytestmark = pytest.mark.once

FACES = 12
CLUSTERS = {n: f"cluster-{(n - 1) // 4}" for n in range(1, FACES + 1)}
"""Faces 1-4, 5-8 and 9-12 belong together, as the machine has it."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of twelve faces, each in a photo of its own, in three clusters."""
    path = make_gallery(tmp_path_factory.mktemp("people") / "faces.db", random_vectors(FACES, 8))
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("update faces set person_id = null")
        conn.execute("delete from people")
        store.propose(conn, CLUSTERS)
        store.rebuild(conn)
    return path


@pytest.fixture
def conn(template: Path) -> Iterator[Any]:
    """The database in memory, in one transaction after another as statements come."""
    with in_memory(template) as memory:
        yield memory


@contextmanager
def in_memory(template: Path) -> Iterator[Any]:
    with opened(template) as source, closing(sqlite().connect(":memory:")) as memory:
        source.backup(memory)
        memory.isolation_level = None
        yield memory


def groups(conn: Any) -> dict[frozenset[int], tuple[str | None, bool]]:
    """Who is together with whom, under which name, hidden or not."""
    rows = conn.execute(
        "select people.id, name, hidden, faces.id from people join faces on person_id = people.id"
    )
    members: dict[tuple[int, str | None, bool], set[int]] = {}
    for person_id, name, hidden, face_id in rows:
        members.setdefault((person_id, name, bool(hidden)), set()).add(face_id)
    return {frozenset(ids): (name, hidden) for (_, name, hidden), ids in members.items()}


def person_of(conn: Any, face_id: int) -> int:
    found = conn.execute("select person_id from faces where id = ?", [face_id]).fetchone()[0]
    assert found is not None, f"face {face_id} is nobody's"
    return int(found)


def source_of(conn: Any, face_id: int) -> str | None:
    return conn.execute("select person_source from faces where id = ?", [face_id]).fetchone()[0]


A, B, C = frozenset(range(1, 5)), frozenset(range(5, 9)), frozenset(range(9, 13))


def test_what_the_machine_proposes_is_people_without_a_name(conn: Any) -> None:
    assert groups(conn) == {A: (None, False), B: (None, False), C: (None, False)}
    assert source_of(conn, 1) == "cluster"
    assert [row[0] for row in conn.execute("select faces from people order by id")] == [4, 4, 4]
    assert (
        conn.execute("select count(*) from people where cover_face_id is null").fetchone()[0] == 0
    )


def test_a_name_places_the_faces_that_it_was_given_for(conn: Any) -> None:
    people.name(conn, person_of(conn, 1), "  Ada   Lovelace ", by=Editor("root"))
    assert groups(conn)[A] == ("Ada Lovelace", False)
    assert {source_of(conn, face) for face in A} == {"person"}
    assert decisions.last_active(conn).actor == "root"


def test_what_a_person_placed_stays_whatever_the_machine_proposes(conn: Any) -> None:
    people.name(conn, person_of(conn, 1), "Ada")
    store.propose(conn, dict.fromkeys(range(1, FACES + 1), "all-one"))
    store.rebuild(conn)
    assert groups(conn) == {A: ("Ada", False), B | C: (None, False)}


def test_merging_keeps_the_first_ones_name(conn: Any) -> None:
    people.name(conn, person_of(conn, 1), "Ada")
    people.name(conn, person_of(conn, 5), "Grace")
    people.merge(conn, person_of(conn, 1), person_of(conn, 5))
    assert groups(conn) == {A | B: ("Ada", False), C: (None, False)}


def test_merging_into_somebody_without_a_name_takes_the_others(conn: Any) -> None:
    people.name(conn, person_of(conn, 5), "Grace")
    people.merge(conn, person_of(conn, 1), person_of(conn, 5))
    assert groups(conn) == {A | B: ("Grace", False), C: (None, False)}


def test_what_comes_later_to_somebody_who_was_merged_goes_where_they_went(conn: Any) -> None:
    gone = store.by_id(conn, person_of(conn, 5))
    people.merge(conn, person_of(conn, 1), person_of(conn, 5))
    store.propose(conn, {9: gone.key})
    store.assign(conn, [9])
    assert person_of(conn, 9) == person_of(conn, 1)
    people.undo(conn)
    assert person_of(conn, 9) == person_of(conn, 5) != person_of(conn, 1)


def test_of_several_who_are_merged_the_best_known_stays(conn: Any) -> None:
    first, second, third = (person_of(conn, face) for face in (1, 5, 9))
    people.move(conn, [1], third)
    assert merge_several.choose_best_known(conn, [first, second, third]) == third
    people.name(conn, second, "Grace")
    assert len(merge_several.merge_people(conn, [first, second, third])) == 2
    assert groups(conn) == {A | B | C: ("Grace", False)}
    with pytest.raises(DecisionError, match="same person"):
        merge_several.merge_people(conn, [second, second])
    with pytest.raises(DecisionError, match="two people at least"):
        merge_several.merge_people(conn, [second])


def test_pairs_that_meet_are_merged_into_one(conn: Any) -> None:
    first, second, third = (person_of(conn, face) for face in (1, 5, 9))
    made = merge_several.merge_pairs(conn, [[first, second], [second, third], [third, first]])
    assert len(made) == 2
    assert groups(conn).keys() == {A | B | C}


def test_merging_there_and_back_ends(conn: Any) -> None:
    first, second = person_of(conn, 1), person_of(conn, 5)
    people.merge(conn, first, second)
    people.merge(conn, second, first)
    assert {person_of(conn, face) for face in A | B} == {second}
    store.rebuild(conn)
    assert {person_of(conn, face) for face in A | B} == {second}


def test_a_split_makes_somebody_new(conn: Any) -> None:
    people.split(conn, person_of(conn, 1), [1, 2])
    assert {frozenset({1, 2}), frozenset({3, 4})} < groups(conn).keys()


def test_a_split_of_everything_is_refused(conn: Any) -> None:
    with pytest.raises(DecisionError, match="leave one"):
        people.split(conn, person_of(conn, 1), A)


def test_a_split_of_everything_is_refused_of_faces_that_are_walked_once(conn: Any) -> None:
    with pytest.raises(DecisionError, match="leave one"):
        people.split(conn, person_of(conn, 1), iter(sorted(A)))
    assert A in groups(conn)


def test_faces_that_are_walked_once_have_their_standings_and_are_assigned(conn: Any) -> None:
    person_id = person_of(conn, 1)
    people.name(conn, person_id, "Ada")
    assert read_standings(conn, iter([1, 5])).keys() == {1}
    conn.execute("update faces set person_id = null")
    store.assign(conn, iter([1, 5]))
    assert person_of(conn, 1) == person_id
    assert person_of(conn, 5) != person_id
    conn.execute("update people set name = null")
    store.show(conn, iter([store.by_id(conn, person_id).key]))
    assert store.by_id(conn, person_id).name == "Ada"


def test_a_face_that_is_moved_is_placed(conn: Any) -> None:
    people.move(conn, [1, 5], person_of(conn, 9))
    assert groups(conn).keys() == {A - {1}, B - {5}, C | {1, 5}}
    people.move(conn, [1], None)
    assert frozenset({1}) in groups(conn)


def test_a_rejected_face_is_nobodys_until_it_is_placed(conn: Any) -> None:
    first = person_of(conn, 1)
    people.reject(conn, [1], first)
    assert conn.execute("select person_id from faces where id = 1").fetchone() == (None,)
    store.rebuild(conn)
    assert conn.execute("select person_id from faces where id = 1").fetchone() == (None,)
    people.move(conn, [1], first)
    assert person_of(conn, 1) == first


def test_what_is_no_face_is_hidden(conn: Any) -> None:
    people.mark_not_a_face(conn, [1])
    person = store.by_id(conn, person_of(conn, 1))
    assert (person.key, person.name, person.hidden) == (NOT_A_FACE, "Not a face", True)
    with pytest.raises(DecisionError, match="not a face"):
        people.name(conn, person.id, "Ada")
    people.undo(conn)
    assert groups(conn).keys() == {A, B, C}


def test_somebody_may_be_called_not_a_face(conn: Any) -> None:
    people.mark_not_a_face(conn, [9])
    people.name(conn, person_of(conn, 1), "Not a face")
    assert people.find_by_name(conn, "not a face") == person_of(conn, 1) != person_of(conn, 9)
    assert store.keys_by_name(conn) == {"not a face": [store.by_id(conn, person_of(conn, 1)).key]}


def test_hidden_people_stay_together_and_come_back(conn: Any) -> None:
    people.hide(conn, person_of(conn, 1))
    store.propose(conn, dict.fromkeys(A, "another"))
    store.rebuild(conn)
    assert groups(conn)[A] == (None, True)
    people.unhide(conn, person_of(conn, 1))
    assert groups(conn)[A] == (None, False)


def test_a_merge_neither_shows_nor_hides_anybody(conn: Any) -> None:
    people.hide(conn, person_of(conn, 1))
    before = groups(conn)
    for into, other in ((1, 5), (5, 1)):
        with pytest.raises(DecisionError, match="is hidden"):
            people.merge(conn, person_of(conn, into), person_of(conn, other))
    assert groups(conn) == before
    people.hide(conn, person_of(conn, 5))
    people.merge(conn, person_of(conn, 1), person_of(conn, 5))
    assert groups(conn)[A | B] == (None, True)
    people.unhide(conn, person_of(conn, 1))
    assert groups(conn)[A | B] == (None, False)


@pytest.mark.parametrize(("into", "other"), [(1, 5), (5, 1)])
@pytest.mark.parametrize("undone", [1, 5])
def test_of_two_who_are_hidden_and_merged_undoing_one_shows_neither(
    conn: Any, into: int, other: int, undone: int
) -> None:
    hidden = {face: people.hide(conn, person_of(conn, face)) for face in (1, 5)}
    people.merge(conn, person_of(conn, into), person_of(conn, other))
    people.undo(conn, hidden[undone].id)
    assert groups(conn)[A | B] == (None, True)


def test_a_merge_of_two_who_are_hidden_is_undone_as_one(conn: Any) -> None:
    for face in (1, 5):
        people.hide(conn, person_of(conn, face))
    before = groups(conn)
    people.merge(conn, person_of(conn, 1), person_of(conn, 5))
    people.undo(conn)
    assert groups(conn) == before


def test_a_merge_is_not_done_again_with_somebody_who_is_hidden_since(conn: Any) -> None:
    merged = people.merge(conn, person_of(conn, 5), person_of(conn, 1))
    people.undo(conn)
    people.hide(conn, person_of(conn, 1))
    with pytest.raises(DecisionError, match="is hidden"):
        people.redo(conn, merged.id)
    assert groups(conn)[A] == (None, True)


def test_the_cover_that_was_chosen_stays_while_the_face_is_theirs(conn: Any) -> None:
    person = person_of(conn, 1)
    people.cover(conn, person, 3)
    store.rebuild(conn)
    assert store.by_id(conn, person).cover_face_id == 3
    people.move(conn, [3], None)
    assert store.by_id(conn, person).cover_face_id != 3
    people.undo(conn)
    assert store.by_id(conn, person).cover_face_id == 3


def test_each_decision_can_be_undone_and_redone_by_itself(conn: Any) -> None:
    first = people.name(conn, person_of(conn, 1), "Ada")
    people.name(conn, person_of(conn, 5), "Grace")
    people.undo(conn, first.id)
    assert groups(conn) == {A: (None, False), B: ("Grace", False), C: (None, False)}
    with pytest.raises(DecisionError, match="nothing to undo"):
        people.undo(conn, first.id)
    people.redo(conn)
    assert groups(conn)[A] == ("Ada", False)
    with pytest.raises(DecisionError, match="nothing to redo"):
        people.redo(conn, first.id)
    with pytest.raises(DecisionError, match="nothing to redo"):
        people.redo(conn)


def test_what_a_later_decision_built_on_can_be_undone_and_the_later_one_stands(conn: Any) -> None:
    split = people.split(conn, person_of(conn, 1), [1, 2])
    people.name(conn, person_of(conn, 1), "Ada")
    people.undo(conn, split.id)
    assert groups(conn)[frozenset({1, 2})] == ("Ada", False)
    people.undo(conn)
    assert groups(conn).keys() == {A, B, C}


def test_two_of_one_name_are_offered_a_merge(conn: Any) -> None:
    people.name(conn, person_of(conn, 1), "Ada")
    with pytest.raises(NameTaken) as caught:
        people.name(conn, person_of(conn, 5), "ADA")
    assert caught.value.person_id == person_of(conn, 1)
    people.name(conn, person_of(conn, 5), "ADA", even_if_taken=True)
    assert groups(conn)[B] == ("ADA", False)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('<b>Ada</b> & "Co"', '<b>Ada</b> & "Co"'),
        ("\u05e2\u05d3\u05d4 \u200f\u05dc", "\u05e2\u05d3\u05d4 \u200f\u05dc"),
        ("\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GIRL}", "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GIRL}"),
        ("A\u030adne", "\u00c5dne"),
    ],
)
def test_names_of_all_scripts_are_kept(conn: Any, text: str, kept: str) -> None:
    people.name(conn, person_of(conn, 1), text)
    assert groups(conn)[A] == (kept, False)


@pytest.mark.parametrize("text", ["", "  \t", "x" * 10_000, "A\x00da", "A\ud800"])
def test_names_that_are_none_are_refused(conn: Any, text: str) -> None:
    with pytest.raises(DecisionError):
        people.name(conn, person_of(conn, 1), text)
    assert decisions.last_active(conn) is None


def test_a_person_cannot_be_merged_with_itself(conn: Any) -> None:
    with pytest.raises(DecisionError, match="same person"):
        people.merge(conn, person_of(conn, 1), person_of(conn, 2))


def test_the_second_of_two_editors_is_told(conn: Any) -> None:
    person = person_of(conn, 1)
    seen = people.last_seen(conn, person)
    people.name(conn, person, "Ada", by=Editor("one", seen))
    with pytest.raises(EditedMeanwhile):
        people.name(conn, person, "Grace", by=Editor("two", seen))
    assert groups(conn)[A] == ("Ada", False)
    people.name(conn, person, "Grace", by=Editor("two", people.last_seen(conn, person)))
    assert groups(conn)[A] == ("Grace", False)


def test_somebody_who_is_not_there_cannot_be_decided_about(conn: Any) -> None:
    for decide in (
        lambda: people.name(conn, 99, "Ada"),
        lambda: people.move(conn, [99], None),
        lambda: people.move(conn, [], None),
        lambda: people.undo(conn, 99),
        lambda: people.split(conn, person_of(conn, 1), [5]),
        lambda: people.cover(conn, person_of(conn, 1), 5),
    ):
        with pytest.raises(DecisionError):
            decide()


def test_decisions_find_a_face_again_by_its_box(conn: Any) -> None:
    people.name(conn, person_of(conn, 1), "Ada")
    conn.execute("update faces set x = 2, width = 8 where id = 1")
    conn.execute("update faces set x = 7 where id = 2")
    store.rebuild(conn)
    assert [source_of(conn, face) for face in (1, 2)] == ["person", "cluster"]


def test_decisions_follow_a_photo_that_is_edited(conn: Any) -> None:
    people.move(conn, [1], person_of(conn, 5))
    conn.execute("update photos set sha256 = 'captioned' where id = 1")
    conn.execute("update photos set sha256 = 'captioned again' where id = 1")
    store.rebuild(conn)
    assert groups(conn).keys() == {A - {1}, B | {1}, C}


@pytest.mark.parametrize(
    "removal",
    ["drop table people", "delete from people", "update faces set person_id = null"],
)
def test_a_table_of_people_that_is_gone_is_made_anew(conn: Any, removal: str) -> None:
    people.name(conn, person_of(conn, 1), "Ada")
    people.hide(conn, person_of(conn, 5))
    people.reject(conn, [9], person_of(conn, 9))
    before = groups(conn)
    conn.execute(removal)
    store.rebuild(conn)
    assert groups(conn) == before
    counts = "select id, faces from people where faces > 0 order by id"
    told = conn.execute(counts).fetchall()
    counted = "select person_id, count(*) from faces where person_id > 0 group by 1 order by 1"
    assert told == conn.execute(counted).fetchall()


KINDS = (
    *("name", "merge", "split", "move", "new", "reject", "no-face", "hide", "unhide", "cover"),
    *("apart", "undo", "redo", "cluster"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(1, FACES),
        st.integers(1, FACES),
        st.integers(0, 5),
    ),
    max_size=12,
)


def decide(conn: Any, step: tuple[str, int, int, int]) -> None:
    """One decision, or a clustering; what makes no sense is refused and changes nothing."""
    kind, face, other, number = step
    owner = conn.execute(
        "select coalesce(person_id, 0) from faces where id = ?", [face]
    ).fetchone()[0]
    second = conn.execute(
        "select coalesce(person_id, 0) from faces where id = ?", [other]
    ).fetchone()[0]
    ways = {
        "name": lambda: people.name(conn, owner, f"name {number}", even_if_taken=bool(number % 2)),
        "merge": lambda: people.merge(conn, owner, second),
        "split": lambda: people.split(conn, owner, {face, other}),
        "move": lambda: people.move(conn, [face], second),
        "new": lambda: people.move(conn, [face, other], None),
        "reject": lambda: people.reject(conn, [face], second),
        "no-face": lambda: people.mark_not_a_face(conn, [face]),
        "hide": lambda: people.hide(conn, owner),
        "unhide": lambda: people.unhide(conn, owner),
        "cover": lambda: people.cover(conn, owner, face),
        "apart": lambda: people.keep_apart(conn, owner, second),
        "undo": lambda: people.undo(conn),
        "redo": lambda: people.redo(conn),
        "cluster": lambda: recluster(conn, number),
    }
    try:
        with transaction(conn):
            ways[kind]()
    except DecisionError:
        pass


def recluster(conn: Any, number: int) -> None:
    store.propose(conn, {n: f"cluster-{(n * (number + 1)) % 5}" for n in range(1, FACES + 1)})
    store.assign(conn)
    store.show(conn)


slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@slow
@given(STEPS.map(lambda steps: [it for it in steps if it[0] != "cluster"]))
def test_any_decisions_undone_to_the_start_give_the_first_state(
    template: Path, steps: list
) -> None:
    with in_memory(template) as conn:
        first = everything(conn)
        for step in steps:
            decide(conn, step)
        told = everything(conn)
        store.rebuild(conn)
        assert everything(conn) == told, "what is kept up to date differs from what is made anew"
        while decisions.last_active(conn):
            people.undo(conn)
        assert everything(conn) == first


@pytest.mark.slow
@slow
@given(STEPS)
def test_no_clustering_moves_a_face_that_a_person_placed(template: Path, steps: list) -> None:
    with in_memory(template) as conn:
        for step in steps:
            before = placed(conn)
            decide(conn, step)
            if step[0] == "cluster":
                assert placed(conn) == before


def everything(conn: Any) -> tuple[object, ...]:
    """Who is whose by which word, names, covers and counts."""
    faces = conn.execute("select id, person_id, person_source from faces order by id").fetchall()
    columns = "id, name, hidden, cover_face_id, faces"
    return faces, conn.execute(
        f"select {columns} from people where faces > 0 order by id"
    ).fetchall()


def placed(conn: Any) -> list[tuple[int, int]]:
    sql = "select id, person_id from faces where person_source = 'person' order by id"
    return conn.execute(sql).fetchall()


class TestALog:
    """What another copy of the file has decided, taken into this one, where person B is hidden."""

    @pytest.fixture(autouse=True)
    def hidden(self, conn: Any) -> None:
        people.hide(conn, person_of(conn, 5))

    def log_of(self, template: Path, *deciding: Callable[[Any], object]) -> list[str]:
        with in_memory(template) as other:
            for decide in deciding:
                decide(other)
            return list(decision_log.export_log(other))

    def takes(self, conn: Any, log: list[str], **options: bool) -> tuple[int, int]:
        conn.execute("begin")
        try:
            counts = decision_log.import_log(conn, log, **options)
        except DecisionError:
            conn.execute("rollback")
            raise
        conn.execute("commit")
        return counts

    @pytest.mark.parametrize(
        "deciding",
        [
            [lambda it: people.merge(it, person_of(it, 1), person_of(it, 5))],
            [
                lambda it: people.hide(it, person_of(it, 1)),
                lambda it: people.unhide(it, person_of(it, 1)),
                lambda it: people.merge(it, person_of(it, 1), person_of(it, 5)),
            ],
            [
                lambda it: people.merge(it, person_of(it, 1), person_of(it, 5)),
                lambda it: people.name(it, person_of(it, 1), "Anna"),
                lambda it: people.undo(it, 1),
            ],
            [lambda it: people.move(it, [6], None)],
            [lambda it: people.reject(it, [6], person_of(it, 6))],
            [lambda it: people.split(it, person_of(it, 5), [5, 6])],
            [
                lambda it: people.hide(it, person_of(it, 5)),
                lambda it: people.unhide(it, person_of(it, 5)),
            ],
        ],
        ids=["merge", "other shown", "named", "move", "reject", "split", "shown"],
    )
    def test_shows_nobody_who_is_hidden_here_unless_that_is_meant(
        self, template: Path, conn: Any, deciding: list[Callable[[Any], object]]
    ) -> None:
        before, log = groups(conn), self.log_of(template, *deciding)
        with pytest.raises(
            DecisionError, match=r"would show faces of people who are hidden here \(person 2\)"
        ):
            self.takes(conn, log)
        assert groups(conn) == before
        assert self.takes(conn, log, show_hidden=True) == (len(log), 0)
        assert groups(conn) != before
        # What is shown by now is asked about no more
        assert self.takes(conn, log) == (0, len(log))

    def test_does_not_show_them_by_doing_again_what_was_undone(
        self, template: Path, conn: Any
    ) -> None:
        log = self.log_of(
            template,
            lambda it: people.merge(it, person_of(it, 1), person_of(it, 5)),
            people.undo,
            people.redo,
        )
        assert self.takes(conn, log[:2]) == (2, 0)
        with pytest.raises(DecisionError, match="would show"):
            self.takes(conn, log)

    @pytest.mark.parametrize(
        "deciding",
        [
            lambda it: people.merge(it, person_of(it, 1), person_of(it, 5)),
            lambda it: people.move(it, [6], person_of(it, 1)),
            lambda it: people.move(it, [6], None),
            lambda it: people.reject(it, [6], person_of(it, 6)),
        ],
        ids=["merge", "move", "move away", "reject"],
    )
    @pytest.mark.parametrize("gone", [(6, 6), (5, 8)])
    def test_does_not_show_them_when_their_photos_come_back(
        self, template: Path, conn: Any, deciding: Callable[[Any], object], gone: tuple[int, int]
    ) -> None:
        conn.execute("delete from faces where id between ? and ?", gone)
        with pytest.raises(DecisionError, match=r"people who are hidden here \(person 2\)"):
            self.takes(conn, self.log_of(template, deciding))

    def test_does_not_part_who_is_hidden_with_another(self, template: Path, conn: Any) -> None:
        """Of C, who was merged into A before A was hidden, nothing is here now."""
        log = self.log_of(template, lambda it: people.merge(it, person_of(it, 1), person_of(it, 9)))
        assert self.takes(conn, log) == (1, 0)
        people.hide(conn, person_of(conn, 1))
        conn.execute("delete from faces where id >= 9")
        merged = json.loads(log[0])["uid"]
        undo = {"kind": "undo", "uid": "u", "made_at": "x", "target": merged}
        with pytest.raises(DecisionError, match="person 1"):
            self.takes(conn, [json.dumps(undo)])

    def test_never_shows_what_is_no_face(self, conn: Any) -> None:
        people.mark_not_a_face(conn, [1])
        for kind in ("unhide", "name"):
            told = {"kind": kind, "uid": kind, "made_at": "x", "person": NOT_A_FACE, "value": "Ed"}
            assert self.takes(conn, [json.dumps(told)]) == (1, 0)
        assert groups(conn)[frozenset([1])] == ("Not a face", True)

    def test_of_others_is_taken_in(self, template: Path, conn: Any) -> None:
        log = self.log_of(
            template,
            lambda it: people.merge(it, person_of(it, 1), person_of(it, 5)),
            people.undo,
            lambda it: people.merge(it, person_of(it, 1), person_of(it, 9)),
            lambda it: people.mark_not_a_face(it, [8]),
        )
        assert self.takes(conn, log) == (4, 0)
        assert groups(conn)[A | C] == (None, False)
        assert groups(conn)[B - {8}] == (None, True)
