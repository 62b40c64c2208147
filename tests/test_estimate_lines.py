import math

import pytest

from landmark_spark.core.estimates import Cluster, StageEstimate, Workload
from landmark_spark.estimate_lines import amount, duration, estimate_rows, rate_lines, shape_line, warning_lines
from landmark_spark.rates import Rate

ESTIMATES = [
    StageEstimate("one", 1200, 3_500_000, 90.0, "CPU", 1.5),
    StageEstimate("two", 0, 1_000, 7200.0, "network", 2000.0, ("two needs more",)),
]


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (79_800_000_000, "79.8 GB"), (2e15, "2,000 TB")],
)
def test_bytes_are_written_in_powers_of_a_thousand(num_bytes, text):
    assert amount(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (90, "1.5 min"), (3600, "1.0 h"), (86_400, "24 h"), (864_000, "10 days")],
)
def test_times_are_written_in_the_unit_they_are_read_best_in(seconds, text):
    assert duration(seconds) == text


def test_the_last_row_is_the_whole_run():
    heads, rows = estimate_rows(ESTIMATES, with_cost=True)
    assert heads == ["stage", "rows", "bytes", "time", "limited by", "cost"]
    assert rows == [
        ["one", "1,200", "3.5 MB", "1.5 min", "CPU", "1.50"],
        ["two", "", "1 kB", "2.0 h", "network", "2,000.00"],
        ["in all", "", "3.5 MB", "2.0 h", "mostly two", "2,001.50"],
    ]


def test_a_stage_that_does_not_fit_has_no_time_and_the_last_row_is_of_the_others():
    _, rows = estimate_rows(
        [*ESTIMATES, StageEstimate("three", 5, 0, math.inf, "memory", math.inf, ("too large",))], with_cost=True
    )
    assert rows[2:] == [
        ["three", "5", "0 B", "does not fit", "memory", ""],
        ["the others", "", "3.5 MB", "2.0 h", "mostly two", "2,001.50"],
    ]


def test_without_prices_there_is_no_cost():
    heads, rows = estimate_rows(ESTIMATES, with_cost=False)
    assert "cost" not in heads and {len(each) for each in rows} == {5}


def test_what_would_not_hold_is_a_line_each():
    assert warning_lines(ESTIMATES) == ["warning: two needs more"]


def test_the_shape_is_said_in_one_line():
    work, cluster = Workload(1000, 200, 10, 50), Cluster(2, 8, 4, gpu="t4", memory=64e9)
    assert shape_line(work, cluster) == (
        "1,000 training + 50 of no landmark + 200 test images, 10 landmarks; "
        "2 nodes of 8 cores (avx512), 64 GB, 1,000 Mbit/s, 4 GPUs (t4)"
    )
    assert shape_line(Workload(9, 1, 1), Cluster()).endswith("; 1 node of 2 cores (avx512), 16 GB, 1,000 Mbit/s")


def test_a_rate_that_nobody_measured_is_said_where_it_counts():
    rates = {
        "network_t4": Rate(3.0, "GFLOP/s", "assumed", "a data sheet"),
        "network_v100": Rate(4.0, "GFLOP/s", "assumed", "a paper"),
        "network_avx512": Rate(1.0, "GFLOP/s", "measured", "a run", "a Xeon", "2026-01-01"),
        "sift_images": Rate(9.0, "images/s", "measured", "a run", "a Xeon", "2026-01-01"),
        "answer": Rate(40.0, "bytes", "counted", "the code"),
    }
    others = "all others were measured on a Xeon, or counted (rates.json)"
    assert rate_lines(rates, Cluster(num_gpus=1, gpu="t4")) == [
        "assumed: network_t4 = 3 GFLOP/s: a data sheet",
        others,
    ]
    assert rate_lines(rates, Cluster(gpu="t4")) == [others]
