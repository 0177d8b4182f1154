"""The people of faces, for actors who may see them; and the title of a photo by its people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...store import people_pages
from ...store.gallery import Row
from ..datasette import permissions
from .page import Page

MAX_NAMES = 4
"""Of the people in a photo, in its title."""


async def sees_people(page: Page) -> bool:
    """Whether this actor may see people, and the file has any."""
    may = await permissions.may_view(page.datasette, page.request, page.database, "people")
    return may and bool(await page.read(people_pages.has_people))


async def people_of(page: Page, face_ids: Iterable[int]) -> dict[int, Row]:
    """The person that each of these faces is of, a row of `people`, by the face's id."""
    return (
        await page.read(people_pages.people_of_faces, face_ids) if await sees_people(page) else {}
    )


async def with_people(page: Page, faces: list[Row]) -> list[Row]:
    """Faces with the person that each is of: a row of `people`, or None."""
    known = await people_of(page, [face["face_id"] for face in faces])
    return [{**face, "person": known.get(face["face_id"])} for face in faces]


def person_in_json(face: Row) -> Row:
    """A face `with_people`, as a row of JSON: of its person without what only the pages ask."""
    person = face["person"] and {
        name: value for name, value in face["person"].items() if name != "reserved"
    }
    return {**face, "person": person}


def named_in_json(face: Row) -> Row:
    """A face `with_people`, as a row of JSON says whose it is."""
    person = face["person"] or {}
    rest = {name: value for name, value in face.items() if name != "person"}
    return {**rest, "person_id": person.get("person_id"), "name": person.get("name")}


def photo_title(photo: Row, faces: list[Row]) -> str:
    """What a photo without a name of its own is called: its day, and who is in it."""
    named: list[Any] = [face["person"]["name"] for face in faces if face["person"]]
    names = list(dict.fromkeys(filter(None, named)))
    day = (photo["taken_at"] or "")[:10]
    if len(names) > MAX_NAMES:
        names[MAX_NAMES - 1 :] = [f"{len(names) - MAX_NAMES + 1} more"]
    who = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return ": ".join(filter(None, (day, who))) or "A photograph"
