"""Security headers of our pages and pictures: which scripts may run, which sites may embed, no sniffing.

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
from datasette.utils import add_cors_headers, tilde_decode

from . import permissions
from .state import state_of

POLICY = "content-security-policy"
SETTING = "content_security_policy"
PATH = "/-/faces"
"""In the path of each of our own pages."""
GALLERY = ".faces"
"""With which the address of any query's gallery ends."""
READING = ("GET", "HEAD", "OPTIONS")
DATA_ONLY = "default-src 'none'; frame-ancestors 'none'"
"""The policy of what is no page: a picture or JSON that is opened by itself does nothing at all."""
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    # Addresses hold ids of faces, and keys of uploaded pictures: no other site gets them.
    # Not `no-referrer`: with that, browsers do not send the origin of a form either
    "referrer-policy": "same-origin",
}
_INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_BLANK = "faces/blank.html"
_NOTED = "datasette_faces_policy"

Headers = dict[str, str]


class AllowedSources:
    """The scripts and styles that a site adds to one page: its template notes them here."""

    def __init__(self) -> None:
        self._hashes: set[str] = set()
        self._scripts: set[str] = set()
        self._styles: set[str] = set()

    def note(self, scripts: Iterable[Any], js_urls: Iterable[Any], css_urls: Iterable[Any]) -> str:
        """Note what other plugins and the site's configuration add; called by the layout."""
        self._hashes |= {_hash(str(it["script"])) for it in scripts or ()}
        self._scripts |= _other_servers(it["url"] for it in js_urls or ())
        self._styles |= _other_servers(it["url"] for it in css_urls or ())
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


async def page_headers(datasette: Any, database: str | None, allowed: AllowedSources) -> Headers:
    """The headers of a page, with the sources that its template has noted."""
    # No database has an empty name: that gives the general setting
    chosen = permissions.read_setting(datasette, database or "", SETTING)
    if chosen is False:
        return EVERYWHERE
    own = await _scripts_of_datasette(datasette)
    policy = chosen if isinstance(chosen, str) else allowed.policy(own)
    return {**EVERYWHERE, POLICY: policy}


def picture_headers(datasette: Any) -> Headers:
    """The headers of a picture: other sites may show it only where `--cors` lets them read data."""
    embedded_by = "cross-origin" if getattr(datasette, "cors", False) else "same-origin"
    return {**EVERYWHERE, POLICY: DATA_ONLY, "cross-origin-resource-policy": embedded_by}


async def _scripts_of_datasette(datasette: Any) -> frozenset[str]:
    """The hashes of Datasette's own scripts: those of a rendered page without content."""
    state = state_of(datasette)
    if state.scripts is None:
        blank = await datasette.render_template(_BLANK, {}, view_name="faces")
        texts = _INLINE.findall(blank)
        # Datasette 1.0 has its version in every page, and an empty one in error pages
        texts += [text.replace(f"'{__version__}'", "''") for text in texts]
        state.scripts = frozenset(map(_hash, texts))
    return state.scripts


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _other_servers(urls: Iterable[str]) -> set[str]:
    """Addresses on other servers, as a policy names them: without what would end the name there."""
    parts = [urlsplit(str(url)) for url in urls]
    return {
        quote(part._replace(query="", fragment="").geturl(), safe=":/@%~+$!*'()=&")
        for part in parts
        if part.netloc
    }


def wrap_app(datasette: Any, app: Any) -> Any:
    """An ASGI application that adds missing headers to our answers: errors are Datasette's own pages.

    Ours are those below PATH, galleries of any query, and pages whose template calls `faces_policy`.
    """

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        # Datasette copies the scope: what is noted in the list reaches us all the same
        noted: list[AllowedSources] = []
        add_headers = _add_headers(datasette, scope, noted, send)
        await app({**scope, _NOTED: noted}, receive, add_headers)

    return asgi


def policy_function(request: Any) -> Callable[..., str]:
    """The function `faces_policy` of templates: a page that calls it takes our headers."""

    def faces_policy(scripts: Any = (), js_urls: Any = (), css_urls: Any = ()) -> str:
        allowed = AllowedSources()
        if request is not None:
            request.scope.get(_NOTED, []).append(allowed)
        return allowed.note(scripts, js_urls, css_urls)

    return faces_policy


def _add_headers(
    datasette: Any, scope: Any, noted: list[AllowedSources], send: Any
) -> Callable[[Any], Awaitable[None]]:
    ours = PATH in scope["path"] or scope["path"].endswith(GALLERY)

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start" and (ours or noted):
            headers = list(message.get("headers") or [])
            there = {bytes(name).lower().decode("latin-1"): value for name, value in headers}
            own = await _own_headers(datasette, scope, there, noted)
            lacking = {name: value for name, value in own.items() if name not in there}
            headers += [[name.encode(), value.encode()] for name, value in lacking.items()]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _own_headers(
    datasette: Any, scope: Any, there: dict[str, bytes], noted: list[AllowedSources]
) -> Headers:
    if not there.get("content-type", b"").startswith(b"text/html"):
        return {**EVERYWHERE, POLICY: DATA_ONLY, **_for_other_sites(datasette, scope["method"])}
    # A page of our own has what it needs: also where a site wants no policy
    if "referrer-policy" in there:
        return EVERYWHERE
    allowed = noted[-1] if noted else AllowedSources()
    return await page_headers(datasette, _database(datasette, scope["path"]), allowed)


def _for_other_sites(datasette: Any, method: str) -> Headers:
    """The CORS headers of data, where Datasette sends them with its own."""
    headers: Headers = {}
    if getattr(datasette, "cors", False) and method in READING:
        add_cors_headers(headers)
    return {name.lower(): value for name, value in headers.items()}


def _database(datasette: Any, path: str) -> str | None:
    """The database that a path belongs to."""
    within = path.removeprefix(datasette.setting("base_url")).lstrip("/")
    name: str = tilde_decode(within.partition("/")[0].removesuffix(GALLERY))
    return name if name in datasette.databases else None
