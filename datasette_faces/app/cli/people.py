"""`people`: who is in the photographs, as somebody decides it, a line each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TextIO

import click

from ...errors import DecisionError, NameTaken
from ...models.model_pools import ModelPools
from ...people import decide as people
from ...people import decision_log, manual_faces
from ...people.kinds import get_kind
from ...store import decisions, models
from ...store import people as store
from ...store.connection import Connection, transaction
from ...store.database import changing, reading
from ...store.decisions import Decision
from ...store.file_names import quote_for_shell
from .group import counted, faces, in_words, printable

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else")
faces_argument = click.argument("face", type=click.IntRange(1), nargs=-1, required=True)


@faces.group(name="people")
@click.argument("database", type=click.Path(dir_okay=False))
@click.pass_context
def people_group(context: click.Context, database: str) -> None:
    """Name people, correct who is who, and undo decisions.

    PERSON is a number of `list`, or a name. FACE is a face's number, as its page has it.
    """
    context.obj = database


def _decided(decide: Callable[[Connection], Decision], database: str, done: str) -> None:
    """Decide, in one transaction, and say how it can be undone."""
    with changing(database) as conn, transaction(conn):
        made = decide(conn)
    undo = f"undo it with: datasette faces people {quote_for_shell(database)} undo {made.id}"
    click.echo(f"{done} (decision {made.id}; {undo})")


def _are(faces: Sequence[int]) -> str:
    return "is" if len(faces) == 1 else "are"


def _person(conn: Connection, wanted: str) -> int:
    """The id of the person who is meant. Raises DecisionError."""
    if wanted.isdecimal() and store.by_id(conn, int(wanted)):
        return int(wanted)
    found = people.find_by_name(conn, wanted)
    if found is None:
        who = f"datasette faces people {quote_for_shell(click.get_current_context().obj)} list"
        raise DecisionError(f"There is no person {wanted!r}; list people with: {who}")
    return found


@people_group.command(name="list")
@click.option("--named", is_flag=True, help="Only those who have a name")
@as_json_option
@click.pass_obj
@in_words
def list_command(database: str, named: bool, as_json: bool) -> None:
    """List the people, those with most faces first."""
    with reading(database) as conn:
        found = [asdict(person) for person in store.listed(conn, named=named)]
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{'person':>8}  {'faces':>7}  name")
    for row in found:
        name = printable(row["name"]) if row["name"] else "-"
        click.echo(f"{row['id']:>8}  {row['faces']:>7,}  {name}{' (hidden)' * row['hidden']}")


@people_group.command()
@click.argument("person")
@click.argument("name")
@click.option("--same", is_flag=True, help="Another person has the same name")
@click.pass_obj
@in_words
def name(database: str, person: str, name: str, same: bool) -> None:
    """Name a person."""

    def decide(conn: Connection) -> Decision:
        person_id = _person(conn, person)
        try:
            return people.name(conn, person_id, name, even_if_taken=same)
        except NameTaken as error:
            command = f"datasette faces people {quote_for_shell(database)} merge"
            merging = f"{command} {error.person_id} {person_id}"
            raise DecisionError(
                f"There is already a person called {people.clean_name(name)} (person {error.person_id}): "
                f"merge the two ({merging}), or add --same if they are two people with the same name"
            ) from None

    _decided(decide, database, f"Person {person} is {name}")


@people_group.command()
@click.argument("into")
@click.argument("other")
@click.pass_obj
@in_words
def merge(database: str, into: str, other: str) -> None:
    """Merge two people; the first one's name stays."""
    _decided(
        lambda conn: people.merge(conn, _person(conn, into), _person(conn, other)),
        database,
        f"{other} is {into}",
    )


@people_group.command()
@click.argument("person")
@click.argument("other")
@click.pass_obj
@in_words
def apart(database: str, person: str, other: str) -> None:
    """Keep two people apart: they are not the same."""
    _decided(
        lambda conn: people.keep_apart(conn, _person(conn, person), _person(conn, other)),
        database,
        f"{other} is not {person}",
    )


@people_group.command()
@click.argument("person")
@faces_argument
@click.pass_obj
@in_words
def split(database: str, person: str, face: tuple[int, ...]) -> None:
    """Take faces out of a person: they become a new person."""
    _decided(
        lambda conn: people.split(conn, _person(conn, person), face),
        database,
        f"{len(face):,} of the faces of {person} {_are(face)} another person",
    )


@people_group.command()
@faces_argument
@click.option("--to", "person", help="A person; without it they become a new one")
@click.pass_obj
@in_words
def move(database: str, face: tuple[int, ...], person: str | None) -> None:
    """Assign faces to a person."""
    _decided(
        lambda conn: people.move(conn, face, _person(conn, person) if person else None),
        database,
        f"{counted(len(face), 'face')} {_are(face)} {person or 'a new person'}",
    )


@people_group.command()
@click.argument("person")
@faces_argument
@click.pass_obj
@in_words
def reject(database: str, person: str, face: tuple[int, ...]) -> None:
    """Mark these faces as not this person."""
    _decided(
        lambda conn: people.reject(conn, face, _person(conn, person)),
        database,
        f"{counted(len(face), 'face')} {_are(face)} not {person}",
    )


@people_group.command(name="not-a-face")
@faces_argument
@click.pass_obj
@in_words
def not_a_face(database: str, face: tuple[int, ...]) -> None:
    """Mark these as not faces."""
    _decided(
        lambda conn: people.mark_not_a_face(conn, face),
        database,
        f"{len(face):,} of them {_are(face)} no face",
    )


@people_group.command()
@click.argument("person")
@click.pass_obj
@in_words
def hide(database: str, person: str) -> None:
    """Leave a person out of pages and searches."""
    who = f"Person {person}" if person.isdigit() else person
    _decided(lambda conn: people.hide(conn, _person(conn, person)), database, f"{who} is hidden")


@people_group.command()
@click.argument("person")
@click.pass_obj
@in_words
def unhide(database: str, person: str) -> None:
    """Show a person again."""
    _decided(
        lambda conn: people.unhide(conn, _person(conn, person)), database, f"{person} is shown"
    )


@people_group.command()
@click.argument("person")
@click.argument("face", type=click.IntRange(1))
@click.pass_obj
@in_words
def cover(database: str, person: str, face: int) -> None:
    """Choose the cover face of a person."""
    _decided(
        lambda conn: people.cover(conn, _person(conn, person), face),
        database,
        f"Face {face} stands for {person}",
    )


@people_group.command()
@click.argument("decision", type=click.IntRange(1), required=False)
@click.pass_obj
@in_words
def undo(database: str, decision: int | None) -> None:
    """Undo a decision: the one with that number, or the last one in effect."""
    with changing(database) as conn, transaction(conn):
        undone = people.undo(conn, decision)
    click.echo(
        f"Decision {undone.id} ({undone.kind}) is undone; "
        f"redo it with: datasette faces people {quote_for_shell(database)} redo {undone.id}"
    )


@people_group.command()
@click.argument("decision", type=click.IntRange(1), required=False)
@click.pass_obj
@in_words
def redo(database: str, decision: int | None) -> None:
    """Redo a decision: the one with that number, or the last one undone."""
    with changing(database) as conn:
        with transaction(conn):
            redone = people.redo(conn, decision)
        if get_kind(redone.kind).draws:
            _draw_again(conn)
    click.echo(f"Decision {redone.id} ({redone.kind}) is in effect again")


@people_group.command()
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="How many of the last decisions",
)
@as_json_option
@click.pass_obj
@in_words
def history(database: str, limit: int, as_json: bool) -> None:
    """List decisions, the newest first."""
    with reading(database) as conn:
        found = decisions.newest(conn, before=None, limit=limit)
    if as_json:
        click.echo(json.dumps(found))
        return
    for row in found:
        about = counted(row["faces"], "face") if row["faces"] else row["target"] or ""
        undone = "" if row["active"] or get_kind(row["kind"]).reverses else "  (undone)"
        value = f"  {printable(row['value'])}" if row["value"] else ""
        click.echo(f"{row['id']:>6}  {row['made_at']}  {row['kind']:<11}{about}{value}{undone}")


@people_group.command(name="export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@click.pass_obj
@in_words
def export(database: str, file: TextIO) -> None:
    """Write all decisions as JSON lines: enough to decide the same in another file."""
    with reading(database) as conn:
        for line in decision_log.export_log(conn):
            click.echo(line, file=file)


@people_group.command(name="import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option(
    "--show-hidden", is_flag=True, help="Import even if that shows faces of hidden people"
)
@click.pass_obj
@in_words
def import_command(database: str, file: TextIO, show_hidden: bool) -> None:
    """Import decisions that `export` wrote; known ones change nothing."""
    try:
        with changing(database) as conn:
            with transaction(conn):
                added, known = decision_log.import_log(conn, file, show_hidden=show_hidden)
            _draw_again(conn)
    except UnicodeDecodeError:
        raise DecisionError("The file is not JSON lines: nothing was imported") from None
    there = counted(known, "was", "were")
    click.echo(f"{counted(added, 'decision')} imported, {there} there already")


@people_group.command()
@click.pass_obj
@in_words
def rebuild(database: str) -> None:
    """Rebuild the table of people from the decisions and the clustering."""
    with changing(database) as conn:
        with transaction(conn):
            store.rebuild(conn)
        _draw_again(conn)
        count = len(store.listed(conn))
    click.echo(counted(count, "person", "people"))


def _draw_again(conn: Connection) -> None:
    """Make the faces that somebody drew and that are not there, and say which ones have to wait."""
    with ModelPools() as pools:
        done = manual_faces.add_missing_faces(
            conn, pools.measure_manual_face, pools.find_available(models.every(conn))
        )
    if done.added:
        again = counted(
            done.added, "face made again as it was drawn", "faces made again as they were drawn"
        )
        click.echo(again, err=True)
    tell_faults(done.faults)


def tell_faults(faults: list[tuple[str, str]], *, all_by: str = "") -> None:
    """Say which photos something is wrong with: the first few, and how many more there are.

    all_by: the option that lists all.
    """
    for path, fault in faults[:10]:
        click.echo(f"    {printable(path)}: {printable(fault)}", err=True)
    if len(faults) > 10:
        where = f": {all_by} lists all" if all_by else ""
        click.echo(f"    …and {len(faults) - 10:,} more{where}", err=True)
