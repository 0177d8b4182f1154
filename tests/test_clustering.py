"""Clustering under constraints: what must hold for any faces, and examples worked out by hand."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import random_vectors, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from measures import groups, quality
from running import rows

from datasette_faces.algorithms import constrained_clustering, knn_graph, merge_thresholds, vectors
from datasette_faces.algorithms.constrained_clustering import ALONE, Constraints, Graph
from datasette_faces.algorithms.merge_thresholds import Thresholds

THRESHOLDS = Thresholds(model=0.4, stranger_mean=0.0, single_pair=0.4)
MOST = 14
ANY = settings(deadline=None, max_examples=150)


def complete(n: int, faces: Any = None) -> Graph:
    """Every face is a neighbour of every other."""
    asked = np.arange(n, dtype=np.int32) if faces is None else np.asarray(faces, np.int32)
    everyone = np.tile(np.arange(n, dtype=np.int32), (len(asked), 1))
    everyone[everyone == asked[:, np.newaxis]] = -1
    return Graph(asked, everyone)


def clustered(
    found: Any, constraints: Constraints | None = None, thresholds: Thresholds = THRESHOLDS
) -> Any:
    """The numbers that faces get; by default each is in a photo of its own."""
    known = constraints or constrained_clustering.constrain_by_photo(range(len(found)))
    return constrained_clustering.cluster_faces(
        np.asarray(found, np.float32), complete(len(found)), known, thresholds
    )


def on_a_circle(*degrees: float) -> Any:
    """Vectors whose similarity is the cosine of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def picked(constraints: Constraints, chosen: Any) -> Constraints:
    """The constraints of some faces, in this order."""
    chosen = np.asarray(chosen)
    place = np.full(len(constraints.key), -1)
    place[chosen] = np.arange(len(chosen))
    apart = place[constraints.cannot_link]
    people = constraints.cannot_link_people.copy()
    people[:, 0] = place[people[:, 0]]
    return Constraints(
        constraints.photo[chosen],
        constraints.key[chosen],
        constraints.pinned[chosen],
        apart[(apart >= 0).all(axis=1)],
        people[people[:, 0] >= 0],
        constraints.bridging[chosen],
    )


@st.composite
def libraries(draw: Any) -> tuple[Any, Constraints]:
    """A few faces of few directions, so that many are equally good, with any constraints."""
    n = draw(st.integers(1, MOST))
    numbers = st.integers(-3, 3)
    raw = draw(st.lists(st.tuples(*[numbers] * 3).filter(any), min_size=n, max_size=n))
    place, person = st.integers(0, n - 1), st.integers(0, 2)

    def each(of: Any) -> Any:
        return draw(st.lists(of, min_size=n, max_size=n))

    def pairs(second: Any, *, different: bool = False) -> Any:
        found = draw(st.lists(st.tuples(place, second), max_size=4))
        found = [(one, two) for one, two in found if not different or one != two]
        return np.array(found, np.int64).reshape(-1, 2)

    constraints = Constraints(
        photo=np.array(each(st.integers(0, n)), np.int64),
        key=np.array(draw(st.permutations(range(n))), np.int64),
        pinned=np.array(each(st.integers(-3, 2)), np.int64).clip(-1),
        cannot_link=pairs(place, different=True),
        cannot_link_people=pairs(person),
        bridging=np.array(each(st.sampled_from([True, True, False])), bool),
    )
    return unit(np.array(raw, np.float32)), constraints


def assert_holds(labels: Any, constraints: Constraints) -> None:
    """Fail unless every constraint holds, but for those between faces that are pinned together."""
    pinned = constraints.pinned
    together = [
        (one, two)
        for one, two in combinations(range(len(labels)), 2)
        if labels[one] == labels[two] != ALONE and not (pinned[one] == pinned[two] >= 0)
    ]
    assert all(constraints.photo[one] != constraints.photo[two] for one, two in together)
    rejected = {frozenset(pair) for pair in constraints.cannot_link.tolist()}
    assert all(frozenset(pair) not in rejected for pair in together)
    for face, person in constraints.cannot_link_people.tolist():
        # The number of a person without a pinned face may be given to a new one
        assert labels[face] != person or pinned[face] == person or person not in pinned
    assert (labels[pinned >= 0] == pinned[pinned >= 0]).all()


@pytest.mark.slow
@ANY
@given(libraries())
def test_no_constraint_is_ever_broken(library):
    found, constraints = library
    labels = clustered(found, constraints)
    assert_holds(labels, constraints)
    pinned = constraints.pinned
    assert set(labels[labels <= pinned.max()].tolist()) <= {*pinned.tolist(), ALONE}


@pytest.mark.slow
@ANY
@given(libraries(), st.randoms(use_true_random=False))
def test_shuffled_rows_give_the_same_numbers(library, random):
    found, constraints = library
    order = list(range(len(found)))
    random.shuffle(order)
    labels = clustered(found, constraints)
    assert (clustered(found[order], picked(constraints, order)) == labels[order]).all()


@pytest.mark.slow
@ANY
@given(libraries())
def test_faces_of_low_quality_change_nothing_for_the_others(library):
    found, constraints = library
    kept = np.flatnonzero(constraints.bridging | (constraints.pinned >= 0))
    without = clustered(found[kept], picked(constraints, kept))
    alone = np.full(len(found), ALONE)
    alone[kept] = without
    everything = clustered(found, constraints)
    everything[np.setdiff1d(np.arange(len(found)), kept)] = ALONE
    # A face that only one of low quality joined has a number, and is still alone here
    assert groups(everything) == groups(alone)


@pytest.mark.slow
@ANY
@given(libraries(), st.integers(0, MOST))
def test_new_faces_move_none_of_the_old_ones_and_break_no_constraint(library, new):
    found, constraints = library
    n = len(found)
    fresh = np.arange(max(0, n - new), n)
    old = np.arange(max(0, n - new))
    labels = np.full(n, ALONE)
    labels[old] = clustered(found[old], picked(constraints, old))
    grown = constrained_clustering.grow_clusters(
        found, complete(n, fresh), constraints, THRESHOLDS, labels=labels
    )
    known = np.flatnonzero(labels >= 0)
    pinned_later = set(constraints.pinned[fresh].tolist())
    rejected = constraints.cannot_link_people[:, 0].tolist()
    steady = [face for face in known if labels[face] not in pinned_later and face not in rejected]
    assert groups_of(grown, steady) == groups_of(labels, steady)
    assert_holds(grown, constraints)


@pytest.mark.slow
@ANY
@given(libraries())
def test_later_decisions_remove_faces_from_old_clusters(library):
    """The old faces got their numbers before any decision."""
    found, constraints = library
    n = len(found)
    before = constrained_clustering.constrain_by_photo(constraints.photo, constraints.key)
    labels = clustered(found, before)
    labels[labels >= 0] += 3
    nobody = np.empty(0, np.int32)
    grown = constrained_clustering.grow_clusters(
        found, complete(n, nobody), constraints, THRESHOLDS, labels=labels
    )
    assert_holds(grown, constraints)


def groups_of(labels: Any, faces: list[int]) -> set[frozenset[int]]:
    return groups(labels[faces]) if len(faces) else set()


def test_faces_that_resemble_each_other_are_one_person_and_others_are_alone():
    assert clustered(on_a_circle(0, 20, 180, 200, 90)).tolist() == [0, 0, 1, 1, ALONE]


def test_a_chain_is_not_one_person():
    """Neighbours at 50 degrees have 0.64, but the first and the last of these nothing."""
    labels = clustered(on_a_circle(*range(0, 361, 45)[:5]))
    assert labels[0] != labels[4]


def test_two_faces_of_one_photo_are_two_people():
    labels = clustered(on_a_circle(0, 1, 2), constrained_clustering.constrain_by_photo([7, 7, 8]))
    assert labels[0] != labels[1]
    assert len(groups(labels)) == 2


def test_a_user_may_pin_both_faces_of_a_mirror():
    constraints = replace(
        constrained_clustering.constrain_by_photo([7, 7, 7]), pinned=np.array([3, 3, -1])
    )
    assert clustered(on_a_circle(0, 1, 2), constraints).tolist() == [3, 3, ALONE]


def test_people_with_names_attract_and_are_never_merged():
    constraints = replace(
        constrained_clustering.constrain_by_photo(range(6)), pinned=np.array([5, -1, 2, -1, -1, -1])
    )
    labels = clustered(on_a_circle(0, 8, 20, 24, 180, 190), constraints)
    assert labels.tolist() == [5, 5, 2, 2, 6, 6]


def test_a_person_who_was_pinned_at_two_ages_attracts_faces_of_both():
    constraints = replace(
        constrained_clustering.constrain_by_photo(range(4)), pinned=np.array([0, 0, -1, -1])
    )
    assert clustered(on_a_circle(0, 120, 10, 130), constraints).tolist() == [0, 0, 0, 0]


def test_two_faces_with_a_cannot_link_do_not_both_join_a_person_at_two_ages():
    constraints = replace(
        constrained_clustering.constrain_by_photo(range(4)),
        pinned=np.array([0, 0, -1, -1]),
        cannot_link=np.array([[2, 3]]),
    )
    labels = clustered(on_a_circle(0, 120, 1, 140), constraints)
    assert labels.tolist() == [0, 0, 0, ALONE]


def test_a_face_with_a_cannot_link_to_a_person_goes_elsewhere():
    constraints = replace(
        constrained_clustering.constrain_by_photo(range(3)),
        pinned=np.array([0, -1, -1]),
        cannot_link_people=np.array([[1, 0]]),
    )
    labels = clustered(on_a_circle(0, 1, 10), constraints)
    assert labels[0] == 0
    assert labels[1] != 0


def test_a_face_of_low_quality_joins_but_joins_nothing_together():
    found = on_a_circle(0, 5, 130, 135, 62)
    constraints = replace(
        constrained_clustering.constrain_by_photo(range(5)), bridging=np.array([True] * 4 + [False])
    )
    labels = clustered(found, constraints)
    assert labels[:4].tolist() == [0, 0, 1, 1]
    assert labels[4] == 0


def test_look_alikes_are_two_people_though_each_pair_of_them_is_above_the_threshold():
    rng = np.random.default_rng(3)
    centres = unit(rng.standard_normal((2, 128)))
    centres[1] -= (centres[0] @ centres[1]) * centres[0]
    centres[1] = 0.7 * centres[0] + np.sqrt(1 - 0.49) * unit(centres[1])
    people = np.repeat([0, 1], 40)
    noise = unit(rng.standard_normal((80, 128)))
    found = unit(np.sqrt(0.65) * centres[people] + np.sqrt(0.35) * noise)
    between = found[:40] @ found[40:].T
    assert between.mean() > THRESHOLDS.model
    assert groups(clustered(found)) == groups(people)


def test_the_more_faces_there_are_the_more_similar_two_single_ones_have_to_be():
    found = random_vectors(500, 64)
    small, large = (
        merge_thresholds.estimate_thresholds(found, 0.363, faces=n) for n in (500, 1_000_000)
    )
    assert small.single_pair < large.single_pair <= 0.363 * 1.5
    assert merge_thresholds.estimate_thresholds(found[:1], 0.363).single_pair == 0.363


def test_a_family_does_not_raise_its_own_threshold():
    """Every third pair is of one person."""
    centres = random_vectors(3, 128)
    found = unit(centres[np.arange(90) % 3] * 1.5 + random_vectors(90, 128, seed=2))
    assert merge_thresholds.estimate_thresholds(found, 0.363).single_pair < 0.45
    assert (
        len(groups(clustered(found, thresholds=merge_thresholds.estimate_thresholds(found, 0.363))))
        == 3
    )


def test_no_faces_give_no_numbers():
    assert clustered(np.empty((0, 8), np.float32)).tolist() == []


def test_a_new_face_joins_a_cluster_or_makes_one_with_another():
    found = on_a_circle(0, 5, 90, 180, 3, 181, 270)
    labels = np.array([4, 4, ALONE, ALONE, ALONE, ALONE, ALONE])
    graph = complete(7, [4, 5, 6])
    grown = constrained_clustering.grow_clusters(
        found, graph, constrained_clustering.constrain_by_photo(range(7)), THRESHOLDS, labels=labels
    )
    assert grown.tolist() == [4, 4, ALONE, 5, 4, 5, ALONE]


def test_the_neighbourhood_of_new_faces_is_all_that_has_to_be_known():
    found = np.concatenate([clump(seed) for seed in range(6)])
    n = len(found)
    fresh = np.arange(n - 4, n)
    labels = np.full(n, ALONE)
    labels[:-4] = clustered(found[:-4])
    constraints = constrained_clustering.constrain_by_photo(range(n))
    grown = constrained_clustering.grow_clusters(
        found, complete(n, fresh), constraints, THRESHOLDS, labels=labels
    )
    near = np.flatnonzero(np.isin(grown, grown[fresh]))
    graph = complete(len(near), np.flatnonzero(np.isin(near, fresh)))
    some = constrained_clustering.grow_clusters(
        found[near], graph, picked(constraints, near), THRESHOLDS, labels=labels[near]
    )
    assert (some == grown[near]).all()


def clump(seed: int, faces: int = 12) -> Any:
    """Faces of one person."""
    centre = random_vectors(1, 64, seed=seed)
    return unit(centre * 1.3 + random_vectors(faces, 64, seed=100 + seed))


def test_growing_gives_nearly_what_clustering_everything_gives():
    found = np.concatenate([clump(seed) for seed in range(30)])
    people = np.repeat(np.arange(30), 12)
    order = np.random.default_rng(1).permutation(len(found))
    found, people = found[order], people[order]
    labels = np.full(len(found), ALONE)
    labels[:300] = clustered(found[:300])
    fresh = np.arange(300, len(found), dtype=np.int32)
    graph = knn_graph.build_graph_of(found, fresh)
    grown = constrained_clustering.grow_clusters(
        found,
        graph,
        constrained_clustering.constrain_by_photo(range(360)),
        THRESHOLDS,
        labels=labels,
    )
    assert quality(grown, people).bcubed_f1 > 0.99


def test_the_graph_holds_the_nearest_and_no_face_itself():
    found = random_vectors(300, 16)
    graph = knn_graph.build_graph(found, k=5, min_similarity=-1)
    similarities = found @ found.T
    np.fill_diagonal(similarities, -2)
    best = np.argsort(-similarities, axis=1)[:, :5]
    assert [set(row) for row in graph.neighbours.tolist()] == [set(row) for row in best.tolist()]


def test_the_graph_leaves_out_faces_that_are_not_similar():
    graph = knn_graph.build_graph(on_a_circle(0, 10, 180), k=5, min_similarity=0.2)
    assert [set(row) for row in graph.neighbours.tolist()] == [{1, -1}, {0, -1}, {-1}]


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [64, 33])
def test_an_approximate_graph_finds_nearly_all_of_a_persons_faces(dimensions):
    found = unit(
        random_vectors(200, dimensions)[np.arange(2_000) % 200]
        + 0.7 * random_vectors(2_000, dimensions, seed=2)
    )
    exact, near = (
        knn_graph.build_graph(found, k=9, max_exact_products=most) for most in (2**40, 0)
    )
    hits = [
        len({*one} & {*two} - {-1}) / len({*one} - {-1})
        for one, two in zip(exact.neighbours.tolist(), near.neighbours.tolist(), strict=True)
    ]
    assert np.mean(hits) > 0.95


def test_the_measures_are_those_of_an_example_worked_out_by_hand():
    """Clusters {0, 1, 2}, {3}, {4, 5}; people {0, 1}, {2, 3}, {4, 5}."""
    found = quality(np.array([7, 7, 7, ALONE, 2, 2]), np.array([0, 0, 1, 1, 2, 2]))
    assert found.bcubed_precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6)
    assert found.bcubed_recall == pytest.approx((1 + 1 + 1 / 2 + 1 / 2 + 1 + 1) / 6)
    assert found.pair_precision == 2 / 4
    assert found.pair_recall == 2 / 3


def test_faces_by_themselves_are_no_cluster_to_the_measures():
    found = quality(np.array([ALONE, ALONE]), np.array([0, 1]))
    assert (found.bcubed_f1, found.pair_precision, found.pair_recall) == (1, 1, 1)


TWICE = """
import sys, numpy as np
from datasette_faces.algorithms.constrained_clustering import cluster_faces, constrain_by_photo
from datasette_faces.algorithms.knn_graph import build_graph
from datasette_faces.algorithms.merge_thresholds import estimate_thresholds
found, key = np.load(sys.argv[1]), np.load(sys.argv[2])
graph, constraints = build_graph(found), constrain_by_photo(key // 2, key)
thresholds = estimate_thresholds(found[np.argsort(key)], 0.363)
print(cluster_faces(found, graph, constraints, thresholds).tolist())
"""


@pytest.mark.slow
def test_two_processes_and_shuffled_rows_give_the_same_people(tmp_path):
    found = np.concatenate([clump(seed, 8) for seed in range(20)])
    answers = []
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(len(found))
        np.save(tmp_path / "found.npy", found[order])
        np.save(tmp_path / "key.npy", order)
        done = subprocess.run(
            [sys.executable, "-c", TWICE, tmp_path / "found.npy", tmp_path / "key.npy"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        labels = np.array(eval(done.stdout))
        answers.append(labels[np.argsort(order)].tolist())
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 10


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["sface", "insightface-mini"])
def real_people(request, shared: Path, real_faces) -> tuple[Any, Any, Any, Any, Thresholds]:
    """Every face's vector and photo, the positions and people of the labelled ones, the thresholds."""
    model = request.param
    database = real_faces(model)
    query = """
        select min(photo_paths.path), faces.photo_id, faces.width * faces.height, embedding
        from faces join face_embeddings on face_id = faces.id join photo_paths using (photo_id)
        where model_id = ? group by faces.id order by 1, faces.x, faces.y
    """
    found = rows(database, query, model)
    ((threshold,),) = rows(database, "select threshold from models")
    folder = os.path.abspath(shared / "photos")
    main: dict[str, int] = {}
    for place, (path, _, area, _) in enumerate(found):
        file = os.path.relpath(path, folder)
        if file not in main or found[main[file]][2] < area:
            main[file] = place
    several = {row["file"] for row in table(shared / "photos" / "counts.csv")}
    labelled = [
        row for row in table(shared / "photos" / "labels.csv") if row["file"] not in several
    ]
    faces = np.stack([vectors.decode(row[3]) for row in found])
    photo = np.array([row[1] for row in found])
    places = np.array([main[row["file"]] for row in labelled])
    people = np.unique([row["person"] for row in labelled], return_inverse=True)[1]
    return faces, photo, places, people, merge_thresholds.estimate_thresholds(faces, threshold)


@pytest.mark.slow
@pytest.mark.once
def test_labelled_people_are_separate_and_each_is_one_cluster(real_people):
    faces, photo, places, people, thresholds = real_people
    constraints = constrained_clustering.constrain_by_photo(photo)
    labels = constrained_clustering.cluster_faces(
        faces, knn_graph.build_graph(faces), constraints, thresholds
    )
    measured = quality(labels[places], people)
    assert measured.bcubed_f1 >= 0.98
    assert measured.pair_precision == 1.0


@pytest.mark.slow
@pytest.mark.once
def test_labelled_people_who_come_later_join_their_own(real_people):
    """Half of the photos first, then the others, one after another."""
    faces, photo, places, people, thresholds = real_people
    labels = np.full(len(faces), ALONE)
    first = np.flatnonzero(photo % 2 == 0)
    graph = knn_graph.build_graph(faces[first])
    labels[first] = constrained_clustering.cluster_faces(
        faces[first], graph, constrained_clustering.constrain_by_photo(photo[first]), thresholds
    )
    for number in np.unique(photo[photo % 2 == 1]).tolist():
        here = np.flatnonzero((photo % 2 == 0) | (photo <= number))
        fresh = np.flatnonzero(photo[here] == number)
        graph = knn_graph.build_graph_of(faces[here], fresh)
        constraints = constrained_clustering.constrain_by_photo(photo[here])
        labels[here] = constrained_clustering.grow_clusters(
            faces[here], graph, constraints, thresholds, labels=labels[here]
        )
    measured = quality(labels[places], people)
    assert measured.bcubed_f1 >= 0.95
    assert measured.pair_precision == 1.0
