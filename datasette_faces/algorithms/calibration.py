"""Calibration: the probability that two faces of a similarity are one person, fitted to labelled pairs.

The probability is given **at equal odds**: for a pair that, before it is compared, is as likely one
person as two. So it depends on a model and a library, not on the number of strangers searched; to apply
other odds, multiply (docs/calibration.md). Pure functions on arrays; no SQL.

The similarities of each kind of pair, matching and other, form a density: a smoothed histogram, to
which the model's published curve adds PRIOR_PAIRS pairs. The probability is the matching density's
share of both, made monotonic. Without pairs it is the published curve itself.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..shapes import IdArray

Similarities: TypeAlias = npt.NDArray[np.float64]
"""Cosine similarities, -1..1: (n,)."""

PUBLISHED_Z = 2.652
"""SFace gets 99.60 % of LFW's pairs right (OpenCV Zoo), half of which match: like two normal
distributions whose means are twice this many standard deviations apart."""
MIN_THRESHOLD = 0.1
"""A model with a lower published threshold has the curve of this one, shifted."""
PRIOR_PAIRS = 50
"""The published curve weighs as much as this many pairs of each kind."""
MIN_PAIRS = 50
"""With fewer of either kind the published curve is used unchanged."""
MIN_PEOPLE = 3
"""The matching pairs of fewer people only describe those people."""
MAX_PROBABILITY = 0.999
"""No probability is higher than this, or lower than 1 minus this."""
GRID_STEP = 1 / 400
"""The steps of the grid on which densities are computed, and (KNOT_STEP) of the curve's knots."""
KNOT_STEP = 0.01
DIGITS = 5
FOLDS = 5
"""Held out in turn: a curve is judged by pairs of people and photos that it was not fitted to."""
BINS = 10
"""Equally wide bins of the reliability plot and the calibration error: Naeini et al., "Obtaining
well calibrated probabilities using Bayesian binning", 2015."""
FALSE_ACCEPT_RATES = (1e-1, 1e-2, 1e-3, 1e-4)
"""The rates for which the true accept rate is computed."""
SIMILARITY_STEP = 1e-6
"""Similarities are shown with six digits."""

_GRID = np.linspace(-1.0, 1.0, round(2 / GRID_STEP) + 1)


@dataclass(frozen=True)
class Curve:
    """Knots of a curve that is linear between them and constant outside.

    similarities: ascending. probabilities: never decreasing, 0..1.
    """

    similarities: tuple[float, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of one kind: similarities (n,); groups (n,), the numbers of their people or photos."""

    similarities: Similarities
    groups: IdArray


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs of similar probability: its mean, the share that match at equal odds, their share of all."""

    predicted: float
    observed: float
    share: float
    matching: int
    other: int


@dataclass(frozen=True, slots=True)
class AcceptRate:
    """The threshold that lets at most a share `far` of other pairs pass, and what passes it.

    tar: the share of matching pairs that pass. accepted_matching, accepted_other: the numbers of pairs
    that pass. None where there are too few other pairs to measure it.
    """

    far: float
    threshold: float | None
    tar: float | None
    accepted_matching: int | None
    accepted_other: int | None


@dataclass(frozen=True)
class Evaluation:
    """How well probabilities agree with labels; ece: expected calibration error, None without pairs."""

    ece: float | None
    bins: tuple[ReliabilityBin, ...]
    rates: tuple[AcceptRate, ...]


@dataclass(frozen=True)
class Calibration:
    """A curve, its source, the similarity from which on a match is likelier, and how good it is."""

    source: Literal["library", "published"]
    curve: Curve
    threshold: float
    evaluation: Evaluation


def published_curve(threshold: float) -> Curve:
    """The curve of a model with nothing but a threshold, where the probability is 0.5.

    A logistic, as two normal distributions of the same width give it: other pairs around 0, matching
    ones around twice the threshold, separated as well as PUBLISHED_Z says.
    """
    none = np.empty(0)
    return fit(threshold, none, none)


def fit(threshold: float, matching: Similarities, other: Similarities) -> Curve:
    """The curve of these pairs and of the published threshold's PRIOR_PAIRS."""
    width = max(threshold, MIN_THRESHOLD)
    first = _estimate_density(matching, threshold + width, width)
    second = _estimate_density(other, threshold - width, width)
    # Where both are exactly 0 nothing is known: the neighbours decide
    total = np.maximum(first + second, np.finfo(float).tiny)
    chances = _make_monotonic(first / total, total)
    return _reduce_to_knots(_GRID, np.clip(chances, 1 - MAX_PROBABILITY, MAX_PROBABILITY))


def _estimate_density(similarities: Similarities, mean: float, width: float) -> Similarities:
    """The density of each similarity of the grid among pairs of a kind: (grid,)."""
    count = len(similarities)
    deviation = width / PUBLISHED_Z
    normal = np.exp(-(((_GRID - mean) / deviation) ** 2) / 2)
    prior = PRIOR_PAIRS * normal * (GRID_STEP / deviation / np.sqrt(2 * np.pi))
    observed = _smooth(similarities) if count else np.zeros_like(_GRID)
    density: Similarities = (observed + prior) / (count + PRIOR_PAIRS)
    return density


def _smooth(similarities: Similarities) -> Similarities:
    """A histogram on the grid by a normal kernel: Silverman, "Density estimation", 1986, eq. 3.31."""
    low, high = np.percentile(similarities, [25, 75])
    spread = min(float(np.std(similarities)), (high - low) / 1.34)
    bandwidth = max(0.9 * spread * len(similarities) ** -0.2, 2 * GRID_STEP)
    positions = np.clip(np.rint((similarities + 1) / GRID_STEP), 0, len(_GRID) - 1)
    counts = np.bincount(positions.astype(np.int64), minlength=len(_GRID)).astype(float)
    half = min(int(4 * bandwidth / GRID_STEP) + 1, len(_GRID) - 1)
    kernel = np.exp(-((np.arange(-half, half + 1) * GRID_STEP / bandwidth) ** 2) / 2)
    smoothed = np.convolve(counts, kernel / kernel.sum())
    # What falls outside -1..1 is reflected
    inner = smoothed[half:-half].copy()
    inner[:half] += smoothed[:half][::-1]
    inner[-half:] += smoothed[-half:][::-1]
    return inner


def _make_monotonic(values: Similarities, weights: Similarities) -> Similarities:
    """The nearest values that never decrease (pool adjacent violators: Ayer et al., 1955)."""
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        count = 1
        while means and means[-1] >= value:
            mass = masses.pop()
            value = (means.pop() * mass + value * weight) / (mass + weight)
            weight, count = mass + weight, count + counts.pop()
        means.append(value)
        masses.append(weight)
        counts.append(count)
    return np.repeat(means, counts)


def _reduce_to_knots(similarities: Similarities, chances: Similarities) -> Curve:
    """Knots at every KNOT_STEP, without those at the flat ends."""
    step = round(KNOT_STEP / GRID_STEP)
    rounded = np.round(chances[::step], DIGITS)
    inner = np.flatnonzero((rounded > rounded[0]) & (rounded < rounded[-1]))
    first = max(inner[0] - 1, 0) if len(inner) else 0
    end = inner[-1] + 2 if len(inner) else len(rounded)
    sloped = slice(first, end)
    knots = np.round(similarities[::step][sloped], DIGITS)
    return Curve(tuple(knots.tolist()), tuple(rounded[sloped].tolist()))


def probability(curve: Curve, similarity: float) -> float:
    """The probability that two faces of this similarity are one person, at equal odds."""
    after = bisect_right(curve.similarities, similarity)
    if after == 0:
        return curve.probabilities[0]
    if after == len(curve.similarities):
        return curve.probabilities[-1]
    left, right = curve.similarities[after - 1 : after + 1]
    low, high = curve.probabilities[after - 1 : after + 1]
    return round(low + (high - low) * (similarity - left) / (right - left), DIGITS)


def probabilities(curve: Curve, similarities: Similarities) -> Similarities:
    """The probability for each of many similarities: (n,)."""
    found: Similarities = np.interp(similarities, curve.similarities, curve.probabilities)
    return found


def even_chance(curve: Curve) -> float:
    """The similarity from which on one person is likelier than two; 1 if there is none."""
    for position, chance in enumerate(curve.probabilities):
        if chance < 0.5:
            continue
        if position == 0:
            return curve.similarities[0]
        left, right = curve.similarities[position - 1 : position + 1]
        low = curve.probabilities[position - 1]
        return round(left + (right - left) * (0.5 - low) / (chance - low), DIGITS)
    return 1.0


def fit_and_evaluate(
    threshold: float, matching: LabelledPairs, other: LabelledPairs
) -> Calibration:
    """The curve of a library, or the published one if it has too few pairs, and how good it is."""
    enough = min(len(matching.similarities), len(other.similarities)) >= MIN_PAIRS
    if not enough or len(np.unique(matching.groups)) < MIN_PEOPLE:
        curve = published_curve(threshold)
        evaluation = evaluate(curve, matching.similarities, other.similarities)
        return Calibration("published", curve, even_chance(curve), evaluation)
    curve = fit(threshold, matching.similarities, other.similarities)
    evaluation = cross_validate(threshold, matching, other)
    return Calibration("library", curve, even_chance(curve), evaluation)


def cross_validate(threshold: float, matching: LabelledPairs, other: LabelledPairs) -> Evaluation:
    """How good curves are for the people and photos that they were not fitted to."""
    kinds = [(pairs, _folds(pairs), np.empty(len(pairs.groups))) for pairs in (matching, other)]
    for fold in range(FOLDS):
        training = [pairs.similarities[folds != fold] for pairs, folds, _ in kinds]
        curve = fit(threshold, *training)
        for pairs, folds, chances in kinds:
            chances[folds == fold] = probabilities(curve, pairs.similarities[folds == fold])
    ece, bins = _measure_reliability(kinds[0][2], kinds[1][2])
    return Evaluation(ece, bins, _measure_rates(matching.similarities, other.similarities))


def _folds(pairs: LabelledPairs) -> IdArray:
    """The fold of each pair: the same for all pairs of a group, unless there are too few groups."""
    groups, numbers = np.unique(pairs.groups, return_inverse=True)
    return (numbers if len(groups) >= FOLDS else np.arange(len(numbers))) % FOLDS


def evaluate(curve: Curve, matching: Similarities, other: Similarities) -> Evaluation:
    """How good a curve is for pairs that it was not fitted to."""
    ece, bins = _measure_reliability(probabilities(curve, matching), probabilities(curve, other))
    return Evaluation(ece, bins, _measure_rates(matching, other))


def _measure_reliability(
    matching: Similarities, other: Similarities
) -> tuple[float | None, tuple[ReliabilityBin, ...]]:
    """The calibration error at equal odds and its bins, from the probabilities of each kind of pair."""
    if not len(matching) or not len(other):
        return None, ()
    chances = np.concatenate([matching, other])
    weights = np.concatenate([np.full(len(kind), 0.5 / len(kind)) for kind in (matching, other)])
    is_match = np.arange(len(chances)) < len(matching)
    numbers = np.minimum((chances * BINS).astype(np.int64), BINS - 1)
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        share = weights[inside].sum()
        predicted = float((chances * weights)[inside].sum() / share)
        observed = float(weights[inside & is_match].sum() / share)
        count = int((inside & is_match).sum())
        others = int(inside.sum()) - count
        figures = round(predicted, 6), round(observed, 6), round(float(share), 6)
        bins.append(ReliabilityBin(*figures, count, others))
    error = sum(some.share * abs(some.predicted - some.observed) for some in bins)
    return round(error, 6), tuple(bins)


def _measure_rates(matching: Similarities, other: Similarities) -> tuple[AcceptRate, ...]:
    """True accept rates at FALSE_ACCEPT_RATES: from the pairs directly, independent of the curve."""
    descending = np.sort(other)[::-1]
    rates = []
    for far in FALSE_ACCEPT_RATES:
        # Rounded first: 0.1 of 10 pairs is one
        allowed = int(round(far * len(other), 6))
        if not allowed or not len(matching):
            rates.append(AcceptRate(far, None, None, None, None))
            continue
        # Just above the first pair that may not pass
        threshold = round(float(descending[allowed]) + SIMILARITY_STEP, 6)
        passed, wrong = int((matching >= threshold).sum()), int((other >= threshold).sum())
        rates.append(AcceptRate(far, threshold, passed / len(matching), passed, wrong))
    return tuple(rates)
