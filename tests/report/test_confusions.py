from landmark_spark.report.confusions import most_confused, most_imagined
from landmark_spark.report.data import Confusion
from landmark_spark.report.evidence import Judged

SOLUTION = {
    "a": frozenset({1}),
    "b": frozenset({1}),
    "c": frozenset({2}),
    "d": frozenset({3, 4}),
    "e": frozenset({1}),
    "x": frozenset(),
    "y": frozenset(),
    "z": frozenset(),
}
NAMES = {1: "Old Mill", 2: "New Mill", 3: "Tower", 4: ""}


def answers(**landmarks):
    return [Judged(image, landmark, 0.5, 0, False, None) for image, landmark in landmarks.items()]


def test_pairs_are_counted_and_the_most_frequent_come_first():
    found = most_confused(answers(a=2, b=2, c=1, e=1, x=1, unknown=2), SOLUTION, NAMES, count=9)
    assert found == (Confusion("Old Mill", "New Mill", 2), Confusion("New Mill", "Old Mill", 1))


def test_a_photo_of_several_landmarks_counts_once_and_names_them_all():
    assert most_confused(answers(d=1), SOLUTION, NAMES, count=9) == (Confusion("Tower or landmark 4", "Old Mill", 1),)
    assert most_confused(answers(d=4), SOLUTION, NAMES, count=9) == ()


def test_equal_counts_go_by_number_and_no_more_than_wanted_are_returned():
    assert most_confused(answers(c=1, a=3, b=2), SOLUTION, NAMES, count=2) == (
        Confusion("Old Mill", "New Mill", 1),
        Confusion("Old Mill", "Tower", 1),
    )


def test_landmarks_answered_for_photos_of_none_are_counted():
    found = most_imagined(answers(x=2, y=2, z=9, a=2, unknown=2), SOLUTION, NAMES, count=9)
    assert found == (("New Mill", 2), ("landmark 9", 1))
    assert most_imagined(answers(x=2, z=9), SOLUTION, NAMES, count=1) == (("New Mill", 1),)


def test_without_a_solution_nothing_is_known_to_be_wrong():
    assert most_confused(answers(a=2), {}, NAMES, count=9) == ()
    assert most_imagined(answers(x=2), {}, NAMES, count=9) == ()
