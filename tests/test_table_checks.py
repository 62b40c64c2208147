import json
import pickle
import zipfile
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from chain_store import chain_rows

from landmark_spark.chain_checks import (
    SHARD_CHECKS,
    check_landmarks,
    check_one_value,
    check_ranks,
    check_submission,
    submission_ids,
)
from landmark_spark.commits import WHOLE
from landmark_spark.core.archive_checks import file_fault
from landmark_spark.core.records import shard_of
from landmark_spark.kept_rows import KeptRows, id_digests
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LANDMARKS,
    LOCAL_FEATURES,
    PREDICTIONS,
    RECORDS,
    REJECTS,
    SCORES,
    VERIFICATIONS,
)
from landmark_spark.table_checks import RowChecks, schema_fault


def checked(table, rows, *, batch=2):
    """Check the rows of one shard as they are, in batches."""
    checks = RowChecks(table, 0 if table.sharded else WHOLE, 1)
    for start in range(0, len(rows), batch):
        checks.add(pa.Table.from_pylist(rows[start : start + batch], schema=table.schema))
    return checks.finish()[0]


def in_order(table):
    return sorted(chain_rows()[table], key=lambda row: tuple(row[name] for name in table.order))


@pytest.mark.parametrize("table", list(chain_rows()), ids=lambda table: table.name)
def test_rows_that_fit_have_no_fault(table):
    assert checked(table, in_order(table)) == []


def test_rows_in_another_order_are_named_across_batches():
    rows = in_order(PREDICTIONS)
    rows[1], rows[2] = rows[2], rows[1]  # t0 rank 1 and t2 rank 0: the batches' border lies between them
    assert checked(PREDICTIONS, rows) == [
        "has 1 row with a place that the order by id, rank does not give it, the first of t0"
    ]


def test_a_row_that_stands_twice_is_named_with_its_id():
    rows = in_order(BOTTLENECKS)
    found = checked(BOTTLENECKS, [*rows[:3], rows[2], *rows[3:]])
    assert found == [
        "has 1 row with the same (split, id) as the row before, the first of t3",  # test: t0, t2, t3
        "should have one row an id. Received: 1 more",
    ]


def test_an_id_in_two_splits_is_two_rows_of_one_id():
    rows = in_order(RECORDS)
    again = next(row for row in rows if row["id"] == "t0") | {"split": "non_landmark", "line_number": 0}
    assert checked(RECORDS, [again, *rows]) == ["should have one row an id. Received: 1 more"]


def test_an_id_of_another_shard_is_named():
    checks = RowChecks(PREDICTIONS, 2, 3)
    checks.add(pa.Table.from_pylist(in_order(PREDICTIONS), schema=PREDICTIONS.schema))
    assert [shard_of(name, 3) for name in ("t0", "t2", "t3")] == [2, 2, 1]
    assert checks.finish()[0] == ["has 2 rows with an id of another shard, the first of t3"]


@pytest.mark.parametrize(
    ("table", "column", "value", "problem"),
    [
        (RECORDS, "split", "dev", "a split that is none of train, test, non_landmark"),
        (RECORDS, "holdout", 1.0, "a holdout that is not in [0, 1)"),
        (RECORDS, "class_index", 7, "a landmark without a class, or a class without one"),
        (RECORDS, "line_number", 0, "a line number where none is, or none where one is"),
        (REJECTS, "reason", "whim", "a reason that core.records does not have"),
        (IMAGES, "image", None, "a picture without the status ok, or that status without a picture"),
        (IMAGES, "large_image", b"GIF89a", "a large_image that is no JPEG"),
        (BOTTLENECKS, "features", b"123", "features that are no whole number of float16"),
        (PREDICTIONS, "score", float("nan"), "a score that is not in [0, 1]"),
        (PREDICTIONS, "score", 1.5, "a score that is not in [0, 1]"),
        (LOCAL_FEATURES, "keypoints", bytes(15), "keypoints that are not 8 bytes for each of num_keypoints"),
        (LOCAL_FEATURES, "descriptors", bytes(6), "descriptors that are no whole number of float16"),
        (LOCAL_FEATURES, "width", 0, "a width or height below 1"),
        (VERIFICATIONS, "num_comparisons", 4, "more comparisons than references, or fewer than 0"),
        (VERIFICATIONS, "num_inliers", -1, "fewer inliers than 0"),
        (VERIFICATIONS, "landmark_id", -1, "no landmark"),
        (GLOBAL_DESCRIPTORS, "split", "dev", "a split that is none of train, test, non_landmark"),
        (GLOBAL_DESCRIPTORS, "class_index", 7, "a landmark without a class, or a class without one"),
        (GLOBAL_DESCRIPTORS, "descriptor", b"123", "a descriptor that is no whole number of float16"),
        (CANDIDATES, "class_index", -1, "a landmark without a class, or a class without one"),
        (CANDIDATES, "landmark_id", -1, "no landmark"),
        (CANDIDATES, "head", float("-inf"), "evidence that is no number"),
        (CANDIDATES, "centroid", float("nan"), "evidence that is no number"),
        (CANDIDATES, "true_landmark_id", 70, "a true landmark of an image that is none of train"),
        (SCORES, "score", 1.5, "a score that is not in [0, 1]"),
        (SCORES, "num_inliers", -1, "fewer inliers than 0"),
    ],
)
def test_a_value_that_cannot_be_is_named(table, column, value, problem):
    rows = in_order(table)
    place = next(
        k for k, row in enumerate(rows) if row.get("split", "test") == "test" and row.get("status") != "http_404"
    )
    rows[place] = rows[place] | {column: value}
    assert any(f"1 row with {problem}" in fault for fault in checked(table, rows))


def test_a_rank_that_is_missing_is_named():
    rows = [row for row in in_order(PREDICTIONS) if (row["id"], row["rank"]) != ("t2", 0)]
    assert checked(PREDICTIONS, rows) == ["should have ranks 0, 1, ... for each id. Received: 1 ids with others"]


def test_a_landmark_predicted_twice_for_an_image_is_named():
    rows = in_order(PREDICTIONS)
    rows[1] = rows[1] | {"landmark_id": 70}
    assert checked(PREDICTIONS, rows) == ["should name a landmark once for an id. Received: 1 more"]


@pytest.mark.parametrize("table", [CANDIDATES, SCORES], ids=lambda table: table.name)
def test_the_landmarks_named_for_an_image_are_ranked_and_each_stands_once(table):
    rows = in_order(table)
    place = next(k for k, row in enumerate(rows) if row["rank"] == 1)  # of t0
    again = [*rows[:place], rows[place] | {"landmark_id": 70}, *rows[place + 1 :]]
    assert checked(table, again) == ["should name a landmark once for an id. Received: 1 more"]
    assert checked(table, rows[: place - 1] + rows[place:]) == [
        "should have ranks 0, 1, ... for each id. Received: 1 ids with others"
    ]


def test_candidates_and_scores_are_compared_with_what_they_were_made_of():
    descriptors = kept("abc", is_test=[True, False, False])
    check = SHARD_CHECKS["candidates"][1]
    named = kept("aabb", is_test=[True, True, False, False], rank=[0, 1, 0, 1], landmark_id=[7, 8, 7, 9])
    assert check({"global_descriptors": descriptors}, named, {}) == ""  # c has none
    assert check({"global_descriptors": descriptors.where(np.array([True, False, True]))}, named, {}).endswith(
        "Received: 1 others"
    )
    check = SHARD_CHECKS["scores"][1]
    assert check({"candidates": named}, kept("a"), {}) == ""
    assert check({"candidates": named}, kept("ab"), {}).endswith("Received: 0 missing, 1 others")


def test_verified_are_the_best_predictions_and_all_candidates_each_once():
    predictions = kept("aaa", rank=[0, 1, 2], landmark_id=[7, 8, 9])
    candidates = kept("aab", is_test=[True, True, False], rank=[0, 1, 0], landmark_id=[7, 9, 8])
    check = SHARD_CHECKS["verifications"][1]
    inputs = {"predictions": predictions, "candidates": candidates}
    assert check(inputs, kept("aab", landmark_id=[7, 9, 8]), {}) == ""
    assert check(inputs, kept("aaab", landmark_id=[7, 8, 9, 8]), {"verify.candidates": 2}) == ""
    assert check(inputs, kept("aab", landmark_id=[7, 9, 8]), {"verify.candidates": 2}).endswith(
        "verified, 4. Received: 1 missing, 0 others"
    )
    none = {"predictions": predictions, "candidates": candidates.where(np.zeros(3, bool))}
    assert check(none, kept("a", landmark_id=[7]), {}) == ""
    assert check(none, kept("aa", landmark_id=[7, 9]), {}).endswith("verified, 1. Received: 0 missing, 1 others")


def test_descriptors_are_of_the_images_that_keep_a_larger_copy():
    images = kept("abcd", is_test=[True] * 4, is_ok=[True, True, True, False], is_large=[True, True, False, False])
    check = SHARD_CHECKS["global_descriptors"][1]
    assert check({"images": images}, kept("ab"), {}) == ""
    assert check({"images": images}, kept("bc"), {}).endswith("larger copy, 2. Received: 1 missing, 1 others")


def test_other_columns_are_listed():
    received = pa.schema([*list(PREDICTIONS.schema)[:-1], pa.field("score", pa.float64(), nullable=False)])
    assert schema_fault(PREDICTIONS, PREDICTIONS.schema) == ""
    assert (
        schema_fault(PREDICTIONS, received)
        == "should have the columns score float not null. Received: score double not null"
    )
    nullable = pa.schema([each.with_nullable(True) for each in LANDMARKS.schema])
    assert "Received: landmark_id int64, class_index int32" in schema_fault(LANDMARKS, nullable)


def kept(ids, **columns):
    return KeptRows(id_digests(ids), {name: np.array(values) for name, values in columns.items()})


def test_the_ids_of_a_submission_are_those_of_test_csv_in_its_order():
    one = kept(["b", "x"], is_test=[True, False], line_number=[4, 0])
    two = kept(["a"], is_test=[True], line_number=[9])
    rejects = kept(
        ["c", "a", None, "b", "d", "c"],
        is_test=[True, True, True, True, False, True],
        is_duplicate=[False, False, False, True, False, False],
        line_number=[2, 3, 5, 6, 7, 8],
    )
    # a is valid in line 9 and refused in line 3; of c, twice refused, the first line counts
    assert submission_ids([one, two], rejects).tolist() == id_digests(["c", "a", "b"]).tolist()


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([("a", True), ("b", False)], ""),
        ([("b", False), ("a", True)], "in its order. Received: another order"),
        ([("a", True)], "Received: 1 missing, 0 others"),
        ([("a", True), ("b", False), ("c", False)], "Received: 0 missing, 1 others"),
        ([("a", False), ("b", False)], "Received: 1 rows that do not fit"),
        ([("a", True), ("b", True)], "Received: 1 rows that do not fit"),
    ],
)
def test_a_submission_has_the_rows_of_test_csv_and_answers_for_those_predicted(rows, fault):
    found = check_submission(rows, id_digests(["a", "b"]), [kept(["a", "a"])], answers_all=True)
    assert fault in found
    assert bool(found) is bool(fault)


def test_where_only_the_verified_are_answered_a_prediction_may_stay_without_answer():
    rows = [("a", False), ("b", True)]
    wanted = id_digests(["a", "b"])
    assert check_submission(rows, wanted, [kept(["a", "b"])], answers_all=False) == ""
    assert "1 rows" in check_submission(rows, wanted, [kept(["a"])], answers_all=False)


def test_the_training_images_of_a_landmark_are_counted():
    records = [kept("ab", landmark_id=[7, -1]), kept("cd", landmark_id=[7, 8])]
    assert check_landmarks(records, kept([None] * 2, landmark_id=[7, 8], num_train_images=[2, 1])) == ""
    wrong = check_landmarks(records, kept([None] * 2, landmark_id=[7, 8], num_train_images=[2, 2]))
    assert wrong == "should count the training images of records. Received: 1 landmarks with another number"


def test_the_shard_that_differs_from_the_others_is_the_faulty_one():
    shards = {0: kept("ab", num_bytes=[16, 16]), 1: kept("cde", num_bytes=[16, 8, 0])}
    assert check_one_value(shards, "num_bytes", "bytes") == {
        1: "should have 16 bytes, as the other shards. Received: 8, 16"
    }
    assert check_ranks({0: kept("aabb"), 1: kept("ccc"), 2: kept("dd")}) == {
        1: "should have 2 ranks for each id, as the other shards. Received: 3"
    }


def keras_archive(**parts):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (
            {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"} | parts
        ).items():
            archive.writestr(name, data)
    return file.getvalue()


def arrays(array):
    file = BytesIO()
    np.savez(file, mean=array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("model.keras", keras_archive(), ""),
        ("model.keras", keras_archive()[:-30], "should be a whole .keras file"),
        ("model.keras", keras_archive(**{"code.pkl": pickle.dumps([1])}), "others ['code.pkl']"),
        (
            "model.keras",
            keras_archive(**{"assets/vocabulary": pickle.dumps([1])}),
            "should be an archive without pickles",
        ),
        ("model.keras", keras_archive(**{"config.json": b"{"}), "should be a whole .keras file"),
        ("pca.npz", arrays(np.ones(2, np.float32)), ""),
        ("pca.npz", arrays(np.array([{}], object)), "allow_pickle=False"),
        ("history.json", json.dumps({"loss": [1]}).encode(), ""),
        ("history.json", b"{", "should be a whole .json file"),
        ("history.json", b"\xff\xfe\x00", "should be a whole .json file"),
        ("events.out.tfevents.history", b"\x80", ""),
    ],
)
def test_a_models_files_are_whole_and_hold_no_pickle(name, data, fault):
    found = file_fault(name, BytesIO(data))
    assert fault in found
    assert bool(found) is bool(fault)
