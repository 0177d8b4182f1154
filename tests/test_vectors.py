"""Embeddings as bytes and arrays."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasette_faces.algorithms import vectors

pytestmark = pytest.mark.once

finite = hnp.arrays(np.float32, st.integers(1, 64), elements=st.floats(-1e6, 1e6, width=32))


def test_an_embedding_is_stored_as_little_endian_float32():
    assert vectors.encode(np.float32([1, -2])) == struct.pack("<2f", 1, -2)
    assert vectors.encode(np.array([0.5], dtype=">f8")) == struct.pack("<f", 0.5)


@given(finite)
def test_what_is_encoded_is_decoded_to_the_same_bits(vector):
    assert vectors.decode(vectors.encode(vector)).tobytes() == vector.tobytes()


@pytest.mark.parametrize("blob", [b"", b"abc", b"12345"], ids=["empty", "3 bytes", "5 bytes"])
def test_bytes_of_another_length_are_refused(blob):
    with pytest.raises(ValueError, match="multiple of 4 bytes"):
        vectors.decode(blob)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match="NaN or infinity"):
        vectors.decode(struct.pack("<2f", 1, value))


def test_decoded_vectors_can_be_written_to():
    vector = vectors.decode(struct.pack("<2f", 1, 2))
    vector[0] = 7
    assert vector.tolist() == [7, 2]


def test_rows_are_scaled_to_unit_length_and_zeros_stay():
    assert vectors.normalise(np.float32([[3, 4], [0, 0]])) == pytest.approx(
        np.array([[0.6, 0.8], [0, 0]])
    )


@given(finite)
def test_unit_length_is_1_or_0(vector):
    length = float(np.linalg.norm(vectors.normalise(vector)))
    assert length == pytest.approx(1, abs=1e-3) or not vector.any() or np.abs(vector).max() < 1e-15


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ([1, 0], [1, 0], 1),
        ([1, 0], [0, 5], 0),
        ([1, 0], [-2, 0], -1),
        ([1, 0], [3, 4], 0.6),
        ([0, 0], [1, 0], 0),
    ],
)
def test_similarity_is_the_cosine_of_the_angle(one, other, similarity):
    assert vectors.cosine(np.float32(one), np.float32(other)) == pytest.approx(similarity)


@given(finite)
def test_similarity_never_leaves_its_range(vector):
    assert -1 <= vectors.cosine(vector, -vector) <= vectors.cosine(vector, vector) <= 1


def test_vectors_of_two_models_are_never_compared():
    with pytest.raises(ValueError, match="128 and 512 dimensions"):
        vectors.cosine(np.zeros(128, np.float32), np.zeros(512, np.float32))
