"""The review queue: are these two the same person? One pair at a time, or several at once."""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import Response

from ...search import probability
from ...store import people_pages, review_queue
from ...store.connection import Connection
from ...store.review_queue import LastPair
from . import decision_post
from .page import BadRequest, Page, page_view

STRIP = 8
"""Faces that stand for each of the two."""
SEVERAL = 20
"""Pairs on a page of several, and FEW faces for each."""
FEW = 4
TICKED = 0.95
"""Pairs that are one person with this chance are ticked beforehand, to be looked over."""
MAX_KEY = 200


@page_view("people", "faces", "photos", "likely_pairs")
async def review(page: Page) -> Response:
    """Two people who may be one, the likeliest first; POST says whether they are."""
    await decision_post.require_people(page)
    await decision_post.require_decisions(page)
    if page.request.method == "POST":
        return await decision_post.handle_post(page)
    several = page.request.args.get("several") == "1"
    limit = SEVERAL if several or page.as_json else 1
    found = await page.read(_read, _after(page), limit, FEW if limit > 1 else STRIP)
    shown, more = found["pairs"][:limit], found["pairs"][limit:]
    beyond = _next(page, shown[-1], several) if shown else None
    next_url = beyond if more else None
    if page.as_json:
        return Response.json({"pairs": [_as_json(page, it) for it in shown], "next_url": next_url})
    values = {
        "pairs": shown,
        "several": several,
        "ticked": TICKED,
        "model": shown[0]["model_id"] if shown else None,
        "next_url": next_url,
        "beyond_url": beyond,
        "first_url": page.url("/review", several="1" if several else None)
        if found["left"]
        else None,
    }
    return await page.html("review.html", {**await decision_post.context(page), **values})


def _read(conn: Connection, after: LastPair | None, limit: int, faces: int) -> dict[str, Any]:
    """So many pairs and one more, each with both people, their best faces and the chance.

    left: whether there are none beyond `after`, and some before it.
    """
    pairs = review_queue.queue(conn, after=after, limit=limit + 1)
    ids = [it[name] for it in pairs for name in ("first_id", "second_id")]
    known, best = people_pages.people_by_id(conn, ids), review_queue.best_faces(conn, ids, faces)
    curves = probability.CurveCache()
    for pair in pairs:
        curve = curves.read(conn, pair["model_id"])
        pair["probability"] = probability.estimate(curve, pair["similarity"])
        pair["people"] = [
            {**known[it], "best": best[it]} for it in (pair["first_id"], pair["second_id"])
        ]
    left = after is not None and not pairs and bool(review_queue.queue(conn, limit=1))
    return {"pairs": pairs, "left": left}


def _next(page: Page, pair: dict[str, Any], several: bool) -> str:
    after = f"{pair['similarity']!r},{pair['first_key']},{pair['second_key']}"
    ending = ".json" if page.as_json else ""
    address: str = page.url(f"/review{ending}", several="1" if several else None, after=after)
    return address


def _after(page: Page) -> LastPair | None:
    text = page.request.args.get("after") or ""
    if not text:
        return None
    parts = text.split(",")
    try:
        similarity = float(parts[0])
    except ValueError:
        similarity = float("nan")
    if len(parts) != 3 or not -2 < similarity < 2 or len(text) > MAX_KEY:
        raise BadRequest("after takes what next_url has")
    return LastPair(similarity, parts[1], parts[2])


def _as_json(page: Page, pair: dict[str, Any]) -> dict[str, Any]:
    people = [
        {
            "person_id": it["person_id"],
            "name": it["name"],
            "faces": it["faces"],
            "best_face_ids": it["best"],
            "url": page.absolute(f"/people/{it['person_id']}"),
        }
        for it in pair["people"]
    ]
    facts = {name: pair[name] for name in ("similarity", "probability", "model_id")}
    return {"people": people, **facts}
