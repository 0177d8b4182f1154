"""Serve a file with Datasette in a process of its own, and open its gallery in a browser."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path

from ...errors import DatabaseError
from ...store import file_names
from .compat import V1

HOST = "127.0.0.1"
START_SECONDS = 30
PORTS_TRIED = 20


def gallery_path(database: str) -> str:
    """The gallery's path in a Datasette that serves this file."""
    from datasette.utils import tilde_encode

    name = Path(database).stem
    if name == "_internal" and not V1:
        # That one has its own of this name
        name = "_internal_2"
    return f"/{tilde_encode(name)}/-/faces"


def serve(database: str, *, port: int, announce: Callable[[str], None]) -> int:
    """Serve until Ctrl-C, on `port` or the next free one; the server's exit status.

    Raises DatabaseError where Datasette cannot open a file of this name.
    """
    way = file_names.find_way_to_open(database)
    if way is None:
        raise DatabaseError(file_names.explain_renaming(database))
    folder, name = way
    port = _free_port(port)
    address = f"http://{HOST}:{port}{gallery_path(database)}"
    command = [sys.executable, "-m", "datasette", "serve", "--port", str(port), "--", name]
    with subprocess.Popen(command, cwd=folder) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        try:
            if _is_up(server, port):
                announce(f"The gallery: {address} (Ctrl-C ends it)")
                webbrowser.open(address)
            return server.wait()
        except KeyboardInterrupt:
            # Ctrl-C reaches the server as well, which ends by itself
            return server.wait()


def _free_port(first: int) -> int:
    for port in range(first, first + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    return first


def _is_up(server: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False
