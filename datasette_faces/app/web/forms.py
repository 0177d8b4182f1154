"""A request's form or JSON object → its fields, within a cap; alike on both Datasette versions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ...store import coerce
from .body import Body, WrongType
from .page import BadRequest

MAX_BYTES = 1_000_000
"""Room for the numbers of 80,000 faces."""
BODY = Body("form", MAX_BYTES, f"The form has over {MAX_BYTES // 1000:,} kB; choose fewer at once")
MAX_FIELDS = 100_000
NOT_KEPT = ("csrftoken", "seen")
"""Fields of one page's form only: the next page has its own."""


@dataclass(frozen=True, slots=True)
class Form:
    """A submitted form: every value of every field, as text."""

    fields: dict[str, list[str]]

    def one(self, name: str) -> str:
        """The last value of a field; an empty text where it is missing."""
        return (self.fields.get(name) or [""])[-1]

    def numbers(self, name: str) -> list[int]:
        """The ids in a field, each once, in order; 4-9 stands for six of them. Raises BadRequest."""
        found: list[int] = []
        for text in self.fields.get(name, []):
            for part in filter(None, text.replace(",", " ").split()):
                found += _range(name, part)
                if len(found) > MAX_FIELDS:
                    raise BadRequest(f"{name} takes at most {MAX_FIELDS:,} numbers")
        return list(dict.fromkeys(found))

    def number(self, name: str) -> int | None:
        """The one id in a field, if there is one. Raises BadRequest."""
        found = self.numbers(name)
        if len(found) > 1:
            raise BadRequest(f"{name} takes one number, not {len(found)}")
        return found[0] if found else None

    def pixels(self, name: str) -> float:
        """A length in a picture. Raises BadRequest."""
        try:
            return float(self.one(name))
        except ValueError:
            raise BadRequest(
                f"{name} takes a number of pixels, not {self.one(name)[:40]!r}"
            ) from None

    def kept(self) -> list[tuple[str, str]]:
        """The fields as names and values, to be sent once more."""
        return [
            (name, value)
            for name, values in self.fields.items()
            if name not in NOT_KEPT
            for value in values
        ]


def _range(name: str, part: str) -> range:
    first, dash, end = part.partition("-")
    start, last = coerce.parse_id(first), coerce.parse_id(end if dash else first)
    if start is None or last is None:
        raise BadRequest(f"{name} takes the numbers of rows, not {part[:40]!r}")
    numbers = range(start, last + 1)
    if len(numbers) > MAX_FIELDS:
        raise BadRequest(f"{name} takes at most {MAX_FIELDS:,} numbers")
    return numbers


async def read_form(request: Any) -> Form:
    """The fields of a request's body. Raises BadRequest, TooLarge, TooLate, WrongType."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/x-www-form-urlencoded", "application/json"):
        raise WrongType("Send a form (application/x-www-form-urlencoded) or JSON")
    body = bytearray()
    await BODY.read(request, body.extend)
    try:
        text = body.decode()
        if content_type == "application/json":
            return Form(_of_json(json.loads(text)))
        return Form(parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The form is broken: {str(error)[:100]}") from None


def _of_json(data: Any) -> dict[str, list[str]]:
    if not isinstance(data, dict):
        raise ValueError("an object is needed")
    every = {name: value if isinstance(value, list) else [value] for name, value in data.items()}
    return {
        name: [str(int(it) if it is True else it) for it in values if it not in (None, False)]
        for name, values in every.items()
    }
