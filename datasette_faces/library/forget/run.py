"""Forget photos or a person for good: rows deleted, the file rewritten, its bytes searched.

The rows go in one transaction. What is stopped after it is finished by the next run: the table
`forget_runs` says so. That run rewrites the file, but has nothing to search for: what was removed is
not known any more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from ...errors import FacesError, StillThere
from ...search import index_upkeep
from ...store import forget_runs, forgetting, forgotten_faces
from ...store.connection import Connection, transaction
from ...store.database import changing, reading
from ..ingest.lock import lock_for_ingest
from . import traces
from .plan import ForgetPlan, ForgetRequest, make_plan
from .traces import SearchReport, Traces


@dataclass(frozen=True)
class ForgetReport(ForgetPlan):
    """What went, and the search of the file's bytes after it.

    unsearched: earlier runs that this one finished, after which nothing was searched for. still_found:
    earlier runs that are not finished, as their search found something.
    """

    search: SearchReport = field(default_factory=SearchReport)
    unsearched: int = 0
    still_found: int = 0


def plan(database: str, request: ForgetRequest) -> ForgetPlan:
    """What a request would do; not a byte changes. Raises FacesError."""
    with reading(database) as conn:
        return make_plan(conn, request)


def is_unfinished(database: str) -> bool:
    """Whether a run was stopped before its end, or found something."""
    with reading(database) as conn:
        return forget_runs.count_stopped(conn) + forget_runs.count_found(conn) > 0


def forget(database: str, request: ForgetRequest, *, even_found: bool = False) -> ForgetReport:
    """Forget what a request names, and show that it is gone; or only finish what was stopped.

    even_found: finish also what an earlier run found something of. Raises DatabaseBusy while an ingest
    runs; StillThere where something is found among the file's bytes, or was by an earlier run.
    """
    run_id, planned = 0, ForgetPlan({})
    sought = Traces({kind: set() for kind in traces.QUERIES})
    with lock_for_ingest(database, what="Forgetting", work="a run of forget"):
        with changing(database) as conn:
            conn.execute("pragma secure_delete = on")
            if not request.is_empty():
                with transaction(conn):
                    run_id, planned, sought = _delete(conn, request)
            _rewrite_file(conn)
        # The file is closed: what is in it, and beside it, now is what stays
        report = traces.search(database, sought)
        with reading(database) as conn:
            left = _find_unwritten(conn, database)
        done = ForgetReport(**vars(planned), search=report)
        if left:
            # What was found may be in those pages alone
            raise StillThere(_explain(report, left, database), done)
        with changing(database) as conn, transaction(conn):
            forget_runs.keep_found(conn, run_id, len(report.found))
            unsearched = forget_runs.finish_earlier(conn, run_id, even_found=even_found)
            earlier = forget_runs.count_found(conn) - bool(report.found)
    done = replace(done, unsearched=unsearched, still_found=earlier)
    if report.found:
        raise StillThere(_explain(report, None, database), done)
    if earlier and request.is_empty():
        raise StillThere(_explain_earlier(database), done)
    return done


def _delete(conn: Connection, request: ForgetRequest) -> tuple[int, ForgetPlan, Traces]:
    """Delete the rows, keep where faces were in photos that stay, blur those; the run, what went."""
    planned = make_plan(conn, request)
    sought = traces.gather(conn, planned.kept_photos)
    photos, faces = planned.rows["photos"], planned.rows["faces"]
    places = forgetting.list_places(conn)
    forgetting.delete_chosen(conn, keep_decisions=request.keep_decisions)
    for sha256, box in places:
        forgotten_faces.mark(conn, [sha256], box)
    for photo_id in planned.kept_photos:
        forgotten_faces.redact_pictures(conn, photo_id)
    left = forgetting.count_chosen(conn, keep_decisions=request.keep_decisions)
    if any(left.values()):
        raise FacesError(f"Nothing was done: what was to be removed is still there: {left}")
    sought.subtract_left(conn)
    index_upkeep.drop_within(conn)
    return forget_runs.begin_run(conn, photos, faces), planned, sought


def _rewrite_file(conn: Connection) -> None:
    """Build the indexes of what stays, and write the file without free pages."""
    with transaction(conn):
        index_upkeep.follow(conn)
    index_upkeep.settle(conn)
    conn.execute("vacuum")


def _find_unwritten(conn: Connection, database: str) -> str | None:
    """Why the file may hold pages of before; None where it cannot."""
    log = f"{database}-wal"
    if os.path.exists(log) and os.path.getsize(log):
        return (
            f"another process reads {database} all the while, so that its log {log} stays; "
            "end that process (Datasette, perhaps)"
        )
    free = conn.execute("pragma freelist_count").fetchone()[0]
    return f"{database} has {free:,} free pages" if free else None


def _explain(report: SearchReport, left: str | None, database: str) -> str:
    found = [str(trace) for trace in report.found[:5]]
    more = f" and {len(report.found) - 5:,} more" if len(report.found) > 5 else ""
    where = f"still there: {', '.join(found)}{more}" if found else ""
    again = f"then run: datasette faces forget {database}"
    if not left:
        where += "; remove what holds it, such as a table of yours"
        again += " --even-found"
    return (
        "The rows are deleted, but it is not shown that their bytes are gone: "
        f"{'; '.join(filter(None, (left, where)))}; {again}"
    )


def _explain_earlier(database: str) -> str:
    return (
        f"An earlier run found what it had removed among the bytes of {database}. What that was is not "
        "known any more, so that it cannot be looked for again: remove what holds it, such as a table "
        f"of yours; then run: datasette faces forget {database} --even-found"
    )
