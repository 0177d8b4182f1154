"""A vector that comes without its model is given the one that made it, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasette_faces.errors import SearchError
from datasette_faces.search.vector_models import MAX_VECTORS, VectorModels, model_of_vector
from datasette_faces.store.database import reading


def test_the_model_of_a_vector_is_found_while_it_is_the_only_one() -> None:
    known = VectorModels()
    known.note(b"ab", "toy")
    assert known.find(b"ab") == "toy"
    known.note(b"ab", "sface")
    assert known.find(b"ab") is None
    assert known.find(b"never seen") is None


def test_a_vector_of_another_model_is_refused() -> None:
    known = VectorModels()
    known.note(b"ab", "toy")
    known.check(b"ab", "toy")
    known.check(b"ab", None)
    with pytest.raises(SearchError, match="by toy; it cannot be compared with those of sface"):
        known.check(b"ab", "sface")


def test_the_vectors_noted_longest_ago_are_forgotten() -> None:
    known = VectorModels()
    for number in range(MAX_VECTORS + 1):
        known.note(number.to_bytes(4, "little"), "toy")
    assert known.find((0).to_bytes(4, "little")) is None
    assert known.find((1).to_bytes(4, "little")) == "toy"


@pytest.mark.parametrize("dimensions", [128, 3])
def test_a_vector_belongs_to_the_model_of_its_length_or_to_the_first(
    faces_db: Path, dimensions: int
) -> None:
    with reading(str(faces_db)) as conn:
        assert model_of_vector(conn, np.ones(dimensions, np.float32), None).id == "sface"


def test_the_model_that_is_named_has_to_be_in_the_file(faces_db: Path) -> None:
    with reading(str(faces_db)) as conn, pytest.raises(SearchError, match="it holds: sface"):
        model_of_vector(conn, np.ones(128, np.float32), "other")
