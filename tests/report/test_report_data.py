import numpy as np
import pytest

from landmark_spark.report.data import Example, InlierSample, ScoreSample

JPEG = b"\xff\xd8\xff\xe0"


def example(**changes):
    values = {
        "kind": "accepted",
        "test_id": "t1",
        "landmark_id": 7,
        "landmark_name": "",
        "confidence": 0.5,
        "num_inliers": 40,
        "reference_id": "r1",
        "verdict": "right",
        "picture": JPEG,
    }
    return Example(**(values | changes))


def test_groups_names_only_the_arrays_that_have_values_in_a_fixed_order():
    sample = ScoreSample(no_landmark=np.array([0.1]), right=np.array([0.9, 0.8]))
    assert list(sample.groups()) == ["right", "no landmark"]
    assert ScoreSample().groups() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "<script>"}, "kind should be one of accepted, borderline, rejected, confident_wrong"),
        ({"verdict": '"><img onerror=alert(1)>'}, "verdict should be one of right, wrong, no landmark, unknown"),
        ({"picture": b"\x89PNG"}, "picture should be a JPEG"),
    ],
)
def test_an_example_refuses_words_and_pictures_that_the_page_does_not_know(changes, message):
    with pytest.raises(ValueError, match=message):
        example(**changes)


@pytest.mark.parametrize("values", [np.array([0.5, np.nan]), np.array([np.inf]), np.array([[0.5]]), np.array([-0.1])])
def test_scores_are_one_row_of_finite_numbers_from_zero(values):
    with pytest.raises(ValueError, match="right should"):
        ScoreSample(right=values)


def test_scores_without_a_solution_stand_alone():
    with pytest.raises(ValueError, match="all should stand alone"):
        ScoreSample(right=np.array([0.5]), all=np.array([0.5]))


def test_a_negative_threshold_is_refused():
    with pytest.raises(ValueError, match="min_inliers should be at least 0. Received: -1"):
        InlierSample(min_inliers=-1)
