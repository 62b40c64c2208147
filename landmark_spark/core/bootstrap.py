"""Says how sure a GAP, or a gain of GAP, is: what it would have been on other draws of test images (the bootstrap).

After Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13: images are drawn anew, with
replacement, as many as there are, and the middle 95 % of the values that the draws give are the interval. A gain is
measured on the same draw before and after, so that what makes an image hard for both does not widen its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.metrics import Prediction, Solution, count_positives, rank_predictions

__all__ = ["Interval", "gain_interval", "gap_interval"]

_MAX_DRAWS = 100
"""Draws of images tried for a sample in which one shows a landmark."""


@dataclass(frozen=True)
class Interval:
    """A measured value, and the ends of the interval around it."""

    value: float
    low: float
    high: float


def gap_interval(
    predictions: Sequence[Prediction],
    solution: Solution,
    *,
    num_samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the GAP of predictions and its interval. Raises as ``gain_interval`` does."""
    ranking = _Ranking(predictions, solution)
    return _interval(ranking.gap, solution, num_samples=num_samples, confidence=confidence, seed=seed)


def gain_interval(
    before: Sequence[Prediction],
    after: Sequence[Prediction],
    solution: Solution,
    *,
    num_samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return by how much the GAP of ``after`` exceeds that of ``before``, and the interval of that gain.

    Args:
        before: predictions, as ``metrics.global_average_precision`` takes them.
        after: likewise.
        solution: of the images that are drawn.
        num_samples: draws. 2,000 leave the ends of a 95 % interval uncertain by about a twentieth of its width.
        confidence: the share of the draws that lies within the interval.
        seed: of the draws: the same for all gains that are to be compared.

    Raises:
        ValueError: a number is out of range, or the metrics refuse the predictions or the solution.
    """
    first, second = _Ranking(before, solution), _Ranking(after, solution)
    return _interval(
        lambda counts: second.gap(counts) - first.gap(counts),
        solution,
        num_samples=num_samples,
        confidence=confidence,
        seed=seed,
    )


class _Ranking:
    """Predictions in their order, as places of images, and whether each is right: the GAP of any draw follows."""

    def __init__(self, predictions: Sequence[Prediction], solution: Solution) -> None:
        places = {image_id: place for place, image_id in enumerate(sorted(solution))}
        ranked = rank_predictions(predictions, solution)
        self._images = np.array([places[each.id] for each in ranked], np.intp)
        self._is_right = np.array([each.landmark_id in solution[each.id] for each in ranked], np.bool_)
        self._is_positive = np.array([bool(solution[image_id]) for image_id in sorted(solution)], np.bool_)

    def gap(self, counts: NDArray[np.int64]) -> float:
        """Return the GAP where image i stands counts[i] times. counts: (B,) int64, a positive image among them."""
        is_right = np.repeat(self._is_right, counts[self._images])
        precision = np.cumsum(is_right) / np.arange(1, len(is_right) + 1)
        return float(precision[is_right].sum() / counts[self._is_positive].sum())


def _interval(
    measure: Callable[[NDArray[np.int64]], float],
    solution: Solution,
    *,
    num_samples: int,
    confidence: float,
    seed: int,
) -> Interval:
    if num_samples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(
            f"num_samples should be at least 1 and confidence between 0 and 1. Received: {num_samples}, {confidence}"
        )
    count_positives(solution)
    is_positive = np.array([bool(solution[image_id]) for image_id in sorted(solution)], np.bool_)
    random = np.random.default_rng(seed)
    values = [measure(_draw(is_positive, random)) for _ in range(num_samples)]
    low, high = np.quantile(values, [(1.0 - confidence) / 2, (1.0 + confidence) / 2])
    return Interval(measure(np.ones(len(is_positive), np.int64)), float(low), float(high))


def _draw(is_positive: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    """Return how often each image was drawn, (B,) int64; drawn anew where none that shows a landmark was."""
    size = len(is_positive)
    for _ in range(_MAX_DRAWS):
        counts = np.bincount(random.integers(size, size=size), minlength=size)
        if counts[is_positive].any():
            return counts
    raise ValueError(f"solution should have more images that show a landmark. Received: {is_positive.sum()} of {size}")
