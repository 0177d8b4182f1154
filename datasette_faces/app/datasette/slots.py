"""How much may be in hand at once: so many requests, so many of one client, so many bytes of all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...errors import Busy, ClientBusy

REQUESTS = 32
OF_ONE = 2
"""Of one client: who chooses pictures by hand sends one after another."""
BYTES = 256_000_000
"""Eight of the largest bodies, or hundreds of photographs."""
WAIT = "try again in a moment"

Keep = Callable[[int], None]
"""Counts bytes that a request keeps in memory until it is answered. Raises Busy."""


class Slots:
    """Places for requests with pictures, from their first byte to the answer; for several threads."""

    def __init__(
        self, *, requests: int = REQUESTS, of_one: int = OF_ONE, size_bytes: int = BYTES
    ) -> None:
        self._requests, self._of_one, self._most_bytes = requests, of_one, size_bytes
        self._lock = threading.Lock()
        self._clients: Counter[str] = Counter()
        self._size_bytes = 0

    @contextmanager
    def taken(self, client: str) -> Iterator[Keep]:
        """A place for one request of a client. Raises Busy, or ClientBusy where it has its share."""
        self._begin(client)
        kept_bytes = 0

        def keep(size_bytes: int) -> None:
            nonlocal kept_bytes
            with self._lock:
                if self._size_bytes + size_bytes > self._most_bytes:
                    raise Busy(f"Too many large pictures are uploaded at once; {WAIT}")
                self._size_bytes += size_bytes
                kept_bytes += size_bytes

        try:
            yield keep
        finally:
            self._end(client, kept_bytes)

    def _begin(self, client: str) -> None:
        with self._lock:
            if self._clients[client] >= self._of_one:
                raise ClientBusy(
                    f"{self._of_one} uploads from this address are already in progress"
                )
            if self._clients.total() >= self._requests:
                raise Busy(f"{self._requests} people are uploading pictures already; {WAIT}")
            self._clients[client] += 1

    def _end(self, client: str, kept_bytes: int) -> None:
        with self._lock:
            self._size_bytes -= kept_bytes
            self._clients[client] -= 1
            # Who is not there takes no memory
            if not self._clients[client]:
                del self._clients[client]
