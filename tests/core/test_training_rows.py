import numpy as np
import pytest

from landmark_spark.core.training_rows import RowChoice

# Rows: a test image; training images held out or not by hash, the fourth a landmark's first reference.
ROWS = {
    "split": np.array(["test", "train", "train", "train", "train"]),
    "holdout": np.array([0.05, 0.05, 0.5, 0.05, 0.1], np.float32),
    "reference_rank": np.array([-1, 1, 2, 0, 3], np.int32),
    "status": np.array(["ok", "ok", "ok", "ok", "http_404"]),
}


@pytest.mark.parametrize(
    ("part", "expected"), [("train", [2, 3, 4]), ("validation", [1]), ("everything", [1, 2, 3, 4])]
)
def test_rows_are_chosen_by_split_hash_and_rank(part, expected):
    # float32(0.1) is a little above 0.1: what stands in the table is compared with the limit as the table would have it
    assert RowChoice(part, 0.1).places(ROWS).tolist() == expected


def test_a_row_without_a_picture_is_left_out_where_there_is_a_status():
    assert RowChoice("everything", 0.1, with_status=True).places(ROWS).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("part", "bounds", "expected"),
    [
        ("everything", {}, True),
        ("everything", {"split": ("non_landmark", "test")}, False),
        ("everything", {"split": ("test", "train")}, True),
        ("everything", {"split": ("train", "train"), "holdout": (0.0, 0.0)}, True),
        ("everything", {"status": ("http_404", "no_route")}, False),
        ("everything", {"status": ("http_404", "timeout")}, True),
        ("validation", {"holdout": (0.25, 0.9)}, False),
        ("validation", {"holdout": (0.1, 0.9)}, True),
        ("train", {"holdout": (0.1, 0.25)}, True),
        ("train", {"holdout": (0.1, 0.2), "reference_rank": (1, 9)}, False),
        ("train", {"holdout": (0.1, 0.2), "reference_rank": (0, 9)}, True),
        ("train", {"holdout": (0.1, 0.2)}, True),
    ],
)
def test_bounds_rule_out_only_what_no_row_within_them_can_be(part, bounds, expected):
    assert RowChoice(part, 0.25, with_status=True).may_be_within(bounds) is expected


def test_a_bound_compares_as_its_row_does():
    # float32(0.7) is a little below 0.7: a row that has it is not held out at 0.7, and its row group is read.
    value = float(np.float32(0.7))
    rows = {name: values[1:2] for name, values in ROWS.items()} | {"holdout": np.array([value], np.float32)}
    choice = RowChoice("train", 0.7)
    assert choice.places(rows).tolist() == [0]
    assert choice.may_be_within({"holdout": (value, value), "reference_rank": (1, 1)})
