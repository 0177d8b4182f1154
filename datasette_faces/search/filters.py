"""The filters of a search, as names and values that people write: in SQL, in an address."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from typing import Any

from ..errors import SearchError
from ..store import coerce
from ..store.embeddings import SearchFilters

NO_FILTERS = SearchFilters()
DAY = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
"""A day, a month or a year of ISO 8601."""
TRUTHS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def parse_filters(options: object) -> SearchFilters:
    """The filters of a dict of names and values. Raises SearchError."""
    if not isinstance(options, dict):
        raise SearchError(
            'the options are a JSON object, like {"threshold": 0.4, "folder": "/a/b"}'
        )
    known = {field.name for field in fields(SearchFilters)}
    if unknown := sorted(set(options) - known):
        raise SearchError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if value not in (None, "")}
    try:
        return SearchFilters(**{name: _PARSERS[name](value) for name, value in given.items()})
    except (TypeError, ValueError):
        raise SearchError(f"the options make no sense: {json.dumps(given)}") from None


def parse_filters_json(text: str | None) -> SearchFilters:
    """The filters of a JSON object; none of an empty text. Raises SearchError."""
    if text in (None, ""):
        return NO_FILTERS
    try:
        options = json.loads(str(text))
    except (ValueError, RecursionError):
        options = None
    return parse_filters(options)


def filters_as_json(filters: SearchFilters) -> str | None:
    """Filters as `parse_filters_json` reads them; None where nothing is filtered."""
    given = {
        item.name: getattr(filters, item.name)
        for item in fields(SearchFilters)
        if getattr(filters, item.name) != item.default
    }
    return json.dumps(given) if given else None


def parse_day(value: object) -> str:
    """A day, a month or a year of ISO 8601 that exists. Raises ValueError."""
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise ValueError
    # The first day of a year or a month
    date.fromisoformat(f"{value}-01-01"[:10])
    return value


def _parse_similarity(value: object) -> float:
    number = float(str(value))
    if not -1 <= number <= 1:
        raise ValueError
    return number


def _parse_path(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _parse_id(value: object) -> int:
    row_id = coerce.parse_id(str(value))
    if row_id is None:
        raise ValueError
    return row_id


def _parse_truth(value: object) -> bool:
    if str(value).lower() not in TRUTHS:
        raise ValueError
    return TRUTHS[str(value).lower()]


_PARSERS: dict[str, Callable[[object], Any]] = {
    "threshold": _parse_similarity,
    "taken_from": parse_day,
    "taken_to": parse_day,
    "folder": _parse_path,
    "person_id": _parse_id,
    "hidden": _parse_truth,
}
