"""The checks of a database, in one table: what each one finds, and how that is repaired.

To add a check is to add one entry to CHECKS. A repair never removes what people did: their decisions
stay, whatever they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ...store import integrity
from ...store.connection import Connection, sqlite
from ...store.schema import find_missing_table
from .embedding_faults import find_embedding_faults, normalize_embeddings, remove_broken_embeddings
from .findings import HealthFinding
from .former_pixels import find_stale_faces, move_stale_faces
from .index_faults import find_index_faults, rebuild_indexes
from .missing_files import find_missing_files, mark_missing_files
from .recrop import find_broken_pictures, recrop_broken
from .row_faults import (
    create_missing_schema,
    find_broken_pages,
    find_broken_references,
    find_lost_decisions,
    find_missing_schema,
    find_rows,
    find_stopped_runs,
    rebuild_table_indexes,
    repair_counts,
    repair_covers,
    repair_dates,
    repair_references,
)

Find = Callable[[Connection], Iterator[HealthFinding]]
Repair = Callable[[Connection], list[tuple[str, str]] | None]
"""Repairs in transactions of its own; may return the files that it could not use, each with the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check: how its faults are found, and how those that are fixable are repaired.

    find: None where the check before it finds both in one pass. repair: None where nothing can be done
    without a loss. stage: repairs run by stage, then in the order of the table.
    """

    name: str
    find: Find | None
    repair: Repair | None = None
    stage: int = 0


def _find_file_faults(conn: Connection) -> Iterator[HealthFinding]:
    yield from find_broken_pages(conn)
    yield from find_stopped_runs(conn)


CHECKS = (
    Check("file", _find_file_faults, rebuild_table_indexes),
    Check("schema", find_missing_schema, create_missing_schema),
    Check("references", find_broken_references, repair_references),
    Check("embeddings", find_embedding_faults, remove_broken_embeddings),
    Check("lengths", None, normalize_embeddings),
    # After all repairs of vectors, which belong into the indexes
    Check("indexes", find_index_faults, rebuild_indexes, stage=2),
    # After files that are gone are marked, so that a fault names a place that has the photo
    Check("pictures", find_broken_pictures, recrop_broken, stage=1),
    Check("former pixels", find_stale_faces, move_stale_faces),
    Check(
        "boxes",
        find_rows("boxes", "face is outside its picture", "faces are outside their pictures"),
    ),
    Check(
        "landmarks",
        find_rows(
            "landmarks",
            "face has landmarks that are not five points",
            "faces have landmarks that are not five points",
        ),
    ),
    Check(
        "places",
        find_rows(
            "places", "photo has no path", "photos have no path", mend="ingest the folder again"
        ),
    ),
    Check(
        "dates",
        find_rows(
            "dates",
            "face has another date than its photo",
            "faces have another date than their photos",
            fixable=True,
        ),
        repair_dates,
    ),
    Check(
        "counts",
        find_rows(
            "counts",
            "person has a wrong count of faces",
            "people have a wrong count of faces",
            fixable=True,
        ),
        repair_counts,
    ),
    Check(
        "covers",
        find_rows(
            "covers",
            "person shows a face that is not theirs",
            "people show a face that is not theirs",
            fixable=True,
        ),
        repair_covers,
    ),
    Check("keys", find_rows("keys", "person has no key", "people share a key, or have none")),
    Check("files", find_missing_files, mark_missing_files),
    Check("decisions", find_lost_decisions),
)
"""All checks, in the order in which their findings are listed."""


def examine(conn: Connection) -> list[HealthFinding]:
    """All faults of a database, and all that is worth knowing; changes nothing."""
    findings: list[HealthFinding] = []
    for check in CHECKS:
        try:
            findings += check.find(conn) if check.find else ()
        # Numbers that are text, as another program may have written them
        except (sqlite().DatabaseError, TypeError, ValueError) as error:
            if not _is_of_missing_table(conn, error):
                message = f"{check.name} could not be checked: {error}"
                findings.append(HealthFinding(check.name, message, 1))
    return findings


def _is_of_missing_table(conn: Connection, error: Exception) -> bool:
    """Whether all that is wrong is that a table is not there, which the check of the schema reports."""
    table = find_missing_table(error)
    return table is not None and table in integrity.missing_tables(conn)


def repair(conn: Connection, findings: Iterable[HealthFinding]) -> list[tuple[str, str]]:
    """Repair what is fixable of these findings, each check in transactions of its own.

    Returns the photos from which no picture could be made, and why.
    """
    wanted = {finding.check for finding in findings if finding.fixable}
    faults: list[tuple[str, str]] = []
    for check in sorted(CHECKS, key=lambda check: check.stage):
        if check.repair and check.name in wanted:
            faults += check.repair(conn) or ()
    return faults
