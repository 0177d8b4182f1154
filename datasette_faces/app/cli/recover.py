"""`doctor --recover`: saves what can be read of a damaged database, and says what was lost."""

from __future__ import annotations

import json
import sys
import time
from typing import NoReturn

import click

from ...library.health import recover
from ...library.health.recover import RecoveredFile, SavedTable
from ...store.file_names import quote_for_shell
from .group import counted, printable


def save_recovered(database: str, out: str, *, as_json: bool) -> NoReturn:
    """Save it, say what was saved, and exit: 0 if nothing is lost, 1 if something is."""
    started = time.monotonic()
    recovered = recover.recover(database, out)
    if as_json:
        click.echo(json.dumps(_as_json(recovered, out, time.monotonic() - started)))
    else:
        for line in _in_lines(recovered, out):
            click.echo(line)
    sys.exit(0 if recovered.is_complete else 1)


def _as_json(recovered: RecoveredFile, out: str, seconds: float) -> dict[str, object]:
    tables = [
        {
            "table": it.table,
            "saved": it.saved,
            "lost": it.lost,
            "at_least": not it.is_certain,
            "incomplete": it.incomplete,
        }
        for it in recovered.tables
    ]
    return {
        "ok": recovered.is_complete,
        "file": out,
        "tables": tables,
        "not_made": list(recovered.not_made),
        "problems": recovered.problems,
        "seconds": round(seconds, 2),
    }


def _in_lines(recovered: RecoveredFile, out: str) -> list[str]:
    lines = [printable(_in_words(it)) for it in recovered.tables if it.saved or not it.is_complete]
    lines += [f"not saved: {printable(name)}" for name in recovered.not_made]
    lines.append(
        f"{printable(out)} has all that was in the file."
        if recovered.is_complete
        else f"{printable(out)} has what could be read. An ingest of the same folders brings back what is "
        "lost of photos and faces."
    )
    if recovered.problems:
        lines.append(f"Now: datasette faces doctor {quote_for_shell(out)}")
    return lines


def _in_words(table: SavedTable) -> str:
    parts = [f"{counted(table.saved, 'row')} saved"]
    if table.lost or not table.is_certain:
        at_least = "" if table.is_certain else "at least "
        parts.append(f"{at_least}{table.lost:,} lost" if table.lost else "others may be lost")
    if table.incomplete:
        parts.append(f"{table.incomplete:,} with a damaged picture or text")
    return f"{table.table}: {', '.join(parts)}"
