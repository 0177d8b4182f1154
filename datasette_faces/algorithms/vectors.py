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
    """A vector as float32, little-endian: what sqlite-vec reads."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def decode(blob: bytes) -> FloatArray:
    """The vector that `encode` made into bytes.

    Raises ValueError when the bytes are no vector of finite float32 values.
    """
    if not blob or len(blob) % FLOAT32_BYTES:
        raise ValueError(f"a vector of float32 has a multiple of 4 bytes; this has {len(blob)}")
    vector: FloatArray = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a vector holds NaN or infinity")
    return vector


def cosine(first: FloatArray, second: FloatArray) -> float:
    """Cosine similarity, -1..1, of two vectors of the same length; 0 where one is all zeros."""
    if first.shape != second.shape:
        raise ValueError(
            f"vectors of two models are never compared: {first.size} and {second.size} dimensions"
        )
    similarity = float(np.dot(normalise(first), normalise(second)))
    return min(1.0, max(-1.0, similarity))
