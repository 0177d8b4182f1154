"""A private file with somebody of each kind: named, hidden, unnamed; and what it keeps for itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from datasette_faces.people import decide
from datasette_faces.people.decide import Editor
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

NAMED, OTHER, HIDDEN = "Ada Álvarez", "Eve Armstrong", "Hilde Hansen-Geheim"
FORMER = "Ada Formerly"
DAY = "2019-05-31"
MOMENT = f"{DAY}T14:23:11.25+02:00"
SECRET_PLACE = (48.137154, 11.576124)
CAMERA = "Canon EOS 5D"
ACTOR = "archivist-jones"


def make_private(faces_db: Path, to: Path) -> Path:
    """Faces 1 and 2 are NAMED's, 3 HIDDEN's, 7 OTHER's (in a photo without a date); 4 to 6 nobody's."""
    shutil.copy(faces_db, to)
    with writing(str(to)) as conn, transaction(conn):
        conn.execute(
            "update photos set taken_at = ?, camera = ?, latitude = ?, longitude = ? where id = 1",
            [MOMENT, CAMERA, *SECRET_PLACE],
        )
        for face_ids, name in (([1, 2], FORMER), ([3], HIDDEN), ([7], OTHER)):
            made = decide.move(conn, face_ids, None, by=Editor(ACTOR))
            person = conn.execute(
                "select person_id from faces where id = ?", [face_ids[0]]
            ).fetchone()[0]
            assert made
            decide.name(conn, person, name)
            if name == FORMER:
                decide.name(conn, person, NAMED)
            if name == HIDDEN:
                decide.hide(conn, person)
    return to
