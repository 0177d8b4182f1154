"""Datasette in the test's own process: ask it for pages as an actor, or with headers."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from datasette.app import Datasette
from datasette.utils import PrefixedUrlString, tilde_encode
from jinja2.bccache import Bucket, BytecodeCache

from datasette_faces.app.datasette.compat import V1
from datasette_faces.store.connection import load_vector_extension, sqlite

QUERY = "/-/query" if V1 else ""
"""What follows a database's address where SQL is run."""


class CompiledTemplates(BytecodeCache):
    """Templates that one Datasette compiled, for the next one; a changed template is compiled again."""

    def __init__(self) -> None:
        self._bytecode: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill the bucket of a template, if it was compiled before."""
        if bucket.key in self._bytecode:
            bucket.bytecode_from_string(self._bytecode[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that was compiled."""
        self._bytecode[bucket.key] = bucket.bytecode_to_string()


COMPILED_TEMPLATES = CompiledTemplates()


class Site:
    """A Datasette of some files, asked without a network."""

    def __init__(self, *paths: Path, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self.datasette = Datasette([str(path) for path in paths], **options)
        self._loop.run_until_complete(self.datasette.invoke_startup())
        templates = self.datasette.get_jinja_environment() if V1 else self.datasette.jinja_env
        templates.bytecode_cache = COMPILED_TEMPLATES
        # Routes are made once, as by a server, not for each request, as by Datasette's own client
        self.datasette.app = cache(self.datasette.app)

    def get(
        self, url: str, *, actor: str | None = None, follow: bool = False, **headers: str
    ) -> Any:
        """The response to GET a path or an address, as it is: base_url is not put before it."""
        return self.run(self.asking("GET", url, actor, headers, follow_redirects=follow))

    def post(
        self, url: str, body: Any, content_type: str, *, actor: str | None = None, **headers: str
    ) -> Any:
        """The response to POST a body: bytes, or what yields them asynchronously."""
        sent = {"content-type": content_type, **headers}
        return self.run(self.asking("POST", url, actor, sent, content=body))

    async def asking(
        self, method: str, url: str, actor: str | None, headers: dict[str, str], **options: Any
    ) -> Any:
        """The response, for several that are asked for at once."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if actor:
            cookie = self.datasette.sign({"a": {"id": actor}}, "actor")
            sent["cookie"] = f"ds_actor={cookie}"
        path = PrefixedUrlString(urlsplit(url)._replace(scheme="", netloc="").geturl())
        ask = getattr(self.datasette.client, method.lower())
        return await ask(path, headers=sent, **options)

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine gives."""
        return self._loop.run_until_complete(what)

    def json(self, path: str, *, status: int = 200) -> Any:
        """The JSON at a path, after a check of its status."""
        response = self.get(path)
        assert response.status_code == status, response.text[:500]
        return response.json()

    def sql(self, database: str, sql: str, **params: Any) -> list[dict[str, Any]]:
        """The rows that the SQL page's JSON gives for a query."""
        address = f"/{tilde_encode(database)}{QUERY}.json"
        asked = urlencode({"sql": sql, "_shape": "array", **params})
        return self.json(f"{address}?{asked}")

    def follow_sql(self, link: str) -> list[dict[str, Any]]:
        """The rows behind a link **View and edit SQL**."""
        parts = urlsplit(link)
        params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = urlencode({**params, "_shape": "array"})
        return self.json(f"{parts.path}.json?{asked}")

    def close(self) -> None:
        """Close the files and end the threads."""
        for database in self.datasette.databases.values():
            database.close()
        if self.datasette.executor:
            self.datasette.executor.shutdown()
        self._loop.close()


@contextmanager
def site(*paths: Path, **options: Any) -> Iterator[Site]:
    """A Site that is closed at the end."""
    served = Site(*paths, **options)
    try:
        yield served
    finally:
        served.close()


@contextmanager
def plain_site(
    *paths: Path, settings: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[Site]:
    """A Site without threads: SQL runs in that of the requests, which takes two thirds of the time.

    For tests that ask much, and in which it does not matter whether one request waits for another.
    """
    with site(*paths, settings={**(settings or {}), "num_sql_threads": 0}, **options) as served:
        yield served


def links_of(text: str) -> set[str]:
    """The addresses of this site that a page links to or shows."""
    return {unescape(link) for link in re.findall(r'(?:href|src)="(/[^"]*)"', text)}


def assert_links_work(served: Site, links: set[str]) -> None:
    """Fail unless something is at each address."""
    for link in links:
        assert served.get(link).status_code < 400, link


def copied(database: Path, to: Path, *statements: str | tuple[str, list[Any]]) -> Path:
    """A copy of a database, changed by these statements."""
    shutil.copy(database, to)
    with closing(sqlite().connect(str(to))) as conn:
        load_vector_extension(conn)
        for statement in statements:
            conn.execute(*((statement,) if isinstance(statement, str) else statement))
        conn.commit()
    return to


def asked(database: Path, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """What SQL gives, asked of the file itself."""
    with closing(sqlite().connect(str(database))) as conn:
        load_vector_extension(conn)
        return conn.execute(sql, params).fetchall()


def ids(rows: list[dict[str, Any]]) -> list[int]:
    """The ids of the faces in rows."""
    return [row["face_id"] for row in rows]


def metadata_with(**settings: Any) -> dict[str, Any]:
    """Metadata with settings of the plugin."""
    return {"plugins": {"datasette-faces": settings}}
