"""The schema, step by step: numbered migrations, one transaction each. All other SQL is in `store`.

`photos` and `faces` keep their pictures in the last column, so that reading the others never
walks through them. No STRICT tables: a container's SQLite may be old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

from . import held_references
from .held_references import NULL, REFUSE, REMOVE, HeldReference

if TYPE_CHECKING:
    from sqlite_utils import Database

    from .connection import Connection

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


def tables_of_indexes() -> tuple[str, ...]:
    """What makes the tables of indexes, and the log of what changed: a catalogue may have them as well."""
    return (
        """
        create table face_changes (
            id integer primary key autoincrement,
            model_id text not null,
            face_id integer not null -- its vector is new, another one, or gone
        )
        """,
        _log_change("inserted", "insert", "new"),
        # A row whose key changed is gone under the old one
        _log_change("rekeyed", "update of face_id, model_id", "old"),
        _log_change("updated", "update", "new"),
        _log_change("deleted", "delete", "old"),
        """
        create table face_indexes (
            model_id text not null references models(id),
            index_id text not null, -- which kind: sqlite-vec, pq
            seen integer not null, -- the last of face_changes that it holds
            faces integer not null,
            built_at text not null,
            sha256 text, -- of its parts
            primary key (model_id, index_id)
        )
        """,
        """
        create table face_index_parts ( -- codes made of embeddings: as private as those
            model_id text not null,
            index_id text not null,
            place integer not null,
            name text not null,
            data blob not null,
            primary key (model_id, index_id, place),
            foreign key (model_id, index_id) references face_indexes on delete cascade
        )
        """,
    )


@migrations(name="0002_face_indexes")
def face_indexes(db: Database) -> None:
    """What changed in the embeddings, and the indexes that are kept of them.

    Triggers write the log, so that an index knows what it lacks whoever changed the vectors, in
    whatever process.
    """
    for statement in tables_of_indexes():
        db.execute(statement)


_BESIDE_PEOPLE = (
    # Not unique, or Datasette would take it for the label of a person; `store.people` sees to it
    "create index people_key on people(key)",
    "create index people_wall on people(hidden, name is not null, faces desc)",
    """
    create trigger people_keyed after insert on people when new.key is null begin
        update people set key = lower(hex(randomblob(8))) where id = new.id;
    end
    """,
)


def make_people(conn: Connection) -> None:
    """The table of people, empty, where somebody removed it."""
    conn.execute(
        "create table people (id integer primary key, name text, "
        "cover_face_id integer references faces(id) on delete set null, "
        "hidden integer not null default 0, key text, faces integer not null default 0)"
    )
    for statement in _BESIDE_PEOPLE:
        conn.execute(statement)


@migrations(name="0003_people_decisions")
def people_decisions(db: Database) -> None:
    """What people decided, what the machine proposes, and how many faces each person has."""
    for statement in (
        # What a person is known by when the table of people is made anew
        "alter table people add column key text",
        "alter table people add column faces integer not null default 0",
        "update people set key = lower(hex(randomblob(8)))",
        "update people set faces = (select count(*) from faces where person_id = people.id)",
        *_BESIDE_PEOPLE,
        _count_faces("counted_in", "insert", "new"),
        _count_faces("counted_out", "delete", "old", step=-1),
        """
        create trigger faces_moved after update of person_id on faces
        when old.person_id is not new.person_id begin
            update people set faces = faces - 1 where id = old.person_id;
            update people set faces = faces + 1 where id = new.person_id;
        end
        """,
        """
        create table face_clusters ( -- what the machine proposes, whatever people decided
            face_id integer primary key references faces(id) on delete cascade,
            person_key text -- null: it was looked at, and belongs to nobody
        )
        """,
        "create index face_clusters_person on face_clusters(person_key)",
        """
        create table decisions ( -- append-only
            id integer primary key autoincrement,
            uid text not null unique, -- the same in every copy of this decision
            made_at text not null,
            actor text,
            kind text not null,
            person_key text, -- of whom it is
            other_key text, -- with whom, from whom
            value text, -- a name
            target text -- the uid of the decision that is undone or redone
        )
        """,
        "create index decisions_person on decisions(person_key)",
        "create index decisions_other on decisions(other_key)",
        "create index decisions_target on decisions(target)",
        """
        create table decision_faces ( -- a face is known by its photo's content and its box
            decision_id integer not null references decisions(id),
            role text not null, -- member, apart, example, cover, drawn
            sha256 text not null,
            x real not null,
            y real not null,
            width real not null,
            height real not null
        )
        """,
        "create index decision_faces_decision on decision_faces(decision_id)",
        "create index decision_faces_photo on decision_faces(sha256)",
        """
        create table photo_contents ( -- what a photo held before it was edited
            sha256 text primary key,
            photo_id integer not null references photos(id) on delete cascade
        )
        """,
        "create index photo_contents_photo on photo_contents(photo_id)",
        """
        create trigger photos_edited after update of sha256 on photos
        when old.sha256 != new.sha256 begin
            insert or replace into photo_contents(sha256, photo_id) values (old.sha256, old.id);
        end
        """,
    ):
        db.execute(statement)


@migrations(name="0004_calibrations")
def calibrations(db: Database) -> None:
    """What similarities mean in this library, model by model."""
    db.execute(
        """
        create table calibrations (
            model_id text primary key references models(id) on delete cascade,
            source text not null, -- library; or published: there were too few pairs
            threshold real not null, -- cosine from which one person is likelier than two
            curve text not null, -- json: [[similarity, probability], ...], never falling
            people integer not null, -- named ones, whose pairs match
            matching_pairs integer not null,
            photo_pairs integer not null, -- two faces of one photo
            people_pairs integer not null, -- faces of two named people
            evaluation text not null, -- json
            calibrated_at text not null
        )
        """
    )


@migrations(name="0005_likely_pairs")
def likely_pairs(db: Database) -> None:
    """Which people may be one: what the review queue asks about."""
    db.execute(
        """
        create table likely_pairs (
            first_key text not null, -- of people, the lesser key first
            second_key text not null,
            model_id text not null references models(id) on delete cascade,
            similarity real not null, -- mean cosine of their faces
            primary key (first_key, second_key)
        ) without rowid
        """
    )
    db.execute(
        "create index likely_pairs_similarity on likely_pairs(similarity desc, first_key, second_key)"
    )


@migrations(name="0006_face_drawings")
def face_drawings(db: Database) -> None:
    """The faces that are there because somebody drew a box round them."""
    for statement in (
        """
        create table face_drawings (
            uid text primary key, -- of the decision that drew it
            face_id integer references faces(id) on delete set null,
            kept text -- json: the face, while its drawing is undone; as private as embeddings
        )
        """,
        "create index face_drawings_face on face_drawings(face_id)",
    ):
        db.execute(statement)


@migrations(name="0007_said_names")
def said_names(db: Database) -> None:
    """Names that other programs say of photos: what was read, what has no place, whom it may mean."""
    for statement in (
        """
        create table names_read (
            photo_id integer primary key references photos(id) on delete cascade,
            sha256 text not null, -- of the photo whose names were read
            sidecars text not null -- a digest of the files next to it that were read
        )
        """,
        """
        create table said_names (
            photo_id integer not null references photos(id) on delete cascade,
            name text not null,
            source text not null, -- what said so: takeout, iptc, microsoft
            primary key (photo_id, name)
        ) without rowid
        """,
        """
        create table name_proposals (
            person_key text primary key, -- of people
            name text not null,
            confidence real not null, -- that a photo of one is of both, at least; 0..1
            together integer not null, -- photos that have both
            apart integer not null -- photos that have the name or the person alone
        ) without rowid
        """,
    ):
        db.execute(statement)


@migrations(name="0008_face_keys")
def face_keys(db: Database) -> None:
    """The secret that makes the public ids of a catalogue."""
    db.execute("create table face_keys (name text primary key, key blob not null)")


@migrations(name="0009_former_faces")
def former_faces(db: Database) -> None:
    """Where faces were in what their photos held before an edit; and those that are gone since."""
    for statement in (
        # Several photos may have held one content: an edited file, and its original under another name
        "drop trigger photos_edited",
        "drop index photo_contents_photo",
        "alter table photo_contents rename to photo_contents_before",
        """
        create table photo_contents ( -- what a photo held before it was edited
            sha256 text not null,
            photo_id integer not null references photos(id) on delete cascade,
            primary key (sha256, photo_id)
        )
        """,
        "insert into photo_contents select sha256, photo_id from photo_contents_before order by rowid",
        "drop table photo_contents_before",
        "create index photo_contents_photo on photo_contents(photo_id)",
        """
        create trigger photos_edited after update of sha256 on photos
        when old.sha256 != new.sha256 begin
            insert or replace into photo_contents(sha256, photo_id) values (old.sha256, old.id);
        end
        """,
        """
        create table former_pictures ( -- those of photo_contents that had another picture
            sha256 text not null,
            photo_id integer not null references photos(id) on delete cascade,
            picture text not null, -- the last content that had this picture
            primary key (sha256, photo_id)
        )
        """,
        "create index former_pictures_photo on former_pictures(photo_id)",
        """
        create table lost_faces ( -- not in the present picture of their photo
            id integer primary key,
            photo_id integer not null,
            face_id integer not null, -- the number that it had
            person_key text, -- whose it was
            expected integer not null default 1, -- 0: the present picture is one from before it came
            embeddings text not null -- json: by model, base64; as private as face_embeddings
        )
        """,
        "create index lost_faces_photo on lost_faces(photo_id)",
        """
        create trigger photos_deleted after delete on photos begin
            delete from lost_faces where photo_id = old.id;
        end
        """,
        """
        create table former_faces (
            photo_id integer not null references photos(id) on delete cascade,
            sha256 text not null, -- what the photo held
            x real not null, -- pixels of that picture
            y real not null,
            width real not null,
            height real not null,
            face_id integer references faces(id) on delete set null, -- null: not in the present one
            lost_id integer -- of lost_faces
        )
        """,
        "create index former_faces_content on former_faces(sha256)",
        "create index former_faces_face on former_faces(face_id)",
        "create index former_faces_lost on former_faces(lost_id)",
        "create index former_faces_photo on former_faces(photo_id)",
    ):
        db.execute(statement)


@migrations(name="0010_damaged_photos")
def damaged_photos(db: Database) -> None:
    """What of a photo's picture could not be read."""
    db.execute("alter table photos add column damage text /* null: nothing is missing */")


@migrations(name="0011_held_references")
def hold_references(db: Database) -> None:
    """Tables that Datasette does not list have no foreign keys: triggers hold what these held.

    The parts of indexes go first: without a table that cascades to them, their own can be rebuilt.
    """
    index = ("model_id", "index_id")
    for held in (
        HeldReference("face_index_parts", index, "face_indexes", index, REMOVE),
        HeldReference("face_indexes", ("model_id",), "models", ("id",), REFUSE),
        HeldReference("face_drawings", ("face_id",), "faces", ("id",), NULL),
        HeldReference("names_read", ("photo_id",), "photos", ("id",), REMOVE),
    ):
        held_references.hold(db.conn, held)


@migrations(name="0012_forgotten_faces")
def forgotten_faces(db: Database) -> None:
    """Where people were who were forgotten, so that no face is stored there again; and each such run."""
    for statement in (
        """
        create table forgotten_faces ( -- nothing of the face itself
            sha256 text not null, -- of the photo that was kept
            x real not null, -- pixels of that picture
            y real not null,
            width real not null,
            height real not null
        )
        """,
        "create index forgotten_faces_content on forgotten_faces(sha256)",
        """
        create table forget_runs (
            id integer primary key,
            started_at text not null,
            finished_at text, -- null: the file was not rewritten, or the search found something
            found integer, -- traces that the search found; null: it was not made
            photos integer not null,
            faces integer not null
        )
        """,
    ):
        db.execute(statement)


@migrations(name="0013_turned_photos")
def turned_photos(db: Database) -> None:
    """Which way is up in a photo, by what its faces say."""
    db.execute(
        "alter table photos add column turned integer not null default 0 "
        "/* degrees clockwise for it to be shown upright: 0, 90, 180, 270 */"
    )


def _count_faces(name: str, event: str, row: str, step: int = 1) -> str:
    return f"""
        create trigger faces_{name} after {event} on faces when {row}.person_id is not null begin
            update people set faces = faces + {step} where id = {row}.person_id;
        end
    """


def _log_change(name: str, event: str, row: str) -> str:
    return f"""
        create trigger face_embeddings_{name} after {event} on face_embeddings begin
            insert into face_changes(model_id, face_id) values ({row}.model_id, {row}.face_id);
        end
    """
