"""Canned queries: what they give, and to whom, on both Datasette versions."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Site, asked, copied, ids, plain_site, site

from datasette_faces.algorithms import vectors
from datasette_faces.app.datasette import canned_queries
from datasette_faces.app.datasette.canned_queries import QUERIES
from datasette_faces.app.datasette.compat import V1

pytestmark = pytest.mark.slow

ONLY_ANN = {"id": "ann"}
MANY = 3_000
BUSY_LIMIT_MS = 6_000
"""Datasette's own limit is 1,000, on a machine that does nothing else meanwhile."""
PEOPLE = (
    "insert into people(id, name, hidden) values (1, 'Ann', 0), (2, 'Bob', 0), (3, null, 0),"
    " (4, 'Zoe', 1)",
    # Photo 1 holds Ann, Bob, both of them again, number 3 and Zoe; photo 2 Ann alone
    "update faces set person_id = 1 where id in (1, 3, 7)",
    "update faces set person_id = 2 where id in (2, 4)",
    "update faces set person_id = 3 where id = 5",
    "update faces set person_id = 4 where id = 6",
)


@pytest.fixture
def peopled(faces_db: Path, tmp_path: Path) -> Path:
    return copied(faces_db, tmp_path / "peopled.db", *PEOPLE)


def rows(served: Site, name: str, database: str = "faces", **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.json(
        f"/{database}/{name}.json?_shape=array&" + "&".join(f"{k}={v}" for k, v in params.items())
    )
    return found


def listed(served: Site, database: str = "faces", actor: str | None = None) -> set[str]:
    """Our queries that the database's page links to."""
    text = served.get(f"/{database}", actor=actor).text
    if V1 and f"/{database}/-/queries" in text:
        text += served.get(f"/{database}/-/queries", actor=actor).text
    return {name for name in QUERIES if f'href="/{database}/{name}"' in text}


def runnable(served: Site, database: str = "faces", actor: str | None = None) -> set[str]:
    """Those that answer, in every form; all others have to be refused in every form."""
    statuses = {
        name: {
            served.get(f"/{database}/{name}{form}", actor=actor).status_code
            for form in ("", ".json", ".csv")
        }
        for name in QUERIES
    }
    assert all(found in ({200}, {403}, {404}) for found in statuses.values()), statuses
    return {name for name, found in statuses.items() if found == {200}}


class TestWhatTheyGive:
    @pytest.mark.parametrize("name", QUERIES)
    def test_every_page_opens_with_nothing_filled_in(self, served: Site, name: str) -> None:
        page = served.get(f"/faces/{name}")
        assert page.status_code == 200
        assert QUERIES[name].title in page.text
        assert QUERIES[name].description in unescape(page.text)
        assert 'class="message-error"' not in page.text
        assert tuple(re.findall(r'<input type="text" id="qp\d+" name="(\w+)"', page.text)) == (
            QUERIES[name].fields
        )
        # and with nothing given at all, though the page has an answer for each that is empty
        empty = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name].sql), "")
        assert rows(served, name) == rows(served, name, **empty)

    @pytest.mark.parametrize("name", sorted(set(QUERIES) - {"people_together"}))
    def test_every_one_that_lists_faces_is_a_gallery(self, served: Site, name: str) -> None:
        params = "face_id=1&threshold=-1"
        page = served.get(f"/faces/{name}.faces?{params}")
        assert page.status_code == 200
        found = [int(it) for it in re.findall(r"/crop/(\d+)\.jpg", page.text)]
        given = rows(served, name, face_id=1, threshold=-1)
        pairs = [[row["face_id"], row.get("other_face_id")] for row in given]
        assert found == [face_id for pair in pairs for face_id in pair if face_id]
        assert found or name == "faces_like_query"
        assert f"/faces/{name}.faces" in served.get(f"/faces/{name}?{params}").text or not given

    def test_faces_like_a_face_are_those_of_its_page(self, served: Site) -> None:
        found = rows(served, "faces_like_face", face_id=3)
        nearest = served.json("/faces/-/faces/face/3.json")["nearest"]
        assert ids(found) == ids(nearest)
        for one, other in zip(found, nearest, strict=True):
            assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-5)
            assert (one["photo_id"], one["path"]) == (other["photo_id"], other["path"])
        assert ids(rows(served, "faces_like_face", face_id=3, k=2)) == ids(nearest)[:2]
        assert rows(served, "faces_like_face", face_id=99) == []
        assert rows(served, "faces_like_face", face_id="x") == []

    def test_faces_like_a_face_is_by_the_first_model_that_looked_at_it(self, archive: Path) -> None:
        with site(archive) as served:
            assert len(rows(served, "faces_like_face", "various", face_id=3)) == 20
            assert len(rows(served, "faces_like_face", "various", face_id=3, k=4096)) == 149

    @pytest.mark.parametrize("k", ["5000", "-1", "x", "0"])
    def test_a_k_that_makes_no_sense_is_told(self, served: Site, k: str) -> None:
        answer = served.json(f"/faces/faces_like_face.json?face_id=1&k={k}", status=400)
        assert "faces_knn(): k is 1 to 4,096, not" in answer["error"]

    def test_a_key_of_no_query_face_is_told(self, served: Site) -> None:
        answer = served.json("/faces/faces_like_query.json?key=unknown", status=400)
        assert "face_query()" in answer["error"]
        assert rows(served, "faces_like_query", key="") == []

    def test_near_duplicates_are_the_pairs_that_comparing_all_finds(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        path = many_faces(faces_db, tmp_path / "many.db", 400)
        with site(path, settings={"sql_time_limit_ms": 20_000}) as served:
            found = rows(served, "near_duplicates", "many", faces=1000)
            right = pairs_by_hand(tmp_path / "many.db", 0.9)
            assert right
            assert [(row["face_id"], row["other_face_id"]) for row in found] == right
            stricter = rows(served, "near_duplicates", "many", faces=1000, threshold=0.999)
            assert 0 < len(stricter) < len(found)
            assert all(row["similarity"] >= 0.999 for row in stricter)
            pages: list[dict[str, Any]] = []
            while more := rows(served, "near_duplicates", "many", faces=100, before=before(pages)):
                assert len({row["face_id"] for row in more}) <= 100
                pages += more
            assert {row["face_id"] for row in pages} == {face_id for face_id, _ in right}

    def test_near_duplicates_stay_in_the_time_limit(self, faces_db: Path, tmp_path: Path) -> None:
        path = many_faces(faces_db, tmp_path / "many.db", MANY)
        with site(path, settings={"sql_time_limit_ms": BUSY_LIMIT_MS}) as served:
            rows(served, "faces_like_face", "many", face_id=10)  # the index is opened once
            assert rows(served, "near_duplicates", "many")

    def test_near_duplicates_look_at_as_many_faces_whatever_their_ids(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        few = many_faces(faces_db, tmp_path / "few.db", 100)
        # Ids of a catalogue are made of days, and have gaps everywhere
        moved = (
            "update face_embeddings set face_id = face_id + 100000000000000 where face_id > 9",
            "update faces set id = id + 100000000000000 where id > 9",
        )
        limit = {"sql_time_limit_ms": BUSY_LIMIT_MS}
        with site(few, copied(few, tmp_path / "large.db", *moved), settings=limit) as served:
            counts = [len(rows(served, "near_duplicates", it)) for it in ("few", "large")]
            assert counts[0] == counts[1] > 5

    def test_both_faces_of_a_pair_are_shown(self, faces_db: Path, tmp_path: Path) -> None:
        with site(many_faces(faces_db, tmp_path / "many.db", 20)) as served:
            first = rows(served, "near_duplicates", "many")[0]
            text = served.get("/many/near_duplicates").text
            for face_id in (first["face_id"], first["other_face_id"]):
                assert re.search(rf'<a href="/many/-/faces/face/{face_id}"><img', text)

    def test_people_together_counts_photos(self, peopled: Path) -> None:
        with site(peopled) as served:
            found = rows(served, "people_together", "peopled")
            assert [(row["person"], row["other_person"], row["photos"]) for row in found] == [
                ("Ann", "Bob", 1),
                ("Ann", "Person 3", 1),
                ("Bob", "Person 3", 1),
            ]
            asked_for = rows(served, "people_together", "peopled", person="bo")
            assert [(row["person"], row["other_person"]) for row in asked_for] == [
                ("Bob", "Ann"),
                ("Bob", "Person 3"),
            ]
            assert rows(served, "people_together", "peopled", person="Zoe") == []

    def test_faces_without_a_person_come_newest_first_and_go_on(self, peopled: Path) -> None:
        with site(copied(peopled, peopled.with_name("p.db"), "update faces set person_id = null"
                         " where id in (2, 5, 7)")) as served:  # fmt: skip
            assert ids(rows(served, "faces_without_person", "p")) == [7, 5, 2]
            assert ids(rows(served, "faces_without_person", "p", limit=2)) == [7, 5]
            assert ids(rows(served, "faces_without_person", "p", before=5)) == [2]


def before(pages: list[dict[str, Any]]) -> int | str:
    """Where to go on."""
    return pages[-1]["compared_down_to"] if pages else ""


def many_faces(database: Path, to: Path, count: int) -> Path:
    """A database with more faces: random ones, and for every tenth one nearly the same again."""
    rng = np.random.default_rng(3)
    made = vectors.normalise(rng.standard_normal((count, 128)).astype(np.float32))
    noise = vectors.normalise(rng.standard_normal((count, 128)).astype(np.float32))
    made[9::10] = vectors.normalise(
        made[8::10] + np.linspace(0.01, 0.4, count // 10)[:, None] * noise[9::10]
    )
    statements: list[Any] = ["delete from face_embeddings where face_id > 1"]
    for face_id, vector in enumerate(made, start=10):
        statements.append(("insert into faces select ?, 1 + ? % 2, x, y, width, height, landmarks,"
            " detection_score, sharpness, yaw, pitch, roll, null, null, null, crop from faces"
            " where id = 1", [face_id, face_id]))  # fmt: skip
        statements.append(
            (
                "insert into face_embeddings values (?, 'sface', ?)",
                [face_id, vectors.encode(vector)],
            )
        )
    return copied(database, to, *statements)


def pairs_by_hand(database: Path, threshold: float) -> list[tuple[int, int]]:
    """The pairs of faces in different photos that comparing each with each finds."""
    found = asked(
        database,
        "select face_id, photo_id, embedding from face_embeddings join faces on id = face_id"
        " order by face_id",
    )
    matrix = np.stack([vectors.decode(row[2]) for row in found])
    scores = matrix @ matrix.T
    pairs = [
        (-float(scores[one, other]), -found[one][0], found[other][0])
        for one in range(len(found))
        for other in range(one)
        if scores[one, other] >= threshold and found[one][1] != found[other][1]
    ]
    return [(-newer, older) for _, newer, older in sorted(pairs)]


class TestWhoSeesThem:
    def test_everybody_by_default(self, served: Site) -> None:
        assert listed(served) == set(QUERIES)
        assert runnable(served) == set(QUERIES)

    @pytest.mark.parametrize("table", ["faces", "photos", "face_embeddings", "models", "people"])
    def test_who_may_not_see_a_table_is_refused_what_reads_it(
        self, faces_db: Path, table: str
    ) -> None:
        left = {name for name, query in QUERIES.items() if table not in query.tables}
        private = {"databases": {"faces": {"tables": {table: {"allow": ONLY_ANN}}}}}
        with plain_site(faces_db, metadata=private) as served:
            for actor in (None, "bob"):
                assert listed(served, actor=actor) == left
                assert runnable(served, actor=actor) == left
            assert listed(served, actor="ann") == set(QUERIES)
            assert runnable(served, actor="ann") == set(QUERIES)
            # and what ann saw is not left behind for others
            assert listed(served) == left
            assert runnable(served) == left

    @pytest.mark.parametrize("level", ["database", "instance"])
    def test_a_private_database_keeps_them(self, faces_db: Path, level: str) -> None:
        allow = {"allow": ONLY_ANN}
        metadata = allow if level == "instance" else {"databases": {"faces": allow}}
        with plain_site(faces_db, metadata=metadata) as served:
            assert runnable(served) == set()
            assert runnable(served, actor="ann") == set(QUERIES)

    def test_queries_of_the_owners_own_are_left_in_place_and_leak_nothing(
        self, faces_db: Path
    ) -> None:
        own = {
            "tables": {"face_embeddings": {"allow": ONLY_ANN}},
            "queries": {"near_duplicates": "select 1 as mine", "other": "select 2 as other"},
        }
        options = {"config" if V1 else "metadata": {"databases": {"faces": own}}}
        with plain_site(faces_db, **options) as served:
            left = {"near_duplicates", "people_together", "faces_without_person"}
            for actor, right in ((None, left), ("ann", set(QUERIES)), (None, left)):
                assert listed(served, actor=actor) == right
                assert runnable(served, actor=actor) == right
                own_rows = served.get("/faces/near_duplicates.json?_shape=array", actor=actor)
                assert own_rows.json() == [{"mine": 1}]

    def test_they_need_no_permission_to_run_any_sql(self, faces_db: Path) -> None:
        with plain_site(faces_db, settings={"default_allow_sql": False}) as served:
            assert (
                served.get(f"/faces{'/-/query' if V1 else ''}.json?sql=select+1").status_code == 403
            )
            assert runnable(served) == set(QUERIES)


class TestWhere:
    @pytest.mark.parametrize("name", QUERIES)
    def test_every_one_and_its_fields_are_documented(self, name: str) -> None:
        docs = (Path(__file__).parent.parent / "docs" / "sql.md").read_text()
        row = docs.split(f"\n| `{name}` |")[1].split("\n")[0]
        assert set(QUERIES[name].fields) == set(re.findall(r":([a-z]\w*)", QUERIES[name].sql))
        for field in QUERIES[name].fields:
            assert f"`{field}`" in row

    def test_databases_without_faces_have_none(self, tmp_path: Path, faces_db: Path) -> None:
        (tmp_path / "x.db").touch()
        plants = copied(tmp_path / "x.db", tmp_path / "plants.db", "create table faces (name text)")
        with plain_site(plants, faces_db) as served:
            assert listed(served, "plants") == set()
            assert runnable(served, "plants") == set()
            assert served.get("/plants/near_duplicates").status_code == 404

    def test_one_without_people_has_the_others(self, faces_db: Path, tmp_path: Path) -> None:
        path = copied(faces_db, tmp_path / "some.db", "drop table people")
        with plain_site(path) as served:
            assert listed(served, "some") == {
                name for name, query in QUERIES.items() if "people" not in query.tables
            }

    def test_an_immutable_file_has_them(self, faces_db: Path) -> None:
        with plain_site(immutables=[str(faces_db)]) as served:
            assert runnable(served) == set(QUERIES)

    def test_no_word_of_them_is_too_new_for_an_old_sqlite(self) -> None:
        for query in QUERIES.values():
            assert not re.search(r"->|unixepoch|returning|iif\(|materialized", query.sql)

    @pytest.mark.skipif(not V1, reason="Datasette 0.65 keeps none")
    def test_a_kept_internal_database_is_brought_up_to_date_at_each_start(
        self, faces_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        internal = str(tmp_path / "internal.db")
        with plain_site(faces_db, internal=internal) as served:
            assert runnable(served) == set(QUERIES)
        changed = {"people_together": QUERIES["people_together"]}
        monkeypatch.setattr(canned_queries, "_tables", lambda conn: {"faces", "photos", "people"})
        with plain_site(faces_db, internal=internal) as served:
            assert listed(served) == {*changed, "faces_without_person"}
        monkeypatch.undo()
        with plain_site(faces_db, internal=internal) as served:
            assert runnable(served) == set(QUERIES)
            kept = served.datasette.get_internal_database()
            sql = "select name, source from queries"
            found = served._loop.run_until_complete(kept.execute(sql)).rows
            assert json.dumps(sorted(tuple(row) for row in found)) == json.dumps(
                sorted((name, canned_queries.SOURCE) for name in QUERIES)
            )
