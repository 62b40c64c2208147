import pytest

from landmark_spark.core.fusion import MODES
from landmark_spark.report.evidence import (
    Judged,
    answers_of,
    choose_examples,
    evaluate_modes,
    predictions_of,
    several_landmarks,
    verdict_of,
)

SOLUTION = {"a": frozenset({1}), "b": frozenset({2}), "c": frozenset()}


def judged(image_id, landmark_id, score, num_inliers, reference="r"):
    return Judged(image_id, landmark_id, score, num_inliers, num_inliers > 35, reference)


ALL = [judged("a", 1, 0.5, 70), judged("b", 9, 0.8, 7), judged("c", 1, 0.6, 0, None), judged("d", 3, 0.1, 30)]


def made_of(some):
    return {mode: predictions_of(some, mode, full_inliers=35) for mode in MODES}


def test_each_mode_is_measured_from_the_plainest_on():
    modes = evaluate_modes(made_of(ALL), SOLUTION)
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
    # b: wrong; d: the most confident of the others that are not verified; a: verified; nothing is left near 35.
    assert {kind: [each.id for each in group] for kind, group in chosen.items()} == {
        "accepted": ["a"],
        "borderline": [],
        "rejected": ["d"],
        "confident_wrong": ["b"],
    }


def test_few_images_are_shared_out_between_the_kinds():
    # All are near 35, as 35 and 36 equally are; four are verified. In turn: b, g, a; then nothing, f, d.
    several = [
        judged(name, 1, score, count)
        for name, score, count in zip("abdefg", (0.1, 0.9, 0.5, 0.5, 0.5, 0.5), (35, 30, 36, 62, 63, 64), strict=True)
    ]
    chosen = choose_examples(several, {}, min_inliers=35, count=2)
    assert {kind: "".join(each.id for each in group) for kind, group in chosen.items()} == {
        "accepted": "gf",
        "borderline": "ad",
        "rejected": "b",
        "confident_wrong": "",
    }


def test_an_image_far_from_the_threshold_is_no_borderline_case():
    # Half of 35 is 17.5 and twice 70: 17 and 71 are too far, 18 and 70 are not.
    counted = [judged(f"i{count}", 1, 0.5, count) for count in (17, 18, 70, 71)]
    chosen = choose_examples(counted, {}, min_inliers=35, count=9)
    assert [each.id for each in chosen["borderline"]] == ["i18"]  # i70 is shown as accepted, after i71
    assert [each.id for each in chosen["accepted"]] == ["i71", "i70"]
    assert [each.id for each in chosen["rejected"]] == ["i17"]


def test_of_several_candidates_an_image_has_one_answer_in_each_mode():
    # a: 9 is predicted first, 1 is verified. Fused: 0.6 + 0.2 against 0.3 + 1.
    both = [judged("a", 9, 0.6, 7), judged("a", 1, 0.3, 70), judged("b", 2, 0.5, 0, None)]
    modes = evaluate_modes(made_of(both), SOLUTION)
    # Classifier: a wrong at 0.6, b right at rank 2: (1/2) / 2. Decision: a right alone. Fused: a 1.3, b 0.5: both.
    assert [modes[mode]["gap"] for mode in ("classifier", "decision", "fused")] == [0.25, 0.5, 1.0]
    assert [modes[mode]["num_predictions"] for mode in ("classifier", "decision", "fused")] == [2, 1, 2]
    for mode, expected in [("classifier", [9, 2]), ("decision", [1, 2]), ("fused", [1, 2])]:
        assert [each.landmark_id for each in answers_of(both, mode, full_inliers=35)] == expected


def test_images_with_several_verified_landmarks_are_listed_those_with_the_most_first():
    def candidate(name, landmark, inliers):
        return Judged(name, landmark, 0.5, inliers, inliers > 35, "r")

    judged = [
        *(candidate("a", landmark, inliers) for landmark, inliers in ((1, 40), (2, 60), (3, 10))),
        candidate("b", 1, 90),
        *(candidate("c", landmark, 50 + landmark) for landmark in (1, 2, 3)),
    ]
    found = several_landmarks(judged, {1: "Tower", 2: ""}, count=5)
    assert found == [("c", [("3", 53), ("2", 52), ("Tower", 51)]), ("a", [("2", 60), ("Tower", 40)])]
    assert several_landmarks(judged, {}, count=1) == [("c", [("3", 53), ("2", 52), ("1", 51)])]
