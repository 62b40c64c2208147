"""Verification of a prediction: the search through references, and the sizes images are stored in."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.verification import (
    Verification,
    VerificationSettings,
    match_pair,
    residual_in_pixels,
    verify_against,
)

LINEAR = np.array([[0.8, -0.3], [0.2, 0.9]])  # determinant 0.78
SHIFT = np.array([60.0, -20.0])


def _cloud(num_points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 512, (num_points, 2)).astype(np.float32)


def test_residual_is_a_share_of_the_longest_side():
    assert residual_in_pixels(0.025, width=800, height=600) == 20.0
    assert residual_in_pixels(0.025, width=384, height=512) == pytest.approx(12.8)
    for arguments in [(0.0, 10, 10), (1.0, 10, 10), (0.1, 0, 10)]:
        with pytest.raises(ValueError, match="should be"):
            residual_in_pixels(arguments[0], width=arguments[1], height=arguments[2])


def _features(points: np.ndarray, names: list[int], size: int = 512) -> LocalFeatures:
    """Features at given places; the same name has the same descriptor in every image."""
    return LocalFeatures(points.astype(np.float32), np.eye(200, dtype=np.float16)[names], size, size)


def _reference(queries: np.ndarray, num_same: int) -> LocalFeatures:
    """A reference image in which the first num_same of the query's keypoints are found again, moved by the map."""
    return _features(queries[:num_same] @ LINEAR.T + SHIFT, list(range(num_same)))


QUERY_POINTS = _cloud(100, seed=9)
QUERY = _features(QUERY_POINTS, list(range(100)))


def test_search_ends_with_the_first_reference_that_verifies():
    references = [(f"r{count}", _reference(QUERY_POINTS, count)) for count in (10, 35, 36, 80)]
    verification = verify_against(QUERY, references, VerificationSettings())
    assert verification == Verification(36, 3, 4, "r36", True)  # 35 is not more than 35; r80 is not looked at


def test_most_inliers_count_and_the_earliest_reference_on_ties():
    references = [(name, _reference(QUERY_POINTS, count)) for name, count in [("a", 9), ("b", 20), ("c", 20), ("d", 5)]]
    assert verify_against(QUERY, references, VerificationSettings()) == Verification(20, 4, 4, "b", False)


def test_no_more_references_are_compared_than_allowed():
    references = [(f"r{number}", _reference(QUERY_POINTS, count)) for number, count in enumerate([5, 6, 7, 90])]
    settings = VerificationSettings(max_comparisons=3)
    assert verify_against(QUERY, references, settings) == Verification(7, 3, 4, "r2", False)


def test_nothing_to_compare_is_not_verified():
    empty = LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 0), np.float16), 512, 512)
    assert verify_against(QUERY, [], VerificationSettings()) == Verification(0, 0, 0, None, False)
    assert verify_against(QUERY, [("a", empty)], VerificationSettings()) == Verification(0, 1, 1, None, False)
    assert verify_against(empty, [("a", QUERY)], VerificationSettings()) == Verification(0, 1, 1, None, False)


def test_pair_is_returned_in_pixels_of_its_own_images():
    half = _features(QUERY_POINTS / 2, list(range(100)), size=256)
    queries, references, is_inlier = match_pair(half, QUERY, VerificationSettings())
    np.testing.assert_array_equal(queries, half.keypoints)
    np.testing.assert_array_equal(references, QUERY.keypoints)
    assert is_inlier.all()


def test_verdict_does_not_depend_on_the_size_a_query_is_stored_in():
    # A twelfth of the size would be refused as a map, were the sizes of the images not allowed for.
    for scale in (1 / 12, 0.5, 2.0):
        query = _features(QUERY_POINTS * scale, list(range(100)), size=round(512 * scale))
        verification = verify_against(query, [("a", _reference(QUERY_POINTS, 50))], VerificationSettings())
        assert (verification.num_inliers, verification.is_verified) == (50, True)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"max_comparisons should be at least 1\. Received: 0"):
        VerificationSettings(max_comparisons=0)
    with pytest.raises(ValueError, match=r"min_inliers should be at least 0\. Received: -1"):
        VerificationSettings(min_inliers=-1)
