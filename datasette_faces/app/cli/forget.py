"""`forget`: photos or a person removed from a database for good."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from ...errors import StillThere
from ...library.forget import run
from ...library.forget.plan import ForgetPlan, ForgetRequest
from ...library.forget.run import ForgetReport
from ...library.forget.traces import SearchReport
from .group import counted, faces, in_words, printable

FILES_SHOWN = 10
"""Files that are listed; all of them are in what --json prints."""
WORDS = (
    ("photos", "photo", "photos"),
    ("faces", "face", "faces"),
    ("face_embeddings", "embedding", "embeddings"),
    ("lost_faces", "face of a former picture", "faces of former pictures"),
    ("face_drawings", "drawing", "drawings"),
    ("people", "person", "people"),
    ("decisions", "decision", "decisions"),
    ("said_names", "name read from a file", "names read from files"),
    ("ingest_errors", "error of an ingest", "errors of ingests"),
)
"""What of the plan is shown: the table, and one or several of its rows in words."""
UNFINISHED = (
    "An earlier run was stopped before its end, or found something: this one rewrites the file. What was "
    "removed is not known any more, so it cannot be searched for."
)
REMOVE = "Remove this for good? It cannot be undone"
FINISH = "Rewrite the file?"


@faces.command()
@click.argument("database", type=click.Path(dir_okay=False))
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
@click.option("--missing", is_flag=True, help="Forget all photos whose files are missing")
@click.option("--person", metavar="PERSON", help="Forget a person: their name or number")
@click.option(
    "--photos",
    "with_photos",
    is_flag=True,
    help="With --person: forget also the photos that show the person",
)
@click.option(
    "--keep-decisions",
    is_flag=True,
    help="Keep names and decisions, so that they hold again when the files come back",
)
@click.option(
    "--even-found",
    is_flag=True,
    help="Finish also an earlier run that found something, without searching for it again",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go")
@click.option("--yes", is_flag=True, help="Do it without asking")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@in_words
def forget(
    database: str,
    photos: tuple[str, ...],
    missing: bool,
    person: str | None,
    with_photos: bool,
    keep_decisions: bool,
    even_found: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove photos, or a person, from DATABASE for good.

    PHOTO is a photo's number, its path, or a pattern of paths. Their faces, embeddings, crops, names and
    decisions go; then the file's bytes are searched for what is left of them. The pictures on your disk
    are never touched. With a person, their faces go and the photos stay, blurred where the person is, and
    no later ingest stores those faces again. With neither, finishes what was stopped, without that
    search.
    """
    request = ForgetRequest(missing, photos, person, with_photos, keep_decisions)
    _check_usage(request)
    started = time.monotonic()
    if request.is_empty():
        _check_unfinished(database)
        planned = ForgetPlan({})
    else:
        planned = run.plan(database, request)
    is_unfinished = run.is_unfinished(database)
    if not as_json:
        click.echo(_describe(planned, request))
        if is_unfinished and planned.is_empty:
            click.echo(UNFINISHED)
    if dry_run or (planned.is_empty and not is_unfinished):
        _finish(planned, SearchReport(), started, dry_run=dry_run, as_json=as_json)
        return
    if not yes:
        _confirm(FINISH if planned.is_empty else REMOVE, as_json=as_json)
    try:
        done = run.forget(database, request, even_found=even_found)
    except StillThere as error:
        if as_json:
            _finish(error.report, error.report.search, started, dry_run=False, as_json=True)
        raise
    _finish(done, done.search, started, dry_run=False, as_json=as_json)


def _check_usage(request: ForgetRequest) -> None:
    if request.person is not None and request.keep_decisions:
        raise click.UsageError("--keep-decisions cannot be combined with --person")
    if request.with_photos and request.person is None:
        raise click.UsageError("--photos needs --person")


def _check_unfinished(database: str) -> None:
    if not run.is_unfinished(database):
        raise click.UsageError("Name what to forget: --missing, PHOTO… or --person PERSON")


def _confirm(question: str, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise click.ClickException(
            "Nothing was done: add --yes to do this, or --dry-run to look only"
        )
    click.confirm(question, abort=True)


def _describe(planned: ForgetPlan, request: ForgetRequest) -> str:
    """What goes, what stays, and what is outside of it."""
    if request.is_empty():
        return "Nothing is named to be removed."
    lines = [
        f"{counted(planned.rows[table], one, many, width=10)}"
        for table, one, many in WORDS
        if planned.rows.get(table)
    ]
    if not lines:
        return "\n".join(("There is nothing to forget.", *_describe_elsewhere(planned)))
    if planned.names:
        lines.append(f"    named {', '.join(map(printable, planned.names))}")
    lines.insert(0, "To be removed from the file for good:")
    if planned.kept_photos:
        kept = counted(len(planned.kept_photos), "photo stays", "photos stay")
        lines.append(f"{kept}, blurred where the person is (--photos removes them as well)")
    if planned.named_in_paths:
        named = counted(planned.named_in_paths, "photo that stays has", "photos that stay have")
        lines.append(
            f"{named} the name in the path, where it stays too: rename the folder, and ingest"
        )
    if planned.hidden:
        hidden = counted(planned.hidden, "hidden person", "hidden people")
        lines.append(
            f"{hidden} without a face then: faces that resemble them are blurred in no export any more"
        )
    lines += _describe_elsewhere(planned)
    if planned.files:
        there = counted(len(planned.files), "file is", "files are")
        lines.append(
            f"{there} on your disk still, and not touched; an ingest would read them again:"
        )
        lines += [f"    {printable(path)}" for path in planned.files[:FILES_SHOWN]]
        if len(planned.files) > FILES_SHOWN:
            lines.append(f"    …and {len(planned.files) - FILES_SHOWN:,} more (--json lists all)")
    return "\n".join(lines)


def _describe_elsewhere(planned: ForgetPlan) -> list[str]:
    """The photos that a pattern leaves out."""
    if not planned.elsewhere:
        return []
    left = counted(len(planned.elsewhere), "photo stays", "photos stay")
    shown = [f"    {it}: {printable(path)}" for it, path in sorted(planned.elsewhere.items())]
    more = len(shown) - FILES_SHOWN
    return [
        f"{left}, also being where the pattern does not reach; name the number to remove it:",
        *shown[:FILES_SHOWN],
        *([f"    …and {more:,} more (--json lists all)"] if more > 0 else []),
    ]


def _finish(
    planned: ForgetPlan, search: SearchReport, started: float, *, dry_run: bool, as_json: bool
) -> None:
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        click.echo(json.dumps(_as_json(planned, search, dry_run=dry_run, seconds=seconds)))
    elif dry_run:
        click.echo("Nothing was changed.")
    elif isinstance(planned, ForgetReport):
        click.echo(_in_sentences(planned, seconds))


def _as_json(
    planned: ForgetPlan, search: SearchReport, *, dry_run: bool, seconds: float
) -> dict[str, Any]:
    counts = {
        name: planned.rows.get(name, 0) for name in ("photos", "faces", "people", "decisions")
    }
    found = [{**asdict(trace)} for trace in search.found]
    return {
        "dry_run": dry_run,
        **counts,
        "rows": planned.rows,
        "names": planned.names,
        "kept_photos": planned.kept_photos,
        "named_in_paths": planned.named_in_paths,
        "hidden": planned.hidden,
        "elsewhere": planned.elsewhere,
        "files": planned.files,
        "search": {**asdict(search), "found": found},
        "unsearched": getattr(planned, "unsearched", 0),
        "still_found": getattr(planned, "still_found", 0),
        "seconds": seconds,
    }


def _in_sentences(done: ForgetReport, seconds: float) -> str:
    search = done.search
    total = sum(search.looked_for.values())
    lines = [f"Removed. Among the file's bytes nothing of it is left ({total:,} looked for)."]
    if done.is_empty:
        lines = ["The file is rewritten, without free pages; its bytes were not searched."]
    elif done.unsearched:
        lines.append("What an earlier run removed, which was stopped, was not searched for.")
    if done.still_found:
        lines.append("An earlier run found something, and is not finished: see --even-found.")
    if short := ", ".join(f"{count:,} {kind}" for kind, count in search.too_short.items()):
        lines.append(f"Too short to be looked for: {short}; the rows that held them are gone.")
    lines.append(
        "Not reached: backups, exports that were published, and the pictures on your disk."
    )
    lines.append(f"({seconds:.1f} s)")
    return "\n".join(lines)
