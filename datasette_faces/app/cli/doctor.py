"""`doctor`: is a file sound, and what can be mended?"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from ...library.health import checks as doctors
from ...library.health import repairs
from ...library.health.checks import Finding
from ...store.database import reading, writing
from .group import counted, faces, in_words, printable
from .people import tell_faults


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, nothing else")
@in_words
def doctor(database: str, fix: bool, as_json: bool) -> None:
    """Look for faults in a database, and mend them.

    Exit status 0 if it is sound, 1 if faults are left. Nothing that people did is removed, with or
    without --fix.
    """
    started = time.monotonic()
    faults: list[tuple[str, str]] = []
    with reading(database) as conn:
        first = found = doctors.examine(conn)
    if fix and any(finding.fixable for finding in first):
        with writing(database) as conn:
            faults = repairs.mend(conn, first)
            found = doctors.examine(conn)
    left = [finding for finding in found if finding.level == "problem"]
    fixed = _gone(first, found)
    if as_json:
        told = {
            "ok": not left,
            "problems": [_as_json(it, _mend(it, database, tried=fix)) for it in left],
            "notes": [
                _as_json(it, _mend(it, database, tried=fix)) for it in found if it.level == "note"
            ],
            "fixed": [_as_json(it, _done(it, database)) for it in fixed],
            "seconds": round(time.monotonic() - started, 2),
        }
        click.echo(json.dumps(told))
    else:
        for finding in fixed:
            click.echo(f"mended: {_in_words(finding, _done(finding, database))}")
        for finding in found:
            click.echo(_in_words(finding, _mend(finding, database, tried=fix)))
        tell_faults(faults)
        click.echo(_at_the_end(left, database, fix))
    sys.exit(1 if left else 0)


def _gone(first: list[Finding], found: list[Finding]) -> list[Finding]:
    """What was found first, and is not there any more."""
    there = {(finding.check, finding.message) for finding in found}
    return [it for it in first if it.level == "problem" and (it.check, it.message) not in there]


def _mend(finding: Finding, database: str, *, tried: bool) -> str:
    """What mends it, where --fix was not tried or could not."""
    if tried and finding.fixable:
        return "--fix could not mend that"
    return _and_then(finding.mend, "then", finding, database)


def _done(finding: Finding, database: str) -> str:
    """What mended it, and how to go on."""
    return _and_then(finding.done, "now", finding, database)


def _and_then(said: str, when: str, finding: Finding, database: str) -> str:
    if finding.then is None:
        return printable(said)
    command, options = finding.then
    line = f"{when}: datasette faces {command} {database} {options}"
    return printable(f"{said}; {line}" if said else line)


def _as_json(finding: Finding, mend: str) -> dict[str, Any]:
    told = asdict(finding)
    for internal in ("one", "done", "then"):
        del told[internal]
    return {**told, "mend": mend}


def _in_words(finding: Finding, mend: str) -> str:
    line = counted(finding.count, finding.one, finding.message) if finding.one else finding.message
    if finding.examples:
        more = ", …" if finding.count > len(finding.examples) else ""
        line += f" ({', '.join(map(printable, finding.examples))}{more})"
    if finding.level == "note":
        line = f"note: {line}"
    return f"{line}: {mend}" if mend else line


def _at_the_end(left: list[Finding], database: str, fixed: bool) -> str:
    if not left:
        return f"{printable(database)} is sound."
    if not fixed and any(finding.fixable for finding in left):
        return f"Mend what can be mended: datasette faces doctor {printable(database)} --fix"
    elsewhere = "; where something else does, its line says so" * any(it.mend for it in left)
    return f"What is left --fix cannot mend{elsewhere}."
