"""How much one client may ask for in a minute: buckets in memory, so many clients and no more."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

CLIENTS = 10_000
"""Clients that are remembered; of more, who has asked least lately is forgotten. About 2 MB."""
IPV6_PREFIX = 64
"""Bits of an IPv6 address that tell a customer: each has all the addresses below (RFC 6177)."""


class RateLimit:
    """A bucket for each client, which fills evenly: a minute's worth at once, then one by one.

    Safe for use by several threads.
    """

    def __init__(
        self, *, clients: int = CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clients = clients
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
            if len(self._buckets) > self._clients:
                self._buckets.popitem(last=False)
        return max(0.0, lacking * 60 / per_minute)


def network(address: str) -> str:
    """What stands for all the addresses of one client: an IPv4 address, or the network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
