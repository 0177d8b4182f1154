"""Where faces were in what their photos held before an edit: so decisions about them find them now.

A decision names a face by a content and a box. Several photos may have held one content: a file that was
edited, and its original that came back under another name. Faces that are gone are in `lost_faces`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable

from ..algorithms import geometry
from ..shapes import Box
from . import coerce
from .connection import Connection
from .schema import has_tables

Boxes = dict[str, dict[int, dict[int, Box]]]
"""By content, then by photo, the box that each face has in that content."""


def boxes_by_content(conn: Connection, contents: Iterable[str]) -> Boxes:
    """The faces of the photos that hold these contents, or held them, each with its box in that content.

    Photos that hold it come before those that held it. A face that is in the present picture no longer
    is left out.
    """
    is_edited = has_tables(conn, "former_faces")  # not so in a file of an earlier version
    not_another = """
        and not exists (select 1 from former_pictures where former_pictures.sha256 = value
            and former_pictures.photo_id = photo_contents.photo_id)
    """
    of_former = """
        union all select value, former_faces.photo_id, face_id, former_faces.x, former_faces.y,
            former_faces.width, former_faces.height, 1
        from json_each(:contents) cross join former_faces on former_faces.sha256 = value
        where face_id is not null
    """
    rows = conn.execute(
        f"""
        select value, photo_id, faces.id, x, y, faces.width, faces.height, 0 as held
        from json_each(:contents) cross join photos on photos.sha256 = value
        cross join faces on photo_id = photos.id
        union all select value, faces.photo_id, faces.id, x, y, width, height, 1
        from json_each(:contents) cross join photo_contents on photo_contents.sha256 = value
            {not_another if is_edited else ""}
        cross join faces on faces.photo_id = photo_contents.photo_id
        {of_former if is_edited else ""}
        order by held, 2, 3
        """,
        {"contents": json.dumps(sorted(contents))},
    )
    found: Boxes = defaultdict(lambda: defaultdict(dict))
    for sha256, photo_id, face_id, *box, _ in rows:
        found[sha256][photo_id].setdefault(face_id, coerce.box(*box))
    return found


def find_face(boxes: Boxes, sha256: str, box: Box) -> int | None:
    """The face that was in a box of a content, in the first photo that has one there; else None."""
    for among in boxes.get(sha256, {}).values():
        face_id = geometry.find_same_face(box, among)
        if face_id is not None:
            return face_id
    return None


def photo_of_picture(conn: Connection, sha256: str) -> int | None:
    """The photo whose present picture is that of a content; None where there is none."""
    row = conn.execute(
        """
        select coalesce(
            (select id from photos where sha256 = :sha256),
            (select photo_id from photo_contents where sha256 = :sha256 and not exists (
                select 1 from former_pictures where former_pictures.sha256 = :sha256
                    and former_pictures.photo_id = photo_contents.photo_id
            ) order by photo_id)
        )
        """,
        {"sha256": sha256},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def part_with_picture(conn: Connection, photo_id: int) -> str | None:
    """Another picture takes the place of a photo's: its contents keep where the faces were.

    The last of these contents; None where all that the photo held before had another picture already.
    """
    rows = conn.execute(
        "select sha256 from photo_contents where photo_id = ?1 and sha256 not in "
        "(select sha256 from former_pictures where photo_id = ?1) order by rowid",
        [photo_id],
    )
    contents = [row[0] for row in rows]
    if not contents:
        return None
    conn.executemany(
        "insert into former_pictures(sha256, photo_id, picture) values (?, ?, ?)",
        [(sha256, photo_id, contents[-1]) for sha256 in contents],
    )
    conn.executemany(
        "insert into former_faces(photo_id, sha256, x, y, width, height, face_id) "
        "select photo_id, ?, x, y, width, height, id from faces where photo_id = ? order by id",
        [(sha256, photo_id) for sha256 in contents],
    )
    return str(contents[-1])


def forget_content(conn: Connection, photo_id: int, sha256: str) -> bool:
    """A photo holds a former content again: the faces of that picture are in it, and looked at anew.

    The other contents that had the same picture have the present one again. Whether it had another one
    meanwhile.
    """
    conn.execute("delete from photo_contents where photo_id = ? and sha256 = ?", [photo_id, sha256])
    same = (
        "select sha256 from former_pictures where photo_id = ?1 and picture = (select picture from "
    )
    same += "former_pictures where photo_id = ?1 and sha256 = ?2)"
    contents = [row[0] for row in conn.execute(same, [photo_id, sha256])]
    for table in ("former_faces", "former_pictures"):
        conn.executemany(
            f"delete from {table} where photo_id = ? and sha256 = ?",
            [(photo_id, content) for content in contents],
        )
    return bool(contents)
