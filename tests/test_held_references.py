"""No foreign key joins a table that Datasette lists and one that it does not: triggers hold those."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from publishing import make_private
from running import faces
from serving import Site, site
from sqlite_utils import Database

from datasette_faces.store import held_references, integrity
from datasette_faces.store.connection import connect_to_write, load_vector_extension, sqlite
from datasette_faces.store.database import writing
from datasette_faces.store.held_references import HELD
from datasette_faces.store.migrations import migrations

pytestmark = pytest.mark.slow

BEFORE = "0011_held_references"
LINKS = """
    select m.name, f."table" from sqlite_master as m, pragma_foreign_key_list(m.name) as f
    where m.type = 'table'
"""
FILLED = (
    "insert into models values ('toy', 'Toy', 3, 0.5, 'none', 'x'), ('other', 'O', 3, 0.5, '', '')",
    *(
        f"insert into photos(id, path, sha256, bytes, width, height, format, ingested_at, thumbnail)"
        f" values ({n}, '/{n}.jpg', 'sha{n}', 1, 9, 9, 'JPEG', '', x'00')"
        for n in (1, 2)
    ),
    *(
        "insert into faces(id, photo_id, x, y, width, height, landmarks, detection_score, sharpness,"
        f" yaw, pitch, roll, crop) values ({n}, {photo}, 0, 0, 9, 9, '[]', 1, 1, 0, 0, 0, x'00')"
        for n, photo in ((1, 1), (2, 1), (3, 2))
    ),
    "insert into face_drawings values ('a', 1, null), ('b', 3, null), ('c', null, '{}')",
    "insert into names_read values (1, 'sha1', ''), (2, 'sha2', 'x')",
    "insert into face_indexes values ('toy', 'pq', 0, 3, '', null), ('toy', 'vec', 0, 3, '', null)",
    "insert into face_index_parts values ('toy', 'pq', 0, 'codes', x'01'), ('toy', 'pq', 1, 'b', x'')",
)
TABLES = ("models", "photos", "faces", "face_drawings", "names_read", "face_indexes")
TABLES += ("face_index_parts",)
KNOWN = {"photos": "id, path, sha256, bytes, width, height, format, ingested_at, thumbnail"}
"""The columns of a table to which later migrations added others."""


def older(path: Path, *statements: str) -> Path:
    """A file as it was when these were foreign keys, with rows."""
    with closing(connect_to_write(str(path))) as conn:
        load_vector_extension(conn)
        migrations.apply(Database(conn, execute_plugins=False), stop_before=BEFORE)
        conn.execute("pragma foreign_keys = off")
        for statement in (*FILLED, *statements):
            conn.execute(statement)
    return path


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return older(tmp_path_factory.mktemp("before") / "file.db")


@pytest.fixture(scope="module")
def migrated(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brought_up_to_date(before, tmp_path_factory.mktemp("migrated") / "file.db")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fresh") / "file.db"
    with writing(str(path)):
        return path


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


def exported(private: Path, out: Path, *options: object) -> Path:
    result = faces("export", private, out, *options)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(
    scope="module", params=[(), ("--embeddings",), ("--embeddings", "--portable")], ids=str
)
def catalogue(private: Path, tmp_path_factory: Any, request: Any) -> Path:
    return exported(private, tmp_path_factory.mktemp("out") / "file.db", *request.param)


@pytest.fixture(scope="module", params=[(), ("--embeddings",)], ids=str)
def former_catalogue(private: Path, tmp_path_factory: Any, request: Any) -> Iterator[Path]:
    """A catalogue as earlier versions exported it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_references, "without_foreign_keys", lambda sql: sql)
        patch.setattr(held_references, "triggers", lambda held: ())
        out = exported(private, tmp_path_factory.mktemp("former") / "file.db", *request.param)
    assert links_of(out)
    return out


def brought_up_to_date(file: Path, to: Path) -> Path:
    shutil.copy(file, to)
    with writing(str(to)):
        return to


def links_of(file: Path) -> set[tuple[str, str]]:
    with closing(sqlite().connect(str(file))) as conn:
        return {tuple(row) for row in conn.execute(LINKS)}


def unlisted(served: Site) -> set[str]:
    database = served.datasette.get_database("file")
    # The first connection readies the database
    served.run(database.execute("select 1"))
    return set(served.run(database.hidden_table_names()))


def joined(file: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """What Datasette does not list, and the foreign keys that join it with what it lists."""
    with site(file) as served:
        hidden = unlisted(served)
    return hidden, {link for link in links_of(file) if len(hidden.intersection(link)) == 1}


@pytest.mark.parametrize("file", ["fresh", "migrated", "private"])
def test_no_foreign_key_joins_an_unlisted_table_and_a_listed_one(file: str, request: Any) -> None:
    path = request.getfixturevalue(file)
    copy = path if path.name == "file.db" else request.getfixturevalue("tmp_path") / "file.db"
    if copy != path:
        shutil.copy(path, copy)
    hidden, links = joined(copy)
    assert not links
    assert {held.table for held in HELD} <= hidden
    assert not hidden & {table for link in links_of(copy) for table in link}


def test_none_does_in_a_catalogue(catalogue: Path) -> None:
    _, links = joined(catalogue)
    assert not links


def test_what_an_earlier_version_joined_stays_listed(before: Path) -> None:
    hidden, links = joined(before)
    assert not links
    assert {"_sqlite_migrations", "face_keys", "lost_faces"} <= hidden
    assert not hidden & {held.table for held in HELD}


def test_so_it_does_in_a_catalogue(former_catalogue: Path) -> None:
    _, links = joined(former_catalogue)
    assert not links


def test_a_catalogue_of_an_earlier_version_passes_its_audit(
    former_catalogue: Path, private: Path
) -> None:
    result = faces("audit", former_catalogue, "--against", private)
    assert result.exit_code == 0, result.output


def schema(file: Path) -> set[tuple[Any, ...]]:
    with closing(sqlite().connect(str(file))) as conn:
        found = conn.execute("select type, name, tbl_name, sql from sqlite_master").fetchall()
    return {tuple(row) for row in found}


def test_a_migrated_file_has_the_schema_of_a_new_one(migrated: Path, fresh: Path) -> None:
    assert schema(migrated) == schema(fresh)


def test_a_new_file_has_the_triggers_of_every_held_reference(fresh: Path) -> None:
    with closing(sqlite().connect(str(fresh))) as conn:
        stored = {sql.lower() for (sql,) in conn.execute("select sql from sqlite_master") if sql}
    assert {sql.lower() for held in HELD for sql in held_references.triggers(held)} <= stored


def content(file: Path, tables: tuple[str, ...] = TABLES) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite().connect(str(file))) as conn:
        return {
            table: [
                tuple(row) for row in conn.execute(f"select {KNOWN.get(table, '*')} from {table}")
            ]
            for table in tables
        }


def test_a_migration_keeps_every_row_and_what_others_added(tmp_path: Path) -> None:
    added = (
        "alter table face_drawings add column note text default 'n'",
        "create table seen (uid text)",
        "create trigger theirs after insert on face_drawings begin insert into seen values (new.uid); end",
        "create trigger elsewhere after insert on seen begin delete from names_read where 0; end",
        "create index names_read_sha on names_read(sha256)",
        # What refers to nothing: `doctor` says so, no migration removes it
        "insert into face_drawings values ('d', 99, null, 'x')",
        "insert into names_read values (98, 'gone', '')",
        "insert into face_index_parts values ('toy', 'gone', 0, 'codes', x'02')",
        "insert into face_indexes values ('gone', 'pq', 0, 3, '', null)",
    )
    file = older(tmp_path / "file.db", *added)
    tables = (*TABLES, "seen")
    rows = content(file, tables)
    after = brought_up_to_date(file, tmp_path / "after.db")
    assert content(after, tables) == rows
    names = {row[1] for row in schema(after)}
    assert {"theirs", "elsewhere", "names_read_sha", "face_drawings_face"} <= names
    with closing(connect_to_write(str(after))) as conn:
        found = integrity.count_broken_references(conn)
    assert found == dict.fromkeys(((held.table, held.parent) for held in HELD), 1)


@pytest.mark.parametrize(
    "sql",
    [
        "create table t (a integer references b(id) on delete set null, c text)",
        'create table t (a integer REFERENCES "b" ("id") ON DELETE CASCADE ON UPDATE NO ACTION, c text)',
        "create table t (a integer, c text, foreign key (a, c) references b on delete cascade)",
        "create table t (a integer, c text, FOREIGN KEY ([a])\n REFERENCES [b]([id]))",
        "create table t (a integer references b, c text references d(id))",
    ],
)
def test_foreign_keys_are_taken_out_however_they_are_written(sql: str) -> None:
    with closing(sqlite().connect(":memory:")) as conn:
        conn.execute(held_references.without_foreign_keys(sql))
        assert conn.execute("pragma foreign_key_list(t)").fetchall() == []
        columns = [(row[1], row[2]) for row in conn.execute("pragma table_info(t)")]
    assert columns == [("a", "INTEGER"), ("c", "TEXT")]


CHANGES = (
    "delete from photos where id = 1",
    "delete from photos",
    "delete from faces where id = 3",
    "delete from faces",
    "delete from models where id = 'toy'",
    "delete from models where id = 'other'",
    "delete from face_indexes where index_id = 'pq'",
    "delete from face_indexes",
    "update models set id = 'new' where id = 'toy'",
    "update models set id = 'new' where id = 'other'",
    "update models set id = id",
    "update faces set id = 9 where id = 1",
    "update faces set id = 9 where id = 2",
    "update photos set id = 9 where id = 2",
    "update face_indexes set index_id = 'new' where index_id = 'pq'",
    "update face_indexes set index_id = 'new' where index_id = 'vec'",
    "update face_drawings set face_id = 2 where uid = 'a'",
    "update face_drawings set face_id = 99 where uid = 'a'",
    "update names_read set photo_id = 99 where photo_id = 1",
    "update face_index_parts set index_id = 'vec'",
    "update face_index_parts set index_id = 'none'",
    "insert or replace into models values ('toy', 'Toy', 3, 0.6, 'none', 'x')",
    "insert or replace into face_indexes values ('toy', 'pq', 1, 4, '', null)",
    "insert into face_indexes values ('toy', 'pq', 1, 4, '', null) "
    "on conflict(model_id, index_id) do update set seen = excluded.seen",
    "insert or ignore into face_indexes values ('toy', 'pq', 1, 4, '', null)",
    "insert or replace into faces select * from faces where id = 1",
    "insert or ignore into faces select * from faces",
    "insert or replace into photos select * from photos",
)
REFUSED = (
    "insert into face_drawings values ('d', 99, null)",
    "insert or ignore into face_drawings values ('d', 99, null)",
    "insert into names_read values (99, 'sha', '')",
    "insert into face_indexes values ('none', 'pq', 0, 3, '', null)",
    "insert into face_index_parts values ('other', 'pq', 0, 'codes', x'01')",
)
TAKEN = (
    "insert into face_drawings values ('d', 2, null)",
    "insert into face_drawings values ('d', null, null)",
    "insert or replace into names_read values (1, 'sha', '')",
    "insert into face_index_parts values ('toy', 'vec', 0, 'codes', x'01')",
)


DANGLING = [
    it
    for it in CHANGES
    if it.endswith((" = 99 where uid = 'a'", "'none'", " = 99 where photo_id = 1"))
]
"""What has a row refer to nothing: that is refused also where foreign keys are off."""


def outcome(file: Path, to: Path, statement: str, enforced: str) -> Any:
    """What a statement leaves in the tables; an error's kind where it is refused."""
    shutil.copy(file, to)
    with closing(connect_to_write(str(to))) as conn:
        conn.execute("pragma synchronous = off")
        conn.execute(f"pragma foreign_keys = {enforced}")
        try:
            conn.execute(statement)
        except sqlite().IntegrityError as error:
            return str(error)
    return content(to)


@pytest.mark.parametrize("statement", [*CHANGES, *REFUSED, *TAKEN])
def test_triggers_do_what_foreign_keys_did(
    before: Path, migrated: Path, tmp_path: Path, statement: str
) -> None:
    expected = outcome(before, tmp_path / "before.db", statement, "on")
    assert outcome(migrated, tmp_path / "after.db", statement, "on") == expected


@pytest.mark.parametrize("statement", CHANGES)
def test_they_do_so_where_foreign_keys_are_off(
    before: Path, migrated: Path, tmp_path: Path, statement: str
) -> None:
    expected = outcome(before, tmp_path / "before.db", statement, "on")
    if isinstance(expected, str) and statement not in DANGLING:
        # What would be refused is done then, as SQLite does it
        expected = outcome(before, tmp_path / "off.db", statement, "off")
    found = outcome(migrated, tmp_path / "after.db", statement, "off")
    if isinstance(expected, str):
        # What refers to another row has to find it; that one may change and go
        refers = statement.startswith(
            ("update face_drawings", "update names_read", "update face_in")
        )
        assert isinstance(found, str) == (refers and "index_id = 'pq'" not in statement)
        return
    # The faces of a photo stay when it goes: that is a foreign key still
    same = TABLES[4:] if " photos " in f"{statement} " else TABLES[3:]
    assert {table: found[table] for table in same} == {table: expected[table] for table in same}


def test_a_file_is_filled_in_any_order_where_foreign_keys_are_off(
    migrated: Path, tmp_path: Path
) -> None:
    for place, statement in enumerate(REFUSED):
        found = outcome(migrated, tmp_path / f"{place}.db", statement, "off")
        assert found != content(migrated)
        assert not isinstance(found, str)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from photos",
        "delete from faces",
        "delete from face_indexes",
        "insert or replace into faces select * from faces",
        "insert or replace into photos select * from photos",
        "update faces set sharpness = 2",
    ],
)
def test_a_program_that_trusts_no_schema_changes_photos_and_faces(
    migrated: Path, tmp_path: Path, statement: str
) -> None:
    """As the shell of SQLite does since 3.42: it lets no trigger ask a pragma."""
    copy = shutil.copy(migrated, tmp_path / "file.db")
    with closing(connect_to_write(str(copy))) as conn:
        conn.execute("pragma trusted_schema = off")
        conn.execute(statement)
