"""The linear head: counted odds, the gradient at its end, weights by hand, bytes."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.linear_head import LinearHead, balanced_weights, fit_linear_head


def test_what_is_always_the_same_gets_the_shares_of_the_classes():
    head = fit_linear_head(
        np.ones((6, 1), "f4"), np.array([0, 0, 0, 1, 1, 2]), 3, example_weights=np.ones(6), penalty=1e-3
    )
    np.testing.assert_allclose(head.probabilities(np.ones((1, 1), "f4")), [[1 / 2, 1 / 3, 1 / 6]], atol=1e-3)


def test_weights_count_as_copies():
    labels = np.array([0, 1, 2])
    head = fit_linear_head(np.ones((3, 1), "f4"), labels, 3, example_weights=np.array([3.0, 2.0, 1.0]), penalty=1e-3)
    np.testing.assert_allclose(head.probabilities(np.ones((1, 1), "f4")), [[1 / 2, 1 / 3, 1 / 6]], atol=1e-3)


def test_the_gradient_is_none_at_the_end():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    descriptors = (np.eye(3)[labels] + random.normal(size=(60, 3))).astype("f4")
    weights = random.random(60) + 0.5
    head = fit_linear_head(descriptors, labels, 3, example_weights=weights, penalty=0.01)
    miss = (head.probabilities(descriptors) - np.eye(3)[labels]) * (weights / weights.sum())[:, None]
    np.testing.assert_allclose(descriptors.T @ miss + 0.01 * head.weights, 0, atol=1e-4)
    np.testing.assert_allclose(miss.sum(axis=0), 0, atol=1e-4)
    assert (head.probabilities(descriptors).argmax(axis=1) == labels).mean() > 0.5  # by chance a third


def test_small_classes_count_more_and_non_landmarks_as_told():
    labels = np.array([0, 0, 0, 0, 1, 2, 2])
    found = balanced_weights(labels, power=0.5, non_landmark=2, non_landmark_weight=0.2)
    np.testing.assert_allclose(found, [0.5] * 4 + [1] + [0.2] * 2)


def test_it_comes_back_from_its_bytes():
    head = LinearHead(np.ones((2, 3), "f4"), np.array([0, 1, 2], "f4"))
    again = LinearHead.from_bytes(head.to_bytes())
    np.testing.assert_array_equal(again.weights, head.weights)
    np.testing.assert_array_equal(again.biases, head.biases)
    assert again.to_bytes() == head.to_bytes()
    with pytest.raises(ValueError, match="npz file of weights and biases"):
        LinearHead.from_bytes(b"nothing")


def test_what_does_not_fit_is_refused():
    ones = np.ones((2, 3), "f4")
    with pytest.raises(ValueError, match="from 0 to 1. Received: 0 to 2"):
        fit_linear_head(ones, np.array([0, 2]), 2, example_weights=np.ones(2), penalty=1)
    with pytest.raises(ValueError, match=r"N at least 1. Received: \(2, 3\), \(1,\) and \(2,\)"):
        fit_linear_head(ones, np.array([0]), 2, example_weights=np.ones(2), penalty=1)
    with pytest.raises(ValueError, match="above 0"):
        fit_linear_head(ones, np.array([0, 1]), 2, example_weights=np.ones(2), penalty=0)
    with pytest.raises(ValueError, match=r"should be \(N, 2\). Received: \(1, 3\)"):
        LinearHead(np.ones((2, 3), "f4"), np.ones(3, "f4")).probabilities(np.ones((1, 3), "f4"))
