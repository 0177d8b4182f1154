"""`doctor`: finds faults in a database, and repairs them."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from ...library.health import checks
from ...library.health.findings import HealthFinding
from ...store.database import reading, writing
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words, printable
from .people import tell_faults
from .recover import save_recovered


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--fix", is_flag=True, help="Repair what can be repaired without loss")
@click.option(
    "--recover",
    "out",
    metavar="OUT",
    type=click.Path(),
    help="Save what can be read of a damaged database into a new one, OUT",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, nothing else")
@in_words
def doctor(database: str, fix: bool, out: str | None, as_json: bool) -> None:
    """Find faults in a database, and repair them.

    Exit status 0 if it has no faults, 1 if faults are left. Decisions and names are never removed, with
    or without --fix. --recover does not change DATABASE, and exits with 0 if nothing is lost.
    """
    if out is not None:
        if fix:
            raise click.UsageError("--recover makes a new database: use --fix on that one")
        save_recovered(database, out, as_json=as_json)
    started = time.monotonic()
    faults: list[tuple[str, str]] = []
    with reading(database) as conn:
        before = after = checks.examine(conn)
    if fix and any(finding.fixable for finding in before):
        with writing(database) as conn:
            faults = checks.repair(conn, before)
            after = checks.examine(conn)
    left = [finding for finding in after if finding.level == "problem"]
    fixed = _list_fixed(before, after)
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        report = _as_json(after, fixed, database, tried=fix)
        click.echo(json.dumps({**report, "seconds": seconds}))
    else:
        for finding in fixed:
            click.echo(f"fixed: {_in_words(finding, _describe_done(finding, database))}")
        for finding in after:
            click.echo(_in_words(finding, _describe_mend(finding, database, tried=fix)))
        tell_faults(faults)
        click.echo(_last_line(left, database, tried=fix))
    sys.exit(1 if left else 0)


def _list_fixed(before: list[HealthFinding], after: list[HealthFinding]) -> list[HealthFinding]:
    """The problems that were found before the repair, and not after it."""
    left = {(finding.check, finding.message) for finding in after}
    return [
        finding
        for finding in before
        if finding.level == "problem" and (finding.check, finding.message) not in left
    ]


def _describe_mend(finding: HealthFinding, database: str, *, tried: bool) -> str:
    """What repairs it, or that --fix was tried and could not."""
    if tried and finding.fixable:
        return "--fix could not repair this"
    return _add_command(finding.mend, "then", finding, database)


def _describe_done(finding: HealthFinding, database: str) -> str:
    """What the repair did, and the command to run next."""
    return _add_command(finding.done, "now", finding, database)


def _add_command(text: str, when: str, finding: HealthFinding, database: str) -> str:
    if finding.then is None:
        return printable(text)
    command, options = finding.then
    line = f"{when}: datasette faces {command} {quote_for_shell(database)} {options}"
    return printable(f"{text}; {line}" if text else line)


def _as_json(
    after: list[HealthFinding], fixed: list[HealthFinding], database: str, *, tried: bool
) -> dict[str, Any]:
    def rows(level: str) -> list[dict[str, Any]]:
        return [
            _finding_as_json(finding, _describe_mend(finding, database, tried=tried))
            for finding in after
            if finding.level == level
        ]

    problems = rows("problem")
    return {
        "ok": not problems,
        "problems": problems,
        "notes": rows("note"),
        "fixed": [_finding_as_json(it, _describe_done(it, database)) for it in fixed],
    }


def _finding_as_json(finding: HealthFinding, mend: str) -> dict[str, Any]:
    row = asdict(finding)
    for internal in ("one", "done", "then"):
        del row[internal]
    return {**row, "mend": mend}


def _in_words(finding: HealthFinding, mend: str) -> str:
    line = counted(finding.count, finding.one, finding.message) if finding.one else finding.message
    if finding.examples:
        more = ", …" if finding.count > len(finding.examples) else ""
        line += f" ({', '.join(map(printable, finding.examples))}{more})"
    if finding.level == "note":
        line = f"note: {line}"
    return f"{line}: {mend}" if mend else line


def _last_line(left: list[HealthFinding], database: str, *, tried: bool) -> str:
    if not left:
        return f"{printable(database)} has no faults."
    if not tried and any(finding.fixable for finding in left):
        repair = f"datasette faces doctor {quote_for_shell(database)} --fix"
        return f"To repair what can be repaired: {repair}"
    others = any(finding.mend for finding in left)
    return f"--fix cannot repair what is left{'; where something else can, its line says so' * others}."
