"""Suppression: means by hand, what there is none of."""

from __future__ import annotations

import numpy as np

from landmark_spark.core.non_landmarks import similarity_to

NON_LANDMARKS = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)


def test_the_mean_is_over_the_nearest_ones():
    queries = np.array([[1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 2), [0.8, 0.9], rtol=1e-6)  # 1, .6 and 1, .8
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 1), [1, 1], rtol=1e-6)


def test_of_fewer_than_asked_for_all_count_and_of_none_nothing():
    queries = np.array([[1, 0]], np.float32)
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 9), [1.6 / 3], rtol=1e-6)
    assert similarity_to(queries, NON_LANDMARKS[:0], 5).tolist() == [0]
