"""A select statement as a value: columns and clauses in lists, put together as text once, never edited."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from textwrap import indent

LINE_CHARACTERS = 100
INDENT = "    "


@dataclass(frozen=True, slots=True)
class Select:
    """The parts of a select statement; parameters are bound by name, so values never get into it.

    columns: expressions, each with ` as ` and its name where it is not a column. where: conditions
    that all hold. order_by, limit: as after those words; empty for none.
    """

    columns: tuple[str, ...]
    source: str
    where: tuple[str, ...] = ()
    order_by: str = ""
    limit: str = ""

    def without(self, *names: str) -> Select:
        """The same without the columns of these names."""
        return replace(
            self, columns=tuple(column for column in self.columns if _name(column) not in names)
        )

    def filtered(self, *conditions: str) -> Select:
        """The same with more conditions."""
        return replace(self, where=(*self.where, *conditions))

    @property
    def sql(self) -> str:
        """The statement as text, a clause on each line."""
        return _render(self)

    @property
    def nested(self) -> str:
        """The statement in parentheses, for another one."""
        return f"(\n{indent(self.sql, INDENT)}\n)"


@lru_cache(512)
def _render(select: Select) -> str:
    """The text of a statement; pages ask for few different ones, again and again."""
    clauses = [f"select {_wrap(select.columns)}", f"from {select.source}"]
    if select.where:
        clauses.append("where " + f"\n{INDENT}and ".join(select.where))
    if select.order_by:
        clauses.append(f"order by {select.order_by}")
    if select.limit:
        clauses.append(f"limit {select.limit}")
    return "\n".join(clauses)


def _name(column: str) -> str:
    """What a column is called in the result."""
    return column.rpartition(" as ")[2].rpartition(".")[2]


def _wrap(columns: Iterable[str]) -> str:
    """Columns on as few lines as hold them; none is broken."""
    lines = [""]
    for column in columns:
        if lines[-1] and len(lines[-1]) + len(column) > LINE_CHARACTERS:
            lines.append("")
        lines[-1] += f", {column}" if lines[-1] else column
    return f",\n{INDENT}".join(lines)
