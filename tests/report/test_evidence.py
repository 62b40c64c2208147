import pytest

from landmark_spark.report.evidence import Judged, choose_examples, evaluate_modes, verdict_of

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
