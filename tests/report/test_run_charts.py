import math

import numpy as np
import pytest

from landmark_spark.report.run_charts import (
    class_size_chart,
    download_chart,
    has_measures,
    host_chart,
    time_chart,
    training_chart,
)


def table(chart):
    """The table of a chart: each row as the texts of its cells."""
    columns = [each.texts for each in chart.columns()]
    return [(point, *cells) for point, *cells in zip(chart.points, *columns, strict=True)]


def training(history):
    return training_chart(history, name="training", title="The top model")


def test_training_has_a_panel_for_each_measure_and_says_where_it_ended():
    history = {"loss": [2.0, 1.5], "val_loss": [2.25, math.nan], "accuracy": [0.3, 0.625], "learning_rate": [1.0, 1.0]}
    chart = training(history)
    assert list(chart.panels) == ["loss", "accuracy"]
    assert [(each.name, each.panel, each.dash) for each in chart.series] == [
        ("loss, training", 0, 0),
        ("loss, held out", 0, 1),
        ("accuracy, training", 1, 0),
    ]
    assert table(chart) == [("1", "2.0000", "2.2500", "0.3000"), ("2", "1.5000", "", "0.6250")]
    assert chart.summary.endswith("of 2: loss training 1.500, loss held out nan, accuracy training 0.625.")


def test_a_measure_of_held_out_images_alone_is_shown_too():
    chart = training({"loss": [2.0], "val_gap": [0.25]})
    assert list(chart.panels) == ["loss", "GAP"]
    assert table(chart) == [("1", "2.0000", "0.2500")]


def test_of_ten_thousand_epochs_two_hundred_are_shown_the_first_and_the_last_among_them():
    chart = training({"loss": list(range(10_000))})
    assert len(chart.points) == 200
    assert table(chart)[0] == ("1", "0.0000")
    assert table(chart)[-1] == ("10000", "9,999.0000")


@pytest.mark.parametrize(
    ("history", "expected"),
    [({}, False), ({"learning_rate": [1.0]}, False), ({"loss": []}, False), ({"val_gap": [0.5]}, True)],
)
def test_a_history_is_shown_where_it_has_a_measure(history, expected):
    assert has_measures(history) is expected


def test_downloads_put_rare_statuses_into_one_bar():
    chart = download_chart({"ok": 1000} | {f"http_{400 + place}": 20 - place for place in range(14)})
    rows = table(chart)
    assert rows[0] == ("ok", "1,000")
    assert rows[10] == ("http_409", "11")
    assert rows[11:] == [("4 other statuses", str(10 + 9 + 8 + 7))]
    assert chart.summary.endswith(f"1,000 of {1000 + sum(range(7, 21)):,} are there.")


@pytest.mark.parametrize(("failed", "expected"), [(10, False), (9, True)])
def test_bars_are_logarithmic_where_one_has_over_a_hundred_times_another(failed, expected):
    assert download_chart({"ok": 1000, "timeout": failed}).is_logarithmic is expected


def test_hosts_are_told_by_what_is_there_and_what_failed_those_with_most_images_first():
    chart = host_chart({"b.org": (90, 10), "a.org": (99, 1), "": (0, 1), "c.org": (500, 0)})
    assert table(chart) == [
        ("c.org", "500", "0", "0.0 %"),
        ("a.org", "99", "1", "1.0 %"),
        ("b.org", "90", "10", "10.0 %"),
        ("(none)", "0", "1", "100.0 %"),
    ]
    assert chart.summary == "Images of 4 hosts, by that of their URL. Most failed at b.org: 10."


def test_of_many_hosts_the_rest_is_one_bar_and_the_worst_is_named_all_the_same():
    chart = host_chart({f"h{number:04d}": (1000 - number % 1000, number // 999) for number in range(1000)})
    rows = table(chart)
    assert len(rows) == 12
    assert rows[0] == ("h0000", "1,000", "0", "0.0 %")
    assert rows[-1] == ("989 other hosts", f"{sum(range(1, 990)):,}", "1", "0.0 %")
    assert chart.summary.endswith("of 1,000 hosts, by that of their URL. Most failed at h0999: 1.")


def test_hosts_of_which_none_failed():
    assert host_chart({"a.org": (3, 0)}).summary.endswith("None failed.")


def test_class_sizes_are_counted_in_bins_that_double():
    chart = class_size_chart(np.array([1, 2, 3, 4, 7, 8, 1023, 1024]))
    assert table(chart) == [
        ("1", "1", "1"),
        ("2 to 3", "2", "5"),
        ("4 to 7", "2", "11"),
        ("8 to 15", "1", "8"),
        ("16 to 31", "0", "0"),
        ("32 to 63", "0", "0"),
        ("64 to 127", "0", "0"),
        ("128 to 255", "0", "0"),
        ("256 to 511", "0", "0"),
        ("512 to 1,023", "1", "1,023"),
        ("1,024 to 2,047", "1", "1,024"),
    ]
    assert chart.summary.startswith("8 landmarks by")
    assert chart.summary.endswith("half have 5.5 or fewer.")


def test_bins_of_class_sizes_begin_with_the_smallest():
    assert table(class_size_chart(np.array([5, 9]))) == [("4 to 7", "1", "5"), ("8 to 15", "1", "9")]


def test_a_landmark_without_training_images_is_refused():
    with pytest.raises(ValueError, match="class_sizes should be at least 1. Received: 0"):
        class_size_chart(np.array([3, 0]))


def test_times_are_told_with_rows_and_rates():
    chart = time_chart([("index_images", 11546, 4.0), ("download_images", 11546, 3661.5), ("idle", 0, 0.0)])
    assert table(chart) == [
        ("index_images", "4.0", "11,546", "2,886.5"),
        ("download_images", "3,661.5", "11,546", "3.2"),
        ("idle", "0.0", "0", ""),
    ]
    assert "3,665.5 of all; the longest is download_images with 3,661.5." in chart.summary


@pytest.mark.parametrize(
    "draw",
    [
        lambda: training({"learning_rate": [0.1]}),
        lambda: download_chart({}),
        lambda: host_chart({}),
        lambda: class_size_chart(np.zeros(0, int)),
        lambda: time_chart([]),
    ],
)
def test_a_chart_of_nothing_is_refused(draw):
    with pytest.raises(ValueError, match="should not be empty"):
        draw()
