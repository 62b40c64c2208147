"""Chooses by training photos alone: folds of them play the test set, photos of no landmark among them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign_folds", "weighted_gap", "weight_of_non_landmarks"]


def assign_folds(ids: Sequence[str], classes: Sequence[int], num_folds: int, *, seed: int) -> NDArray[np.int64]:
    """Return the fold of each photo, (N,) from 0 to num_folds - 1: each class spread as evenly as it can be.

    By hash, so that the order of the photos does not count. classes: (N,); photos of no landmark share one of their
    own. The class after another goes on with the fold that this one ended before, or the first folds would be larger.
    """
    if num_folds < 2:
        raise ValueError(f"num_folds should be at least 2. Received: {num_folds}")
    order = sorted(range(len(ids)), key=lambda place: (classes[place], _hash(f"fold:{seed}:{ids[place]}"), ids[place]))
    folds = np.zeros(len(ids), np.int64)
    folds[order] = np.arange(len(ids)) % num_folds
    return folds


def weight_of_non_landmarks(num_landmark: int, num_non_landmark: int, *, share: float) -> float:
    """Return how often a photo of no landmark has to count, where they are this share of the photos to be expected.

    2 / 3 was about the share in the challenge's test set. Raises ValueError for a share that is not between 0 and 1.
    """
    if not 0.0 < share < 1.0 or num_landmark < 1 or num_non_landmark < 1:
        raise ValueError(
            "share should be between 0 and 1 and there should be photos of both kinds. "
            f"Received: {share}, {num_landmark} and {num_non_landmark}"
        )
    return share / (1.0 - share) * num_landmark / num_non_landmark


def weighted_gap(
    scores: NDArray[np.float64], is_right: NDArray[np.bool_], weights: NDArray[np.float64], *, num_positives: float
) -> float:
    """Return the GAP of one prediction an image, an image of weight w standing for w like it.

    The precision at a right prediction is the weight of what is right up to it over the weight of all up to it. Ties
    are broken by the order given. scores, is_right, weights: (N,). num_positives: the weight of the images that show a
    landmark.
    """
    if not num_positives > 0.0:
        raise ValueError(f"num_positives should be above 0. Received: {num_positives}")
    order = np.argsort(-scores, kind="stable")
    right, weight = is_right[order], weights[order]
    precision = np.cumsum(right * weight) / np.cumsum(weight)
    return float((precision * weight)[right].sum() / num_positives)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
