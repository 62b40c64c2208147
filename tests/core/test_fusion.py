"""The scores of a submission, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from landmark_spark.core.fusion import (
    MODES,
    Candidate,
    choose_candidate,
    decision_score,
    fused_score,
    score_prediction,
)


def test_decision_keeps_the_confidence_of_what_was_verified_and_nothing_else():
    assert decision_score(0.25, is_verified=True) == 0.25
    assert decision_score(0.25, is_verified=False) is None


@pytest.mark.parametrize(
    ("confidence", "num_inliers", "expected"),
    [
        (0.5, 0, 0.5),
        (0.5, 7, 0.7),  # 7 / 35 = 0.2
        (0.25, 35, 1.25),
        (0.25, 36, 1.25),  # capped
        (1.0, 100_000, 2.0),
        (0.0, 0, 0.0),
    ],
)
def test_fused_score_adds_a_capped_share_of_inliers(confidence, num_inliers, expected):
    assert fused_score(confidence, num_inliers, full_inliers=35) == pytest.approx(expected, abs=1e-12)


def test_fully_verified_prediction_ranks_above_any_that_was_not():
    assert fused_score(0.01, 35, full_inliers=35) > fused_score(1.0, 0, full_inliers=35)


def test_each_mode_gives_its_own_score():
    facts = {"num_inliers": 14, "is_verified": False, "full_inliers": 35}
    assert score_prediction("fused", 0.5, **facts) == pytest.approx(0.9)  # 14 / 35 = 0.4
    assert score_prediction("decision", 0.5, **facts) is None
    assert score_prediction("classifier", 0.5, **facts) == 0.5
    assert MODES == ("fused", "decision", "classifier")


def test_unknown_mode_is_refused_by_name():
    with pytest.raises(ValueError, match=r"one of fused, decision, classifier\. Received: 'sum'"):
        score_prediction("sum", 0.5, num_inliers=1, is_verified=True, full_inliers=35)


@pytest.mark.parametrize("confidence", [-0.001, 1.001, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", MODES)
def test_confidence_out_of_range_is_refused_in_every_mode(mode, confidence):
    with pytest.raises(ValueError, match="confidence should be from 0 to 1"):
        score_prediction(mode, confidence, num_inliers=1, is_verified=True, full_inliers=35)


def test_softmax_rounded_one_step_above_one_is_accepted():
    one_step_above = 1.0 + 2.0**-23  # the next float32
    assert decision_score(one_step_above, is_verified=True) == one_step_above


def test_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"num_inliers should be at least 0\. Received: -1"):
        fused_score(0.5, -1, full_inliers=35)
    with pytest.raises(ValueError, match=r"full_inliers should be at least 1\. Received: 0"):
        fused_score(0.5, 1, full_inliers=0)


# An image's three candidates: confident but without inliers, verified, and verified with fewer.
THREE = [Candidate(0.6, 7, False), Candidate(0.3, 40, True), Candidate(0.1, 36, True)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("classifier", (0, 0.6)),  # the first, whatever was verified
        ("decision", (1, 0.3)),  # the most confident that was verified
        ("fused", (1, 1.3)),  # 0.6 + 0.2, 0.3 + 1, 0.1 + 1
    ],
)
def test_best_scoring_candidate_is_the_answer(mode, expected):
    place, score = choose_candidate(mode, THREE, full_inliers=35)
    assert (place, score) == (expected[0], pytest.approx(expected[1]))


def test_first_of_equal_candidates_is_the_answer_and_none_where_nothing_is_said():
    assert choose_candidate("fused", [Candidate(0.5, 7, False)] * 3, full_inliers=35)[0] == 0
    assert choose_candidate("decision", THREE[:1], full_inliers=35) is None
    assert choose_candidate("fused", [], full_inliers=35) is None
