"""What is known of why a face is whose it is: the last word about it, the proposal, who is near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import coerce, decisions, models
from .connection import Connection
from .decisions import Decision
from .face_quality import LEAST_PX, LEAST_SCORE, LEAST_SHARPNESS, MOST_TURNED
from .standings import read_standings

LOOKED_AT = 200
"""So many of the nearest faces are gone through for people with a name."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Near:
    """A person with a name of whom a face is near: the most similar one's cosine similarity."""

    person_id: int
    name: str
    similarity: float
    probability: float | None
    in_photo: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides about one face.

    name: its person's, None where that has none, or the face has no person. weak: what keeps it from
    bringing others together. rejected: the names of those whom somebody said that it is not.
    """

    source: str | None
    name: str | None
    people_faces: int
    decision: Decision | None
    weak: tuple[str, ...]
    rejected: tuple[str, ...]
    near: tuple[Near, ...]
    model_id: str | None
    threshold: float | None


def facts(conn: Connection, face_id: int, model_id: str | None) -> Facts:
    """What is known of a face, by a model's embeddings, or by none."""
    row = conn.execute(
        """
        select person_source, people.name, coalesce(people.faces, 0), photo_id,
            min(faces.width, faces.height), sharpness, max(abs(yaw), abs(pitch)), detection_score
        from faces left join people on people.id = person_id where faces.id = ?
        """,
        [face_id],
    ).fetchone()
    source, name, count, photo_id, *quality = row
    model = models.model(conn, model_id)
    standing = read_standings(conn, [face_id]).get(face_id)
    return Facts(
        source=source,
        name=coerce.text(name),
        people_faces=coerce.count(count),
        decision=decisions.by_id(conn, standing.decided_by) if standing else None,
        weak=_weak(*map(coerce.number, quality)),
        rejected=_names(conn, standing.apart if standing else frozenset()),
        near=_near(conn, face_id, photo_id, model_id) if model_id else (),
        model_id=model_id,
        threshold=model.threshold if model else None,
    )


def _weak(
    size: float | None, sharpness: float | None, turned: float | None, score: float | None
) -> tuple[str, ...]:
    found = (
        (size is not None and size < LEAST_PX, "small"),
        (sharpness is not None and sharpness < LEAST_SHARPNESS, "blurred"),
        (turned is not None and turned > MOST_TURNED, "turned away"),
        (score is not None and score < LEAST_SCORE, "barely recognizable as a face"),
    )
    return tuple(word for is_so, word in found if is_so)


def _names(conn: Connection, keys: frozenset[str]) -> tuple[str, ...]:
    found = [
        conn.execute("select name from people where key = ? and not hidden", [key]).fetchone()
        for key in sorted(keys)
    ]
    return tuple(coerce.text(row[0]) or "" for row in found if row and row[0])


NEAR = """
select people.id, people.name, max(json_extract(knn.value, '$.similarity')) as similarity,
    face_probability(max(json_extract(knn.value, '$.similarity')), :model),
    exists (select 1 from faces as beside where beside.photo_id = :photo_id
        and beside.person_id = people.id and beside.id != :face_id)
from json_each(faces_knn(face_embedding(:face_id, :model), :k, :model)) as knn
join faces on faces.id = json_extract(knn.value, '$.face_id')
join people on people.id = faces.person_id
where faces.id != :face_id and people.name is not null and not people.hidden
group by people.id order by similarity desc, people.id limit :shown
""".strip()


def _near(conn: Connection, face_id: int, photo_id: int, model_id: str) -> tuple[Near, ...]:
    params: dict[str, Any] = {
        "face_id": face_id,
        "photo_id": photo_id,
        "model": model_id,
        "k": LOOKED_AT,
        "shown": SHOWN,
    }
    return tuple(
        Near(person_id, coerce.text(name) or "", similarity, probability, bool(in_photo))
        for person_id, name, similarity, probability, in_photo in conn.execute(NEAR, params)
    )
