"""What a form decides: its fields → decisions about people, in one transaction. No HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from ...errors import DecisionError, EditedMeanwhile
from ...people import decide as people
from ...people import merge_several
from ...people.decide import Editor
from ...store import decisions, history
from ...store import people as store
from ...store.connection import Connection
from ...store.decisions import Decision
from .forms import Form
from .page import BadRequest

Decided = list[Decision]


Action = Callable[[Connection, Form, Editor], Decided]
DRAW = "draw"
"""The one action that takes more than the form says: `marking` makes it."""
OF_DECISIONS = ("undo", "redo")
"""Actions whose answers tell what others decided."""


def action_of(form: Form) -> Action:
    """What a form wants done. Raises DecisionError where it is nothing of ours."""
    action = ACTIONS.get(form.one("action"))
    if action is None:
        raise DecisionError(f"action takes one of these: {', '.join([*ACTIONS, DRAW])}")
    return action


def decide(conn: Connection, form: Form, action: Action, actor: str | None) -> Decided:
    """Do what a form says. Raises DecisionError, BadRequest; then nothing of it is done."""
    _check_seen(conn, form)
    return action(conn, form, Editor(actor))


def meanwhile(conn: Connection, form: Form) -> list[int]:
    """What was decided about the form's people since its page was made."""
    seen = form.number("seen")
    return [] if seen is None else history.since(conn, seen, _keys(conn, form), limit=20)


def _check_seen(conn: Connection, form: Form) -> None:
    # Once, before all: the second of a form's own decisions follows the first
    if meanwhile(conn, form):
        raise EditedMeanwhile(
            "Someone else has changed this since you opened the page: check it, and try again"
        )


def _keys(conn: Connection, form: Form) -> set[str]:
    ids = [*form.numbers("person"), *form.numbers("to_person"), *chain(*_pairs(form))]
    persons = [store.by_id(conn, it) for it in ids]
    keys = {person.key for person in persons if person}
    for decision_id in form.numbers("decision"):
        decision = decisions.by_id(conn, decision_id)
        if decision:
            keys |= {key for key in (decision.person_key, decision.other_key) if key}
    return keys


def _persons(form: Form) -> list[int]:
    wanted = form.numbers("person")
    if not wanted:
        raise DecisionError("No person is chosen")
    return wanted


def _faces(form: Form) -> list[int]:
    wanted = form.numbers("face")
    if not wanted:
        raise DecisionError("No face is chosen: tick those that are meant")
    return wanted


def _name(conn: Connection, form: Form, by: Editor) -> Decided:
    same = form.one("same") not in ("", "0")
    [person_id] = _persons(form)[:1]
    return [people.name(conn, person_id, form.one("name"), by=by, even_if_taken=same)]


def _merge(conn: Connection, form: Form, by: Editor) -> Decided:
    """All those of the form, and whom it names, become the best known of them."""
    wanted = _persons(form)
    if form.one("to_person") or form.one("to").strip():
        # Said of one person's page: whoever is named there is a person already
        target = _target(conn, form)
        if target is None:
            raise DecisionError(f"No one is called {people.clean_name(form.one('to'))}")
        wanted = [*wanted, target]
    return merge_several.merge_people(conn, wanted, by=by)


def _merge_pairs(conn: Connection, form: Form, by: Editor) -> Decided:
    """Each pair of the form is one person."""
    return merge_several.merge_pairs(conn, _pairs(form), by=by)


def _pairs(form: Form) -> list[list[int]]:
    """The field pair: two ids each, as 3:8. Raises BadRequest."""
    found = [
        Form({"pair": text.split(":")}).numbers("pair") for text in form.fields.get("pair", [])
    ]
    if any(len(pair) != 2 for pair in found):
        raise BadRequest("pair takes the numbers of two people, like 3:8")
    return found


def _apart(conn: Connection, form: Form, by: Editor) -> Decided:
    wanted = _persons(form)
    if len(wanted) != 2:
        raise DecisionError("Choose the two people who are not the same")
    return [people.keep_apart(conn, *wanted, by=by)]


def _target(conn: Connection, form: Form) -> int | None:
    """Whom the fields to_person and to mean; None for a name that nobody has. Raises SeveralOfName."""
    number = form.number("to_person")
    if number is not None:
        return number
    return people.find_by_name(conn, form.one("to"))


def _move(conn: Connection, form: Form, by: Editor) -> Decided:
    """Faces become whoever is named: somebody who is there, or a new person of that name."""
    return place(conn, form, _faces(form), by)


def place(conn: Connection, form: Form, face_ids: Sequence[int], by: Editor) -> Decided:
    """Faces become whoever the fields to_person and to name."""
    return people.place_faces(conn, face_ids, _target(conn, form), form.one("to"), by=by)


def _new(conn: Connection, form: Form, by: Editor) -> Decided:
    """Faces become a new person: of one person they are split off, of nobody they are moved."""
    person_id = form.number("person")
    if person_id is None:
        return [people.move(conn, _faces(form), None, by=by)]
    return [people.split(conn, person_id, _faces(form), by=by)]


def _reject(conn: Connection, form: Form, by: Editor) -> Decided:
    [person_id] = _persons(form)[:1]
    return [people.reject(conn, _faces(form), person_id, by=by)]


def _not_a_face(conn: Connection, form: Form, by: Editor) -> Decided:
    return [people.mark_not_a_face(conn, _faces(form), by=by)]


def _cover(conn: Connection, form: Form, by: Editor) -> Decided:
    [person_id], chosen = _persons(form)[:1], _faces(form)
    if len(chosen) > 1:
        raise DecisionError("A cover is one face: tick one alone")
    return [people.cover(conn, person_id, chosen[0], by=by)]


def _hide(conn: Connection, form: Form, by: Editor) -> Decided:
    return [people.hide(conn, it, by=by) for it in _persons(form)]


def _unhide(conn: Connection, form: Form, by: Editor) -> Decided:
    return [people.unhide(conn, it, by=by) for it in _persons(form)]


def _undo(conn: Connection, form: Form, by: Editor) -> Decided:
    wanted = sorted(form.numbers("decision"), reverse=True)
    return _reversed([people.undo(conn, it, by=by) for it in wanted])


def _redo(conn: Connection, form: Form, by: Editor) -> Decided:
    wanted = sorted(form.numbers("decision"))
    return _reversed([people.redo(conn, it, by=by) for it in wanted])


def _reversed(made: Decided) -> Decided:
    if not made:
        raise DecisionError("No decision is chosen")
    return sorted(made, key=lambda decision: decision.id)


ACTIONS: dict[str, Action] = {
    "name": _name,
    "merge": _merge,
    "merge-pairs": _merge_pairs,
    "apart": _apart,
    "split": _new,
    "move": _move,
    "reject": _reject,
    "not-a-face": _not_a_face,
    "cover": _cover,
    "hide": _hide,
    "unhide": _unhide,
    "undo": _undo,
    "redo": _redo,
}
