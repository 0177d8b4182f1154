"""What an audit looks at, and what it reports: a catalogue alone, or beside its private file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...store.catalogue import PICTURE_COLUMNS
from ...store.connection import Connection

MAX_EXAMPLES = 5
Row = dict[str, Any]


@dataclass(frozen=True)
class AuditFinding:
    """One check: what it looked for, among how many things, how many leaks it found, and examples."""

    check: str
    looked_for: int
    found: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, check: str, looked_for: int, leaks: Iterable[object]) -> AuditFinding:
        """A finding that counts these leaks, and shows the first MAX_EXAMPLES."""
        listed = [str(leak) for leak in leaks]
        return cls(check, looked_for, len(listed), tuple(listed[:MAX_EXAMPLES]))


@dataclass(frozen=True)
class AuditReport:
    """All findings of an audit, and the options that the catalogue was exported with."""

    findings: tuple[AuditFinding, ...]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def leaks(self) -> int:
        """How many things were found that must not be in the catalogue."""
        return sum(finding.found for finding in self.findings)


@dataclass(frozen=True)
class CatalogueFile:
    """A catalogue on disk: its path, a read-only connection, and its bytes."""

    path: str
    conn: Connection
    data: Any

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """The rows of a query as dictionaries."""
        return read_rows(self.conn, sql)

    def pictures(self) -> Iterator[tuple[str, Any, Any]]:
        """Every picture as (table, id of its row, value of its cell)."""
        for table, column in PICTURE_COLUMNS.items():
            for row_id, data in self.conn.execute(f"select id, {column} from {table} order by id"):
                yield table, row_id, data


@dataclass(frozen=True)
class Catalogue(CatalogueFile):
    """A catalogue beside its private file.

    private: a connection to that file. notes: the options of the export. faces: the private ids of the
    published faces. with_models: whether the models that are here look at the pictures.
    """

    private: Connection
    notes: dict[str, str]
    faces: list[int]
    with_models: bool = True


def pair_by_id(
    rows: Iterable[Row], others: Iterator[Row], *, key: str = "id"
) -> Iterator[tuple[Row, Row | None]]:
    """Each row of a catalogue with the other row whose `key` is its id, or None; none of them is kept.

    Both come in the order of these numbers. An id in a wrong catalogue may be no number.
    """
    other = next(others, None)
    for row in rows:
        row_id = row["id"]
        while other is not None and isinstance(row_id, int | float) and other[key] < row_id:
            other = next(others, None)
        yield row, other if other is not None and other[key] == row_id else None


def read_rows(conn: Connection, sql: str) -> Iterator[dict[str, Any]]:
    """The rows of a query as dictionaries."""
    cursor = conn.execute(sql)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)
