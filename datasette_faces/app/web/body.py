"""A request's body as it comes, within a size and a time: for forms and for uploads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import Base400

from .page import BadRequest

SECONDS = 30.0
"""For the whole body to arrive."""
PATIENCE_SECONDS = 5.0
LEAST_BYTES_PER_SECOND = 16_000
"""On the average, after PATIENCE_SECONDS: a photograph of 0.5 MB takes all of SECONDS. Who sends nothing
keeps a place from others."""


class TooLarge(Base400):  # type: ignore[misc]
    """More than a cap allows."""

    status = 413


class TooLate(Base400):  # type: ignore[misc]
    """The body did not arrive in time."""

    status = 408


class WrongType(Base400):  # type: ignore[misc]
    """A body of a kind that the page does not take."""

    status = 415


@dataclass(frozen=True, slots=True)
class Body:
    """What is read of a request: what it is called to people, how large it may be, how slow."""

    name: str
    most_bytes: int
    too_large: str
    seconds: float = SECONDS
    patience_seconds: float = PATIENCE_SECONDS

    async def read(self, request: Any, take: Callable[[bytes], object]) -> None:
        """Give the body to a function, piece by piece.

        Raises what that raises, TooLarge, TooLate and BadRequest (cut off).
        """
        began, arrived_bytes = time.monotonic(), 0

        def arrive(chunk: bytes) -> None:
            nonlocal arrived_bytes
            arrived_bytes += len(chunk)
            if arrived_bytes > self.most_bytes:
                raise TooLarge(self.too_large)
            take(chunk)

        receiving = asyncio.ensure_future(self._receive(request, arrive))
        try:
            while not receiving.done():
                flowing = self.patience_seconds + arrived_bytes / LEAST_BYTES_PER_SECOND
                left = began + min(self.seconds, flowing) - time.monotonic()
                if left <= 0:
                    raise self._too_late(slow=flowing < self.seconds)
                await asyncio.wait([receiving], timeout=left)
            receiving.result()
        finally:
            receiving.cancel()

    async def _receive(self, request: Any, arrive: Callable[[bytes], None]) -> None:
        more = True
        while more:
            message = await request.receive()
            if message["type"] != "http.request":
                raise BadRequest(f"The {self.name} was cut off; try again")
            arrive(message.get("body", b""))
            more = message.get("more_body", False)

    def _too_late(self, *, slow: bool) -> TooLate:
        if slow:
            return TooLate(
                f"The {self.name} comes too slowly, with less than "
                f"{LEAST_BYTES_PER_SECOND // 1000} kB in a second; try again"
            )
        return TooLate(
            f"The {self.name} did not arrive within {self.seconds:g} seconds; send less at once"
        )
