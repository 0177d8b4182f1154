"""Keys of uploaded faces are left out of the web server's log: who has one may search with that face."""

from __future__ import annotations

import logging
import re
from typing import Any

ACCESS_LOG = "uvicorn.access"
LEFT_OUT = "..."
_KEY = r"[A-Za-z0-9_-]{16}"
_KEYS = re.compile(
    rf"(?<=[?&]key=){_KEY}|(?<=[?&]not=){_KEY}|(?<=[?&]photo=){_KEY}"
    rf"|(?<=/search/face/){_KEY}|(?<=/search/photo/){_KEY}"
    rf"|(?<=face_query\(%27){_KEY}|(?<=face_query%28%27){_KEY}|(?<=face_query\('){_KEY}"
)
"""Keys as `queries` makes them, where addresses of ours and of SQL have them."""


class WithoutKeys(logging.Filter):
    """Takes the keys out of the addresses in a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; it is logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_keys, record.args))
        return True


def _without_keys(value: Any) -> Any:
    return _KEYS.sub(LEFT_OUT, value) if isinstance(value, str) else value


def keep_keys_out() -> None:
    """Have the web server's log of what was asked for leave out keys, from now on."""
    log = logging.getLogger(ACCESS_LOG)
    if not any(isinstance(it, WithoutKeys) for it in log.filters):
        log.addFilter(WithoutKeys())
