"""Every limit on uploads: bytes and parts of one request, uploads at once, pictures in a minute.

The pixels, memory and seconds of analysing one picture, such as a HEIC, are limited in
`app/datasette/upload_options.py`; `media/limits.py` has the higher limits of ingested pictures.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import Base400

from ...errors import Busy, ClientBusy
from ..datasette import permissions
from ..datasette.state import state_of
from .body import SECONDS, Body
from .page import Page

PER_MINUTE_SETTING, HEADER_SETTING = "uploads_per_minute", "client_header"
PER_MINUTE = 60
"""Pictures of one client: more than a person chooses, less than half of what one core analyses."""
MAX_CLIENTS = 10_000
"""Clients whose rate is remembered; then the one that asked longest ago is forgotten. About 2 MB."""
IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a customer, who has all the addresses below (RFC 6177)."""

MAX_REQUESTS = 32
MAX_REQUESTS_OF_CLIENT = 2
"""At once: a person who chooses pictures by hand sends one after another."""
MAX_BYTES = 256_000_000
"""Of all uploads at once: eight of the largest bodies, or hundreds of photographs."""
RETRY_SECONDS = 2
_LATER = "try again in a moment"

CountBytes = Callable[[int], None]
"""Counts bytes that a request keeps in memory until it is answered. Raises Busy."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may bring. Phones send pictures of up to 15 MB; a page sends a few."""

    body_bytes: int = 32_000_000
    pictures: int = 10
    parts: int = 50
    field_bytes: int = 64_000
    """Of all fields together, their names included."""
    header_bytes: int = 8_000
    """Of one part of a form."""
    seconds: float = SECONDS

    @property
    def body(self) -> Body:
        """What is read of a request."""
        most_mb = self.body_bytes // 1_000_000
        too_large = f"The upload has over {most_mb} MB; send smaller pictures, or fewer"
        return Body("upload", self.body_bytes, too_large, self.seconds)


REQUEST_LIMITS = RequestLimits()


class TooManyUploads(Base400):  # type: ignore[misc]
    """More uploads of one client than the limit allows."""

    status = 429

    def __init__(self, seconds: float, why: str = "Too many uploads from here") -> None:
        """seconds: until the next may come."""
        wait = math.ceil(seconds)
        super().__init__(f"{why}: try again in {wait} seconds")
        self.headers = {"retry-after": str(wait)}


class RateLimit:
    """A bucket for each client, which fills evenly: a minute's worth at once, then one by one.

    Safe for use by several threads.
    """

    def __init__(
        self, *, max_clients: int = MAX_CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_clients = max_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, count: int = 1, *, per_minute: float) -> float:
        """Take so many from a client's bucket; 0, or the seconds until there will be enough.

        More than a minute's worth counts as a minute's worth. What is not given is not taken.
        """
        # Less than one in a minute is one after more than a minute
        size = max(1, per_minute)
        count = min(count, int(size))
        with self._lock:
            now = self._clock()
            left, at = self._buckets.pop(client, (size, now))
            left = min(size, left + (now - at) * per_minute / 60)
            lacking = count - left
            self._buckets[client] = (left if lacking > 0 else left - count, now)
            if len(self._buckets) > self._max_clients:
                self._buckets.popitem(last=False)
        return max(0.0, lacking * 60 / per_minute)


class UploadSlots:
    """Slots for uploads, from their first byte to the answer. Safe for use by several threads."""

    def __init__(
        self,
        *,
        max_requests: int = MAX_REQUESTS,
        max_of_client: int = MAX_REQUESTS_OF_CLIENT,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._max_requests, self._max_of_client = max_requests, max_of_client
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._clients: Counter[str] = Counter()
        self._size_bytes = 0

    @contextmanager
    def occupy(self, client: str) -> Iterator[CountBytes]:
        """A slot for one request of a client. Raises Busy, or ClientBusy where it has its share."""
        self._begin(client)
        counted_bytes = 0

        def count_bytes(size_bytes: int) -> None:
            nonlocal counted_bytes
            with self._lock:
                if self._size_bytes + size_bytes > self._max_bytes:
                    raise Busy(f"Too many large pictures are uploaded at once; {_LATER}")
                self._size_bytes += size_bytes
                counted_bytes += size_bytes

        try:
            yield count_bytes
        finally:
            self._end(client, counted_bytes)

    def _begin(self, client: str) -> None:
        with self._lock:
            if self._clients[client] >= self._max_of_client:
                raise ClientBusy(
                    f"{self._max_of_client} uploads from this address are already in progress"
                )
            if self._clients.total() >= self._max_requests:
                raise Busy(f"{self._max_requests} people are uploading pictures already; {_LATER}")
            self._clients[client] += 1

    def _end(self, client: str, counted_bytes: int) -> None:
        with self._lock:
            self._size_bytes -= counted_bytes
            self._clients[client] -= 1
            # A client without an upload takes no memory
            if not self._clients[client]:
                del self._clients[client]


class UploadLimits:
    """The limits of one server, with what they have counted."""

    def __init__(self) -> None:
        self.rate = RateLimit()
        self.slots = UploadSlots()


def limits_of(datasette: Any) -> UploadLimits:
    """The upload limits of a Datasette, made on first use."""
    return state_of(datasette).part(UploadLimits)


@contextmanager
def occupy_slot(page: Page) -> Iterator[CountBytes]:
    """A slot for an upload, until the request is answered. Raises TooManyUploads; Busy.

    A request that gets none does not count in `check_rate`.
    """
    try:
        with limits_of(page.datasette).slots.occupy(client_of(page)) as count_bytes:
            yield count_bytes
    except ClientBusy as error:
        raise TooManyUploads(RETRY_SECONDS, str(error)) from None


def check_rate(page: Page, pictures: int = 1) -> None:
    """Count uploaded pictures of a request's client. Raises TooManyUploads."""
    per_minute = permissions.read_setting(page.datasette, page.database, PER_MINUTE_SETTING)
    # A database that is added later may have a setting that was never checked
    if per_minute is True or not isinstance(per_minute, int | float):
        per_minute = PER_MINUTE
    if per_minute <= 0:
        return
    rate = limits_of(page.datasette).rate
    seconds = rate.take(client_of(page), pictures, per_minute=per_minute)
    if seconds:
        raise TooManyUploads(seconds)


def client_of(page: Page) -> str:
    """The client: an actor, wherever they are; else the address, or the one in the proxy's header.

    Without the setting, the address is the one that uvicorn gives; uvicorn believes `X-Forwarded-For`
    of proxies on the same machine, and of those in FORWARDED_ALLOW_IPS.
    """
    actor: Any = (page.request.actor or {}).get("id")
    if actor is not None:
        return f"actor {actor}"[:200]
    header = permissions.read_setting(page.datasette, page.database, HEADER_SETTING)
    if header and (addresses := page.request.headers.get(str(header).lower(), "")):
        return client_network(addresses.rpartition(",")[2].strip())
    client = page.request.scope.get("client")
    return client_network(str(client[0])) if client else "no address"


def client_network(address: str) -> str:
    """What stands for all addresses of one client: an IPv4 address, or the network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
