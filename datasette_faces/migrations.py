"""The schema, step by step: numbered migrations, one transaction each. All other SQL is in `store`.

`photos` and `faces` keep their pictures in the last column, so that reading the others never
walks through them. No STRICT tables: a container's SQLite may be old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("datasette-faces")


@migrations(name="0001_photos_faces_embeddings")
def photos_faces_embeddings(db: Database) -> None:
    """Photographs by content, their paths, their faces, and each model's embeddings."""
    for statement in (
        """
        create table photos (
            id integer primary key,
            path text not null, -- where it was last seen; all places: photo_paths
            sha256 text not null unique, -- of the file's bytes: what it is known by
            bytes integer not null,
            modified_at text,
            width integer not null, -- upright
            height integer not null,
            format text not null,
            taken_at text, -- local time of the camera; offset where it was written
            camera text,
            latitude real,
            longitude real,
            ingested_at text not null,
            missing_since text, -- null while one of its paths exists
            thumbnail blob not null -- jpeg, upright
        )
        """,
        "create index photos_taken_at on photos(taken_at)",
        "create index photos_path on photos(path)",
        """
        create table photo_paths (
            path text primary key,
            photo_id integer not null references photos(id) on delete cascade,
            bytes integer not null,
            modified_ns integer not null,
            sha256 text not null, -- what it held when it was last read
            path_bytes blob, -- the name itself, where it is not utf-8
            missing_since text
        )
        """,
        "create index photo_paths_photo on photo_paths(photo_id)",
        """
        create table people (
            id integer primary key,
            name text,
            cover_face_id integer references faces(id) on delete set null,
            hidden integer not null default 0
        )
        """,
        """
        create table faces (
            id integer primary key,
            photo_id integer not null references photos(id) on delete cascade,
            x real not null, -- pixels of the upright, full-size picture
            y real not null,
            width real not null,
            height real not null,
            landmarks text not null, -- json: right eye, left eye, nose, right, left mouth corner
            detection_score real not null,
            sharpness real not null, -- variance of the laplacian of the aligned face
            yaw real not null, -- degrees, estimated from the landmarks
            pitch real not null,
            roll real not null,
            person_id integer references people(id) on delete set null,
            person_source text,
            photo_taken_at text, -- of its photo, kept in step by a trigger: the gallery filters by it
            crop blob not null -- jpeg, turned upright
        )
        """,
        """
        create trigger photos_taken_at after update of taken_at on photos
        when old.taken_at is not new.taken_at begin
            update faces set photo_taken_at = new.taken_at where photo_id = new.id;
        end
        """,
        "create index faces_photo on faces(photo_id)",
        "create index faces_person on faces(person_id)",
        """
        create index faces_gallery
            on faces(id, min(width, height), detection_score, sharpness, photo_id, photo_taken_at)
        """,
        """
        create table models (
            id text primary key,
            name text not null,
            dimensions integer not null,
            threshold real not null, -- cosine from which two faces count as one person
            licence text not null,
            weights_sha256 text not null
        )
        """,
        """
        create table face_embeddings (
            face_id integer not null references faces(id) on delete cascade,
            model_id text not null references models(id),
            embedding blob not null, -- float32, little-endian, unit length
            primary key (face_id, model_id)
        )
        """,
        "create index face_embeddings_model on face_embeddings(model_id, face_id)",
        """
        create table analyses ( -- which photo was looked at by which model, faces or none
            photo_id integer not null references photos(id) on delete cascade,
            model_id text not null references models(id),
            primary key (photo_id, model_id)
        ) without rowid
        """,
        """
        create table ingest_errors (
            path text primary key,
            reason text not null,
            seen_at text not null,
            bytes integer, -- of a file whose content is broken: it is tried again once it changes,
            modified_ns integer,
            tried_by text -- or with another version
        )
        """,
    ):
        db.execute(statement)
