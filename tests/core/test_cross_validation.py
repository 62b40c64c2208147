"""Folds and the weighted GAP: spread, order, and what a weight stands for."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.cross_validation import assign_folds, weight_of_non_landmarks, weighted_gap
from landmark_spark.core.metrics import Prediction, global_average_precision

IDS = [f"{number:02d}" for number in range(23)]
CLASSES = [0] * 10 + [1] * 3 + [2] * 10


def test_each_class_is_spread_over_the_folds_and_the_folds_are_of_one_size():
    folds = assign_folds(IDS, CLASSES, 5, seed=0)
    of_class = [np.bincount(folds[np.array(CLASSES) == each], minlength=5) for each in range(3)]
    assert of_class[0].tolist() == [2] * 5 and of_class[2].tolist() == [2] * 5
    assert sorted(of_class[1]) == [0, 0, 1, 1, 1]
    assert sorted(np.bincount(folds)) == [4, 4, 5, 5, 5]


def test_the_order_of_the_photos_does_not_count_and_the_seed_does():
    folds = dict(zip(IDS, assign_folds(IDS, CLASSES, 5, seed=0), strict=True))
    turned = dict(zip(IDS[::-1], assign_folds(IDS[::-1], CLASSES[::-1], 5, seed=0), strict=True))
    assert folds == turned
    assert folds != dict(zip(IDS, assign_folds(IDS, CLASSES, 5, seed=1), strict=True))


def test_two_thirds_without_a_landmark_are_twice_as_many_as_those_with_one():
    assert weight_of_non_landmarks(100, 50, share=2 / 3) == pytest.approx(4.0)
    assert weight_of_non_landmarks(100, 50, share=1 / 3) == pytest.approx(1.0)


def test_weights_of_1_give_the_gap_of_the_metrics():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    is_right = np.array([True, False, True, False, True])
    solution = {str(place): frozenset({1}) if right else frozenset() for place, right in enumerate(is_right)}
    expected = global_average_precision([Prediction(str(i), 1, s) for i, s in enumerate(scores)], solution)
    assert weighted_gap(scores, is_right, np.ones(5), num_positives=3) == pytest.approx(expected)


def test_a_wrong_one_of_weight_3_pushes_down_what_is_below_it_as_three_would():
    # Right, three wrong ones in one, right: 1 and 2 / 5, of two.
    found = weighted_gap(np.array([3.0, 2, 1]), np.array([True, False, True]), np.array([1.0, 3, 1]), num_positives=2)
    assert found == pytest.approx((1 + 2 / 5) / 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="num_folds should be at least 2. Received: 1"):
        assign_folds(IDS, CLASSES, 1, seed=0)
    with pytest.raises(ValueError, match="share should be between 0 and 1"):
        weight_of_non_landmarks(1, 1, share=1.0)
    with pytest.raises(ValueError, match="num_positives should be above 0. Received: 0"):
        weighted_gap(np.ones(1), np.ones(1, bool), np.ones(1), num_positives=0)
