"""A decision in a sentence: for the history, for what was just done, for JSON."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from ...people.kinds import get_kind
from ...store.gallery import Row
from .page import Page


def sentence(page: Page, row: Row) -> Markup:
    """Who decided what, of a row of the history: "root named 12 faces Ada", people with links."""
    actor = escape(row["actor"]) if row["actor"] else "Someone"
    return Markup("{} {}").format(actor, _describe(page, row))


def for_page(page: Page, row: Row) -> Row:
    """A row of the history with its sentence, and whether it undoes or redoes another one."""
    reverses = get_kind(row["kind"]).reverses
    return {**row, "sentence": sentence(page, row), "reverses": reverses}


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


def _describe(page: Page, row: Row) -> Markup:
    kind = get_kind(row["kind"])
    return Markup(kind.sentence).format(
        faces=f"{row['faces']:,} face{'' if row['faces'] == 1 else 's'}",
        are="is" if row["faces"] == 1 else "are",
        no="no face" if row["faces"] == 1 else "no faces",
        person=_person(page, row["person"]),
        other=_person(page, row["other"]),
        called=_person(page, row["person"], called=row["value"]),
        target=_target(page, row["target"]) if kind.reverses else "",
        kind=row["kind"],
    )


def _target(page: Page, target: Row | None) -> str | Markup:
    """What is undone or redone: its number, and what it said."""
    if target is None:
        return "a decision that is not here"
    address = page.url("/history", before=target["id"] + 1)
    return Markup('<a href="{}">#{}</a>: {}').format(address, target["id"], _describe(page, target))


def _person(page: Page, person: Row | None, *, called: str | None = None) -> Markup:
    if person is None:
        return escape(called or "someone who is gone")
    name = called or person["name"] or f"person {person['person_id']}"
    # bdi: a name from right to left turns nothing else round
    link = Markup('<a href="{}"><bdi>{}</bdi></a>')
    return link.format(page.url(f"/people/{person['person_id']}"), name)
