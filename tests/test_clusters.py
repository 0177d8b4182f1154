"""Clustering a database: deterministic, incremental, under everything that people decided."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import model_info, opened, unit
from running import beside, faces, ingest
from toy_model import BLUE, GREEN, RED, draw

from datasette_faces.people import decide, grouping
from datasette_faces.store import models
from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

PEOPLE, EACH, DIMENSIONS = 8, 6, 64
MODEL = model_info(DIMENSIONS)


def made_up(path: Path, *, shuffled: int | None = None, leave_out: int = 0) -> Path:
    """Eight people of six faces each in photos of their own, in this or in another order of rows."""
    chance = np.random.default_rng(5)
    centres = unit(chance.standard_normal((PEOPLE, DIMENSIONS)))
    whose = np.repeat(np.arange(PEOPLE), EACH)
    noise = unit(chance.standard_normal((len(whose), DIMENSIONS)))
    vectors = unit(0.8 * centres[whose] + 0.6 * noise)
    rows = list(range(len(whose)))
    if shuffled is not None:
        random.Random(shuffled).shuffle(rows)
    with writing(str(path)) as conn, transaction(conn):
        models.register(conn, MODEL)
        add(conn, {row: vectors[row] for row in rows[: len(rows) - leave_out]})
    return path


def add(conn: Any, vectors: dict[int, Any]) -> None:
    """Faces of good quality by number, a photo each; the number says what the photo holds."""
    for number, vector in vectors.items():
        photo = conn.execute(
            "insert into photos(path, sha256, bytes, width, height, format, ingested_at, thumbnail) "
            "values (?, ?, 1, 200, 200, 'JPEG', '', x'00')",
            [f"/p/{number}.jpg", f"sha{number:04}"],
        ).lastrowid
        face = conn.execute(
            "insert into faces(photo_id, x, y, width, height, landmarks, detection_score, sharpness, "
            "yaw, pitch, roll, crop) values (?, 10, 10, 90, 90, '[]', 0.9, 200, 0, 0, 0, x'00')",
            [photo],
        ).lastrowid
        conn.execute(
            "insert into face_embeddings values (?, ?, ?)",
            [face, MODEL.id, vector.astype("<f4").tobytes()],
        )


def cluster(path: Path) -> grouping.Clustered:
    with writing(str(path)) as conn, transaction(conn):
        return grouping.cluster(conn, MODEL)


def groups(path: Path) -> dict[str, list[str]]:
    """Each person's key, and what their photos hold."""
    with opened(path) as conn:
        rows = conn.execute(
            "select key, sha256 from faces join people on people.id = person_id "
            "join photos on photos.id = photo_id order by sha256"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for key, sha256 in rows:
        found.setdefault(key, []).append(sha256)
    return found


WHOLE = sorted([f"sha{n:04}" for n in range(p * EACH, p * EACH + EACH)] for p in range(PEOPLE))


def test_people_are_found(tmp_path: Path) -> None:
    path = made_up(tmp_path / "x.db")
    assert cluster(path) == grouping.Clustered(PEOPLE * EACH, PEOPLE, 0)
    assert sorted(groups(path).values()) == WHOLE


def test_rows_in_another_order_give_the_same_people_under_the_same_keys(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "a.db"), made_up(tmp_path / "b.db", shuffled=3)
    cluster(first)
    # And in a process of its own
    line = "from datasette_faces.app.cli import faces; faces()"
    command = [sys.executable, "-c", line, "cluster", str(second), "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert json.loads(said.stdout)["people"] == PEOPLE
    assert groups(first) == groups(second)


def test_clustering_again_changes_nothing(tmp_path: Path) -> None:
    path = made_up(tmp_path / "x.db")
    cluster(path)
    tables = ("people", "face_clusters", "decisions", "decision_faces")
    whose = "select id, person_id, person_source from faces"
    with opened(path) as conn:
        before = [conn.execute(f"select * from {it}").fetchall() for it in tables]
        before.append(conn.execute(whose).fetchall())
    cluster(path)
    with opened(path) as conn:
        after = [conn.execute(f"select * from {it}").fetchall() for it in tables]
        assert [*after, conn.execute(whose).fetchall()] == before


def test_new_faces_come_to_whom_they_resemble_and_nobody_else_moves(tmp_path: Path) -> None:
    path = made_up(tmp_path / "x.db", shuffled=1, leave_out=4)
    cluster(path)
    before = groups(path)
    whole = made_up(tmp_path / "whole.db")
    with opened(whole) as conn:
        rows = conn.execute(
            "select cast(substr(sha256, 4) as integer), embedding from faces "
            "join photos on photos.id = photo_id join face_embeddings on face_id = faces.id"
        ).fetchall()
    there = {int(it[3:]) for members in before.values() for it in members}
    with writing(str(path)) as conn, transaction(conn):
        add(conn, {n: np.frombuffer(raw, "<f4") for n, raw in rows if n not in there})
        done = grouping.grow(conn, MODEL)
        assert grouping.grow(conn, MODEL) == grouping.Clustered(0, 0, 0)
    assert done.faces < PEOPLE * EACH, "all were looked at"
    after = groups(path)
    assert sorted(after.values()) == WHOLE
    assert all(set(before[key]) <= set(after[key]) for key in before)


def test_what_was_decided_holds_in_every_clustering(tmp_path: Path) -> None:
    path = made_up(tmp_path / "x.db")
    cluster(path)
    with writing(str(path)) as conn, transaction(conn):
        of = dict(conn.execute("select id, person_id from faces"))
        decide.name(conn, of[1], "Ada")
        decide.move(conn, [7], of[1])
        decide.reject(conn, [2], of[1])
        decide.split(conn, of[13], [13, 14])
        decide.mark_not_a_face(conn, [19])
        decide.merge(conn, of[25], of[31])
        decide.keep_apart(conn, of[37], of[43])
    before = groups(path)
    cluster(path)
    after = groups(path)
    ada = next(key for key, members in after.items() if "sha0006" in members)
    assert set(after[ada]) == {*WHOLE[0], "sha0006"} - {"sha0001"}
    assert ["sha0012", "sha0013"] in after.values()
    assert after["not-a-face"] == ["sha0018"]
    assert sorted([*WHOLE[4], *WHOLE[5]]) in [sorted(it) for it in after.values()]
    assert {key: set(it) for key, it in before.items()} == {
        key: set(it) for key, it in after.items() if key in before
    }


def test_two_faces_of_one_photo_are_two_people_unless_somebody_says_so(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    for number in range(3):
        draw(photos / f"{number}.png", RED, note=str(number))
    draw(photos / "mirror.png", RED, RED)
    database = tmp_path / "x.db"
    ingest(database, photos)
    with writing(str(database)) as conn, transaction(conn):
        mirrored = "select person_id from faces where photo_id = 4"
        assert len(set(conn.execute(mirrored).fetchall())) == 2
        person = conn.execute("select person_id from faces where id = 1").fetchone()[0]
        decide.move(conn, [4, 5], person)
    assert faces("cluster", database).exit_code == 0
    with opened(database) as conn:
        assert len(set(conn.execute(mirrored).fetchall())) == 1


def test_an_ingest_groups_what_is_new_unless_told_not_to(
    toy: Any, photos: Path, tmp_path: Path
) -> None:
    for number, colour in enumerate((RED, RED, BLUE, BLUE, GREEN)):
        draw(photos / f"{number}.png", colour, note=str(number))
    database = tmp_path / "x.db"
    ingest(database, photos, "--no-cluster")
    with opened(database) as conn:
        assert conn.execute("select count(*) from people").fetchone() == (0,)
    said = faces("cluster", database)
    assert "2 people in 5 faces, 1 face by itself" in said.stdout
    draw(photos / "5.png", RED, note="5")
    ingest(database, photos)
    with opened(database) as conn:
        assert conn.execute("select faces from people order by faces").fetchall() == [(2,), (3,)]
    assert beside(database) == []


@pytest.mark.once
@pytest.mark.parametrize("pack", ["sface", "insightface-mini"])
def test_the_labelled_people_are_found_in_real_photographs(
    real_faces: Callable[[str], Path], shared: Path, pack: str
) -> None:
    import csv

    from measures import quality

    with (shared / "photos" / "labels.csv").open() as file:
        labels = {row["file"]: row["person"] for row in csv.DictReader(file)}
    with opened(real_faces(pack)) as conn:
        rows = conn.execute(
            "select path, coalesce(person_id, -faces.id), max(faces.width * faces.height) "
            "from faces join photos on photos.id = photo_id group by photo_id"
        ).fetchall()
    found = {path.split("/photos/")[1]: person for path, person, _ in rows}
    named = sorted(set(labels) & set(found))
    assert len(named) > 70
    who = np.unique([labels[it] for it in named], return_inverse=True)[1]
    told = quality(np.unique([found[it] for it in named], return_inverse=True)[1], who)
    assert told.bcubed_f1 >= 0.98
    assert told.pair_precision == 1.0


@pytest.mark.once
def test_names_stand_with_another_model(
    real_faces: Callable[[str], Path], shared: Path, tmp_path: Path
) -> None:
    database = Path(shutil.copy(real_faces("sface"), tmp_path / "x.db"))
    with writing(str(database)) as conn, transaction(conn):
        three = store.listed(conn)[:3]
        for number, person in enumerate(three):
            decide.name(conn, person.id, f"Somebody {number}")
        before = conn.execute(
            "select faces.id, name from faces join people on people.id = person_id "
            "where name is not null order by 1"
        ).fetchall()
    assert len(before) == sum(person.faces for person in three)
    pack = shared / "models" / "insightface-mini"
    assert faces("embed", database, "--model", pack).exit_code == 0
    assert faces("cluster", database, "--model", "insightface-mini").exit_code == 0
    with opened(database) as conn:
        after = dict(
            conn.execute(
                "select faces.id, name from faces join people on people.id = person_id "
                "where name is not null"
            ).fetchall()
        )
    assert {face: after.get(face) for face, _ in before} == dict(before)
