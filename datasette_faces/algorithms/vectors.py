"""Embeddings as bytes and as arrays: encode, decode, normalise, cosine. No SQL, no index."""

from __future__ import annotations

import numpy as np

from ..shapes import FloatArray

FLOAT32_BYTES = 4


def normalise(vectors: FloatArray) -> FloatArray:
    """Scale each row to unit length; a row of zeros stays as it is."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
    return scaled


def encode(vector: FloatArray) -> bytes:
    """A vector as little-endian float32, as sqlite-vec reads it."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def decode(blob: bytes) -> FloatArray:
    """The vector that `encode` turned into bytes.

    Raises ValueError if the bytes are not a vector of finite float32 values.
    """
    if not blob or len(blob) % FLOAT32_BYTES:
        raise ValueError(f"a float32 vector has a multiple of 4 bytes; this has {len(blob)}")
    vector: FloatArray = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a vector contains NaN or infinity")
    return vector


def cosine(first: FloatArray, second: FloatArray) -> float:
    """The cosine similarity of two vectors of the same length, -1..1; 0 if one is all zeros."""
    if first.shape != second.shape:
        raise ValueError(
            f"vectors of different models cannot be compared: {first.size} and {second.size} dimensions"
        )
    similarity = float(np.dot(normalise(first), normalise(second)))
    return min(1.0, max(-1.0, similarity))
