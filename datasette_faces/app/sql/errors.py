"""Errors of our SQL functions with their reason: SQLite itself only says that a function raised one."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...errors import FacesError
from ...store.connection import Connection, explain_damage, is_damaged, sqlite

Answer = TypeVar("Answer")

RAISED = "user-defined function raised exception"
"""All that sqlite3 and pysqlite3 say of an exception in a function that Python registered."""
REASON_CHARACTERS = 300
QUOTED_CHARACTERS = 8
"""A reason that repeats so much of a passed vector is not shown: vectors are biometric data."""

_last_error = threading.local()
"""The last error of the query that this thread runs: SQLite calls a function in its query's thread."""


def named(name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """A decorator: a function's errors read `name(): reason`, on the page, in JSON and in the log.

    A FacesError, a ValueError and an error of SQLite give their text as the reason. Others give
    their class, and their traceback in the log.
    """

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Answer:
            try:
                return function(*arguments)
            except Exception as error:
                _last_error.text = f"{name}(): {_reason(error, arguments)}"
                if not isinstance(error, _with_a_reason()):
                    raise
                # Datasette logs what a function raises: what a reason leaves out is not there either
                raise FacesError(_last_error.text) from None

        return call

    return decorate


def _reason(error: Exception, arguments: tuple[Any, ...]) -> str:
    text = str(error)
    if not isinstance(error, _with_a_reason()) or not text or _quotes(text, arguments):
        return f"it cannot work with these arguments ({type(error).__name__})"
    return text if len(text) <= REASON_CHARACTERS else f"{text[:REASON_CHARACTERS]}…"


def _with_a_reason() -> tuple[type[Exception], ...]:
    return FacesError, ValueError, sqlite().Error


def _quotes(text: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a text repeats a vector: bytes, or numbers as JSON, as Python's own errors do."""
    shown = [repr(value)[2:-1] for value in arguments if isinstance(value, bytes)]
    shown += [value for value in arguments if isinstance(value, str) and value[:1] == "["]
    return any(value[:QUOTED_CHARACTERS] in text for value in shown if value)


def show_reasons(database: Any) -> None:
    """Have every read of a Datasette database raise these errors in place of SQLite's own.

    Those of a damaged file say so, and the way out; Python cannot read SQLite's own words for some.
    """
    # Datasette 0.65's execute() reads by execute_fn(), that of 1.0 by _execute_fn()
    name = "_execute_fn" if hasattr(database, "_execute_fn") else "execute_fn"
    reads = getattr(database, name)
    file_name = os.path.basename(database.path or database.name)
    if getattr(reads, "shows_reasons", False):
        return

    def execute_fn(function: Callable[[Connection], Answer]) -> Coroutine[Any, Any, Answer]:
        answer: Coroutine[Any, Any, Answer] = reads(_with_reasons(function, file_name))
        return answer

    execute_fn.shows_reasons = True  # type: ignore[attr-defined]
    setattr(database, name, execute_fn)


def _with_reasons(
    function: Callable[[Connection], Answer], file_name: str
) -> Callable[[Connection], Answer]:
    @functools.wraps(function)
    def run(conn: Connection) -> Answer:
        _last_error.text = None
        try:
            return function(conn)
        except UnicodeDecodeError as error:
            if not is_damaged(error):
                raise
            raise sqlite().DatabaseError(explain_damage(file_name, error)) from error
        except sqlite().OperationalError as error:
            if str(error) != RAISED or not _last_error.text:
                raise
            raise sqlite().OperationalError(_last_error.text) from error
        except sqlite().DatabaseError as error:
            if not is_damaged(error):
                raise
            raise sqlite().DatabaseError(explain_damage(file_name, error)) from error

    return run
