"""Why a face belongs to its person: in sentences that can be checked by hand, and on the face's page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from galleries import make_gallery, unit
from serving import Site, site

from datasette_faces.people import decide, explain
from datasette_faces.people.decide import Editor
from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing
from datasette_faces.store.decisions import Decision
from datasette_faces.store.explanations import Facts, Near

NO_PERSON = Facts(None, None, 0, None, (), (), (), "toy", 0.4)
ADA = Near(1, "Ada", 0.35, 0.2, in_photo=False)
DECIDED = Decision("name", actor="root", made_at="2026-01-02T03:04:05Z", id=7)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            replace(NO_PERSON, source="person", name="Ada", decision=DECIDED),
            ["root said that this is Ada: decision 7 (name), 2026-01-02."],
        ),
        (
            replace(NO_PERSON, source="cluster", name="Ada", people_faces=1200),
            ["was grouped with the 1,200 faces of Ada, which it resembles on average"],
        ),
        (replace(NO_PERSON, source="cluster", people_faces=3), ["of a person without a name"]),
        (NO_PERSON, ["no face of a named person is near"]),
        (
            replace(NO_PERSON, near=(ADA,)),
            ["Ada's, at a similarity of 0.35; the threshold of toy is 0.40."],
        ),
        (
            replace(NO_PERSON, near=(replace(ADA, similarity=0.5, in_photo=True),)),
            ["Ada (0.50), but another face in this photo is Ada"],
        ),
        (replace(NO_PERSON, near=(replace(ADA, similarity=0.5),)), ["not Ada's faces on average"]),
        (replace(NO_PERSON, model_id=None), ["no embedding"]),
        (
            replace(NO_PERSON, rejected=("Grace",), weak=("small", "blurred", "turned away")),
            [
                "is near",
                "Marked as not Grace.",
                "Small, blurred and turned away: assigned to a person",
            ],
        ),
    ],
)
def test_the_reason_that_decided_comes_first(facts: Facts, said: list[str]) -> None:
    reasons = explain.explain_face(facts)
    assert len(reasons) == len(said)
    for reason, part in zip(reasons, said, strict=True):
        assert part in reason


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    """Faces 1 to 3 are similar and Ada's, 4 resembles them, 5 no one; 2 was rejected, 3 proposed."""
    directions = np.eye(8, dtype=np.float32)
    near = unit(directions[0] + 0.2 * directions[1:5])
    vectors = np.concatenate([near, directions[6:7]])
    path = make_gallery(tmp_path / "x.db", vectors)
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("update faces set person_id = null")
        conn.execute("delete from people")
        store.propose(conn, {1: "a", 2: "a", 3: None})
        store.rebuild(conn)
        person = conn.execute("select person_id from faces where id = 1").fetchone()[0]
        decide.name(conn, person, "<b>Ada</b>", by=Editor("root"))
        decide.reject(conn, [2], person)
        store.propose(conn, {3: "a"})
        store.update_faces(conn, [3])
    with site(path) as it:
        yield it


def test_the_page_of_a_face_gives_the_reasons(served: Site) -> None:
    told = {number: served.json(f"/x/-/faces/face/{number}.json")["why"] for number in range(1, 6)}
    assert "root said that this is <b>Ada</b>: decision 1 (name)" in told[1]["reasons"][0]
    assert "Marked as not <b>Ada</b>." in told[2]["reasons"]
    assert "which it resembles on average" in told[3]["reasons"][0]
    assert [near["name"] for near in told[4]["near"]] == ["<b>Ada</b>"]
    assert told[4]["near"][0]["similarity"] > 0.9
    assert 0 <= told[4]["near"][0]["probability"] <= 1
    assert (
        "the nearest face of a named person is <b>Ada</b>'s, at a similarity of 0.00"
        in told[5]["reasons"][0]
    )
    page = served.get("/x/-/faces/face/1").text
    assert "<h2>Why</h2>" in page
    assert "&lt;b&gt;Ada&lt;/b&gt;: decision 1" in page


def test_the_reasons_are_hidden_with_the_decisions(served: Site) -> None:
    path = Path(served.datasette.databases["x"].path)
    rule = {"databases": {"x": {"tables": {"decisions": {"allow": {"id": "ann"}}}}}}
    with site(path, metadata=rule) as private:
        assert private.json("/x/-/faces/face/1.json")["why"] is None
        assert "<h2>Why</h2>" not in private.get("/x/-/faces/face/1").text
        assert "<h2>Why</h2>" in private.get("/x/-/faces/face/1", actor="ann").text
