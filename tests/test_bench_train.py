"""The training benchmark's tables, clock and arithmetic. Whether anything is fast is no test's business."""

import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from landmark_spark.feed import count_labels, iterate_batches
from scripts.benchmarks import train_run
from scripts.benchmarks.bottleneck_tables import FEATURE_SIZE, write_bottlenecks
from scripts.benchmarks.memory_curve import MemoryCurve, quarter_peaks
from scripts.benchmarks.train import hours_of
from scripts.benchmarks.train_run import Clock, TrainRun, measure_epoch, measure_pairs


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    return write_bottlenecks(tmp_path_factory.mktemp("tables"), num_rows=600, num_classes=7, num_files=2)


def test_generated_features_are_such_as_vgg16_gives(urls):
    options = {"batch_size": 600, "validation_fraction": 0.0, "seed": 0}
    ((features, _),) = iterate_batches(urls, "everything", **options)
    assert features.shape == (600, FEATURE_SIZE)
    assert (features == 0).mean() == pytest.approx(0.76, abs=0.005)
    assert features[features > 0].astype(np.float64).mean() == pytest.approx(0.64, abs=0.01)
    assert count_labels(urls, "everything", num_classes=7, validation_fraction=0.0).tolist() == [86] * 5 + [85] * 2
    footers = [pq.read_metadata(url.removeprefix("file://")).row_group(0).column(6) for url in urls]
    assert all(2.6 < each.total_uncompressed_size / each.total_compressed_size < 3.2 for each in footers)


def test_the_clock_leaves_the_warm_up_out(monkeypatch):
    now = 0.0
    monkeypatch.setattr(train_run.time, "monotonic", lambda: now)
    clock = Clock(warm_up=2)
    for size in clock.time([10, 20, 30, 40], lambda batch: batch):
        now += size / 5  # seconds that the consumer works
    assert clock.num_rows == 70
    assert clock.rate == pytest.approx(5.0)  # 70 rows in 6 + 8 seconds


def test_without_a_warm_up_making_the_first_batch_counts(monkeypatch):
    now = 0.0
    monkeypatch.setattr(train_run.time, "monotonic", lambda: now)

    def batches():
        nonlocal now
        for _ in range(4):
            now += 2.0
            yield 10

    clock = Clock(warm_up=0)
    assert list(clock.time(batches(), lambda batch: batch)) == [10] * 4
    assert clock.rate == pytest.approx(5.0)  # 40 rows in 8 seconds


def test_memory_is_the_peak_of_each_quarter():
    samples = [(0.0, 900), (10.0, 100), (10.5, 300), (11.2, 200), (13.9, 400), (15.0, 1000)]
    assert quarter_peaks(samples, 10.0, 14.0) == [300, 200, 200, 400]


def test_memory_is_sampled_while_the_curve_is_open():
    with MemoryCurve() as curve:
        time.sleep(0.5)
    moments = [moment for moment, _ in curve.samples]
    assert len(moments) >= 2
    assert moments == sorted(moments)
    assert min(size for _, size in curve.samples) > 10_000_000  # of an interpreter with NumPy


def test_a_full_training_is_all_rows_twice_but_for_those_held_out():
    # 10 epochs of 1,102,526.1 rows at 1,000 a second, 122,502.9 measured at 2,000, and 1,225,029 at 1,000.
    assert hours_of(1000.0, 2000.0) == pytest.approx(10 * (1102.5261 + 61.25145 + 1225.029) / 3600)


def test_both_measurements_train_as_the_stage_does(urls):
    pairs = TrainRun(
        tuple(urls), num_classes=7, batch_size=32, num_threads=2, num_pairs=1, num_model_rows=64, answer=""
    )
    rates = measure_pairs(pairs)
    assert {name: len(values) for name, values in rates.items()} == {"feed": 1, "model": 1}
    assert min(rates["feed"] + rates["model"]) > 0
    epoch = measure_epoch(pairs)
    held_out = count_labels(urls, "validation", num_classes=7, validation_fraction=0.1).sum()
    assert epoch["num_rows_timed"] == 600 - held_out - 3 * 32  # three batches warm it up
    assert len(epoch["memory_quarter_peak_bytes"]) == 4
    assert max(epoch["memory_quarter_peak_bytes"]) <= epoch["memory_peak_bytes"]
