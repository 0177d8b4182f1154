"""What a forgetting would do: whom and what it is about, how many rows go, which files stay on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape, has_magic

from ...errors import FacesError
from ...media.files import as_path
from ...people import decide
from ...store import forget_choice, forget_names, forgetting, people
from ...store.connection import Connection
from ...store.people import NOT_A_FACE
from ...store.schema import read_schema

NEEDED = [tie.table for tie in forgetting.TIES]
"""What a file of an earlier version may lack."""


@dataclass(frozen=True)
class ForgetRequest:
    """What to forget: missing photos, some photos, or a person; at least one of them.

    photos: ids, paths as stored, or patterns of them. person: a number, a name, or a key.
    with_photos: also the photos that show the person. keep_decisions: leave what was decided about the
    photos' faces, so that it holds again when their files come back.
    """

    missing: bool = False
    photos: tuple[str, ...] = ()
    person: str | None = None
    with_photos: bool = False
    keep_decisions: bool = False

    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not (self.missing or self.photos or self.person is not None)


@dataclass(frozen=True)
class ForgetPlan:
    """What goes: rows by table; the people's names; files of these photos that are on the disk still.

    kept_photos: photos that stay, with the person's faces blurred. named_in_paths: those of the photos
    that stay whose path has one of the names. hidden: people who are hidden of whom no face stays.
    elsewhere: photos that a pattern leaves out, as they are also where it does not reach: by id, that path.
    """

    rows: dict[str, int]
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    kept_photos: tuple[int, ...] = field(default=(), repr=False)
    named_in_paths: int = 0
    hidden: int = 0
    elsewhere: dict[int, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing goes."""
        return not any(self.rows.values())


def make_plan(conn: Connection, request: ForgetRequest) -> ForgetPlan:
    """Choose what a request is about, and count it; changes nothing. Raises FacesError."""
    elsewhere = choose(conn, request)
    rows = forgetting.count_chosen(conn, keep_decisions=request.keep_decisions)
    names = conn.execute(
        "select distinct name from people where name is not null "
        "and key in (select key from temp.forget_keys) order by name"
    )
    return ForgetPlan(
        rows,
        tuple(row[0] for row in names),
        tuple(_list_files(conn)),
        tuple(forgetting.kept_photos(conn)),
        forget_names.count_named_paths(conn),
        len(forgetting.list_unguarded(conn)),
        elsewhere,
    )


def choose(conn: Connection, request: ForgetRequest) -> dict[int, str]:
    """Fill the temporary tables of the choice; what is left out, as it is elsewhere, too.

    Raises FacesError where something is not there.
    """
    there = read_schema(conn, *NEEDED)
    if not there.has(*NEEDED):
        raise FacesError(
            "This file is of an earlier version; any command that writes brings it up to date, such as: "
            "datasette faces index"
        )
    forget_choice.begin(conn)
    photo_ids = set(_find_missing(conn)) if request.missing else set()
    elsewhere: dict[int, str] = {}
    for text in request.photos:
        found, outside = _match(conn, text)
        photo_ids.update(found)
        elsewhere.update(outside)
    if request.person is not None:
        forgetting.choose_people(conn, [find_person(conn, request.person)])
        if request.with_photos:
            photo_ids.update(forgetting.kept_photos(conn))
    if photo_ids:
        forgetting.choose_photos(conn, photo_ids, keep_decisions=request.keep_decisions)
    forgetting.choose_decisions(conn)
    return {number: path for number, path in elsewhere.items() if number not in photo_ids}


def _find_missing(conn: Connection) -> list[int]:
    rows = conn.execute("select id from photos where missing_since is not null")
    return [row[0] for row in rows]


def find_photos(conn: Connection, text: str) -> list[int]:
    """The photos that an id, a path or a pattern means. Raises FacesError where there is none."""
    return _match(conn, text)[0]


def _match(conn: Connection, text: str) -> tuple[list[int], dict[int, str]]:
    """The photos that a text means, and those that a pattern means in part: another path, by id."""
    if text.isdecimal():
        rows = conn.execute("select id from photos where id = cast(? as integer)", [text])
        if found := [row[0] for row in rows]:
            return found, {}
    paths = conn.execute(
        "select path, id, 0 from photos union all "
        "select path, photo_id, missing_since is null from photo_paths"
    ).fetchall()
    named = {text, os.path.abspath(text)}
    matched = {photo_id for path, photo_id, _ in paths if path in named}
    outside: dict[int, str] = {}
    if not matched and has_magic(text):
        pattern = _anchor(text)
        matched = {photo_id for path, photo_id, _ in paths if fnmatchcase(path, pattern)}
        outside = {
            photo_id: path
            for path, photo_id, is_there in paths
            if is_there and photo_id in matched and not fnmatchcase(path, pattern)
        }
    if not matched:
        raise FacesError(
            f"There is no photo {text!r} in this file; name its id, its path as the table photos has "
            "it, or a pattern of paths in quotes"
        )
    return sorted(matched.difference(outside)), outside


def _anchor(pattern: str) -> str:
    """A pattern for whole paths: one that says nowhere where it begins is of this folder."""
    if pattern.startswith("*"):
        return pattern
    return os.path.normpath(os.path.join(escape(os.getcwd()), pattern))


def find_person(conn: Connection, text: str) -> str:
    """The key of the person whom a number, a key or a name means. Raises FacesError."""
    found = people.by_key(conn, text)
    if found is None and text.isdecimal():
        with suppress(OverflowError):
            found = people.by_id(conn, int(text))
    if found is None:
        number = decide.find_by_name(conn, text)
        found = None if number is None else people.by_id(conn, number)
    if found is None:
        raise FacesError(
            f"There is no person {text!r}; list people with: datasette faces people DB list"
        )
    if found.key == NOT_A_FACE:
        raise FacesError("What is marked as not a face is no person; name the photos to forget")
    return found.key


def _list_files(conn: Connection) -> Sequence[str]:
    """The files of the chosen photos that are there: nothing here touches them."""
    rows = conn.execute(
        "select path, path_bytes from photo_paths where photo_id in "
        "(select id from temp.forget_photos) order by path"
    )
    return [path for path, raw in rows if os.path.lexists(as_path(path, raw))]
