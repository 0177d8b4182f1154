"""A connection that waits for other processes that use its file, and says for whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from ..errors import DatabaseBusy
from .lock_holders import describe_holder

NOTICE_SECONDS = 1.0
"""After so long it is said that something is waited for."""
PAUSE_SECONDS = 0.05
"""Between two attempts, where SQLite gives up at once: it waits for some locks, but not for all."""
LOG = logging.getLogger(__name__)


@cache
def make_patient(base: Any) -> Any:
    """SQLite's class of connections, each statement of which waits while the file is in use.

    SQLite's own waiting leaves out the switch to a write-ahead log, and says nothing. The
    connections have a `path`, `patience_s`, how long each statement waits, 0 for not at all, and
    `attempt_s`, how long SQLite itself waits; `executemany` waits for that alone.
    """

    class PatientConnection(base):  # type: ignore[misc]
        path = ""
        patience_s = attempt_s = 0.0

        def execute(self, *arguments: Any) -> Any:
            return self._wait(super().execute, arguments)

        def executemany(self, *arguments: Any) -> Any:
            # Not twice: rows of a first attempt may be there
            return self._wait(super().executemany, arguments, is_repeatable=False)

        def _wait(
            self, run: Callable[..., Any], arguments: tuple[Any, ...], *, is_repeatable: bool = True
        ) -> Any:
            started = attempted = time.monotonic()
            is_said = False
            while True:
                try:
                    return run(*arguments)
                except UnicodeDecodeError as error:
                    # Of a damaged schema: SQLite quotes it, and Python cannot read what it says
                    said = read_message(error)
                    if "malformed" not in said:
                        said = f"malformed database schema: {said}"
                    raise self.DatabaseError(said) from error
                except self.OperationalError as error:
                    now = time.monotonic()
                    if not (self.patience_s and is_busy(error)) or self._is_stuck(now - attempted):
                        raise
                    if not is_repeatable:
                        raise DatabaseBusy(_give_up(self.path, self.attempt_s)) from error
                    if not is_said and now - started >= NOTICE_SECONDS:
                        LOG.warning("%s", _announce(self.path, self.patience_s))
                        is_said = True
                    if now - started >= self.patience_s:
                        raise DatabaseBusy(_give_up(self.path, self.patience_s)) from error
                time.sleep(PAUSE_SECONDS)
                attempted = time.monotonic()

        def _is_stuck(self, attempted_s: float) -> bool:
            """Whether SQLite gave up at once since two transactions would wait for each other for good."""
            return bool(self.in_transaction) and attempted_s < self.attempt_s / 2

    return PatientConnection


def connect(module: Any, address: str, *, path: str, patience_s: float, **options: Any) -> Any:
    """A connection to a file, which waits so long for other processes."""
    attempt_s = min(NOTICE_SECONDS, patience_s)
    factory = make_patient(module.Connection)
    conn = module.connect(address, timeout=attempt_s, factory=factory, **options)
    conn.path, conn.patience_s, conn.attempt_s = path, patience_s, attempt_s
    return conn


def read_message(error: UnicodeDecodeError) -> str:
    """What SQLite said, of which not every byte is text."""
    return error.object.decode(errors="backslashreplace")


def is_busy(error: Exception) -> bool:
    """Whether an error of SQLite says that another process uses the file."""
    return str(error) == "database is locked"


def _announce(path: str, patience_s: float) -> str:
    return (
        f"{path} is in use by {describe_holder(path)}; waiting until it has ended, "
        f"for {patience_s:g} seconds at most…"
    )


def _give_up(path: str, patience_s: float) -> str:
    return (
        f"{path} is in use by {describe_holder(path)}, and still was after {patience_s:g} seconds; "
        "wait until it has ended, and run the same command again"
    )
