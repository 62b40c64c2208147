import json
import math

import pytest

from landmark_spark.report.chart import Chart, Column, Series, Threshold


def chart(**changes):
    values = {
        "name": "some",
        "title": "Some",
        "summary": "What it shows.",
        "kind": "intervals",
        "heading": "step",
        "points": ["one", "two"],
        "series": [
            Series("GAP", [0.42126, math.nan], digits=4, low=[0.4, math.nan], high=[0.5, math.nan]),
            Series("photos", [1234567, 2], "grey"),
        ],
        "axis": "GAP",
    }
    return Chart(**(values | changes))


def test_the_table_has_each_series_with_its_interval_and_then_what_is_not_drawn():
    columns = chart(extra=[Column("more", ["x", "y"])]).columns()
    assert [(each.heading, list(each.texts)) for each in columns] == [
        ("GAP", ["0.4213", ""]),
        ("95 % from", ["0.4000", ""]),
        ("to", ["0.5000", ""]),
        ("photos", ["1,234,567", "2"]),
        ("more", ["x", "y"]),
    ]


def test_a_script_is_told_which_column_of_the_table_each_series_has():
    found = chart().to_json()
    assert [each["column"] for each in found["series"]] == [0, 3]
    assert found["series"][0]["values"] == [0.42126, None]  # JSON has no NaN
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))


def test_a_script_is_told_the_threshold_and_what_the_legend_says():
    found = chart(
        threshold=Threshold(35.5, "more than 35"), series=[Series("loss, held out", [1, 2], legend="held out")]
    )
    json_text = found.to_json()
    assert json_text["threshold"] == {"value": 35.5, "text": "more than 35"}
    assert json_text["series"][0]["legend"] == "held out"
    assert chart().to_json()["series"][1]["legend"] == "photos"


def test_what_a_terminal_or_a_page_would_obey_is_replaced_in_what_a_script_draws():
    assert chart(points=["a\nb\x00", "\u202etxt"]).to_json()["points"] == ["a\ufffdb\ufffd", "\ufffdtxt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": []}, "some should not be empty"),
        ({"series": []}, "some should not be empty"),
        ({"series": [Series("GAP", [1.0])]}, r"some should have 2 values a row. Received: \[1, 1\]"),
        ({"kind": "lines", "places": [1]}, "some should have 2 values a row"),
        ({"extra": [Column("more", ["x"])]}, "some should have 2 values a row"),
    ],
)
def test_a_chart_whose_rows_do_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        chart(**changes)


def test_a_colour_is_one_that_the_page_has():
    with pytest.raises(
        ValueError, match="color should be one of blue, vermilion, green, purple, grey. Received: 'red'"
    ):
        Series("GAP", [1.0], "red")
