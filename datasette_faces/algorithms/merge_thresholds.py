"""The similarity that clusters need to merge: the largest of three.

- The model's threshold.
- What two strangers reach by chance. Among a million faces everyone has a double: the more faces there
  are, the more similar two single faces have to be, but not two clusters, whose noise averages out.
- A share of the similarity of the faces within each of them: siblings are similar, but less than each
  is to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..shapes import FloatArray
from .average_linkage import Clusters, Positions

MIN_WITHIN_SHARE = 0.8
"""The mean similarity of two clusters has to be this share of the one within them: 1 for one person,
0.75 for look-alikes at 0.45 whose own faces are at 0.6 (bench/cluster.py)."""
TYPICAL_WITHIN = 1.4
"""The similarity within a cluster of too few faces to measure it, in thresholds; SFace: 0.51, the least
similar 1 % of real faces."""
MAX_WITHIN = 1.8
"""A limit for the similarity within a cluster, in thresholds: the photos of one burst are more similar
than a person's others; SFace: 0.65."""
CHANCE_DOUBLES = 0.05
"""For each face, this many strangers may reach the similarity that two single faces need."""
MAX_SINGLE_PAIR = 1.5
"""Two single faces never need a higher similarity than this many thresholds."""
SAMPLE_SIZE = 4_096
LOW_QUANTILE, MIDDLE_QUANTILE = 0.1, 0.3
"""Quantiles of the similarities of random pairs; below, all pairs are strangers, even in a small family."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The similarities that merging needs; cosines.

    model: the model's own threshold. stranger_mean: the mean of two strangers. single_pair: what two
    single faces need in a library of this size.
    """

    model: float
    stranger_mean: float
    single_pair: float


def estimate_thresholds(
    vectors: FloatArray, threshold: float, *, faces: int | None = None
) -> Thresholds:
    """The model's threshold, and what strangers in this library reach by chance.

    vectors: unit length, all or a fair sample of the library's (n, dimensions). faces: the size of the
    library, by default n. Nearly all pairs in a library are of two people; their spread is read off
    the lower part of the distribution, where there are no others.
    """
    n = faces or len(vectors)
    if len(vectors) < 2:
        return Thresholds(threshold, 0.0, threshold)
    step = max(1, -(-len(vectors) // SAMPLE_SIZE))
    sample = np.asarray(vectors[::step], np.float32)
    similarities = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    low, middle = np.quantile(similarities, (LOW_QUANTILE, MIDDLE_QUANTILE))
    normal = NormalDist()
    low_z, middle_z = normal.inv_cdf(LOW_QUANTILE), normal.inv_cdf(MIDDLE_QUANTILE)
    deviation = float(middle - low) / (middle_z - low_z)
    mean = min(float(middle) - middle_z * deviation, threshold / 2)
    by_chance = mean - normal.inv_cdf(min(CHANCE_DOUBLES / n, 0.5)) * deviation
    single_pair = min(max(by_chance, threshold), _scale(MAX_SINGLE_PAIR, threshold))
    return Thresholds(threshold, mean, single_pair)


def _scale(factor: float, threshold: float) -> float:
    """A multiple of a threshold, at most half the way from it to 1."""
    return min(factor * threshold, (1 + threshold) / 2)


def compute_required(
    clusters: Clusters, thresholds: Thresholds, one: Positions, two: Positions
) -> FloatArray:
    """The mean similarity that two clusters need to be one person, for each pair of rows."""
    within, spread = _measure_cohesion(clusters, thresholds)
    strangers = thresholds.stranger_mean
    by_chance = strangers + (thresholds.single_pair - strangers) * spread[one] * spread[two]
    by_cohesion = MIN_WITHIN_SHARE * within[one] * within[two]
    required: FloatArray = np.maximum(
        np.maximum(by_chance, by_cohesion), np.float32(thresholds.model)
    )
    return required


def compute_required_of_low(
    clusters: Clusters, thresholds: Thresholds, one: Positions, two: Positions
) -> FloatArray:
    """The similarity that a face of low quality needs: enough that the mean face is not a stranger.

    Such a face is less similar to each face of its person, but no less surely, and it joins the best
    cluster only.
    """
    _, spread = _measure_cohesion(clusters, thresholds)
    required: FloatArray = np.float32(thresholds.single_pair) * spread[one] * spread[two]
    return required


def _measure_cohesion(clusters: Clusters, thresholds: Thresholds) -> tuple[FloatArray, FloatArray]:
    """For each row: the root of the similarity within it, and the length of its mean vector."""
    weight = clusters.weight
    square = np.einsum("ij,ij->i", clusters.sums, clusters.sums)
    twice_pairs = weight * (weight - 1)
    twice_typical = 2 * _scale(TYPICAL_WITHIN, thresholds.model)
    # The typical similarity counts as one pair of faces
    within = (square - weight + twice_typical) / (twice_pairs + 2)
    root = np.sqrt(np.clip(within, 0, _scale(MAX_WITHIN, thresholds.model)))
    return root.astype(np.float32), (np.sqrt(square) / weight).astype(np.float32)
