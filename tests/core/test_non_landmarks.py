"""Suppression: means by hand, weights, what there is none of."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.non_landmarks import penalise, similarity_to

NON_LANDMARKS = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)


def test_the_mean_is_over_the_nearest_ones():
    queries = np.array([[1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 2), [0.8, 0.9], rtol=1e-6)  # 1, .6 and 1, .8
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 1), [1, 1], rtol=1e-6)


def test_of_fewer_than_asked_for_all_count_and_of_none_nothing():
    queries = np.array([[1, 0]], np.float32)
    np.testing.assert_allclose(similarity_to(queries, NON_LANDMARKS, 9), [1.6 / 3], rtol=1e-6)
    assert similarity_to(queries, NON_LANDMARKS[:0], 5).tolist() == [0]


def test_query_and_references_each_cost_what_they_weigh():
    found = penalise(
        np.array([[0.9, 0.5]], "f4"),
        np.array([0.4], "f4"),
        np.array([[0.2, 0.1]], "f4"),
        query_weight=1.0,
        reference_weight=0.5,
    )
    np.testing.assert_allclose(found, [[0.4, 0.05]], rtol=1e-5)  # 0.9 - 0.4 - 0.1; 0.5 - 0.4 - 0.05


def test_weights_of_0_change_nothing():
    similarities = np.array([[0.9, 0.5]], "f4")
    found = penalise(similarities, np.ones(1, "f4"), np.ones((1, 2), "f4"), query_weight=0, reference_weight=0)
    assert found.tolist() == similarities.tolist()


def test_what_does_not_fit_is_refused():
    ones = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match=r"of_queries \(N,\). Received: \(1, 2\), \(1, 2\) and \(2,\)"):
        penalise(ones, np.ones(2, "f4"), ones, query_weight=1, reference_weight=1)
    with pytest.raises(ValueError, match="weights should be at least 0. Received: -1 and 0"):
        penalise(ones, np.ones(1, "f4"), ones, query_weight=-1, reference_weight=0)
