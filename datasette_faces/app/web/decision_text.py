"""A decision in a sentence: for the history, for what was just done, for JSON."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from ...store.gallery import Row
from .page import Page


def sentence(page: Page, row: Row) -> Markup:
    """Who decided what, of a row of the history: "root named 12 faces Ada", people with links."""
    actor = escape(row["actor"]) if row["actor"] else "Someone"
    return Markup("{} {}").format(actor, _said(page, row))


def as_json(page: Page, row: Row) -> dict[str, Any]:
    """A row of the history for JSON."""
    simple = ("id", "uid", "made_at", "actor", "kind", "active", "value", "faces", "face_id")
    return {
        **{name: row[name] for name in simple},
        "person_id": row["person"] and row["person"]["person_id"],
        "other_id": row["other"] and row["other"]["person_id"],
        "target_id": row["target"] and row["target"]["id"],
        "sentence": sentence(page, row).striptags(),
    }


def _said(page: Page, row: Row) -> Markup:
    if row["kind"] in ("undo", "redo"):
        verb = "undid" if row["kind"] == "undo" else "redid"
        if row["target"] is None:
            return Markup("{} a decision that is not here").format(verb)
        target = row["target"]
        number = Markup('<a href="{}">#{}</a>').format(
            page.url("/history", before=target["id"] + 1), target["id"]
        )
        return Markup("{} {}: {}").format(verb, number, _said(page, target))
    pattern = _PATTERNS.get(row["kind"], Markup("decided something ({kind}) about {person}"))
    return pattern.format(
        faces=f"{row['faces']:,} face{'' if row['faces'] == 1 else 's'}",
        are="is" if row["faces"] == 1 else "are",
        no="no face" if row["faces"] == 1 else "no faces",
        person=_person(page, row["person"]),
        other=_person(page, row["other"]),
        called=_person(page, row["person"], called=row["value"]),
        kind=row["kind"],
    )


_PATTERNS = {
    kind: Markup(pattern)
    for kind, pattern in {
        "name": "named {faces} {called}",
        "merge": "merged {other} into {person}",
        "split": "took {faces} out of {other}: they are {person}",
        "move": "said that {faces} {are} {person}",
        "reject": "said that {faces} {are} not {person}",
        "apart": "said that {other} is not {person}",
        "not-a-face": "said that {faces} {are} {no}",
        "hide": "hid {person}",
        "unhide": "showed {person} again",
        "cover": "chose another cover for {person}",
        "import": "says that {faces} {are} {called}",
        "draw": "drew a box around a face",
    }.items()
}


def _person(page: Page, person: Row | None, *, called: str | None = None) -> Markup:
    if person is None:
        return escape(called or "someone who is gone")
    name = called or person["name"] or f"person {person['person_id']}"
    # bdi: a name from right to left turns nothing else round
    link = Markup('<a href="{}"><bdi>{}</bdi></a>')
    return link.format(page.url(f"/people/{person['person_id']}"), name)
