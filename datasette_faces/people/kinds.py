"""The kinds of decisions: what each means to the grouping and the history, and what can be done with it.

To add a kind: an entry here, a function that records one (`decide.record_decision`), its form or
command. What the rows of people follow from (merging, hiding, undoing) the store knows by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..store.decisions import (
    APART,
    COVER,
    DRAWN,
    EXAMPLE,
    HIDE,
    MEMBER,
    MERGE,
    OTHER,
    REDO,
    UNDO,
    UNHIDE,
)


@dataclass(frozen=True, slots=True)
class DecisionKind:
    """What there is to know of one kind of decision.

    sentence: after who decided it, with {faces} (a count), {are}, {no} ("no face"), {person}, {other},
    {called} (the person by the name that was given), {target} (what is undone or redone), {kind}.
    roles: the parts that faces have in it. MEMBER places a face with the person, APART says that it is
    not the person's, and both are undone with the decision.
    cannot_link: the faces of the first role are not the person of the faces of the second.
    joins: two people become one. draws: it makes a face. reverses: it undoes or redoes another one.
    portable: it goes into exports, and is taken from them.
    """

    name: str
    sentence: str = "decided something ({kind}) about {person}"
    roles: tuple[str, ...] = (MEMBER,)
    cannot_link: tuple[str, str] | None = None
    joins: bool = False
    draws: bool = False
    reverses: bool = False
    portable: bool = True


_KINDS = (
    DecisionKind("name", "named {faces} {called}"),
    DecisionKind(MERGE, "merged {other} into {person}", joins=True),
    DecisionKind(
        "split",
        "took {faces} out of {other}: they are {person}",
        (MEMBER, EXAMPLE),
        cannot_link=(MEMBER, EXAMPLE),
    ),
    DecisionKind(
        "move",
        "said that {faces} {are} {person}",
        (MEMBER, OTHER),
        cannot_link=(MEMBER, OTHER),
    ),
    DecisionKind(
        "reject",
        "said that {faces} {are} not {person}",
        (APART, EXAMPLE),
        cannot_link=(APART, EXAMPLE),
    ),
    DecisionKind(
        "apart", "said that {other} is not {person}", (EXAMPLE, OTHER), cannot_link=(EXAMPLE, OTHER)
    ),
    DecisionKind("not-a-face", "said that {faces} {are} {no}"),
    DecisionKind(HIDE, "hid {person}"),
    DecisionKind(UNHIDE, "showed {person} again"),
    DecisionKind("cover", "chose another cover for {person}", (COVER, MEMBER)),
    DecisionKind("draw", "drew a box around a face", (DRAWN,), draws=True),
    DecisionKind("import", "says that {faces} {are} {called}"),
    DecisionKind(UNDO, "undid {target}", (), reverses=True),
    DecisionKind(REDO, "redid {target}", (), reverses=True),
)

KINDS: dict[str, DecisionKind] = {kind.name: kind for kind in _KINDS}
"""Every kind of decision, by name."""


def get_kind(name: str) -> DecisionKind:
    """A kind by its name; of one that a later version wrote, a kind that places faces."""
    return KINDS.get(name) or DecisionKind(name)


def cannot_link_roles() -> dict[str, tuple[str, str]]:
    """By kind, the role of faces that are not the person of the faces of another role."""
    return {name: kind.cannot_link for name, kind in KINDS.items() if kind.cannot_link}


def face_roles() -> set[str]:
    """Every part that a face has in a decision of any kind."""
    return {role for kind in KINDS.values() for role in kind.roles}
