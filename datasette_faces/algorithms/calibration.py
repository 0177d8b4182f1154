"""What a similarity means: the chance that two faces are one person, fitted to pairs that are known.

The chance is told **at equal odds**: for a pair that before it is compared may as well be one person
as two. So it depends on a model and a library, not on how many strangers are looked through; whoever
knows other odds multiplies (docs/calibration.md). Pure functions on arrays; no SQL.

Each kind of pair, matching and other, has its similarities as a density: a histogram, smoothed, to
which the model's published curve adds PRIOR_PAIRS pairs. The chance is the share of the one density
in both, made never to fall. Without pairs that is the published curve itself.
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
"""SFace tells 99.60 % of LFW's pairs right (OpenCV Zoo), which are half of each kind: as two normal
distributions do whose means are twice this many standard deviations apart."""
LEAST_THRESHOLD = 0.1
"""A model whose published threshold is lower has the curve of this one, moved."""
PRIOR_PAIRS = 50
"""The published curve weighs as much as so many pairs of each kind."""
LEAST_PAIRS = 50
"""With fewer of either kind the published curve is used as it is."""
LEAST_PEOPLE = 3
"""The matching pairs of fewer people tell of those people only."""
SUREST = 0.999
"""No chance is told that is higher than this, or lower than what it leaves of 1."""
FINE = 1 / 400
"""The grid on which densities are computed, and that of the curve's knots."""
KNOT = 0.01
DIGITS = 5
FOLDS = 5
"""Held out in turn: a curve is judged by pairs of people and photos that it was not fitted to."""
BINS = 10
"""Of the reliability plot and the calibration error, equally wide: Naeini et al., "Obtaining
well calibrated probabilities using Bayesian binning", 2015."""
RATES = (1e-1, 1e-2, 1e-3, 1e-4)
"""False accept rates of which the true accept rate is told."""
LAST_DIGIT = 1e-6
"""Similarities are told in six digits."""

_GRID = np.linspace(-1.0, 1.0, round(2 / FINE) + 1)


@dataclass(frozen=True)
class Curve:
    """Knots between which the chance runs straight, and outside of which it stays as it is.

    similarities: ascending. probabilities: never falling, 0..1.
    """

    similarities: tuple[float, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Pairs:
    """Pairs of faces of one kind: similarities (n,); groups (n,), numbers of people or photos."""

    similarities: Similarities
    groups: IdArray


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about the same chance: its mean, how many of them match at equal odds, their share."""

    predicted: float
    observed: float
    share: float
    matching: int
    other: int


@dataclass(frozen=True, slots=True)
class Rate:
    """From which similarity on at most a share `far` of other pairs passes, and what else does.

    None where there are too few other pairs to tell. Accepted: so many pairs pass.
    """

    far: float
    threshold: float | None
    tar: float | None
    accepted_matching: int | None
    accepted_other: int | None


@dataclass(frozen=True)
class Evaluation:
    """How well chances meet what is known; ece: expected calibration error, None without pairs."""

    ece: float | None
    bins: tuple[Bin, ...]
    rates: tuple[Rate, ...]


@dataclass(frozen=True)
class Calibration:
    """A curve, where it comes from, the similarity of an even chance, and how good it is."""

    source: Literal["library", "published"]
    curve: Curve
    threshold: float
    evaluation: Evaluation


def published(threshold: float) -> Curve:
    """The curve of a model of which only the threshold is known: there the chance is even.

    A logistic: what two normal distributions of one width give, other pairs about 0, matching ones
    about twice the threshold, told apart as well as PUBLISHED_Z says.
    """
    none = np.empty(0)
    return fit(threshold, none, none)


def fit(threshold: float, matching: Similarities, other: Similarities) -> Curve:
    """The curve of these pairs and of the published threshold's PRIOR_PAIRS."""
    width = max(threshold, LEAST_THRESHOLD)
    first = _density(matching, threshold + width, width)
    second = _density(other, threshold - width, width)
    # Where both are 0 to the last bit nothing is known: the neighbours decide
    total = np.maximum(first + second, np.finfo(float).tiny)
    chances = _never_falling(first / total, total)
    return _curve(_GRID, np.clip(chances, 1 - SUREST, SUREST))


def _density(similarities: Similarities, mean: float, width: float) -> Similarities:
    """How likely each similarity of the grid is among pairs of a kind: (grid,)."""
    count = len(similarities)
    deviation = width / PUBLISHED_Z
    normal = np.exp(-(((_GRID - mean) / deviation) ** 2) / 2)
    prior = PRIOR_PAIRS * normal * (FINE / deviation / np.sqrt(2 * np.pi))
    seen = _smooth(similarities) if count else np.zeros_like(_GRID)
    density: Similarities = (seen + prior) / (count + PRIOR_PAIRS)
    return density


def _smooth(similarities: Similarities) -> Similarities:
    """A histogram on the grid by a normal kernel: Silverman, "Density estimation", 1986, eq. 3.31."""
    quarter, three = np.percentile(similarities, [25, 75])
    spread = min(float(np.std(similarities)), (three - quarter) / 1.34)
    bandwidth = max(0.9 * spread * len(similarities) ** -0.2, 2 * FINE)
    places = np.clip(np.rint((similarities + 1) / FINE), 0, len(_GRID) - 1).astype(np.int64)
    counts = np.bincount(places, minlength=len(_GRID)).astype(float)
    half = min(int(4 * bandwidth / FINE) + 1, len(_GRID) - 1)
    kernel = np.exp(-((np.arange(-half, half + 1) * FINE / bandwidth) ** 2) / 2)
    spread_out = np.convolve(counts, kernel / kernel.sum())
    # What would fall beyond -1 and 1 comes back
    inner = spread_out[half:-half].copy()
    inner[:half] += spread_out[:half][::-1]
    inner[-half:] += spread_out[-half:][::-1]
    return inner


def _never_falling(values: Similarities, weights: Similarities) -> Similarities:
    """The nearest values that never fall (pool adjacent violators: Ayer et al., 1955)."""
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


def _curve(similarities: Similarities, chances: Similarities) -> Curve:
    """Knots at every KNOT, those at the flat ends left out."""
    step = round(KNOT / FINE)
    rounded = np.round(chances[::step], DIGITS)
    inner = np.flatnonzero((rounded > rounded[0]) & (rounded < rounded[-1]))
    first = max(inner[0] - 1, 0) if len(inner) else 0
    end = inner[-1] + 2 if len(inner) else len(rounded)
    kept = slice(first, end)
    knots = np.round(similarities[::step][kept], DIGITS)
    return Curve(tuple(knots.tolist()), tuple(rounded[kept].tolist()))


def probability(curve: Curve, similarity: float) -> float:
    """The chance that two faces of this similarity are one person, at equal odds."""
    after = bisect_right(curve.similarities, similarity)
    if after == 0:
        return curve.probabilities[0]
    if after == len(curve.similarities):
        return curve.probabilities[-1]
    left, right = curve.similarities[after - 1 : after + 1]
    low, high = curve.probabilities[after - 1 : after + 1]
    return round(low + (high - low) * (similarity - left) / (right - left), DIGITS)


def probabilities(curve: Curve, similarities: Similarities) -> Similarities:
    """The same of many: (n,)."""
    found: Similarities = np.interp(similarities, curve.similarities, curve.probabilities)
    return found


def even_chance(curve: Curve) -> float:
    """The similarity from which on one person is likelier than two; 1 where there is none."""
    for place, chance in enumerate(curve.probabilities):
        if chance < 0.5:
            continue
        if place == 0:
            return curve.similarities[0]
        left, right = curve.similarities[place - 1 : place + 1]
        low = curve.probabilities[place - 1]
        return round(left + (right - left) * (0.5 - low) / (chance - low), DIGITS)
    return 1.0


def calibrate(threshold: float, matching: Pairs, other: Pairs) -> Calibration:
    """The curve of a library, or the published one where it has too few pairs, and how good it is."""
    enough = min(len(matching.similarities), len(other.similarities)) >= LEAST_PAIRS
    if not enough or len(np.unique(matching.groups)) < LEAST_PEOPLE:
        curve = published(threshold)
        found = evaluate(curve, matching.similarities, other.similarities)
        return Calibration("published", curve, even_chance(curve), found)
    curve = fit(threshold, matching.similarities, other.similarities)
    return Calibration("library", curve, even_chance(curve), held_out(threshold, matching, other))


def held_out(threshold: float, matching: Pairs, other: Pairs) -> Evaluation:
    """How good curves are for the people and photos that they were not fitted to."""
    kinds = [(pairs, _folds(pairs), np.empty(len(pairs.groups))) for pairs in (matching, other)]
    for fold in range(FOLDS):
        known = [pairs.similarities[folds != fold] for pairs, folds, _ in kinds]
        curve = fit(threshold, *known)
        for pairs, folds, chances in kinds:
            chances[folds == fold] = probabilities(curve, pairs.similarities[folds == fold])
    ece, bins = _reliability(kinds[0][2], kinds[1][2])
    return Evaluation(ece, bins, _rates(matching.similarities, other.similarities))


def _folds(pairs: Pairs) -> IdArray:
    """The fold of each pair: all of a group in one, unless there are too few groups."""
    groups, places = np.unique(pairs.groups, return_inverse=True)
    return (places if len(groups) >= FOLDS else np.arange(len(places))) % FOLDS


def evaluate(curve: Curve, matching: Similarities, other: Similarities) -> Evaluation:
    """How good a curve is for pairs that it was not fitted to."""
    ece, bins = _reliability(probabilities(curve, matching), probabilities(curve, other))
    return Evaluation(ece, bins, _rates(matching, other))


def _reliability(
    matching: Similarities, other: Similarities
) -> tuple[float | None, tuple[Bin, ...]]:
    """The calibration error at equal odds, and its bins, from the chances of pairs of each kind."""
    if not len(matching) or not len(other):
        return None, ()
    chances = np.concatenate([matching, other])
    halves = [np.full(len(kind), 0.5 / len(kind)) for kind in (matching, other)]
    weights = np.concatenate(halves)
    is_match = np.arange(len(chances)) < len(matching)
    places = np.minimum((chances * BINS).astype(np.int64), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        share = weights[inside].sum()
        told = float((chances * weights)[inside].sum() / share)
        true = float(weights[inside & is_match].sum() / share)
        count = int((inside & is_match).sum())
        others = int(inside.sum()) - count
        bins.append(Bin(round(told, 6), round(true, 6), round(float(share), 6), count, others))
    return round(sum(it.share * abs(it.predicted - it.observed) for it in bins), 6), tuple(bins)


def _rates(matching: Similarities, other: Similarities) -> tuple[Rate, ...]:
    """True accept rates at RATES: from each kind of pair directly, whatever the curve."""
    descending = np.sort(other)[::-1]
    rates = []
    for far in RATES:
        # Rounded first: 0.1 of 10 pairs is one
        allowed = int(round(far * len(other), 6))
        if not allowed or not len(matching):
            rates.append(Rate(far, None, None, None, None))
            continue
        # More than the first of those that may not pass
        least = round(float(descending[allowed]) + LAST_DIGIT, 6)
        passed, wrong = int((matching >= least).sum()), int((other >= least).sum())
        rates.append(Rate(far, least, passed / len(matching), passed, wrong))
    return tuple(rates)
