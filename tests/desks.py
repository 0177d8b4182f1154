"""Somebody who decides about people by the forms of the pages, as a browser sends them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from galleries import make_gallery, random_vectors
from serving import Site

from datasette_faces.app.datasette.compat import V1
from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

FORM = "application/x-www-form-urlencoded"
CLUSTERED = 12
"""Faces 1-4, 5-8 and 9-12 of `make_clustered` are persons 1, 2 and 3."""


def make_clustered(path: Path) -> Path:
    """A database of twelve faces, each in a photo of its own, in three clusters without a name."""
    make_gallery(path, random_vectors(CLUSTERED, 8))
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("update faces set person_id = null")
        conn.execute("delete from people")
        store.propose(conn, {n: f"cluster-{(n - 1) // 4}" for n in range(1, CLUSTERED + 1)})
        store.rebuild(conn)
    return path


class Desk:
    """An actor at a Site: looks at a page, then sends its form."""

    def __init__(self, site: Site, actor: str | None = "root", database: str = "people") -> None:
        self.site, self.actor, self.base = site, actor, f"/{database}/-/faces"
        self._jar: dict[str, str] = {}
        if V1:
            site.datasette.root_enabled = True

    def get(self, path: str, **headers: str) -> Any:
        """A page of the database."""
        return self.site.get(self.base + path, actor=self.actor, **headers)

    def cookies(self, page: Any) -> str:
        """The cookies that a browser would send after it got a page."""
        self._jar |= dict(page.cookies.items())
        found = [f"{name}={value}" for name, value in self._jar.items()]
        if self.actor:
            actor = self.site.datasette.sign({"a": {"id": self.actor}}, "actor")
            found.append(f"ds_actor={actor}")
        return "; ".join(found)

    def fields(self, page: Any) -> dict[str, str]:
        """What goes along with the forms of a page: its token, and what has been seen."""
        found = re.findall(r'name="(csrftoken|seen)" value="([^"]*)"', page.text)
        return {name: unescape(value) for name, value in found}

    def send(self, path: str, looked_at: Any = None, /, **fields: Any) -> Any:
        """The answer to a page's form; the page is looked at right before unless it is given."""
        page = looked_at or self.get(path.replace(".json", ""))
        cookie = self.cookies(page)
        body = urlencode({**self.fields(page), **fields}, doseq=True).encode()
        return self.site.post(self.base + path, body, FORM, cookie=cookie)

    def decide(self, path: str, /, **fields: Any) -> Any:
        """The page that follows a decision, which has to be made."""
        answer = self.send(path, **fields)
        assert answer.status_code == 303, message(answer)
        while "location" in answer.headers:
            answer = self.site.get(answer.headers["location"], actor=self.actor)
        return answer


def message(page: Any) -> str:
    """What a page says of what was done, or why it was not."""
    found = re.search(r'role="(?:alert|status)"[^>]*>(.*?)</(?:p|form)>', page.text, re.S)
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else page.text[-500:]
