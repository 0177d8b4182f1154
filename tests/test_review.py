"""The review queue: which pairs are in it, what is answered, and what never comes back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desks import FORM, Desk, make_clustered, message
from galleries import unit
from serving import Site, asked, site
from test_clusters import add, cluster, groups, made_up

from datasette_faces.algorithms import review_pairs
from datasette_faces.algorithms.constrained_clustering import ALONE, Graph
from datasette_faces.people import decide as people
from datasette_faces.store import people as store
from datasette_faces.store import review_queue
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import reading, writing
from datasette_faces.store.review_queue import LastPair

PAIRS = [
    ("cluster-0", "cluster-1", 0.34),
    ("cluster-0", "cluster-2", 0.31),
    ("cluster-1", "cluster-2", 0.3),
]


@pytest.fixture(scope="session")
def alike_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_clustered(tmp_path_factory.mktemp("alike") / "people.db")
    with writing(str(path)) as conn, transaction(conn):
        model = conn.execute("select id from models").fetchone()[0]
        review_queue.save_pairs(conn, model, PAIRS, replace=True)
    return path


@pytest.fixture
def database(alike_people: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    shutil.copy(alike_people, path)
    return path


def queued(desk: Desk, query: str = "") -> list[tuple[int, int]]:
    found = desk.get(f"/review.json{query}").json()["pairs"]
    return [tuple(it["person_id"] for it in pair["people"]) for pair in found]


class TestWhichPairs:
    def test_are_neighbours_that_nearly_are_one_the_most_similar_first(self) -> None:
        # On a circle: 0 and 1 are of one person, the second at 60 degrees from them, the third at 75
        angles = np.deg2rad([0, 0, 60, 60, -75, 180])
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        graph = Graph(
            np.arange(6, dtype=np.int32),
            np.array([[2, 4], [3, 5], [0, -1], [1, -1], [0, -1], [1, -1]], np.int32),
        )
        labels = np.array([7, 7, 3, 3, 9, 8])
        found = review_pairs.find_review_pairs(vectors, graph, labels, np.arange(6), threshold=0.3)
        assert labels[found.faces].tolist() == [[3, 7], [7, 9]]
        assert np.allclose(found.similarities, np.cos(np.deg2rad([60, 75])), atol=1e-6)
        together = review_pairs.find_review_pairs(
            vectors, graph, labels, np.array([0, 1, 2, 0, 4, 5]), threshold=0.3
        )
        assert labels[together.faces].tolist() == [[7, 9]]
        labels[4] = ALONE
        lone = review_pairs.find_review_pairs(vectors, graph, labels, np.arange(6), threshold=0.3)
        assert labels[lone.faces].tolist() == [[3, 7]]

    def test_clustering_keeps_them_and_growing_adds_to_them(self, tmp_path: Path) -> None:
        path = made_up(tmp_path / "near.db")
        with writing(str(path)) as conn, transaction(conn):
            raw = conn.execute("select embedding from face_embeddings").fetchone()[0]
            vectors = np.frombuffer(raw, "<f4")
            other = np.random.default_rng(1).standard_normal(len(vectors))
            other -= vectors * (other @ vectors) / (vectors @ vectors)
            base = 0.55 * unit(vectors[None])[0] + 0.835 * unit(other[None])[0]
            noise = unit(np.random.default_rng(2).standard_normal((4, len(vectors))))
            twins = unit(base + 0.3 * noise).astype(np.float32)
            add(conn, {100 + n: it for n, it in enumerate(twins)})
        cluster(path)
        with reading(str(path)) as conn:
            found = review_queue.queue(conn, limit=50)
        assert found
        assert [it["similarity"] for it in found] == sorted(
            (it["similarity"] for it in found), reverse=True
        )
        twin = next(key for key, members in groups(path).items() if "sha0100" in str(members))
        assert any(twin in (it["first_key"], it["second_key"]) for it in found)

    def test_those_that_were_decided_about_are_gone_and_come_back_with_an_undo(
        self, database: Path
    ) -> None:
        with writing(str(database)) as conn, transaction(conn):

            def left() -> list[tuple[int, int]]:
                return [
                    (it["first_id"], it["second_id"]) for it in review_queue.queue(conn, limit=9)
                ]

            assert left() == [(1, 2), (1, 3), (2, 3)]
            people.keep_apart(conn, 2, 1)
            assert left() == [(1, 3), (2, 3)]
            people.undo(conn)
            assert left() == [(1, 2), (1, 3), (2, 3)]
            people.name(conn, 1, "Ada")
            people.name(conn, 3, "Bo")
            assert left() == [(1, 2), (2, 3)]
            people.hide(conn, 3)
            assert left() == [(1, 2)]
            people.merge(conn, 1, 2)
            assert left() == []

    def test_a_page_goes_on_after_the_last_pair(self, database: Path) -> None:
        with reading(str(database)) as conn:
            every = review_queue.queue(conn, limit=9)
            for place, pair in enumerate(every):
                after = LastPair(pair["similarity"], pair["first_key"], pair["second_key"])
                assert review_queue.queue(conn, after=after, limit=9) == every[place + 1 :]

    def test_a_file_of_an_older_version_has_none(self, database: Path) -> None:
        with writing(str(database)) as conn:
            conn.execute("drop table likely_pairs")
        with site(database) as it:
            assert "Nothing left to review" in Desk(it).get("/review").text
            assert Desk(it).get("/people").status_code == 200


class TestThePage:
    def test_shows_both_with_their_faces_and_the_chance(self, desk: Desk) -> None:
        page = desk.get("/review")
        assert page.status_code == 200
        for face_id in range(1, 9):
            assert f'/crop/{face_id}.jpg"' in page.text
        assert "/crop/9.jpg" not in page.text
        assert 'class="faces-chance"' in page.text
        assert 'href="/people/-/faces/review"' in desk.get("/people").text

    def test_yes_merges_no_keeps_apart_and_undo_brings_back(
        self, desk: Desk, database: Path
    ) -> None:
        page = desk.decide("/review", action="apart", person=[1, 2])
        assert "not" in message(page)
        assert queued(desk) == [(1, 3), (2, 3)]
        desk.decide("/review", action="merge", person=[1, 3])
        assert queued(desk) == []
        assert asked(database, "select faces from people where id = 1") == [(8,)]
        newest = asked(database, "select max(id) from decisions")[0][0]
        desk.decide("/review", action="undo", decision=newest)
        assert queued(desk) == [(1, 3), (2, 3)]

    def test_not_sure_leads_on_and_decides_nothing(self, desk: Desk, database: Path) -> None:
        page = desk.get(not_sure(desk.get("/review")))
        assert 'name="person" value="3"' in page.text
        assert asked(database, "select count(*) from decisions") == [(0,)]

    def test_the_end_says_so_and_leads_back_to_what_was_left(self, desk: Desk) -> None:
        where = "/review"
        for _ in PAIRS:
            where = not_sure(desk.get(where))
        assert "after=" in where
        end = desk.get(where).text
        assert "That was the last pair." in end
        assert 'href="/people/-/faces/review">Start over with the skipped pairs</a>' in end
        for pair in ([1, 2], [1, 3]):
            desk.decide("/review", action="apart", person=pair)
        assert "Start over" in desk.get(where).text
        desk.decide("/review", action="apart", person=[2, 3])
        for nothing in (where, "/review"):
            assert "Nothing left to review" in desk.get(nothing).text

    def test_several_are_merged_at_once_each_by_a_decision(
        self, desk: Desk, database: Path
    ) -> None:
        page = desk.get("/review?several=1")
        assert page.text.count('name="pair"') == 3
        desk.decide("/review?several=1", action="merge-pairs", pair=["1:2", "2:3", "1:3"])
        assert asked(database, "select kind from decisions") == [("merge",)] * 2
        assert asked(database, "select faces from people where id = 1") == [(12,)]

    @pytest.mark.parametrize("pair", ["1", "1:2:3", "x:2", "1-5:9", "", "1:99999"])
    def test_a_pair_that_is_none_is_refused(self, desk: Desk, database: Path, pair: str) -> None:
        answer = desk.send("/review", action="merge-pairs", pair=pair)
        assert answer.status_code == 400
        assert asked(database, "select count(*) from decisions") == [(0,)]

    @pytest.mark.parametrize("after", ["x", "nan,a,b", "0.3", "0.3,a,b,c", "9,a,b", "0.3,a," * 90])
    def test_a_place_that_is_none_is_refused(self, desk: Desk, after: str) -> None:
        assert desk.get(f"/review?after={after}").status_code == 400

    def test_who_may_not_decide_sees_no_form_and_is_refused(self, served: Site) -> None:
        guest = Desk(served, None)
        assert "<button name" not in guest.get("/review").text
        assert guest.send("/review", action="merge", person=[1, 2]).status_code == 403

    def test_without_a_token_nothing_is_decided(self, desk: Desk, database: Path) -> None:
        headers = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
        cookie = desk.cookies(desk.get("/review"))
        answer = desk.site.post(
            "/people/-/faces/review",
            b"action=merge&person=1&person=2",
            FORM,
            cookie=cookie,
            **headers,
        )
        assert answer.status_code == 403
        assert asked(database, "select count(*) from decisions") == [(0,)]

    def test_the_second_of_two_editors_is_told(self, desk: Desk, database: Path) -> None:
        looked_at = desk.get("/review?several=1")
        with writing(str(database)) as conn, transaction(conn):
            people.name(conn, 2, "Ada", by=people.Editor("ann"))
        for fields in (
            {"action": "merge", "person": [1, 2]},
            {"action": "merge-pairs", "pair": "1:2"},
        ):
            assert desk.send("/review", looked_at, **fields).status_code == 409
        assert store_names(database) == [None, "Ada", None]


def not_sure(page: Any) -> str:
    """Where the key S leads."""
    link = page.text.partition('data-key="s"')[0].rpartition('href="')[2].partition('"')[0]
    return str(link.replace("&amp;", "&").removeprefix("/people/-/faces"))


def store_names(path: Path) -> list[Any]:
    with reading(str(path)) as conn:
        return [getattr(store.by_id(conn, it), "name", None) for it in (1, 2, 3)]
