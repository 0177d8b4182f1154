"""Errors of our SQL functions in words: SQLite itself only tells that some function raised one."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...errors import FacesError
from ...search.upload_cache import QueryStore
from ...store.connection import Connection, sqlite
from ..datasette.log_filter import tells_of_a_face

Answer = TypeVar("Answer")

RAISED = "user-defined function raised exception"
"""All that sqlite3 and pysqlite3 say of an exception in a function that Python registered."""
REASON_CHARACTERS = 300
QUOTED_CHARACTERS = 8
"""A reason that repeats so much of a vector that was passed is not told: vectors are biometric data."""

_noted = threading.local()
"""What went wrong in the query that this thread runs: SQLite calls a function in its query's thread."""


def named(name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Have a function's errors told as `name(): reason`, on the page, in its JSON and in the log.

    A FacesError, a ValueError and an error of SQLite give their text as the reason. Others are
    told by their kind, and by their traceback in the log.
    """

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(function)
        def told(*arguments: Any) -> Answer:
            try:
                return function(*arguments)
            except Exception as error:
                _noted.text = f"{name}(): {_reason(error, arguments)}"
                if not isinstance(error, _speaking()):
                    raise
                # Datasette logs what a function raises: what a reason leaves out is not there either
                raise FacesError(_noted.text) from None

        return told

    return decorate


def _reason(error: Exception, arguments: tuple[Any, ...]) -> str:
    text = str(error)
    if not isinstance(error, _speaking()) or not text or _quotes(text, arguments):
        return f"it cannot work with these arguments ({type(error).__name__})"
    return text if len(text) <= REASON_CHARACTERS else f"{text[:REASON_CHARACTERS]}…"


def _speaking() -> tuple[type[Exception], ...]:
    return FacesError, ValueError, sqlite().Error


def _quotes(text: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a text repeats a vector: bytes, or numbers as JSON, as Python's own errors do."""
    shown = [repr(value)[2:-1] for value in arguments if isinstance(value, bytes)]
    shown += [value for value in arguments if isinstance(value, str) and value[:1] == "["]
    return any(value[:QUOTED_CHARACTERS] in text for value in shown if value)


def tell(database: Any) -> None:
    """Have all that a Datasette database reads raise these errors in place of SQLite's own."""
    # Datasette 0.65's execute() reads by execute_fn(), that of 1.0 by _execute_fn()
    name = "_execute_fn" if hasattr(database, "_execute_fn") else "execute_fn"
    reads = getattr(database, name)
    if getattr(reads, "tells", False):
        return

    def execute_fn(function: Callable[[Connection], Answer]) -> Coroutine[Any, Any, Answer]:
        answer: Coroutine[Any, Any, Answer] = reads(_telling(function))
        return answer

    execute_fn.tells = True  # type: ignore[attr-defined]
    setattr(database, name, execute_fn)


def keep_keys_out(database: Any, store: QueryStore) -> None:
    """Have a Datasette database log no query that fails and names an uploaded face."""
    runs = database.execute
    if getattr(runs, "keeps", False):
        return

    @functools.wraps(runs)
    async def execute(sql: str, params: Any = None, *arguments: Any, **options: Any) -> Any:
        if tells_of_a_face(store, sql, params):
            # What may come by position: truncate, the limit of time, the size of a page
            arguments, options = arguments[:3], {**options, "log_sql_errors": False}
        return await runs(sql, params, *arguments, **options)

    execute.keeps = True  # type: ignore[attr-defined]
    database.execute = execute


def _telling(function: Callable[[Connection], Answer]) -> Callable[[Connection], Answer]:
    @functools.wraps(function)
    def run(conn: Connection) -> Answer:
        _noted.text = None
        try:
            return function(conn)
        except sqlite().OperationalError as error:
            if str(error) != RAISED or not _noted.text:
                raise
            raise sqlite().OperationalError(_noted.text) from error

    return run
