"""All rows that tell of photos or people who are forgotten: chosen, counted, deleted, and looked for again.

One list, TIES, says of each table which of its rows go; what tells of nobody is in TELLS_NOTHING.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ..algorithms import geometry
from ..shapes import Box
from . import coerce, decisions, forget_choice, forget_names, kept_decisions, people
from .connection import Connection
from .decisions import APART, COVER, DRAWN, MEMBER, MERGE, FaceRef
from .people import NOT_A_FACE
from .schema import read_schema


@dataclass(frozen=True, slots=True)
class Tie:
    """Which rows of a table tell of what is forgotten; {photos} and so on are the chosen ones."""

    table: str
    where: str


TIES = (
    Tie("face_embeddings", "face_id in {faces}"),
    Tie("face_clusters", "face_id in {faces}"),
    Tie("former_faces", "photo_id in {photos} or face_id in {faces} or lost_id in {lost}"),
    Tie("lost_faces", "photo_id in {photos} or id in {lost}"),
    Tie("face_drawings", "face_id in {faces} or uid in {drawings}"),
    Tie("names_read", "photo_id in {photos}"),
    Tie(
        "said_names",
        "photo_id in {photos} or name in {names} or name in {former} and photo_id in {shown}",
    ),
    Tie("name_proposals", "person_key in {keys} or name in {names}"),
    Tie("likely_pairs", "first_key in {keys} or second_key in {keys}"),
    Tie("analyses", "photo_id in {photos}"),
    Tie("photo_contents", "photo_id in {photos}"),
    Tie("former_pictures", "photo_id in {photos}"),
    Tie("photo_paths", "photo_id in {photos}"),
    Tie("ingest_errors", "path in {paths}"),
    Tie("decision_faces", "rowid in {refs} or decision_id in {decisions}"),
    Tie("decisions", "id in {decisions}"),
    Tie("faces", "id in {faces}"),
    Tie("people", "key in {keys}"),
    Tie("photos", "id in {photos}"),
)
"""In an order in which they can go: what points to a row before that row."""
TELLS_NOTHING = frozenset(
    {
        "models",
        "calibrations",
        "face_keys",
        "forget_runs",
        "forgotten_faces",
        "_sqlite_migrations",
        "sqlite_sequence",
    }
)
"""Tables without a row of any one photo or person, or with what stays: no face is stored there again."""
MADE_AGAIN = frozenset({"face_indexes", "face_index_parts", "face_changes"})
"""Tables of indexes, which are removed and rebuilt from the embeddings that stay; so are vec0's."""
OF_CONTENTS = ("decision_faces", "decisions")
"""Tables that are kept where decisions are kept for when a file comes back."""
_SAYS_WHOSE = (MEMBER, APART, COVER, DRAWN)
_OF_PEOPLE_ALONE = ("name", "import", "hide", "unhide", MERGE, "apart")
"""Kinds of decisions that say something without a face."""
_OF_TWO = (MERGE, "apart")


def choose_photos(conn: Connection, photo_ids: Iterable[int], *, keep_decisions: bool) -> None:
    """Choose photos with all that tells of them, and the people who have no other face.

    keep_decisions: leave what would find the faces, and their people, again.
    """
    forget_choice.fill(conn, "photos", photo_ids)
    for column, sql in (
        ("faces", "select id from faces where photo_id in {photos}"),
        ("lost", "select id from lost_faces where photo_id in {photos}"),
        ("paths", "select path from photo_paths where photo_id in {photos}"),
        ("paths", "select path from photos where id in {photos}"),
    ):
        forget_choice.choose(conn, column, sql)
    for table in ("photos", "photo_paths", "photo_contents", "former_pictures"):
        column = "id" if table == "photos" else "photo_id"
        forget_choice.choose(
            conn, "contents", f"select sha256 from {table} where {column} in {{photos}}"
        )
    conn.execute(
        forget_choice.fill_in(
            "delete from temp.forget_contents where "
            "sha256 in (select sha256 from photos where id not in {photos}) "
            "or sha256 in (select sha256 from photo_contents where photo_id not in {photos})"
        )
    )
    forget_choice.choose(
        conn,
        "drawings",
        "select uid from decisions join decision_faces on decision_id = decisions.id "
        f"where role = '{DRAWN}' and sha256 in {{contents}}",
    )
    if not keep_decisions:
        forget_choice.choose(
            conn, "refs", "select rowid from decision_faces where sha256 in {contents}"
        )
        choose_people(conn, _bereft(conn))
        _spare_hidden(conn)


def _bereft(conn: Connection) -> list[str]:
    """The keys of people of whom nothing is left beside the chosen photos, nor of who was merged with them.

    Who is hidden stays: what hides them must hold when a photo of theirs comes back.
    """
    went = decisions.merged_away(conn)
    stay = conn.execute(
        forget_choice.fill_in(
            f"""
            select key from people where key = '{NOT_A_FACE}' or hidden
            or id in (select person_id from faces where id not in {{faces}})
            union select person_key from lost_faces where id not in {{lost}}
            union select person_key from decisions
            join decision_faces on decision_id = decisions.id
            where role = '{MEMBER}' and sha256 not in {{contents}}
            """
        )
    )
    ends = {people.follow_merges(key, went)[-1] for (key,) in stay if key is not None}
    rows = conn.execute(
        forget_choice.fill_in(
            "select key from people where id in (select person_id from faces where id in {faces})"
        )
    )
    return [key for (key,) in rows if people.follow_merges(key, went)[-1] not in ends]


def _spare_hidden(conn: Connection) -> None:
    """Leave which faces are of hidden people, who stay: it holds when a photo comes back."""
    hidden = [row[0] for row in conn.execute("select key from people where hidden")]
    rows = conn.execute(
        forget_choice.fill_in(
            f"""
            select decision_faces.rowid, role, sha256, x, y, width, height from decision_faces
            join decisions on decisions.id = decision_id where role = '{MEMBER}'
            and decision_faces.rowid in {{refs}} and person_key not in {{keys}}
            and person_key in (select value from json_each(?))
            """
        ),
        [json.dumps(sorted(merged_with(conn, hidden)))],
    ).fetchall()
    named = [FaceRef(role, sha256, coerce.box(*box)) for _, role, sha256, *box in rows]
    found = decisions.found_again(conn, named)
    owners = conn.execute(
        "select faces.id from faces join people on people.id = person_id where not hidden "
        "and faces.id in (select value from json_each(?))",
        [json.dumps(found)],
    )
    others = {row[0] for row in owners}
    conn.executemany(
        "delete from temp.forget_refs where id = ?",
        [(row[0],) for row, face_id in zip(rows, found, strict=True) if face_id not in others],
    )


def list_unguarded(conn: Connection) -> list[int]:
    """Hidden people of whom no face stays: nobody is known to resemble them any more."""
    rows = conn.execute(
        forget_choice.fill_in(
            "select distinct people.id from people join faces on person_id = people.id "
            "where hidden and faces.id in {faces} and person_id not in "
            "(select person_id from faces where id not in {faces} and person_id is not null)"
        )
    )
    return [row[0] for row in rows]


def choose_people(conn: Connection, keys: Iterable[str]) -> None:
    """Choose people, with all who were merged into one with them, and what tells of them."""
    forget_choice.fill(conn, "keys", merged_with(conn, keys))
    for column, sql in (
        (
            "faces",
            "select faces.id from faces join people on people.id = person_id where key in {keys}",
        ),
        ("lost", "select id from lost_faces where person_key in {keys}"),
    ):
        forget_choice.choose(conn, column, sql)
    forget_names.choose_names(conn)
    _choose_refs(conn)


def choose_decisions(conn: Connection) -> None:
    """Choose the decisions that say nothing any more without what is chosen; at the end."""
    # Of such a photo, a former name is said of them; of another one, of a namesake perhaps
    forget_choice.fill(conn, "shown", kept_photos(conn))
    about = ", ".join(f"'{kind}'" for kind in _OF_PEOPLE_ALONE)
    of_two = ", ".join(f"'{kind}'" for kind in _OF_TWO)
    roles = ", ".join(f"'{role}'" for role in _SAYS_WHOSE)
    forget_choice.choose(
        conn,
        "decisions",
        "select id from decisions where person_key in {keys} "
        f"or other_key in {{keys}} and kind in ({of_two})",
    )
    forget_choice.choose(
        conn,
        "decisions",
        f"""
        select decision_id from decision_faces join decisions on decisions.id = decision_id
        where decision_faces.rowid in {{refs}} and kind not in ({about}) and not exists (
            select 1 from decision_faces as rest where rest.decision_id = decisions.id
            and rest.role in ({roles}) and rest.rowid not in {{refs}}
        )
        """,
    )
    while forget_choice.choose(
        conn,
        "decisions",
        "select id from decisions where target in "
        "(select uid from decisions where id in {decisions})",
    ):
        pass
    forget_choice.choose(conn, "drawings", "select uid from decisions where id in {decisions}")


def merged_with(conn: Connection, keys: Iterable[str]) -> set[str]:
    """These people, and all who are one with them by a merge."""
    went = decisions.merged_away(conn)
    ends = {people.follow_merges(key, went)[-1] for key in keys}
    known = {*went, *went.values(), *ends}
    return {key for key in known if people.follow_merges(key, went)[-1] in ends}


def _choose_refs(conn: Connection) -> None:
    """Choose where decisions name faces that are chosen, or that were these people's once."""
    rows = conn.execute(
        forget_choice.fill_in(
            f"""
            select rowid, role, sha256, x, y, width, height from decision_faces where sha256 in (
                select sha256 from photos join faces on photo_id = photos.id
                where faces.id in {{faces}}
                union select sha256 from former_faces where face_id in {{faces}}
                    or lost_id in {{lost}}
                union select sha256 from photo_contents join faces using (photo_id)
                    where faces.id in {{faces}}
                union select sha256 from decision_faces join decisions on decisions.id = decision_id
                    where person_key in {{keys}} and role = '{MEMBER}'
            )
            """
        )
    ).fetchall()
    named = [FaceRef(role, sha256, coerce.box(*box)) for _, role, sha256, *box in rows]
    chosen = {row[0] for row in conn.execute("select id from temp.forget_faces")}
    theirs = _former_places(conn)
    gone = [
        row[0]
        for row, ref, face_id in zip(rows, named, decisions.found_again(conn, named), strict=True)
        if face_id in chosen
        or (
            face_id is None
            and geometry.find_same_face(ref.box, dict(enumerate(theirs.get(ref.sha256, ()))))
            is not None
        )
    ]
    forget_choice.fill(conn, "refs", gone)


def _former_places(conn: Connection) -> dict[str, list[Box]]:
    """By content, where the chosen people were said to be, or where their lost faces were."""
    rows = conn.execute(
        forget_choice.fill_in(
            f"""
            select sha256, x, y, width, height from decision_faces
            join decisions on decisions.id = decision_id
            where person_key in {{keys}} and role = '{MEMBER}'
            union all select sha256, x, y, width, height from former_faces where lost_id in {{lost}}
            """
        )
    )
    places: dict[str, list[Box]] = {}
    for sha256, *box in rows:
        places.setdefault(sha256, []).append(coerce.box(*box))
    return places


def count_chosen(conn: Connection, *, keep_decisions: bool = False) -> dict[str, int]:
    """How many rows of each table are chosen and there."""
    schema = read_schema(conn, *(tie.table for tie in TIES))
    return {
        tie.table: conn.execute(
            f"select count(*) from {tie.table} where {forget_choice.fill_in(tie.where)}"
        ).fetchone()[0]
        for tie in TIES
        if schema.has(tie.table) and not (keep_decisions and tie.table in OF_CONTENTS)
    }


def delete_chosen(conn: Connection, *, keep_decisions: bool = False) -> None:
    """Delete all chosen rows, and bring what refers to them up to date; in a transaction."""
    kept_decisions.name_by_present(conn)
    touched = _list_touched(conn)
    bereft = _keys_of_faces(conn)
    conn.execute(
        forget_choice.fill_in(
            "update decisions set other_key = null where other_key in {keys} "
            "and id not in {decisions}"
        )
    )
    conn.execute(
        forget_choice.fill_in(
            "update face_clusters set person_key = null where person_key in {keys}"
        )
    )
    conn.execute(
        forget_choice.fill_in(
            "update face_drawings set kept = json_set(kept, '$.proposed', json('[]')) "
            "where kept is not null and exists (select 1 from json_each(kept, '$.proposed') "
            "where json_each.value in {keys})"
        )
    )
    for tie in TIES:
        if not (keep_decisions and tie.table in OF_CONTENTS):
            conn.execute(f"delete from {tie.table} where {forget_choice.fill_in(tie.where)}")
    there = json.dumps(touched)
    rows = conn.execute(
        "select id from faces where id in (select value from json_each(?))", [there]
    )
    people.update_faces(conn, [row[0] for row in rows])
    people.show(conn, bereft)
    people.forget_empty(conn)


def _list_touched(conn: Connection) -> list[int]:
    """Faces that stay, and of which decisions or clusters that go say something."""
    refs = conn.execute(
        forget_choice.fill_in(
            "select role, sha256, x, y, width, height from decision_faces "
            "where rowid in {refs} or decision_id in {decisions}"
        )
    ).fetchall()
    named = [FaceRef(role, sha256, coerce.box(*box)) for role, sha256, *box in refs]
    found = {it for it in decisions.found_again(conn, named) if it is not None}
    rows = conn.execute(
        forget_choice.fill_in("select face_id from face_clusters where person_key in {keys}")
    )
    found.update(row[0] for row in rows)
    return sorted(found.difference(forget_choice.read(conn, "faces")))


def _keys_of_faces(conn: Connection) -> list[str]:
    """The keys of people who lose a face, and stay."""
    rows = conn.execute(
        forget_choice.fill_in(
            "select distinct key from people join faces on person_id = people.id "
            "where faces.id in {faces} and key not in {keys}"
        )
    )
    return [row[0] for row in rows]


def list_places(conn: Connection) -> list[tuple[str, Box]]:
    """Where the chosen faces are, or were, in photos that stay: content, box."""
    rows = conn.execute(
        forget_choice.fill_in(
            """
            select photos.sha256, x, y, faces.width, faces.height from faces
            join photos on photos.id = photo_id
            where faces.id in {faces} and photo_id not in {photos}
            union all select photo_contents.sha256, x, y, width, height from faces
            join photo_contents using (photo_id)
            where faces.id in {faces} and photo_id not in {photos} and not exists (
                select 1 from former_pictures where former_pictures.sha256 = photo_contents.sha256
                and former_pictures.photo_id = photo_contents.photo_id
            )
            union all select sha256, x, y, width, height from former_faces
            where (face_id in {faces} or lost_id in {lost}) and photo_id not in {photos}
            """
        )
    )
    return [(sha256, coerce.box(*box)) for sha256, *box in rows]


def kept_photos(conn: Connection) -> list[int]:
    """The photos that stay, of which faces are chosen."""
    rows = conn.execute(
        forget_choice.fill_in(
            "select distinct photo_id from faces where id in {faces} and photo_id not in {photos} "
            "union select photo_id from lost_faces where id in {lost} and photo_id not in {photos}"
        )
    )
    return sorted(row[0] for row in rows)
