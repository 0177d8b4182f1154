"""`export` and `audit`: a catalogue to publish, and the proof of what it leaves out."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import click

from ...errors import Leak
from ...library import export as catalogue
from ...library.audit import run
from ...library.audit.findings import AuditReport
from ...library.export import ExportResult
from ...library.publish.options import ExportOptions
from ...library.publish.writer import Advance
from ...store import file_names
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words, printable

BIOMETRIC = (
    "Note: the catalogue holds embeddings. They are biometric data: anyone who has the file can find "
    "these people in any other photographs."
)
UNACCOUNTED_SHOWN = 10
"""Photos that are listed; all of them are in what --json prints."""
LEFT_OUT = {
    "hidden": "of hidden people",
    "resembling": "without a confirmed person that may be of hidden people: they are blurred",
    "unaccounted": "in edited photos in which a hidden person is not found any more (--edited)",
    "missing": "in photos whose files are missing (--missing)",
    "unnamed": "without a person, or of people without a name (--unnamed)",
    "others": "not among those chosen",
}
model_check_option = click.option(
    "--model-check/--no-model-check",
    default=True,
    help="Have the file's models look for hidden people in the pictures (default: yes)",
)


@faces.command(name="export")
@click.argument("database", type=click.Path(dir_okay=False))
@click.argument("out", type=click.Path())
@click.option(
    "--people",
    multiple=True,
    metavar="NAME",
    help="Only this person, by their name or number; repeat it for more",
)
@click.option("--query", metavar="SQL", help="Only the faces whose ids this query gives")
@click.option(
    "--unnamed", is_flag=True, help="Also faces without a person, and of people without a name"
)
@click.option(
    "--embeddings", is_flag=True, help="Vectors, so that search works. They are biometric data"
)
@click.option(
    "--gps",
    type=click.Choice(["city"]),
    help="Where photos were taken, to 0.1 degrees: which town, not which street",
)
@click.option(
    "--originals-url",
    metavar="TEMPLATE",
    help="Link to full pictures at https://…/{id}.jpg; {id} is a photo's public name",
)
@click.option(
    "--names",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the path of each photo and its public name, as CSV, for you alone",
)
@click.option("--blur-others", is_flag=True, help="Blur faces in photos that are not published")
@click.option("--watermark", metavar="TEXT", help="Write this into the photos")
@click.option(
    "--portable", is_flag=True, help="Leave out what a Datasette without the plugin lacks"
)
@click.option(
    "--edited",
    is_flag=True,
    help="Publish also edited photos in which a hidden person is not found any more: look at them first",
)
@click.option("--missing", is_flag=True, help="Publish also photos whose files are missing")
@click.option("--replace", is_flag=True, help="Replace OUT if it exists")
@model_check_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@in_words
def export(
    database: str, out: str, replace: bool, model_check: bool, as_json: bool, **options: Any
) -> None:
    """Make a catalogue to publish: named people's faces, and nothing else.

    OUT is a new file. Left out are paths, places, cameras, exact times, landmarks, embeddings,
    decisions, hidden people, and faces without a name. Hidden people are blurred in
    others' photos. It is audited before it is saved.
    """
    chosen = _export_options(options)
    started = time.monotonic()
    try:
        with _progress(quiet=as_json) as advance:
            made = catalogue.export(
                database, out, chosen, replace=replace, with_models=model_check, advance=advance
            )
    except Leak as leak:
        _print_report(leak.report, out, as_json=as_json)
        raise
    except KeyboardInterrupt:
        click.echo("\nStopped: there is no catalogue. Run the same command again.", err=True)
        sys.exit(1)
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        click.echo(json.dumps({**_as_json(made), "seconds": seconds}))
        return
    click.echo(_in_sentences(made, out, seconds))
    if made.notes.get("embeddings"):
        click.echo(BIOMETRIC, err=True)


def _export_options(options: dict[str, Any]) -> ExportOptions:
    url = options["originals_url"]
    if url is not None and not re.fullmatch(r"https://\S*\{id\}\S*", url):
        raise click.UsageError("--originals-url takes an https address with {id} in it")
    mark = options["watermark"]
    if mark is not None and not (0 < len(mark) <= 200 and mark.isprintable()):
        raise click.UsageError("--watermark takes a line of up to 200 characters")
    return ExportOptions(**{**options, "gps": bool(options["gps"])})


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Advance]:
    """On stderr: a bar for each part of the work on a terminal, elsewhere a line at each tenth."""
    if quiet:
        yield lambda what, done, total: None
    elif sys.stderr.isatty():
        with ExitStack() as shown:
            yield _bars(shown)
    else:
        yield _lines()


def _bars(shown: ExitStack) -> Advance:
    bars: dict[str, Any] = {}

    def advance(what: str, done: int, total: int) -> None:
        if what not in bars:
            shown.close()
            bar = click.progressbar(length=total, label=what, file=sys.stderr, show_pos=True)
            bars[what] = shown.enter_context(bar)
        bars[what].update(done - bars[what].pos)

    return advance


def _lines() -> Advance:
    printed: set[tuple[str, int]] = set()

    def advance(what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if (what, tenth) in printed:
            return
        printed.add((what, tenth))
        if tenth == 10 or what != "audit":
            click.echo(f"{what}: {done:,} of {total:,}", err=True)

    return advance


def _as_json(made: ExportResult) -> dict[str, Any]:
    answer = asdict(made)
    answer["audit"] = _report_json(made.report)
    del answer["report"]
    return answer


def _in_sentences(made: ExportResult, out: str, seconds: float) -> str:
    size = f"{made.bytes / 1_000_000:.1f} MB, {made.bytes / made.faces / 1_000:.1f} kB a face"
    looked_for = sum(it.looked_for for it in made.report.findings)
    lines = [
        f"{counted(made.faces, 'face')} of {counted(made.people, 'person', 'people')} in "
        f"{counted(made.photos, 'photo')} ({size})",
        *(
            f"left out: {counted(count, 'face')} {LEFT_OUT[reason]}"
            for reason, count in made.left_out.items()
            if count
        ),
        *(f"    {printable(path)}" for path in made.unaccounted[:UNACCOUNTED_SHOWN]),
        *(
            [f"    …and {len(made.unaccounted) - UNACCOUNTED_SHOWN:,} more"]
            if len(made.unaccounted) > UNACCOUNTED_SHOWN
            else []
        ),
        f"audit: no leaks found ({looked_for:,} looked for)",
        *(it.check for it in made.report.findings if "not looked for" in it.check),
        f"({seconds:.1f} s)",
        _how_to_look(out),
        "publish it, so that no one can download the whole file: docs/publishing.md has the settings",
    ]
    return "\n".join(lines)


def _how_to_look(out: str) -> str:
    command = file_names.command_to_open(out, "-i ")
    return f"look at it: {command}" if command else file_names.explain_renaming(out)


@faces.command(name="audit")
@click.argument("out", type=click.Path(dir_okay=False))
@click.option(
    "--against",
    "database",
    required=True,
    type=click.Path(dir_okay=False),
    help="The private file that the catalogue was made of",
)
@model_check_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, nothing else")
@in_words
def audit_command(out: str, database: str, model_check: bool, as_json: bool) -> None:
    """Look for leaks in a catalogue: anything that must not be published.

    Reads its bytes, its schema, each cell and each picture; the models of the private file look
    for hidden people in the pictures. Exit status 1 if there is a leak.
    """
    started = time.monotonic()
    with _progress(quiet=as_json) as advance:
        report = run.audit(out, database, with_models=model_check, advance=advance)
    _print_report(report, out, as_json=as_json, seconds=round(time.monotonic() - started, 2))
    if report.leaks and not as_json:
        names = f"{quote_for_shell(database)} {quote_for_shell(out)}"
        again = f"datasette faces export {names} --replace"
        click.echo(
            f"Do not publish this file; export it again, with the same options: {again}", err=True
        )
    if report.leaks:
        sys.exit(1)


def _report_json(report: AuditReport) -> dict[str, Any]:
    findings = [asdict(it) for it in report.findings]
    return {"leaks": report.leaks, "turned_on": _turned_on(report), "checks": findings}


def _turned_on(report: AuditReport) -> dict[str, str]:
    return {k: v for k, v in report.notes.items() if k not in ("format", "made_on", "seal")}


def _print_report(report: AuditReport, out: str, *, as_json: bool, seconds: float = 0) -> None:
    if as_json:
        click.echo(json.dumps({**_report_json(report), "seconds": seconds}))
        return
    turned = ", ".join(f"{k}: {printable(v)}" for k, v in _turned_on(report).items())
    click.echo(f"{printable(out)}, turned on: {turned or 'nothing'}")
    click.echo(f"{'looked for':>12}  {'found':>6}")
    for item in report.findings:
        click.echo(f"{item.looked_for:>12,}  {item.found:>6,}  {item.check}")
        for example in item.examples:
            click.echo(f"{'':>22}{printable(example)}")
    click.echo(counted(report.leaks, "leak") if report.leaks else "No leak.")
