"""Keys of uploaded faces are left out of logs: who has one may search with that face."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any
from urllib.parse import quote, unquote
from weakref import WeakSet

from ...search.upload_cache import KEY, UploadCache

ACCESS_LOG = "uvicorn.access"
LEFT_OUT = "..."
_SPACE = r"(?:\s|\+|%20|%0[9ad])*"
_CALL = rf"face_query{_SPACE}(?:\(|%28){_SPACE}(?:['\"]|%2[27])"
_PLACES = re.compile(
    rf"((?:[?&](?:key|not|photo)=|/search/(?:face|photo)/|{_CALL})){KEY}", re.IGNORECASE
)
"""Where our addresses and SQL have keys, expired ones included."""
_VALUES = re.compile(rf"(=){KEY}(?=&|\s|$)")
_FUNCTION = "face_query"
_PLAIN = "/?&=:,()'"


class WithoutKeys(logging.Filter):
    """Takes keys out of the addresses in a log: those in the caches, and what looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: WeakSet[UploadCache] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; it is logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._without_keys, record.args))
        return True

    def _without_keys(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        cleaned = self._cleaned(value)
        # A key has no character that needs an escape, but a client may write one
        plain = unquote(cleaned)
        clean = self._cleaned(plain)
        return cleaned if clean == plain else quote(clean, safe=_PLAIN)

    def _cleaned(self, text: str) -> str:
        text = _PLACES.sub(rf"\1{LEFT_OUT}", text)
        # By whichever name its parameter goes
        if _FUNCTION in text.lower():
            text = _VALUES.sub(rf"\1{LEFT_OUT}", text)
        for store in self.stores:
            for key in store.keys_in(text):
                text = text.replace(key, LEFT_OUT)
        return text


def keep_keys_out(store: UploadCache) -> None:
    """Have the web server's access log leave out keys, from now on."""
    log = logging.getLogger(ACCESS_LOG)
    key_filter = next((item for item in log.filters if isinstance(item, WithoutKeys)), None)
    if key_filter is None:
        key_filter = WithoutKeys()
        log.addFilter(key_filter)
    key_filter.stores.add(store)


def keep_failed_queries_out(database: Any, store: UploadCache) -> None:
    """Have a Datasette database log no failed query that names an uploaded face."""
    execute_logged = database.execute
    if getattr(execute_logged, "keeps_keys_out", False):
        return

    @functools.wraps(execute_logged)
    async def execute(sql: str, params: Any = None, *arguments: Any, **options: Any) -> Any:
        if _names_an_upload(store, sql, params):
            # What may come by position: truncate, the time limit, the page size
            arguments, options = arguments[:3], {**options, "log_sql_errors": False}
        return await execute_logged(sql, params, *arguments, **options)

    execute.keeps_keys_out = True  # type: ignore[attr-defined]
    database.execute = execute


def _names_an_upload(store: UploadCache, sql: str, params: Any) -> bool:
    # A key that is not held here may be another process's
    return _FUNCTION in sql.lower() or bool(store.keys_in(f"{sql} {params}"))
