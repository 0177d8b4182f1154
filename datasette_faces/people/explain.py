"""Why a face belongs to a person, or to none, in sentences; the facts come from `store.explanations`."""

from __future__ import annotations

from ..store.explanations import Facts, Near
from ..store.people import BY_PERSON


def explain_face(facts: Facts) -> list[str]:
    """The reasons, in sentences; the one that decided comes first."""
    reasons = [_explain_person(facts)]
    reasons += [f"Marked as not {name}." for name in facts.rejected]
    if facts.weak:
        reasons.append(
            f"{_join_words(facts.weak).capitalize()}: assigned to a person, but never used to link "
            "two people."
        )
    return reasons


def _explain_person(facts: Facts) -> str:
    if facts.source == BY_PERSON:
        return _explain_decision(facts)
    if facts.source is None:
        return _explain_no_person(facts)
    who = facts.name or "a person without a name"
    return (
        f"No one has said who this is: it was grouped with the {facts.people_faces:,} faces of {who}, "
        "which it resembles on average."
    )


def _explain_decision(facts: Facts) -> str:
    who = facts.name or "this person"
    decision = facts.decision
    if decision is None:
        return f"Someone said that this is {who}."
    actor = decision.actor or "Someone"
    day = decision.made_at[:10]
    return f"{actor} said that this is {who}: decision {decision.id} ({decision.kind}), {day}."


def _explain_no_person(facts: Facts) -> str:
    if facts.model_id is None or facts.threshold is None:
        return "It has no embedding, so it cannot be compared with other faces."
    nearest = next(iter(facts.near), None)
    if nearest is None:
        return (
            "It belongs to no person: no face of a named person is near, and too few other faces "
            "resemble it."
        )
    if nearest.similarity < facts.threshold:
        return (
            "It belongs to no person: the nearest face of a named person is "
            f"{nearest.name}'s, at a similarity of {nearest.similarity:.2f}; the "
            f"threshold of {facts.model_id} is {facts.threshold:.2f}."
        )
    return _explain_near_person(nearest)


def _explain_near_person(nearest: Near) -> str:
    if nearest.in_photo:
        return (
            f"It resembles {nearest.name} ({nearest.similarity:.2f}), but another face in this photo "
            f"is {nearest.name}: two faces in one photo are two people, unless someone decides "
            "that they are one."
        )
    return (
        f"It resembles a face of {nearest.name} ({nearest.similarity:.2f}), but not {nearest.name}'s "
        "faces on average, or faces have not been grouped since: say who it is, or group the faces "
        "again."
    )


def _join_words(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
