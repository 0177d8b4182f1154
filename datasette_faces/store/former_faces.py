"""Where faces were in what their photos held before an edit, and whose those were that are gone since.

A decision names a face by a content and a box: here it finds the face that this is by now. What an edit
does to the faces themselves is in `edited_photos`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..algorithms import geometry
from ..shapes import Box
from . import coerce
from .connection import Connection
from .schema import has_tables


def boxes_by_content(conn: Connection, contents: Iterable[str]) -> dict[str, dict[int, Box]]:
    """The faces of the photos that hold these contents, or held them, each with its box in that content.

    A face that is in the present picture no longer is left out.
    """
    there = "not exists (select 1 from photos where photos.sha256 = value)"
    is_edited = has_tables(conn, "former_faces")  # not so in a file of an earlier version
    of_former = """
        union all select value, face_id, former_faces.x, former_faces.y, former_faces.width,
            former_faces.height
        from json_each(:contents) cross join former_faces on former_faces.sha256 = value
        where face_id is not null and {there}
    """
    rows = conn.execute(
        f"""
        select value, faces.id, x, y, faces.width, faces.height
        from json_each(:contents) cross join photos on photos.sha256 = value
        cross join faces on photo_id = photos.id
        union all select value, faces.id, x, y, width, height
        from json_each(:contents) cross join photo_contents on photo_contents.sha256 = value
        cross join faces on faces.photo_id = photo_contents.photo_id where {there}
            {"and value not in (select sha256 from former_pictures)" if is_edited else ""}
        {of_former.format(there=there) if is_edited else ""}
        order by 1, 2
        """,
        {"contents": json.dumps(sorted(contents))},
    )
    found: dict[str, dict[int, Box]] = defaultdict(dict)
    for sha256, face_id, *box in rows:
        found[sha256][face_id] = coerce.box(*box)
    return found


def photo_of_picture(conn: Connection, sha256: str) -> int | None:
    """The photo whose present picture is that of a content; None where there is none."""
    row = conn.execute(
        """
        select coalesce(
            (select id from photos where sha256 = :sha256),
            (select photo_id from photo_contents where sha256 = :sha256
                and sha256 not in (select sha256 from former_pictures))
        )
        """,
        {"sha256": sha256},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def part_with_picture(
    conn: Connection, photo_id: int, face_ids: Sequence[int] | None = None
) -> None:
    """Another picture takes the place of a photo's: its former contents keep where the faces were.

    face_ids: those that were in that picture; None for all of the photo.
    """
    rows = conn.execute(
        "select sha256 from photo_contents where photo_id = ? "
        "and sha256 not in (select sha256 from former_pictures) order by sha256",
        [photo_id],
    )
    contents = [row[0] for row in rows]
    among = None if face_ids is None else json.dumps(list(face_ids))
    conn.executemany(
        "insert into former_pictures(sha256, photo_id) values (?, ?)",
        [(sha256, photo_id) for sha256 in contents],
    )
    conn.executemany(
        "insert into former_faces(photo_id, sha256, x, y, width, height, face_id) "
        "select photo_id, ?, x, y, width, height, id from faces where photo_id = ? "
        "and (? is null or id in (select value from json_each(?))) order by id",
        [(sha256, photo_id, among, among) for sha256 in contents],
    )


def former_contents(conn: Connection, photo_id: int) -> list[str]:
    """What a photo held before, the last one last, as far as it had another picture or may have had."""
    rows = conn.execute(
        "select sha256 from photo_contents where photo_id = ? order by rowid", [photo_id]
    )
    return [row[0] for row in rows]


def part_with(conn: Connection, face_id: int) -> None:
    """Say that a face is not in the present picture, and whose it was; its row may go then."""
    conn.execute(
        """
        update former_faces set face_id = null, person_key = (
            select key from faces join people on people.id = person_id where faces.id = :face_id
        ) where face_id = :face_id
        """,
        {"face_id": face_id},
    )


def reunite(conn: Connection, sha256: str, box: Box, face_id: int) -> None:
    """Say that a face is in the present picture again, which was in a box of a former content."""
    rows = conn.execute(
        "select rowid, x, y, width, height from former_faces where sha256 = ? and face_id is null",
        [sha256],
    )
    found = geometry.find_same_face(box, {rowid: coerce.box(*box) for rowid, *box in rows})
    conn.execute(
        "update former_faces set face_id = ?, person_key = null where rowid = ?", [face_id, found]
    )


def forget_content(conn: Connection, photo_id: int, sha256: str) -> None:
    """A photo holds a former content again: its faces are in the picture, and looked at anew."""
    for table in ("former_faces", "former_pictures", "photo_contents"):
        conn.execute(f"delete from {table} where photo_id = ? and sha256 = ?", [photo_id, sha256])
