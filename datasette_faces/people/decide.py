"""Who is who, as people decide it: name, merge, split, move, reject, hide, and undo each of these.

Every function is called within a transaction, adds one decision, and brings the rows of those whom
it touches up to date. What the machine proposes is `clusters`' work. No HTTP, no click.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

from ..errors import DecisionError, EditedMeanwhile, NameTaken, SeveralOfName
from ..search import index_upkeep
from ..store import decisions, manual_faces, people
from ..store.connection import Connection
from ..store.decisions import (
    APART,
    COVER,
    EXAMPLE,
    HIDE,
    MEMBER,
    MERGE,
    OTHER,
    REDO,
    UNDO,
    UNHIDE,
    Decision,
    FaceRef,
)
from ..store.people import NOT_A_FACE, Person
from .kinds import get_kind
from .metadata import regions

EXAMPLES = 12
"""So many of the best faces show who is meant by a person without a name."""


@dataclass(frozen=True)
class Editor:
    """Whoever decides. seen: the last decision about these people that they knew of, if that counts."""

    actor: str | None = None
    seen: int | None = None


NOBODY = Editor()


def name(
    conn: Connection, person_id: int, text: str, *, by: Editor = NOBODY, even_if_taken: bool = False
) -> Decision:
    """Give a person a name; all their faces are placed with it.

    Raises DecisionError, NameTaken where another has that name already, EditedMeanwhile.
    """
    person, wanted = _find_person(conn, person_id, by), clean_name(text)
    _refuse_not_a_face(person)
    others = [it for it in people.of_name(conn, wanted) if it.id != person.id]
    if others and not even_if_taken:
        raise NameTaken(
            f"There is already a person called {wanted} (person {others[0].id}): merge the two, "
            "or say that they are two people with the same name",
            others[0].id,
        )
    faces = decisions.refs(conn, MEMBER, people.faces_of(conn, person.id))
    return record_decision(conn, Decision("name", person.key, value=wanted, faces=faces), by)


def merge(conn: Connection, into_id: int, other_id: int, *, by: Editor = NOBODY) -> Decision:
    """Say that two are one: the faces of the other become the first one's, who keeps a name."""
    into, other = _find_person(conn, into_id, by), _find_person(conn, other_id, by)
    if into.id == other.id:
        raise DecisionError("That is the same person: choose another one to merge with")
    _refuse_not_a_face(into, other)
    _check_both_hidden_or_shown(into, other)
    if into.hidden:
        # Of whom both are, undoing that of the one must not show the other
        _shown(conn, HIDE, into.id, by)
    ids = [*people.faces_of(conn, into.id), *people.faces_of(conn, other.id)]
    faces = decisions.refs(conn, MEMBER, ids)
    called = into.name or other.name
    return record_decision(conn, Decision(MERGE, into.key, other.key, called, faces=faces), by)


def split(
    conn: Connection, person_id: int, face_ids: Iterable[int], *, by: Editor = NOBODY
) -> Decision:
    """Take faces out of a person: they are somebody else, who is new and has no name yet."""
    person = _find_person(conn, person_id, by)
    theirs = set(people.faces_of(conn, person.id))
    taken = _theirs(face_ids, theirs, person)
    if theirs.issubset(taken):
        raise DecisionError(
            "All faces of a person are this person: leave one, or rename the person"
        )
    faces = decisions.refs(conn, MEMBER, taken) + _examples(conn, person, EXAMPLE, set(taken))
    return record_decision(conn, Decision("split", make_key(), person.key, faces=faces), by)


def move(
    conn: Connection, face_ids: Iterable[int], person_id: int | None, *, by: Editor = NOBODY
) -> Decision:
    """Place faces in a person, or in a new one; those whom they are taken from are not that person."""
    moved = _known(conn, face_ids)
    if person_id is None:
        faces = decisions.refs(conn, MEMBER, moved) + _examples_of_former_people(conn, moved, None)
        return record_decision(conn, Decision("move", make_key(), faces=faces), by)
    person = _find_person(conn, person_id, by)
    # Whom the machine made up is held together by this, or might be another one tomorrow
    all_faces = {*moved, *([] if person.name else people.faces_of(conn, person.id))}
    faces = decisions.refs(conn, MEMBER, sorted(all_faces))
    faces += _examples_of_former_people(conn, moved, person)
    return record_decision(conn, Decision("move", person.key, faces=faces), by)


def find_by_name(conn: Connection, text: str) -> int | None:
    """Who has a name; None where nobody has. Raises SeveralOfName."""
    wanted = clean_name(text)
    found = [person.id for person in people.of_name(conn, wanted)]
    if len(found) > 1:
        raise SeveralOfName(wanted, found)
    return found[0] if found else None


def place_faces(
    conn: Connection, face_ids: Iterable[int], person_id: int | None, text: str, *, by: Editor
) -> list[Decision]:
    """Place faces in a person; where that is None, in a new person of the name that is given."""
    moved = move(conn, face_ids, person_id, by=by)
    new = people.by_key(conn, moved.person_key or "") if person_id is None else None
    return [moved] if new is None else [moved, name(conn, new.id, text, by=by)]


def _examples_of_former_people(
    conn: Connection, moved: list[int], target: Person | None
) -> tuple[FaceRef, ...]:
    """Examples of those whom faces are taken from: else these would follow, by their likeness."""
    found: tuple[FaceRef, ...] = ()
    for key in people.of_faces(conn, moved):
        person = people.by_key(conn, key)
        if person and key != NOT_A_FACE and (target is None or key != target.key):
            found += _examples(conn, person, OTHER, set(moved))
    return found


def reject(
    conn: Connection, face_ids: Iterable[int], person_id: int, *, by: Editor = NOBODY
) -> Decision:
    """Say that faces are not this person, whoever they may be."""
    person = _find_person(conn, person_id, by)
    _refuse_not_a_face(person)
    rejected = _known(conn, face_ids)
    faces = decisions.refs(conn, APART, rejected)
    faces += _examples(conn, person, EXAMPLE, set(rejected))
    return record_decision(conn, Decision("reject", person.key, faces=faces), by)


def keep_apart(conn: Connection, person_id: int, other_id: int, *, by: Editor = NOBODY) -> Decision:
    """Say that two are not the same person: nothing proposes it again."""
    person, other = _find_person(conn, person_id, by), _find_person(conn, other_id, by)
    if person.id == other.id:
        raise DecisionError("That is the same person: choose another one")
    faces = _examples(conn, person, EXAMPLE) + _examples(conn, other, OTHER)
    return record_decision(conn, Decision("apart", person.key, other.key, faces=faces), by)


def mark_not_a_face(conn: Connection, face_ids: Iterable[int], *, by: Editor = NOBODY) -> Decision:
    """Say that nothing of these is a face: they are hidden, and nobody is made of them."""
    faces = decisions.refs(conn, MEMBER, _known(conn, face_ids))
    return record_decision(conn, Decision("not-a-face", NOT_A_FACE, faces=faces), by)


def hide(conn: Connection, person_id: int, *, by: Editor = NOBODY) -> Decision:
    """Leave a person out of pages and searches; their faces stay together."""
    return _shown(conn, HIDE, person_id, by)


def unhide(conn: Connection, person_id: int, *, by: Editor = NOBODY) -> Decision:
    """Show a person again."""
    return _shown(conn, UNHIDE, person_id, by)


def cover(conn: Connection, person_id: int, face_id: int, *, by: Editor = NOBODY) -> Decision:
    """Have one of a person's faces stand for them."""
    person = _find_person(conn, person_id, by)
    [chosen] = _theirs([face_id], set(people.faces_of(conn, person.id)), person)
    ids = [chosen] if person.name else people.faces_of(conn, person.id)
    faces = decisions.refs(conn, COVER, [chosen]) + decisions.refs(conn, MEMBER, ids)
    return record_decision(conn, Decision("cover", person.key, faces=faces), by)


def undo(conn: Connection, decision_id: int | None = None, *, by: Editor = NOBODY) -> Decision:
    """Take a decision back, the last one that holds if none is named; later ones stand as they are."""
    wanted = _decision(conn, decision_id) if decision_id else decisions.last_active(conn)
    if wanted is None:
        raise DecisionError("There is nothing to undo")
    if not wanted.active:
        raise DecisionError(f"Decision {wanted.id} is already undone")
    _reverse(conn, UNDO, wanted, by)
    return wanted


def redo(conn: Connection, decision_id: int | None = None, *, by: Editor = NOBODY) -> Decision:
    """Let a decision hold again, the one that was undone last if none is named."""
    wanted = _decision(conn, decision_id) if decision_id else decisions.last_undone(conn)
    if wanted is None:
        raise DecisionError("There is nothing to redo")
    if wanted.active:
        raise DecisionError(f"Decision {wanted.id} is in effect: there is nothing to redo")
    if get_kind(wanted.kind).joins:
        both = [people.by_key(conn, key or "") for key in (wanted.person_key, wanted.other_key)]
        if both[0] and both[1]:
            _check_both_hidden_or_shown(both[0], both[1])
    _reverse(conn, REDO, wanted, by)
    return wanted


def clean_name(text: str) -> str:
    """A name as it is kept: NFC, without spaces around it. Raises DecisionError."""
    try:
        wanted = regions.parse_name(text)
    except ValueError as error:
        raise DecisionError(f"{str(error)[:1].upper()}{str(error)[1:]}") from None
    if not wanted:
        raise DecisionError("A name is needed")
    return wanted


def make_key() -> str:
    """A key for a person whom somebody made."""
    return token_hex(8)


def last_seen(conn: Connection, *person_ids: int) -> int:
    """The last decision about these people: what an editor who sees them now has seen."""
    found = [people.by_id(conn, person_id) for person_id in person_ids]
    return decisions.last_about(conn, [it.key for it in found if it])


def record_decision(conn: Connection, decision: Decision, by: Editor = NOBODY) -> Decision:
    """Add a decision of any kind, and bring the rows that follow from it up to date."""
    made = decisions.append(conn, replace(decision, actor=by.actor))
    apply(conn, made)
    return made


def apply(conn: Connection, decision: Decision) -> None:
    """Bring the faces and people that a decision names up to date."""
    kind = get_kind(decision.kind)
    if kind.draws:
        _redraw(conn, decision)
        return
    keys = [key for key in (decision.person_key, decision.other_key) if key]
    face_ids = set(decisions.faces_of(conn, decision, MEMBER, APART))
    if kind.joins:
        face_ids |= set(people.proposed_for(conn, *keys))
    people.update_faces(conn, sorted(face_ids))
    people.show(conn, keys)


def _redraw(conn: Connection, decision: Decision) -> None:
    """Have the face that was drawn come and go with its decision."""
    came, left = manual_faces.settle(conn, decision.uid)
    people.update_faces(conn, came)
    people.show(conn, left)
    index_upkeep.keep_up(conn)


def _reverse(conn: Connection, kind: str, wanted: Decision, by: Editor) -> None:
    _check_unchanged(conn, [key for key in (wanted.person_key, wanted.other_key) if key], by)
    decisions.append(conn, Decision(kind, target=wanted.uid, actor=by.actor))
    apply(conn, wanted)


def _shown(conn: Connection, kind: str, person_id: int, by: Editor) -> Decision:
    person = _find_person(conn, person_id, by)
    _refuse_not_a_face(person)
    faces = decisions.refs(conn, MEMBER, people.faces_of(conn, person.id))
    return record_decision(conn, Decision(kind, person.key, faces=faces), by)


def _find_person(conn: Connection, person_id: int, by: Editor) -> Person:
    person = people.by_id(conn, person_id)
    if person is None:
        raise DecisionError(f"There is no person {person_id}")
    _check_unchanged(conn, [person.key], by)
    return person


def _check_unchanged(conn: Connection, keys: Sequence[str], by: Editor) -> None:
    if by.seen is not None and decisions.last_about(conn, keys) > by.seen:
        raise EditedMeanwhile(
            "Someone else has changed this person since you opened the page: check it, and try again"
        )


def _refuse_not_a_face(*persons: Person) -> None:
    if any(person.key == NOT_A_FACE for person in persons):
        raise DecisionError("This is marked as not a face: move the face to a person instead")


def _check_both_hidden_or_shown(into: Person, other: Person) -> None:
    """Merged, faces would be shown, and published, that somebody wanted hidden; or the other way round."""
    if into.hidden != other.hidden:
        away, there = (into.id, other.id) if into.hidden else (other.id, into.id)
        raise DecisionError(
            f"Person {away} is hidden, and person {there} is not: unhide the one, or hide the other, "
            "and merge them then"
        )


def _decision(conn: Connection, decision_id: int) -> Decision:
    found = decisions.by_id(conn, decision_id)
    if found is None or get_kind(found.kind).reverses:
        raise DecisionError(f"There is no decision {decision_id}")
    return found


def _known(conn: Connection, face_ids: Iterable[int]) -> list[int]:
    wanted = sorted(set(face_ids))
    if not wanted:
        raise DecisionError("No face is chosen")
    if len(decisions.refs(conn, MEMBER, wanted)) < len(wanted):
        raise DecisionError("A chosen face no longer exists: check again")
    return wanted


def _theirs(face_ids: Iterable[int], theirs: set[int], person: Person) -> list[int]:
    wanted = sorted(set(face_ids))
    if not wanted:
        raise DecisionError("No face is chosen")
    if not theirs.issuperset(wanted):
        raise EditedMeanwhile(f"A chosen face no longer belongs to person {person.id}: look again")
    return wanted


def _examples(
    conn: Connection,
    person: Person,
    role: str,
    without: set[int] = frozenset(),  # type: ignore[assignment]
) -> tuple[FaceRef, ...]:
    best = people.faces_of(conn, person.id, limit=EXAMPLES + len(without))
    return decisions.refs(conn, role, [it for it in best if it not in without][:EXAMPLES])
