"""Deciding from a page: may this actor, do it, and say what was done or what stands against it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from datasette.utils.asgi import Base400, Forbidden, NotFound, Response

from ...errors import (
    DatabaseBusy,
    DatabaseError,
    DecisionError,
    EditedMeanwhile,
    FaceThere,
    NameTaken,
    SeveralOfName,
)
from ...store import history, people_pages, schema
from ...store.connection import Connection, explained, transaction
from ...store.file_names import quote_for_shell
from ...store.gallery import Row
from ..datasette import permissions
from . import decision_form, decision_text, manual_face_form
from .decision_form import Action, Decided
from .forms import Form, read_form
from .page import BadRequest, Conflict, FileInUse, Page

SHOWN_AT_ONCE = 100
"""Decisions that one message tells of, and takes back."""
NAMES = 200
"""Names that a field suggests; where there are more, the page asks for those that fit."""
CHOSEN_SHOWN = 12
DECIDED = ("decisions", "decision_faces")
"""The tables that say what was decided."""


async def require_people(page: Page) -> None:
    """Raise NotFound where the file is of a version that knew no decisions."""
    if not await page.read(people_pages.has_people):
        file = os.path.basename(page.datasette.get_database(page.database).path or "FACES.db")
        raise NotFound(
            f"{page.database} has no people yet: datasette faces cluster {quote_for_shell(file)}"
        )


async def require_decisions(page: Page) -> None:
    """Raise NotFound where nothing is kept of what was decided."""
    if not await page.read(schema.has_tables, "decisions"):
        raise NotFound(f"{page.database} is a catalogue: no decisions can be made here")


async def context(page: Page) -> dict[str, Any]:
    """What a page needs to be edited, for those who may: names to choose from, what was just done."""
    # Read before the rest: what is decided while the page is made has not been seen
    may = await permissions.may_edit(page.datasette, page.request, page.database)
    seen = await page.read(history.last) if may else 0
    looks_back = await may_look_back(page)
    database = page.datasette.get_database(page.database)
    return {
        "may_edit": may,
        "seen": seen,
        "known_names": await page.read(people_pages.known_names, limit=NAMES) if may else [],
        "names_url": page.url("/people.json"),
        "done": await _done(page) if may and looks_back else None,
        "looks_back": looks_back,
        "immutable": not database.is_mutable,
        "here": _here(page),
    }


async def may_look_back(page: Page) -> bool:
    """Whether anything is kept of what was decided, and this actor may see it."""
    if not await page.read(schema.has_tables, "decisions"):
        return False
    tables = ("photos", *DECIDED)
    return await permissions.may_view(page.datasette, page.request, page.database, *tables)


def _here(page: Page) -> str:
    """The page's own address, where its forms go: filters and page as they are."""
    path = page.request.scope.get("route_path") or page.request.path
    address = str(page.datasette.urls.path(path))
    query = "&".join(
        part for part in page.request.query_string.split("&") if part and not _is_done(part)
    )
    return f"{address}?{query}" if query else address


def _is_done(part: str) -> bool:
    return part.partition("=")[0] in ("done", "all")


async def _done(page: Page) -> dict[str, Any] | None:
    """What was just decided, as the address says: the first of it in a sentence, and how to undo it."""
    try:
        ids = Form({"done": page.request.args.getlist("done")}).numbers("done")
    except BadRequest:
        return None
    rows = await page.read(history.of_ids, ids[:SHOWN_AT_ONCE], hidden=True)
    if not rows:
        return None
    return {
        "sentence": decision_text.sentence(page, rows[0]),
        "more": len(rows) - 1,
        "active": any(row["active"] for row in rows),
        "ids": ranges([row["id"] for row in rows]),
    }


def ranges(ids: Sequence[int]) -> str:
    """Numbers as an address has them: 4-6,9."""
    found: list[list[int]] = []
    for number in sorted(ids):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in found)


async def handle_post(page: Page) -> Response:
    """Do what a POST says, and lead back to where it came from. Nothing is read for who may not."""
    if not await permissions.may_edit(page.datasette, page.request, page.database):
        raise Forbidden(permissions.explain_denied_edit(page.datasette, page.database))
    form = await read_form(page.request)
    try:
        made = await _write(page, form, await _action(page, form))
    except DecisionError as error:
        return await _problem(page, form, error)
    ids = [decision.id for decision in made]
    if page.as_json:
        decisions: list[Row] = [{"id": it} for it in ids]
        if await may_look_back(page):
            rows = await page.read(history.of_ids, ids, hidden=True)
            decisions = [decision_text.as_json(page, row) for row in rows]
        return Response.json({"ok": True, "decision": decisions[0], "decisions": decisions})
    here = _here(page)
    return Response.redirect(f"{here}{'&' if '?' in here else '?'}done={ranges(ids)}", status=303)


async def _action(page: Page, form: Form) -> Action:
    """What the form wants done; of a face that was drawn, what the models make of it.

    Raises Forbidden where it is about decisions that this actor may not see.
    """
    wanted = form.one("action")
    if wanted == decision_form.DRAW:
        return await manual_face_form.prepare_manual_face(page, form)
    if wanted in decision_form.OF_DECISIONS and not await may_look_back(page):
        raise Forbidden("Permission denied: view-table")
    return decision_form.action_of(form)


async def _write(page: Page, form: Form, action: Action) -> Decided:
    """The form's decisions, in one transaction. Raises DecisionError, BadRequest, FileInUse."""
    actor = (page.request.actor or {}).get("id")
    by = None if actor is None else str(actor)

    def write(conn: Connection) -> Decided:
        if conn.in_transaction:  # Datasette 1.0 has begun one
            return decision_form.decide(conn, form, action, by)
        with transaction(conn):
            return decision_form.decide(conn, form, action, by)

    try:
        database = page.datasette.get_database(page.database)
        # Around all of it: Datasette 1.0 begins and commits by itself
        with explained(page.database):
            made: Decided = await database.execute_write_fn(write)
    except DatabaseBusy as error:
        raise FileInUse(str(error)) from None
    except DatabaseError as error:
        raise Forbidden(str(error)) from None
    return made


async def _problem(page: Page, form: Form, error: DecisionError) -> Response:
    """Why nothing was done, with all that was entered, and what one may do now."""
    refusal: Base400 = BadRequest(str(error))
    if isinstance(error, EditedMeanwhile | NameTaken | SeveralOfName | FaceThere):
        refusal = Conflict(str(error))
    others = _others(error)
    seen = await page.read(history.last)
    rows = await _meanwhile(page, form)
    if page.as_json:
        answer = {"ok": False, "error": str(error), "status": refusal.status, "people": others}
        answer["meanwhile"] = [decision_text.as_json(page, row) for row in rows]
        answer |= {"face_id": error.face_id} if isinstance(error, FaceThere) else {}
        return Response.json(answer, status=refusal.status)
    persons = form.numbers("person")
    known = await page.read(people_pages.people_by_id, [*persons, *others])
    values = {
        "message": str(error),
        "meanwhile": [decision_text.sentence(page, row) for row in rows],
        "persons": [known[it] for it in persons if it in known],
        "others": [known[it] for it in others if it in known],
        "taken": isinstance(error, NameTaken),
        "there": isinstance(error, FaceThere),
        "chosen": _chosen(form, error),
        "kept": [it for it in form.kept() if it[0] not in ("name", "to")],
        "entered": _entered(form),
        "seen": seen,
        "here": _here(page),
    }
    return await page.html("decide.html", values, refusal)


async def _meanwhile(page: Page, form: Form) -> list[Row]:
    """What was decided since the form's page was made; nothing for who may not see decisions."""
    if not await may_look_back(page):
        return []
    ids = await page.read(decision_form.meanwhile, form)
    return await page.read(history.of_ids, ids, hidden=True)


def _others(error: DecisionError) -> list[int]:
    if isinstance(error, NameTaken):
        return [error.person_id]
    return error.person_ids if isinstance(error, SeveralOfName) else []


def _chosen(form: Form, error: DecisionError) -> list[int]:
    """The faces that the error is about, to be shown."""
    if isinstance(error, FaceThere):
        return [error.face_id]
    return form.numbers("face")[:CHOSEN_SHOWN]


def _entered(form: Form) -> tuple[str, str] | None:
    """The name that was typed: the field, and what stood in it."""
    field = "name" if form.one("action") == "name" else "to"
    return (field, form.one(field)) if field in form.fields else None
