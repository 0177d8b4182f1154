"""Faults of the file's pages, its schema and its rows: found, and repaired where nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...store import forget_runs, integrity
from ...store import people as store
from ...store.connection import Connection, transaction
from .findings import HealthFinding, report_rows

INDEX_FAULT = re.compile(r"row \d+ missing from index |wrong # of entries in index ")
"""What `pragma integrity_check` says where `reindex` is all that is needed."""


def find_broken_pages(conn: Connection) -> Iterator[HealthFinding]:
    """What SQLite itself finds wrong with the file."""
    lines = integrity.broken_pages(conn)
    of_indexes = all(INDEX_FAULT.match(line) for line in lines)
    how = "SQLite rebuilds its indexes" if of_indexes else "restore the file from a copy"
    one, many = "fault in the file itself", "faults in the file itself"
    yield from report_rows("file", one, many, lines, mend=how, fixable=of_indexes)


def rebuild_table_indexes(conn: Connection) -> None:
    """Have SQLite rebuild the indexes of all tables."""
    conn.execute("reindex")


def find_missing_schema(conn: Connection) -> Iterator[HealthFinding]:
    """Tables, indexes and triggers that the file lacks."""
    missing = integrity.find_missing_schema(conn)
    yield from report_rows(
        "schema",
        "table is missing",
        "tables are missing",
        missing["table"],
        mend="restore the file from a copy",
    )
    for kind, one, many in (
        ("index", "index of a table is missing", "indexes of tables are missing"),
        ("trigger", "trigger is missing", "triggers are missing"),
    ):
        yield from report_rows("schema", one, many, missing[kind], fixable=True)


def create_missing_schema(conn: Connection) -> None:
    """Create the indexes and triggers that the file lacks."""
    missing = integrity.find_missing_schema(conn)
    with transaction(conn):
        integrity.create_missing(conn, [*missing["index"].values(), *missing["trigger"].values()])


def find_broken_references(conn: Connection) -> Iterator[HealthFinding]:
    """Rows that refer to a row that does not exist."""
    for (table, parent), count in integrity.count_broken_references(conn).items():
        fixable = (table, parent) in integrity.MENDS
        how = "" if fixable else "only a copy of the file can restore them"
        one = f"row of {table} refers to a row of {parent} that does not exist"
        many = f"rows of {table} refer to rows of {parent} that do not exist"
        yield HealthFinding("references", many, count, (), fixable, how, one=one)


def repair_references(conn: Connection) -> None:
    """Delete or clear references to nothing, and give the faces concerned their people again."""
    with transaction(conn):
        faces, covered = integrity.without_person(conn), integrity.without_cover(conn)
        for key in integrity.count_broken_references(conn):
            if key in integrity.MENDS:
                conn.execute(integrity.MENDS[key])
        if faces:
            # Decisions and proposals say whose they are
            store.update_faces(conn, faces)
        _choose_covers(conn, covered)


def find_rows(
    check: str, one: str, many: str, **options: Any
) -> Callable[[Connection], Iterator[HealthFinding]]:
    """A search for the rows that the query of this name in `integrity.ROWS` selects."""

    def find(conn: Connection) -> Iterator[HealthFinding]:
        yield from report_rows(check, one, many, integrity.wrong_rows(conn, check), **options)

    return find


def repair_dates(conn: Connection) -> None:
    """Give all faces the dates of their photos."""
    with transaction(conn):
        integrity.set_dates(conn)


def repair_counts(conn: Connection) -> None:
    """Count the faces of all people again."""
    with transaction(conn):
        integrity.count_faces(conn)


def repair_covers(conn: Connection) -> None:
    """Choose another cover for the people who are shown by a face that is not theirs."""
    with transaction(conn):
        _choose_covers(conn, integrity.wrong_rows(conn, "covers"))


def _choose_covers(conn: Connection, person_ids: Iterable[int]) -> None:
    for person_id in person_ids:
        best = store.faces_of(conn, person_id, limit=1)
        integrity.set_cover(conn, person_id, best[0] if best else None)


def find_stopped_runs(conn: Connection) -> Iterator[HealthFinding]:
    """Runs of `forget` after which the file's bytes were not searched to the end, or in vain."""
    count = forget_runs.count_stopped(conn)
    if count:
        many = "runs of forget were stopped before their end"
        one = "run of forget was stopped before its end"
        yield HealthFinding("file", many, count, one=one, then=("forget", ""))
    if found := forget_runs.count_found(conn):
        many = "runs of forget found what they had removed among the file's bytes"
        one = "run of forget found what it had removed among the file's bytes"
        yield HealthFinding("file", many, found, one=one, then=("forget", ""))


def find_lost_decisions(conn: Connection) -> Iterator[HealthFinding]:
    """Decisions about faces that are not in the file now."""
    one = "decision refers to faces that are not in the file now; it is kept"
    many = "decisions refer to faces that are not in the file now; they are kept"
    yield from report_rows("decisions", one, many, integrity.lost_decisions(conn), level="note")
