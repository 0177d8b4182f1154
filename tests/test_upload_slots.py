"""Places for uploads: one client has its share, and keeps nobody else from uploading."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import serving
from pictures import shipped
from serving import metadata_with, site
from test_limits import SEARCH, post

from datasette_faces.app.web.upload_limits import UploadSlots, limits_of
from datasette_faces.errors import Busy, ClientBusy


def test_a_client_has_its_share_and_another_has_its_own() -> None:
    slots = UploadSlots(max_requests=5, max_of_client=2)
    with ExitStack() as held:
        for client in ("a", "a", "b"):
            held.enter_context(slots.occupy(client))
        with pytest.raises(ClientBusy, match="2 uploads from this address"), slots.occupy("a"):
            pass
        with slots.occupy("b"):
            pass
    with slots.occupy("a"), slots.occupy("a"):
        pass


def test_more_than_all_places_are_refused_and_each_comes_free() -> None:
    slots = UploadSlots(max_requests=3, max_of_client=2)
    with slots.occupy("a"), slots.occupy("b"), slots.occupy("c"):
        with pytest.raises(Busy, match="3 people") as told, slots.occupy("d"):
            pass
        assert not isinstance(told.value, ClientBusy)
    with slots.occupy("d"):
        pass
    assert not slots._clients


def test_all_together_keep_so_many_bytes_and_no_more() -> None:
    slots = UploadSlots(max_bytes=100)
    with slots.occupy("a") as first:
        first(60)
        with slots.occupy("b") as second:
            second(40)
            with pytest.raises(Busy, match="large pictures"):
                second(1)
            with pytest.raises(Busy):
                first(1)
        first(40)
        with pytest.raises(Busy), slots.occupy("b") as second:
            second(1)
    with slots.occupy("a") as first:
        first(100)


def test_threads_together_get_no_more_places() -> None:
    slots = UploadSlots(max_requests=10, max_of_client=2)

    def come(number: int) -> bool:
        with contextlib.suppress(Busy), slots.occupy(str(number % 20)) as keep:
            keep(1)
            time.sleep(0.3)
            return True
        return False

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(come, range(40))) == 10
    assert (slots._size_bytes, len(slots._clients)) == (0, 0)


def test_who_finds_no_place_uses_nothing_up(faces_db: Path) -> None:
    with site(faces_db, metadata=metadata_with(uploads_per_minute=2)) as served:
        limits = limits_of(served.datasette)
        limits.slots = UploadSlots(max_requests=2, max_of_client=1)
        with limits.slots.occupy("127.0.0.1"):
            for ending in ("", ".json"):
                refused = post(served, path=f"/faces/-/faces/search{ending}")
                assert refused.status_code == 429, refused.text
                assert refused.headers["retry-after"] == "2"
                assert "uploads from this address are already in progress" in refused.text
            with limits.slots.occupy("somebody"):
                refused = post(served, actor="ann")
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert [post(served).status_code for _ in range(3)] == [415, 415, 429]
        assert [post(served, actor="ann").status_code for _ in range(3)] == [415, 415, 429]


@contextmanager
def idle(address: str) -> Iterator[socket.socket]:
    """A connection that has sent the first byte of a picture."""
    server = urlsplit(address)
    head = (
        f"POST {SEARCH} HTTP/1.1\r\nHost: {server.netloc}\r\nContent-Type: image/jpeg\r\n"
        "Content-Length: 1000\r\n\r\nx"
    )
    with socket.create_connection((server.hostname, server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        yield connection


def upload(address: str, client: str) -> int:
    """The status of an upload of a client, as the proxy on this machine tells of it."""
    headers = {"content-type": "image/jpeg", "x-forwarded-for": client}
    data = shipped("one face").read_bytes()
    request = urllib.request.Request(f"{address}{SEARCH}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def status(connection: socket.socket) -> int:
    return int(connection.recv(1000).split()[1])


@pytest.mark.slow
def test_a_slow_flood_of_one_client_keeps_nobody_from_uploading(faces_db: Path) -> None:
    with serving(faces_db) as address, ExitStack() as held:
        began = time.monotonic()
        flood = [held.enter_context(idle(address)) for _ in range(12)]
        assert upload(address, "192.0.2.7") == 200
        told = sorted(map(status, flood))
        assert told == [408] * 2 + [429] * 10
        assert time.monotonic() - began < 25
