"""Fused evidence: odds by hand, weights as copies, what is held out, the best candidate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from landmark_spark.core.evidence_fusion import Fusion, choose_best, cross_fit, fit_fusion

ALMOST_NONE = 1e-12


def _yes_and_no(*counts):
    """Evidence 1 and 0, each right and wrong so many times: (right at 1, wrong at 1, right at 0, wrong at 0)."""
    evidence = np.repeat([1.0, 1.0, 0.0, 0.0], counts)[:, None]
    return evidence, np.repeat([True, False, True, False], counts)


def test_the_odds_are_those_that_were_counted():
    fusion = fit_fusion(["verified"], *_yes_and_no(3, 1, 2, 8), penalty=ALMOST_NONE)
    odds = fusion.score(np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(odds, [np.log(3), np.log(2 / 8)], atol=1e-4)


def test_evidence_that_never_changes_leaves_the_odds_of_all():
    fusion = fit_fusion(["constant"], np.full((5, 1), 7.0), np.array([True, False, False, False, False]))
    assert fusion.weights[0] == pytest.approx(0, abs=1e-9)
    assert fusion.score(np.array([[7.0]]))[0] == pytest.approx(np.log(1 / 4), abs=1e-6)


def test_an_example_of_weight_3_stands_for_three():
    evidence, is_right = _yes_and_no(3, 1, 2, 8)
    once, right = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([True, False, True, False])
    weighted = fit_fusion(["x"], once, right, example_weights=np.array([3.0, 1.0, 2.0, 8.0]))
    copied = fit_fusion(["x"], evidence, is_right)
    np.testing.assert_allclose(weighted.score(once), copied.score(once), atol=1e-6)


def test_the_unit_of_the_evidence_does_not_count():
    random = np.random.default_rng(0)
    evidence = random.normal(size=(60, 2))
    is_right = evidence[:, 0] + random.normal(size=60) > 0
    first = fit_fusion(["a", "b"], evidence, is_right).score(evidence)
    second = fit_fusion(["a", "b"], evidence * [100, 0.1] + [5, -3], is_right).score(evidence * [100, 0.1] + [5, -3])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_gradient_is_none_at_the_weights_found():
    random = np.random.default_rng(1)
    evidence = random.normal(size=(80, 3)) * [1, 5, 0.2] + [0, 2, 1]
    is_right = evidence @ [1, 0.2, 2] + random.normal(size=80) > 2
    fusion = fit_fusion(["a", "b", "c"], evidence, is_right, penalty=0.01)
    shares = 1 / (1 + np.exp(-fusion.score(evidence)))
    standard = (evidence - evidence.mean(axis=0)) / evidence.std(axis=0)
    np.testing.assert_allclose(standard.T @ (shares - is_right) / 80 + 0.01 * fusion.weights, 0, atol=1e-6)
    assert shares.mean() == pytest.approx(is_right.mean(), abs=1e-6)  # that of the intercept


def test_what_tells_all_right_from_all_wrong_has_a_finite_weight():
    evidence = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    fusion = fit_fusion(["x"], evidence, evidence[:, 0] > 0, penalty=1e-3)
    odds = fusion.score(evidence)
    assert np.isfinite(odds).all() and (np.diff(odds) > 0).all()


def test_what_is_held_out_is_scored_by_what_the_others_taught():
    evidence, is_right = _yes_and_no(6, 4, 3, 7)
    folds = np.arange(len(evidence)) % 2
    odds = cross_fit(["x"], evidence, is_right, folds)
    for fold in (0, 1):
        taught = fit_fusion(["x"], evidence[folds != fold], is_right[folds != fold])
        np.testing.assert_array_equal(odds[folds == fold], taught.score(evidence[folds == fold]))
    assert not np.allclose(odds, fit_fusion(["x"], evidence, is_right).score(evidence))


def test_the_best_candidate_of_each_image_and_of_equal_ones_the_earlier():
    images = np.array([5, 2, 5, 2, 9, 5])
    scores = np.array([0.1, 0.4, 0.7, 0.4, -3.0, 0.7])
    assert choose_best(images, scores).tolist() == [1, 2, 4]


def test_it_comes_back_from_json():
    fusion = fit_fusion(["verified"], *_yes_and_no(3, 1, 2, 8))
    again = Fusion.from_json(json.loads(json.dumps(fusion.to_json())))
    evidence = np.array([[0.0], [1.0], [0.5]])
    np.testing.assert_array_equal(again.score(evidence), fusion.score(evidence))
    assert again.names == ("verified",)
    with pytest.raises(ValueError, match="intercept and evidence"):
        Fusion.from_json({"intercept": 1.0})


def test_what_does_not_fit_is_refused():
    evidence, is_right = _yes_and_no(1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"evidence should be \(4, 2\), weights \(4,\). Received: \(4, 1\)"):
        fit_fusion(["x", "y"], evidence, is_right)
    with pytest.raises(ValueError, match="some of each. Received: 4 of 4 right"):
        fit_fusion(["x"], evidence, np.ones(4, bool))
    with pytest.raises(ValueError, match="should be finite"):
        fit_fusion(["x"], evidence * np.nan, is_right)
    with pytest.raises(ValueError, match=r"evidence should be \(N, 1\). Received: \(4, 2\)"):
        fit_fusion(["x"], evidence, is_right).score(np.ones((4, 2)))
