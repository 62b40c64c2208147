"""Verifies a prediction by geometry: how many matches of two images agree on one affine map (RANSAC).

The affine maps the query image onto the reference image. Matches are inliers when the residual is small both ways: of
the mapped query point in the reference image, and of the reference point mapped back in the query image, whose
coordinates are first scaled so that both images have the same longest side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.matching import match_mutual

__all__ = [
    "Verification",
    "VerificationSettings",
    "count_inliers",
    "match_pair",
    "residual_in_pixels",
    "verify_against",
]

Points = NDArray[np.float32]
Affine = NDArray[np.float64]

_MIN_MATCHES = 3
"""Three points determine an affine map."""
_MAX_SCALE = 10.0
"""No direction may be stretched or shrunk more: views of one scene in which SIFT still matches differ less."""
_CONFIDENCE = 0.999
_LOCAL_ITERATIONS = 10
_LOCAL_SAMPLE_SIZE = 14


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
    pairs = match_mutual(query.descriptors, reference.descriptors, max_distance=settings.max_distance)
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


def count_inliers(
    query_points: Points, reference_points: Points, *, residual_threshold: float, max_trials: int, seed: int
) -> NDArray[np.bool_]:
    """Tell which matches agree with the affine map on which most of them agree, as RANSAC finds it.

    A place counts once in either image: of several matches from or to the same point only the first can be an inlier,
    so that keypoints with several orientations do not vote twice. A map is refused, and leaves no inlier, when it
    mirrors, when it stretches or shrinks a direction more than tenfold, or when its inliers lie on one line in either
    image: a map that sends everything to a point or a line, or that nothing determines, shows nothing.

    Args:
        query_points: (K, 2) float32, (x, y) in pixels; matches with a value that is not finite are no inliers.
        reference_points: (K, 2) float32, likewise.
        residual_threshold: largest distance in pixels between a point and where the map puts it, both ways.
        max_trials: RANSAC iterations; fewer where 99.9 % confidence is reached before.
        seed: of RANSAC, from 0 to 2**31 - 1.

    Returns:
        (K,) bool.
    """
    _check_points(query_points, reference_points)
    if not (residual_threshold > 0.0 and max_trials >= 1 and 0 <= seed < 2**31):
        raise ValueError(
            "residual_threshold should be above 0, max_trials at least 1 and seed from 0 to 2**31 - 1. "
            f"Received: {residual_threshold}, {max_trials}, {seed}"
        )
    is_inlier = np.zeros(len(query_points), np.bool_)
    kept = _distinct_places(query_points, reference_points)
    queries, references = query_points[kept], reference_points[kept]
    affine = _estimate_affine(queries, references, residual_threshold, max_trials, seed)
    if affine is None:
        return is_inlier
    residuals = _residuals(affine, queries, references)
    inliers = kept[residuals <= residual_threshold]
    if _spans_plane(query_points[inliers]) and _spans_plane(reference_points[inliers]):
        is_inlier[inliers] = True
    return is_inlier


def _check_points(query_points: Points, reference_points: Points) -> None:
    if query_points.ndim != 2 or query_points.shape[1] != 2 or query_points.shape != reference_points.shape:
        raise ValueError(
            f"query_points and reference_points should both be (K, 2). "
            f"Received: {query_points.shape}, {reference_points.shape}"
        )


def _distinct_places(query_points: Points, reference_points: Points) -> NDArray[np.intp]:
    """Return the indices of finite matches, the first from each query place, then the first to each reference place."""
    kept = np.flatnonzero(np.isfinite(query_points).all(axis=1) & np.isfinite(reference_points).all(axis=1))
    for points in (query_points, reference_points):
        _, first = np.unique(points[kept], axis=0, return_index=True)
        kept = kept[np.sort(first)]
    return kept


def _estimate_affine(
    queries: Points, references: Points, residual_threshold: float, max_trials: int, seed: int
) -> Affine | None:
    """Return the affine map (2, 3), or None where there is none or it is implausible."""
    if len(queries) < _MIN_MATCHES:
        return None
    parameters = cv2.UsacParams()
    parameters.threshold = residual_threshold
    parameters.maxIterations = max_trials
    parameters.confidence = _CONFIDENCE
    parameters.randomGeneratorState = seed
    parameters.isParallel = False  # the order of threads would decide
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.score = cv2.SCORE_METHOD_MSAC
    parameters.loMethod = cv2.LOCAL_OPTIM_INNER_AND_ITER_LO
    parameters.loIterations = _LOCAL_ITERATIONS
    parameters.loSampleSize = _LOCAL_SAMPLE_SIZE
    parameters.final_polisher = cv2.NONE_POLISHER
    affine, _ = cv2.estimateAffine2D(queries, references, parameters)
    return cast(Affine, affine) if affine is not None and _is_plausible(cast(Affine, affine)) else None


def _is_plausible(affine: Affine) -> bool:
    if affine.shape != (2, 3) or not np.isfinite(affine).all() or np.linalg.det(affine[:, :2]) <= 0.0:
        return False
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(largest <= _MAX_SCALE and smallest >= 1.0 / _MAX_SCALE)


def _residuals(affine: Affine, queries: Points, references: Points) -> NDArray[np.float64]:
    """Return (K,) the larger of the residuals in the reference image and, mapped back, in the query image."""
    forward = queries @ affine[:, :2].T + affine[:, 2] - references
    backward = forward @ np.linalg.inv(affine[:, :2]).T
    residuals: NDArray[np.float64] = np.maximum(np.hypot(*forward.T), np.hypot(*backward.T))
    return residuals


def _spans_plane(points: Points) -> bool:
    """Tell whether at least three points (K, 2) do not lie on one line, to a thousandth of their extent."""
    if len(points) < _MIN_MATCHES:
        return False
    extents = np.linalg.svd(points.astype(np.float64) - points.mean(axis=0, dtype=np.float64), compute_uv=False)
    return bool(extents[1] > 1e-3 * extents[0])
