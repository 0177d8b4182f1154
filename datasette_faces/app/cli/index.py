"""`index`: the indexes of a database, rebuilt or removed."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from ...search import index_upkeep
from ...store import summary
from ...store.database import changing, reading
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words

STILL_WORKS = "Searches work without indexes: they compare every face, which takes longer."


@faces.command(name="index")
@click.argument("database", type=click.Path(dir_okay=False))
@click.option("--drop", is_flag=True, help="Remove the indexes instead")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, nothing else")
@in_words
def index_command(database: str, drop: bool, as_json: bool) -> None:
    """Rebuild the indexes of a database from its embeddings.

    They can be dropped at any time: without them a search gives the same answers, more slowly.
    """
    started = time.monotonic()
    try:
        done = _drop(database) if drop else _rebuild(database, quiet=as_json)
    except KeyboardInterrupt:
        click.echo(f"\nStopped. {STILL_WORKS} Run the same command again to build them.", err=True)
        sys.exit(1)
    done["seconds"] = round(time.monotonic() - started, 2)
    click.echo(json.dumps(done) if as_json else _in_sentences(done, database))


def _rebuild(database: str, *, quiet: bool) -> dict[str, Any]:
    with reading(database) as conn:
        before = summary.indexes(conn)
        faces = sum(model["faces"] for model in summary.models(conn))
    if not quiet:
        click.echo(f"Indexing {counted(faces, 'embedding')}…", err=True)
    with changing(database) as conn:
        index_upkeep.rebuild(conn)
        indexed = summary.indexed(conn)
        gone = set(before) - set(summary.indexes(conn))
    return {"indexes": indexed, "removed": sorted(gone)}


def _drop(database: str) -> dict[str, Any]:
    with reading(database) as conn:
        before = summary.indexes(conn)
    with changing(database) as conn:
        index_upkeep.drop(conn)
        indexed = summary.indexed(conn)
        left = summary.indexes(conn)
    return {"indexes": indexed, "removed": [name for name in before if name not in left]}


def _in_sentences(done: dict[str, Any], database: str) -> str:
    lines = [f"{item['name']}: {counted(item['faces'], 'face')}" for item in done["indexes"]]
    lines += [f"{name}: removed" for name in done["removed"]]
    if not lines:
        lines.append("There are no indexes.")
    if not done["indexes"]:
        lines.append(
            f"{STILL_WORKS} They come back with: datasette faces index {quote_for_shell(database)}"
        )
    return "\n".join([*lines, f"({done['seconds']:.1f} s)"])
