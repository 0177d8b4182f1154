"""The allow-list of an audit: whose faces may be in a catalogue, and how much each cell may tell.

The rules are in SQL and Python of their own and never call the code that exports, so that a mistake of
an export is a finding. Only the public ids are matched by the exporter's code, in `compare_exports`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...algorithms.quarter_turns import TURNS
from ...shapes import Box
from ...store.catalogue import PICTURE_COLUMNS
from ...store.connection import Connection
from ...store.people import NOT_A_FACE
from ...store.schema import quote_name, read_schema
from .findings import AuditFinding, Catalogue, Row, pair_by_id, read_rows

KNOWN_NOTES = {
    "format": r"1",
    "made_on": r"\d{4}-\d\d-\d\d",
    "embeddings": r"yes",
    "unnamed": r"yes",
    "gps": r"city",
    "originals_url": r"https://\S+",
    "blur_others": r"yes",
    "watermark": r"[^\0]{1,200}",
    "portable": r"yes",
    "edited": r"yes",
    "missing": r"yes",
    "chosen": r"people|query|people and query",
    "seal": r"[0-9a-f]{64}",
}
UNDATED = "undated"
DAY = re.compile(r"\d{4}(-\d\d){0,2}")
PUBLIC_PATH = re.compile(rf"({UNDATED}|{DAY.pattern})-[a-z2-7]{{13}}")
"""What a photo is called in place of its path: its day, and 13 characters without a meaning."""
PLACE_DECIMALS = 1
"""A coordinate tells the town: 0.1 degrees are 11 km from north to south."""
SCORE_STEP = 0.01
ROUNDING = 1e-6

IS_BARRED = f"(coalesce(people.hidden, 0) != 0 or coalesce(people.key, '') = '{NOT_A_FACE}')"
"""SQL: the person is hidden, or stands for what is no face."""
PHOTOS = """
select public_id, id, taken_at, width, height, turned, latitude, longitude
from photos join public_photos using (id)
where id in (select photo_id from faces join audited using (id)) order by public_id
"""
FACES = """
select public_faces.public_id, faces.x, faces.y, faces.width, faces.height, detection_score, sharpness,
    photo_taken_at, public_photos.public_id as public_photo,
    public_people.public_id as public_person
from audited join faces using (id) join public_faces using (id)
join public_photos on public_photos.id = photo_id
left join public_people on public_people.id = person_id order by public_faces.public_id
"""
Rule = Callable[[Any, Row, Row], bool]
"""Whether a cell may hold a value: the value, its row in the catalogue, and the private row."""


def set_published(private: Connection, face_ids: Iterable[int]) -> None:
    """Keep the private ids of published faces in the temporary table `audited`."""
    private.execute("create temp table audited(id integer primary key)")
    private.executemany("insert into audited values (?)", ((face_id,) for face_id in face_ids))


def published_names(private: Connection) -> set[str]:
    """The names of people who have a published face and are not hidden."""
    rows = private.execute(
        f"select name from people where not {IS_BARRED} and name is not null "
        "and id in (select person_id from faces join audited using (id))"
    )
    return {str(row[0]) for row in rows}


def boxes_to_blur(catalogue: Catalogue) -> dict[int, list[Box]]:
    """By the private id of a published photo, the boxes of faces that it must not show.

    Those of hidden people, or, with `blur_others`, of all faces that are not published.
    """
    barred = "coalesce(people.hidden, 0) != 0"
    if catalogue.notes.get("blur_others"):
        barred = "faces.id not in (select id from audited)"
    rows = catalogue.private.execute(
        "select photo_id, x, y, faces.width, faces.height from faces "
        f"left join people on people.id = person_id where {barred} "
        "and photo_id in (select photo_id from faces join audited using (id)) "
        "and coalesce(people.key, '') != ?",
        [NOT_A_FACE],
    )
    boxes: dict[int, list[Box]] = {}
    for photo_id, *box in rows:
        boxes.setdefault(photo_id, []).append(Box(*box))
    return boxes


def _photos_of_forgotten(catalogue: Catalogue) -> set[int]:
    """The private ids of photos in which someone was forgotten: their originals show them still."""
    if not read_schema(catalogue.private, "forgotten_faces").has("forgotten_faces"):
        return set()  # a file of an earlier version
    sql = "select id from photos where sha256 in (select sha256 from forgotten_faces)"
    return {row[0] for row in catalogue.private.execute(sql)}


def check_missing(catalogue: Catalogue) -> list[AuditFinding]:
    """No face is of a photo whose file was missing the day before, unless the catalogue says so."""
    if catalogue.notes.get("missing"):
        return []
    rows = catalogue.private.execute(
        "select public_id from audited join faces using (id) join public_faces using (id) "
        "join photos on photos.id = photo_id where substr(missing_since, 1, 10) < ?",
        [catalogue.notes.get("made_on", "")],
    )
    return [
        AuditFinding.of(
            "faces of photos whose files are missing",
            len(catalogue.faces),
            [row[0] for row in rows],
        )
    ]


def check_notes(catalogue: Catalogue) -> list[AuditFinding]:
    """`catalogue` names the options of the export, and holds nothing else."""
    leaks = [
        name
        for name, value in catalogue.notes.items()
        if not re.fullmatch(KNOWN_NOTES.get(name, "(?!)"), value)
    ]
    return [AuditFinding.of("notes of the catalogue", len(catalogue.notes), leaks)]


def check_barred_faces(catalogue: Catalogue) -> list[AuditFinding]:
    """No face is of a hidden person; none is of an unnamed one, unless the catalogue says so."""
    barred = IS_BARRED
    if not catalogue.notes.get("unnamed"):
        barred += " or trim(coalesce(people.name, '')) = ''"
    rows = catalogue.private.execute(
        "select public_id from audited join faces using (id) join public_faces using (id) "
        f"left join people on people.id = person_id where {barred}"
    )
    leaks = [row[0] for row in rows]
    return [AuditFinding.of("faces of hidden or unnamed people", len(catalogue.faces), leaks)]


def check_people(catalogue: Catalogue) -> list[AuditFinding]:
    """`people` holds everybody who has a published face, with their name, and nobody else."""
    wanted = dict(
        catalogue.private.execute(
            f"select public_id, name from people join public_people using (id) where not {IS_BARRED} "
            "and id in (select person_id from faces join audited using (id))"
        ).fetchall()
    )
    faces: dict[Any, set[Any]] = {}
    for row in catalogue.rows("select id, person_id from faces"):
        faces.setdefault(row["person_id"], set()).add(row["id"])
    rows = list(catalogue.rows("select * from people"))
    leaks = [
        f"people {row['id']}: {row['name']}"
        for row in rows
        if row["id"] not in wanted
        or not _is_person(row, wanted[row["id"]], faces.get(row["id"], set()))
    ]
    missing = wanted.keys() - {row["id"] for row in rows}
    leaks += [f"people {person}: is missing" for person in sorted(missing)]
    return [AuditFinding.of("people", len(rows), leaks)]


def _is_person(row: Row, name: str | None, faces: set[Any]) -> bool:
    """Whether a row of `people` holds what it may: these faces are the person's in the catalogue."""
    expected = {
        "id": row["id"],
        "name": name,
        "key": f"p{row['id']}",
        "hidden": 0,
        "faces": len(faces),
        "cover_face_id": row["cover_face_id"],
    }
    same_types = all(type(row.get(column)) is type(value) for column, value in expected.items())
    return row == expected and same_types and row["cover_face_id"] in faces


def _is_day(column: str) -> Rule:
    """A rule: the day of a private time, or none."""

    def may_hold(value: Any, row: Row, private: Row) -> bool:
        return value is None or (
            isinstance(value, str)
            and DAY.fullmatch(value) is not None
            and str(private[column]).startswith(value)
        )

    return may_hold


def _is_rounded(column: str, step: float) -> Rule:
    """A rule: a private number rounded to a multiple of `step`, or none."""

    def may_hold(value: Any, row: Row, private: Row) -> bool:
        if value is None:
            return True
        steps = value / step
        is_multiple = abs(steps - round(steps)) < ROUNDING
        return is_multiple and bool(abs(value - private[column]) <= step / 2 + ROUNDING)

    return may_hold


def _is_same(column: str) -> Rule:
    """A rule: the value of a private column."""
    return lambda value, row, private: bool(value == private[column])


def _is_public_path(value: Any, row: Row, private: Row) -> bool:
    """Whether a photo is called by its day and a text without a meaning."""
    found = PUBLIC_PATH.fullmatch(value)
    return found is not None and (
        found[1] == UNDATED or _is_day("taken_at")(found[1], row, private)
    )


def _rules(catalogue: Catalogue) -> dict[str, dict[str, Rule]]:
    """The columns that a catalogue may have, each with its rule. Pictures have checks of their own."""
    template = catalogue.notes.get("originals_url", "")
    blurred = {*boxes_to_blur(catalogue), *_photos_of_forgotten(catalogue)} if template else set()

    def is_original(value: Any, row: Row, private: Row) -> bool:
        if value is None or not template:
            return value is None
        return private["id"] not in blurred and value == template.replace("{id}", row["path"])

    places = ("latitude", "longitude") if catalogue.notes.get("gps") else ()
    photos: dict[str, Rule] = {
        "id": _is_same("public_id"),
        "path": _is_public_path,
        "taken_at": _is_day("taken_at"),
        "original_url": is_original,
        **{name: _is_same(name) for name in ("width", "height")},
        "turned": _is_turn,
        **{name: _is_rounded(name, 10**-PLACE_DECIMALS) for name in places},
    }
    faces: dict[str, Rule] = {
        "id": _is_same("public_id"),
        "photo_id": _is_same("public_photo"),
        "person_id": _is_same("public_person"),
        "person_source": lambda value, row, private: value is None,
        "photo_taken_at": _is_day("photo_taken_at"),
        "detection_score": _is_rounded("detection_score", SCORE_STEP),
        **{name: _is_rounded(name, 1) for name in ("x", "y", "width", "height", "sharpness")},
    }
    return {"photos": photos, "faces": faces}


def _is_turn(value: Any, row: Row, private: Row) -> bool:
    known = private["turned"]
    return type(value) is int and value == (known if known in TURNS else 0)


def check_cells(catalogue: Catalogue) -> list[AuditFinding]:
    """Photos and faces have no further columns, and no cell tells more than its rule allows."""
    sources = {"photos": PHOTOS, "faces": FACES}
    leaks: list[str] = []
    count = 0
    for table, rules in _rules(catalogue).items():
        columns = [row[1] for row in catalogue.conn.execute(f"pragma table_info({table})")]
        kept = [name for name in columns if name != PICTURE_COLUMNS[table]]
        listed = ", ".join(map(quote_name, kept))
        rows = catalogue.rows(f"select {listed} from {table} order by id")
        private = read_rows(catalogue.private, sources[table])
        for row, known in pair_by_id(rows, private, key="public_id"):
            count += len(kept)
            leaks += _find_leaks(table, row, known, rules)
    return [AuditFinding.of("cells that tell more than a catalogue may", count, leaks)]


def _find_leaks(table: str, row: Row, private: Row | None, rules: dict[str, Rule]) -> Iterator[str]:
    """The cells of a row that break their rules."""
    if private is None:
        yield f"{table} {row['id']}: is not in the private file"
        return
    for name, value in row.items():
        if name not in rules or not _holds(rules[name], value, row, private):
            yield f"{table} {row['id']}: {name} {value!r:.80}"


def _holds(rule: Rule, value: Any, row: Row, private: Row) -> bool:
    try:
        return rule(value, row, private)
    # Another program may have written text where a number should be
    except (TypeError, ValueError, ArithmeticError):
        return False
