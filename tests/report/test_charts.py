import numpy as np
import pytest

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.ladder import Rung
from landmark_spark.report.charts import (
    confusion_chart,
    gain_chart,
    imagined_chart,
    inlier_chart,
    ladder_chart,
    precision_chart,
    score_chart,
)
from landmark_spark.report.data import Confusion, InlierSample, ScoreSample

FIRST = Rung("classifier", Interval(0.5, 0.4, 0.6), None, 0.25, None)
SECOND = Rung("+ fused", Interval(0.75, 0.7, 0.8), Interval(0.25, 0.125, 0.375), 0.5, 0.625)
THIRD = Rung("+ more", Interval(0.74, 0.7, 0.8), Interval(-0.01, -0.05, 0.03), 0.5, 0.6)


def table(chart):
    """The table of a chart: each row as the texts of its cells."""
    columns = [each.texts for each in chart.columns()]
    return [(point, *cells) for point, *cells in zip(chart.points, *columns, strict=True)]


def heads(chart):
    return [each.heading for each in chart.columns()]


def test_the_ladder_has_each_gap_with_its_interval_and_the_cross_validated_one():
    chart = ladder_chart([FIRST, SECOND])
    assert heads(chart) == ["GAP", "95 % from", "to", "GAP, cross-validated on training images", "top-1"]
    assert table(chart) == [
        ("classifier", "0.5000", "0.4000", "0.6000", "", "0.2500"),
        ("+ fused", "0.7500", "0.7000", "0.8000", "0.6250", "0.5000"),
    ]
    assert "0.5000 (classifier) to 0.7500 (+ fused)" in chart.summary


def test_a_ladder_without_a_cross_validated_gap_has_no_column_for_it():
    assert heads(ladder_chart([FIRST])) == ["GAP", "95 % from", "to", "top-1"]


def test_gains_begin_with_the_second_step_and_a_line_stands_at_zero():
    chart = gain_chart([FIRST, SECOND, THIRD])
    assert table(chart) == [("+ fused", "0.2500", "0.1250", "0.3750"), ("+ more", "-0.0100", "-0.0500", "0.0300")]
    assert chart.threshold.value == 0
    assert chart.summary.endswith("Above zero with all of it: + fused.")


def test_precision_is_told_at_the_first_ranks_at_each_curves_end_and_between():
    chart = precision_chart({"fused": np.linspace(1, 0.25, 1000), "short": np.array([1.0, 0.5, 1 / 3])})
    assert {1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000} <= set(chart.places)
    assert table(chart)[:3] == [("1", "1.0000", "1.0000"), ("2", "0.9992", "0.5000"), ("3", "0.9985", "0.3333")]
    assert table(chart)[-1] == ("1,000", "0.2500", "")
    assert chart.summary.endswith("fused 0.250 at 1,000, short 0.333 at 3.")


def test_a_curve_of_a_million_ranks_is_told_at_less_than_a_hundred():
    assert len(precision_chart({"fused": np.ones(1_000_000)}).points) < 100


def test_scores_stand_in_forty_bins_of_which_each_score_is_in_one():
    chart = score_chart(ScoreSample(right=np.array([0.5, 0.9, 0.7, 1.0]), wrong=np.array([0.25])))
    assert len(chart.points) == 40
    assert [sum(each.values) for each in chart.series] == [4, 1]
    assert table(chart)[10] == ("0.250 to 0.275", "0", "1")
    assert table(chart)[39] == ("0.975 to 1.000", "1", "0")
    assert chart.summary.endswith("Median: right 0.80 (4 images), wrong 0.25 (1 image).")
    assert list(chart.panels) == ["right: 4", "wrong: 1"]


def test_scores_above_one_widen_the_bins():
    chart = score_chart(ScoreSample(all=np.array([0.1, 2.0])))
    assert chart.limits == (0.0, 2.0)
    assert chart.points[-1] == "1.950 to 2.000"


def test_inliers_far_beyond_the_threshold_are_in_the_last_bar_of_forty():
    chart = inlier_chart(InlierSample(35, right=np.array([35, 36, 5000]), no_landmark=np.array([0])))
    assert len(chart.points) == 40
    assert chart.points[0] == "0 to 3"  # bars of 4, of which one ends with 35
    assert chart.points[8:10] == ["32 to 35", "36 to 39"]
    assert table(chart)[8:10] == [("32 to 35", "1", "0"), ("36 to 39", "1", "0")]
    assert table(chart)[39] == ("156 and more", "1", "0")
    assert table(chart)[0] == ("0 to 3", "0", "1")
    assert chart.summary.endswith("Images with more than 35: right 2 of 3, no landmark 0 of 1.")
    assert chart.threshold.value == 35.5


@pytest.mark.parametrize("threshold", [0, 1, 3, 30, 35, 44])
def test_an_image_at_the_threshold_and_one_above_it_are_on_two_sides_of_the_line(threshold):
    chart = inlier_chart(InlierSample(threshold, all=np.array([threshold, threshold + 1])))
    below, above = (place for place, count in zip(chart.places, chart.series[0].values, strict=True) if count)
    assert below < threshold + 0.5 < above
    assert chart.places[1] - chart.places[0] == pytest.approx(above - below)  # neighbours
    assert chart.limits[1] > chart.threshold.value


def test_few_inliers_have_a_bar_each():
    chart = inlier_chart(InlierSample(3, all=np.array([0, 1, 1, 5])))
    assert table(chart) == [("0", "1"), ("1", "2"), ("2", "0"), ("3", "0"), ("4", "0"), ("5", "1"), ("6", "0")]


def test_confusions_name_both_landmarks():
    chart = confusion_chart([Confusion("Old Mill", "New Mill", 3), Confusion("A", "B", 1)])
    assert table(chart) == [("Old Mill → New Mill", "3"), ("A → B", "1")]
    assert chart.summary.endswith("Most often: Old Mill → New Mill.")


def test_landmarks_seen_where_there_is_none_are_told():
    assert table(imagined_chart([("Old Mill", 7), ("B", 2)])) == [("Old Mill", "7"), ("B", "2")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ladder_chart([]),
        lambda: gain_chart([FIRST]),
        lambda: precision_chart({"fused": np.zeros(0)}),
        lambda: score_chart(ScoreSample()),
        lambda: inlier_chart(InlierSample(35)),
        lambda: confusion_chart([]),
        lambda: imagined_chart([]),
    ],
)
def test_a_chart_of_nothing_is_refused(draw):
    with pytest.raises(ValueError, match="should not be empty"):
        draw()
