"""Synthetic people for `cluster.py`: their faces' vectors, photos, and which faces are of low quality."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasette_faces.algorithms import vectors
from datasette_faces.shapes import FloatArray, IdArray

MOST_FACES = 2_000
EXPONENT = 2.0
"""Of the power law of how many faces a person has: an eighth of all faces are by themselves."""
WITHIN = 0.5, 0.7
"""How similar two faces of a person are: the share of a face, squared, that is its person."""
LOW_WITHIN = 0.2, 0.35
LOW_SHARE = 0.05
ALIKE = 0.45
"""How similar a face of a person and one of their look-alike are, on average."""
ALIKE_SHARE = 0.05
"""Of all people; and of the MOST_KNOWN with the most faces every one has a look-alike among these."""
MOST_KNOWN = 20
IN_PHOTO = (0.62, 0.24, 0.09, 0.05)
"""Photos of one, two, three and four faces; 1.6 on average."""
BLOCK = 20_000


@dataclass(frozen=True)
class People:
    """vectors (n, dimensions), and of each face its person, its photo, and whether it is good (n,)."""

    vectors: FloatArray
    person: IdArray
    photo: IdArray
    good: npt.NDArray[np.bool_]

    def save(self, folder: Path) -> None:
        """Write it for another process."""
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)


def load(folder: Path, faces: int | None = None) -> People:
    """What was saved, or the first faces of it."""
    return People(
        **{name: np.load(folder / f"{name}.npy")[:faces] for name in People.__dataclass_fields__}
    )


def made(faces: int, dimensions: int, seed: int = 1) -> People:
    """So many faces, in random order."""
    rng = np.random.default_rng([seed, faces, dimensions])
    sizes = rng.permutation(_sizes(faces, rng))
    person = np.repeat(np.arange(len(sizes)), sizes)[rng.permutation(faces)]
    good = rng.random(faces) >= LOW_SHARE
    share = np.where(good, rng.uniform(*WITHIN, faces), rng.uniform(*LOW_WITHIN, faces))
    centres = _centres(sizes, dimensions, rng)
    all_vectors = np.empty((faces, dimensions), np.float32)
    for start in range(0, faces, BLOCK):
        part = slice(start, start + BLOCK)
        all_vectors[part] = _of(centres[person[part]], share[part], rng)
    return People(all_vectors, person, _photos(person, rng), good)


def _sizes(faces: int, rng: np.random.Generator) -> IdArray:
    """How many faces each person has, in all so many."""
    possible = np.arange(1, MOST_FACES + 1)
    chance = possible**-EXPONENT / (possible**-EXPONENT).sum()
    drawn = rng.choice(possible, faces, p=chance)
    sizes = drawn[: int(np.searchsorted(np.cumsum(drawn), faces)) + 1]
    sizes[-1] -= sizes.sum() - faces
    return sizes


def _centres(sizes: IdArray, dimensions: int, rng: np.random.Generator) -> FloatArray:
    """What is a person's own in each of their faces: directions, some of which are close to another."""
    centres = vectors.normalise(rng.standard_normal((len(sizes), dimensions), np.float32))
    known = np.argsort(-sizes, kind="stable")[:MOST_KNOWN]
    others = rng.permutation(np.setdiff1d(np.arange(len(sizes)), known))
    chosen = np.concatenate([known, others[: int(ALIKE_SHARE * len(sizes)) // 2 * 2]])
    pairs = chosen[: len(chosen) // 2 * 2].reshape(-1, 2)
    cosine = ALIKE / np.mean(WITHIN)
    first, second = centres[pairs[:, 0]], centres[pairs[:, 1]]
    centres[pairs[:, 1]] = cosine * first + np.sqrt(1 - cosine**2) * _square(second, first)
    return centres


def _of(centres: FloatArray, share: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
    """A face of each of these people: so much of the person, the rest noise of no direction."""
    noise = _square(rng.standard_normal(centres.shape, np.float32), centres)
    part = np.asarray(share, np.float32)[:, np.newaxis]
    return (np.sqrt(part) * centres + np.sqrt(1 - part) * noise).astype(np.float32)


def _square(rows: FloatArray, to: FloatArray) -> FloatArray:
    """Rows turned so that each is at a right angle to another; unit length."""
    return vectors.normalise(rows - (rows * to).sum(1, keepdims=True) * to)


def _photos(person: IdArray, rng: np.random.Generator) -> IdArray:
    """The photo of each face; nobody is twice in one."""
    counts = rng.choice(np.arange(1, len(IN_PHOTO) + 1), len(person), p=IN_PHOTO)
    photo = np.searchsorted(np.cumsum(counts), np.arange(len(person)), side="right")
    order = np.lexsort((person, photo))
    again = np.zeros(len(person), bool)
    again[order[1:]] = (np.diff(photo[order]) == 0) & (np.diff(person[order]) == 0)
    photo[again] = len(person) + np.arange(again.sum())
    return photo
