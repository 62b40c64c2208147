"""Learns how much each kind of evidence counts, from images that play test images, and says how well that does.

See ``core.evidence_fusion`` for the model and ``core.retrieval_model`` for the images that play.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.cross_validation import weight_of_non_landmarks, weighted_gap
from landmark_spark.core.evidence_fusion import Fusion, choose_best, cross_fit, fit_fusion

__all__ = ["Examples", "LearnedFusion", "columns_of", "cross_validated_gap", "learn_fusion"]

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates of images that play test images, (P,), those of an image next to each other.

    images: int64, which image. shows_landmark: bool, of the image. is_right: bool, of the candidate. folds: int64.
    evidence: each kind of evidence, (P,) float64.
    """

    images: NDArray[np.int64]
    shows_landmark: NDArray[np.bool_]
    is_right: NDArray[np.bool_]
    folds: NDArray[np.int64]
    evidence: Mapping[str, Doubles]


@dataclass(frozen=True, eq=False)
class LearnedFusion:
    """fusion: learned on all examples. gap, top1: of each example by weights learned on the other folds."""

    fusion: Fusion
    gap: float
    top1: float
    num_landmark_images: int
    num_non_landmark_images: int


def columns_of(names: Sequence[str], evidence: Mapping[str, Doubles]) -> Doubles:
    """Return the evidence (P, F) in the order of the names. Raises ValueError for a kind that is not there."""
    unknown = [name for name in names if name not in evidence]
    if unknown or not names:
        raise ValueError(f"evidence should be of {', '.join(evidence)}. Received: {', '.join(unknown) or 'none'}")
    return np.stack([evidence[name] for name in names], axis=1)


def learn_fusion(
    names: Sequence[str], examples: Examples, *, penalty: float, non_landmark_share: float
) -> LearnedFusion:
    """Learn the weights of some kinds of evidence.

    Where there are examples of both kinds, those of no landmark count as if they were ``non_landmark_share`` of all.
    Raises ValueError where right or wrong candidates are missing, in all or all but one fold.
    """
    columns, weights = columns_of(names, examples.evidence), _weights(examples, non_landmark_share)
    fusion = fit_fusion(names, columns, examples.is_right, example_weights=weights, penalty=penalty)
    odds = cross_fit(names, columns, examples.is_right, examples.folds, example_weights=weights, penalty=penalty)
    gap, top1 = _measure(odds, examples, weights)
    shows = _of_images(examples)
    return LearnedFusion(fusion, gap, top1, int(shows.sum()), int((~shows).sum()))


def cross_validated_gap(scores: Doubles, examples: Examples, *, non_landmark_share: float) -> float:
    """Return the GAP of the examples by scores (P,) that have not seen their answers."""
    return _measure(scores, examples, _weights(examples, non_landmark_share))[0]


def _of_images(examples: Examples) -> NDArray[np.bool_]:
    """Return whether each image shows a landmark."""
    _, first = np.unique(examples.images, return_index=True)
    shows: NDArray[np.bool_] = examples.shows_landmark[first]
    return shows


def _weights(examples: Examples, non_landmark_share: float) -> Doubles:
    shows = _of_images(examples)
    if shows.all() or not shows.any():
        return np.ones(len(examples.images))
    weight = weight_of_non_landmarks(int(shows.sum()), int((~shows).sum()), share=non_landmark_share)
    return np.where(examples.shows_landmark, 1.0, weight)


def _measure(scores: Doubles, examples: Examples, weights: Doubles) -> tuple[float, float]:
    best = choose_best(examples.images, scores)
    is_right, shows = examples.is_right[best], examples.shows_landmark[best]
    num_positives = int(shows.sum())
    if not num_positives:
        return 0.0, 0.0
    gap = weighted_gap(scores[best], is_right, weights[best], num_positives=num_positives)
    return gap, float(is_right[shows].mean())
