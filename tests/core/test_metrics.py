"""GAP, top-1 and precision by rank: examples worked out by hand, and a second implementation on random cases."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from landmark_spark.core.metrics import (
    Prediction,
    evaluate,
    global_average_precision,
    precision_at_ranks,
    top1_accuracy,
)

SOLUTION = {"a": frozenset({1}), "b": frozenset({2}), "c": frozenset(), "d": frozenset({3, 4})}


def test_gap_of_a_ranking_worked_out_by_hand():
    # rank 1 a right (P = 1/1), rank 2 c wrong, rank 3 b right (P = 2/3), rank 4 d wrong; 3 images show a landmark.
    predictions = [
        Prediction("b", 2, 0.5),
        Prediction("c", 9, 0.7),
        Prediction("d", 1, 0.1),
        Prediction("a", 1, 0.9),
    ]
    assert global_average_precision(predictions, SOLUTION) == pytest.approx((1 + 2 / 3) / 3)
    assert precision_at_ranks(predictions, SOLUTION) == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert evaluate(predictions, SOLUTION) == {
        "gap": pytest.approx(5 / 9),
        "top1": pytest.approx(2 / 3),
        "num_predictions": 4,
        "num_positives": 3,
    }


def test_perfect_answers_give_one():
    predictions = [Prediction("a", 1, 0.2), Prediction("b", 2, 0.3), Prediction("d", 4, 0.1)]
    assert global_average_precision(predictions, SOLUTION) == 1.0
    assert top1_accuracy(predictions, SOLUTION) == 1.0


def test_any_of_several_true_landmarks_is_right():
    for landmark_id in (3, 4):
        assert global_average_precision([Prediction("d", landmark_id, 0.5)], SOLUTION) == pytest.approx(1 / 3)


def test_several_predictions_of_one_image_each_take_a_rank():
    # a: 7 (wrong), then 1 (right, P = 1/2), then b right (P = 2/3).
    predictions = [Prediction("a", 7, 0.9), Prediction("a", 1, 0.8), Prediction("b", 2, 0.7)]
    assert global_average_precision(predictions, SOLUTION) == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert top1_accuracy(predictions, SOLUTION) == pytest.approx(1 / 3)  # of a the best-ranked is wrong


def test_equal_scores_are_ranked_by_the_characters_of_the_id():
    # "a10" stands before "a9": right first gives P = 1, wrong first would give 1/2.
    solution = {"a9": frozenset(), "a10": frozenset({1})}
    predictions = [Prediction("a9", 1, 0.5), Prediction("a10", 1, 0.5)]
    assert global_average_precision(predictions, solution) == 1.0
    swapped = {"a9": frozenset({1}), "a10": frozenset()}
    assert global_average_precision(predictions, swapped) == 0.5


def test_equal_scores_of_one_image_are_ranked_by_landmark_number():
    # 9 stands before 10 as a number, after it as text.
    predictions = [Prediction("a", 10, 0.5), Prediction("a", 9, 0.5)]
    assert global_average_precision(predictions, {"a": frozenset({9})}) == 1.0
    assert global_average_precision(predictions, {"a": frozenset({10})}) == 0.5
    assert top1_accuracy(predictions, {"a": frozenset({10})}) == 0.0


def test_images_that_are_not_in_the_solution_do_not_count():
    known = [Prediction("a", 1, 0.5), Prediction("b", 1, 0.4)]
    unknown = [Prediction("x", 1, 0.9), Prediction("y", 2, 0.45)]
    assert evaluate(known + unknown, SOLUTION) == evaluate(known, SOLUTION)
    assert evaluate(known + unknown, SOLUTION)["num_predictions"] == 2


def test_no_predictions_give_zero():
    assert evaluate([], SOLUTION) == {"gap": 0.0, "top1": 0.0, "num_predictions": 0, "num_positives": 3}
    assert precision_at_ranks([], SOLUTION).shape == (0,)
    assert precision_at_ranks([], SOLUTION).dtype == np.float64


@pytest.mark.parametrize("solution", [{}, {"a": frozenset()}])
def test_solution_without_positives_is_refused(solution):
    for score in (global_average_precision, top1_accuracy, evaluate):
        with pytest.raises(ValueError, match=f"should have an image that shows a landmark.*among {len(solution)} "):
            score([Prediction("a", 1, 0.5)], solution)
    assert precision_at_ranks([], solution).shape == (0,)


@pytest.mark.parametrize("image_id", ["a", "not in the solution"])
def test_score_that_is_no_number_is_refused(image_id):
    with pytest.raises(ValueError, match=f"score should be a number. Received: nan for image {image_id}"):
        evaluate([Prediction(image_id, 1, math.nan)], SOLUTION)


def test_same_landmark_twice_for_one_image_is_refused():
    with pytest.raises(ValueError, match="landmark 1 should be predicted once for image a"):
        global_average_precision([Prediction("a", 1, 0.5), Prediction("a", 1, 0.4)], SOLUTION)


def _brute_force_gap(predictions, solution):
    """Sum, over the right predictions, the share of right ones among those that do not stand below: no sorting."""

    def stands_above(first, second):
        if first.score != second.score:
            return first.score > second.score
        if first.id != second.id:
            return first.id < second.id
        return first.landmark_id < second.landmark_id

    counted = [each for each in predictions if each.id in solution]
    total = 0.0
    for each in counted:
        if each.landmark_id not in solution[each.id]:
            continue
        above = [other for other in counted if other is each or stands_above(other, each)]
        total += sum(other.landmark_id in solution[other.id] for other in above) / len(above)
    return total / sum(1 for landmarks in solution.values() if landmarks)


@pytest.mark.parametrize("seed", range(30))
def test_gap_equals_a_second_implementation_on_random_cases(seed):
    draw = random.Random(seed)
    ids = [str(number) for number in range(12)]
    solution = {image_id: frozenset(draw.sample(range(4), draw.choice([0, 1, 1, 2]))) for image_id in ids[:10]}
    solution["0"] = frozenset({0})
    pairs = [(image_id, landmark_id) for image_id in ids for landmark_id in range(4)]
    predictions = [Prediction(*pair, draw.choice([0.1, 0.2, 0.3])) for pair in draw.sample(pairs, 25)]  # many ties
    assert global_average_precision(predictions, solution) == pytest.approx(_brute_force_gap(predictions, solution))
    shuffled = draw.sample(predictions, len(predictions))
    assert evaluate(shuffled, solution) == evaluate(predictions, solution)
