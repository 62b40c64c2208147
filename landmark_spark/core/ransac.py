"""Finds the matches of two images that agree on one affine map, from the query image onto the reference (RANSAC)."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Points", "count_inliers"]

Points = NDArray[np.float32]
"""(K, 2) float32, (x, y) in pixels."""
Affine = NDArray[np.float64]

_MIN_MATCHES = 3
"""Three points determine an affine map."""
_MAX_SCALE = 10.0
"""No direction may be stretched or shrunk more: views of one scene in which SIFT still matches differ less."""
_CONFIDENCE = 0.999
_LOCAL_ITERATIONS = 10
_LOCAL_SAMPLE_SIZE = 14


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
        places = points[kept].astype(np.float32) + np.float32(0.0)  # -0 becomes 0
        _, first = np.unique(places.view(np.int64).ravel(), return_index=True)
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
