"""The wall of people, a person's page, and the history of what was decided; each with its JSON."""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import NotFound, Response

from ...store import coerce, people_pages, photo_names, review_queue
from ...store import history as histories
from ...store import people as store
from ...store.gallery import Query, Row
from ...store.people import NOT_A_FACE, Person
from ...store.people_pages import After
from ..datasette import permissions
from . import decision_post, decision_text
from .page import BadRequest, Page, page_view, read_id, row_id, with_links, with_missing

PAGE_PEOPLE = 60
PAGE_FACES = 90
PAGE_DECISIONS = 40
COMPANY = 12
"""People that a person's page shows beside them."""
MAX_QUERY = 200
"""Characters of a part of a name."""


@page_view("people", "faces")
async def people(page: Page) -> Response:
    """Everybody in the photographs, those without a name first; POST decides about several."""
    await decision_post.require_people(page)
    if page.request.method == "POST":
        return await decision_post.handle_post(page)
    counts = await page.read(people_pages.count_people)
    may = await permissions.may_edit(page.datasette, page.request, page.database)
    show, name, after = _show(page, counts, may), _name(page), _after(page)
    query = people_pages.people_query(show, name=name, after=after, limit=PAGE_PEOPLE)
    one_more = query.with_params(limit=PAGE_PEOPLE + 1)
    found = await page.read(people_pages.read_people, one_more)
    shown = found[:PAGE_PEOPLE]
    chosen = {"show": page.request.args.get("show"), "q": name}
    next_url = page.url("/people", **chosen, after=_key(shown[-1])) if found[PAGE_PEOPLE:] else None
    if page.as_json:
        people_json = [_with_urls(page, row) for row in shown]
        return Response.json({"people": people_json, "next_url": _as_json_url(page, next_url)})
    values = {
        "people": shown,
        "counts": counts,
        "to_review": await _to_review(page) if may else 0,
        "show": show,
        "q": name,
        "first_url": page.url("/people", **chosen) if after else None,
        "next_url": next_url,
        "ticked": page.request.args.get("all") == "1",
        "sql_url": await page.sql_url(query),
    }
    return await page.html("people.html", {**await decision_post.context(page), **values})


async def _to_review(page: Page) -> int:
    """How many pairs the queue has for this actor."""
    tables = ("photos", "likely_pairs")
    if not await permissions.may_view(page.datasette, page.request, page.database, *tables):
        return 0
    return await page.read(review_queue.count_pairs)


def _name(page: Page) -> str:
    name: str = (page.request.args.get("q") or "").strip()
    if len(name) > MAX_QUERY:
        raise BadRequest(f"q takes up to {MAX_QUERY} characters")
    return name


def _show(page: Page, counts: dict[str, int], may_edit: bool) -> str:
    """What is asked for; those who may edit begin with the queue, others with whom they may know."""
    if page.request.args.get("hidden") == "1":
        return "hidden"
    show: str = page.request.args.get("show") or ""
    if not show:
        everybody = may_edit or not counts["named"] or page.as_json or page.request.args.get("q")
        return "all" if everybody else "named"
    if show not in people_pages.SHOWN:
        raise BadRequest(f"show takes one of these: {', '.join(people_pages.SHOWN)}")
    return show


def _key(row: Row) -> str:
    return f"{int(row['name'] is not None)}.{row['faces']}.{row['person_id']}"


def _after(page: Page) -> After | None:
    text = page.request.args.get("after") or ""
    if not text:
        return None
    parts = [it for part in text.split(".") if (it := coerce.parse_id(part)) is not None]
    if len(parts) != 3 or text.count(".") != 2:
        raise BadRequest("after takes what next_url has")
    return After(*parts)


def _with_urls(page: Page, row: Row) -> Row:
    face_id = row["face_id"]
    crop = face_id and page.absolute(f"/crop/{face_id}.jpg")
    own = page.absolute(f"/people/{row['person_id']}")
    hidden = {"hidden": bool(row["hidden"])} if "hidden" in row else {}
    return {**row, **hidden, "url": own, "crop_url": crop}


def _as_json_url(page: Page, next_url: str | None) -> str | None:
    if next_url is None:
        return None
    path, _, query = next_url.partition("?")
    address: str = page.datasette.absolute_url(page.request, f"{path}.json?{query}")
    return address


@page_view("people", "faces", "photos")
async def person(page: Page) -> Response:
    """A person: their faces over time, whom they are seen with; POST decides about them."""
    await decision_post.require_people(page)
    found = await _found(page)
    if page.request.method == "POST":
        return await decision_post.handle_post(page)
    if (gone_to := await _gone_to(page, found)) is not None:
        ending = ".json" if page.as_json else ""
        done = page.request.args.get("done")
        return Response.redirect(page.url(f"/people/{gone_to}{ending}", done=done))
    after = read_id(page.request, "after", "the id of a face")
    concealed = found.hidden and page.request.args.get("hidden") != "1"
    query = people_pages.faces_query(found.id, after=after, limit=PAGE_FACES)
    one_more = query.with_params(limit=PAGE_FACES + 1)
    faces = [] if concealed else await page.read(people_pages.read_people, one_more)
    more = faces[PAGE_FACES - 1]["face_id"] if faces[PAGE_FACES:] else None
    hidden = "1" if found.hidden else None
    next_url = more and page.url(f"/people/{found.id}", hidden=hidden, after=more)
    together = (
        [] if concealed else await page.read(people_pages.seen_together, found.id, limit=COMPANY)
    )
    shown = await with_missing(page, faces[:PAGE_FACES])
    values = {"faces": shown, "next_url": next_url, "together": together}
    if page.as_json:
        return _person_json(page, found, values)
    return await page.html(
        "person.html", {**values, **await _person_context(page, found, concealed, query)}
    )


async def _found(page: Page) -> Person:
    person_id = row_id(page.request)
    found: Person | None = await page.read(store.by_id, person_id)
    if found is None:
        raise NotFound(f"There is no person {person_id}")
    return found


async def _gone_to(page: Page, found: Person) -> int | None:
    """Whom somebody was merged into, for those who may see what was decided."""
    if found.faces or not await decision_post.may_look_back(page):
        return None
    gone_to: int | None = await page.read(people_pages.merged_into, found.key)
    return gone_to


async def _person_context(
    page: Page, found: Person, concealed: bool, query: Query
) -> dict[str, Any]:
    hidden = {"hidden": "1"} if found.hidden else {}
    after = page.request.args.get("after")
    context = await decision_post.context(page)
    may = context["may_edit"]
    return {
        **context,
        "person": found,
        "proposal": await _proposal(page, found) if may else None,
        "called": found.name or f"Person {found.id}",
        "reserved": found.key == NOT_A_FACE,
        "concealed": concealed,
        "after": after,
        "ticked": page.request.args.get("all") == "1",
        "first_url": page.url(f"/people/{found.id}", **hidden) if after else None,
        "unhidden_url": page.url(f"/people/{found.id}", hidden="1"),
        "next_unnamed": (
            await page.read(people_pages.next_unnamed, found.faces, found.id) if may else None
        ),
        "sql_url": None if concealed else await page.sql_url(query),
    }


async def _proposal(page: Page, found: Person) -> Any:
    """The name that others say this person may have, for those who may know what was said."""
    if found.name or not await permissions.may_view(
        page.datasette, page.request, page.database, "name_proposals"
    ):
        return None
    return await page.read(photo_names.proposal_of_person, found.id)


def _person_json(page: Page, found: Person, values: dict[str, Any]) -> Response:
    facts = {"person_id": found.id, "name": found.name, "faces": found.faces}
    facts |= {"hidden": found.hidden, "face_id": found.cover_face_id}
    return Response.json(
        {
            "person": _with_urls(page, facts),
            "faces": [with_links(page, face) for face in values["faces"]],
            "together": [_with_urls(page, row) for row in values["together"]],
            "next_url": _as_json_url(page, values["next_url"]),
        }
    )


@page_view("people", "faces", "photos", *decision_post.DECIDED)
async def history(page: Page) -> Response:
    """All that was decided, the newest first; POST undoes and redoes."""
    await decision_post.require_people(page)
    await decision_post.require_decisions(page)
    if page.request.method == "POST":
        return await decision_post.handle_post(page)
    context = await decision_post.context(page)
    before = read_id(page.request, "before", "the number of a decision")
    query = histories.history_query(before=before, limit=PAGE_DECISIONS)
    one_more = query.with_params(limit=PAGE_DECISIONS + 1)
    found = await page.read(histories.read_history, one_more, hidden=context["may_edit"])
    rows, more = found[:PAGE_DECISIONS], found[PAGE_DECISIONS:]
    next_url = page.url("/history", before=rows[-1]["id"]) if more else None
    if page.as_json:
        decisions = [decision_text.as_json(page, row) for row in rows]
        return Response.json({"decisions": decisions, "next_url": _as_json_url(page, next_url)})
    values = {
        "decisions": [decision_text.for_page(page, row) for row in rows],
        "before": before,
        "next_url": next_url,
        "sql_url": await page.sql_url(query),
    }
    return await page.html("history.html", {**context, **values})
