"""What browsers are told about our pages and pictures: which scripts may run, who may embed, no guessing.

A page's Content-Security-Policy allows no script within the page but Datasette's own and those that other
plugins put at its end, each by the hash of its text: a nonce would need Datasette's templates to know it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from datasette import __version__

from . import permissions
from .state import state_of

POLICY = "content-security-policy"
SETTING = "content_security_policy"
PATH = "/-/faces"
"""In the path of each of our own pages."""
DATA_ONLY = "default-src 'none'; frame-ancestors 'none'"
"""The policy of what is no page: a picture or JSON that is opened by itself does nothing at all."""
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    # Addresses hold ids of faces, and keys of uploaded pictures: no other site is told. Not
    # `no-referrer`: with that, browsers do not say either where a form came from
    "referrer-policy": "same-origin",
}
_INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_BLANK = "faces/blank.html"

Headers = dict[str, str]


class Allowed:
    """What the template of one page tells of the scripts and styles that the site has put into it."""

    def __init__(self) -> None:
        self._hashes: set[str] = set()
        self._scripts: set[str] = set()
        self._styles: set[str] = set()

    def note(self, scripts: Iterable[Any], js_urls: Iterable[Any], css_urls: Iterable[Any]) -> str:
        """Take down what other plugins and the site's configuration add; called by the layout."""
        self._hashes |= {_hash(str(it["script"])) for it in scripts or ()}
        self._scripts |= _elsewhere(it["url"] for it in js_urls or ())
        self._styles |= _elsewhere(it["url"] for it in css_urls or ())
        return ""

    def policy(self, own: Iterable[str]) -> str:
        """The policy of the page; own: the hashes of Datasette's scripts."""
        scripts = " ".join(["'self'", *sorted({*own, *self._hashes}), *sorted(self._scripts)])
        styles = " ".join(["'self'", "'unsafe-inline'", *sorted(self._styles)])
        return (
            f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data:; "
            "font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'self'"
        )


async def of_page(datasette: Any, database: str | None, allowed: Allowed) -> Headers:
    """The headers of a page, whose template has told what it allows."""
    chosen = None if database is None else permissions.setting(datasette, database, SETTING)
    if chosen is False:
        return EVERYWHERE
    own = await _scripts_of_datasette(datasette)
    policy = chosen if isinstance(chosen, str) else allowed.policy(own)
    return {**EVERYWHERE, POLICY: policy}


def of_picture(datasette: Any) -> Headers:
    """The headers of a picture: other sites may show it only where `--cors` lets them read data."""
    embedded_by = "cross-origin" if getattr(datasette, "cors", False) else "same-origin"
    return {**EVERYWHERE, POLICY: DATA_ONLY, "cross-origin-resource-policy": embedded_by}


async def _scripts_of_datasette(datasette: Any) -> frozenset[str]:
    """The hashes of the scripts within a page that has no content, and that nobody asked for."""
    state = state_of(datasette)
    if state.scripts is None:
        blank = await datasette.render_template(_BLANK, {}, view_name="faces")
        texts = _INLINE.findall(blank)
        # Datasette 1.0 tells its version in every page, and in those of errors an empty one
        texts += [text.replace(f"'{__version__}'", "''") for text in texts]
        state.scripts = frozenset(map(_hash, texts))
    return state.scripts


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _elsewhere(urls: Iterable[str]) -> set[str]:
    """Addresses on other servers, as a policy names them: without what would end the name there."""
    parts = [urlsplit(str(url)) for url in urls]
    return {
        quote(it._replace(query="", fragment="").geturl(), safe=":/@%~+$!*'()=&")
        for it in parts
        if it.netloc
    }


def wrapped(datasette: Any, app: Any) -> Any:
    """An ASGI application that adds to answers below PATH what they lack: errors are Datasette's pages."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or PATH not in scope["path"]:
            await app(scope, receive, send)
            return
        await app(scope, receive, _adding(datasette, send))

    return asgi


def _adding(datasette: Any, send: Any) -> Callable[[Any], Awaitable[None]]:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers") or [])
            there = {bytes(name).lower().decode("latin-1"): value for name, value in headers}
            lacking = await _lacking(datasette, there)
            headers += [[name.encode(), value.encode()] for name, value in lacking.items()]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _lacking(datasette: Any, there: dict[str, bytes]) -> Headers:
    wanted: Headers = EVERYWHERE
    if not there.get("content-type", b"").startswith(b"text/html"):
        wanted = {**EVERYWHERE, POLICY: DATA_ONLY}
    # A page of our own has what it needs: also where a site wants no policy
    elif "referrer-policy" not in there:
        wanted = await of_page(datasette, None, Allowed())
    return {name: value for name, value in wanted.items() if name not in there}
