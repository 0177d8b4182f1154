"""Keys of uploaded faces are left out of logs: who has one may search with that face."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote, unquote
from weakref import WeakSet

from ...search.upload_cache import KEY, QueryStore

ACCESS_LOG = "uvicorn.access"
LEFT_OUT = "..."
_SPACE = r"(?:\s|\+|%20|%0[9ad])*"
_CALL = rf"face_query{_SPACE}(?:\(|%28){_SPACE}(?:['\"]|%2[27])"
_PLACES = re.compile(
    rf"((?:[?&](?:key|not|photo)=|/search/(?:face|photo)/|{_CALL})){KEY}", re.IGNORECASE
)
"""Where addresses of ours and of SQL have keys, also such as nobody here knows any more."""
_VALUES = re.compile(rf"(=){KEY}(?=&|\s|$)")
_FUNCTION = "face_query"
_PLAIN = "/?&=:,()'"


class WithoutKeys(logging.Filter):
    """Takes the keys out of the addresses in a log: those that are held, and what looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: WeakSet[QueryStore] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; it is logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._without_keys, record.args))
        return True

    def _without_keys(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        cleaned = self._cleaned(value)
        # A key has no character that needs an escape, but whoever asks may write one
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


def keep_keys_out(store: QueryStore) -> None:
    """Have the web server's log of what was asked for leave out keys, from now on."""
    log = logging.getLogger(ACCESS_LOG)
    known = next((it for it in log.filters if isinstance(it, WithoutKeys)), None)
    if known is None:
        known = WithoutKeys()
        log.addFilter(known)
    known.stores.add(store)


def tells_of_a_face(store: QueryStore, sql: str, params: Any) -> bool:
    """Whether a query, as it would be logged where it fails, names an uploaded face."""
    # A key that is not held here may be another process's
    return _FUNCTION in sql.lower() or bool(store.keys_in(f"{sql} {params}"))
