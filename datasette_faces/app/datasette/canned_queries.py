"""Canned queries of every database of faces, for those who may see the tables that they read.

Datasette 0.65 gets them from a hook each time; 1.0 keeps them in its internal database. Both refuse
queries to actors who may not see a table that they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from typing import Any

from ...store import gallery, table_privacy
from ...store.connection import Connection
from . import derived_tables, permissions
from .compat import V1

SOURCE = "datasette-faces"
"""The source of our queries in Datasette 1.0: others of the same name are not replaced."""
FACES = ("faces", "photos", "face_embeddings", "models")


@dataclass(frozen=True, slots=True)
class CannedQuery:
    """A query that every database of faces has; tables: those it reads; fields: its parameters."""

    title: str
    description: str
    tables: tuple[str, ...]
    sql: str
    fields: tuple[str, ...]


# Values of a web address are text, so each is cast; one that is left empty has a meaning.
# No ->>, no unixepoch(): the SQLite of a container may be old.

FACES_LIKE_FACE = """
with wanted as (
    select face_id, model_id, embedding,
        -- one more than is shown: the face finds itself
        case when :k = '' then 21 when cast(:k as integer) between 1 and 4095
            then cast(:k as integer) + 1 else cast(:k as integer) end as k
    from face_embeddings join models on models.id = model_id
    where face_id = cast(:face_id as integer)
    order by models.rowid limit 1
)
select faces.id as face_id, json_extract(knn.value, '$.similarity') as similarity,
    faces.photo_id, photos.path, photos.taken_at, faces.crop
from wanted
join json_each(faces_knn(wanted.embedding, wanted.k, wanted.model_id)) as knn
join faces on faces.id = json_extract(knn.value, '$.face_id')
join photos on photos.id = faces.photo_id
where faces.id != wanted.face_id
order by similarity desc
""".strip()

FACES_LIKE_QUERY = """
select faces.id as face_id, json_extract(knn.value, '$.similarity') as similarity,
    faces.photo_id, photos.path, photos.taken_at, faces.crop
from json_each(
    faces_knn(face_query(:key), case when :k = '' then 20 else cast(:k as integer) end)
) as knn
join faces on faces.id = json_extract(knn.value, '$.face_id')
join photos on photos.id = faces.photo_id
order by similarity desc
""".strip()

NEAR_DUPLICATES = """
with looked_at as (
    select faces.id as face_id, photo_id
    from faces
    where faces.id < case when :before = '' then 9223372036854775807
        else cast(:before as integer) end
    order by faces.id desc
    limit case when :faces != '' then cast(:faces as integer) else coalesce((
        -- as many as Datasette's second allows where each search goes through every value
        select max(30, min(300, 250000000 / dimensions / (select count(*) from faces)))
        from models order by rowid limit 1
    ), 30) end
),
pairs as (
    select looked_at.face_id, looked_at.photo_id,
        json_extract(knn.value, '$.face_id') as other_face_id,
        json_extract(knn.value, '$.similarity') as similarity
    from looked_at
    join face_embeddings on face_embeddings.face_id = looked_at.face_id
        and model_id = (select id from models order by rowid limit 1)
    join json_each(faces_knn(embedding, 8, model_id)) as knn
    where json_extract(knn.value, '$.similarity')
        >= case when :threshold = '' then 0.9 else cast(:threshold as real) end
)
select pairs.face_id, pairs.other_face_id, similarity, faces.crop, other.crop as other_crop,
    pairs.photo_id, photos.path, other.photo_id as other_photo_id, other_photos.path as other_path,
    (select min(face_id) from looked_at) as compared_down_to
from pairs
join faces on faces.id = pairs.face_id
join photos on photos.id = pairs.photo_id
join faces as other on other.id = other_face_id
join photos as other_photos on other_photos.id = other.photo_id
where other.photo_id != pairs.photo_id
    -- each pair once: from its newer face, which is compared first
    and pairs.other_face_id < pairs.face_id
order by similarity desc, pairs.face_id desc
""".strip()

PEOPLE_TOGETHER = """
with chosen as (
    select id, name from people
    where not hidden and (:person = '' or name like '%' || :person || '%')
)
select chosen.id as person_id, coalesce(chosen.name, 'Person ' || chosen.id) as person,
    other.id as other_person_id, coalesce(other.name, 'Person ' || other.id) as other_person,
    count(distinct here.photo_id) as photos,
    min(here.photo_taken_at) as first_taken_at, max(here.photo_taken_at) as last_taken_at
from chosen
join faces as here on here.person_id = chosen.id
join faces as there on there.photo_id = here.photo_id
join people as other on other.id = there.person_id and not other.hidden
-- each pair once; a person who is named comes first
where other.id > chosen.id or (:person != '' and other.id != chosen.id)
group by chosen.id, other.id
order by photos desc, chosen.id, other.id
""".strip()

FACES_WITHOUT_PERSON = """
select faces.id as face_id, faces.photo_id, photos.path, photos.taken_at,
    round(faces.sharpness) as sharpness, faces.crop
from faces join photos on photos.id = faces.photo_id
where faces.person_id is null
    and faces.id < case when :before = '' then 9223372036854775807
        else cast(:before as integer) end
order by faces.id desc
limit case when :limit = '' then 100 else cast(:limit as integer) end
""".strip()

QUERIES = {
    "faces_like_face": CannedQuery(
        "Faces like this face",
        "The k faces (20 if left empty) most like the face of this id, the most similar first.",
        FACES,
        FACES_LIKE_FACE,
        ("face_id", "k"),
    ),
    "faces_like_query": CannedQuery(
        "Faces like an uploaded face",
        "The k faces (20 if left empty) most like a face that was uploaded on the search page; its "
        "address there holds the key, which is good for an hour.",
        FACES,
        FACES_LIKE_QUERY,
        ("key", "k"),
    ),
    "near_duplicates": CannedQuery(
        "Pairs of near-duplicates",
        "Pairs of nearly identical faces in different photos. threshold: the minimum similarity "
        "(0.9). faces: how many of the newest are compared with all of the file (300, down to 30 in "
        "a large one), of each the 7 most like it; fewer where that takes too long. before: "
        "continue below this id, as given by compared_down_to. Each may be left empty.",
        FACES,
        NEAR_DUPLICATES,
        ("threshold", "faces", "before"),
    ),
    "people_together": CannedQuery(
        "People seen together",
        "Pairs of people and in how many photos both are. person: a part of a name, or empty for "
        "everyone.",
        ("faces", "photos", "people"),
        PEOPLE_TOGETHER,
        ("person",),
    ),
    "faces_without_person": CannedQuery(
        "Faces without a person",
        "Faces that no person is assigned to, the newest first. limit: how many (100 if left "
        "empty). before: continue below this id, that of the last one seen.",
        ("faces", "photos", "people"),
        FACES_WITHOUT_PERSON,
        ("limit", "before"),
    ),
}


async def list_queries(datasette: Any, database: str) -> dict[str, dict[str, Any]]:
    """Datasette 0.65: the queries of a database, as `canned_queries` takes them.

    They are the same for every actor: Datasette fails where one actor's query is missing for another.
    `may_view` refuses them.
    """
    configured = _configured(datasette, database)
    return {
        name: {"sql": query.sql, "params": list(query.fields), **_metadata(query)}
        for name, query in (await _queries_of_database(datasette, database)).items()
        if name not in configured
    }


async def may_view(datasette: Any, actor: Any, database: str, name: str) -> bool | None:
    """Datasette 0.65: False where the actor may not see a table that a query of ours reads; else None."""
    if name not in QUERIES or name in _configured(datasette, database):
        return None
    return None if name in await _queries_of_actor(datasette, database, actor) else False


def _configured(datasette: Any, database: str) -> set[str]:
    """The names of ours that metadata gives to queries of its own."""
    queries = datasette.metadata("queries", database=database, fallback=False) or {}
    sqls = {name: it.get("sql") if isinstance(it, dict) else it for name, it in queries.items()}
    # Where metadata has any, Datasette puts ours among them, and there they stay for everybody
    return {name for name, sql in sqls.items() if name in QUERIES and sql != QUERIES[name].sql}


async def add_queries(datasette: Any) -> None:
    """Datasette 1.0: keep the queries of every database that holds faces, and no others of ours."""
    if not V1:
        return
    for database in list(datasette.databases):
        offered = await _queries_of_database(datasette, database)
        for name, query in QUERIES.items():
            # An internal database that is a file still holds those of an earlier start
            await datasette.remove_query(database, name, source=SOURCE)
            if name not in offered or await datasette.get_query(database, name):
                continue
            # Trusted: who runs them needs to see their tables, not to run SQL of their own
            options = {"is_trusted": True, "source": SOURCE, "parameters": query.fields}
            await datasette.add_query(database, name, query.sql, **options, **_metadata(query))


def _metadata(query: CannedQuery) -> dict[str, Any]:
    return {"title": query.title, "description": query.description, "hide_sql": True}


async def deny_queries(datasette: Any, actor: Any) -> Any:
    """Datasette 1.0: a PermissionSQL that denies what reads a table that an actor may not see."""
    from datasette.permissions import PermissionSQL

    pairs = []
    for database in list(datasette.databases):
        visible = await _queries_of_actor(datasette, database, actor)
        pairs += [(database, name) for name in QUERIES if name not in visible]
    return PermissionSQL(sql=DENIED, params={"faces_source": SOURCE, "faces_denied": dumps(pairs)})


DENIED = """
select queries.database_name as parent, queries.name as child, 0 as allow,
    'it reads a table that may not be seen' as reason
from queries join json_each(:faces_denied) as pair
    on queries.database_name = json_extract(pair.value, '$[0]')
    and queries.name = json_extract(pair.value, '$[1]')
where queries.source = :faces_source
"""


async def _queries_of_database(datasette: Any, database: str) -> dict[str, CannedQuery]:
    """The queries that make sense in a database: none where there are no faces."""
    if database not in datasette.databases:
        return {}
    tables = await datasette.get_database(database).execute_fn(_tables)
    return {name: query for name, query in QUERIES.items() if tables.issuperset(query.tables)}


def _tables(conn: Connection) -> set[str]:
    if not gallery.is_faces_database(conn):
        return set()
    tables = {row[0] for row in conn.execute("select name from sqlite_master")}
    return tables.difference(table_privacy.unused_tables(conn))


async def _queries_of_actor(datasette: Any, database: str, actor: Any) -> dict[str, CannedQuery]:
    """The queries whose tables an actor may see; none where that actor may see no faces."""
    offered = await _queries_of_database(datasette, database)
    if not offered or not await permissions.may_actor_view(datasette, actor, database):
        return {}
    tables = {table for query in offered.values() for table in query.tables}
    private = {
        table
        for table in tables
        if not await derived_tables.may_view_table(datasette, actor, database, table)
    }
    return {name: query for name, query in offered.items() if private.isdisjoint(query.tables)}
