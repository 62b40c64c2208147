"""The bootstrap: draws worked out by hand, pairing, and what it says of no gain at all."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.bootstrap import Interval, gain_interval, gap_interval
from landmark_spark.core.metrics import Prediction, global_average_precision

SOLUTION = {"a": frozenset({1}), "b": frozenset(), "c": frozenset({2}), "d": frozenset({3})}
BEFORE = [Prediction("b", 1, 0.9), Prediction("a", 1, 0.8), Prediction("c", 2, 0.7), Prediction("d", 1, 0.6)]
AFTER = [Prediction("b", 1, 0.1), *BEFORE[1:]]


def test_the_value_is_that_of_the_images_as_they_are():
    found = gap_interval(BEFORE, SOLUTION, num_samples=10)
    assert found.value == pytest.approx((1 / 2 + 2 / 3) / 3)  # right at ranks 2 and 3, of three positives
    assert found.value == pytest.approx(global_average_precision(BEFORE, SOLUTION))
    assert gain_interval(BEFORE, AFTER, SOLUTION, num_samples=10).value == pytest.approx((2 - 7 / 6) / 3)


def test_two_images_give_the_three_values_that_two_draws_can_have():
    # Draws of two: a and b (one half), a twice or b twice (a quarter each; the latter shows nothing: drawn anew).
    solution = {"a": frozenset({1}), "b": frozenset()}
    predictions = [Prediction("b", 1, 0.9), Prediction("a", 1, 0.8)]
    values = {
        gap_interval(predictions, solution, num_samples=1, seed=seed).low for seed in range(40)
    }  # of one sample the interval is its value
    assert values == {0.5, 1.0}  # b above a: 1/2; a twice: 1 + 1 over 2


def test_an_image_drawn_twice_counts_as_two_that_are_ranked_next_to_each_other():
    # a drawn twice, b once: ranks b a a, (1/2 + 2/3) / 2 = 7/12; a once, b twice: 1/3; each once more than not at all.
    solution = {"a": frozenset({1}), "b": frozenset(), "c": frozenset()}
    predictions = [Prediction("b", 1, 0.9), Prediction("a", 1, 0.8)]  # nothing is said about c
    values = {round(gap_interval(predictions, solution, num_samples=1, seed=seed).low, 6) for seed in range(200)}
    expected = {1.0, 0.5, 1 / 3, 7 / 12}  # b 0, 1 or 2 times beside a once; a twice and b once
    assert values == {round(each, 6) for each in expected}


def test_no_change_gains_nothing_and_says_so_with_certainty():
    again = [Prediction(each.id, each.landmark_id, each.score * 2) for each in BEFORE]  # the same order
    assert gain_interval(BEFORE, again, SOLUTION, num_samples=50) == Interval(0.0, 0.0, 0.0)


def test_a_gain_is_measured_on_the_same_draws_before_and_after():
    # 200 images, half of them right at once in both; afterwards one prediction more is right, which was missing.
    solution = {f"{number:03d}": frozenset({1}) for number in range(200)}
    before = [Prediction(f"{number:03d}", 1, 1.0) for number in range(100)]
    after = [*before, Prediction("100", 1, 0.5)]
    found = gain_interval(before, after, solution, num_samples=500)
    assert found.value == pytest.approx(1 / 200)
    assert found.low == 0.0  # not drawn, once in e draws
    assert 2 / 200 <= found.high <= 4 / 200  # drawn 2 to 4 times; unpaired the ends would be 0.14 apart
    wide = gap_interval(before, solution, num_samples=500)
    assert wide.high - wide.low > 0.1


def test_the_interval_of_a_share_is_the_binomial_one():
    # Every prediction right, half of the images predicted: GAP is the share of images drawn that are predicted.
    solution = {f"{number:03d}": frozenset({1}) for number in range(400)}
    predictions = [Prediction(f"{number:03d}", 1, 1.0) for number in range(200)]
    found = gap_interval(predictions, solution, num_samples=4000)
    deviation = np.sqrt(0.5 * 0.5 / 400)
    assert found.low == pytest.approx(0.5 - 1.96 * deviation, abs=0.005)
    assert found.high == pytest.approx(0.5 + 1.96 * deviation, abs=0.005)


def test_the_same_seed_gives_the_same_interval_and_images_may_come_in_any_order():
    turned = dict(reversed(SOLUTION.items()))
    first = gain_interval(BEFORE, AFTER, SOLUTION, num_samples=20, seed=3)
    assert first == gain_interval(BEFORE[::-1], AFTER[::-1], turned, num_samples=20, seed=3)
    assert first != gain_interval(BEFORE, AFTER, SOLUTION, num_samples=20, seed=4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="num_samples should be at least 1 .* Received: 0, 0.95"):
        gap_interval(BEFORE, SOLUTION, num_samples=0)
    with pytest.raises(ValueError, match="confidence between 0 and 1. Received: 2000, 1.0"):
        gap_interval(BEFORE, SOLUTION, confidence=1.0)
    with pytest.raises(ValueError, match="an image that shows a landmark"):
        gap_interval([], {"a": frozenset()})
