"""Scores ranked predictions against a solution: global average precision (GAP), top-1 accuracy, precision by rank.

GAP is the micro average precision of Perronnin, Liu and Renders, "A family of contextual measures of similarity between
distributions with application to image retrieval" (CVPR 2009), as the Google Landmarks challenges score it: one ranking
over the predictions of all images. Ties are broken as in the DELF project's official implementation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Prediction",
    "Solution",
    "count_positives",
    "evaluate",
    "global_average_precision",
    "precision_at_ranks",
    "rank_predictions",
    "top1_accuracy",
]

Solution = Mapping[str, frozenset[int]]
"""The landmarks that each image shows, by image id; an empty set where it shows none."""


class Prediction(NamedTuple):
    """A landmark said to be in an image; a higher score ranks it further up among the predictions of all images."""

    id: str
    landmark_id: int
    score: float


def global_average_precision(predictions: Sequence[Prediction], solution: Solution) -> float:
    """Return sum over i of P(i) rel(i) / M: P(i) precision at rank i, rel(i) 1 where rank i is right, M positives.

    M counts the images of the solution that show a landmark, whether predicted or not. Predictions are ranked by score
    (highest first), then by id (in the order of its characters), then by landmark (numerically); those of images that
    are not in the solution do not count. The challenge takes one prediction an image; with several right ones of one
    image the value may exceed 1.

    Raises:
        ValueError: no image of the solution shows a landmark, a score is NaN, or a landmark is predicted twice for an
            image.
    """
    num_positives = count_positives(solution)
    is_right = _relevance(rank_predictions(predictions, solution), solution)
    return float(np.sum(_precision(is_right)[is_right]) / num_positives)


def top1_accuracy(predictions: Sequence[Prediction], solution: Solution) -> float:
    """Return the share of the images showing a landmark whose best-ranked prediction is one of their landmarks.

    Ranks and raises as ``global_average_precision`` does.
    """
    num_positives = count_positives(solution)
    best: dict[str, Prediction] = {}
    for prediction in rank_predictions(predictions, solution):
        best.setdefault(prediction.id, prediction)
    num_right = sum(prediction.landmark_id in solution[image_id] for image_id, prediction in best.items())
    return num_right / num_positives


def precision_at_ranks(predictions: Sequence[Prediction], solution: Solution) -> NDArray[np.float64]:
    """Return (R,) float64: the share of right predictions among the first 1, 2, ... R of those that count.

    Ranks and raises as ``global_average_precision`` does, but a solution without positives is allowed.
    """
    return _precision(_relevance(rank_predictions(predictions, solution), solution))


def evaluate(predictions: Sequence[Prediction], solution: Solution) -> dict[str, float | int]:
    """Return gap, top1, num_predictions (those of images in the solution) and num_positives.

    Raises as ``global_average_precision`` does.
    """
    return {
        "gap": global_average_precision(predictions, solution),
        "top1": top1_accuracy(predictions, solution),
        "num_predictions": sum(prediction.id in solution for prediction in predictions),
        "num_positives": count_positives(solution),
    }


def count_positives(solution: Solution) -> int:
    """Return how many images show a landmark. Raises ValueError where none does."""
    num_positives = sum(bool(landmarks) for landmarks in solution.values())
    if not num_positives:
        raise ValueError(
            f"solution should have an image that shows a landmark. Received: none among {len(solution)} images"
        )
    return num_positives


def rank_predictions(predictions: Sequence[Prediction], solution: Solution) -> list[Prediction]:
    """Return the predictions of images of the solution, in the order in which ``global_average_precision`` has them.

    Raises ValueError where a score is NaN, or a landmark is predicted twice for an image.
    """
    seen: set[tuple[str, int]] = set()
    for image_id, landmark_id, score in predictions:
        if math.isnan(score):
            raise ValueError(f"score should be a number. Received: {score} for image {image_id}")
        if (image_id, landmark_id) in seen:
            raise ValueError(f"landmark {landmark_id} should be predicted once for image {image_id}. Received: twice")
        seen.add((image_id, landmark_id))
    counted = [prediction for prediction in predictions if prediction.id in solution]
    return sorted(counted, key=lambda prediction: (-prediction.score, prediction.id, prediction.landmark_id))


def _relevance(ranked: Sequence[Prediction], solution: Solution) -> NDArray[np.bool_]:
    return np.array([prediction.landmark_id in solution[prediction.id] for prediction in ranked], dtype=np.bool_)


def _precision(is_right: NDArray[np.bool_]) -> NDArray[np.float64]:
    precision: NDArray[np.float64] = np.cumsum(is_right) / np.arange(1, len(is_right) + 1, dtype=np.float64)
    return precision
