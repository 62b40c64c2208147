import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from landmark_spark.core.calibration import (
    binomial_interval,
    choose,
    false_pairs,
    images_needed,
    random_matches,
    rate_above,
    threshold_for,
    true_pairs,
)
from landmark_spark.core.verification import VerificationSettings, match_pair

GROUPS = {7: ["a", "b", "c"], 8: ["d", "e"], 9: ["f"]}
LANDMARKS = {each: landmark for landmark, ids in GROUPS.items() for each in ids}


def test_the_interval_of_a_published_example():
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I:
    # Clopper and Pearson for 81/263, 15/148, 0/20 and 1/29.
    for counted, published in {
        (81, 263): (0.2527, 0.3676),
        (15, 148): (0.0578, 0.1617),
        (0, 20): (0.0, 0.1684),
        (1, 29): (0.0009, 0.1776),
    }.items():
        assert binomial_interval(*counted) == pytest.approx(published, abs=5e-5)


def test_the_interval_is_scipys_exact_one():
    for accepted, trials in [(0, 1), (1, 1), (3, 10), (999, 1000), (12, 12000)]:
        expected = binomtest(accepted, trials).proportion_ci(0.95, method="exact")
        assert binomial_interval(accepted, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("counted", "confidence"), [((0, 0), 0.95), ((3, 2), 0.95), ((-1, 2), 0.95), ((1, 2), 1.0)])
def test_no_interval_of_what_is_no_share(counted, confidence):
    with pytest.raises(ValueError, match="num_trials should be at least 1"):
        binomial_interval(*counted, confidence=confidence)


def test_a_rate_counts_what_is_above_the_threshold_and_not_on_it():
    found = rate_above([3, 4, 5, 5, 9], 5)
    assert (found.num_accepted, found.num_trials, found.share) == (1, 5, 0.2)
    assert (found.low, found.high) == pytest.approx((0.00505, 0.71642), abs=5e-6)  # R: binom.test(1, 5)


def test_the_threshold_is_the_smallest_at_which_the_rate_is_not_exceeded():
    counts = [0, 0, 0, 0, 0, 0, 3, 5, 8, 8]
    # Above 0: 4 of 10; above 3: 3; above 5: 2; above 8: none. Between 20 % and nothing there is no threshold.
    assert [threshold_for(counts, rate) for rate in (0.4, 0.39, 0.3, 0.2, 0.1, 0.01)] == [0, 3, 3, 5, 8, 8]


def test_the_threshold_by_the_end_of_the_interval_is_higher_or_not_shown():
    counts = [10] * 5 + [0] * 995
    assert threshold_for(counts, 0.01) == 0  # 0.5 %
    assert threshold_for(counts, 0.01, by=lambda found: found.high) == 10  # 5 of 1,000: up to 1.16 %; none: 0.37 %
    assert threshold_for(counts, 0.003, by=lambda found: found.high) is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.5])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="rate should be above 0 and below 1"):
        threshold_for([1], rate)
    with pytest.raises(ValueError, match="rate should be above 0 and below 1"):
        images_needed(rate)


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 368), (0.001, 3688)])
def test_so_many_trials_without_an_accept_show_a_rate(rate, needed):
    # log(0.025) / log(1 - rate) = 367.04 and 3687.04
    assert images_needed(rate) == needed
    assert binomial_interval(0, needed)[1] <= rate < binomial_interval(0, needed - 1)[1]


def test_true_pairs_are_those_of_one_group_each_once():
    assert set(true_pairs(GROUPS, 99, seed=0)) == {("a", "b"), ("a", "c"), ("b", "c"), ("d", "e")}
    assert len(true_pairs(GROUPS, 3, seed=0)) == 3


def test_false_pairs_are_all_others_when_so_many_are_wanted():
    found = false_pairs(LANDMARKS, LANDMARKS, 99, seed=0)
    assert len(found) == len(set(found)) == 3 * 3 + 2 * 4 + 5
    assert all(LANDMARKS[one] != LANDMARKS[other] for one, other in found)


def test_few_of_many_false_pairs_are_different_and_even():
    ids = {f"i{number}": number % 10 for number in range(100)}
    found = false_pairs(ids, ids, 2000, seed=3)
    assert len(found) == len(set(found)) == 2000
    assert all(ids[one] != ids[other] for one, other in found)
    # 9,000 ordered pairs: each image is the query of 20 on average, with a standard deviation below 4.5.
    counts = np.bincount([int(one[1:]) for one, _ in found], minlength=100)
    assert counts.min() >= 4
    assert counts.max() <= 40


def test_an_image_can_be_drawn_against_whole_groups():
    found = false_pairs(LANDMARKS, {each: each for each in GROUPS}, 99, seed=0)
    assert sorted(found) == sorted(
        (one, group) for one, group in itertools.product(LANDMARKS, GROUPS) if LANDMARKS[one] != group
    )


def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_what_is_drawn_from():
    turned = dict(reversed(LANDMARKS.items()))
    assert false_pairs(LANDMARKS, LANDMARKS, 5, seed=1) == false_pairs(turned, turned, 5, seed=1)
    assert choose("abcdef", 3, seed=1, purpose="x") == choose("fedcba", 3, seed=1, purpose="x")
    draws = {tuple(choose("abcdef", 3, seed=seed, purpose="x")) for seed in range(9)}
    assert len(draws) > 1
    with pytest.raises(ValueError, match="count should be at least 1. Received: 0"):
        choose("ab", 0, seed=0, purpose="x")


def test_more_random_matches_than_a_descriptor_has_values_are_still_told_apart():
    one, other = random_matches((400, 300), (400, 300), 1500, seed=0)
    query_points, reference_points, _ = match_pair(one, other, VerificationSettings())
    np.testing.assert_array_equal(query_points, one.keypoints)
    np.testing.assert_array_equal(reference_points, other.keypoints)


def test_random_matches_all_match_within_their_images_and_agree_on_little():
    one, other = random_matches((400, 300), (200, 500), 150, seed=5)
    query, reference, is_inlier = match_pair(one, other, VerificationSettings())
    assert len(query) == 150
    assert np.array_equal(query, one.keypoints)
    assert np.array_equal(reference, other.keypoints)
    assert query.max(axis=0) == pytest.approx([400, 300], rel=0.1)
    assert reference.max(axis=0) == pytest.approx([200, 500], rel=0.1)
    # A match fits a wrong map by chance where it lies in a circle of 12.5 pixels of 200 x 500: 0.5 % of 147.
    assert np.count_nonzero(is_inlier) < 12
    again, _ = random_matches((400, 300), (200, 500), 150, seed=5)
    assert np.array_equal(again.keypoints, one.keypoints)


def test_no_match_at_all_has_no_inlier():
    is_inlier = match_pair(*random_matches((40, 30), (20, 50), 0, seed=0), VerificationSettings())[2]
    assert is_inlier.shape == (0,)
