"""Verifies a prediction by geometry: how many matches of two images agree on one affine map (RANSAC).

The affine maps the query image onto the reference image. Matches are inliers when the residual is small both ways: of
the mapped query point in the reference image, and of the reference point mapped back in the query image, whose
coordinates are first scaled so that both images have the same longest side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.matching import match_rounded
from landmark_spark.core.ransac import Points, count_inliers

__all__ = [
    "Verification",
    "VerificationSettings",
    "match_pair",
    "residual_in_pixels",
    "verify_against",
]


@dataclass(frozen=True)
class VerificationSettings:
    """How a prediction is verified.

    max_comparisons: references compared at most.
    min_inliers: more inliers than this verify the prediction, and end the search.
    max_distance: largest L2 distance of matched unit descriptors, in [0, 2].
    residual_threshold: largest residual of an inlier, as a share of the longest side of the reference image.
    max_trials: RANSAC iterations.
    seed: of RANSAC.
    """

    max_comparisons: int = 20
    min_inliers: int = 35
    max_distance: float = 0.8
    residual_threshold: float = 0.025
    max_trials: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the functions called do not."""
        if self.max_comparisons < 1:
            raise ValueError(f"max_comparisons should be at least 1. Received: {self.max_comparisons}")
        if self.min_inliers < 0:
            raise ValueError(f"min_inliers should be at least 0. Received: {self.min_inliers}")


@dataclass(frozen=True)
class Verification:
    """What the comparison of a query with the references of a landmark gave.

    num_inliers: the most inliers with any reference compared; 0 where none was.
    num_comparisons: references compared; num_references: references there were.
    best_reference_id: the first reference with that many inliers; None where there were no inliers.
    is_verified: num_inliers exceeds min_inliers.
    """

    num_inliers: int
    num_comparisons: int
    num_references: int
    best_reference_id: str | None
    is_verified: bool


def verify_against(
    query: LocalFeatures, references: Sequence[tuple[str, LocalFeatures]], settings: VerificationSettings
) -> Verification:
    """Compare a query with the references (id, features) of one landmark, in their order, until one verifies it."""
    num_inliers, num_comparisons, best_reference_id = 0, 0, None
    for reference_id, reference in references[: settings.max_comparisons]:
        _, _, is_inlier = match_pair(query, reference, settings)
        num_comparisons += 1
        if np.count_nonzero(is_inlier) > num_inliers:
            num_inliers, best_reference_id = int(np.count_nonzero(is_inlier)), reference_id
        if num_inliers > settings.min_inliers:
            break
    is_verified = num_inliers > settings.min_inliers
    return Verification(num_inliers, num_comparisons, len(references), best_reference_id, is_verified)


def match_pair(
    query: LocalFeatures, reference: LocalFeatures, settings: VerificationSettings
) -> tuple[Points, Points, NDArray[np.bool_]]:
    """Match two images and find the inliers.

    Returns:
        Query points (K, 2) and reference points (K, 2), float32, (x, y) in pixels of their images; inliers (K,) bool.
    """
    pairs = match_rounded(query.rounded_descriptors, reference.rounded_descriptors, max_distance=settings.max_distance)
    query_points, reference_points = query.keypoints[pairs[:, 0]], reference.keypoints[pairs[:, 1]]
    scale = max(reference.width, reference.height) / max(query.width, query.height)
    is_inlier = count_inliers(
        query_points * np.float32(scale),
        reference_points,
        residual_threshold=residual_in_pixels(
            settings.residual_threshold, width=reference.width, height=reference.height
        ),
        max_trials=settings.max_trials,
        seed=settings.seed,
    )
    return query_points, reference_points, is_inlier


def residual_in_pixels(fraction: float, *, width: int, height: int) -> float:
    """Return a share of the longest side of an image as pixels."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction should be above 0 and below 1. Received: {fraction}")
    if width < 1 or height < 1:
        raise ValueError(f"width and height should be at least 1. Received: {width} x {height}")
    return fraction * max(width, height)
