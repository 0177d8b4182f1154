"""What a check reports: a fault or a note, how many rows it is about, and what repairs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

MAX_EXAMPLES = 5

Level = Literal["problem", "note"]


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """A fault, or something worth knowing: how many rows it is about, and a few of them.

    message: the text for any number of rows; one: for a single row, "" where the message names no
    number. level: "note" where the file is sound all the same. fixable: the check's repair handles it.
    mend: what repairs it, or what the repair would do; done: what the repair did. then: a command to
    run on the file afterwards, and its options.
    """

    check: str
    message: str
    count: int
    examples: tuple[str, ...] = ()
    fixable: bool = False
    mend: str = ""
    level: Level = "problem"
    one: str = ""
    done: str = ""
    then: tuple[str, str] | None = None


def report_rows(
    check: str, one: str, many: str, rows: Iterable[object], **options: Any
) -> Iterator[HealthFinding]:
    """One finding about these rows; none where there are no rows.

    one, many: the messages for one row and for several. options: further fields of the finding.
    """
    every = list(rows)
    if every:
        shown = tuple(str(row) for row in every[:MAX_EXAMPLES])
        yield HealthFinding(check, many, len(every), shown, one=one, **options)
