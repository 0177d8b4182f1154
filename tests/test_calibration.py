"""Calibration: curves of made-up pairs, a library's own, the SQL function, the command."""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import add_faces, blob, model_info, opened, unit
from hypothesis import given
from hypothesis import strategies as st
from running import beside, faces, rows
from serving import copied

from datasette_faces.algorithms import calibration
from datasette_faces.algorithms.calibration import MAX_PROBABILITY, MIN_PAIRS, LabelledPairs
from datasette_faces.app.sql import functions
from datasette_faces.errors import FacesError, SearchError
from datasette_faces.search import probability as probabilities
from datasette_faces.store import calibration_pairs, calibrations, models
from datasette_faces.store.database import writing

SFACE = 0.363
DIMENSIONS = 64
PEOPLE = 12
EACH = 8
DOCS = Path(__file__).parent.parent / "docs"


def made(count: int, seed: int, *, alike: float = 0.02) -> tuple[Any, Any]:
    """Similarities as in a library: matching pairs, some of them blurred; others, some of them similar."""
    rng = np.random.default_rng(seed)
    blurred, kin = rng.random(count) < 0.1, rng.random(count) < alike
    matching = np.where(blurred, rng.normal(0.35, 0.12, count), rng.normal(0.6, 0.1, count))
    other = np.where(kin, rng.normal(0.45, 0.08, count), rng.normal(0.02, 0.1, count))
    return np.clip(matching, -1, 1), np.clip(other, -1, 1)


def grouped(similarities: Any, size: int = 20) -> LabelledPairs:
    return LabelledPairs(similarities, np.arange(len(similarities)) // size)


def chances(curve: calibration.Curve) -> Any:
    return calibration.probabilities(curve, np.linspace(-1, 1, 2_001))


class TestACurve:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("count", [300, 3_000, 30_000])
    def test_calibration_error_on_held_out_pairs_is_small(self, count: int, seed: int) -> None:
        curve = calibration.fit(SFACE, *made(count, seed))
        error = calibration.evaluate(curve, *made(50_000, seed + 100)).ece
        assert error is not None
        assert error <= 0.02

    def test_with_few_pairs_it_is_better_than_the_published_one_already(self) -> None:
        new = made(50_000, 100)
        published = calibration.evaluate(calibration.published_curve(SFACE), *new).ece
        errors = [
            calibration.evaluate(calibration.fit(SFACE, *made(MIN_PAIRS, seed)), *new).ece
            for seed in range(8)
        ]
        assert np.mean(errors) < published

    def test_a_library_that_differs_from_the_published_figures_has_a_curve_of_its_own(self) -> None:
        rng = np.random.default_rng(1)
        matching, other = (rng.normal(mean, 0.06, 5_000) for mean in (0.8, 0.5))
        held_out = [rng.normal(mean, 0.06, 20_000) for mean in (0.8, 0.5)]
        of_library = calibration.evaluate(calibration.fit(SFACE, matching, other), *held_out)
        published = calibration.evaluate(calibration.published_curve(SFACE), *held_out)
        assert of_library.ece < 0.01 < 0.4 < published.ece
        assert calibration.even_chance(calibration.fit(SFACE, matching, other)) == pytest.approx(
            0.65, abs=0.02
        )

    @pytest.mark.slow
    @given(
        st.lists(st.floats(-1, 1), max_size=40),
        st.lists(st.floats(-1, 1), max_size=40),
        st.floats(-1, 1),
    )
    def test_never_decreases_and_stays_a_probability_for_any_pairs(
        self, matching: list[float], other: list[float], threshold: float
    ) -> None:
        curve = calibration.fit(threshold, np.array(matching), np.array(other))
        found = chances(curve)
        assert (np.diff(found) >= 0).all()
        assert 0.001 <= found[0] <= found[-1] <= MAX_PROBABILITY
        assert all(one < other for one, other in pairwise(curve.similarities))

    @pytest.mark.parametrize("threshold", [0.363, 0.408, 0.9])
    def test_without_pairs_is_the_published_one_with_an_even_chance_at_its_threshold(
        self, threshold: float
    ) -> None:
        curve = calibration.published_curve(threshold)
        assert calibration.even_chance(curve) == pytest.approx(threshold, abs=0.001)
        steep = 2 * calibration.PUBLISHED_Z**2 / threshold
        for away in (-0.06, -0.02, 0.03, 0.05):
            logistic = 1 / (1 + math.exp(-steep * away))
            found = calibration.probability(curve, threshold + away)
            assert found == pytest.approx(logistic, abs=0.01)

    def test_a_few_pairs_move_the_published_curve_a_little_and_many_move_it_far(self) -> None:
        matching, other = np.full(2_000, 0.3), np.full(2_000, 0.0)
        at = [
            calibration.probability(calibration.fit(SFACE, matching[:n], other[:n]), 0.3)
            for n in (0, 2, 20, 2_000)
        ]
        assert at == sorted(at)
        assert at[0] < 0.1 < at[2] < 0.97 < at[3]

    @pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.05, 1.0])
    def test_a_strange_threshold_still_gives_a_curve(self, threshold: float) -> None:
        found = chances(calibration.published_curve(threshold))
        assert (np.diff(found) >= 0).all()

    def test_one_similarity_and_many_give_the_same_probability(self) -> None:
        curve = calibration.fit(SFACE, *made(500, 1))
        for similarity in (-1.0, -0.5, 0.0, 0.3333, 0.5, 1.0):
            one = calibration.probability(curve, similarity)
            many = calibration.probabilities(curve, np.array([similarity]))
            assert one == pytest.approx(many[0], abs=1e-5)

    def test_the_same_pairs_give_the_same_curve_in_any_order(self) -> None:
        matching, other = made(1_000, 3)
        assert calibration.fit(SFACE, matching, other) == calibration.fit(
            SFACE, matching[::-1], other[::-1]
        )


def test_the_functions_that_the_documentation_names_are_where_it_says() -> None:
    documented = importlib.import_module("datasette_faces.calibration")
    text = (DOCS / "calibration.md").read_text()
    for name in ("fit", "evaluate"):
        assert f"{name}(" in text
        assert getattr(documented, name) is getattr(calibration, name)


class TestAnEvaluation:
    def test_held_out_error_is_near_the_error_on_new_pairs(self) -> None:
        matching, other = made(4_000, 5)
        found = calibration.fit_and_evaluate(SFACE, grouped(matching), grouped(other))
        assert found.source == "library"
        again = calibration.evaluate(found.curve, *made(50_000, 6)).ece
        assert found.evaluation.ece == pytest.approx(again, abs=0.01)

    @pytest.mark.parametrize(
        ("matching", "other", "size"),
        [
            (0, 0, 1),
            (0, 500, 1),
            (500, 0, 1),
            (MIN_PAIRS - 1, 500, 1),
            (500, 10, 1),
            (100, 500, 60),
        ],
    )
    def test_too_few_labels_give_the_published_curve(
        self, matching: int, other: int, size: int
    ) -> None:
        similar, apart = made(500, 1)
        found = calibration.fit_and_evaluate(
            SFACE, grouped(similar[:matching], size), grouped(apart[:other], size)
        )
        assert found.source == "published"
        assert found.curve == calibration.published_curve(SFACE)
        assert (found.evaluation.ece is None) == (not matching or not other)

    def test_bins_weigh_both_kinds_of_pairs_the_same(self) -> None:
        curve = calibration.published_curve(0.5)
        found = calibration.evaluate(curve, np.full(10, 0.5), np.full(1_000, 0.5))
        (only,) = found.bins
        assert (only.observed, only.share) == (0.5, 1.0)
        assert (only.matching, only.other) == (10, 1_000)
        assert found.ece == pytest.approx(0.0, abs=0.001)

    def test_accept_rates_are_counted(self) -> None:
        other = np.arange(1_000) / 1_000 - 0.5
        matching = np.array([0.3, 0.39, 0.45, 0.6])
        rates = calibration.evaluate(calibration.published_curve(SFACE), matching, other).rates
        assert [(it.accepted_other, it.tar) for it in rates] == [
            (100, 0.5),
            (10, 0.25),
            (1, 0.25),
            (None, None),
        ]
        assert [it.threshold for it in rates[:2]] == [0.399001, 0.489001]

    def test_equal_similarities_pass_together_or_not_at_all(self) -> None:
        other = np.array([0.5] * 50 + [0.1] * 50)
        (tenth, hundredth, *_) = calibration.evaluate(
            calibration.published_curve(SFACE), np.array([0.5, 0.7]), other
        ).rates
        assert (tenth.accepted_other, tenth.tar) == (0, 0.5)
        assert (hundredth.accepted_other, hundredth.tar) == (0, 0.5)


@pytest.fixture(scope="module")
def named_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with eight faces each, the last two of them without a name; two to a photo.

    Photo n shows faces n and n + 48, of two people. Photo 1 shows one person twice, in a mirror.
    """
    path = tmp_path_factory.mktemp("named") / "named.db"
    rng = np.random.default_rng(1)
    centres = unit(rng.standard_normal((PEOPLE, DIMENSIONS)))
    people = np.repeat(np.arange(PEOPLE), EACH)
    people[len(people) // 2] = 0
    noise = unit(rng.standard_normal((len(people), DIMENSIONS)))
    vectors = unit(0.8 * centres[people] + 0.6 * noise)
    half = len(people) // 2
    with writing(str(path)) as conn:
        conn.execute("begin")
        models.register(conn, model_info(DIMENSIONS))
        conn.executemany(
            "insert into people(id, name) values (?, ?)",
            [(n + 1, f"Person {n}" if n < PEOPLE - 2 else None) for n in range(PEOPLE)],
        )
        add_faces(conn, range(1, len(people) + 1), vectors)
        conn.execute("update faces set person_id = (id - 1) / ? + 1", [EACH])
        conn.execute("update faces set photo_id = photo_id - ?1 where id > ?1", [half])
        conn.execute("update faces set person_id = 1 where photo_id = 1")
        conn.execute("commit")
    return path


@pytest.fixture
def database(named_db: Path, tmp_path: Path) -> Path:
    return copied(named_db, tmp_path / "named.db")


class TestPairsOfALibrary:
    def test_named_people_match_and_two_of_one_photo_do_not(self, database: Path) -> None:
        with opened(database) as conn:
            known = calibration_pairs.known(conn, "toy")
        named = PEOPLE - 2
        # Face 49, of the mirror, is one more of person 1 and one less of person 7
        of_each = [EACH + 1, *[EACH] * 5, EACH - 1, *[EACH] * (named - 7)]
        assert len(known.matching.similarities) == sum(n * (n - 1) // 2 for n in of_each)
        assert len(known.of_photos.similarities) == PEOPLE * EACH // 2 - 1
        every = sum(of_each)
        same = len(known.matching.similarities)
        assert len(known.of_people.similarities) == every * (every - 1) // 2 - same
        assert known.matching.similarities.mean() > 0.5 > 0.2 > known.other.similarities.mean()

    def test_the_hidden_the_unnamed_and_what_is_no_face_are_no_examples(
        self, database: Path
    ) -> None:
        with opened(database) as conn:
            before = calibration_pairs.known(conn, "toy")
            conn.execute("update people set hidden = 1 where id = 2")
            conn.execute("update people set key = 'not-a-face' where id = 11")
            after = calibration_pairs.known(conn, "toy")
        assert set(before.matching.groups.tolist()) - set(after.matching.groups.tolist()) == {2}
        lost = len(before.of_photos.groups) - len(after.of_photos.groups)
        assert lost == EACH

    def test_a_broken_vector_is_left_out(self, database: Path) -> None:
        with opened(database) as conn:
            conn.execute("update face_embeddings set embedding = x'00' where face_id in (2, 3)")
            conn.execute(
                "update face_embeddings set embedding = ? where face_id = 4",
                [blob([float("nan")] * DIMENSIONS)],
            )
            known = calibration_pairs.known(conn, "toy")
        for kind in (known.matching, known.other):
            assert np.isfinite(kind.similarities).all()
        assert len(known.of_photos.similarities) == PEOPLE * EACH // 2 - 1 - 3

    def test_a_sample_is_bounded_and_the_same_each_time(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in (
            ("MOST_PEOPLE", 4),
            ("FACES_OF_PERSON", 3),
            ("MOST_PHOTOS", 7),
            ("CHUNK_PHOTOS", 2),
            ("MOST_PEOPLE_PAIRS", 20),
        ):
            monkeypatch.setattr(calibration_pairs, name, value)
        with opened(database) as conn:
            first, second = (
                calibration_pairs.known(conn, "toy"),
                calibration_pairs.known(conn, "toy"),
            )
        assert len(first.matching.similarities) == 4 * 3
        assert 6 <= len(first.of_photos.similarities) <= 7
        assert len(first.of_people.similarities) <= 20
        for one, other in ((first.matching, second.matching), (first.other, second.other)):
            assert np.array_equal(one.similarities, other.similarities)
            assert np.array_equal(one.groups, other.groups)

    def test_a_crowd_counts_no_more_than_a_few(self, database: Path) -> None:
        with opened(database) as conn:
            conn.execute("update faces set photo_id = 2, person_id = null where photo_id != 1")
            known = calibration_pairs.known(conn, "toy")
        assert len(known.of_photos.similarities) == 10
        assert len(known.matching.similarities) == 1


class TestTheCommand:
    def test_fits_and_keeps_a_curve_and_tells_how_good_it_is(self, database: Path) -> None:
        result = faces("calibrate", database)
        assert result.exit_code == 0, result.output
        assert "toy: calibrated by this library" in result.stdout
        assert "10 named people" in result.stdout
        assert "expected calibration error on pairs held out" in result.stdout
        assert re.search(r"0\.1 +0\.\d{3} +100\.0%", result.stdout)
        assert "too few pairs" in result.stdout
        assert beside(database) == []
        ((source, curve),) = rows(database, "select source, curve from calibrations")
        assert source == "library"
        knots = json.loads(curve)
        assert knots == sorted(knots)

    def test_json_has_the_figures(self, database: Path) -> None:
        result = faces("calibrate", database, "--json", "--model", "toy")
        (found,) = json.loads(result.stdout)["models"]
        assert (found["model"], found["source"], found["people"]) == ("toy", "library", 10)
        assert found["ece"] <= 0.02
        assert 0.1 < found["threshold"] < 0.5
        assert [rate["far"] for rate in found["rates"]] == [0.1, 0.01, 0.001, 0.0001]
        assert result.stderr == ""

    def test_few_names_are_told_kindly_and_the_published_curve_is_used(
        self, database: Path
    ) -> None:
        with writing(str(database)) as conn:
            conn.execute("update people set name = null where id > 2")
        result = faces("calibrate", database)
        assert result.exit_code == 0
        assert "the published curve is used" in result.stdout
        assert "Name a few more people" in result.stdout
        (found,) = json.loads(faces("calibrate", database, "--json").stdout)["models"]
        assert found["source"] == "published"
        assert found["threshold"] == pytest.approx(0.4, abs=0.001)

    def test_again_after_more_names_replaces_what_was_kept(self, database: Path) -> None:
        with writing(str(database)) as conn:
            conn.execute("update people set name = null where id > 2")
        faces("calibrate", database)
        with writing(str(database)) as conn:
            conn.execute("update people set name = 'p' || id")
        faces("calibrate", database)
        assert rows(database, "select source, people from calibrations") == [("library", PEOPLE)]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["named.db", "--model", "else"], "no faces by the model 'else'; it holds: toy"),
            (["nowhere.db"], "There is no file"),
        ],
    )
    def test_what_is_not_there_is_told_in_a_line(
        self, database: Path, arguments: list[str], says: str
    ) -> None:
        result = faces("calibrate", database.parent / arguments[0], *arguments[1:])
        assert (result.exit_code, result.stdout) == (1, "")
        assert says in result.stderr
        assert not (database.parent / "nowhere.db").exists()

    def test_a_file_without_faces_says_how_to_get_some(self, tmp_path: Path) -> None:
        with writing(str(tmp_path / "new.db")):
            pass
        result = faces("calibrate", tmp_path / "new.db")
        assert result.exit_code == 1
        assert "datasette faces ingest" in result.stderr


@pytest.fixture
def conn(database: Path) -> Iterator[Any]:
    with opened(database) as it:
        functions.register(it)
        yield it


def probability(conn: Any, *arguments: object) -> Any:
    marks = ", ".join("?" * len(arguments))
    return conn.execute(f"select face_probability({marks})", arguments).fetchone()[0]


class TestFaceProbability:
    def test_before_a_calibration_is_by_the_published_threshold(self, conn: Any) -> None:
        assert probability(conn, 0.4) == pytest.approx(0.5, abs=0.01)
        assert probability(conn, 0.4, "toy") == probability(conn, 0.4)
        assert probability(conn, -1) == pytest.approx(1 - MAX_PROBABILITY)
        assert probability(conn, 1) == MAX_PROBABILITY

    def test_null_gives_null(self, conn: Any) -> None:
        assert probability(conn, None) is None
        assert probability(conn, None, "toy") is None
        assert probability(conn, 0.5, None) is None

    def test_a_new_calibration_is_seen_at_once_whoever_made_it(
        self, conn: Any, database: Path
    ) -> None:
        before = probability(conn, 0.3)
        with opened(database) as other:
            probabilities.calibrate(other, "toy")
        by_another = probability(conn, 0.3)
        assert by_another != before
        conn.execute("delete from calibrations")
        assert probability(conn, 0.3) == before

    def test_a_file_without_the_table_has_the_published_curve(self, conn: Any) -> None:
        before = probability(conn, 0.3)
        probabilities.calibrate(conn, "toy")
        conn.execute("drop table calibrations")
        assert probability(conn, 0.3) == before

    @pytest.mark.parametrize(
        "curve",
        ["", "[]", "{}", "[[0, 1], [0.5, 0]]", "[[0, 0], [0, 1]]", "[[0, 2]]", "[[1]]", "7"],
    )
    def test_a_broken_curve_is_as_if_it_were_not_there(self, conn: Any, curve: str) -> None:
        before = probability(conn, 0.3)
        probabilities.calibrate(conn, "toy")
        conn.execute("update calibrations set curve = ?", [curve])
        assert probability(conn, 0.3) == before
        assert calibrations.of_model(conn, "toy") is None

    @pytest.mark.parametrize(
        ("similarity", "says"),
        [
            ("0.5", "a similarity is a number, -1 to 1, not text"),
            (b"\0\0", "not a blob"),
            (1.01, "not 1.01"),
            (-2, "not -2"),
            (float("inf"), "not inf"),
        ],
    )
    def test_what_is_no_similarity_is_named(self, conn: Any, similarity: object, says: str) -> None:
        with pytest.raises(Exception, match="user-defined function raised exception"):
            probability(conn, similarity)
        with pytest.raises(SearchError, match=re.escape(says)):
            probabilities.estimate(calibration.published_curve(SFACE), similarity)

    def test_nan_is_no_similarity(self) -> None:
        with pytest.raises(FacesError, match="not nan"):
            probabilities.estimate(calibration.published_curve(SFACE), math.nan)

    def test_rounding_beyond_one_is_forgiven(self, conn: Any) -> None:
        assert probability(conn, 1.0000001) == MAX_PROBABILITY
        assert probability(conn, -1.0000001) == pytest.approx(1 - MAX_PROBABILITY)

    def test_the_documentations_queries_run(self, faces_db: Path, tmp_path: Path) -> None:
        found = re.findall(r"```sql\n(.*?)```", (DOCS / "calibration.md").read_text(), re.S)
        assert len(found) == 2
        with opened(faces_db) as it:
            functions.register(it)
            for query in found:
                assert 0 < it.execute(query).fetchone()[-1] < 1
