"""Global descriptors: pooling by hand, whitening with and without shrinkage, views averaged."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.global_descriptors import average_views, describe, fit_whitening, pool_gem


def test_the_generalised_mean_lies_between_mean_and_maximum():
    features = np.array([[1, 2, 3, 4]], "f4").reshape(1, 2, 2, 1)
    assert pool_gem(features, 1)[0, 0] == pytest.approx(2.5)
    assert pool_gem(features, 3)[0, 0] == pytest.approx(25 ** (1 / 3))  # (1 + 8 + 27 + 64) / 4
    assert pool_gem(features, np.inf)[0, 0] == 4


def test_no_power_overflows_and_what_is_not_above_0_counts_as_the_floor():
    features = np.array([[1e30, 0, -5, 1e30]], "f4").reshape(1, 4, 1, 1)
    assert pool_gem(features, 3)[0, 0] == pytest.approx(1e30 * 0.5 ** (1 / 3), rel=1e-5)
    assert pool_gem(np.zeros((1, 2, 2, 3), np.float32), 3).tolist() == [[pytest.approx(1e-6)] * 3]


def test_each_map_is_pooled_alone():
    random = np.random.default_rng(0)
    features = random.random((3, 4, 5, 6)).astype("f4")
    whole = pool_gem(features, 3)
    assert whole.shape == (3, 6) and whole.dtype == np.float32
    for number in range(3):
        np.testing.assert_array_equal(pool_gem(features[number : number + 1], 3)[0], whole[number])


def test_shrinkage_adds_shares_of_the_mean_variance():
    descriptors = np.random.default_rng(1).random((40, 5)).astype("f4")
    plain, shrunk = (fit_whitening(descriptors, 5, shrinkage=each) for each in (0.0, 2.0))
    np.testing.assert_allclose(shrunk.variances, plain.variances + 2 * plain.variances.mean(), rtol=1e-6)
    np.testing.assert_array_equal(shrunk.components, plain.components)


def test_whitened_descriptors_are_unit_vectors_and_without_shrinkage_all_directions_vary_alike():
    random = np.random.default_rng(2)
    descriptors = np.abs(random.normal(size=(4000, 3)) * [0.5, 0.2, 0.05] + [1, 1, 1]).astype("f4")
    found = describe(descriptors, fit_whitening(descriptors, 2, shrinkage=0.0))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert np.var(found[:, 0]) == pytest.approx(0.5, abs=0.03)  # of a direction in the plane, spread evenly
    assert np.var(found[:, 1]) == pytest.approx(0.5, abs=0.03)


def test_the_length_of_a_pooled_descriptor_does_not_count():
    descriptors = np.random.default_rng(3).random((20, 4)).astype("f4")
    whitening = fit_whitening(descriptors, 3, shrinkage=1.0)
    np.testing.assert_allclose(describe(descriptors, whitening), describe(7 * descriptors, whitening), atol=1e-5)


def test_few_descriptors_give_as_many_dimensions_as_they_can():
    descriptors = np.random.default_rng(4).random((4, 9)).astype("f4")
    assert describe(descriptors, fit_whitening(descriptors, 512, shrinkage=1.0)).shape == (4, 3)


def test_views_are_averaged_as_directions():
    one, other = np.array([[1, 0]], "f4"), np.array([[0, 1]], "f4")
    np.testing.assert_allclose(average_views([one, other]), [[np.sqrt(0.5)] * 2], rtol=1e-6)
    np.testing.assert_allclose(average_views([one, one, other]), np.array([[2, 1]]) / np.sqrt(5), rtol=1e-6)
    assert average_views([one, -one]).tolist() == [[0, 0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="power should be at least 1. Received: 0.5"):
        pool_gem(np.ones((1, 2, 2, 3), np.float32), 0.5)
    with pytest.raises(ValueError, match=r"with places. Received: \(1, 0, 2, 3\)"):
        pool_gem(np.ones((1, 0, 2, 3), np.float32), 3)
    with pytest.raises(ValueError, match=r"N at least 2. Received: \(1, 3\)"):
        fit_whitening(np.ones((1, 3), np.float32), 2, shrinkage=0)
    with pytest.raises(ValueError, match="shrinkage at least 0. Received: 2 and -1"):
        fit_whitening(np.ones((3, 3), np.float32), 2, shrinkage=-1)
    with pytest.raises(ValueError, match="at least one. Received: "):
        average_views([])
