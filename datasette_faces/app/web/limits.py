"""Who uploads too much: limits by client, before a byte of the body is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datasette.utils.asgi import Base400

from ...errors import ClientBusy
from ..datasette import permissions, rates
from ..datasette.slots import Keep
from ..datasette.state import state_of
from .page import Page

RETRY_SECONDS = 2
PER_MINUTE = 60
"""Pictures of one client: more than a person chooses, less than half of what one core looks at."""
SETTING, HEADER = "uploads_per_minute", "client_header"


class TooMany(Base400):  # type: ignore[misc]
    """More uploads of one client than the limit allows."""

    status = 429

    def __init__(self, seconds: float, why: str = "Too many uploads from here") -> None:
        """seconds: until the next may come."""
        wait = math.ceil(seconds)
        super().__init__(f"{why}: try again in {wait} seconds")
        self.headers = {"retry-after": str(wait)}


@contextmanager
def slot(page: Page) -> Iterator[Keep]:
    """A place among the uploads, until the request is answered. Raises TooMany; Busy.

    Who finds none has nothing counted by `check`.
    """
    try:
        with state_of(page.datasette).slots.taken(client_of(page)) as keep:
            yield keep
    except ClientBusy as error:
        raise TooMany(RETRY_SECONDS, str(error)) from None


def check(page: Page, pictures: int = 1) -> None:
    """Count uploaded pictures of a request's client. Raises TooMany."""
    per_minute = permissions.setting(page.datasette, page.database, SETTING)
    # A database that is added later may have a setting that nobody has looked at
    if per_minute is True or not isinstance(per_minute, int | float):
        per_minute = PER_MINUTE
    if per_minute <= 0:
        return
    seconds = state_of(page.datasette).rates.take(client_of(page), pictures, per_minute=per_minute)
    if seconds:
        raise TooMany(seconds)


def client_of(page: Page) -> str:
    """Who asks: an actor, wherever they are; else the address, or what the proxy's header says of it.

    Without the setting, the address is the one that uvicorn tells; it believes `X-Forwarded-For` of
    proxies on the same machine, and of those in FORWARDED_ALLOW_IPS.
    """
    actor: Any = (page.request.actor or {}).get("id")
    if actor is not None:
        return f"actor {actor}"[:200]
    header = permissions.setting(page.datasette, page.database, HEADER)
    if header and (told := page.request.headers.get(str(header).lower(), "")):
        return rates.network(told.rpartition(",")[2].strip())
    client = page.request.scope.get("client")
    return rates.network(str(client[0])) if client else "no address"
