"""Frequent answers: factors by hand, what is refused."""

import numpy as np
import pytest

from landmark_spark.core.suppression import hold_back


def test_a_landmark_that_is_the_answer_too_often_is_weighed_down():
    scores = np.array([0.8, 0.4, 0.6, 0.2, 0.9])
    landmark_ids = np.array([7, 7, 7, 5, 7])  # four times 7, where two are expected at most
    np.testing.assert_allclose(hold_back(scores, landmark_ids, 2), [0.4, 0.2, 0.3, 0.2, 0.45])
    assert hold_back(scores, landmark_ids, 4).tolist() == scores.tolist()


def test_no_answers_stay_none():
    assert hold_back(np.zeros(0), np.zeros(0, np.int64), 1).tolist() == []


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"Received: \(2,\) and \(1,\)"):
        hold_back(np.zeros(2), np.zeros(1, np.int64), 1)
    with pytest.raises(ValueError, match="max_answers should be at least 1"):
        hold_back(np.zeros(1), np.zeros(1, np.int64), 0)
    with pytest.raises(ValueError, match="scores at least 0. Received: 3, -1.0"):
        hold_back(np.array([-1.0]), np.zeros(1, np.int64), 3)
