import numpy as np
import pytest

from landmark_spark.core.ladder import Step, TestCandidates, climb, learned_steps
from landmark_spark.core.learned_fusion import Examples
from landmark_spark.core.metrics import Prediction

SOLUTION = {"a": frozenset({1}), "b": frozenset({2}), "c": frozenset()}


def test_gains_are_over_the_step_before_and_worked_out_by_hand():
    # Ranked c (wrong), a (right): 1/2 of two positives = 0.25. Then a, b, c: (1 + 1) / 2 = 1.
    first = Step("plain", [Prediction("c", 1, 0.9), Prediction("a", 1, 0.5)])
    second = Step("+ more", [Prediction("a", 1, 0.9), Prediction("b", 2, 0.5), Prediction("c", 1, 0.1)], 0.75)
    one, two = climb([first, second], SOLUTION, num_samples=200)
    assert (one.name, one.gap.value, one.gain, one.top1, one.cross_validated) == ("plain", 0.25, None, 0.5, None)
    assert (two.gap.value, two.gain.value, two.top1, two.cross_validated) == (1.0, 0.75, 1.0, 0.75)
    assert two.gain.low <= 0.75 <= two.gain.high
    assert (two.gap.low, two.gap.high) == (1.0, 1.0)  # right on every draw


def examples(count=40):
    """Images that play: of the even ones the first of two candidates is right; ``b`` tells it better than ``a``."""
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(count), 2)
    shows = images % 2 == 0
    is_right = shows & (np.arange(2 * count) % 2 == 0)
    evidence = {
        "a": is_right + random.normal(0, 0.8, 2 * count),
        "b": is_right + random.normal(0, 0.1, 2 * count),
        "none": np.zeros(2 * count),
    }
    return Examples(images, shows, is_right, images // 2 % 2, evidence)


def test_each_technique_adds_its_evidence_and_one_without_any_is_left_out():
    tests = TestCandidates(
        ["x", "x", "y"],
        np.array([1, 2, 1]),
        {"a": np.array([0.9, 0.1, 0.5]), "b": np.array([0.0, 1.0, 0.2]), "none": np.zeros(3)},
    )
    techniques = (("first", ("a",)), ("empty", ("none",)), ("second", ("b",)))
    one, two = learned_steps(examples(), tests, penalty=1e-3, non_landmark_share=0.5, techniques=techniques)
    assert (one.name, two.name) == ("first", "+ second")
    assert [(each.id, each.landmark_id) for each in one.predictions] == [("x", 1), ("y", 1)]
    assert [(each.id, each.landmark_id) for each in two.predictions] == [("x", 2), ("y", 1)]
    assert two.cross_validated > one.cross_validated
    assert two.cross_validated == pytest.approx(1.0, abs=0.02)


def test_without_test_images_there_are_no_predictions():
    nothing = TestCandidates([], np.zeros(0, np.int64), {"b": np.zeros(0)})
    (step,) = learned_steps(examples(), nothing, penalty=1e-3, non_landmark_share=0.5, techniques=(("b", ("b",)),))
    assert step.predictions == []
