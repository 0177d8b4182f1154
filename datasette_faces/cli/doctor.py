"""`doctor`: is a file sound, and what can be mended?"""

from __future__ import annotations

import json
import sys
import time

import click

from .. import doctor as doctors
from .. import mending
from ..connections import reading, writing
from ..doctor import Finding
from .group import faces, in_words, printable


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
    with reading(database) as conn:
        first = found = doctors.examine(conn)
    if fix and any(finding.fixable for finding in first):
        with writing(database) as conn:
            mending.mend(conn, first)
            found = doctors.examine(conn)
    left = [finding for finding in found if finding.level == "problem"]
    fixed = _gone(first, found)
    if as_json:
        told = {
            "ok": not left,
            "problems": [finding.as_json() for finding in left],
            "notes": [finding.as_json() for finding in found if finding.level == "note"],
            "fixed": [finding.as_json() for finding in fixed],
            "seconds": round(time.monotonic() - started, 2),
        }
        click.echo(json.dumps(told))
    else:
        for finding in fixed:
            click.echo(f"mended: {_in_words(finding)}")
        for finding in found:
            click.echo(_in_words(finding))
        click.echo(_at_the_end(left, database, fix))
    sys.exit(1 if left else 0)


def _gone(first: list[Finding], found: list[Finding]) -> list[Finding]:
    """What was found first, and is not there any more."""
    there = {(finding.check, finding.message) for finding in found}
    return [it for it in first if it.level == "problem" and (it.check, it.message) not in there]


def _in_words(finding: Finding) -> str:
    line = f"{finding.count:,} {finding.message}"
    if finding.examples:
        more = ", …" if finding.count > len(finding.examples) else ""
        line += f" ({', '.join(map(printable, finding.examples))}{more})"
    if finding.level == "note":
        line = f"note: {line}"
    return f"{line}: {finding.mend}" if finding.mend else line


def _at_the_end(left: list[Finding], database: str, fixed: bool) -> str:
    if not left:
        return f"{printable(database)} is sound."
    if not fixed and any(finding.fixable for finding in left):
        return f"Mend what can be mended: datasette faces doctor {printable(database)} --fix"
    return "What is left cannot be mended here."
