"""The plugin's settings, and what each takes. A wrong one stops the server from starting.

The rules under `permissions` are checked by the module of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasette.utils import StartupError

from .permissions import PLUGIN

PER_MINUTE = (0.001, 1_000_000)
"""The least and the most that `uploads_per_minute` takes besides 0: one in 17 hours, and any number."""
SHOWN = ("publisher", "contact", "takedown", "about")
"""The facts about the publisher in `site`."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name: RFC 9110, 5.6.2."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting takes, in words, and whether a value fits."""

    takes: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_folders(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_rate(value: Any) -> bool:
    if not isinstance(value, int | float):
        return False
    # True is the rate that holds without the setting; NaN is no number here
    return isinstance(value, bool) or value == 0 or PER_MINUTE[0] <= value <= PER_MINUTE[1]


def _is_policy(value: Any) -> bool:
    printed = _is_text(value) and value.isascii() and value.isprintable()
    return isinstance(value, bool) or printed


def _is_site(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(
        name in SHOWN and isinstance(text, str | int | float | None) for name, text in value.items()
    )


SETTINGS = {
    "permissions": Setting("rules", lambda value: True),
    "serve_originals": Setting("true or false", lambda value: isinstance(value, bool)),
    "originals_folders": Setting("a folder, or a list of folders", _are_folders),
    "packs": Setting("a folder, or a list of folders", _are_folders),
    "uploads_per_minute": Setting("a number, like 10 or 0.5; 0 for no limit", _is_rate),
    "client_header": Setting(
        "the name of a header, like fly-client-ip",
        lambda value: isinstance(value, str) and bool(_HEADER.fullmatch(value)),
    ),
    "content_security_policy": Setting(
        "true, false, or a policy in one line (in YAML, >- joins several)", _is_policy
    ),
    "site": Setting(f"{', '.join(SHOWN)}, each a text", _is_site),
}


def check_settings(datasette: Any) -> None:
    """Raise StartupError for an unknown setting or a value that it does not take.

    A setting with a typo would leave open what it should close.
    """
    _check("", datasette.plugin_config(PLUGIN))
    for name in datasette.databases:
        own = datasette.plugin_config(PLUGIN, database=name, fallback=False)
        _check(f" of {name}", own)


def _check(where: str, settings: Any) -> None:
    if settings is not None and not isinstance(settings, dict):
        raise StartupError(f"{PLUGIN}: the settings{where} are names with values")
    for name, value in (settings or {}).items():
        if name not in SETTINGS:
            known = ", ".join(SETTINGS)
            raise StartupError(f"{PLUGIN}: no setting{where} is {name}; known: {known}")
        if not SETTINGS[name].fits(value):
            shown = repr(value)[:60]
            raise StartupError(f"{PLUGIN}: {name}{where} takes {SETTINGS[name].takes}, not {shown}")
