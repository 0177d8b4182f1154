"""What a person's page reads: their faces over time, whom they are seen with, where they went."""

from __future__ import annotations

from . import decisions, people
from .connection import Connection
from .gallery import Query, Row, has_table, rows

SMALL_PX = 40
"""A face's shorter side. Immich and InsightFace's server take 40 px as the least of good quality."""
UNSURE_SCORE = 0.7
"""Immich's least detection score."""
BLURRED = 30
"""Sharpness: what the face page calls blurred or very small."""

# Whom a person placed is not in doubt, however bad the picture
DOUBTFUL = f"""(
        faces.person_source = 'cluster' and (
            min(faces.width, faces.height) < {SMALL_PX}
            or faces.detection_score < {UNSURE_SCORE} or faces.sharpness < {BLURRED}
        )
    )"""
# Without a date: at the end, as no day comes after ~
_ORDER = f"{DOUBTFUL}, coalesce(faces.photo_taken_at, '~'), faces.id"
COMPANY_OF = 5_000
"""Whom somebody is seen with is told of so many of their faces: more take longer than a page may."""

TOGETHER = f"""
select people.id as person_id, people.name, count(distinct mine.photo_id) as photos,
    people.faces, people.cover_face_id as face_id
from (select photo_id from faces where person_id = :person_id limit {COMPANY_OF}) as mine
join faces as theirs on theirs.photo_id = mine.photo_id
join people on people.id = theirs.person_id
where people.id != cast(:person_id as integer) and not people.hidden
group by people.id order by photos desc, people.id limit :limit
""".strip()


def faces_query(person_id: int, *, after: int | None, limit: int) -> Query:
    """A person's faces as a query, by their photo's date, those in doubt at the end."""
    beyond, params = "", {"person_id": person_id, "limit": limit}
    if after is not None:
        params["after"] = after
        beyond = (
            f"\n        and ({_ORDER}) >\n"
            f"            (select {_ORDER} from faces where faces.id = cast(:after as integer))"
        )
    sql = (
        "select faces.id as face_id, faces.photo_id, photos.path, photos.taken_at,\n"
        "    faces.width, faces.height, faces.detection_score, faces.sharpness,\n"
        f"    faces.person_id, faces.person_source,\n    coalesce({DOUBTFUL}, 0) as doubtful, "
        "faces.crop\n"
        "from faces join photos on photos.id = faces.photo_id\n"
        "where faces.id in (\n"
        f"    select faces.id from faces where faces.person_id = :person_id{beyond}\n"
        f"    order by {_ORDER} limit :limit\n"
        f")\norder by {_ORDER}"
    )
    return Query(sql, params)


def together(conn: Connection, person_id: int, *, limit: int) -> list[Row]:
    """Those who are in the most photos with somebody; people who are hidden are left out."""
    return rows(conn, Query(TOGETHER, {"person_id": person_id, "limit": limit}))


def went_to(conn: Connection, key: str) -> int | None:
    """The id of the person whom somebody was merged into, at the end of the way."""
    if not has_table(conn, "decisions"):
        return None  # a catalogue
    way = people.way(key, decisions.merged_away(conn))
    found = people.by_key(conn, way[-1]) if len(way) > 1 else None
    return found.id if found else None
