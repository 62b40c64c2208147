import pytest

from landmark_spark.report.evidence import Judged, answers_of, choose_examples, evaluate_modes, verdict_of

SOLUTION = {"a": frozenset({1}), "b": frozenset({2}), "c": frozenset()}


def judged(image_id, landmark_id, score, num_inliers, reference="r"):
    return Judged(image_id, landmark_id, score, num_inliers, num_inliers > 35, reference)


ALL = [judged("a", 1, 0.5, 70), judged("b", 9, 0.8, 7), judged("c", 1, 0.6, 0, None), judged("d", 3, 0.1, 30)]


def test_each_mode_is_measured_from_the_plainest_on():
    modes = evaluate_modes(ALL, SOLUTION, full_inliers=35)
    assert list(modes) == ["classifier", "decision", "fused"]
    # Two images show a landmark. Alone: b wrong, c nothing there, a right at rank 3: (1/3) / 2.
    assert modes["classifier"]["gap"] == pytest.approx(1 / 6)
    # Verified: a alone, right at rank 1: 1 / 2. Fused: a 1.5, b 1.0, c 0.6: 1 / 2.
    assert modes["decision"] == {"gap": 0.5, "top1": 0.5, "num_predictions": 1, "num_positives": 2}
    assert modes["fused"]["gap"] == 0.5


def test_verdicts_are_those_of_the_solution():
    assert [verdict_of(each, SOLUTION) for each in ALL] == ["right", "wrong", "no landmark", "unknown"]


def test_an_image_is_shown_once_and_only_where_it_was_compared():
    chosen = choose_examples(ALL, SOLUTION, min_inliers=35, count=1)
    # b: confident and wrong; d: 30 is nearest to the threshold; a: verified; nothing is left to be rejected.
    assert {kind: [each.id for each in group] for kind, group in chosen.items()} == {
        "accepted": ["a"],
        "rejected": [],
        "borderline": ["d"],
        "confident_wrong": ["b"],
    }


def test_of_several_candidates_an_image_has_one_answer_in_each_mode():
    # a: 9 is predicted first, 1 is verified. Fused: 0.6 + 0.2 against 0.3 + 1.
    both = [judged("a", 9, 0.6, 7), judged("a", 1, 0.3, 70), judged("b", 2, 0.5, 0, None)]
    modes = evaluate_modes(both, SOLUTION, full_inliers=35)
    # Classifier: a wrong at 0.6, b right at rank 2: (1/2) / 2. Decision: a right alone. Fused: a 1.3, b 0.5: both.
    assert [modes[mode]["gap"] for mode in ("classifier", "decision", "fused")] == [0.25, 0.5, 1.0]
    assert [modes[mode]["num_predictions"] for mode in ("classifier", "decision", "fused")] == [2, 1, 2]
    for mode, expected in [("classifier", [9, 2]), ("decision", [1, 2]), ("fused", [1, 2])]:
        assert [each.landmark_id for each in answers_of(both, mode, full_inliers=35)] == expected
