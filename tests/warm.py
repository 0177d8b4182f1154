"""A Python that has imported Datasette and the plugin already: commands begin at once in forks of it.

It has one thread, and has used neither the plugin nor multiprocessing: so a command finds what a process
that began from nothing would find.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

MODULES = (
    "datasette.cli",
    "uvicorn",
    "toy_model",
    "datasette_faces.app.cli.ingest",
    "datasette_faces.library.ingest.run",
)
MAX_REQUEST_BYTES = 1_000_000


class WarmProcess:
    """A command that runs in a fork; as a subprocess.Popen with pipes of text."""

    def __init__(self, pid: int, stdout: IO[str] | None, stderr: IO[str], status: IO[str]) -> None:
        self.pid, self.stdout, self.stderr, self._status = pid, stdout, stderr, status
        self.returncode: int | None = None
        self._ended = threading.Thread(target=self._read_status, daemon=True)
        self._ended.start()

    def _read_status(self) -> None:
        self.returncode = int(self._status.readline() or -signal.SIGKILL)
        self._status.close()

    def poll(self) -> int | None:
        """The exit status, if it has ended; negative: by this signal."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, when it has ended. Raises TimeoutExpired."""
        self._ended.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still prints, when it has ended. Raises TimeoutExpired."""
        printed: dict[str, str] = {}

        def read(name: str, pipe: IO[str]) -> None:
            with pipe:
                printed[name] = pipe.read()

        pipes = {"stdout": self.stdout, "stderr": self.stderr}
        readers = [
            threading.Thread(target=read, args=item, daemon=True)
            for item in pipes.items()
            if item[1]
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return printed.get("stdout", ""), printed["stderr"]


def begin(
    script: str,
    *arguments: object,
    stdout: IO[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> WarmProcess | subprocess.Popen[str]:
    """Run a Python file, or a module, in a session of its own; its stdout is a pipe, or goes into a file.

    Where a fork is not safe, or not there, it begins from nothing.
    """
    if sys.platform != "linux":
        command = [sys.executable, *([] if os.path.isfile(script) else ["-m"]), script]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        )
    return _begin_warm(script, arguments, stdout, os.environ if env is None else env)


def _begin_warm(
    script: str, arguments: tuple[object, ...], stdout: IO[str] | None, env: Mapping[str, str]
) -> WarmProcess:
    request: dict[str, Any] = {
        "script": script,
        "arguments": [*map(str, arguments)],
        "cwd": os.getcwd(),
    }
    request["env"] = dict(env)
    out_read, out_write = (None, os.dup(stdout.fileno())) if stdout else os.pipe()
    err_read, err_write = os.pipe()
    status_read, status_write = os.pipe()
    ends = [out_write, err_write, status_write]
    socket.send_fds(_parent(), [json.dumps(request).encode()], ends)
    for end in ends:
        os.close(end)
    status = os.fdopen(status_read)
    pid = int(status.readline())
    out = None if out_read is None else os.fdopen(out_read)
    return WarmProcess(pid, out, os.fdopen(err_read), status)


@cache
def _parent() -> socket.socket:
    """The warm Python of this process, which ends with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_REQUEST_BYTES)
    with its:
        subprocess.Popen([sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()])
    return ours


def main() -> None:
    """Import what commands need, then fork for each request that comes."""
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _watch(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: dict[str, Any], stdout: int, stderr: int, status: int) -> None:
    """In a fork: have a fork of its own run the command, and say its id, then how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        _run(**request)
    for descriptor in (stdout, stderr):
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    _, how = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(how)}\n".encode())
    os._exit(0)


def _run(script: str, arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    run = runpy.run_path if os.path.isfile(script) else runpy.run_module
    run(script, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    main()
