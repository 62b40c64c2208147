"""The verification benchmark: the reference, what is counted by hand, and small runs of its parts."""

import json
import struct

import numpy as np
import pytest
from skimage.transform import AffineTransform

from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks.verify_order import comparisons_until
from scripts.benchmarks.verify_pairs import drawn_pairs, parse_delf
from scripts.benchmarks.verify_reference import (
    ReferenceCounts,
    consensus_of,
    count_in_batches,
    count_reference_inliers,
    match_reference,
)
from scripts.benchmarks.verify_skew import summary_of


def lines_of(capfd):
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_reference_matches_one_way_within_the_distance_at_the_scale_of_800():
    pair = drawn_pairs(1)[0]
    places = match_reference(pair.query, pair.reference)
    assert len(places[0]) >= 100  # the common ones, at distance 0
    scaled = pair.query.keypoints.astype(np.float64) * 800 / 512
    common = [index for index, place in enumerate(scaled) if (places[1] == place).all(axis=1).any()]
    assert set(range(100)) <= set(common)


def test_batches_count_what_scikit_image_counts():
    seed = 1
    draw = np.random.default_rng(seed)
    sources = draw.uniform(0, 800, (80, 2))
    targets = AffineTransform(scale=(0.9, 1.1), rotation=0.2)(sources) + draw.normal(0, 4, (80, 2))
    targets[40:] = draw.uniform(0, 800, (40, 2))
    for matches in [(sources, targets), (sources[40:], targets[40:]), (sources[:3], targets[:3])]:
        assert count_in_batches(matches, seed) == count_reference_inliers(matches, seed)


@pytest.mark.parametrize(
    ("counts", "above", "num_tried", "by"),
    [
        ([12, 20, 9], False, 3, "three clear counts"),
        ([60, 300, 99], True, 3, "three clear counts"),
        ([60, 300, 59] + [36] * 17, True, 11, "majority"),
        ([21, 35, 7] + [34] * 17, False, 11, "majority"),
        ([36, 35] * 10, True, 20, "median"),  # of 35.5
    ],
)
def test_consensus_tries_no_more_seeds_than_decide_it(counts, above, num_tried, by):
    found = consensus_of(500, counts.__getitem__)
    assert (len(found["counts"]), found["by"]) == (num_tried, by)
    assert found["above"] is above
    assert consensus_of(35, counts.__getitem__) == {"above": False, "counts": [], "by": "too few matches"}


def test_a_consensus_is_found_once_and_a_line_cut_off_is_found_again(tmp_path):
    pair = drawn_pairs(2)[1]
    path = tmp_path / "counts.jsonl"
    first = ReferenceCounts(path).consensus(pair.query, pair.reference)
    assert first["above"] is False
    text = path.read_text()
    assert ReferenceCounts(path).consensus(pair.query, pair.reference) == first
    assert path.read_text() == text
    path.write_text(text[:20] + "\n")
    assert ReferenceCounts(path).consensus(pair.query, pair.reference) == first
    assert path.read_text().endswith(text)


def message(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def test_features_of_delfs_tool_are_read_as_protocol_buffers():
    values = np.array([0.6, 0.8], "<f4")
    datum = message(1, message(1, bytes([2]))) + message(2, message(1, values.tobytes()))
    places = [(10.0, 20.5), (99.5, 3.0)]
    features = [
        message(1, datum) + bytes([2 << 3 | 5]) + struct.pack("<f", x) + bytes([3 << 3 | 5]) + struct.pack("<f", y)
        for x, y in places
    ]
    found = parse_delf(b"".join(message(1, feature) for feature in features))
    assert found.keypoints.tolist() == [list(place) for place in places]
    np.testing.assert_array_equal(found.descriptors, np.stack([values.astype(np.float16)] * 2))
    assert (found.width, found.height) == (100, 21)


def test_comparisons_end_with_the_first_that_verifies():
    assert comparisons_until([3, 35, 36, 90], 35) == 3
    assert comparisons_until([3, 5], 35) == 2
    assert comparisons_until([], 35) == 0


def test_skew_is_the_slowest_task_over_the_median_one():
    notes = [
        {"seconds": seconds, "processor_seconds": 1.0, "num_comparisons": count, "peak_bytes": 7 * count}
        for seconds, count in [(1.0, 10), (2.0, 10), (3.0, 20)]
    ]
    summary = summary_of(notes)
    assert (summary["skew_ratio"], summary["skew_ratio_comparisons"], summary["peak_task_bytes"]) == (1.5, 2.0, 140)


def test_the_quick_benchmark_compares_both_sides_and_their_verdicts(capfd):
    for part in ("speed", "agreement", "order"):
        assert command_line.main(["verify", "--quick", "--only", part]) == 0
    lines = lines_of(capfd)
    runs = {line["side"]: line["pairs_per_second"] for line in lines if line["what"] == "run"}
    speed, agreement, order = [line for line in lines if line["what"] in ("summary", "not_run")]
    expected = runs["landmark_spark"] / runs["reference"]
    assert speed["ratio_to_reference"] == pytest.approx(expected, rel=1e-2)
    # Every other pair has 100 places in common: both sides say so, for every seed.
    assert (agreement["num_pairs"], agreement["agreement"], agreement["num_above_by_reference"]) == (6, 1.0, 3)
    assert agreement["same_verdict_for_every_seed"] == 1.0
    assert agreement["different_landmarks_accepted"] == {"ours": 0, "reference": 0}
    assert order["benchmark"] == "verify.order"


@pytest.mark.jvm
def test_the_quick_skew_benchmark_verifies_every_image_on_two_workers(capfd):
    assert command_line.main(["verify", "--quick", "--only", "skew"]) == 0
    *tasks, summary = [line for line in lines_of(capfd) if line["benchmark"] == "verify.skew"]
    assert sum(task["num_rows"] for task in tasks) == summary["num_rows"] == 600
    assert summary["num_tasks"] == len(tasks) == 6  # three for each of two cores
    assert summary["largest_landmark"] > 70  # a chance of 1 / 5.9 for each of 600
    assert summary["skew_ratio_comparisons"] <= 1.5
