"""Regions matched to faces, and names without a box to clusters: examples worked out by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_faces.algorithms.box_matching import match_boxes
from datasette_faces.algorithms.name_assignment import NamedPhoto, assign_names
from datasette_faces.shapes import Area

pytestmark = pytest.mark.once

FACE = Area(0.4, 0.4, 0.1, 0.2)


def scaled(place: Area, by: float, dx: float = 0, dy: float = 0) -> Area:
    """An area with scaled sides, its centre moved by a share of them."""
    x = place.x + place.width * (0.5 + dx - by / 2)
    y = place.y + place.height * (0.5 + dy - by / 2)
    return Area(x, y, place.width * by, place.height * by)


@pytest.mark.parametrize(
    ("region", "matches"),
    [
        pytest.param(FACE, True, id="the same"),
        pytest.param(scaled(FACE, 1.8, dy=-0.15), True, id="the head, IoU 0.31"),
        pytest.param(scaled(FACE, 0.5, dy=0.2), True, id="eyes to mouth, IoU 0.25"),
        pytest.param(scaled(FACE, 1, dx=0.3), True, id="shifted by a third, IoU 0.54"),
        pytest.param(scaled(FACE, 1, dx=0.6), False, id="shifted by more than half"),
        pytest.param(scaled(FACE, 2.6), False, id="the upper body"),
        pytest.param(scaled(FACE, 0.3), False, id="an eye"),
        pytest.param(scaled(FACE, 1, dx=2), False, id="the neighbour"),
    ],
)
def test_a_region_matches_a_face_that_another_program_drew_differently(region, matches):
    found = match_boxes([region], [FACE])
    assert found.pairs == (((0, 0),) if matches else ())
    assert found.unmatched == (() if matches else (0,))


def test_each_region_gets_one_face_and_each_face_one_region():
    row = [Area(0.1 * number, 0.4, 0.09, 0.15) for number in range(8)]
    heads = [scaled(face, 1.5, dx=0.1) for face in row]
    found = match_boxes(heads, row)
    assert found.pairs == tuple((number, number) for number in range(8))


def test_of_two_regions_on_a_face_the_closer_one_names_it_and_the_other_is_contested():
    found = match_boxes([scaled(FACE, 1.6), scaled(FACE, 1.1)], [FACE])
    assert found.pairs == ((1, 0),)
    assert found.contested == (0,)
    assert found.unmatched == ()


def test_without_regions_or_faces_nothing_matches():
    assert match_boxes([], [FACE]).pairs == ()
    assert match_boxes([FACE], []).unmatched == (0,)


sides = st.floats(0.01, 0.3)
areas = st.lists(st.builds(Area, st.floats(0, 0.7), st.floats(0, 0.7), sides, sides), max_size=6)


@given(areas, areas)
def test_every_region_is_paired_unmatched_or_contested_and_no_face_is_given_twice(regions, faces):
    found = match_boxes(regions, faces)
    all_regions = sorted(
        [*(region for region, _ in found.pairs), *found.unmatched, *found.contested]
    )
    assert all_regions == list(range(len(regions)))
    assert len({face for _, face in found.pairs}) == len(found.pairs)
    assert match_boxes(regions, faces) == found


def photo(names: str, people: str) -> NamedPhoto:
    return NamedPhoto(frozenset(names.split()), frozenset(people.split()))


def proposed(photos: list[NamedPhoto], **options) -> dict[str, str]:
    return {it.name: it.person_key for it in assign_names(photos, **options)}


def test_one_name_and_one_face_are_one_with_little_confidence():
    (only,) = assign_names([photo("Ann", "1")])
    assert (only.name, only.person_key, only.together, only.apart) == ("Ann", "1", 1, 0)
    # Wilson: (1 + 1.92 - 1.92) / (1 + 3.84)
    assert only.confidence == pytest.approx(1 / 4.8416, abs=1e-4)


def test_more_photos_make_it_surer():
    confidences = [assign_names([photo("Ann", "1")] * count)[0].confidence for count in (1, 3, 20)]
    assert [round(it, 2) for it in confidences] == [0.21, 0.44, 0.84]


def test_two_people_who_are_always_together_are_not_distinguished():
    assert proposed([photo("Ann Bob", "1 2")] * 10) == {}


def test_one_photo_apart_is_too_little_and_two_are_enough():
    together = [photo("Ann Bob", "1 2")] * 3
    assert proposed([*together, photo("Ann", "1")]) == {}
    # (Ann, 1) 0 apart, (Ann, 2) and (Bob, 1) 2 apart, (Bob, 2) 0
    assert proposed([*together, *[photo("Ann", "1")] * 2]) == {"Ann": "1", "Bob": "2"}


def test_a_known_person_is_taken_out_and_makes_another_certain():
    photos = [photo("Ann Bob", "1 2")]
    assert proposed(photos) == {}
    assert proposed(photos, known={"Ann": "1"}) == {"Bob": "2"}
    assert proposed(photos, known={"Ann": "2"}) == {"Bob": "1"}


def test_a_pair_that_is_certain_makes_the_next_one_so():
    # (Ann, 1): in all three. Bob and Cy: only 2 and 3 are left, and Bob is with 2 twice
    photos = [photo("Ann", "1"), photo("Ann", "1"), photo("Ann Bob", "1 2")]
    found = assign_names(photos)
    assert [(it.name, it.person_key, it.together) for it in found] == [
        ("Ann", "1", 3),
        ("Bob", "2", 1),
    ]


def test_a_mother_in_every_photo_is_not_her_child():
    photos = [photo("Mum Kid", "m k")] * 5 + [photo("Mum", "m")] * 5
    assert proposed(photos) == {"Mum": "m", "Kid": "k"}


def test_strangers_and_faces_that_were_not_found_do_not_mislead():
    photos = [photo("Ann", "1 s1"), photo("Ann", "1 s2"), photo("Ann", "1"), photo("Ann", "1 s3"),
              photo("Ann", "s4"), photo("Bob", "2"), photo("Bob", "2 s5"), photo("Bob", "2 1")]  # fmt: skip
    found = {it.name: it for it in assign_names(photos)}
    assert (found["Ann"].person_key, found["Ann"].together, found["Ann"].apart) == ("1", 4, 2)
    assert (found["Bob"].person_key, found["Bob"].together, found["Bob"].apart) == ("2", 3, 0)


def test_a_person_in_two_clusters_of_the_same_size_is_left_to_the_user():
    assert proposed([photo("Ann", "1")] * 5 + [photo("Ann", "2")] * 5) == {}
    assert proposed([photo("Ann", "1")] * 8 + [photo("Ann", "2")] * 3) == {"Ann": "1"}


def test_a_pair_below_the_minimum_confidence_is_not_proposed():
    assert proposed([photo("Ann", "1")], min_confidence=0.3) == {}
    assert proposed([photo("Ann", "1")] * 3, min_confidence=0.3) == {"Ann": "1"}


def test_photos_without_names_or_without_faces_are_ignored():
    assert assign_names([photo("", "1"), photo("Ann", ""), photo("", "")]) == []


def random_album(seed: int) -> tuple[list[NamedPhoto], dict[str, str]]:
    """300 photos of 20 people in groups; one in ten names is missing, one in ten faces not found."""
    chance = random.Random(seed)
    truth = {f"N{number}": f"key{number}" for number in range(20)}
    photos = []
    for _ in range(300):
        there = chance.sample(sorted(truth), chance.randint(1, 4))
        photos.append(
            NamedPhoto(
                frozenset(name for name in there if chance.random() > 0.1),
                frozenset(truth[name] for name in there if chance.random() > 0.1),
            )
        )
    return photos, truth


@pytest.mark.parametrize("seed", range(5))
def test_an_album_with_gaps_is_solved_without_a_mistake_whatever_its_order(seed):
    photos, truth = random_album(seed)
    found = assign_names(photos)
    assert all(truth[it.name] == it.person_key for it in found)
    assert len(found) >= 18
    random.Random(seed).shuffle(photos)
    assert assign_names(photos) == found


some_names, some_people = (st.frozensets(st.sampled_from(of)) for of in ("ABC", "123"))


@pytest.mark.slow
@given(st.lists(st.builds(NamedPhoto, some_names, some_people)))
def test_no_name_and_no_person_is_proposed_twice(photos):
    found = assign_names(photos)
    assert len({it.name for it in found}) == len({it.person_key for it in found}) == len(found)
    assert all(0.2 <= it.confidence <= 1 for it in found)
