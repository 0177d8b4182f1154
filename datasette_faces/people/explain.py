"""Why a face is whose it is, or nobody's, in sentences. Pure: what is known comes from `store.reasons`."""

from __future__ import annotations

from ..store.explanations import Facts, Near
from ..store.people import BY_PERSON


def reasons(facts: Facts) -> list[str]:
    """The reasons, the one that decided first."""
    told = [_decided(facts)]
    told += [f"Somebody said that this is not {name}." for name in facts.rejected]
    if facts.weak:
        words = _listed(facts.weak)
        told.append(f"It is {words}: so it can join a person, and brings no other faces together.")
    return told


def _decided(facts: Facts) -> str:
    if facts.source == BY_PERSON:
        return _by_somebody(facts)
    if facts.source is not None:
        who = facts.name or "a person without a name"
        others = f"the {facts.people_faces:,} faces of {who}"
        return (
            f"Nobody has said who this is: it was put with {others}, which it resembles on average."
        )
    return _by_nobody(facts)


def _by_somebody(facts: Facts) -> str:
    who = facts.name or "this person"
    decision = facts.decision
    if decision is None:
        return f"Somebody said that this is {who}."
    actor = decision.actor or "Somebody"
    day = decision.made_at[:10]
    return f"{actor} said that this is {who}: decision {decision.id} ({decision.kind}), {day}."


def _by_nobody(facts: Facts) -> str:
    if facts.model_id is None or facts.threshold is None:
        return "It has no embedding, so nothing can be compared with it."
    nearest = next(iter(facts.near), None)
    if nearest is None:
        return "It is nobody's: no face of somebody with a name is near, and too few others resemble it."
    if nearest.similarity < facts.threshold:
        return (
            f"It is nobody's: the nearest face of somebody with a name is {nearest.name}'s, "
            f"{nearest.similarity:.2f}; {facts.model_id} takes two faces for one person from "
            f"{facts.threshold:.2f} on."
        )
    return _near_but_not(nearest)


def _near_but_not(nearest: Near) -> str:
    if nearest.in_photo:
        return (
            f"It resembles {nearest.name} ({nearest.similarity:.2f}), who is another face of this "
            "photo already: two faces of one photo are two people, unless somebody says otherwise."
        )
    return (
        f"It resembles a face of {nearest.name} ({nearest.similarity:.2f}), but not {nearest.name}'s "
        "faces on average, or it was not grouped since: decide, or group the faces anew."
    )


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
