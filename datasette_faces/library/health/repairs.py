"""What `doctor` finds is mended where that can be done without losing anything.

What people did is never removed: their decisions stay, whatever they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ...algorithms import vectors
from ...search import index_upkeep
from ...search.indexes import registry
from ...store import integrity, models, photos, summary
from ...store import people as store
from ...store.connection import Connection, transaction
from . import recrop
from .checks import Finding, fault_of, gone, unknown_tables, vectors_of


def mend(conn: Connection, findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Mend what can be mended of these, each kind in a transaction of its own.

    Returns the photos from which nothing could be cut, and why.
    """
    wanted = {finding.check for finding in findings if finding.fixable}
    faults: list[tuple[str, str]] = []
    for check, put_right in MENDERS.items():
        if check in wanted:
            faults += put_right(conn) or ()
    return faults


def _file(conn: Connection) -> None:
    conn.execute("reindex")


def _schema(conn: Connection) -> None:
    lacking = integrity.lacking(conn)
    with transaction(conn):
        integrity.make(conn, [*lacking["index"].values(), *lacking["trigger"].values()])


def _references(conn: Connection) -> None:
    with transaction(conn):
        faces, covered = integrity.without_person(conn), integrity.without_cover(conn)
        for key in integrity.pointing_nowhere(conn):
            if key in integrity.MENDS:
                conn.execute(integrity.MENDS[key])
        if faces:
            # To whom they belong by what was decided and proposed
            store.bring_up(conn, faces)
        _choose_covers(conn, covered)


def _embeddings(conn: Connection) -> None:
    with transaction(conn):
        for model in models.every(conn):
            found = vectors_of(conn, model)
            if not found.model_is_wrong:
                integrity.take_out(conn, model, found.broken)
        index_upkeep.follow(conn)


def _lengths(conn: Connection) -> None:
    with transaction(conn):
        for model in models.every(conn):
            for face_id in vectors_of(conn, model).not_unit:
                stored = np.frombuffer(integrity.vector(conn, face_id, model), "<f4")
                # In double precision: the squares of large numbers are infinite in single
                unit = stored / np.linalg.norm(stored.astype(np.float64))
                integrity.set_vector(conn, face_id, model, vectors.encode(unit.astype(np.float32)))
        index_upkeep.follow(conn)


def _indexes(conn: Connection) -> None:
    for name in unknown_tables(conn):
        with transaction(conn):
            integrity.drop_table(conn, name)
    kinds = {kind.id: kind for kind in registry.indexes()}
    known = {model.id: model for model in models.every(conn)}
    for item in summary.indexed(conn):
        kind, model = kinds.get(item["kind"]), known.get(item["model"])
        if kind and model and fault_of(conn, kind.id, model):
            with transaction(conn):
                kind.drop(conn, model)
                kind.follow(conn, model)
    index_upkeep.settle(conn)


def _dates(conn: Connection) -> None:
    with transaction(conn):
        integrity.set_dates(conn)


def _counts(conn: Connection) -> None:
    with transaction(conn):
        integrity.count_faces(conn)


def _covers(conn: Connection) -> None:
    with transaction(conn):
        _choose_covers(conn, integrity.wrong_rows(conn, "covers"))


def _choose_covers(conn: Connection, person_ids: Iterable[int]) -> None:
    for person_id in person_ids:
        best = store.faces_of(conn, person_id, limit=1)
        integrity.set_cover(conn, person_id, best[0] if best else None)


def _files(conn: Connection) -> None:
    with transaction(conn):
        photos.mark_missing(conn, gone(conn)[0])


MENDERS: dict[str, Callable[[Connection], list[tuple[str, str]] | None]] = {
    "file": _file,
    "schema": _schema,
    "references": _references,
    "embeddings": _embeddings,
    "lengths": _lengths,
    "dates": _dates,
    "counts": _counts,
    "covers": _covers,
    "files": _files,
    "pictures": recrop.cut_anew,
    # Last: what was mended of vectors belongs into them
    "indexes": _indexes,
}
"""What can be mended, in this order."""
